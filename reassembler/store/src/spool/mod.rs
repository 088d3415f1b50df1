//! The spool: exchanges on the local disk between the assembler and a destination, exactly once over crashes.
//!
//! # On disk, in the state directory
//! - `lock`: held with flock while a spool is open; holds the process id.
//! - `state.redb`: the database ([`rows`]).
//! - `spool/<n>.part`: a batch's finished blocks, each a gzip member, a zstd frame or the lines as they are; `spool/<n>.body`: a large body.
//! - `quarantine/`: what was damaged and set aside on request.
//!
//! # How it works
//! [`Spool::append`] puts a line into its partition's open batch. A block that is full goes to the compressors, at most a few at a time, and
//! from there, in order, behind the batch's file; a batch that is full, old, or least recently used where too many are open is
//! *sealed*: its last block is written, and its key made from the hash of its bytes. The hash runs along while the file is written; where
//! a restart came between, the file is read once for it (so no hash state has to survive) and checked against the CRC-32 kept since its
//! first block. Lines that are not compressed are written straight from where they were put.
//! [`Spool::commit`] waits for the blocks under way, fsyncs the files, then commits one transaction: positions, open captures, ids, ledger, batches with their
//! committed lengths, the lines of unfinished blocks, and sealed objects. Whoever appends need not wait for the disk meanwhile
//! ([`Spool::begin_commit`]).
//!
//! # What always holds
//! - Blocks, and the batches that size and number seal, depend on the appended lines alone, never on when commits happened. So the
//!   same appends after a crash give byte-equal objects.
//! - Files are never longer than committed after an open; a shorter or missing one is an error that names what is lost.
//! - After an error that is not [`StateError::is_retryable`], every call answers [`StateError::Stopped`]: nothing is built on a write
//!   that may not have happened. Opening anew goes back to the last commit.

mod batch;
mod blocks;
mod body;
mod coldest;
mod commit;
mod committer;
mod compressors;
mod config;
mod encoder;
mod files;
mod known;
mod reader;
mod recovery;
mod rows;
mod sealing;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::path::PathBuf;

use reassemble_formats::layout::{self, Partition};

pub use self::body::BodyWriter;
pub use self::config::{Compression, SpoolConfig};
pub(crate) use self::encoder::Encoder;
pub(crate) use self::files::sync_dir;
pub use self::reader::{KnownId, StateReader};
pub use self::recovery::{Restored, is_opening_state};

use self::batch::OpenBatch;
use self::coldest::Coldest;
use self::commit::Committing;
use self::compressors::{Compressors, Flight};
use self::files::SpoolFiles;
use self::rows::SealedRow;
use self::state::{Counters, State};
use crate::error::StateError;
use crate::object::{BodyRef, ObjectKind, SealedObject};

/// What the caller adds to a commit, all of one instant with the appends before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Positions of inputs, opaque; `None` forgets one.
    pub inputs: Vec<(u64, Option<Vec<u8>>)>,
    /// Rows of open captures.
    pub open: OpenRows,
    /// Ids of exchanges that are stored, as keys, with what is remembered of each.
    pub seen: Vec<(Vec<u8>, Vec<u8>)>,
    /// The loss ledger; empty: unchanged.
    pub ledger: Vec<u8>,
}

/// What changed among the rows of open captures. A capture has a number and, as the key by which it is found, an id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenRows {
    /// Captures (number, id) whose rows go; applied before the others.
    pub remove: Vec<(u64, Vec<u8>)>,
    /// Captures: number, id, content of the capture's own row.
    pub captures: Vec<(u64, Vec<u8>, Vec<u8>)>,
    /// Chunks: number of the capture, key within it, content.
    pub chunks: Vec<(u64, u64, Vec<u8>)>,
}

impl OpenRows {
    /// True where there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.captures.is_empty() && self.chunks.is_empty()
    }
}

impl Changes {
    /// True where there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.open.is_empty() && self.seen.is_empty() && self.ledger.is_empty()
    }
}

