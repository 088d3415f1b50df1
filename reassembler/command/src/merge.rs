//! `reassemble merge`: what a destination holds of one capture, made one exchange.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reassemble_stored::merge::{MergeConfig, Outcome, Progress, merge};
use serde::Serialize;

use crate::failure::Failure;
use crate::options::config;
use crate::options::layers::Resolved;
use crate::options::merge::{MergeArgs, refuse_meaningless};
use crate::report::printable::{HumanBytes, counted, printable, thousands};
use crate::report::screen::Screen;
use crate::shell::print;

/// The version of the JSON output's keys. A key that goes or changes its meaning raises it; new keys do not.
const SUMMARY_VERSION: u32 = 1;

/// Merges, prints what came of it, and returns the exit code.
pub(crate) fn perform(resolved: &Resolved, options: &MergeArgs, screen: &Screen) -> Result<u8, Failure> {
    refuse_meaningless(resolved)?;
    let report = &resolved.settings.report;
    let config = MergeConfig {
        process: config::process(resolved)?,
        store: config::store(resolved, config::destination(resolved)?)?,
        dry_run: options.dry_run,
        repeated: options.repeated,
        complete_since_ms: options.complete_since.map(|since| since.0),
    };
    let bar = bar(screen, report.quiet || report.no_progress);
    let merged = merge(&config, &mut |progress| {
        if let Some(bar) = &bar {
            bar.set_message(message(progress));
            bar.tick();
        }
    });
    if let Some(bar) = &bar {
        bar.finish_and_clear();
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let outcome = merged.map_err(|error| match error.is_usage() {
        true => Failure::Usage(error.to_string()),
        false => Failure::Running(error.to_string()),
    })?;
    let destination = resolved.settings.destination.to.to_string();
    if options.json {
        let json = Json {
            summary: SUMMARY_VERSION,
            version: env!("CARGO_PKG_VERSION"),
            destination: &destination,
            dry_run: options.dry_run,
            counts: &outcome,
        };
        // Counts and text: nothing in it can fail to be JSON.
        print(&format!("{}\n", serde_json::to_string(&json).unwrap_or_default()))?;
    } else if !report.quiet {
        print(&told(&outcome, &destination, options.dry_run))?;
    }
    Ok(0)
}

#[derive(Serialize)]
struct Json<'a> {
    summary: u32,
    version: &'static str,
    destination: &'a str,
    dry_run: bool,
    #[serde(flatten)]
    counts: &'a Outcome,
}

/// What people read.
fn told(outcome: &Outcome, destination: &str, dry_run: bool) -> String {
    let Outcome { objects_read, bytes_read, incomplete, captures, pieces, .. } = outcome;
    let mut text = format!(
        "{}: read {} ({}) with {}\n",
        printable(destination),
        counted(*objects_read, "object"),
        HumanBytes(*bytes_read),
        counted(*incomplete, "incomplete exchange"),
    );
    let mut row = |name: &str, count: u64| {
        // Writing to a String does not fail.
        writeln!(text, "  {name:<24}  {:>12}", thousands(count)).ok();
    };
    row("captures in pieces", *captures);
    row("pieces", *pieces);
    row("pieces of complete ones", outcome.pieces_held);
    row("complete ones repeated", outcome.repeated);
    if !dry_run {
        row("complete now", outcome.completed);
        row("still incomplete", outcome.still_incomplete);
        row("objects written", outcome.objects_written);
        row("objects deleted", outcome.objects_deleted);
    }
    for (reason, count) in &outcome.refused {
        row(&format!("left as is: {reason}"), *count);
    }
    if outcome.objects_damaged > 0 {
        row("damaged objects", outcome.objects_damaged);
    }
    if outcome.objects_too_old > 0 {
        row("objects too old to read", outcome.objects_too_old);
    }
    if outcome.resumed {
        text.push_str("Went on with a merge that had not come to its end.\n");
    }
    if dry_run {
        text.push_str("Nothing was changed (--dry-run).\n");
    }
    text
}

fn bar(screen: &Screen, hide: bool) -> Option<ProgressBar> {
    if hide || !io::stderr().is_terminal() {
        return None;
    }
    let bar = screen.bar();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    bar.set_draw_target(ProgressDrawTarget::stderr());
    Some(bar.clone())
}

fn message(progress: &Progress) -> String {
    match progress {
        Progress::Looking { objects, bytes } => {
            format!("looking: {} read, {}", counted(*objects, "object"), HumanBytes(*bytes))
        }
        Progress::Joining { captures, of } => {
            format!("joining: {} of {}", thousands(*captures), counted(*of, "capture"))
        }
        Progress::Deleting { objects, of } => {
            format!("deleting: {} of {}", thousands(*objects), counted(*of, "object"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_told() {
        let outcome = Outcome {
            resumed: true,
            objects_read: 12,
            bytes_read: 3_400_000,
            objects_damaged: 1,
            incomplete: 5_210,
            captures: 1_204,
            pieces: 2_500,
            pieces_held: 31,
            repeated: 3,
            objects_too_old: 70_001,
            completed: 1_200,
            still_incomplete: 4,
            refused: [("conflict", 2), ("decoded", 1_000)].into(),
            objects_written: 7,
            objects_deleted: 11,
        };
        insta::assert_snapshot!(told(&outcome, "s3://bucket/\u{1b}[2J", false));
        insta::assert_snapshot!(told(&Outcome { resumed: false, ..outcome }, "./captures", true));
    }
}
