//! What a verification finds, and the counts of it.

use serde::Serialize;

/// What is wrong with an exchange or an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// In the logs, and not stored.
    Missing,
    /// Stored more than once, or some of it is.
    Twice,
    /// Stored, and not as the logs have it.
    Different,
    /// Stored as incomplete.
    Incomplete,
    /// An object, or a line of it, that cannot be read or is not what its name says.
    Damaged,
    /// Stored, and not in the logs.
    Unknown,
}

impl Verdict {
    /// All, in the order in which they are reported.
    pub const ALL: [Verdict; 6] =
        [Verdict::Missing, Verdict::Twice, Verdict::Different, Verdict::Incomplete, Verdict::Damaged, Verdict::Unknown];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Missing => "missing",
            Verdict::Twice => "twice",
            Verdict::Different => "different",
            Verdict::Incomplete => "incomplete",
            Verdict::Damaged => "damaged",
            Verdict::Unknown => "unknown",
        }
    }
}

/// Who lost what is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// The logs do not hold all of it either.
    Log,
    /// The logs hold more than what is stored.
    Store,
}

/// One thing that is wrong. Texts may hold what logs and names of objects say: escape them before a terminal sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    #[serde(rename = "finding")]
    pub verdict: Verdict,
    /// The exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The object's key, relative to the destination's root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Another object that has to do with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_object: Option<String>,
    /// The fields that differ (`response.body`), the chunks that are missing (`request.chunk:3-5`), or what is damaged (`hash`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub what: Vec<String>,
    /// Of an incomplete exchange: where the rest was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The same as a sentence's end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl Finding {
    /// A finding with nothing but its verdict.
    pub(super) fn new(verdict: Verdict) -> Finding {
        Finding {
            verdict,
            id: None,
            object: None,
            other_object: None,
            what: Vec::new(),
            fault: None,
            why: String::new(),
        }
    }
}

/// Counts of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Bytes of logs read, uncompressed.
    pub log_bytes: u64,
    /// Lines of logs.
    pub log_lines: u64,
    /// Lines over the limit, which were skipped.
    pub long_lines: u64,
    /// Records that could not be used.
    pub bad_records: u64,
    /// Records of captures that were there already, or contradict what was.
    pub repeated_records: u64,
    /// Exchanges that the logs have whole.
    pub logged_complete: u64,
    /// Exchanges of which the logs have parts.
    pub logged_incomplete: u64,
    /// Objects read: batches.
    pub objects: u64,
    /// Objects read: bodies.
    pub bodies: u64,
    /// Objects whose keys are none of this layout, and which were not looked at.
    pub foreign_objects: u64,
    /// Bytes of objects read, as they are stored.
    pub object_bytes: u64,
    /// Exchanges read in them.
    pub stored: u64,
    /// Exchanges that are stored as the logs have them.
    pub good: u64,
    /// Of these, stored in several pieces that make the whole.
    pub in_pieces: u64,
    /// Of these, stored whole while the logs have parts only: other logs have the rest.
    pub more_than_logged: u64,
    /// Too young to be judged.
    pub pending: u64,
    /// Not stored.
    pub missing: u64,
    /// Stored twice.
    pub twice: u64,
    /// Stored otherwise.
    pub different: u64,
    /// Stored incomplete, as the logs have them.
    pub incomplete_in_log: u64,
    /// Stored incomplete, while the logs have more.
    pub incomplete_in_store: u64,
    /// Damaged objects, lines and bodies.
    pub damaged: u64,
    /// Exchanges stored, and not in the logs.
    pub unknown: u64,
}

impl Counts {
    /// How many findings of a kind there are.
    pub fn of(&self, verdict: Verdict) -> u64 {
        match verdict {
            Verdict::Missing => self.missing,
            Verdict::Twice => self.twice,
            Verdict::Different => self.different,
            Verdict::Incomplete => self.incomplete_in_log + self.incomplete_in_store,
            Verdict::Damaged => self.damaged,
            Verdict::Unknown => self.unknown,
        }
    }

    pub(super) fn count(&mut self, finding: &Finding) {
        let counter = match (finding.verdict, finding.fault) {
            (Verdict::Missing, _) => &mut self.missing,
            (Verdict::Twice, _) => &mut self.twice,
            (Verdict::Different, _) => &mut self.different,
            (Verdict::Incomplete, Some(Fault::Log)) => &mut self.incomplete_in_log,
            (Verdict::Incomplete, _) => &mut self.incomplete_in_store,
            (Verdict::Damaged, _) => &mut self.damaged,
            (Verdict::Unknown, _) => &mut self.unknown,
        };
        *counter += 1;
    }
}
