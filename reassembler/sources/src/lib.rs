//! Where lines come from.
//!
//! Everything here delivers whole lines to a [`LineSink`], in the order in which they stand in their input, and keeps the
//! positions from which to go on. Nothing here knows what a capture line is, nor where exchanges go.
//!
//! - [`Tail`] follows files through rotation, truncation, compression and restarts;
//! - [`WholeFile`] reads one file, compressed or not, or what CloudWatch Logs delivered ([`payload`]), to its end;
//! - [`Pipe`] reads what cannot be read again, on a thread of its own, with back-pressure;
//! - [`LineSplitter`] is the bounded line buffer beneath the last two.
//!
//! All of it is blocking code. Delivery is by callback on the thread that reads, so that a position taken between two calls is
//! exactly consistent with what was delivered.

mod compression;
mod error;
mod lines;
pub mod payload;
mod pipe;
mod tail;
mod whole_file;

pub use error::{SourceError, printable};
pub use lines::{LineSplitter, Piece};
pub use pipe::{Pipe, PipeConfig, PipeState};
pub use tail::{ReadProgress, Tail, TailConfig, matches};
pub use whole_file::{WholeFile, WholeProgress};

/// Names one input for as long as its state is kept: a followed file keeps its id over renames and restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InputId(pub u64);

/// Takes what the inputs deliver. Called on the thread that reads.
pub trait LineSink {
    /// One or more whole lines, each with its `\n`; only the very last line of an input that ended may lack it.
    fn lines(&mut self, input: InputId, block: &[u8]);
    /// Something happened to an input that is not a line.
    fn event(&mut self, input: InputId, event: InputEvent<'_>);
}

/// What can happen to an input.
#[derive(Debug)]
pub enum InputEvent<'a> {
    /// Lines will follow. Comes again where an input that was [closed](InputEvent::Closed) grew after all.
    Opened {
        /// What people know the input by (`file:/var/log/app.log`, `stdin`, `exec:stdout`), free of control characters.
        name: &'a str,
        /// The byte offset at which reading begins: above 0 where an earlier run is continued.
        position: u64,
    },
    /// This input's lines go on where those of another one, drained by now, ended: the file that was made at a path when the file
    /// before it was rotated away. A record that was split into pieces may span the two. Comes before this input's first line.
    Follows {
        /// The input that was read before.
        predecessor: InputId,
    },
    /// The file was cut or rewritten in place. What it holds now is read from its start (or from where it still agrees with what was
    /// read); where a copy was made before the cut, this input goes on in the copy and the file is a new input.
    Truncated {
        /// At least this many bytes were never read and cannot be read any more.
        lost_at_least_bytes: u64,
    },
    /// A line longer than the limit was skipped.
    LongLine {
        /// Its length in bytes, newline included.
        bytes: u64,
    },
    /// Whoever sends the lines says that it dropped some before they came here.
    Lost {
        /// How many records, as its sender counts them.
        records: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// The input could not be read (any further). A followed file is tried again; the event comes once per change of the reason.
    Failed {
        /// A sentence for people, free of control characters.
        why: &'a str,
    },
    /// Nothing more will come: the end of a bounded input, or a rotated file read to its end and let go.
    Closed,
}
