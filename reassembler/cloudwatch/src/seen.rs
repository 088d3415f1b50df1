//! Which events of a window were delivered already.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// Remembers events by 64 bits of their id and by their time, which must both agree: ids are opaque, and long.
#[derive(Debug)]
pub(crate) struct Seen {
    hasher: RandomState,
    times: HashMap<u64, i64, RandomState>,
    limit: usize,
}

impl Seen {
    /// Remembers at most so many events. What is not remembered is delivered again where it is read again.
    pub(crate) fn new(limit: usize) -> Self {
        Self { hasher: RandomState::default(), times: HashMap::default(), limit }
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Whether this event comes for the first time, as far as is remembered.
    pub(crate) fn is_first(&mut self, id: &str, time_ms: i64) -> bool {
        let hash = self.hasher.hash_one(id);
        match self.times.get(&hash) {
            Some(&known) if known == time_ms => return false,
            Some(_) => {}
            None if self.times.len() >= self.limit => return true,
            None => {}
        }
        self.times.insert(hash, time_ms);
        true
    }

    /// Forgets what is older than the window.
    pub(crate) fn forget_before(&mut self, time_ms: i64) {
        self.times.retain(|_, time| *time >= time_ms);
        if self.times.capacity() / 4 > self.times.len() {
            self.times.shrink_to_fit();
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_first_once_while_its_window_lasts() {
        let mut seen = Seen::new(10);
        assert!(seen.is_first("a", 5));
        assert!(!seen.is_first("a", 5));
        assert!(seen.is_first("b", 5));
        seen.forget_before(6);
        assert!(seen.is_first("a", 5));
    }

    #[test]
    fn memory_is_bounded_and_what_is_beyond_comes_again() {
        let mut seen = Seen::new(2);
        assert!(["a", "b", "c", "c"].into_iter().all(|id| seen.is_first(id, 1)));
        assert_eq!(seen.len(), 2);
        assert!(!seen.is_first("a", 1));
    }
}
