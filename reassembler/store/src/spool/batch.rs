//! One open batch: its finished blocks lie in its spool file (or are on their way there), its unfinished block in memory and in the
//! database.
//!
//! The unfinished block is `rows of the database ++ memory`, overlapping:
//!
//! ```text
//! |<------- parked ------->|<------------- tail ------------->|
//! |  only in the database  |  saved (both)  |  only in memory |
//! |<---------- rows, in order ------------->|
//! ```
//!
//! A commit saves what is only in memory; a short memory parks the whole tail. Neither changes where a block ends.

use reassemble_formats::layout::{BatchEncoding, Partition};

use super::rows::{BatchRow, EncodingName};
use super::state::State;
use crate::error::StateError;

/// Room that is kept for a line, in bytes; a longer one finds its own.
pub(crate) const LINE_BYTES: usize = 16 << 10;
/// The buffer of a batch that has few lines, in bytes at most.
const SMALL_BYTES: usize = 2 * LINE_BYTES;
/// Lines go to the database in rows of so many bytes: with its page's head a row fills a page, and the database holds few pages at once.
const ROW_BYTES: usize = 60 << 10;

pub(crate) struct OpenBatch {
    pub(crate) file_no: u64,
    pub(crate) partition: Partition,
    pub(crate) encoding: BatchEncoding,
    pub(crate) first_ts_us: i64,
    pub(crate) stored_bytes: u64,
    pub(crate) crc32: u32,
    pub(crate) plain_bytes: u64,
    pub(crate) lines: u64,
    pub(crate) opened_us: Option<i64>,
    pub(crate) touch: u64,
    /// Differs from its committed row.
    pub(crate) changed: bool,
    /// Among those that are asked first for their memory.
    pub(crate) resident: bool,
    /// Of all that is in the spool file; nothing where this process has not written all of it.
    pub(crate) hash: Option<Box<blake3::Hasher>>,
    parked: usize,
    tail: Vec<u8>,
    saved: usize,
    rows: u32,
}

impl OpenBatch {
    pub(crate) fn new(file_no: u64, partition: Partition, encoding: BatchEncoding, first_ts_us: i64) -> Self {
        Self {
            file_no,
            partition,
            encoding,
            first_ts_us,
            stored_bytes: 0,
            crc32: 0,
            plain_bytes: 0,
            lines: 0,
            opened_us: None,
            touch: 0,
            changed: true,
            resident: false,
            hash: None,
            parked: 0,
            tail: Vec::new(),
            saved: 0,
            rows: 0,
        }
    }

    /// The batch of a committed row; its unfinished block stays in the database. `None` where the row is not one.
    pub(crate) fn restore(file_no: u64, row: &BatchRow) -> Option<Self> {
        Some(Self {
            stored_bytes: row.stored_bytes,
            crc32: row.crc32,
            plain_bytes: row.plain_bytes,
            lines: row.lines,
            opened_us: row.opened_us,
            touch: row.touch,
            changed: false,
            parked: usize::try_from(row.tail_bytes).ok()?,
            rows: row.tail_rows,
            ..Self::new(file_no, row.partition.parse().ok()?, row.encoding.into(), row.first_ts_us)
        })
    }

    pub(crate) fn to_row(&self) -> BatchRow {
        BatchRow {
            partition: self.partition.to_string(),
            encoding: EncodingName::from(self.encoding),
            first_ts_us: self.first_ts_us,
            stored_bytes: self.stored_bytes,
            crc32: self.crc32,
            plain_bytes: self.plain_bytes,
            lines: self.lines,
            opened_us: self.opened_us,
            touch: self.touch,
            tail_rows: self.rows,
            tail_bytes: (self.parked + self.saved) as u64,
        }
    }

    /// Bytes of the unfinished block.
    pub(crate) fn block_bytes(&self) -> usize {
        self.parked + self.tail.len()
    }

    /// Bytes of it that memory holds.
    pub(crate) fn held_bytes(&self) -> usize {
        self.tail.len()
    }

