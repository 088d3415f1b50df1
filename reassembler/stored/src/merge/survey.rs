//! Which captures have several pieces, or a piece and a complete exchange, and in which objects they lie.
//!
//! A capture is a 64-bit hash of its id here, and some 32 bytes. Two captures of one hash are looked at closer than need be, and come out as
//! they were.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use reassemble_formats::CaptureId;
use reassemble_formats::exchange::{Refusal, StoredLine};
use reassemble_formats::layout::{Partition, RetentionClass};

use super::journal::Plan;
use super::read::{BatchRead, Line};
use super::{MergeError, Merger, Progress};
use crate::objects::Key;

/// No object.
const NONE: u32 = u32::MAX;

/// What was found.
pub(super) struct Survey {
    /// Where pieces lie.
    pub(super) class: RetentionClass,
    keys: Vec<String>,
    /// Whether an object holds something of a capture of which there are several.
    is_source: Vec<bool>,
    /// The objects among them that hold complete exchanges.
    with_complete: Vec<u32>,
    /// The services and hours of pieces that tell them, in the class of pieces.
    hours: HashSet<Partition>,
    hasher: RandomState,
    captures: HashMap<u64, Counted, RandomState>,
}

/// What is stored of one capture.
#[derive(Clone, Copy, Debug)]
struct Counted {
    /// Pieces that can be joined, at most 255.
    usable: u8,
    /// The others, and why the last one cannot.
    refused: u8,
    why: Option<Refusal>,
    /// Complete exchanges.
    complete: u8,
    /// Bytes of the lines of these and of usable pieces, at most 4 GiB.
    line_bytes: u32,
    /// The object of the first of them.
    object: u32,
    /// Whether a piece tells the service and the hour.
    has_hour: bool,
    /// What was decided to leave as it is.
    pieces_stay: bool,
    complete_stay: bool,
    /// The object whose complete exchange stays, where the others go.
    keeper: u32,
}

/// A piece of a capture, as it was found.
struct Found {
    capture: u64,
    line_bytes: u32,
    refused: Option<Refusal>,
    has_hour: bool,
}

impl Default for Counted {
    fn default() -> Self {
        Counted {
            usable: 0,
            refused: 0,
            why: None,
            complete: 0,
            line_bytes: 0,
            object: NONE,
            has_hour: false,
            pieces_stay: false,
            complete_stay: false,
            keeper: NONE,
        }
    }
}

impl Counted {
    /// How many there are that something can be done about.
    fn several(&self) -> u16 {
        u16::from(self.usable) + u16::from(self.complete)
    }
}

impl Survey {
    fn new(class: RetentionClass, keys: Vec<String>) -> Self {
        let is_source = vec![false; keys.len()];
        Survey {
            class,
            keys,
            is_source,
            with_complete: Vec::new(),
            hours: HashSet::new(),
            hasher: RandomState::default(),
            captures: HashMap::default(),
        }
    }

    pub(super) fn hash(&self, id: &CaptureId) -> u64 {
        self.hasher.hash_one(id)
    }

    pub(super) fn add_key(&mut self, key: String) -> u32 {
        self.keys.push(key);
        self.is_source.push(false);
        // So many objects have no listing that memory holds.
        u32::try_from(self.keys.len() - 1).unwrap_or(NONE)
    }

    fn count(&mut self, object: u32, found: &Found) {
        let counted = self.captures.entry(found.capture).or_default();
        if let Some(why) = found.refused {
            counted.refused = counted.refused.saturating_add(1);
            counted.why = Some(why);
            return;
        }
        counted.usable = counted.usable.saturating_add(1);
        counted.has_hour |= found.has_hour;
        self.meet(found.capture, object, found.line_bytes);
    }

    /// Counts a complete exchange.
    pub(super) fn count_complete(&mut self, object: u32, capture: u64, line_bytes: u32) {
        let counted = self.captures.entry(capture).or_default();
        counted.complete = counted.complete.saturating_add(1);
        self.meet(capture, object, line_bytes);
    }

    /// Where there are two, the objects of both are sources.
    fn meet(&mut self, capture: u64, object: u32, line_bytes: u32) {
        let Some(counted) = self.captures.get_mut(&capture) else { return };
        counted.line_bytes = counted.line_bytes.saturating_add(line_bytes);
        if counted.object == NONE {
            counted.object = object;
        } else {
            self.is_source[counted.object as usize] = true;
            self.is_source[object as usize] = true;
        }
    }

    /// Forgets the captures of which there is one alone.
    fn settle(&mut self) {
        self.captures.retain(|_, counted| counted.several() > 1);
        self.captures.shrink_to_fit();
    }

    /// Whether anything of a capture was found so far.
    pub(super) fn has(&self, capture: u64) -> bool {
        self.captures.contains_key(&capture)
    }

