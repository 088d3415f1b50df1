//! The judge: every stored exchange is held against the expectation, and what is left over at the end is missing.

use std::collections::HashMap;

use reassemble_formats::layout::Partition;
use reassemble_formats::timestamp::usable_ts;
use reassemble_formats::{CaptureId, Part};

use super::expected::{Expectations, Expected, Logged};
use super::finding::{Counts, Fault, Finding, Verdict};
use super::pieces::{Held, Piece, Wanted, hold};
use super::prints::{Run, Scope, body_name};
use super::stored::{Stored, StoredPart};

/// Takes stored exchanges, and tells findings.
pub(super) struct Judge<'j> {
    expectations: &'j mut Expectations,
    pub(super) counts: &'j mut Counts,
    tell: &'j mut dyn FnMut(&Finding),
    /// Whether what is not in the logs is told one by one.
    tell_unknown: bool,
    /// Captures with a later time are too young to be judged, in microseconds since the Unix epoch.
    pending_after_us: i64,
    /// Incomplete exchanges and supplements, until all are there.
    pieces: HashMap<CaptureId, Vec<Incomplete>>,
    /// Keys of objects that hold exchanges of the logs, by number.
    objects: Vec<String>,
}

/// An incomplete stored exchange.
#[derive(Debug)]
struct Incomplete {
    object: u32,
    parts: [Option<Piece>; 2],
}

impl<'j> Judge<'j> {
    /// A judge that knows no stored exchange yet.
    pub(super) fn new(
        expectations: &'j mut Expectations,
        counts: &'j mut Counts,
        tell_unknown: bool,
        pending_after_us: i64,
        tell: &'j mut dyn FnMut(&Finding),
    ) -> Self {
        Judge {
            expectations,
            counts,
            tell,
            tell_unknown,
            pending_after_us,
            pieces: HashMap::new(),
            objects: Vec::new(),
        }
    }

    /// Counts and tells a finding.
    pub(super) fn find(&mut self, finding: &Finding) {
        self.counts.count(finding);
        (self.tell)(finding);
    }

    /// Whether the logs have anything of an exchange; where not, it is counted.
    pub(super) fn knows(&mut self, id: &CaptureId, key: &str) -> bool {
        if self.expectations.get_mut(id).is_some() {
            return true;
        }
        let finding =
            Finding { id: Some(id.to_string()), object: Some(key.to_owned()), ..Finding::new(Verdict::Unknown) };
        self.counts.count(&finding);
        if self.tell_unknown {
            (self.tell)(&finding);
        }
        false
    }

    /// Takes an exchange that the logs know. `bodies` are those of its parts, as captured; nothing where one could not be read, which was told.
    pub(super) fn take(&mut self, key: &str, place: &Partition, stored: Stored, bodies: [Option<Run>; 2]) {
        let object = self.object(key);
        let Some(expected) = self.expectations.get_mut(&stored.id) else { return };
        let mut different = differences(expected, &stored, bodies);
        let ts_us = usable_ts(&stored.ts, i64::MAX).unwrap_or_default();
        if Partition::new(place.class(), stored.service.as_deref(), ts_us) != *place {
            different.push("key".to_owned());
        }
        expected.differs |= !different.is_empty() || unread(&stored.parts, bodies);
        let mut other = None;
        if stored.complete {
            other = (expected.complete > 0).then_some(expected.object);
            expected.complete = expected.complete.saturating_add(1);
            if other.is_none() {
                expected.object = object;
            }
        }
        if !different.is_empty() {
            self.find(&Finding {
                id: Some(stored.id.to_string()),
                object: Some(key.to_owned()),
                why: different.join(", "),
                what: different,
                ..Finding::new(Verdict::Different)
            });
        }
        if let Some(first) = other {
            self.find(&Finding {
                id: Some(stored.id.to_string()),
                object: self.objects.get(first as usize).cloned(),
                other_object: Some(key.to_owned()),
                why: "complete in both".to_owned(),
                ..Finding::new(Verdict::Twice)
            });
        }
        if !stored.complete {
            let mut bodies = bodies.into_iter();
            let parts = stored.parts.map(|part| {
                let body = bodies.next().flatten();
                part.map(|part| Piece { body, extent: part.extent, fragments: part.fragments })
            });
            self.pieces.entry(stored.id).or_default().push(Incomplete { object, parts });
        }
    }

    /// Everything is read: what was not found is missing, and pieces are put together.
    pub(super) fn finish(mut self) {
        let mut left = Vec::new();
        for (id, expected) in self.expectations.iter() {
            if expected.complete == 0 || self.pieces.contains_key(id) {
                left.push(id.clone());
            } else if expected.complete == 1 && !expected.differs {
                self.counts.good += 1;
                self.counts.more_than_logged += u64::from(!expected.logged.is_whole());
            }
        }
        left.sort_unstable();
        for id in left {
            let pieces = self.pieces.remove(&id).unwrap_or_default();
            let Some(expected) = self.expectations.get_mut(&id) else { continue };
            let is_young = expected.logged.ts_us() > self.pending_after_us;
            match judged(expected, &pieces) {
                Judged::Good => {
                    self.counts.good += 1;
                    self.counts.in_pieces += 1;
                }
                Judged::Told => {}
                Judged::Wrong(Verdict::Missing | Verdict::Incomplete, ..) if is_young => self.counts.pending += 1,
                Judged::Wrong(verdict, fault, what, why) => {
                    let of_complete = (expected.complete > 0).then_some(expected.object);
                    let mut objects = of_complete.into_iter().chain(pieces.iter().map(|piece| piece.object));
                    let mut key = || self.objects.get(objects.next()? as usize).cloned();
                    let (object, other_object) = (key(), key());
                    let id = Some(id.to_string());
                    self.find(&Finding { verdict, id, object, other_object, what, fault, why });
                }
            }
        }
    }

