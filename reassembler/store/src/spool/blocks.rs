//! Blocks on their way from memory to the spool file.
//!
//! ```text
//! unfinished block ─► take_block ─► compressors ─► flights (in order) ─► land: written at its offset
//!                                └► plain lines ──────────────────────────►
//! ```
//!
//! What is in flight keeps its lines until it is written. So a full disk loses nothing: the blocks are put back in front of their batch's
//! lines, a commit saves them as rows, and where they end is found again from the lines.

use std::collections::BTreeMap;

use reassemble_formats::layout::BatchEncoding;

use super::Spool;
use super::compressors::{Encoded, Flight};
use crate::error::StateError;

/// Uncompressed lines that a commit writes to their file; fewer are cheaper as a row, where many batches have a few.
const LEAST_PLAIN_BYTES: usize = 16 << 10;
/// Smaller blocks are compressed at once: to wake a thread for one takes longer.
const LEAST_FLIGHT_BYTES: usize = 32 << 10;
/// Buffers of blocks that are kept. There are as many as were needed at once; given back, they would leave holes in the heap, which smaller
/// things fill, and the next would have to be made behind them.
const MOST_SPARES: usize = 4;
/// Batches whose hash runs along; each takes 2 KB of memory. The files of others are read once when they are sealed.
const MOST_HASHES: usize = 256;

impl Spool {
    /// Whether a batch has a full block, or is full itself.
    pub(super) fn is_due(&self, file_no: u64) -> bool {
        self.batches.get(&file_no).is_some_and(|batch| {
            batch.plain_bytes >= self.config.batch_bytes
                || batch.block_bytes() >= self.config.full_block_bytes(batch.encoding)
        })
    }

    /// Does what is due for every batch that was appended to, and what a full disk kept from being done.
    pub(super) fn settle(&mut self) -> Result<(), StateError> {
        while let Some(&file_no) = self.debts.last() {
            match self.batches.get(&file_no) {
                Some(batch) if batch.plain_bytes >= self.config.batch_bytes => self.seal(file_no)?,
                Some(batch) if batch.block_bytes() >= self.config.full_block_bytes(batch.encoding) => {
                    self.start_block(file_no)?;
                    self.refused = !self.flights.is_empty();
                    continue;
                }
                _ => {}
            }
            self.debts.pop();
        }
        if self.refused {
            self.land(self.compressors.depth())?;
            self.refused = false;
        }
        Ok(())
    }

    /// Begins to compress a batch's (first) block; plain lines are written at once.
    ///
    /// A full disk is met before anything is changed.
    pub(super) fn start_block(&mut self, file_no: u64) -> Result<(), StateError> {
        self.files.disk.check_free(1)?;
        let Some(batch) = self.batches.get_mut(&file_no) else { return Ok(()) };
        let encoding = batch.encoding;
        let held = batch.held_bytes();
        let block_bytes = if encoding == BatchEncoding::Plain { usize::MAX } else { self.config.block_bytes };
        let block = batch.take_block(&mut self.state, block_bytes)?;
        self.held_bytes = self.held_bytes + batch.held_bytes() - held;
        if encoding == BatchEncoding::Plain {
            return match self.write(file_no, &block) {
                Ok(()) => {
                    self.keep_spare(block);
                    Ok(())
                }
                Err(error) => {
                    self.put_back_to(file_no, block)?;
                    Err(error)
                }
            };
        }
        let is_small = block.len() < LEAST_FLIGHT_BYTES.min(self.config.block_bytes);
        let depth = self.compressors.depth();
        let landed = self.land(depth).and_then(|()| {
            if self.flights.is_empty() {
                self.compressors.at_rest();
            }
            if is_small || self.under_way() < depth {
                return Ok(());
            }
            // The oldest makes room for this one.
            self.compressors.reinforce();
            self.land(depth.saturating_sub(1))
        });
        match landed {
            Err(error) if !error.is_retryable() => return Err(error),
            // What the disk refuses is told by whoever lands the rest.
            _ => {}
        }
        let flight = if self.under_way() < depth && !is_small {
            self.compressors.start(encoding, block)
        } else {
            Flight::Landed(self.compressors.encode(encoding, block))
        };
        self.flights.push_back((file_no, flight));
        Ok(())
    }

    /// Blocks that are being compressed.
    fn under_way(&self) -> usize {
        self.flights.iter().filter(|(_, flight)| matches!(flight, Flight::UnderWay(_))).count()
    }

