//! Every metric: name, type, unit, stability, meaning, and where its value comes from. The page `METRICS.md` is made from this table.
//!
//! Counters are those of the ledger that is kept over restarts. *Stable* names and meanings change only with a major version;
//! *unstable* ones may change with any.

use std::collections::BTreeMap;

use reassemble_pipeline::ledger::Records;
use reassemble_pipeline::run::Status;

/// A metric's type, as Prometheus names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Kind {
    /// Prometheus' word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        }
    }
}

/// Whether dashboards may rest on a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stability {
    /// It stays as it is.
    Stable,
    /// It may change.
    Unstable,
}

impl Stability {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Stability::Stable => "stable",
            Stability::Unstable => "unstable",
        }
    }
}

/// How a metric's samples are taken from a status.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Samples {
    /// One sample without labels.
    One(fn(&Status) -> u64),
    /// 1 or 0.
    Flag(fn(&Status) -> bool),
    /// One sample a reason, in the label `reason`.
    ByReason(fn(&Status) -> &BTreeMap<String, u64>),
    /// Samples for each input, in the labels `input` and `outcome`, and `reason` for bad ones.
    ByInput(fn(&Records) -> Vec<Outcome<'_>>),
    /// Always 1, with the program's version in the label `version`.
    Version,
}

/// How many of an input's records came to one end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome<'r> {
    /// The end.
    pub(crate) name: &'static str,
    /// Why, where they are bad.
    pub(crate) reason: Option<&'r str>,
    /// How many.
    pub(crate) records: u64,
}

impl Outcome<'_> {
    fn new(name: &'static str, records: u64) -> Self {
        Outcome { name, reason: None, records }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its type.
    pub(crate) kind: Kind,
    /// Its unit, in the plural.
    pub(crate) unit: &'static str,
    /// Whether dashboards may rest on it.
    pub(crate) stability: Stability,
    /// What it means: one sentence without its full stop.
    pub(crate) help: &'static str,
    /// Where its value comes from.
    pub(crate) samples: Samples,
}

const fn metric(name: &'static str, kind: Kind, unit: &'static str, help: &'static str, samples: Samples) -> Metric {
    Metric { name, kind, unit, stability: Stability::Stable, help, samples }
}

const fn unstable(metric: Metric) -> Metric {
    Metric { stability: Stability::Unstable, ..metric }
}

use Kind::{Counter, Gauge};
use Samples::{ByInput, ByReason, Flag, One, Version};

/// What became of an input's records, without those that are open.
fn outcomes(records: &Records) -> Vec<Outcome<'_>> {
    let bad = records.bad.iter().map(|(reason, count)| Outcome { name: "bad", reason: Some(reason), records: *count });
    [
        ("read", records.read),
        ("in_exchanges", records.in_exchanges),
        ("repeated", records.repeated),
        ("conflicting", records.conflicting),
        ("meta", records.meta),
        ("shed", records.shed),
    ]
    .map(|(name, count)| Outcome::new(name, count))
    .into_iter()
    .chain(bad)
    .collect()
}

