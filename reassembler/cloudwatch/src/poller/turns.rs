//! Whose turn it is.

use tokio::time::Instant;

use super::Poller;

/// The next thing to do.
#[derive(Debug)]
pub(super) enum Turn {
    /// Read a page of this group.
    Group(usize),
    /// Read a page of the names that this pattern fits.
    Discover(usize),
    /// Nothing before then.
    Wait(Instant),
    /// Nothing any more.
    Ended,
}

impl Poller {
    /// The next after the last one that is due.
    pub(super) fn next_turn(&mut self, now: Instant) -> Turn {
        let is_bounded = self.config.until_ms.is_some();
        let patterns = self.patterns.len();
        let all = patterns + self.groups.len();
        let due = |at: usize| match self.patterns.get(at) {
            // Where reading ends, groups that appear later have nothing to give.
            Some(pattern) if pattern.faults.given_up || (is_bounded && pattern.is_complete) => None,
            Some(pattern) => Some(pattern.faults.due),
            None => self.groups.get(at - patterns).filter(|group| !group.is_ended()).map(|group| group.faults.due),
        };
        let mut earliest: Option<Instant> = None;
        for at in (0..all).map(|step| (self.next_turn + step) % all) {
            match due(at) {
                Some(due) if due <= now => {
                    self.next_turn = at + 1;
                    return if at < patterns { Turn::Discover(at) } else { Turn::Group(at - patterns) };
                }
                Some(due) => earliest = Some(earliest.map_or(due, |earliest| earliest.min(due))),
                None => {}
            }
        }
        earliest.map_or(Turn::Ended, Turn::Wait)
    }
}
