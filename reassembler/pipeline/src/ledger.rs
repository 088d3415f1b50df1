//! The loss ledger: what became of every byte, line, record and exchange. Plain counts, kept over restarts, shown in the summary and as
//! metrics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts since the state directory was made (in the summary of a run: since its start).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// Bytes read from inputs.
    pub bytes_read: u64,
    /// Lines read.
    pub lines_read: u64,
    /// Capture records found, good and bad.
    pub records: u64,
    /// Good chunks that were there already.
    pub repeated: u64,
    /// Good chunks that contradict one that was there already.
    pub conflicting: u64,
    /// `meta` records.
    pub meta: u64,
    /// Bad records, by reason (`torn`, `bad_crc`, …).
    pub bad: BTreeMap<String, u64>,
    /// Lines over the limit, skipped.
    pub long_lines: u64,
    /// Bytes of those lines.
    pub long_line_bytes: u64,
    /// Truncations of followed files that were seen.
    pub truncations: u64,
    /// Bytes that truncations took before they were read, at least.
    pub lost_bytes_at_least: u64,
    /// Inputs that could not be read, or not to their end.
    pub input_failures: u64,
    /// Captures shed because the spool was full (wrapper and pass-through only).
    pub shed_captures: u64,
    /// Records of shed captures.
    pub shed_records: u64,
    /// Exchanges stored complete.
    pub exchanges_complete: u64,
    /// Exchanges stored incomplete.
    pub exchanges_incomplete: u64,
    /// What was missing in them, by kind of problem; one exchange may have several.
    pub incomplete_why: BTreeMap<String, u64>,
    /// Captures that are open now.
    pub open_captures: u64,
    /// Exchanges in objects that the destination has.
    pub exchanges_stored: u64,
    /// Objects that the destination has.
    pub objects_stored: u64,
    /// Bytes of those objects.
    pub bytes_stored: u64,
    /// Objects that the destination had already.
    pub objects_already_stored: u64,
}

impl Ledger {
    /// The sum of two ledgers. Open captures are a state, not a count: those of `later` stand.
    #[must_use]
    pub fn plus(&self, later: &Ledger) -> Ledger {
        let maps = |one: &BTreeMap<String, u64>, other: &BTreeMap<String, u64>| {
            let mut sum = one.clone();
            for (key, count) in other {
                *sum.entry(key.clone()).or_default() += count;
            }
            sum
        };
        Ledger {
            bytes_read: self.bytes_read + later.bytes_read,
            lines_read: self.lines_read + later.lines_read,
            records: self.records + later.records,
            repeated: self.repeated + later.repeated,
            conflicting: self.conflicting + later.conflicting,
            meta: self.meta + later.meta,
            bad: maps(&self.bad, &later.bad),
            long_lines: self.long_lines + later.long_lines,
            long_line_bytes: self.long_line_bytes + later.long_line_bytes,
            truncations: self.truncations + later.truncations,
            lost_bytes_at_least: self.lost_bytes_at_least + later.lost_bytes_at_least,
            input_failures: self.input_failures + later.input_failures,
            shed_captures: self.shed_captures + later.shed_captures,
            shed_records: self.shed_records + later.shed_records,
            exchanges_complete: self.exchanges_complete + later.exchanges_complete,
            exchanges_incomplete: self.exchanges_incomplete + later.exchanges_incomplete,
            incomplete_why: maps(&self.incomplete_why, &later.incomplete_why),
            open_captures: later.open_captures,
            exchanges_stored: self.exchanges_stored + later.exchanges_stored,
            objects_stored: self.objects_stored + later.objects_stored,
            bytes_stored: self.bytes_stored + later.bytes_stored,
            objects_already_stored: self.objects_already_stored + later.objects_already_stored,
        }
    }
}
