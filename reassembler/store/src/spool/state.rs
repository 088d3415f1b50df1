//! The state database: one redb file, one write transaction between two commits.
//!
//! The transaction is begun at the first change and ended by [`State::begin_commit`]; what a crash leaves of it never existed. So rows may
//! be written as early as memory asks for it (the lines of cold batches), and still become durable in one instant with the rest.
//!
//! The next transaction begins when the commit under way has ended. What takes a change to the state waits for that, but for the one change
//! that comes with every block, [`State::clear_tail`]: it is noted down, and made first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::OpenRows;
use super::committer::{Committer, Job};
use super::files::Touched;
use super::known::{KnownIds, MOST_READ_IDS};
use super::rows::{
    BATCHES, BLOBS, BatchRow, CHUNKS, FORMAT, INPUTS, META, OPEN, OPEN_IDS, SEALED, SEEN, SealedRow, TAILS,
};
use crate::error::StateError;

/// The numbers that a commit carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) next_file: u64,
    pub(crate) next_object: u64,
    pub(crate) touch: u64,
}

pub(crate) struct State {
    /// These two before `db`, so that they are dropped first: closing a database waits for its writer.
    txn: Option<WriteTransaction>,
    committer: Committer,
    /// Batches whose rows of lines go with the next transaction.
    cleared: Vec<u64>,
    db: Arc<Database>,
    path: PathBuf,
    known: KnownIds,
}

impl State {
    /// Takes an open database whose tables exist, and reads its ids where they are not too many.
    pub(crate) fn new(db: Arc<Database>, path: PathBuf, seen_per_generation: u64) -> Result<Self, StateError> {
        let known = KnownIds::new(seen_per_generation);
        read_ids(&db, &known).map_err(|source| failed(&path, source))?;
        let committer = Committer::new(&path);
        Ok(Self { txn: None, committer, cleared: Vec::new(), db, path, known })
    }

    /// What tells ids that the database cannot know.
    pub(crate) fn known(&self) -> KnownIds {
        self.known.clone()
    }