/// Exchanges on the local disk, exactly once over crashes. Blocking; belongs to one thread.
pub struct Spool {
    config: SpoolConfig,
    state: State,
    files: SpoolFiles,
    compressors: Compressors,
    /// Blocks that are being compressed, or wait for their turn to be written: file number and block, oldest first.
    flights: VecDeque<(u64, Flight)>,
    batches: HashMap<u64, OpenBatch>,
    by_partition: HashMap<Partition, u64>,
    recent: Coldest,
    /// Of the batches that hold lines in memory.
    resident: Coldest,
    /// Bytes of lines in memory.
    held_bytes: usize,
    /// Batches whose hash runs along.
    hashes: usize,
    counters: Counters,
    /// Batches that may have a block to be compressed, or should have been sealed but for a full disk. They come before everything else.
    debts: Vec<u64>,
    /// A block was not written because the disk is full.
    refused: bool,
    /// Sealed since the last commit.
    sealed: Vec<SealedObject>,
    /// Spool files whose objects are stored; they go after the next commit.
    stored: Vec<(PathBuf, u64)>,
    /// What is to be done when the commit under way has ended.
    committing: Option<Committing>,
    spool_bytes: u64,
    stopped: bool,
    /// Drawn at each opening.
    run: u64,
    /// Buffers of blocks that are written, for the next that begin in memory.
    spares: Vec<Vec<u8>>,
    /// Held until the end; declared last, so it goes last.
    _lock: File,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool")
            .field("state_dir", &self.config.state_dir)
            .field("open_batches", &self.batches.len())
            .field("spool_bytes", &self.spool_bytes)
            .finish_non_exhaustive()
    }
}

impl Spool {
    /// Opens the state directory, or makes one, and goes back to its last commit.
    ///
    /// # Errors
    /// Any [`StateError`]; each says what to do.
    pub fn open(config: SpoolConfig) -> Result<(Self, Restored), StateError> {
        recovery::open(config)
    }

    /// Puts one line (its newline may be missing) into its partition's batch; `ts_us` is its exchange's time.
    ///
    /// # Errors
    /// On [`StateError::DiskFull`] the line was not taken and may be offered again.
    pub fn append(&mut self, partition: &Partition, line: &[u8], ts_us: i64) -> Result<(), StateError> {
        self.append_with(partition, ts_us, &mut |out| {
            // Only a long line finds no room. Doubled for it, a block's buffer would stay that large.
            if out.capacity() - out.len() < line.len() && line.len() > batch::LINE_BYTES {
                out.reserve_exact(line.len() + 1);
            }
            out.extend_from_slice(line);
        })
    }

    /// The same for a line that is yet to be written: `write` puts it behind what the buffer holds, and touches nothing before it. It is
    /// called once, or not at all where there is an error.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_with(
        &mut self,
        partition: &Partition,
        ts_us: i64,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<(), StateError> {
        self.guarded(|spool| {
            spool.settle()?;
            let file_no = match spool.by_partition.get(partition) {
                Some(&file_no) => file_no,
                None => spool.open_batch(partition, ts_us)?,
            };
            let Some(batch) = spool.batches.get_mut(&file_no) else { return Err(StateError::Stopped) };
            let full_bytes = spool.config.full_block_bytes(batch.encoding);
            let taken = batch.push(write, full_bytes, &mut spool.spares);
            spool.held_bytes += taken;
            spool.spool_bytes += taken as u64;
            spool.counters.touch += u64::from(batch.touch != spool.counters.touch || batch.touch == 0);
            batch.touch = spool.counters.touch;
            if !std::mem::replace(&mut batch.resident, true) {
                spool.resident.add(batch.touch, file_no);
            }
            spool.debts.push(file_no);
            match spool.settle() {
                // The line is taken; the block is written before the next line is taken.
                Err(error) if error.is_retryable() => {}
                other => other?,
            }
            spool.make_room()
        })
    }

    /// Begins a large body that comes in pieces.
    ///
    /// # Errors
    /// On [`StateError::DiskFull`] nothing was begun.
    pub fn body_writer(&mut self, partition: &Partition) -> Result<BodyWriter, StateError> {
        self.guarded(|spool| {
            spool.files.disk.check_free(1)?;
            let file_no = spool.next_file();
            let path = spool.files.path(&files::body_name(file_no));
            let file = spool.files.create(&path)?;
            Ok(BodyWriter::new(file_no, partition.clone(), path, file, spool.files.disk.clone()))
        })
    }

    /// Appends a piece to a large body.
    ///
    /// # Errors
    /// On [`StateError::DiskFull`] the piece was not taken and may be offered again.
    pub fn write_body(&mut self, writer: &mut BodyWriter, piece: &[u8]) -> Result<(), StateError> {
        self.guarded(|_| writer.write(piece))
    }

