//! Which captures have several pieces, and in which objects they lie.
//!
//! A capture is a 64-bit hash of its id here, and some 24 bytes. Two captures of one hash are looked at closer than need be, and come out as
//! they were.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use reassemble_formats::CaptureId;
use reassemble_formats::exchange::{Refusal, StoredLine};
use reassemble_formats::layout::RetentionClass;

use super::read::{BatchRead, Line};
use super::{MergeError, Merger, Progress};
use crate::objects::Key;

/// What was found.
pub(super) struct Survey {
    keys: Vec<String>,
    /// Whether an object holds a piece of a capture of which there are several.
    is_source: Vec<bool>,
    hasher: RandomState,
    captures: HashMap<u64, Counted, RandomState>,
}

/// The pieces of one capture.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    /// Those that can be joined, at most 255, and bytes of their lines, at most 4 GiB.
    usable: u8,
    line_bytes: u32,
    /// The others, and why the last one cannot.
    refused: u8,
    why: Option<Refusal>,
    /// The object of the first that can.
    object: u32,
}

/// A piece of a capture, as it was found.
struct Found {
    capture: u64,
    line_bytes: u32,
    refused: Option<Refusal>,
}

impl Survey {
    fn new(keys: Vec<String>) -> Self {
        let is_source = vec![false; keys.len()];
        Survey { keys, is_source, hasher: RandomState::default(), captures: HashMap::default() }
    }

    fn hash(&self, id: &CaptureId) -> u64 {
        self.hasher.hash_one(id)
    }

    fn count(&mut self, object: u32, found: &Found) {
        let counted = self.captures.entry(found.capture).or_default();
        if let Some(why) = found.refused {
            counted.refused = counted.refused.saturating_add(1);
            counted.why = Some(why);
            return;
        }
        if counted.usable == 0 {
            counted.object = object;
        } else {
            self.is_source[counted.object as usize] = true;
            self.is_source[object as usize] = true;
        }
        counted.usable = counted.usable.saturating_add(1);
        counted.line_bytes = counted.line_bytes.saturating_add(found.line_bytes);
    }

    /// Forgets the captures of which there is one piece.
    fn settle(&mut self) {
        self.captures.retain(|_, counted| counted.usable > 1);
        self.captures.shrink_to_fit();
    }

    /// The objects that hold pieces of captures with several.
    pub(super) fn sources(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().zip(&self.is_source).filter(|(_, is_source)| **is_source).map(|(key, _)| key.as_str())
    }

    /// How many captures have several pieces.
    pub(super) fn captures(&self) -> u64 {
        self.captures.len() as u64
    }

    /// How many pieces they have, about: 255 at most are counted of one.
    pub(super) fn pieces(&self) -> u64 {
        self.captures.values().map(|counted| u64::from(counted.usable)).sum()
    }

    /// Whether a capture is one of them; then its hash.
    pub(super) fn joins(&self, id: &CaptureId) -> Option<u64> {
        Some(self.hash(id)).filter(|hash| self.captures.contains_key(hash))
    }

    /// The captures that cannot be joined after all.
    pub(super) fn refuse(&mut self, capture: u64) {
        self.captures.remove(&capture);
    }

    /// Ranges of hashes, each of captures whose lines take about so many bytes.
    pub(super) fn ranges(&self, most_bytes: u64) -> Vec<std::ops::RangeInclusive<u64>> {
        let mut captures: Vec<(u64, u32)> =
            self.captures.iter().map(|(hash, counted)| (*hash, counted.line_bytes)).collect();
        captures.sort_unstable();
        let mut ranges = Vec::new();
        let (mut first, mut bytes) = (0, 0);
        for (hash, line_bytes) in captures {
            if bytes > 0 && bytes + u64::from(line_bytes) > most_bytes {
                ranges.push(first..=hash - 1);
                (first, bytes) = (hash, 0);
            }
            bytes += u64::from(line_bytes);
        }
        if bytes > 0 {
            ranges.push(first..=u64::MAX);
        }
        ranges
    }
}

