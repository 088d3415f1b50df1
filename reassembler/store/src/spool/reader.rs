//! Reading the committed state from other threads.

use std::path::PathBuf;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable};

use super::known::KnownIds;
use super::rows::{CHUNKS, OPEN, OPEN_IDS, SEALED, SEEN, SealedRow};
use super::state::{failed, parse};
use crate::error::StateError;
use crate::object::SealedObject;
use crate::upload::SealedQueue;

/// Sees what is committed, and only that; cheap to clone, and usable from any thread while the spool works. A spool cannot be opened
/// anew in the same process while a reader of the old one lives.
#[derive(Clone)]
pub struct StateReader {
    db: Arc<Database>,
    path: PathBuf,
    spool_dir: PathBuf,
    run: u64,
    known: KnownIds,
}

/// What is known of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownId {
    /// Nothing (or its generation of stored ids is gone).
    Unknown,
    /// It was stored, and this was remembered with it.
    Seen(Vec<u8>),
    /// It is open.
    Open {
        /// The capture's number.
        capture: u64,
        /// The capture's row.
        row: Vec<u8>,
    },
}

impl std::fmt::Debug for StateReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateReader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl StateReader {
    pub(crate) fn new(db: Arc<Database>, path: PathBuf, spool_dir: PathBuf, run: u64, known: KnownIds) -> Self {
        Self { db, path, spool_dir, run, known }
    }

    /// What is known of an id: whether a capture with it is open, or was stored. Of one that is new the database is seldom asked.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn lookup(&self, id: &[u8]) -> Result<KnownId, StateError> {
        let (may_be_open, may_be_seen) = self.known.may_know(id);
        if !may_be_open && !may_be_seen {
            return Ok(KnownId::Unknown);
        }
        self.read(|db| {
            let txn = db.begin_read()?;
            if may_be_open && let Some(capture) = txn.open_table(OPEN_IDS)?.get(id)?.map(|number| number.value()) {
                return match txn.open_table(OPEN)?.get(capture)? {
                    Some(row) => Ok(KnownId::Open { capture, row: row.value().to_vec() }),
                    None => Err(redb::Error::Corrupted(format!("open capture {capture} has an id and no row"))),
                };
            }
            for table in SEEN.into_iter().filter(|_| may_be_seen) {
                if let Some(value) = txn.open_table(table)?.get(id)? {
                    return Ok(KnownId::Seen(value.value().to_vec()));
                }
            }
            Ok(KnownId::Unknown)
        })
    }

    /// The row of an open capture.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn open_capture(&self, capture: u64) -> Result<Option<Vec<u8>>, StateError> {
        self.read(|db| Ok(db.begin_read()?.open_table(OPEN)?.get(capture)?.map(|row| row.value().to_vec())))
    }

    /// A chunk of an open capture.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn open_chunk(&self, capture: u64, key: u64) -> Result<Option<Vec<u8>>, StateError> {
        self.read(|db| Ok(db.begin_read()?.open_table(CHUNKS)?.get((capture, key))?.map(|row| row.value().to_vec())))
    }

    /// The error of a capture whose row should be there and is not, or cannot be read.
    pub fn torn_capture(&self, capture: u64) -> StateError {
        StateError::Torn { path: self.path.clone(), detail: format!("open capture {capture} cannot be read") }
    }

    /// The error of a chunk that should be there and is not, or cannot be read.
    pub fn torn_chunk(&self, capture: u64, seq: u32) -> StateError {
        StateError::Torn {
            path: self.path.clone(),
            detail: format!("chunk {seq} of open capture {capture} is missing"),
        }
    }

    /// The numbers of all open captures, ascending.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn open_captures(&self) -> Result<Vec<u64>, StateError> {
        self.read(|db| {
            let mut numbers = Vec::new();
            for row in db.begin_read()?.open_table(OPEN)?.iter()? {
                numbers.push(row?.0.value());
            }
            Ok(numbers)
        })
    }

    fn read<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StateError> {
        work(&self.db).map_err(|source| failed(&self.path, source))
    }
}

impl SealedQueue for StateReader {
    fn after(&self, object_no: Option<u64>, limit: usize) -> Result<Vec<SealedObject>, StateError> {
        let first = object_no.map_or(0, |no| no.saturating_add(1));
        self.read(|db| {
            let mut objects = Vec::new();
            for row in db.begin_read()?.open_table(SEALED)?.range(first..)?.take(limit) {
                let (no, value) = row?;
                let row: SealedRow = parse(value.value())?;
                let object = row.to_object(no.value(), &self.spool_dir, self.run);
                objects.push(object.ok_or_else(|| redb::Error::Corrupted("a sealed object's hash is not one".into()))?);
            }
            Ok(objects)
        })
    }
}
