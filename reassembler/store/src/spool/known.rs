//! Which ids the state cannot know: a filter in memory before the tables of ids, because nearly every id that is looked up is new.
//!
//! It may say that an unknown id is known, and then the tables are asked; never the reverse. So what a commit adds is added before it, and
//! what it removes is removed after it: in between both the old and the new state are covered, whichever a reader sees.
//!
//! - Of stored ids each generation has Bloom filters: one that is small enough to stay in a processor's cache, and where that is full
//!   others, each of several times the size. A generation that held many ids when the state was opened has none until it is emptied, so
//!   that opening does not read them all.
//! - Of open captures' ids the hashes are counted, since these come and go.
//!
//! Hashes are keyed by a number drawn at the start, so that no log can choose ids that look known.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::quality::RandomState;

/// Bits of a filter for each id that it is made for, and bits set for each: of the ids that are not known, less than one in a hundred looks
/// so to a filter that is full.
const BITS_PER_ID: u64 = 12;
const BITS_SET: u32 = 4;
/// Ids of the first filter, about, and how many times as many the next is made for.
const FIRST_IDS: u64 = 87_000;
const GROWTH: u64 = 4;
/// Largest filter: where a generation holds more ids, more of them look known.
const MOST_BYTES: u64 = 2 << 20;
/// Stored ids of a generation that opening reads.
pub(crate) const MOST_READ_IDS: u64 = 200_000;

/// The filter; clones share it.
#[derive(Clone)]
pub(crate) struct KnownIds {
    inner: Arc<RwLock<Inner>>,
}

struct Inner {
    hasher: RandomState,
    ids_per_generation: u64,
    generations: [Generation; 2],
    /// A generation that a commit under way empties: its place, and what it will be.
    coming: Option<(usize, Generation)>,
    /// Open captures by the hash of their id.
    open: HashMap<u64, u32, RandomState>,
    /// Hashes that a commit under way removes from `open`.
    closing: Vec<u64>,
}

enum Generation {
    /// Of what was told; without a filter, no id.
    Told(Vec<Filter>),
    /// Ids that nobody has read.
    Unread,
}

/// A Bloom filter.
struct Filter {
    words: Box<[u64]>,
    /// Ids that it takes before another is made.
    room: u64,
}

impl Filter {
    /// The one that is made behind so many others, for what a generation of so many ids has left.
    fn new(others: &[Filter], ids_per_generation: u64) -> Self {
        let before: u64 = others.iter().map(Filter::ids).sum();
        let grown = others.last().map_or(FIRST_IDS, |last| last.ids() * GROWTH);
        // The last commit of a generation may go over it.
        let left = ids_per_generation.saturating_sub(before).max(FIRST_IDS.min(ids_per_generation));
        let ids = grown.min(left);
        let bytes = (ids.saturating_mul(BITS_PER_ID) / 8).clamp(64, MOST_BYTES).next_power_of_two();
        let words = vec![0; usize::try_from(bytes / 8).unwrap_or(8)].into();
        // The last takes whatever comes.
        let room = if bytes == MOST_BYTES { u64::MAX } else { bytes * 8 / BITS_PER_ID };
        Self { words, room }
    }

    fn ids(&self) -> u64 {
        self.words.len() as u64 * 64 / BITS_PER_ID
    }

    fn may_hold(&self, hash: u64) -> bool {
        bits(hash, self.words.len()).all(|(word, bit)| self.words[word] & bit != 0)
    }

    fn add(&mut self, hash: u64) {
        for (word, bit) in bits(hash, self.words.len()) {
            self.words[word] |= bit;
        }
        self.room = self.room.saturating_sub(1);
    }
}

impl Generation {
    const EMPTY: Self = Self::Told(Vec::new());

    fn may_hold(&self, hash: u64) -> bool {
        match self {
            Self::Told(filters) => filters.iter().any(|filter| filter.may_hold(hash)),
            Self::Unread => true,
        }
    }

    fn add(&mut self, hash: u64, ids_per_generation: u64) {
        let Self::Told(filters) = self else { return };
        if filters.last().is_none_or(|last| last.room == 0) {
            filters.push(Filter::new(filters, ids_per_generation));
        }
        if let Some(last) = filters.last_mut() {
            last.add(hash);
        }
    }
}

/// Where a hash's bits are: all in one word's neighbourhood would be faster, and hold fewer ids as well.
fn bits(hash: u64, words: usize) -> impl Iterator<Item = (usize, u64)> {
    let step = (hash >> 32) | 1;
    (0..BITS_SET).map(move |n| {
        let at = hash.wrapping_add(step.wrapping_mul(u64::from(n)));
        // A power of two, so the mask holds, and below it the cast does.
        ((at >> 6) as usize & (words - 1), 1 << (at & 63))
    })
}

impl KnownIds {
    /// A filter for generations of so many ids, of which none is known yet.
    pub(crate) fn new(ids_per_generation: u64) -> Self {
        let inner = Inner {
            hasher: RandomState::default(),
            ids_per_generation,
            generations: [Generation::EMPTY, Generation::EMPTY],
            coming: None,
            open: HashMap::default(),
            closing: Vec::new(),
        };
        Self { inner: Arc::new(RwLock::new(inner)) }
    }

