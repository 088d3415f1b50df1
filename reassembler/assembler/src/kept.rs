//! What is kept outside of memory: captures that were closed, and open ones that were put away.

use reassemble_formats::{CaptureId, Chunk, Part};

use crate::closed::Closed;

/// What is known of an id that is not open in memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// Nothing: it never came, or is forgotten.
    Nothing,
    /// It was closed.
    Closed(Closed),
    /// It is open, and put away.
    Open {
        /// The capture's number.
        number: u64,
        /// Its row.
        row: Vec<u8>,
    },
}

/// Looks up what is kept. A look-up that fails is remembered by the implementation, which must not let anything be committed after it; what it
/// answers then does not matter.
pub trait Kept {
    /// What is known of an id that is not open in memory. An id that was closed since its rows were written is [`Known::Closed`].
    fn lookup(&self, id: &CaptureId) -> Known;
    /// The row of an open capture that was put away.
    fn capture(&self, number: u64) -> Option<Vec<u8>>;
    /// A chunk of an open capture, from its row.
    fn chunk(&self, number: u64, part: Part, seq: u32) -> Option<Chunk>;
}