    /// Lets a line be written behind the others, and gives it a newline where it has none; a batch without a buffer takes a spare one. A block is full at `full_bytes`.
    /// Returns the bytes that it took.
    pub(crate) fn push(
        &mut self,
        write: &mut dyn FnMut(&mut Vec<u8>),
        full_bytes: usize,
        spares: &mut Vec<Vec<u8>>,
    ) -> usize {
        if self.tail.capacity() == 0 {
            self.tail = spares.pop().unwrap_or_default();
        }
        let room = self.tail.capacity() - self.tail.len();
        if room < LINE_BYTES && (SMALL_BYTES..full_bytes).contains(&self.tail.capacity()) {
            // A few lines take little; what goes on becomes a block, and has its room at once: grown step by step it would leave holes of every size
            // in the heap, and end at up to twice its size. Pages that are not written to take no memory.
            self.tail.reserve_exact(full_bytes + LINE_BYTES - self.tail.len());
        }
        let before = self.tail.len();
        write(&mut self.tail);
        debug_assert!(self.tail.len() >= before, "a line took lines before it away");
        if self.tail.len() <= before || self.tail.last() != Some(&b'\n') {
            self.tail.push(b'\n');
        }
        let taken = self.tail.len() - before;
        self.plain_bytes += taken as u64;
        self.lines += 1;
        self.changed = true;
        taken
    }

    /// Writes what is only in memory to the database.
    pub(crate) fn save(&mut self, state: &mut State) -> Result<(), StateError> {
        for row in self.tail[self.saved..].chunks(ROW_BYTES) {
            state.put_tail(self.file_no, self.rows, row)?;
            self.rows += 1;
            self.saved += row.len();
            self.changed = true;
        }
        Ok(())
    }

    /// Leaves the unfinished block to the database; returns the bytes of memory that this frees.
    pub(crate) fn park(&mut self, state: &mut State) -> Result<usize, StateError> {
        self.save(state)?;
        let freed = self.tail.len();
        self.parked += freed;
        self.tail = Vec::new();
        self.saved = 0;
        Ok(freed)
    }

    /// Takes the unfinished block out: all of it, or where more than a block of `block_bytes` has gathered, its first block, which ends
    /// after the line that reaches that. The database forgets it with the next commit.
    pub(crate) fn take_block(&mut self, state: &mut State, block_bytes: usize) -> Result<Vec<u8>, StateError> {
        let mut block = if self.parked == 0 {
            std::mem::take(&mut self.tail)
        } else {
            let mut block = Vec::with_capacity(self.block_bytes());
            state.read_tail(self.file_no, &mut block)?;
            if block.len() != self.parked + self.saved {
                let (have, want) = (block.len(), self.parked + self.saved);
                let detail = format!("batch {} has {have} bytes of lines, not {want}", self.file_no);
                return Err(StateError::Torn { path: state.path().to_owned(), detail });
            }
            block.extend_from_slice(&std::mem::take(&mut self.tail)[self.saved..]);
            block
        };
        if self.rows > 0 {
            state.clear_tail(self.file_no)?;
        }
        (self.parked, self.saved, self.rows) = (0, 0, 0);
        self.changed = true;
        let reaches = block_bytes.max(1) - 1;
        if let Some(end) = block.get(reaches..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let end = reaches + end + 1;
            if end < block.len() {
                self.tail = block.split_off(end);
            }
        }
        Ok(block)
    }

    /// Puts blocks back that were taken out and could not be written.
    pub(crate) fn put_back(&mut self, state: &mut State, mut blocks: Vec<u8>) -> Result<(), StateError> {
        blocks.extend_from_slice(&self.take_block(state, usize::MAX)?);
        self.tail = blocks;
        Ok(())
    }

    /// So much more is in the spool file now.
    pub(crate) fn wrote(&mut self, stored: &[u8]) {
        let mut crc = crc32fast::Hasher::new_with_initial_len(self.crc32, self.stored_bytes);
        crc.update(stored);
        self.crc32 = crc.finalize();
        if let Some(hash) = &mut self.hash {
            hash.update(stored);
        }
        self.stored_bytes += stored.len() as u64;
        self.changed = true;
    }
}
