//! `reassemble verify`: which exchanges of logs are missing in a destination, twice, different or incomplete.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reassemble_stored::verify::{Counts, Fault, Finding, Outcome, Progress, Verdict, VerifyConfig, verify};
use serde::Serialize;

use crate::failure::{EXIT_FAILURE, Failure};
use crate::options::config;
use crate::options::layers::Resolved;
use crate::options::verify::{VerifyArgs, refuse_meaningless};
use crate::report::printable::{HumanBytes, counted, printable, thousands};
use crate::report::screen::Screen;
use crate::shell::print;

/// The version of the JSON output's keys. A key that goes or changes its meaning raises it; new keys do not.
const SUMMARY_VERSION: u32 = 1;

/// Verifies, prints what was found, and returns the exit code.
pub(crate) fn perform(resolved: &Resolved, options: &VerifyArgs, screen: &Screen) -> Result<u8, Failure> {
    refuse_meaningless(resolved)?;
    let settings = &resolved.settings;
    let config = VerifyConfig {
        logs: options.logs.clone(),
        envelope: settings.lines.envelope.into(),
        max_line_bytes: config::max_line_bytes(resolved)?,
        keys: config::signing(resolved)?.map(|signing| signing.keys),
        to: config::destination(resolved)?,
        grace: options.grace.map(|grace| grace.0).unwrap_or_default(),
        tell_unknown: options.strict,
    };
    let bar = Bar::new(screen, settings.report.quiet || settings.report.no_progress);
    let mut lines = JsonLines { out: BufWriter::new(io::stdout()), failed: None };
    let mut examples = Examples { most: options.examples, by_verdict: BTreeMap::new() };
    let verified = verify(&config, &mut |progress| bar.show(progress), &mut |finding| {
        if options.json { lines.write(finding) } else { examples.take(finding) }
    });
    drop(bar);
    let outcome = verified.map_err(|error| match error.is_usage() {
        true => Failure::Usage(error.to_string()),
        false => Failure::Running(error.to_string()),
    })?;
    let failures = failures(&outcome.counts, options);
    if options.json {
        lines.write(&Json {
            summary: SUMMARY_VERSION,
            version: env!("CARGO_PKG_VERSION"),
            destination: &settings.destination.to.to_string(),
            clean: failures.is_empty() && outcome.unread.is_empty(),
            counts: &outcome.counts,
            unread: &outcome.unread,
        });
        lines.end()?;
    } else if !(settings.report.quiet && failures.is_empty()) {
        print(&told(&outcome.counts, &examples, &failures))?;
    }
    if outcome.counts.logged_complete + outcome.counts.logged_incomplete == 0 {
        tracing::warn!("no capture was found in the logs: nothing was proved");
    }
    warn_of_skipped(&outcome);
    if !outcome.unread.is_empty() {
        return Err(Failure::Running("not all logs could be read to their end, see above".to_owned()));
    }
    Ok(if failures.is_empty() { 0 } else { EXIT_FAILURE })
}

fn warn_of_skipped(outcome: &Outcome) {
    for why in &outcome.unread {
        tracing::error!("{}", printable(why));
    }
    if outcome.counts.long_lines > 0 {
        let lines = counted(outcome.counts.long_lines, "line");
        tracing::warn!("skipped {lines} over the limit (--max-line); set it as it was set for storing");
    }
}

#[derive(Serialize)]
struct Json<'a> {
    summary: u32,
    version: &'static str,
    destination: &'a str,
    clean: bool,
    #[serde(flatten)]
    counts: &'a Counts,
    unread: &'a [String],
}

/// One JSON object a line on standard output, each as it comes.
struct JsonLines<W: Write> {
    out: BufWriter<W>,
    failed: Option<io::Error>,
}

impl<W: Write> JsonLines<W> {
    fn write(&mut self, value: &impl Serialize) {
        // Counts and text: nothing in it can fail to be JSON.
        let mut line = serde_json::to_vec(value).unwrap_or_default();
        line.push(b'\n');
        if self.failed.is_none() {
            self.failed = self.out.write_all(&line).err();
        }
    }

    /// A reader that has seen enough is no failure.
    fn end(mut self) -> Result<(), Failure> {
        match self.failed.or_else(|| self.out.flush().err()) {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::Running(format!("cannot write to standard output: {error}")))
            }
            _ => Ok(()),
        }
    }
}

/// The first findings of each kind.
struct Examples {
    most: usize,
    by_verdict: BTreeMap<Verdict, Vec<Finding>>,
}

