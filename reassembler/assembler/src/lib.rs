//! Joins capture chunks into exchanges.
//!
//! Pure and deterministic: chunks go in, exchanges come out, and time is an argument. The same chunks in the same order give the same
//! exchanges, whenever and however often they are fed; that is what makes a restart from a checkpoint exact.
//!
//! Invariants:
//! - A capture is open, or closed, or unknown. A chunk of a complete closed one is a repeat. A new chunk of an incomplete closed one opens a
//!   supplement, which closes as incomplete with the problem `continues`.
//! - `of`, `seq` and `len` are claims: nothing is allocated by them. What is held is what arrived.
//! - Memory is bounded by whoever drives it: what changed goes to rows ([`take_changes`](Assembler::take_changes)), and captures whose rows are
//!   durable can be put away ([`put_away`](Assembler::put_away)); what is needed of them comes back through [`Kept`]. Putting away changes
//!   nothing of what comes out.
//! - The clock that is passed in runs only while all inputs are read to their end, so no backlog and no outage closes a capture.

mod away;
mod build;
mod capture;
mod chunks;
mod closed;
mod kept;
mod part;
mod pieces;
mod ranges;
mod rows;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use reassemble_formats::{CaptureId, Chunk};

use crate::away::Away;
pub use crate::build::Assembled;
use crate::capture::Capture;
pub use crate::capture::Lines;
pub use crate::closed::Closed;
pub use crate::kept::{Kept, Known};
pub use crate::pieces::{Pieces, Stored};
pub use crate::rows::{CaptureRow, ChunkRow, OpenChanges, RowError, chunk_row};

/// Where and when a chunk was read.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The input's name, as it stands in the exchange's `source`.
    pub source: Arc<str>,
    /// Microseconds since the Unix epoch: stands in for a `ts` that cannot be used.
    pub read_at_us: i64,
    /// The name of the key that signed the line, where signatures are checked.
    pub key: Option<Arc<str>>,
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
    /// Too many captures were open.
    Crowded,
}

impl Close {
    /// The problem that an incomplete exchange bears for it.
    fn problem(self) -> Option<&'static str> {
        match self {
            Close::Complete => None,
            Close::Timeout => Some("timeout"),
            Close::InputEnd => Some("input_end"),
            Close::Crowded => Some("crowded"),
        }
    }
}

/// What became of a chunk.
#[derive(Debug, Default, PartialEq)]
pub struct Pushed {
    /// Whether the chunk was there already.
    pub repeated: bool,
    /// Whether the chunk contradicts one that was there already, and was left out.
    pub conflicting: bool,
    /// Whether the chunk is signed with another key than its capture's, and was left out.
    pub wrong_key: bool,
    /// Lines of earlier chunks that this one shows to be past the end, and that are left out now.
    pub displaced: Lines,
    /// The exchange that it made complete.
    pub complete: Option<Box<Assembled>>,
}

/// Open captures, and the clock by which they time out.
#[derive(Debug)]
pub struct Assembler {
    timeout: Duration,
    /// The number of the next capture; no two captures that are open at a time have the same.
    next_number: u64,
    numbers: HashMap<CaptureId, u64, RandomState>,
    /// Those in memory.
    open: HashMap<u64, Box<Capture>, RandomState>,
    /// (deadline at the latest known, capture): at least one entry for each open capture in memory, some for others.
    deadlines: BinaryHeap<Reverse<(Duration, u64)>>,
    /// Those that were put away.
    away: Away,
    /// Those that are to be closed because the inputs have ended.
    finishing: VecDeque<u64>,
    /// How many chunks were pushed so far.
    pushes: u64,
    /// Captures that were marked as dirty since the last commit; some are gone, and some stand here twice.
    dirty: Vec<u64>,
    /// Captures whose rows were given to a commit that is not durable yet.
    saving: HashSet<u64>,
    /// Closed captures whose rows are to go.
    removed: Vec<(u64, CaptureId)>,
    memory_bytes: usize,
    unsaved_bytes: usize,
    disk_bytes: u64,
    unreadable: Option<RowError>,
}

impl Assembler {
    /// An assembler with nothing open. A capture closes when no chunk of it came for `timeout`.
    pub fn new(timeout: Duration) -> Self {
        Assembler {
            timeout,
            next_number: 1,
            numbers: HashMap::default(),
            open: HashMap::default(),
            deadlines: BinaryHeap::new(),
            away: Away::default(),
            finishing: VecDeque::new(),
            pushes: 0,
            dirty: Vec::new(),
            saving: HashSet::new(),
            removed: Vec::new(),
            memory_bytes: 0,
            unsaved_bytes: 0,
            disk_bytes: 0,
            unreadable: None,
        }
    }

    /// How many captures are open.
    pub fn open_captures(&self) -> usize {
        self.open.len() + self.away.len()
    }

    /// Bytes that the open captures in memory take, about.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Bytes that are in memory of those that were put away, about.
    pub fn away_bytes(&self) -> usize {
        self.away.memory_bytes()
    }

    /// Bytes among them that no commit was given yet.
    pub fn unsaved_bytes(&self) -> usize {
        self.unsaved_bytes
    }

    /// Bytes that the rows of open captures take on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// A row of a capture that could not be read: nothing may be committed after it.
    pub fn take_error(&mut self) -> Option<RowError> {
        self.unreadable.take()
    }