    /// The services and hours, in the class of pieces, in which complete exchanges of the pieces can lie; nothing where they can lie anywhere.
    pub(super) fn hours(&self) -> Option<HashSet<Partition>> {
        let is_anywhere = self.captures.values().any(|counted| counted.usable > 0 && !counted.has_hour);
        (!is_anywhere).then(|| self.hours.clone())
    }

    /// The objects in which complete exchanges were met while pieces were looked for.
    pub(super) fn with_complete(&self) -> Vec<(u32, String)> {
        self.with_complete.iter().map(|object| (*object, self.key(*object).to_owned())).collect()
    }

    /// Whether there are pieces that a complete exchange could hold.
    pub(super) fn has_pieces(&self) -> bool {
        self.captures.values().any(|counted| counted.usable > 0)
    }

    /// The objects that hold something of captures with several.
    pub(super) fn sources(&self) -> impl Iterator<Item = (u32, &str)> {
        (0u32..)
            .zip(&self.keys)
            .zip(&self.is_source)
            .filter(|(_, is_source)| **is_source)
            .map(|((n, key), _)| (n, key.as_str()))
    }

    /// The key of an object.
    pub(super) fn key(&self, object: u32) -> &str {
        self.keys.get(object as usize).map_or("", String::as_str)
    }

    /// How many captures have several.
    pub(super) fn captures(&self) -> u64 {
        self.captures.len() as u64
    }

    /// Whether a capture is one of them; then its hash.
    pub(super) fn several(&self, id: &CaptureId) -> Option<u64> {
        Some(self.hash(id)).filter(|hash| self.has(*hash))
    }

    /// The pieces of a capture stay.
    pub(super) fn leave_pieces(&mut self, capture: u64) {
        if let Some(counted) = self.captures.get_mut(&capture) {
            counted.pieces_stay = true;
        }
    }

    /// Of the complete exchanges of a capture that in this object stays, or all.
    pub(super) fn leave_complete(&mut self, capture: u64, keeper: Option<u32>) {
        if let Some(counted) = self.captures.get_mut(&capture) {
            match keeper {
                // Of two captures with one hash each has its own.
                Some(keeper) if counted.keeper == NONE || counted.keeper == keeper => counted.keeper = keeper,
                _ => counted.complete_stay = true,
            }
        }
    }

    /// Whether any complete exchange goes.
    pub(super) fn has_repeated(&self) -> bool {
        self.captures.values().any(|counted| counted.keeper != NONE && !counted.complete_stay)
    }

    /// Whether a line of an object is stored elsewhere and goes; `kept` remembers what of the object stays in place of others.
    pub(super) fn goes(&self, object: u32, line: &[u8], kept: &mut HashSet<CaptureId>) -> bool {
        let Some((id, is_complete)) = StoredLine::glance(line) else { return false };
        let Some(counted) = self.captures.get(&self.hash(&id)) else { return false };
        match is_complete {
            true if counted.complete_stay || counted.keeper == NONE => false,
            true => counted.keeper != object || !kept.insert(id),
            false => {
                !counted.pieces_stay
                    && counted.usable > 0
                    && self.is_of_pieces(object)
                    && matches!(StoredLine::parse(line), Some(StoredLine { piece: Some(Ok(_)), .. }))
            }
        }
    }

    /// Whether an object is of the class of pieces.
    pub(super) fn is_of_pieces(&self, object: u32) -> bool {
        matches!(Key::parse(self.key(object)), Key::Batch { place, .. } if place.class() == self.class)
    }