impl Examples {
    fn take(&mut self, finding: &Finding) {
        let examples = self.by_verdict.entry(finding.verdict).or_default();
        if examples.len() < self.most {
            examples.push(finding.clone());
        }
    }
}

/// What makes the logs and the destination not clean, as counts with their words; nothing where they are.
fn failures(counts: &Counts, options: &VerifyArgs) -> Vec<String> {
    let incomplete = if options.allow_incomplete { counts.incomplete_in_store } else { counts.of(Verdict::Incomplete) };
    let unknown = if options.strict { counts.unknown } else { 0 };
    [
        (counts.missing, Verdict::Missing),
        (counts.twice, Verdict::Twice),
        (counts.different, Verdict::Different),
        (incomplete, Verdict::Incomplete),
        (counts.damaged, Verdict::Damaged),
        (unknown, Verdict::Unknown),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, verdict)| format!("{} {}", thousands(count), verdict.name()))
    .collect()
}

/// What people read.
fn told(counts: &Counts, examples: &Examples, failures: &[String]) -> String {
    let mut rows = vec![
        ("Logs", None),
        ("log", Some(HumanBytes(counts.log_bytes).to_string())),
        ("complete exchanges", Some(thousands(counts.logged_complete))),
        ("incomplete exchanges", Some(thousands(counts.logged_incomplete))),
        ("Destination", None),
        ("objects", Some(thousands(counts.objects + counts.bodies))),
        ("read", Some(HumanBytes(counts.object_bytes).to_string())),
        ("exchanges", Some(thousands(counts.stored))),
        ("Verdict", None),
        ("good", Some(thousands(counts.good))),
        ("missing", Some(thousands(counts.missing))),
        ("twice", Some(thousands(counts.twice))),
        ("different", Some(thousands(counts.different))),
        ("incomplete in the logs", Some(thousands(counts.incomplete_in_log))),
        ("incomplete in the store", Some(thousands(counts.incomplete_in_store))),
        ("damaged", Some(thousands(counts.damaged))),
        ("not in the logs", Some(thousands(counts.unknown))),
    ];
    let seldom = [
        ("bad records", counts.bad_records),
        ("lines over the limit", counts.long_lines),
        ("too young to judge", counts.pending),
        ("stored in pieces, good", counts.in_pieces),
        ("with more than the logs, good", counts.more_than_logged),
    ];
    rows.extend(seldom.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name, Some(thousands(count)))));
    let names = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let values = rows.iter().filter_map(|(_, value)| Some(value.as_ref()?.len())).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows {
        // Writing to a String does not fail.
        match value {
            None => writeln!(text, "{name}").ok(),
            Some(value) => writeln!(text, "  {name:<names$}  {value:>values$}").ok(),
        };
    }
    for (verdict, found) in &examples.by_verdict {
        found.iter().for_each(|finding| text.push_str(&line(finding)));
        let more = counts.of(*verdict).saturating_sub(found.len() as u64);
        if more > 0 {
            writeln!(text, "{:<10}  … and {} more, see --examples", verdict.name(), thousands(more)).ok();
        }
    }
    match failures {
        [] => text.push_str("Clean.\n"),
        failures => writeln!(text, "NOT clean: {}.", failures.join(", ")).unwrap_or_default(),
    }
    text
}

/// A finding as a line.
fn line(finding: &Finding) -> String {
    let mut text = format!("{:<10}", finding.verdict.name());
    let mut say = |word: &str| {
        // Writing to a String does not fail.
        write!(text, "  {}", printable(word)).ok();
    };
    finding.id.iter().for_each(|id| say(id));
    let fault = match finding.fault {
        Some(Fault::Log) => "the log's fault: ",
        Some(Fault::Store) => "the store's fault: ",
        None => "",
    };
    // What differs is the reason itself, and of what is damaged the reason says more.
    let chunks = match finding.verdict {
        Verdict::Incomplete | Verdict::Twice if !finding.what.is_empty() => format!(" ({})", finding.what.join(", ")),
        _ => String::new(),
    };
    if !finding.why.is_empty() {
        say(&format!("{fault}{}{chunks}", finding.why));
    }
    [&finding.object, &finding.other_object].into_iter().flatten().for_each(|key| say(&format!("in {key}")));
    text.push('\n');
    text
}

/// Progress on a terminal.
struct Bar(Option<ProgressBar>);

