//! What is known of captures that are not open in memory: those closed since the last commit from memory, all others from the state.

use std::cell::Cell;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use reassemble_assembler::{Closed, Kept, Known, chunk_row};
use reassemble_formats::{CaptureId, Chunk, Part};
use reassemble_store::{KnownId, StateError, StateReader};

/// Captures that were closed, as rows: their ids' keys, and what is remembered of each.
pub(crate) type ClosedRows = Vec<(Vec<u8>, Vec<u8>)>;

/// The index. An error that it meets is kept until [`take_error`](Self::take_error): without it an exchange could be stored twice, so the run ends
/// before any commit.
pub(crate) struct Index {
    /// Closed since the changes for the last commit were taken.
    recent: HashMap<CaptureId, Closed, RandomState>,
    /// Closed before, by a commit that is under way.
    committing: HashMap<CaptureId, Closed, RandomState>,
    state: StateReader,
    failed: Cell<Option<StateError>>,
}

impl Index {
    pub(crate) fn new(state: StateReader) -> Self {
        Index { recent: HashMap::default(), committing: HashMap::default(), state, failed: Cell::new(None) }
    }

    /// A capture was closed.
    pub(crate) fn closed(&mut self, id: CaptureId, closed: Closed) {
        self.recent.insert(id, closed);
    }

    pub(crate) fn closed_since_commit(&self) -> usize {
        self.recent.len()
    }

    /// The captures that were closed, for the next commit.
    pub(crate) fn take_closed(&mut self) -> ClosedRows {
        let recent = std::mem::take(&mut self.recent);
        let rows = recent.iter().map(|(id, closed)| (id.key(), closed.to_bytes())).collect();
        if self.committing.is_empty() {
            self.committing = recent;
        } else {
            self.committing.extend(recent);
        }
        rows
    }

    /// The commit of what [`take_closed`](Self::take_closed) gave is done: the state knows it now.
    pub(crate) fn committed(&mut self) {
        self.committing = HashMap::default();
    }

    pub(crate) fn take_error(&mut self) -> Option<StateError> {
        self.failed.take()
    }

    /// The error of a capture whose row cannot be read.
    pub(crate) fn torn(&self, capture: u64) -> StateError {
        self.state.torn_capture(capture)
    }

    fn or_failed<T>(&self, result: Result<T, StateError>) -> Option<T> {
        result.map_err(|error| self.failed.set(Some(error))).ok()
    }
}

impl Kept for Index {
    fn lookup(&self, id: &CaptureId) -> Known {
        if let Some(closed) = self.recent.get(id).or_else(|| self.committing.get(id)) {
            return Known::Closed(closed.clone());
        }
        match self.or_failed(self.state.lookup(&id.key())) {
            Some(KnownId::Seen(bytes)) => Known::Closed(Closed::from_bytes(&bytes)),
            Some(KnownId::Open { capture, row }) => Known::Open { number: capture, row },
            Some(KnownId::Unknown) | None => Known::Nothing,
        }
    }

    fn capture(&self, number: u64) -> Option<Vec<u8>> {
        self.or_failed(self.state.open_capture(number))?
    }

    fn chunk(&self, number: u64, part: Part, seq: u32) -> Option<Chunk> {
        let row = self.or_failed(self.state.open_chunk(number, chunk_row(part, seq)))?;
        let chunk = row.and_then(|row| Chunk::from_line(&row));
        if chunk.is_none() {
            self.failed.set(Some(self.state.torn_chunk(number, seq)));
        }
        chunk
    }
}