/// All metrics, in the order in which they are served.
pub(crate) const METRICS: [Metric; 40] = [
    metric("reassemble_build_info", Gauge, "", "The program's version, in the label `version`; always 1", Version),
    metric("reassemble_read_bytes_total", Counter, "bytes", "Bytes read from inputs", One(|s| s.total.bytes_read)),
    metric("reassemble_read_lines_total", Counter, "lines", "Lines read from inputs", One(|s| s.total.lines_read)),
    metric(
        "reassemble_records_total",
        Counter,
        "records",
        "Capture records found, good and bad",
        One(|s| s.total.records.read),
    ),
    metric(
        "reassemble_repeated_records_total",
        Counter,
        "records",
        "Good records that were there already",
        One(|s| s.total.records.repeated),
    ),
    metric(
        "reassemble_conflicting_records_total",
        Counter,
        "records",
        "Good records that contradict one that was there already",
        One(|s| s.total.records.conflicting),
    ),
    metric(
        "reassemble_meta_records_total",
        Counter,
        "records",
        "Records with an emitter's own counts",
        One(|s| s.total.records.meta),
    ),
    metric(
        "reassemble_bad_records_total",
        Counter,
        "records",
        "Bad records by reason; a reason appears with its first record",
        ByReason(|s| &s.total.records.bad),
    ),
    metric(
        "reassemble_input_records_total",
        Counter,
        "records",
        "What became of each input's records: with those that are open, the outcomes add up to `read`",
        ByInput(outcomes),
    ),
    metric(
        "reassemble_input_open_records",
        Gauge,
        "records",
        "Records of captures that are open, by input",
        ByInput(|records| vec![Outcome::new("open", u64::try_from(records.open).unwrap_or_default())]),
    ),
    metric(
        "reassemble_long_lines_total",
        Counter,
        "lines",
        "Lines over the limit, skipped",
        One(|s| s.total.long_lines),
    ),
    metric(
        "reassemble_long_lines_bytes_total",
        Counter,
        "bytes",
        "Bytes of lines over the limit",
        One(|s| s.total.long_line_bytes),
    ),
    metric(
        "reassemble_truncations_total",
        Counter,
        "truncations",
        "Followed files that were cut or rewritten in place",
        One(|s| s.total.truncations),
    ),
    metric(
        "reassemble_lost_bytes_total",
        Counter,
        "bytes",
        "Bytes that truncations took before they were read, at least",
        One(|s| s.total.lost_bytes_at_least),
    ),
    metric(
        "reassemble_source_lost_records_total",
        Counter,
        "records",
        "Records that an input's sender says it dropped before they were read",
        One(|s| s.total.source_lost_records),
    ),
    metric(
        "reassemble_input_failures_total",
        Counter,
        "inputs",
        "Inputs that could not be read, or not to their end",
        One(|s| s.total.input_failures),
    ),
    metric(
        "reassemble_shed_captures_total",
        Counter,
        "captures",
        "Captures shed because the spool was full, by `exec` and `--passthrough`",
        One(|s| s.total.shed_captures),
    ),
    metric(
        "reassemble_shed_records_total",
        Counter,
        "records",
        "Records of shed captures",
        One(|s| s.total.records.shed),
    ),
    metric(
        "reassemble_complete_exchanges_total",
        Counter,
        "exchanges",
        "Exchanges rebuilt complete",
        One(|s| s.total.exchanges_complete),
    ),
    metric(
        "reassemble_incomplete_exchanges_total",
        Counter,
        "exchanges",
        "Exchanges rebuilt incomplete",
        One(|s| s.total.exchanges_incomplete),
    ),
    metric(
        "reassemble_incomplete_problems_total",
        Counter,
        "problems",
        "What was missing in incomplete exchanges, by reason; one exchange may have several",
        ByReason(|s| &s.total.incomplete_why),
    ),
    metric(
        "reassemble_stored_exchanges_total",
        Counter,
        "exchanges",
        "Exchanges in objects that the destination has",
        One(|s| s.total.exchanges_stored),
    ),
    metric(
        "reassemble_stored_objects_total",
        Counter,
        "objects",
        "Objects that the destination has",
        One(|s| s.total.objects_stored),
    ),
    metric(
        "reassemble_stored_bytes_total",
        Counter,
        "bytes",
        "Bytes of objects that the destination has",
        One(|s| s.total.bytes_stored),
    ),
    metric(
        "reassemble_already_stored_objects_total",
        Counter,
        "objects",
        "Objects that the destination had already",
        One(|s| s.total.objects_already_stored),
    ),
    metric(
        "reassemble_emitter_missing_captures",
        Gauge,
        "captures",
        "Captures that emitters counted and of which no request was stored: lost before the reader, open, or from before the log",
        One(|s| s.total.emitters.sums().missing),
    ),
    metric(
        "reassemble_emitter_dropped_captures",
        Gauge,
        "captures",
        "Captures that emitters dropped because their queues were full, by their own count",
        One(|s| s.total.emitters.sums().dropped),
    ),
    metric(
        "reassemble_emitter_sampled_out_captures",
        Gauge,
        "captures",
        "Requests that emitters left out by sampling, by their own count",
        One(|s| s.total.emitters.sums().sampled_out),
    ),
    metric("reassemble_open_captures", Gauge, "captures", "Captures that are open now", One(|s| s.total.open_captures)),
    metric("reassemble_followed_files", Gauge, "files", "Files followed now", One(|s| s.followed_files)),
    metric("reassemble_caught_up", Gauge, "", "1 where every input is read to its end", Flag(|s| s.caught_up)),
    unstable(metric(
        "reassemble_files_read_bytes",
        Gauge,
        "bytes",
        "Bytes read of the files that are read to their end",
        One(|s| s.files_read_bytes),
    )),
    unstable(metric(
        "reassemble_files_size_bytes",
        Gauge,
        "bytes",
        "Bytes of the files that are read to their end",
        One(|s| s.files_total_bytes),
    )),
    metric(
        "reassemble_spool_bytes",
        Gauge,
        "bytes",
        "Bytes accepted and not yet stored at the destination",
        One(|s| s.spool_bytes),
    ),
    metric(
        "reassemble_spool_full",
        Gauge,
        "",
        "1 where reading stands still because the spool is full",
        Flag(|s| s.spool_full),
    ),
    metric(
        "reassemble_waiting_objects",
        Gauge,
        "objects",
        "Sealed objects that wait for the destination",
        One(|s| s.objects_waiting),
    ),
    metric(
        "reassemble_destination_failing",
        Gauge,
        "",
        "1 while the destination refuses; /healthz says why",
        Flag(|s| s.destination_failing.is_some()),
    ),
    metric(
        "reassemble_last_commit_timestamp_seconds",
        Gauge,
        "seconds",
        "When what was read was last made durable, since the Unix epoch",
        One(|s| s.last_commit_unix_s),
    ),
    unstable(metric(
        "reassemble_run_read_bytes",
        Gauge,
        "bytes",
        "Bytes read from inputs since this run began",
        One(|s| s.run.bytes_read),
    )),
    unstable(metric(
        "reassemble_run_stored_exchanges",
        Gauge,
        "exchanges",
        "Exchanges stored since this run began",
        One(|s| s.run.exchanges_stored),
    )),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        let mut names = BTreeSet::new();
        for metric in METRICS {
            let name = metric.name;
            assert!(names.insert(name), "{name} twice");
            assert!(name.starts_with("reassemble_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == Counter,
                "{name}: counters, and only they, end with _total"
            );
            if ["bytes", "seconds"].contains(&metric.unit) {
                let stem = name.trim_end_matches("_total");
                assert!(stem.ends_with(metric.unit) || name.contains("read_bytes"), "{name} does not name its unit");
            }
            assert!(!metric.help.ends_with('.') && !metric.help.contains(['\n', '\\', '|']), "{name}");
        }
    }
}
