//! The loss ledger: what became of every byte, line, record and exchange. Plain counts, kept over restarts, shown in the summary and as
//! metrics.
//!
//! Records add up, for each input and over all, at every commit: those read are those in exchanges, open, repeated, conflicting, bad, meta and
//! shed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::emitters::Emitters;

/// How many inputs are counted one by one. Beyond it, those that are done share one entry.
const MAX_INPUTS: usize = 1_000;
/// The entry of those that are not counted one by one.
const OTHERS: &str = "(others)";

/// What became of an input's capture records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Records {
    /// Records found, good and bad.
    pub read: u64,
    /// Records in exchanges that were rebuilt, complete or not.
    pub in_exchanges: u64,
    /// Records of captures that are open. A change, where the counts are those of a run: it may have closed what others opened.
    pub open: i64,
    /// Good records that were there already.
    pub repeated: u64,
    /// Good records that contradict one that was there already, and are left out.
    pub conflicting: u64,
    /// Bad records, by reason (`torn`, `bad_crc`, …).
    pub bad: BTreeMap<String, u64>,
    /// `meta` records.
    pub meta: u64,
    /// Records of captures that were shed.
    pub shed: u64,
}

impl Records {
    /// What of the records read is not accounted for: nothing, always.
    pub fn unaccounted(&self) -> i64 {
        let accounted = self.in_exchanges
            + self.repeated
            + self.conflicting
            + self.bad.values().sum::<u64>()
            + self.meta
            + self.shed;
        // Counts of what was read from files: far below what 63 bits hold.
        self.read.wrapping_sub(accounted).cast_signed() - self.open
    }

    fn add(&mut self, other: &Records) {
        self.read += other.read;
        self.in_exchanges += other.in_exchanges;
        self.open += other.open;
        self.repeated += other.repeated;
        self.conflicting += other.conflicting;
        add_counts(&mut self.bad, &other.bad);
        self.meta += other.meta;
        self.shed += other.shed;
    }

    pub(crate) fn count_bad(&mut self, reason: &str, records: u64) {
        *self.bad.entry(reason.to_owned()).or_default() += records;
    }
}

fn add_counts(sum: &mut BTreeMap<String, u64>, other: &BTreeMap<String, u64>) {
    for (key, count) in other {
        *sum.entry(key.clone()).or_default() += count;
    }
}

/// Counts since the state directory was made (in the summary of a run: since its start).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// Bytes read from inputs.
    pub bytes_read: u64,
    /// Lines read.
    pub lines_read: u64,
    /// What became of all capture records.
    pub records: Records,
    /// The same by input.
    pub inputs: BTreeMap<String, Records>,
    /// Lines over the limit, skipped.
    pub long_lines: u64,
    /// Bytes of those lines.
    pub long_line_bytes: u64,
    /// Truncations of followed files that were seen.
    pub truncations: u64,
    /// Bytes that truncations took before they were read, at least.
    pub lost_bytes_at_least: u64,
    /// Records that an input's sender says it dropped before they were read (Lambda's `platform.logsDropped`).
    pub source_lost_records: u64,
    /// Bytes of them.
    pub source_lost_bytes: u64,
    /// Inputs that could not be read, or not to their end.
    pub input_failures: u64,
    /// Captures shed because the spool was full (wrapper and pass-through only).
    pub shed_captures: u64,
    /// Exchanges stored complete.
    pub exchanges_complete: u64,
    /// Exchanges stored incomplete.
    pub exchanges_incomplete: u64,
    /// What was missing in them, by kind of problem; one exchange may have several.
    pub incomplete_why: BTreeMap<String, u64>,
    /// Captures that are open now.
    pub open_captures: u64,
    /// Bytes on disk of captures that are open now.
    pub open_disk_bytes: u64,
    /// What emitters say of themselves, by process.
    pub emitters: Emitters,
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
        let mut sum = self.clone();
        sum.bytes_read += later.bytes_read;
        sum.lines_read += later.lines_read;
        sum.records.add(&later.records);
        for (input, records) in &later.inputs {
            sum.inputs.entry(input.clone()).or_default().add(records);
        }
        sum.bound_inputs(later);
        sum.long_lines += later.long_lines;
        sum.long_line_bytes += later.long_line_bytes;
        sum.truncations += later.truncations;
        sum.lost_bytes_at_least += later.lost_bytes_at_least;
        sum.source_lost_records += later.source_lost_records;
        sum.source_lost_bytes += later.source_lost_bytes;
        sum.input_failures += later.input_failures;
        sum.shed_captures += later.shed_captures;
        sum.exchanges_complete += later.exchanges_complete;
        sum.exchanges_incomplete += later.exchanges_incomplete;
        add_counts(&mut sum.incomplete_why, &later.incomplete_why);
        sum.open_captures = later.open_captures;
        sum.open_disk_bytes = later.open_disk_bytes;
        sum.emitters.add(&later.emitters);
        sum.exchanges_stored += later.exchanges_stored;
        sum.objects_stored += later.objects_stored;
        sum.bytes_stored += later.bytes_stored;
        sum.objects_already_stored += later.objects_already_stored;
        sum
    }

    /// Folds inputs that `later` does not know and of which nothing is open, where there are too many.
    fn bound_inputs(&mut self, later: &Ledger) {
        if self.inputs.len() <= MAX_INPUTS {
            return;
        }
        let mut others = self.inputs.remove(OTHERS).unwrap_or_default();
        self.inputs.retain(|input, records| {
            let stays = later.inputs.contains_key(input) || records.open != 0;
            if !stays {
                others.add(records);
            }
            stays
        });
        self.inputs.insert(OTHERS.to_owned(), others);
    }
}

