//! What of a group is read next, and what of an answer is new: pure, with time as an argument.
//!
//! A group is read in *sweeps*: a window of event time, page by page to its end. Events become visible late, and in no order, so what a
//! sweep has read to its end is not yet settled. The next one begins
//! - at the newest event that was known when this sweep began, less the overlap (a group whose events all come late is still read whole),
//! - or at the service's time less [`PATIENCES`] overlaps, whichever is later (a group that has fallen silent is not read again for ever),
//! - and never behind the window's end.
//!
//! The service's time bounds the first: an event from the future settles nothing. What is read again is known by its id.
//! What lies further back than any of this can reach is read in slices, so that a restart does not read all of it again.
//!
//! Invariant: every event that was visible within the overlap and is older than `from_ms` was delivered.

use crate::client::{Event, EventPage};
use crate::seen::Seen;

/// How many overlaps a silent group is read back.
const PATIENCES: i64 = 4;
/// The first slice of what lies far back, in milliseconds.
const FIRST_SLICE_MS: i64 = 15 * 60 * 1000;
/// A slice is doubled where it took few pages,
const FEW_PAGES: u32 = 2;
/// and halved where it took many: a restart reads so much again.
const MANY_PAGES: u32 = 16;
const SHORTEST_SLICE_MS: i64 = 1000;
const LONGEST_SLICE_MS: i64 = 30 * 24 * 3600 * 1000;
/// A token is good for 24 hours. An older one need not be refused: it may be answered as if nothing more were there.
const TOKEN_AGE_MS: i64 = 12 * 3600 * 1000;

/// So often a window is read anew before its end was reached.
const MOST_STARTS: u32 = 5;

/// What holds for every group.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// How much later than its time an event may become visible, in milliseconds.
    pub(crate) overlap_ms: i64,
    /// The last event time that is wanted, in milliseconds since the epoch.
    pub(crate) until_ms: Option<i64>,
    /// What the names of streams begin with.
    pub(crate) streams: String,
}

/// One request: events from `start_ms` to `end_ms`, both included, in milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: Option<i64>,
    pub(crate) token: Option<String>,
}

/// What of a page was new.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The messages, each with a newline at its end.
    pub(crate) lines: Vec<u8>,
    /// By how much the latest event came late, in milliseconds.
    pub(crate) latest_ms: i64,
    /// Whether there is nothing to ask for at once.
    pub(crate) caught_up: bool,
}

/// One group's reading.
#[derive(Debug)]
pub(crate) struct Window {
    /// Everything before is settled.
    from_ms: i64,
    newest_ms: i64,
    slice_ms: i64,
    sweep: Option<Sweep>,
    seen: Seen,
    /// How often the sweep was begun anew.
    starts: u32,
    done: bool,
}

/// A sweep under way.
#[derive(Debug)]
struct Sweep {
    end_ms: Option<i64>,
    is_slice: bool,
    token: Option<(String, i64)>,
    /// The service's time when it began.
    began_ms: Option<i64>,
    newest_ms: i64,
    pages: u32,
}

impl Window {
    pub(crate) fn new(from_ms: i64, rules: &Rules) -> Self {
        let done = rules.until_ms.is_some_and(|until| from_ms > until);
        Self {
            from_ms,
            newest_ms: i64::MIN,
            slice_ms: FIRST_SLICE_MS,
            sweep: None,
            seen: Seen::new(usize::MAX),
            starts: 0,
            done,
        }
    }

    pub(crate) fn begins_ms(&self) -> i64 {
        self.from_ms
    }