impl Merger<'_> {
    /// Looks for captures with several pieces, in these objects or in all of the class.
    pub(super) fn survey(
        &mut self,
        sources: Option<Vec<String>>,
        incomplete: RetentionClass,
    ) -> Result<Survey, MergeError> {
        let keys = match sources {
            Some(sources) => sources,
            None => self.batches(incomplete)?,
        };
        let mut survey = Survey::new(keys);
        for object in 0..survey.keys.len() {
            // Of a damaged object nothing counts, and that is known at its end.
            let mut found = Vec::new();
            let read = self.read_batch(&survey.keys[object], &mut |line| {
                if let Line::Whole(line) = line
                    && let Some(StoredLine { id, piece: Some(piece) }) = StoredLine::parse(line)
                {
                    let line_bytes = u32::try_from(line.len()).unwrap_or(u32::MAX);
                    found.push(Found { capture: survey.hash(&id), line_bytes, refused: piece.err() });
                }
                Ok(())
            })?;
            match read {
                BatchRead::Whole { bytes } => {
                    self.outcome.objects_read += 1;
                    self.outcome.bytes_read += bytes;
                    self.outcome.incomplete += found.len() as u64;
                    // So many objects have no listing that memory holds.
                    let object = u32::try_from(object).unwrap_or(u32::MAX);
                    found.iter().for_each(|found| survey.count(object, found));
                }
                BatchRead::Gone => {}
                BatchRead::Damaged => {
                    self.outcome.objects_damaged += 1;
                    tracing::warn!(
                        object = survey.keys[object],
                        "cannot be read to its end, or was changed: it stays as it is"
                    );
                }
            }
            (self.progress)(&Progress::Looking { objects: self.outcome.objects_read, bytes: self.outcome.bytes_read });
        }
        for counted in survey
            .captures
            .values()
            .filter(|counted| counted.refused > 0 && u16::from(counted.usable) + u16::from(counted.refused) > 1)
        {
            let reason = counted.why.map_or("malformed", Refusal::name);
            *self.outcome.refused.entry(reason).or_default() += 1;
        }
        survey.settle();
        Ok(survey)
    }

    /// The keys of all batches of a class.
    fn batches(&self, class: RetentionClass) -> Result<Vec<String>, MergeError> {
        let mut listing = self.destination.list();
        let mut keys = Vec::new();
        while let Some(page) = self.runtime.block_on(listing.next_page())? {
            let is_batch = |key: &str| matches!(Key::parse(key), Key::Batch { place, .. } if place.class() == class);
            keys.extend(page.into_iter().map(|object| object.key).filter(|key| is_batch(key)));
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(capture: u64, line_bytes: u32, refused: Option<Refusal>) -> Found {
        Found { capture, line_bytes, refused }
    }

    #[test]
    fn objects_with_pieces_of_several_are_sources_and_others_are_not() {
        let mut survey = Survey::new(["a", "b", "c", "d"].map(str::to_owned).into());
        for (object, capture, refused) in [
            (0, 7, None),
            (1, 8, None),
            (2, 7, None),
            (3, 9, None),
            (1, 9, Some(Refusal::Decoded)),
            (3, u64::MAX, None),
            (3, u64::MAX, None),
        ] {
            survey.count(object, &found(capture, 100, refused));
        }
        survey.settle();
        assert_eq!(survey.sources().collect::<Vec<_>>(), ["a", "c", "d"]);
        assert_eq!((survey.captures(), survey.pieces()), (2, 4));
        assert_eq!(survey.ranges(200), [0..=u64::MAX - 1, u64::MAX..=u64::MAX]);
        assert_eq!(survey.ranges(1), survey.ranges(200));
        assert_eq!(survey.ranges(400), [0..=u64::MAX]);
    }
}
