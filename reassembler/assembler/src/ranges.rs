//! Sets of chunk numbers as ascending ranges: what came of a part is one range, or few, however many chunks it has.

use serde::{Deserialize, Serialize};

/// A set of numbers, as ranges (first and last) that are ascending and neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    pub(crate) fn as_slice(&self) -> &[(u32, u32)] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers are in it.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        self.range_of(number).is_some()
    }

    /// The last number of the range that `number` lies in.
    pub(crate) fn range_of(&self, number: u32) -> Option<u32> {
        let at = self.0.partition_point(|(_, last)| *last < number);
        self.0.get(at).filter(|(first, _)| *first <= number).map(|(_, last)| *last)
    }

    pub(crate) fn insert(&mut self, number: u32) {
        let at = self.0.partition_point(|(_, last)| *last < number);
        if self.0.get(at).is_some_and(|(first, _)| *first <= number) {
            return;
        }
        let joins_before = at > 0 && number.checked_sub(1) == Some(self.0[at - 1].1);
        let joins_after = self.0.get(at).is_some_and(|(first, _)| first.checked_sub(1) == Some(number));
        match (joins_before, joins_after) {
            (true, true) => {
                self.0[at - 1].1 = self.0[at].1;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].1 = number,
            (false, true) => self.0[at].0 = number,
            (false, false) => self.0.insert(at, (number, number)),
        }
    }

    /// Takes away every number from `from` on, and says how many those were.
    pub(crate) fn cut(&mut self, from: u32) -> u64 {
        let before = self.count();
        self.0.retain_mut(|(first, last)| {
            if let Some(below) = from.checked_sub(1) {
                *last = (*last).min(below);
            }
            *first < from
        });
        before - self.count()
    }

    /// Takes away the lowest numbers, those up to and with `last`.
    pub(crate) fn drop_through(&mut self, through: u32) {
        self.0.retain_mut(|(first, last)| {
            *first = (*first).max(through.saturating_add(1));
            *last > through
        });
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }
}

impl Extend<u32> for Ranges {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, numbers: I) {
        numbers.into_iter().for_each(|number| self.insert(number));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_a_set(numbers in proptest::collection::vec(0u32..40, 0..60), from in 0u32..45, through in 0u32..45) {
            let mut ranges = Ranges::default();
            ranges.extend(numbers.iter().copied());
            let mut set: BTreeSet<u32> = numbers.into_iter().collect();
            prop_assert!(ranges.iter().eq(set.iter().copied()));
            prop_assert!(ranges.as_slice().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            prop_assert!((0..45).all(|number| ranges.contains(number) == set.contains(&number)));
            prop_assert_eq!(ranges.count(), set.len() as u64);
            prop_assert_eq!(ranges.cut(from), set.split_off(&from).len() as u64);
            prop_assert!(ranges.iter().eq(set.iter().copied()));
            ranges.drop_through(through);
            set.retain(|number| *number > through);
            prop_assert!(ranges.iter().eq(set.into_iter()));
        }
    }
}