    /// Whether everything that is wanted was read, and nothing more is waited for.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    pub(crate) fn set_ids_kept(&mut self, limit: usize) {
        self.seen.set_limit(limit);
    }

    /// What to ask for, at this time by the own clock, which decides nothing that could lose an event.
    pub(crate) fn ask(&mut self, now_ms: i64, rules: &Rules) -> Ask {
        let token_since = self.sweep.as_ref().and_then(|sweep| sweep.token.as_ref()).map(|(_, since)| *since);
        if token_since.is_some_and(|since| now_ms.saturating_sub(since) > TOKEN_AGE_MS) {
            self.start_over();
        }
        let sweep = self.sweep.get_or_insert_with(|| {
            let patience = rules.overlap_ms.saturating_mul(PATIENCES);
            let is_slice = now_ms.saturating_sub(self.from_ms) > patience.saturating_mul(2);
            let slice_end =
                is_slice.then(|| self.from_ms.saturating_add(self.slice_ms).min(now_ms.saturating_sub(patience)));
            let end_ms = [slice_end, rules.until_ms].into_iter().flatten().min();
            Sweep { end_ms, is_slice, token: None, began_ms: None, newest_ms: i64::MIN, pages: 0 }
        });
        let token = sweep.token.as_ref().map(|(token, _)| token.clone());
        Ask { start_ms: self.from_ms, end_ms: sweep.end_ms, token }
    }

    /// Forgets the token: the window is read anew, and what of it was delivered is known by its ids. False where there was none, or where that
    /// did not help before: the token is not what is refused.
    pub(crate) fn start_over(&mut self) -> bool {
        let had_token = self.sweep.take().is_some_and(|sweep| sweep.token.is_some());
        self.starts = self.starts.saturating_add(1);
        had_token && self.starts <= MOST_STARTS
    }

    /// Takes the answer to the last [`Window::ask`].
    pub(crate) fn take(&mut self, page: EventPage, now_ms: i64, rules: &Rules) -> Taken {
        let mut taken = Taken::default();
        let Some(mut sweep) = self.sweep.take() else { return taken };
        let began_ms = *sweep.began_ms.get_or_insert(page.served_ms);
        sweep.pages = sweep.pages.saturating_add(1);
        for event in &page.events {
            // The service has chosen already, servers beside AWS have not.
            if event.stream.starts_with(&rules.streams) && self.seen.is_first(&event.id, event.timestamp_ms) {
                sweep.newest_ms = sweep.newest_ms.max(event.timestamp_ms);
                taken.latest_ms = taken.latest_ms.max(event.ingestion_ms.saturating_sub(event.timestamp_ms));
                push_line(&mut taken.lines, event);
            }
        }
        match page.next_token {
            Some(token) => {
                sweep.token = Some((token, now_ms));
                self.sweep = Some(sweep);
            }
            None => {
                self.end_sweep(&sweep, began_ms, rules);
                taken.caught_up = !sweep.is_slice || self.done;
            }
        }
        taken
    }

    fn end_sweep(&mut self, sweep: &Sweep, began_ms: i64, rules: &Rules) {
        let by_newest = self.newest_ms.min(began_ms).saturating_sub(rules.overlap_ms);
        let by_clock = began_ms.saturating_sub(rules.overlap_ms.saturating_mul(PATIENCES));
        let settled = by_newest.max(by_clock).min(sweep.end_ms.unwrap_or(i64::MAX));
        self.from_ms = self.from_ms.max(settled);
        self.newest_ms = self.newest_ms.max(sweep.newest_ms);
        self.seen.forget_before(self.from_ms);
        self.starts = 0;
        let read_to_until = rules.until_ms.is_some() && sweep.end_ms == rules.until_ms;
        let late = began_ms.saturating_sub(rules.overlap_ms);
        if let Some(until_ms) = rules.until_ms.filter(|until| read_to_until && *until <= late) {
            self.done = true;
            self.from_ms = self.from_ms.max(until_ms);
        }
        if sweep.is_slice {
            self.slice_ms = match sweep.pages {
                ..=FEW_PAGES => self.slice_ms.saturating_mul(2),
                MANY_PAGES.. => self.slice_ms / 2,
                _ => self.slice_ms,
            }
            .clamp(SHORTEST_SLICE_MS, LONGEST_SLICE_MS);
        }
    }
}

/// A message as a line of a log: Lambda's end with their newline, others have none.
fn push_line(lines: &mut Vec<u8>, event: &Event) {
    lines.extend_from_slice(event.message.as_bytes());
    if !event.message.ends_with('\n') {
        lines.push(b'\n');
    }
}

#[cfg(test)]
mod tests;