    pub(crate) fn database(&self) -> Arc<Database> {
        Arc::clone(&self.db)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// True where a commit has something to do.
    pub(crate) fn has_changes(&self) -> bool {
        self.txn.is_some() || !self.cleared.is_empty()
    }

    fn run<T>(&mut self, work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>) -> Result<T, StateError> {
        self.await_commit()?;
        let outcome = match &self.txn {
            Some(txn) => work(txn),
            None => self.begin().and_then(|txn| {
                self.cleared.drain(..).try_for_each(|file_no| clear_tail(&txn, file_no))?;
                work(self.txn.insert(txn))
            }),
        };
        outcome.map_err(|source| failed(&self.path, source))
    }

    /// Begins a transaction whose commit says where free pages are: opening after a crash then takes milliseconds instead of reading the whole
    /// database, which open captures may make large. A commit takes about a third longer for it.
    fn begin(&self) -> Result<WriteTransaction, redb::Error> {
        let mut txn = self.db.begin_write()?;
        txn.set_quick_repair(true);
        Ok(txn)
    }

    pub(crate) fn put_tail(&mut self, file_no: u64, row: u32, lines: &[u8]) -> Result<(), StateError> {
        self.run(|txn| {
            txn.open_table(TAILS)?.insert((file_no, row), lines)?;
            Ok(())
        })
    }

    /// All rows of a batch's unfinished block, one after the other.
    pub(crate) fn read_tail(&mut self, file_no: u64, lines: &mut Vec<u8>) -> Result<(), StateError> {
        self.run(|txn| {
            for row in txn.open_table(TAILS)?.range((file_no, 0)..=(file_no, u32::MAX))? {
                lines.extend_from_slice(row?.1.value());
            }
            Ok(())
        })
    }

    pub(crate) fn clear_tail(&mut self, file_no: u64) -> Result<(), StateError> {
        if self.commit_is_under_way() && !self.commit_has_ended() {
            self.cleared.push(file_no);
            return Ok(());
        }
        self.run(|txn| clear_tail(txn, file_no))
    }

    pub(crate) fn put_batches(&mut self, rows: &[(u64, BatchRow)]) -> Result<(), StateError> {
        self.run(|txn| {
            let mut table = txn.open_table(BATCHES)?;
            for (file_no, row) in rows {
                table.insert(file_no, &json(row)?[..])?;
            }
            Ok(())
        })
    }

    pub(crate) fn remove_batch(&mut self, file_no: u64) -> Result<(), StateError> {
        self.run(|txn| {
            txn.open_table(BATCHES)?.remove(file_no)?;
            Ok(())
        })
    }

    pub(crate) fn put_sealed(&mut self, object_no: u64, row: &SealedRow) -> Result<(), StateError> {
        self.run(|txn| {
            txn.open_table(SEALED)?.insert(object_no, &json(row)?[..])?;
            Ok(())
        })
    }

    pub(crate) fn remove_sealed(&mut self, object_no: u64) -> Result<Option<SealedRow>, StateError> {
        self.run(|txn| {
            let mut table = txn.open_table(SEALED)?;
            let removed = table.remove(object_no)?;
            removed.map(|row| parse(row.value())).transpose()
        })
    }

    pub(crate) fn put_inputs(&mut self, inputs: &[(u64, Option<Vec<u8>>)]) -> Result<(), StateError> {
        self.run(|txn| {
            let mut table = txn.open_table(INPUTS)?;
            for (input, position) in inputs {
                match position {
                    Some(position) => table.insert(input, &position[..])?,
                    None => table.remove(input)?,
                };
            }
            Ok(())
        })
    }

    /// Removals come first: an id may be open anew, as another capture.
    pub(crate) fn put_open(&mut self, rows: &OpenRows) -> Result<(), StateError> {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        self.run(|txn| {
            let (mut open, mut ids, mut chunks) =
                (txn.open_table(OPEN)?, txn.open_table(OPEN_IDS)?, txn.open_table(CHUNKS)?);
            for (capture, id) in &rows.remove {
                open.remove(capture)?;
                if ids.remove(&id[..])?.is_some() {
                    removed.push(&id[..]);
                }
                chunks.retain_in((*capture, 0)..=(*capture, u64::MAX), |_, _| false)?;
            }
            for (capture, id, row) in &rows.captures {
                open.insert(capture, &row[..])?;
                if ids.insert(&id[..], capture)?.is_none() {
                    added.push(&id[..]);
                }
            }
            for (capture, key, chunk) in &rows.chunks {
                chunks.insert((*capture, *key), &chunk[..])?;
            }
            Ok(())
        })?;
        self.known.change_open(removed.into_iter(), added.into_iter());
        Ok(())
    }

    /// Remembers stored ids. Where the generation that is filled holds `limit`, the older one is emptied and filled instead.
    pub(crate) fn put_seen(&mut self, seen: &[(Vec<u8>, Vec<u8>)], limit: u64) -> Result<(), StateError> {
        let (mut filled, mut emptied) = (0, false);
        self.run(|txn| {
            let mut meta = txn.open_table(META)?;
            let mut current = usize::from(meta.get("seen_current")?.is_some_and(|row| row.value() == 1));
            if txn.open_table(SEEN[current])?.len()? >= limit {
                current = 1 - current;
                txn.delete_table(SEEN[current])?;
                meta.insert("seen_current", current as u64)?;
                emptied = true;
            }
            filled = current;
            let mut table = txn.open_table(SEEN[current])?;
            // In the order of the tree, so that its pages are met one after another.
            let mut sorted: Vec<_> = seen.iter().collect();
            sorted.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            for (id, value) in sorted {
                table.insert(&id[..], &value[..])?;
            }
            Ok(())
        })?;
        self.known.add_seen(filled, emptied, seen.iter().map(|(id, _)| &id[..]));
        Ok(())
    }

    pub(crate) fn put_ledger(&mut self, ledger: &[u8]) -> Result<(), StateError> {
        self.run(|txn| {
            txn.open_table(BLOBS)?.insert("ledger", ledger)?;
            Ok(())
        })
    }

    /// Begins to make everything since the last commit durable: these files, and then the rows with the counters. `ended` is called
    /// when that is done, or has failed.
    pub(crate) fn begin_commit(
        &mut self,
        counters: Counters,
        files: Touched,
        ended: Box<dyn FnOnce() + Send>,
    ) -> Result<(), StateError> {
        self.run(|txn| {
            let mut meta = txn.open_table(META)?;
            meta.insert("next_file", counters.next_file)?;
            meta.insert("next_object", counters.next_object)?;
            meta.insert("touch", counters.touch)?;
            Ok(())
        })?;
        if let Some(txn) = self.txn.take() {
            self.committer.start(Job { files, txn, ended });
        }
        Ok(())
    }

    /// Whether there is a commit of which [`await_commit`](Self::await_commit) has not told the outcome.
    pub(crate) fn commit_is_under_way(&self) -> bool {
        self.committer.is_under_way()
    }

    /// Whether [`await_commit`](Self::await_commit) takes no time.
    pub(crate) fn commit_has_ended(&mut self) -> bool {
        self.committer.has_ended()
    }

    /// Waits for the commit under way.
    pub(crate) fn await_commit(&mut self) -> Result<(), StateError> {
        if self.committer.wait()? {
            self.known.committed();
        }
        Ok(())
    }

    pub(crate) fn load(&self) -> Result<Loaded, StateError> {
        load(&self.db).map_err(|source| failed(&self.path, source))
    }
}

fn clear_tail(txn: &WriteTransaction, file_no: u64) -> Result<(), redb::Error> {
    Ok(txn.open_table(TAILS)?.retain_in((file_no, 0)..=(file_no, u32::MAX), |_, _| false)?)
}

fn read_ids(db: &Database, known: &KnownIds) -> Result<(), redb::Error> {
    let txn = db.begin_read()?;
    for row in txn.open_table(OPEN_IDS)?.iter()? {
        known.change_open([].into_iter(), [row?.0.value()].into_iter());
    }
    for (generation, table) in SEEN.into_iter().enumerate() {
        let table = txn.open_table(table)?;
        if table.len()? > MOST_READ_IDS {
            known.leave_unread(generation);
            continue;
        }
        for row in table.iter()? {
            known.add_seen(generation, false, [row?.0.value()].into_iter());
        }
    }
    Ok(())
}

/// The committed rows that a spool needs at its start.
pub(crate) struct Loaded {
    pub(crate) counters: Counters,
    pub(crate) ledger: Vec<u8>,
    pub(crate) inputs: Vec<(u64, Vec<u8>)>,
    pub(crate) batches: Vec<(u64, BatchRow)>,
    pub(crate) sealed: Vec<(u64, SealedRow)>,
}

fn load(db: &Database) -> Result<Loaded, redb::Error> {
    let txn = db.begin_read()?;
    let meta = txn.open_table(META)?;
    let number = |name: &str| Ok::<_, redb::Error>(meta.get(name)?.map_or(0, |row| row.value()));
    let counters =
        Counters { next_file: number("next_file")?, next_object: number("next_object")?, touch: number("touch")? };
    let ledger = txn.open_table(BLOBS)?.get("ledger")?.map_or_else(Vec::new, |row| row.value().to_vec());
    let mut loaded = Loaded { counters, ledger, inputs: Vec::new(), batches: Vec::new(), sealed: Vec::new() };
    for row in txn.open_table(INPUTS)?.iter()? {
        let (input, position) = row?;
        loaded.inputs.push((input.value(), position.value().to_vec()));
    }
    for row in txn.open_table(BATCHES)?.iter()? {
        let (file_no, batch) = row?;
        loaded.batches.push((file_no.value(), parse(batch.value())?));
    }
    for row in txn.open_table(SEALED)?.iter()? {
        let (object_no, object) = row?;
        loaded.sealed.push((object_no.value(), parse(object.value())?));
    }
    Ok(loaded)
}

/// Makes the tables of a new database.
pub(crate) fn initialise(db: &Database) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    txn.open_table(META)?.insert("format", FORMAT)?;
    txn.open_table(BLOBS)?;
    txn.open_table(INPUTS)?;
    txn.open_table(OPEN)?;
    txn.open_table(OPEN_IDS)?;
    txn.open_table(CHUNKS)?;
    txn.open_table(SEEN[0])?;
    txn.open_table(SEEN[1])?;
    txn.open_table(BATCHES)?;
    txn.open_table(TAILS)?;
    txn.open_table(SEALED)?;
    txn.commit()?;
    Ok(())
}

/// The format of a database, where it has one.
pub(crate) fn format_of(db: &Database) -> Result<Option<u64>, redb::Error> {
    match db.begin_read()?.open_table(META) {
        Ok(meta) => Ok(meta.get("format")?.map(|row| row.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

pub(crate) fn failed(path: &Path, source: redb::Error) -> StateError {
    match source {
        redb::Error::Corrupted(detail) => StateError::Torn { path: path.to_owned(), detail },
        source => StateError::Database { path: path.to_owned(), source: Box::new(source) },
    }
}

fn json<T: serde::Serialize>(row: &T) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(row).map_err(|error| redb::Error::Io(error.into()))
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(row: &[u8]) -> Result<T, redb::Error> {
    serde_json::from_slice(row).map_err(|error| redb::Error::Corrupted(format!("a row does not parse: {error}")))
}