/// What is shown while logs are read: their end is known.
const OF_LOGS: &str = "{bar:20} {percent}% of {total_bytes} of logs, {bytes_per_sec}";
/// What is shown while objects are read: how many there are is not.
const OF_OBJECTS: &str = "{spinner} {wide_msg}";

impl Bar {
    fn new(screen: &Screen, hide: bool) -> Bar {
        if hide || !io::stderr().is_terminal() {
            return Bar(None);
        }
        let bar = screen.bar();
        draw_as(bar, OF_LOGS);
        bar.set_draw_target(ProgressDrawTarget::stderr());
        Bar(Some(bar.clone()))
    }

    fn show(&self, progress: &Progress) {
        let Some(bar) = &self.0 else { return };
        match progress {
            Progress::Logs { read_bytes, total_bytes } => {
                bar.set_length(*total_bytes);
                bar.set_position(*read_bytes);
            }
            Progress::Objects { read, bytes } => {
                if *read <= 1 {
                    draw_as(bar, OF_OBJECTS);
                }
                bar.set_message(format!("{} read, {}", counted(*read, "object"), HumanBytes(*bytes)));
                bar.tick();
            }
        }
    }
}

fn draw_as(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(verdict: Verdict, id: &str, why: &str, what: &[&str]) -> Finding {
        Finding {
            verdict,
            id: Some(id.to_owned()),
            object: None,
            other_object: None,
            what: what.iter().map(|what| (*what).to_owned()).collect(),
            fault: None,
            why: why.to_owned(),
        }
    }

    fn options(words: &str) -> VerifyArgs {
        use clap::FromArgMatches as _;
        let line = format!("reassemble verify a.log {words}");
        let matches = crate::options::args::command().try_get_matches_from(line.split_whitespace()).expect("good");
        VerifyArgs::from_arg_matches(matches.subcommand().expect("verify").1).expect("good")
    }

    #[test]
    fn what_was_found_is_shown_with_examples() {
        let mut examples = Examples { most: 2, by_verdict: BTreeMap::new() };
        for id in ["a", "b", "c"] {
            examples.take(&finding(Verdict::Missing, id, "", &[]));
        }
        let different = finding(Verdict::Different, "d", "response.body", &["response.body"]);
        examples.take(&Finding { object: Some("retention=30d/\u{1b}[2J.ndjson.gz".to_owned()), ..different });
        let incomplete = finding(Verdict::Incomplete, "e", "the logs have more than is stored", &["request.chunk:3-5"]);
        examples.take(&Finding { fault: Some(Fault::Store), ..incomplete });
        let damaged =
            Finding { id: None, object: Some("k".to_owned()), ..finding(Verdict::Damaged, "", "no hash", &["hash"]) };
        examples.take(&damaged);
        let counts = Counts {
            log_bytes: 150_000,
            logged_complete: 1_204,
            objects: 3,
            stored: 1_200,
            good: 1_199,
            missing: 3,
            different: 1,
            incomplete_in_store: 1,
            damaged: 1,
            pending: 2,
            ..Counts::default()
        };
        let text = told(&counts, &examples, &failures(&counts, &options("")));
        assert!(!text.contains('\u{1b}'));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn flags_decide_what_fails() {
        let counts = Counts { incomplete_in_log: 2, unknown: 5, good: 1, ..Counts::default() };
        assert_eq!(failures(&counts, &options("")), ["2 incomplete"]);
        assert!(failures(&counts, &options("--allow-incomplete")).is_empty());
        assert_eq!(failures(&counts, &options("--allow-incomplete --strict")), ["5 unknown"]);
        let counts = Counts { incomplete_in_store: 1, ..Counts::default() };
        assert_eq!(failures(&counts, &options("--allow-incomplete")), ["1 incomplete"]);
    }

    #[test]
    fn json_is_one_object_a_line() {
        let mut out = Vec::new();
        let mut lines = JsonLines { out: BufWriter::new(&mut out), failed: None };
        lines.write(&finding(Verdict::Missing, "a\n", "", &[]));
        lines.write(&Finding { fault: Some(Fault::Log), ..finding(Verdict::Incomplete, "b", "w", &["x"]) });
        lines.end().expect("written");
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "{\"finding\":\"missing\",\"id\":\"a\\n\"}\n{\"finding\":\"incomplete\",\"id\":\"b\",\"what\":[\"x\"],\"fault\":\"log\",\"why\":\"w\"}\n"
        );
    }
}