    /// Of objects that hold the same exchange that which is kept longest; of several the first by its key, so that every merge chooses the same.
    pub(super) fn longest_kept(&self, objects: impl Iterator<Item = u32>) -> Option<u32> {
        let days = |object: u32| match Key::parse(self.key(object)) {
            Key::Batch { place, .. } => place.class().days(),
            _ => 0,
        };
        objects.min_by_key(|object| (std::cmp::Reverse(days(*object)), self.key(*object)))
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
    /// Looks for captures of which there are several, in the objects of a plan or in all.
    pub(super) fn survey(&mut self, class: RetentionClass, plan: Option<Plan>) -> Result<Survey, MergeError> {
        let (is_planned, repeated) = (plan.is_some(), plan.as_ref().map_or(self.config.repeated, |plan| plan.repeated));
        let mut survey = match plan {
            Some(plan) => Survey::new(plan.class, plan.sources),
            None => Survey::new(class, self.batches(class)?),
        };
        self.look_for_pieces(&mut survey)?;
        if survey.has_pieces() || repeated {
            self.look_for_complete(&mut survey, is_planned, repeated)?;
        }
        for counted in survey
            .captures
            .values()
            .filter(|counted| counted.refused > 0 && counted.several() + u16::from(counted.refused) > 1)
        {
            let reason = counted.why.map_or("malformed", Refusal::name);
            *self.outcome.refused.entry(reason).or_default() += 1;
        }
        survey.settle();
        Ok(survey)
    }

    fn look_for_pieces(&mut self, survey: &mut Survey) -> Result<(), MergeError> {
        for object in 0..u32::try_from(survey.keys.len()).unwrap_or(NONE) {
            let key = &survey.keys[object as usize];
            let Key::Batch { place, .. } = Key::parse(key) else { continue };
            let is_of_pieces = place.class() == survey.class;
            // Of a damaged object nothing counts, and that is known at its end.
            let (mut found, mut with_complete) = (Vec::new(), false);
            let read = self.read_batch(key, &mut |line| {
                let Line::Whole(line) = line else { return Ok(()) };
                if let Some((_, true)) = StoredLine::glance(line) {
                    with_complete = true;
                } else if is_of_pieces && let Some(StoredLine { id, piece: Some(piece) }) = StoredLine::parse(line) {
                    found.push(Found {
                        capture: survey.hash(&id),
                        line_bytes: length(line),
                        has_hour: piece.as_ref().is_ok_and(|piece| piece.is_in_its_hour),
                        refused: piece.err(),
                    });
                }
                Ok(())
            })?;
            if !self.has_read(key, &read) {
                continue;
            }
            if with_complete {
                survey.with_complete.push(object);
            }
            self.outcome.incomplete += found.len() as u64;
            if found.iter().any(|found| found.has_hour) {
                survey.hours.insert(place);
            }
            found.iter().for_each(|found| survey.count(object, found));
        }
        Ok(())
    }

    /// Accounts for an object that was read; false where nothing of it counts.
    pub(super) fn has_read(&mut self, key: &str, read: &BatchRead) -> bool {
        match read {
            BatchRead::Whole { bytes } => {
                self.outcome.objects_read += 1;
                self.outcome.bytes_read += bytes;
            }
            BatchRead::Gone => {}
            BatchRead::Damaged => {
                self.outcome.objects_damaged += 1;
                tracing::warn!(object = key, "cannot be read to its end, or was changed: it stays as it is");
            }
        }
        (self.progress)(&Progress::Looking { objects: self.outcome.objects_read, bytes: self.outcome.bytes_read });
        matches!(read, BatchRead::Whole { .. })
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

/// The length of a line, at most 4 GiB.
pub(super) fn length(line: &[u8]) -> u32 {
    u32::try_from(line.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(capture: u64, line_bytes: u32, refused: Option<Refusal>) -> Found {
        Found { capture, line_bytes, refused, has_hour: false }
    }

    fn sources(survey: &Survey) -> Vec<&str> {
        survey.sources().map(|(_, key)| key).collect()
    }

    #[test]
    fn objects_with_several_of_a_capture_are_sources_and_others_are_not() {
        let class = RetentionClass::from_days(7).unwrap();
        let mut survey = Survey::new(class, ["a", "b", "c", "d"].map(str::to_owned).into());
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
        assert_eq!(sources(&survey), ["a", "c", "d"]);
        let other = survey.add_key("e".to_owned());
        survey.count_complete(other, 8, 50);
        survey.settle();
        assert_eq!(sources(&survey), ["a", "b", "c", "d", "e"]);
        assert_eq!(survey.captures(), 3);
        assert_eq!(survey.ranges(350), [0..=u64::MAX - 1, u64::MAX..=u64::MAX]);
        assert_eq!(survey.ranges(1).len(), 3);
        assert_eq!(survey.ranges(600), [0..=u64::MAX]);
    }

    #[test]
    fn a_complete_exchange_goes_where_another_object_keeps_it_and_no_capture_of_its_hash_needs_it() {
        let class = RetentionClass::from_days(7).unwrap();
        let mut survey = Survey::new(class, ["a", "b"].map(str::to_owned).into());
        let line = br#"{"v":1,"id":"x","complete":true}"#;
        let hash = survey.hash(&CaptureId::parse(b"x").unwrap());
        survey.count_complete(0, hash, 9);
        survey.count_complete(1, hash, 9);
        let goes = |survey: &Survey, object| survey.goes(object, line, &mut HashSet::new());
        assert!(!goes(&survey, 0) && !goes(&survey, 1));
        survey.leave_complete(hash, Some(1));
        assert!(goes(&survey, 0) && !goes(&survey, 1));
        let mut kept = HashSet::new();
        assert!(!survey.goes(1, line, &mut kept) && survey.goes(1, line, &mut kept));
        survey.leave_complete(hash, Some(0));
        assert!(!goes(&survey, 0) && !goes(&survey, 1));
    }
}