    /// Ends a large body; it is an object from the next commit on. Call this before the append of the line that refers to it.
    ///
    /// # Errors
    /// Where its file cannot be written.
    pub fn finish_body(&mut self, writer: BodyWriter) -> Result<BodyRef, StateError> {
        self.guarded(|spool| {
            let (file_no, partition, path) = (writer.file_no, writer.partition.clone(), writer.path.clone());
            let body = writer.finish()?;
            spool.files.touch(path, body.file)?;
            let key = format!("{partition}{}", layout::body_name(&body.sha256));
            let row = SealedRow {
                file: files::body_name(file_no),
                body: true,
                key: key.clone(),
                bytes: body.bytes,
                hash: layout::hex(&body.sha256),
                crc32: body.crc32,
                lines: 0,
                written: spool.written(&files::body_name(file_no))?,
            };
            spool.spool_bytes += body.bytes;
            spool.add_sealed(&row, body.sha256, ObjectKind::Body)?;
            Ok(BodyRef { key, sha256: row.hash, bytes: body.bytes })
        })
    }

    /// Seals batches of the configured age. `now_us` is the time in microseconds since the epoch; batches that no call has seen yet
    /// are as old as this call.
    ///
    /// # Errors
    /// On [`StateError::DiskFull`] some may be sealed; call again.
    pub fn roll_due(&mut self, now_us: i64) -> Result<(), StateError> {
        let age_us = i64::try_from(self.config.batch_age.as_micros()).unwrap_or(i64::MAX);
        let mut due = Vec::new();
        for batch in self.batches.values_mut() {
            // A clock that was set back must not make a batch wait for it to come round again.
            let opened_us = batch.opened_us.map_or(now_us, |opened_us| opened_us.min(now_us));
            if batch.opened_us != Some(opened_us) {
                batch.opened_us = Some(opened_us);
                batch.changed = true;
            }
            if now_us.saturating_sub(opened_us) >= age_us {
                due.push(batch.file_no);
            }
        }
        due.sort_unstable();
        self.guarded(|spool| spool.seal_all(&due))
    }

    /// Seals every batch.
    ///
    /// # Errors
    /// On [`StateError::DiskFull`] some may be sealed; call again.
    pub fn roll_all(&mut self) -> Result<(), StateError> {
        let mut all: Vec<u64> = self.batches.keys().copied().collect();
        all.sort_unstable();
        self.guarded(|spool| spool.seal_all(&all))
    }

    /// Says that a destination has an object. The next commit forgets it, and then its spool file goes. Gives the number
    /// of exchanges that the object holds; nothing where the object is not known.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub fn mark_stored(&mut self, object_no: u64) -> Result<Option<u64>, StateError> {
        self.guarded(|spool| match spool.state.remove_sealed(object_no)? {
            Some(row) => {
                spool.stored.push((spool.files.path(&row.file), row.bytes));
                Ok(Some(row.lines))
            }
            None => Ok(None),
        })
    }

    /// Bytes that the spool holds: files, and lines not yet in one. What [`Spool::mark_stored`] was told goes with its commit.
    pub fn spool_bytes(&self) -> u64 {
        self.spool_bytes
    }

    /// Batches that are open.
    pub fn open_batches(&self) -> usize {
        self.batches.len()
    }

    /// Bytes of lines of unfinished blocks that memory holds; at most `pending_bytes`, and one line more within an append. Beside them a few
    /// blocks may be on their way through the compressors.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Reads the committed state from other threads.
    pub fn reader(&self) -> StateReader {
        let (db, path) = (self.state.database(), self.state.path().to_owned());
        StateReader::new(db, path, self.files.dir().to_owned(), self.run, self.state.known())
    }

    /// Runs one operation; an error that cannot be waited out stops the spool for good.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, StateError>) -> Result<T, StateError> {
        if self.stopped {
            return Err(StateError::Stopped);
        }
        let outcome = work(self);
        if let Err(error) = &outcome {
            self.stopped = !error.is_retryable();
        }
        outcome
    }

    fn next_file(&mut self) -> u64 {
        let file_no = self.counters.next_file;
        self.counters.next_file += 1;
        file_no
    }
}
