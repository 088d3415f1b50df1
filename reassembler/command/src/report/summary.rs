//! What became of everything, at the end of a run: a table for people, or one JSON object.

use reassemble_pipeline::emitters::{Emitters, Process};
use reassemble_pipeline::ledger::Ledger;
use reassemble_pipeline::run::Status;
use serde::Serialize;

use super::printable::{HumanBytes, counted, printable, thousands};

/// The version of the JSON summary's keys. A key that goes or changes its meaning raises it; new keys do not.
const SUMMARY_VERSION: u32 = 1;

/// What a run ended with.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    /// The last status.
    pub(crate) status: &'a Status,
    /// Where exchanges went, as the user wrote it.
    pub(crate) destination: &'a str,
    /// Sealed objects that the destination does not have yet.
    pub(crate) undelivered_objects: u64,
    /// The exit code of the command, where one was run.
    pub(crate) command_exit: Option<i32>,
}

#[derive(Serialize)]
struct Json<'a> {
    summary: u32,
    version: &'static str,
    destination: &'a str,
    run: &'a Ledger,
    total: &'a Ledger,
    undelivered_objects: u64,
    destination_failing: Option<&'a str>,
    command_exit: Option<i32>,
}

/// One line of the table.
enum Row {
    Head(&'static str),
    Line { name: String, value: String, note: &'static str },
}

impl Summary<'_> {
    /// One JSON object, with a newline.
    pub(crate) fn json(&self) -> String {
        let json = Json {
            summary: SUMMARY_VERSION,
            version: env!("CARGO_PKG_VERSION"),
            destination: self.destination,
            run: &self.status.run,
            total: &self.status.total,
            undelivered_objects: self.undelivered_objects,
            destination_failing: self.status.destination_failing.as_deref(),
            command_exit: self.command_exit,
        };
        // Counts, text and maps by text: nothing in it can fail to be JSON.
        serde_json::to_string(&json).unwrap_or_default() + "\n"
    }

    /// The table for people. Losses stand there even where they are none; other counts only where there is something to count.
    pub(crate) fn text(&self) -> String {
        let rows = self.rows();
        let width = |part: fn(&Row) -> usize| rows.iter().map(part).max().unwrap_or(0);
        let names = width(|row| if let Row::Line { name, .. } = row { name.chars().count() } else { 0 });
        let values = width(|row| if let Row::Line { value, .. } = row { value.chars().count() } else { 0 });
        let mut text = String::new();
        for row in &rows {
            let line = match row {
                Row::Head(head) => (*head).to_owned(),
                Row::Line { name, value, note } => format!("  {name:<names$}  {value:>values$}  {note}"),
            };
            text.push_str(line.trim_end());
            text.push('\n');
        }
        if let Some(why) = &self.status.destination_failing {
            text.push_str(&format!("The destination {} refuses: {}\n", printable(self.destination), printable(why)));
        }
        if self.undelivered_objects > 0 {
            let waiting = counted(self.undelivered_objects, "object");
            text.push_str(&format!(
                "Not stored yet: {waiting}, kept in the state directory; the next run stores what is left.\n"
            ));
        }
        text
    }

    fn rows(&self) -> Vec<Row> {
        let run = &self.status.run;
        let mut rows = Vec::new();
        let line = |name: &str, value: u64, note| Row::Line { name: name.to_owned(), value: thousands(value), note };
        let size = |name: &str, bytes: u64| Row::Line {
            name: name.to_owned(),
            value: HumanBytes(bytes).to_string(),
            note: "",
        };
        let reasons = |rows: &mut Vec<Row>, counts: &std::collections::BTreeMap<String, u64>| {
            for (reason, count) in counts.iter().filter(|(_, count)| **count > 0) {
                rows.push(Row::Line { name: format!("  {}", printable(reason)), value: thousands(*count), note: "" });
            }
        };

        rows.push(Row::Head("Read"));
        rows.push(size("log", run.bytes_read));
        rows.push(line("lines", run.lines_read, ""));
        rows.push(line("capture records", run.records.read, ""));
        let may_be_nothing =
            [("repeated", run.records.repeated, "there already, ignored"), ("meta records", run.records.meta, "")];
        rows.extend(
            may_be_nothing
                .into_iter()
                .filter(|(_, count, _)| *count > 0)
                .map(|(name, count, note)| line(name, count, note)),
        );

        rows.push(Row::Head("Rebuilt"));
        rows.push(line("complete exchanges", run.exchanges_complete, ""));
        rows.push(line("incomplete exchanges", run.exchanges_incomplete, ""));
        reasons(&mut rows, &run.incomplete_why);
        if run.open_captures > 0 {
            rows.push(line("captures still open", run.open_captures, "kept for the next run"));
        }

        rows.push(Row::Head("Stored"));
        rows.push(line("exchanges", run.exchanges_stored, ""));
        rows.push(line("objects", run.objects_stored, ""));
        rows.push(size("compressed", run.bytes_stored));
        if run.objects_already_stored > 0 {
            rows.push(line("objects that were there", run.objects_already_stored, ""));
        }

        rows.push(Row::Head("Lost or damaged"));
        rows.push(line("bad records", run.records.bad.values().sum(), ""));
        reasons(&mut rows, &run.records.bad);
        rows.push(line("conflicting records", run.records.conflicting, ""));
        rows.push(line(
            "lines over the limit",
            run.long_lines,
            if run.long_lines > 0 { "skipped, see --max-line" } else { "" },
        ));
        let cut = if run.truncations > 0 { "at least; a file was cut while it was read" } else { "" };
        rows.push(line("bytes never seen", run.lost_bytes_at_least, cut));
        if run.source_lost_records > 0 {
            rows.push(line("records never sent", run.source_lost_records, "dropped by whoever was to send them"));
        }
        rows.push(line("inputs that failed", run.input_failures, ""));
        rows.push(line(
            "captures shed",
            run.shed_captures,
            if run.shed_captures > 0 { "the spool was full" } else { "" },
        ));
        rows.extend(emitter_rows(&self.status.total.emitters));
        rows
    }
}

/// How many processes that lost captures are named.
const MAX_PROCESSES: usize = 10;

/// What emitters say was lost before their lines were read: over all runs, for their counts are since they began.
fn emitter_rows(emitters: &Emitters) -> Vec<Row> {
    let line = |name: String, value: u64, note| Row::Line { name, value: thousands(value), note };
    let sums = emitters.sums();
    if sums.missing + sums.dropped + sums.sampled_out == 0 {
        return Vec::new();
    }
    let mut rows = vec![
        Row::Head("Lost before the log, by the emitters' own counts"),
        line("captures dropped".to_owned(), sums.dropped, if sums.dropped > 0 { "their queues were full" } else { "" }),
        line("requests not sampled".to_owned(), sums.sampled_out, ""),
        line(
            "captures not seen".to_owned(),
            sums.missing,
            if sums.missing > 0 { "or still open, or from before the log" } else { "" },
        ),
    ];
    let mut losers: Vec<(&String, &Process)> =
        emitters.processes.iter().filter(|(_, process)| process.missing() + process.dropped > 0).collect();
    losers.sort_by_key(|(_, process)| std::cmp::Reverse(process.missing() + process.dropped));
    for (inst, process) in losers.into_iter().take(MAX_PROCESSES) {
        let name = format!("  {} {} {}", printable(&process.service), printable(&process.host), printable(inst));
        rows.push(line(name, process.missing() + process.dropped, ""));
    }
    rows
}

#[cfg(test)]
mod tests {
    use reassemble_pipeline::ledger::Records;