    /// False where no commit, done or under way, knows an open capture of this id; and the same of stored ones.
    pub(crate) fn may_know(&self, id: &[u8]) -> (bool, bool) {
        let inner = self.read();
        let hash = inner.hasher.hash_one(id);
        let coming = inner.coming.iter().map(|(_, generation)| generation);
        let seen = inner.generations.iter().chain(coming).any(|generation| generation.may_hold(hash));
        (inner.open.contains_key(&hash), seen)
    }

    /// A generation has ids that are not going to be told.
    pub(crate) fn leave_unread(&self, generation: usize) {
        self.write().generations[generation] = Generation::Unread;
    }

    /// Ids that are stored with the next commit, in this generation; one that is emptied for them knows no others from then on.
    pub(crate) fn add_seen<'i>(&self, generation: usize, emptied: bool, ids: impl Iterator<Item = &'i [u8]>) {
        let mut inner = self.write();
        let inner = &mut *inner;
        if emptied {
            inner.coming = Some((generation, Generation::EMPTY));
        }
        let filled = match &mut inner.coming {
            Some((coming, filter)) if *coming == generation => filter,
            _ => &mut inner.generations[generation],
        };
        for id in ids {
            filled.add(inner.hasher.hash_one(id), inner.ids_per_generation);
        }
    }

    /// Captures that are open with the next commit, and those that are not any more.
    pub(crate) fn change_open<'i>(
        &self,
        removed: impl Iterator<Item = &'i [u8]>,
        added: impl Iterator<Item = &'i [u8]>,
    ) {
        let mut inner = self.write();
        let inner = &mut *inner;
        for id in added {
            *inner.open.entry(inner.hasher.hash_one(id)).or_default() += 1;
        }
        let hasher = &inner.hasher;
        inner.closing.extend(removed.map(|id| hasher.hash_one(id)));
    }

    /// The commit is done.
    pub(crate) fn committed(&self) {
        let mut inner = self.write();
        let inner = &mut *inner;
        if let Some((generation, filter)) = inner.coming.take() {
            inner.generations[generation] = filter;
        }
        for hash in inner.closing.drain(..) {
            if let Some(count) = inner.open.get_mut(&hash) {
                *count -= 1;
                if *count == 0 {
                    inner.open.remove(&hash);
                }
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(from: u32, to: u32) -> Vec<[u8; 4]> {
        (from..to).map(u32::to_be_bytes).collect()
    }

    fn each(ids: &[[u8; 4]]) -> impl Iterator<Item = &[u8]> {
        ids.iter().map(|id| &id[..])
    }

    #[test]
    fn filters_grow_with_the_ids_and_stay_good() {
        let known = KnownIds::new(1_000_000);
        let count = |known: &KnownIds| match &known.read().generations[0] {
            Generation::Told(filters) => filters.iter().map(|filter| filter.words.len() * 8).collect::<Vec<_>>(),
            Generation::Unread => panic!("it was told"),
        };
        known.add_seen(0, false, each(&ids(0, 1)));
        assert_eq!(count(&known), [128 << 10]);
        let stored = ids(0, 1_000_000);
        known.add_seen(0, false, each(&stored[1..]));
        assert_eq!(count(&known), [128 << 10, 512 << 10, 1 << 20]);
        assert!(each(&stored).all(|id| known.may_know(id).1));
        let wrong = each(&ids(1_000_000, 1_100_000)).filter(|id| known.may_know(id).1).count();
        assert!(wrong < 2500, "{wrong} of 100,000 look known");
    }

    #[test]
    fn what_is_stored_is_never_unknown_and_what_is_not_seldom_known() {
        let known = KnownIds::new(10_000);
        let stored = ids(0, 10_000);
        known.add_seen(0, false, each(&stored));
        known.committed();
        assert!(each(&stored).all(|id| known.may_know(id).1));
        let wrong = each(&ids(10_000, 20_000)).filter(|id| known.may_know(id).1).count();
        assert!(wrong < 600, "{wrong} of 10,000 look known");
        assert!(each(&stored).all(|id| !known.may_know(id).0));
    }

    #[test]
    fn a_generation_that_is_emptied_is_known_until_the_commit() {
        let known = KnownIds::new(100);
        let (old, new) = (ids(0, 10), ids(10, 20));
        known.add_seen(1, false, each(&old));
        known.committed();
        known.add_seen(1, true, each(&new));
        assert!(each(&old).chain(each(&new)).all(|id| known.may_know(id).1));
        known.committed();
        assert!(each(&new).all(|id| known.may_know(id).1));
        assert!(each(&old).filter(|id| known.may_know(id).1).count() < 5);
    }

    #[test]
    fn an_unread_generation_may_hold_anything_until_it_is_emptied() {
        let known = KnownIds::new(100);
        known.leave_unread(0);
        known.add_seen(0, false, each(&ids(0, 1)));
        assert!(known.may_know(b"whatever").1);
        known.add_seen(0, true, each(&ids(1, 2)));
        known.committed();
        assert!(!known.may_know(b"whatever").1);
    }

    #[test]
    fn open_captures_come_and_go_with_commits() {
        let known = KnownIds::new(100);
        let id = ids(0, 1);
        known.change_open(each(&[]), each(&id));
        assert!(known.may_know(&id[0]).0);
        known.committed();
        // Closed, and open anew as another capture, in one commit.
        known.change_open(each(&id), each(&id));
        known.committed();
        assert!(known.may_know(&id[0]).0);
        known.change_open(each(&id), each(&[]));
        assert!(known.may_know(&id[0]).0, "the commit before still knows it");
        known.committed();
        assert!(!known.may_know(&id[0]).0);
    }
}
