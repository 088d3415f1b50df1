//! Joins capture chunks into exchanges.
//!
//! Pure and deterministic: chunks go in, exchanges come out, and time is an argument. The same chunks in the same order give the same
//! exchanges, whenever and however often they are fed; that is what makes a restart from a checkpoint exact.
//!
//! Invariants:
//! - A capture is open, or closed, or unknown. A chunk of a complete closed one is a repeat. A new chunk of an incomplete closed one opens a
//!   supplement, which closes as incomplete with the problem `continues`.
//! - `of`, `seq` and `len` are claims: nothing is allocated by them. What is held is what arrived.
//! - The clock that is passed in runs only while all inputs are read to their end, so no backlog and no outage closes a capture.

mod build;
mod capture;
mod closed;
mod rows;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use reassemble_formats::exchange::Exchange;
use reassemble_formats::{CaptureId, Chunk};

use crate::capture::Capture;
pub use crate::closed::{Closed, ClosedCaptures};
pub use crate::rows::{OpenChanges, RowError};

/// Where and when a chunk was read.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The input's name, as it stands in the exchange's `source`.
    pub source: Arc<str>,
    /// Microseconds since the Unix epoch: stands in for a `ts` that cannot be used.
    pub read_at_us: i64,
}

/// Why a capture was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Nothing is missing.
    Complete,
    /// Nothing came for the time-out.
    Timeout,
    /// The input ended.
    InputEnd,
}

impl Close {
    /// The problem that an incomplete exchange bears for it.
    fn problem(self) -> Option<&'static str> {
        match self {
            Close::Complete => None,
            Close::Timeout => Some("timeout"),
            Close::InputEnd => Some("input_end"),
        }
    }
}

/// A closed capture's exchange and what the store must know of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assembled {
    /// The capture.
    pub id: CaptureId,
    /// What will be stored.
    pub exchange: Exchange,
    /// The time that decides where it is stored, in microseconds since the Unix epoch.
    pub ts_us: i64,
    /// How many chunks it is made of.
    pub chunks: u64,
    /// What is to be remembered of it, so that later chunks are known.
    pub closed: Closed,
}

/// What became of a chunk.
#[derive(Debug, Default, PartialEq)]
pub struct Pushed {
    /// 1 where the chunk was there already.
    pub repeated: u64,
    /// Chunks that contradict others, this one or earlier ones, and were left out.
    pub conflicting: u64,
    /// The exchange that it made complete.
    pub complete: Option<Box<Assembled>>,
}

/// Open captures, and the clock by which they time out.
#[derive(Debug)]
pub struct Assembler {
    timeout: Duration,
    /// The number of the next capture; numbers are never used twice within one state directory.
    next_number: u64,
    numbers: HashMap<CaptureId, u64>,
    open: HashMap<u64, Capture>,
    /// (deadline at the latest known, capture): at least one entry for each open capture, some for closed ones.
    deadlines: BinaryHeap<Reverse<(Duration, u64)>>,
    changes: rows::Changes,
}

impl Assembler {
    /// An assembler with nothing open. A capture closes when no chunk of it came for `timeout`.
    pub fn new(timeout: Duration) -> Self {
        Assembler {
            timeout,
            next_number: 1,
            numbers: HashMap::new(),
            open: HashMap::new(),
            deadlines: BinaryHeap::new(),
            changes: rows::Changes::default(),
        }
    }

    /// How many captures are open.
    pub fn open_captures(&self) -> usize {
        self.open.len()
    }

    /// Takes one chunk that arrived at `now` on the assembler's clock. `closed` knows the captures that were closed before.
    pub fn push(&mut self, chunk: Chunk, arrival: &Arrival, now: Duration, closed: &impl ClosedCaptures) -> Pushed {
        let number = match self.numbers.get(&chunk.id) {
            Some(number) => *number,
            None => {
                let continues = match closed.lookup(&chunk.id) {
                    Some(earlier) if earlier.holds(chunk.part, chunk.seq) => {
                        return Pushed { repeated: 1, ..Pushed::default() };
                    }
                    earlier => earlier,
                };
                self.open(Capture::new(chunk.id.clone(), arrival, continues))
            }
        };
        let Some(capture) = self.open.get_mut(&number) else { return Pushed::default() };
        capture.deadline = now.saturating_add(self.timeout);
        capture.touched = true;
        let row = capture.next_row();
        let taken = capture.take(chunk);
        if taken.added || taken.conflicting > 0 {
            self.changes.note(number, taken.added.then_some(row));
        }
        let mut pushed =
            Pushed { repeated: u64::from(taken.repeated), conflicting: u64::from(taken.conflicting), complete: None };
        if taken.added && capture.is_complete() {
            pushed.complete = self.close(number, Close::Complete).map(Box::new);
        }
        pushed
    }

    /// Closes and gives one capture whose time-out has passed at `now`; nothing where none has.
    pub fn expire(&mut self, now: Duration) -> Option<Assembled> {
        while let Some(Reverse((deadline, number))) = self.deadlines.peek().copied() {
            if deadline > now {
                return None;
            }
            self.deadlines.pop();
            match self.open.get(&number).map(|capture| capture.deadline) {
                Some(later) if later > now => self.deadlines.push(Reverse((later, number))),
                Some(_) => return self.close(number, Close::Timeout),
                None => (),
            }
        }
        None
    }

    /// Closes the open captures of which a chunk was pushed since [`restore`](Self::restore), in the order in which they were opened, because
    /// the inputs have ended. The others are of inputs that an earlier run read.
    pub fn finish_touched(&mut self, mut each: impl FnMut(Assembled)) {
        let touched = self.open.iter().filter(|(_, capture)| capture.touched);
        let mut numbers: Vec<u64> = touched.map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some(assembled) = self.close(number, Close::InputEnd) {
                each(assembled);
            }
        }
    }

    fn open(&mut self, capture: Capture) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.insert(number, capture);
        number
    }

    fn insert(&mut self, number: u64, capture: Capture) {
        self.deadlines.push(Reverse((capture.deadline, number)));
        self.numbers.insert(capture.id.clone(), number);
        self.open.insert(number, capture);
        // Entries of closed captures are dropped lazily; where they are most of the heap it is made anew.
        if self.deadlines.len() > 2 * self.open.len() + 1024 {
            self.deadlines = self.open.iter().map(|(number, capture)| Reverse((capture.deadline, *number))).collect();
        }
    }

    fn close(&mut self, number: u64, why: Close) -> Option<Assembled> {
        let capture = self.open.remove(&number)?;
        self.numbers.remove(&capture.id);
        self.changes.closed(number);
        Some(build::assemble(capture, why))
    }
}

#[cfg(test)]
mod tests;
