//! Where lines come from.
//!
//! Everything here delivers whole lines to a [`LineSink`], in the order in which they stand in their input, and keeps the
//! positions from which to go on. Nothing here knows what a capture line is, nor where exchanges go.

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
    /// Lines will follow. `name` is what people know it by (`file:/var/log/app.log`, `stdin`, `exec:stdout`); `position` is the byte
    /// offset at which reading begins: above 0 where an earlier run is continued.
    Opened { name: &'a str, position: u64 },
    /// The file was cut or rewritten in place and is read again from its start; at least this many bytes were never read.
    Truncated { lost_at_least_bytes: u64 },
    /// A line longer than the limit was skipped (its length in bytes, newline included).
    LongLine { bytes: u64 },
    /// The input could not be read (any further); the sentence says why.
    Failed { why: &'a str },
    /// Nothing more will come: the end of a bounded input, or a rotated file read to its end and let go.
    Closed,
}