    /// Takes one chunk that arrived at `now` on the assembler's clock. `kept` knows the captures that are not in memory.
    pub fn push(&mut self, chunk: Chunk, arrival: &Arrival, now: Duration, kept: &dyn Kept) -> Pushed {
        let number = match self.numbers.get(&chunk.id) {
            Some(number) => *number,
            None => match kept.lookup(&chunk.id) {
                Known::Closed(earlier) if earlier.holds(chunk.part, chunk.seq) => {
                    return Pushed { repeated: true, ..Pushed::default() };
                }
                Known::Closed(earlier) if !earlier.fits_key(arrival.key.as_deref()) => {
                    return Pushed { wrong_key: true, ..Pushed::default() };
                }
                Known::Closed(earlier) => self.open(Capture::new(chunk.id.clone(), arrival, Some(earlier))),
                Known::Open { number, row } => {
                    if !self.bring_back(number, &row) {
                        return Pushed::default();
                    }
                    number
                }
                Known::Nothing => self.open(Capture::new(chunk.id.clone(), arrival, None)),
            },
        };
        let Some(capture) = self.open.get_mut(&number) else { return Pushed::default() };
        if capture.key != arrival.key {
            return Pushed { wrong_key: true, ..Pushed::default() };
        }
        self.pushes += 1;
        capture.deadline = now.saturating_add(self.timeout);
        capture.last_push = self.pushes;
        capture.touched = true;
        let (memory_before, unsaved_before) = (capture.memory_bytes, capture.unsaved_bytes);
        let taken = capture.take(chunk, arrival, number, kept);
        self.memory_bytes += capture.memory_bytes - memory_before;
        self.unsaved_bytes += capture.unsaved_bytes - unsaved_before;
        if !taken.repeated && !std::mem::replace(&mut capture.dirty, true) {
            self.dirty.push(number);
        }
        let mut pushed = Pushed { repeated: taken.repeated, conflicting: taken.conflicting, ..Pushed::default() };
        if taken.displaced > 0 {
            // The chunk that displaces others is the latest: what was counted before it is theirs.
            pushed.displaced = capture.lines.split_off(taken.displaced);
        }
        if taken.added && capture.is_complete(number, kept) {
            pushed.complete = self.close(number, Close::Complete, kept).map(Box::new);
        }
        pushed
    }

    /// Closes and gives one capture whose time-out has passed at `now`; nothing where none has.
    pub fn expire(&mut self, now: Duration, kept: &dyn Kept) -> Option<Assembled> {
        while let Some(Reverse((deadline, number))) = self.deadlines.peek().copied() {
            if deadline > now {
                break;
            }
            self.deadlines.pop();
            match self.open.get(&number).map(|capture| capture.deadline) {
                Some(later) if later > now => self.deadlines.push(Reverse((later, number))),
                Some(_) => return self.close(number, Close::Timeout, kept),
                None => (),
            }
        }
        while let Some((number, why)) = self.away.next_due(now) {
            if self.bring_back_by_number(number, kept) {
                return self.close(number, why, kept);
            }
        }
        None
    }

    /// Closes and gives one open capture of which a chunk was pushed since [`restore`](Self::restore), the one opened first first, because
    /// the inputs have ended; nothing where there is none left. The others are of inputs that an earlier run read.
    pub fn finish_touched(&mut self, kept: &dyn Kept) -> Option<Assembled> {
        loop {
            if self.finishing.is_empty() {
                let touched = self.open.iter().filter(|(_, capture)| capture.touched).map(|(number, _)| *number);
                let mut numbers: Vec<u64> = touched.chain(self.away.touched()).collect();
                numbers.sort_unstable();
                self.finishing = numbers.into();
            }
            let number = self.finishing.pop_front()?;
            if (self.open.contains_key(&number) || self.bring_back_by_number(number, kept))
                && let Some(assembled) = self.close(number, Close::InputEnd, kept)
            {
                return Some(assembled);
            }
        }
    }

    fn open(&mut self, capture: Capture) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.insert(number, Box::new(capture));
        number
    }

    fn insert(&mut self, number: u64, capture: Box<Capture>) {
        self.deadlines.push(Reverse((capture.deadline, number)));
        self.numbers.insert(capture.id.clone(), number);
        self.memory_bytes += capture.memory_bytes;
        self.unsaved_bytes += capture.unsaved_bytes;
        self.open.insert(number, capture);
        // Entries of captures that are gone are dropped lazily; where they are most of the heap it is made anew.
        if self.deadlines.len() > 2 * self.open.len() + 1024 {
            self.deadlines = self.open.iter().map(|(number, capture)| Reverse((capture.deadline, *number))).collect();
        }
    }

    /// Takes a capture out of memory; its rows stay.
    fn remove(&mut self, number: u64) -> Option<Box<Capture>> {
        let capture = self.open.remove(&number)?;
        self.numbers.remove(&capture.id);
        self.memory_bytes -= capture.memory_bytes;
        self.unsaved_bytes -= capture.unsaved_bytes;
        Some(capture)
    }

    fn close(&mut self, number: u64, why: Close, kept: &dyn Kept) -> Option<Assembled> {
        let capture = self.remove(number)?;
        let (assembled, rest) = build::assemble(capture, number, why, kept);
        match rest {
            // What did not fit one exchange is a supplement, and closes at the next look.
            build::Rest::Open(mut rest) => {
                if !std::mem::replace(&mut rest.dirty, true) {
                    self.dirty.push(number);
                }
                self.insert(number, rest);
            }
            build::Rest::Gone { id, has_rows, disk_bytes } => {
                self.disk_bytes = self.disk_bytes.saturating_sub(disk_bytes);
                if has_rows {
                    self.removed.push((number, id));
                }
            }
        }
        Some(assembled)
    }
}

#[cfg(test)]
mod tests;