    use super::*;

    fn summary<'a>(status: &'a Status) -> Summary<'a> {
        Summary { status, destination: "s3://logs/captures", undelivered_objects: 0, command_exit: None }
    }

    fn busy() -> Status {
        let process = |service: &str, captures, highest, dropped| Process {
            service: service.to_owned(),
            host: "web-1".to_owned(),
            captures,
            highest,
            dropped,
            ..Process::default()
        };
        let processes = [
            ("a1b2".to_owned(), process("shop", 900, 902, 7)),
            ("e\u{1b}".to_owned(), process("e\u{1b}[2J", 1, 2, 0)),
            ("quiet".to_owned(), process("shop", 5, 5, 0)),
        ];
        let emitters = Emitters { processes: processes.into(), ..Emitters::default() };
        let run = Ledger {
            bytes_read: 513_802_240,
            lines_read: 1_204_311,
            records: Records {
                read: 84_020,
                repeated: 12,
                meta: 4,
                bad: [("torn".to_owned(), 2), ("bad_crc".to_owned(), 1), ("e\u{1b}[2J".to_owned(), 1)].into(),
                conflicting: 1,
                ..Records::default()
            },
            emitters,
            long_lines: 1,
            long_line_bytes: 2_000_000,
            truncations: 1,
            lost_bytes_at_least: 8_192,
            input_failures: 1,
            shed_captures: 3,
            exchanges_complete: 40_002,
            exchanges_incomplete: 3,
            incomplete_why: [("no_response".to_owned(), 3)].into(),
            open_captures: 5,
            exchanges_stored: 40_000,
            objects_stored: 12,
            bytes_stored: 31_000_000,
            ..Ledger::default()
        };
        let why = "no answer from logs.s3.amazonaws.com\nfor 60 s".to_owned();
        Status { total: run.clone(), run, destination_failing: Some(why), ..Status::default() }
    }

    #[test]
    fn a_quiet_run_shows_that_nothing_was_lost() {
        insta::assert_snapshot!(summary(&Status::default()).text());
    }

    #[test]
    fn a_busy_run_shows_what_was_lost_and_why() {
        let status = busy();
        let text = Summary { undelivered_objects: 2, ..summary(&status) }.text();
        assert!(!text.contains('\u{1b}'));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_json_summary_is_one_line_of_json() {
        let status = busy();
        let text = summary(&status).json();
        assert!(text.ends_with("}\n") && text.lines().count() == 1);
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["run"]["records"]["bad"]["torn"], 2);
        assert_eq!((&json["summary"], &json["command_exit"]), (&1.into(), &serde_json::Value::Null));
    }
}