    fn object(&mut self, key: &str) -> u32 {
        if self.objects.last().is_none_or(|last| last != key) {
            self.objects.push(key.to_owned());
        }
        u32::try_from(self.objects.len() - 1).unwrap_or(u32::MAX)
    }
}

/// Whether a body could not be read.
fn unread(parts: &[Option<StoredPart>; 2], bodies: [Option<Run>; 2]) -> bool {
    parts.iter().zip(bodies).any(|(part, body)| part.is_some() && body.is_none())
}

/// What a stored exchange has otherwise than the logs, as far as both have it.
fn differences(expected: &Expected, stored: &Stored, bodies: [Option<Run>; 2]) -> Vec<String> {
    let has_head = |part: Part| stored.parts[part as usize].as_ref().is_some_and(|part| part.has_head);
    let ts = !stored.ts_is_reading;
    match &expected.logged {
        Logged::Whole(whole) => {
            // Of a piece, only what its heads say is compared; the rest is when all pieces are there.
            let scope = Scope {
                request_head: stored.complete || has_head(Part::Request),
                response_head: stored.complete || has_head(Part::Response),
                tails: stored.complete,
                ts,
            };
            let mut different: Vec<String> =
                whole.facts.unpack().differences(&stored.facts, scope).into_iter().map(str::to_owned).collect();
            if stored.complete {
                for part in Part::BOTH {
                    let (chunks, run) = whole.bodies[part as usize];
                    let found = stored.parts[part as usize].is_some();
                    if found != (chunks > 0) {
                        different.push(part.name().to_owned());
                    } else if found && bodies[part as usize].is_some_and(|body| body != run) {
                        different.push(body_name(part).to_owned());
                    }
                }
            }
            different
        }
        Logged::Open(open) => {
            let both = |part| open.has_head(part) && has_head(part);
            let scope =
                Scope { request_head: both(Part::Request), response_head: both(Part::Response), tails: false, ts };
            open.facts().differences(&stored.facts, scope).into_iter().map(str::to_owned).collect()
        }
    }
}

/// What all that is stored of an exchange comes to.
enum Judged {
    Good,
    /// Something was told of it already.
    Told,
    Wrong(Verdict, Option<Fault>, Vec<String>, String),
}

fn judged(expected: &Expected, pieces: &[Incomplete]) -> Judged {
    let wrong = |verdict, fault, what, why: &str| Judged::Wrong(verdict, fault, what, why.to_owned());
    if pieces.is_empty() {
        let why = if expected.logged.is_whole() { "" } else { "the logs have parts of it" };
        return wrong(Verdict::Missing, None, Vec::new(), why);
    }
    if expected.complete > 0 {
        return wrong(Verdict::Twice, None, Vec::new(), "complete, and again in pieces");
    }
    let (mut twice, mut different, mut lacking) = (Vec::new(), Vec::new(), Vec::new());
    for part in Part::BOTH {
        let of_part: Vec<&Piece> = pieces.iter().filter_map(|piece| piece.parts[part as usize].as_ref()).collect();
        let Held { twice: is_twice, differs, lacks } = hold(&wanted(&expected.logged, part), &of_part);
        twice.extend(is_twice.then(|| part.name().to_owned()));
        different.extend(differs.then(|| body_name(part).to_owned()));
        lacking.extend(lacks.into_iter().map(|(first, last)| match first == last {
            true => format!("{}.chunk:{first}", part.name()),
            false => format!("{}.chunk:{first}-{last}", part.name()),
        }));
    }
    if !twice.is_empty() {
        wrong(Verdict::Twice, None, twice, "the same chunks in several incomplete exchanges")
    } else if !different.is_empty() {
        let why = format!("{}, put together from its pieces", different.join(", "));
        wrong(Verdict::Different, None, different, &why)
    } else if !lacking.is_empty() {
        lacking.truncate(MAX_NAMED);
        wrong(Verdict::Incomplete, Some(Fault::Store), lacking, "the logs have more than is stored")
    } else if expected.differs {
        Judged::Told
    } else if !expected.logged.is_whole() {
        wrong(Verdict::Incomplete, Some(Fault::Log), Vec::new(), "in the logs too; all that they have is stored")
    } else if pieces.len() == 1 {
        wrong(Verdict::Incomplete, Some(Fault::Store), Vec::new(), "all of it is stored, and not as complete")
    } else {
        Judged::Good
    }
}

/// Missing chunks that are named.
const MAX_NAMED: usize = 32;

fn wanted(logged: &Logged, part: Part) -> Wanted {
    match logged {
        Logged::Whole(whole) => {
            let (chunks, run) = whole.bodies[part as usize];
            Wanted { of: Some(chunks), next: chunks, run, behind_gap: Vec::new() }
        }
        Logged::Open(open) => {
            let part = open.part(part);
            Wanted { of: part.of, next: part.next, run: part.run, behind_gap: part.behind_gap().collect() }
        }
    }
}
