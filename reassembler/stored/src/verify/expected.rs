//! What the logs hold, capture by capture: the expectation that a destination is judged by.
//!
//! This is a second, simpler reading of the specification's "How a reader assembles" (L-7), kept apart from the assembler so that a fault in one does
//! not hide in the other.

use std::collections::{HashMap, HashSet};

use reassemble_formats::head::Place;
use reassemble_formats::sign::{KeyIndex, KeyRing};
use reassemble_formats::timestamp::usable_ts;
use reassemble_formats::{CaptureId, Chunk, Part};

use super::part::LoggedPart;
use super::prints::{Facts, Field, PackedFacts, Run};

/// Every capture of the logs.
#[derive(Debug, Default)]
pub(super) struct Expectations {
    captures: HashMap<CaptureId, Expected>,
    /// Whose lines count; nothing where lines need no signature.
    keys: Option<KeyRing>,
    /// Captures whose keys may not sign for their services.
    not_to_be_stored: HashSet<CaptureId>,
    /// Chunks that were there already, or contradict what was.
    pub(super) repeated: u64,
    /// Chunks that nobody signed who may.
    pub(super) refused: u64,
}

/// One capture, and what was found of it.
#[derive(Debug)]
pub(super) struct Expected {
    /// The key that its first line fits, and all others must.
    key: Option<KeyIndex>,
    pub(super) logged: Logged,
    /// How often it was found complete.
    pub(super) complete: u8,
    /// Whether what was found differs.
    pub(super) differs: bool,
    /// Where it was found complete first: the object's number.
    pub(super) object: u32,
}

/// What the logs hold of a capture.
#[derive(Debug)]
pub(super) enum Logged {
    /// Parts of it.
    Open(Box<Open>),
    /// All of it: nothing that comes later counts.
    Whole(Box<Whole>),
}

/// A capture that is not whole.
#[derive(Debug, Default)]
pub(super) struct Open {
    parts: [LoggedPart; 2],
}

/// A capture that is.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) facts: PackedFacts,
    /// Each part's chunks and body.
    pub(super) bodies: [(u32, Run); 2],
    /// Its latest time, in microseconds since the Unix epoch; `i64::MIN` where there is none.
    pub(super) ts_us: i64,
}

impl Expectations {
    /// No expectations yet; where there are keys, of signed lines alone.
    pub(super) fn of(keys: Option<KeyRing>) -> Self {
        Expectations { keys, ..Expectations::default() }
    }

    /// Takes a chunk, in the order in which the logs have it.
    pub(super) fn take(&mut self, chunk: Chunk) {
        let key = self.keys.as_ref().and_then(|keys| keys.check(&chunk));
        if self.keys.is_some() && (key.is_none() || self.not_to_be_stored.contains(&chunk.id)) {
            self.refused += 1;
            return;
        }
        let id = chunk.id.clone();
        let expected = self.captures.entry(id.clone()).or_insert_with(|| Expected {
            key,
            logged: Logged::Open(Box::default()),
            complete: 0,
            differs: false,
            object: 0,
        });
        let Logged::Open(open) = &mut expected.logged else {
            self.repeated += 1;
            return;
        };
        if key != expected.key {
            self.refused += 1;
        } else if !open.part_mut(chunk.part).take(chunk) {
            self.repeated += 1;
        } else if let Some(whole) = open.whole() {
            if may_sign(self.keys.as_ref(), key, open) {
                expected.logged = Logged::Whole(Box::new(whole));
            } else {
                self.captures.remove(&id);
                self.not_to_be_stored.insert(id);
            }
        }
    }

    /// The logs are read: forgets captures whose keys may not sign for their services.
    pub(super) fn end(&mut self) {
        let keys = self.keys.as_ref();
        self.captures.retain(|_, expected| match &expected.logged {
            Logged::Open(open) => may_sign(keys, expected.key, open),
            Logged::Whole(_) => true,
        });
    }

    /// A capture's expectation.
    pub(super) fn get_mut(&mut self, id: &CaptureId) -> Option<&mut Expected> {
        self.captures.get_mut(id)
    }

    /// All captures, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&CaptureId, &Expected)> {
        self.captures.iter()
    }

    /// How many captures there are.
    pub(super) fn len(&self) -> usize {
        self.captures.len()
    }
}

/// Whether a capture's key may sign for its service (L-8.7).
fn may_sign(keys: Option<&KeyRing>, key: Option<KeyIndex>, open: &Open) -> bool {
    let (Some(keys), Some(key)) = (keys, key) else { return true };
    keys.may_sign(key, open.part(Part::Request).section(Part::Request, Place::Head).service.as_deref())
}

impl Open {
    fn part_mut(&mut self, part: Part) -> &mut LoggedPart {
        &mut self.parts[part as usize]
    }

    /// What came of a part.
    pub(super) fn part(&self, part: Part) -> &LoggedPart {
        &self.parts[part as usize]
    }

    /// The finished expectation, where nothing is missing.
    fn whole(&self) -> Option<Whole> {
        let [request, response] = &self.parts;
        if !request.is_whole(Part::Request) {
            return None;
        }
        let head = request.section(Part::Request, Place::Head);
        if !response.is_whole(Part::Response) && (response.came() || !head.oneway) {
            return None;
        }
        let mut facts = self.facts();
        if head.oneway {
            facts.fall_back(Field::Duration, Field::RequestUs);
        }
        Some(Whole {
            facts: facts.pack(),
            bodies: [(request.next, request.run), (response.next, response.run)],
            ts_us: self.ts_us(),
        })
    }

    /// What its heads and tails say together.
    pub(super) fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        // Later ones stand over earlier ones: a tail's status over a head's, a request's `ts` over a response's, and a response's error
        // over a request's.
        for (part, place) in [
            (Part::Response, Place::Head),
            (Part::Request, Place::Head),
            (Part::Request, Place::Tail),
            (Part::Response, Place::Tail),
        ] {
            facts.overlay(&self.part(part).section(part, place).facts);
        }
        facts
    }

    /// Whether the head of a part came.
    pub(super) fn has_head(&self, part: Part) -> bool {
        self.part(part).section(part, Place::Head).is_object
    }

    fn ts_us(&self) -> i64 {
        let of_part = |part| {
            let ts = self.part(part).section(part, Place::Head).ts;
            ts.and_then(|ts| usable_ts(&ts, i64::MAX)).unwrap_or(i64::MIN)
        };
        of_part(Part::Request).max(of_part(Part::Response))
    }
}

impl Logged {
    /// The capture's latest time, in microseconds since the Unix epoch; `i64::MIN` where there is none.
    pub(super) fn ts_us(&self) -> i64 {
        match self {
            Logged::Open(open) => open.ts_us(),
            Logged::Whole(whole) => whole.ts_us,
        }
    }

    /// Whether the logs have all of it.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Logged::Whole(_))
    }
}
