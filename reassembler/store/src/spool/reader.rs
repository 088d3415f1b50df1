//! Reading the committed state from other threads.

use std::path::PathBuf;
use std::sync::Arc;

use redb::{Database, ReadableDatabase};

use super::rows::{OPEN, SEALED, SEEN, SealedRow, pack_id};
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
}

impl std::fmt::Debug for StateReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateReader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl StateReader {
    pub(crate) fn new(db: Arc<Database>, path: PathBuf, spool_dir: PathBuf) -> Self {
        Self { db, path, spool_dir }
    }

    /// What was remembered with a stored id; `None` where the id is not known (or so old that its generation is gone).
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn seen(&self, id: &str) -> Result<Option<Vec<u8>>, StateError> {
        let key = pack_id(id);
        self.read(|db| {
            let txn = db.begin_read()?;
            for table in SEEN {
                if let Some(value) = txn.open_table(table)?.get(&key[..])? {
                    return Ok(Some(value.value().to_vec()));
                }
            }
            Ok(None)
        })
    }

    /// The rows of one open capture, in order.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn open_rows(&self, capture: u64) -> Result<Vec<(u32, Vec<u8>)>, StateError> {
        self.read(|db| {
            let mut rows = Vec::new();
            for row in db.begin_read()?.open_table(OPEN)?.range((capture, 0)..=(capture, u32::MAX))? {
                let (key, value) = row?;
                rows.push((key.value().1, value.value().to_vec()));
            }
            Ok(rows)
        })
    }

    /// Shows every row of every open capture, by capture and row, one at a time: they may be more than memory holds.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn for_each_open(&self, mut see: impl FnMut(u64, u32, &[u8])) -> Result<(), StateError> {
        self.read(|db| {
            for row in db.begin_read()?.open_table(OPEN)?.range((0, 0)..)? {
                let (key, value) = row?;
                let (capture, row) = key.value();
                see(capture, row, value.value());
            }
            Ok(())
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
                let object = row.to_object(no.value(), &self.spool_dir);
                objects.push(object.ok_or_else(|| redb::Error::Corrupted("a sealed object's hash is not one".into()))?);
            }
            Ok(objects)
        })
    }
}
