//! From lines to objects: which batch is filled, when a block is compressed, and how a batch ends.
//!
//! Everything here is decided by the appended lines alone; see the invariants of the [parent](super).

use reassemble_formats::layout::{self, Partition};

use super::batch::OpenBatch;
use super::rows::SealedRow;
use super::{Spool, files};
use crate::checksum::checksum;
use crate::error::{DamagedFile, StateError};
use crate::object::{ObjectKind, SealedObject};

impl Spool {
    pub(super) fn open_batch(&mut self, partition: &Partition, ts_us: i64) -> Result<u64, StateError> {
        while self.batches.len() >= self.config.max_open_batches.max(1) {
            match self.recent.first_key_value() {
                Some((_, &coldest)) => self.seal(coldest)?,
                None => return Err(StateError::Stopped),
            }
        }
        let file_no = self.next_file();
        let encoding = self.config.compression.encoding();
        self.batches.insert(file_no, OpenBatch::new(file_no, partition.clone(), encoding, ts_us));
        self.by_partition.insert(partition.clone(), file_no);
        Ok(file_no)
    }

    /// Makes a batch the most recent one.
    pub(super) fn touch(&mut self, file_no: u64) {
        let Some(batch) = self.batches.get_mut(&file_no) else { return };
        if batch.touch != self.counters.touch || batch.touch == 0 {
            self.recent.remove(&batch.touch);
            self.resident.remove(&batch.touch);
            self.counters.touch += 1;
            batch.touch = self.counters.touch;
            self.recent.insert(batch.touch, file_no);
        }
        self.resident.insert(batch.touch, file_no);
    }

    /// Parks the coldest batches' lines until `bytes` more fit, and then some, so that this is not done for every line.
    pub(super) fn make_room(&mut self, bytes: usize) -> Result<(), StateError> {
        let limit = self.config.pending_bytes;
        if self.held_bytes + bytes <= limit {
            return Ok(());
        }
        while self.held_bytes + bytes > limit / 4 * 3 {
            let Some((_, file_no)) = self.resident.pop_first() else { break };
            if let Some(batch) = self.batches.get_mut(&file_no) {
                self.held_bytes -= batch.park(&mut self.state)?;
            }
        }
        Ok(())
    }

    pub(super) fn settle_debt(&mut self) -> Result<(), StateError> {
        let Some(file_no) = self.debt else { return Ok(()) };
        if let Some(batch) = self.batches.get(&file_no) {
            if batch.plain_bytes >= self.config.batch_bytes {
                self.seal(file_no)?;
            } else if batch.block_bytes() >= self.config.block_bytes {
                self.flush_block(file_no)?;
            }
        }
        self.debt = None;
        Ok(())
    }

    /// Compresses a batch's unfinished block into its file.
    fn flush_block(&mut self, file_no: u64) -> Result<(), StateError> {
        let Some(batch) = self.batches.get_mut(&file_no) else { return Ok(()) };
        let block_bytes = batch.block_bytes() as u64;
        let (encoding, encoder, out) = (batch.encoding, &mut self.encoder, &mut self.scratch);
        let path = self.files.part(file_no);
        out.clear();
        batch.with_block(&mut self.state, |block| {
            encoder.encode(encoding, block, out).map_err(StateError::write("compress for", &path))
        })?;
        self.files.write_block(file_no, batch.stored_bytes, out)?;
        self.held_bytes -= batch.finish_block(&mut self.state, out)?;
        self.spool_bytes = self.spool_bytes - block_bytes + out.len() as u64;
        self.resident.remove(&batch.touch);
        let mut spare = batch.take_buffer();
        spare.shrink_to(self.config.block_bytes * 2);
        self.spare = spare;
        // One giant line must not leave a giant buffer.
        out.shrink_to(self.config.block_bytes);
        Ok(())
    }

    /// Ends a batch: its last block, its hash, its key.
    pub(super) fn seal(&mut self, file_no: u64) -> Result<(), StateError> {
        if self.batches.get(&file_no).is_some_and(|batch| batch.block_bytes() > 0) {
            self.flush_block(file_no)?;
        }
        let Some(batch) = self.batches.remove(&file_no) else { return Ok(()) };
        self.by_partition.remove(&batch.partition);
        self.recent.remove(&batch.touch);
        self.resident.remove(&batch.touch);
        let path = self.files.part(file_no);
        let sum = checksum(&path).map_err(StateError::write("read", &path))?;
        if (sum.bytes, sum.crc32) != (batch.stored_bytes, batch.crc32) {
            let damage = sum.damage(batch.stored_bytes);
            let key = batch.partition.to_string();
            return Err(StateError::Damaged { files: vec![DamagedFile { path, damage, key, lines: batch.lines }] });
        }
        let name = layout::batch_name(batch.first_ts_us, &sum.sha256, batch.encoding);
        let row = SealedRow {
            file: files::part_name(file_no),
            body: false,
            key: format!("{}{name}", batch.partition),
            bytes: sum.bytes,
            sha256: layout::hex(&sum.sha256),
            crc32: sum.crc32,
            lines: batch.lines,
        };
        self.state.remove_batch(file_no)?;
        self.add_sealed(&row, sum.sha256, ObjectKind::Batch)
    }

    pub(super) fn add_sealed(&mut self, row: &SealedRow, sha256: [u8; 32], kind: ObjectKind) -> Result<(), StateError> {
        let object_no = self.counters.next_object;
        self.counters.next_object += 1;
        self.state.put_sealed(object_no, row)?;
        let path = self.files.path(&row.file);
        let key = row.key.clone();
        self.sealed.push(SealedObject {
            object_no,
            kind,
            key,
            path,
            bytes: row.bytes,
            lines: row.lines,
            sha256,
            crc32: row.crc32,
        });
        Ok(())
    }
}
