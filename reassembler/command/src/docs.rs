//! The page METRICS.md, made from the tables that the program itself uses, and tests that page, tables and program agree.

use std::fmt::Write as _;

use reassemble_pipeline::ledger::Ledger;
use reassemble_pipeline::run::Status;

use crate::metrics::defs::{METRICS, Samples};
use crate::report::summary::Summary;

/// The keys of the JSON summary, with their meanings, in the order in which they are written.
const KEYS: [(&str, &str); 8] = [
    ("summary", "the version of these keys, 1"),
    ("version", "the program's version"),
    ("destination", "where exchanges went, as it was set"),
    ("run", "the ledger of this run, see below"),
    ("total", "the ledger since the state directory was made"),
    ("undelivered_objects", "sealed objects that wait in the state directory for the next run"),
    ("destination_failing", "why the destination refuses, or null"),
    ("command_exit", "the exit code of the command that `exec` ran, or null"),
];

/// A field of the ledger, by its key.
struct Field {
    /// The key in JSON.
    key: &'static str,
    /// What it counts, and in which unit.
    meaning: &'static str,
}

const fn field(key: &'static str, meaning: &'static str) -> Field {
    Field { key, meaning }
}

/// All fields of the ledger, in the order in which they are written.
const FIELDS: [Field; 22] = [
    field("bytes_read", "bytes read from inputs (uncompressed)"),
    field("lines_read", "lines read"),
    field("records", "what became of all capture records, see below"),
    field("inputs", "the same for each input, an object by its name"),
    field("long_lines", "lines over `--max-line`, skipped"),
    field("long_line_bytes", "bytes of those lines"),
    field("truncations", "truncations of followed files that were seen"),
    field("lost_bytes_at_least", "bytes that truncations took before they were read, at least"),
    field("source_lost_records", "records that an input's sender says it dropped before they were read"),
    field("source_lost_bytes", "bytes of those records"),
    field("input_failures", "inputs that could not be read, or not to their end"),
    field("shed_captures", "captures shed because the spool was full (`exec` and `--passthrough` only)"),
    field("exchanges_complete", "exchanges rebuilt complete"),
    field("exchanges_incomplete", "exchanges rebuilt incomplete"),
    field(
        "incomplete_why",
        "what was missing in them, an object of counts by kind of problem; one exchange may have several",
    ),
    field("open_captures", "captures that are open now"),
    field("open_disk_bytes", "bytes on disk of captures that are open now"),
    field(
        "emitters",
        "what emitters count themselves: `processes`, an object by process (`inst`) of `service`, `host`, `captures` (stored), \
         `highest` (number), `begun`, `dropped`, `sampled_out`, `order`; `others`, sums over processes that are no longer told apart; `order`",
    ),
    field("exchanges_stored", "exchanges in objects that the destination has"),
    field("objects_stored", "objects that the destination has"),
    field("bytes_stored", "bytes of those objects"),
    field("objects_already_stored", "objects that the destination had already"),
];

/// All fields of what became of records, in the order in which they are written. All but the first add up to it.
const RECORDS: [Field; 8] = [
    field("read", "capture records found, good and bad"),
    field("in_exchanges", "records in exchanges that were rebuilt, complete or not"),
    field("open", "records of captures that are open (in a run's ledger, the change of them)"),
    field("repeated", "good chunks that were there already"),
    field("conflicting", "good chunks that contradict one that was there already, and are left out"),
    field("bad", "bad records, an object of counts by reason"),
    field("meta", "`meta` records"),
    field("shed", "records of captures that were shed"),
];

/// The page of everything that machines read.
fn page() -> String {
    let mut page = "<!-- Made from metrics/defs.rs and docs.rs of reassembler/command/src; a test keeps it as they are. \
                    UPDATE_DOCS=1 cargo test -p reassemble-command writes it. -->\n\n# What machines read\n\n## Metrics\n\n\
                    `--metrics HOST:PORT` serves them at `/metrics` in Prometheus' text format 0.0.4. Counters are kept over \
                    restarts, with the state directory. Stable metrics change only with a major version.\n\n\
                    | metric | type | unit | stability | meaning |\n|---|---|---|---|---|\n"
        .to_owned();
    for metric in METRICS {
        let label = match metric.samples {
            Samples::ByReason(_) => "{reason}",
            Samples::ByInput(_) => "{input, outcome, reason}",
            Samples::Version => "{version}",
            Samples::One(_) | Samples::Flag(_) => "",
        };
        let unit = if metric.unit.is_empty() { "–" } else { metric.unit };
        let (name, kind, stability, help) = (metric.name, metric.kind.word(), metric.stability.word(), metric.help);
        writeln!(page, "| `{name}{label}` | {kind} | {unit} | {stability} | {help} |").expect("to a String");
    }
    page.push_str(
        "\n## Health\n\n`/healthz` answers 200 while all is well, and 503 with a sentence where the spool is full or the destination \
         has refused for five minutes. A restart heals neither: alert on it. `/livez` answers 200 while the program runs, \
         for liveness probes.\n\n## Summary\n\n`--summary json` prints one object at the end. New keys may come; a key that goes \
         or changes its meaning raises `summary`.\n\n| key | meaning |\n|---|---|\n",
    );
    for (key, meaning) in KEYS {
        writeln!(page, "| `{key}` | {meaning} |").expect("to a String");
    }
    page.push_str("\nA ledger has these keys:\n\n| key | meaning |\n|---|---|\n");
    for field in FIELDS {
        writeln!(page, "| `{}` | {} |", field.key, field.meaning).expect("to a String");
    }
    page.push_str(
        "\nWhat became of records has these keys; all but the first add up to it, for each input and over all, at every \
         commit:\n\n| key | meaning |\n|---|---|\n",
    );
    for field in RECORDS {
        writeln!(page, "| `{}` | {} |", field.key, field.meaning).expect("to a String");
    }
    page
}

#[test]
fn the_page_is_what_the_tables_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/METRICS.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, page()).expect("written");
    }
    assert_eq!(
        std::fs::read_to_string(path).expect("METRICS.md"),
        page(),
        "UPDATE_DOCS=1 cargo test -p reassemble-command writes it"
    );
}

fn keys_of(value: &serde_json::Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn every_key_of_the_summary_is_documented() {
    let summary = Summary { status: &Status::default(), destination: "x", undelivered_objects: 0, command_exit: None };
    let json = serde_json::from_str(&summary.json()).expect("JSON");
    assert_eq!(KEYS.map(|(key, _)| key).as_slice(), keys_of(&json));
}

#[test]
fn every_field_of_the_ledger_is_documented() {
    let ledger = serde_json::to_value(Ledger::default()).expect("plain counts");
    assert_eq!(FIELDS.map(|field| field.key).as_slice(), keys_of(&ledger));
    assert_eq!(RECORDS.map(|field| field.key).as_slice(), keys_of(&ledger["records"]));
}
