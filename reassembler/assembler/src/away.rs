//! Captures that were put away: of each a number, when it times out, and whether this run saw a chunk of it. All else is in its rows.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::kept::Kept;
use crate::{Assembler, Close};

/// What an entry takes, in bytes, about.
const ENTRY_BYTES: usize = 32;
/// Where captures are crowded out: one in so many of those put away.
const CROWDED_SHARE: usize = 10;

/// What is in memory of a capture that was put away.
#[derive(Debug)]
struct Entry {
    /// When it times out on the assembler's clock, in whole seconds, rounded up.
    due_s: u32,
    touched: bool,
}

/// The captures that were put away.
#[derive(Debug, Default)]
pub(crate) struct Away {
    entries: BTreeMap<u64, Entry>,
    /// No entry is due before.
    earliest_s: u32,
    /// Those that are to be closed, and why. Some may have come back since.
    closing: VecDeque<(u64, Close)>,
}

impl Away {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.entries.len() * ENTRY_BYTES
    }

    fn insert(&mut self, number: u64, due: Duration, touched: bool) {
        let due_s = u32::try_from(due.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        self.earliest_s = if self.entries.is_empty() { due_s } else { self.earliest_s.min(due_s) };
        self.entries.insert(number, Entry { due_s, touched });
    }

    /// Forgets one that comes back; says whether this run had seen a chunk of it.
    fn remove(&mut self, number: u64) -> bool {
        self.entries.remove(&number).is_some_and(|entry| entry.touched)
    }

    /// One that is to be closed at `now`.
    pub(crate) fn next_due(&mut self, now: Duration) -> Option<(u64, Close)> {
        let now_s = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        if self.closing.is_empty() && !self.entries.is_empty() && self.earliest_s <= now_s {
            let due = self.entries.iter().filter(|(_, entry)| entry.due_s <= now_s);
            self.closing = due.map(|(number, _)| (*number, Close::Timeout)).collect();
            let later = self.entries.values().map(|entry| entry.due_s).filter(|due_s| *due_s > now_s);
            self.earliest_s = later.min().unwrap_or(u32::MAX);
        }
        while let Some((number, why)) = self.closing.pop_front() {
            if self.entries.contains_key(&number) {
                return Some((number, why));
            }
        }
        self.closing = VecDeque::new();
        None
    }

    /// The numbers of those of which this run saw a chunk.
    pub(crate) fn touched(&self) -> impl Iterator<Item = u64> + '_ {
        self.entries.iter().filter(|(_, entry)| entry.touched).map(|(number, _)| *number)
    }

    fn crowd_out(&mut self) {
        let mut by_age: Vec<(u32, u64)> = self.entries.iter().map(|(number, entry)| (entry.due_s, *number)).collect();
        by_age.sort_unstable();
        let share = by_age.len().div_ceil(CROWDED_SHARE);
        self.closing.extend(by_age.into_iter().take(share).map(|(_, number)| (number, Close::Crowded)));
    }
}

impl Assembler {
    /// Puts captures away whose rows are durable, those without a chunk for longest first, until what is in memory takes at most
    /// `target_bytes` or nothing more can go.
    pub fn put_away(&mut self, target_bytes: usize) {
        if self.memory_bytes <= target_bytes {
            return;
        }
        let mut by_age: Vec<(u64, u64)> = self
            .open
            .iter()
            .filter(|(number, capture)| capture.has_rows && !capture.dirty && !self.saving.contains(number))
            .map(|(number, capture)| (capture.last_push, *number))
            .collect();
        by_age.sort_unstable();
        for (_, number) in by_age {
            if self.memory_bytes <= target_bytes {
                break;
            }
            if let Some(capture) = self.remove(number) {
                self.away.insert(number, capture.deadline, capture.touched);
            }
        }
        // What they were held in is as large as the most that there ever were.
        self.open.shrink_to(2 * self.open.len());
        self.numbers.shrink_to(2 * self.numbers.len());
    }

    /// Says that some of the captures that were put away, those without a chunk for longest, are to be closed at the next
    /// [`expire`](Self::expire), because too many are open.
    pub fn crowd_out(&mut self) {
        self.away.crowd_out();
    }

    /// How many captures were put away.
    pub fn away_captures(&self) -> usize {
        self.away.len()
    }

    /// Takes up the open captures of an earlier run: all of them are away, and their time-outs begin at `now`. `disk_bytes` is what
    /// [`disk_bytes`](Self::disk_bytes) was at their last commit.
    pub fn restore(&mut self, numbers: impl IntoIterator<Item = u64>, disk_bytes: u64, now: Duration) {
        for number in numbers {
            self.away.insert(number, now.saturating_add(self.timeout), false);
            self.next_number = self.next_number.max(number + 1);
        }
        self.disk_bytes = disk_bytes;
    }

    /// Takes a capture that was put away back into memory, without its chunks. False where its row cannot be read.
    pub(crate) fn bring_back(&mut self, number: u64, row: &[u8]) -> bool {
        let Some(mut capture) = crate::rows::read_capture_row(row) else {
            self.unreadable = Some(crate::RowError { capture: number });
            return false;
        };
        capture.touched = self.away.remove(number);
        self.insert(number, Box::new(capture));
        true
    }

    pub(crate) fn bring_back_by_number(&mut self, number: u64, kept: &dyn Kept) -> bool {
        match kept.capture(number) {
            Some(row) => self.bring_back(number, &row),
            None => {
                self.away.remove(number);
                self.unreadable = Some(crate::RowError { capture: number });
                false
            }
        }
    }
}