/// The counts of each input of a run, by a number that is quick to find.
#[derive(Debug)]
pub(crate) struct InputCounts {
    entries: Vec<Entry>,
    numbers: HashMap<Arc<str>, usize>,
    /// The number asked for last: it is nearly always the next too.
    last: usize,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    records: Records,
    /// How many open inputs count here.
    users: u32,
}

impl InputCounts {
    pub(crate) fn new() -> Self {
        let others: Arc<str> = Arc::from(OTHERS);
        let entry = Entry { name: others.clone(), records: Records::default(), users: 0 };
        InputCounts { entries: vec![entry], numbers: HashMap::from([(others, 0)]), last: 0 }
    }

    /// The counts of an input, for as long as it is open: until [`close`](Self::close).
    pub(crate) fn open(&mut self, name: &Arc<str>) -> usize {
        let number = self.number(name);
        self.entries[number].users += 1;
        number
    }

    pub(crate) fn close(&mut self, number: usize) {
        self.entries[number].users = self.entries[number].users.saturating_sub(1);
    }

    /// The counts under a number that [`open`](Self::open) gave.
    pub(crate) fn at(&mut self, number: usize) -> &mut Records {
        &mut self.entries[number].records
    }

    /// The counts of an input that may be closed already.
    pub(crate) fn of(&mut self, name: &Arc<str>) -> &mut Records {
        let number = self.number(name);
        &mut self.entries[number].records
    }

    /// The counts of an input that is not announced, as the number that [`at`](Self::at) takes, until another input is counted.
    pub(crate) fn number(&mut self, name: &Arc<str>) -> usize {
        if Arc::ptr_eq(&self.entries[self.last].name, name) {
            return self.last;
        }
        if let Some(number) = self.numbers.get(name) {
            self.last = *number;
            return *number;
        }
        let number = if self.entries.len() < MAX_INPUTS {
            self.entries.push(Entry { name: name.clone(), records: Records::default(), users: 0 });
            self.entries.len() - 1
        } else {
            self.reuse(name)
        };
        self.numbers.insert(name.clone(), number);
        number
    }

    /// Gives an entry whose input is done to another one. Where there is none, the entry of the others.
    fn reuse(&mut self, name: &Arc<str>) -> usize {
        let done = |entry: &Entry| entry.users == 0 && entry.records.open == 0;
        let Some(number) = (1..self.entries.len()).find(|number| done(&self.entries[*number])) else { return 0 };
        let entry = &mut self.entries[number];
        let old = std::mem::replace(&mut entry.name, name.clone());
        let records = std::mem::take(&mut entry.records);
        self.numbers.remove(&old);
        self.entries[0].records.add(&records);
        number
    }

    /// Writes the counts into a ledger.
    pub(crate) fn write_to(&self, ledger: &mut Ledger) {
        ledger.records = Records::default();
        ledger.inputs.clear();
        for entry in self.entries.iter().filter(|entry| entry.users > 0 || entry.records != Records::default()) {
            ledger.records.add(&entry.records);
            ledger.inputs.insert(entry.name.to_string(), entry.records.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_beyond_the_limit_share_an_entry_and_nothing_is_lost_from_the_sum() {
        let mut counts = InputCounts::new();
        let names: Vec<Arc<str>> = (0..3 * MAX_INPUTS).map(|n| Arc::from(format!("file:{n}"))).collect();
        for (n, name) in names.iter().enumerate() {
            let number = counts.open(name);
            let records = counts.at(number);
            records.read += 2;
            records.meta += 1;
            // Every tenth leaves something open, and stays.
            if n % 10 == 0 {
                records.open += 1;
            } else {
                records.repeated += 1;
            }
            counts.close(number);
        }
        let mut ledger = Ledger::default();
        counts.write_to(&mut ledger);
        assert!(ledger.inputs.len() <= MAX_INPUTS && ledger.inputs[OTHERS].read > 0);
        assert_eq!(ledger.inputs["file:0"].open, 1);
        assert_eq!((ledger.records.read, ledger.records.open), (6 * MAX_INPUTS as u64, 300));
        assert!(ledger.inputs.values().chain([&ledger.records]).all(|records| records.unaccounted() == 0));
        counts.of(&names[0]).open -= 1;
        counts.of(&names[0]).in_exchanges += 1;
        counts.write_to(&mut ledger);
        assert_eq!((ledger.inputs["file:0"].in_exchanges, ledger.records.unaccounted()), (1, 0));
    }

    #[test]
    fn a_sum_over_runs_stays_bounded_and_adds_up() {
        let run = |from: usize, open: i64| {
            let mut ledger = Ledger::default();
            for n in from..from + 600 {
                let records = Records { read: 3, in_exchanges: (3 - open).cast_unsigned(), open, ..Records::default() };
                ledger.records.add(&records);
                ledger.inputs.insert(format!("file:{n}"), records);
            }
            ledger
        };
        let sum = run(0, 0).plus(&run(600, 1)).plus(&run(1_200, 0));
        assert!(sum.inputs.len() <= 1_201 && sum.inputs.contains_key("file:600") && !sum.inputs.contains_key("file:0"));
        assert_eq!((sum.records.read, sum.inputs[OTHERS].read), (5_400, 1_800));
        assert!(sum.inputs.values().chain([&sum.records]).all(|records| records.unaccounted() == 0));
    }
}