    /// Writes the blocks that are compressed, in order, and waits for them while more than `most` are in flight.
    pub(super) fn land(&mut self, most: usize) -> Result<(), StateError> {
        while let Some((file_no, flight)) = self.flights.pop_front() {
            let ended = if self.flights.len() >= most {
                self.compressors.wait(flight).map(Flight::Landed)
            } else {
                self.compressors.poll(flight)
            };
            let encoded = match ended.map_err(|source| self.not_compressed(file_no, source))? {
                Flight::Landed(encoded) => encoded,
                under_way => {
                    self.flights.push_front((file_no, under_way));
                    return Ok(());
                }
            };
            let stored = encoded.stored.map_err(|source| self.not_compressed(file_no, source))?;
            if let Err(error) = self.write(file_no, &stored) {
                let encoded = Encoded { plain: encoded.plain, stored: Ok(stored) };
                self.flights.push_front((file_no, Flight::Landed(encoded)));
                return Err(error);
            }
            self.spool_bytes = self.spool_bytes - encoded.plain.len() as u64 + stored.len() as u64;
            self.keep_spare(encoded.plain);
            self.compressors.take_back(stored);
        }
        Ok(())
    }

    /// Puts everything in flight back to its batch, in order: the disk has no room for it.
    pub(super) fn put_back(&mut self) -> Result<(), StateError> {
        let mut blocks: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        while let Some((file_no, flight)) = self.flights.pop_front() {
            let encoded = self.compressors.wait(flight).map_err(|source| self.not_compressed(file_no, source))?;
            blocks.entry(file_no).or_default().extend_from_slice(&encoded.plain);
        }
        self.refused = false;
        blocks.into_iter().try_for_each(|(file_no, blocks)| self.put_back_to(file_no, blocks))
    }

    fn put_back_to(&mut self, file_no: u64, blocks: Vec<u8>) -> Result<(), StateError> {
        let Some(batch) = self.batches.get_mut(&file_no) else { return Ok(()) };
        let held = batch.held_bytes();
        batch.put_back(&mut self.state, blocks)?;
        self.held_bytes = self.held_bytes + batch.held_bytes() - held;
        if !std::mem::replace(&mut batch.resident, true) {
            self.resident.add(batch.touch, file_no);
        }
        if !self.debts.contains(&file_no) {
            self.debts.push(file_no);
        }
        Ok(())
    }

    /// Writes plain lines that have changed to their files, where they are more than a few: else they would be written to the database, and
    /// then again to the file.
    pub(super) fn write_plain(&mut self) -> Result<(), StateError> {
        let due = self.batches.values().filter(|batch| {
            batch.changed && batch.encoding == BatchEncoding::Plain && batch.block_bytes() >= LEAST_PLAIN_BYTES
        });
        let due: Vec<u64> = due.map(|batch| batch.file_no).collect();
        due.into_iter().try_for_each(|file_no| self.start_block(file_no))
    }

    /// Puts the coldest batches' lines away until there is room again, and then some, so that this is not done for every line.
    pub(super) fn make_room(&mut self) -> Result<(), StateError> {
        let limit = self.config.pending_bytes;
        if self.held_bytes <= limit {
            return Ok(());
        }
        while self.held_bytes > limit / 4 * 3 {
            let batches = &self.batches;
            let coldest = self.resident.pop(|file_no| batches.get(&file_no).map(|batch| batch.touch));
            let Some(file_no) = coldest else { break };
            let Some(batch) = self.batches.get_mut(&file_no) else { continue };
            batch.resident = false;
            if batch.encoding == BatchEncoding::Plain && batch.block_bytes() >= LEAST_PLAIN_BYTES {
                match self.start_block(file_no) {
                    Err(error) if error.is_retryable() => {}
                    other => {
                        other?;
                        continue;
                    }
                }
            }
            if let Some(batch) = self.batches.get_mut(&file_no) {
                self.held_bytes -= batch.park(&mut self.state)?;
            }
        }
        Ok(())
    }

    /// Writes bytes behind a batch's file.
    fn write(&mut self, file_no: u64, stored: &[u8]) -> Result<(), StateError> {
        let Some(batch) = self.batches.get_mut(&file_no) else { return Err(StateError::Stopped) };
        self.files.write_block(file_no, batch.stored_bytes, stored)?;
        if batch.stored_bytes == 0 && self.hashes < MOST_HASHES {
            batch.hash = Some(Box::default());
            self.hashes += 1;
        }
        batch.wrote(stored);
        Ok(())
    }

    /// Keeps a block's buffer for a later one, where it is none that a giant line made giant.
    fn keep_spare(&mut self, mut buffer: Vec<u8>) {
        if self.spares.len() < MOST_SPARES && buffer.capacity() <= self.config.block_bytes.saturating_mul(2) {
            buffer.clear();
            self.spares.push(buffer);
        }
    }

    fn not_compressed(&self, file_no: u64, source: std::io::Error) -> StateError {
        StateError::write("compress for", &self.files.part(file_no))(source)
    }
}
