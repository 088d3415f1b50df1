//! A body that is too long to be held: its pieces in order, each in memory or in a row on disk.

use reassemble_formats::{Chunk, Part};

use crate::chunks::Chunks;

/// The pieces of a part's contiguous start. Rows that it names exist until the commit that follows the exchange.
#[derive(Debug, PartialEq)]
pub struct Pieces {
    capture: u64,
    part: Part,
    run: u32,
    in_memory: Chunks,
}

/// Where a chunk is.
#[derive(Debug, PartialEq)]
pub enum Stored<'p> {
    /// Here.
    Memory(&'p Chunk),
    /// In the row [`chunk_row`](crate::chunk_row) of a capture.
    Row {
        /// The capture's number.
        capture: u64,
        /// The part.
        part: Part,
        /// The chunk's number within it.
        seq: u32,
    },
}

impl Pieces {
    pub(crate) fn new(capture: u64, part: Part, run: u32, mut chunks: Chunks) -> Self {
        drop(chunks.split_off(run));
        Pieces { capture, part, run, in_memory: chunks }
    }

    /// How many chunks there are.
    pub fn count(&self) -> u32 {
        self.run
    }

    /// Where a chunk is; nothing behind the last.
    pub fn get(&self, seq: u32) -> Option<Stored<'_>> {
        if seq >= self.run {
            return None;
        }
        Some(match self.in_memory.get(seq) {
            Some(chunk) => Stored::Memory(chunk),
            None => Stored::Row { capture: self.capture, part: self.part, seq },
        })
    }

    /// Bytes of the pieces that are in memory.
    pub fn memory_bytes(&self) -> usize {
        self.in_memory.iter().map(crate::capture::chunk_bytes).sum()
    }
}
