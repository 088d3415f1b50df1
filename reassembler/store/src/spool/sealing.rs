//! From batches to objects: which batch a line opens, and how a batch ends.
//!
//! Everything here is decided by the appended lines alone; see the invariants of the [parent](super).

use std::os::unix::fs::MetadataExt;

use reassemble_formats::layout::{self, Partition};

use super::batch::OpenBatch;
use super::rows::{SealedRow, Written};
use super::{Spool, files};
use crate::checksum::{ContentHash, checksum};
use crate::error::{DamagedFile, StateError};
use crate::object::{ObjectKind, SealedObject};

impl Spool {
    pub(super) fn open_batch(&mut self, partition: &Partition, ts_us: i64) -> Result<u64, StateError> {
        while self.batches.len() >= self.config.max_open_batches.max(1) {
            let batches = &self.batches;
            let coldest = self.recent.pop(|file_no| batches.get(&file_no).map(|batch| batch.touch));
            let Some(coldest) = coldest else { return Err(StateError::Stopped) };
            let touch = self.batches.get(&coldest).map_or(0, |batch| batch.touch);
            self.seal(coldest).inspect_err(|_| self.recent.add(touch, coldest))?;
        }
        let file_no = self.next_file();
        let encoding = self.config.compression.encoding();
        self.batches.insert(file_no, OpenBatch::new(file_no, partition.clone(), encoding, ts_us));
        self.by_partition.insert(partition.clone(), file_no);
        self.recent.add(0, file_no);
        let batches = &self.batches;
        for coldest in [&mut self.recent, &mut self.resident] {
            coldest.prune(batches.len(), |file_no| batches.contains_key(&file_no));
        }
        Ok(file_no)
    }

    /// Seals batches; their last blocks are compressed beside each other.
    pub(super) fn seal_all(&mut self, file_nos: &[u64]) -> Result<(), StateError> {
        for &file_no in file_nos {
            self.start_blocks(file_no)?;
            self.land(self.compressors.depth())?;
        }
        file_nos.iter().try_for_each(|&file_no| self.seal(file_no))
    }

    fn start_blocks(&mut self, file_no: u64) -> Result<(), StateError> {
        while self.batches.get(&file_no).is_some_and(|batch| batch.block_bytes() > 0) {
            self.start_block(file_no)?;
        }
        Ok(())
    }

    /// Ends a batch: its last block, its hash, its key.
    pub(super) fn seal(&mut self, file_no: u64) -> Result<(), StateError> {
        self.start_blocks(file_no)?;
        self.land(0)?;
        let Some(mut batch) = self.batches.remove(&file_no) else { return Ok(()) };
        self.by_partition.remove(&batch.partition);
        let hash = match batch.hash.take() {
            Some(hash) => {
                self.hashes -= 1;
                *hash.finalize().as_bytes()
            }
            None => self.hash_of_file(&batch)?,
        };
        let name = layout::batch_name(batch.first_ts_us, &hash, batch.encoding);
        let file = files::part_name(file_no);
        let row = SealedRow {
            body: false,
            key: format!("{}{name}", batch.partition),
            bytes: batch.stored_bytes,
            hash: layout::hex(&hash),
            crc32: batch.crc32,
            lines: batch.lines,
            written: self.written(&file)?,
            file,
        };
        self.state.remove_batch(file_no)?;
        self.add_sealed(&row, hash, ObjectKind::Batch)
    }

    /// The hash of a batch's file that another process began, or that was one of too many.
    fn hash_of_file(&self, batch: &OpenBatch) -> Result<[u8; 32], StateError> {
        let path = self.files.part(batch.file_no);
        let sum = checksum(&path, ContentHash::of(ObjectKind::Batch)).map_err(StateError::write("read", &path))?;
        if (sum.bytes, sum.crc32) != (batch.stored_bytes, batch.crc32) {
            let damage = sum.damage(batch.stored_bytes);
            let key = batch.partition.to_string();
            return Err(StateError::Damaged { files: vec![DamagedFile { path, damage, key, lines: batch.lines }] });
        }
        Ok(sum.hash)
    }

    /// When a file that is finished was written last.
    pub(super) fn written(&self, file: &str) -> Result<Option<Written>, StateError> {
        let path = self.files.path(file);
        let metadata = std::fs::metadata(&path).map_err(StateError::write("look at", &path))?;
        Ok(Some(Written { run: self.run, s: metadata.mtime(), ns: metadata.mtime_nsec() }))
    }

    pub(super) fn add_sealed(&mut self, row: &SealedRow, hash: [u8; 32], kind: ObjectKind) -> Result<(), StateError> {
        let object_no = self.counters.next_object;
        self.counters.next_object += 1;
        self.state.put_sealed(object_no, row)?;
        let path = self.files.path(&row.file);
        self.sealed.push(SealedObject {
            object_no,
            kind,
            key: row.key.clone(),
            path,
            bytes: row.bytes,
            lines: row.lines,
            hash,
            crc32: row.crc32,
            written: row.written.map(|written| written.time()),
        });
        Ok(())
    }
}
