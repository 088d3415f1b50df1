//! The command line of `verify`: its own options beside the settings that it shares.

use std::path::PathBuf;

use clap::{Args, Command};
use reassemble_settings::quantities::Span;

use super::args::ConfigArgs;
use super::layers::Resolved;
use super::settings::{DestinationArgs, LineArgs, LogArgs, ReportArgs};
use crate::failure::Failure;

/// Options of `verify`.
#[derive(Clone, Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Logs to read, also .gz and .zst; quoted globs too, and all files of a rotation together
    #[arg(value_name = "LOG", required = true)]
    pub(crate) logs: Vec<PathBuf>,

    /// Do not judge captures younger than this where they are missing or incomplete
    #[arg(long, value_name = "DURATION")]
    pub(crate) grace: Option<Span>,

    /// Exchanges that the logs themselves have only in part are no failure
    #[arg(long)]
    pub(crate) allow_incomplete: bool,

    /// Exchanges that are stored and not in the logs are a failure, and told one by one
    #[arg(long)]
    pub(crate) strict: bool,

    /// Print one JSON object a finding, and one with the counts at the end
    #[arg(long)]
    pub(crate) json: bool,

    /// How many findings of a kind are shown
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "json")]
    pub(crate) examples: usize,
}

/// Settings that a group brings along and that mean nothing here.
const MEANINGLESS: [&str; 7] =
    ["timeout", "sig-max-age", "summary", "metrics", "s3-storage-class", "s3-sse-kms", "s3-checksums"];

const NOTES: &str = "\
Examples:
  reassemble verify app.log                            is all of it in ./captures?
  reassemble verify '/var/log/app.log*' --to s3://bucket/captures
                                                       a log with its rotated files
  reassemble verify app.log --to captures --grace 5m   while the app still writes
  reassemble verify app.log --json | jq -r 'select(.finding == \"missing\") | .id'

Findings:
  missing     in the logs, and not stored
  twice       stored more than once
  different   stored, and not as the logs have it: names the fields that differ
  incomplete  stored as incomplete: tells whether the logs have more
  damaged     an object or line that cannot be read, or is not what its name says
  unknown     stored, and not in these logs: counted, for a destination mostly holds more than one
              log's exchanges; a failure with --strict alone

Bodies are compared by length and CRC-32, as captured, whatever compression or place they are stored
in; of one whose Content-Encoding was undone, what its exchange says was captured is compared (and
its object's hash). What was redacted counts for any value. What was stored in pieces, an incomplete
exchange and its supplements, is put together first.

It is for logs that rest: nobody writes to them, and whoever stores them has ended or caught up.
What is open in a running program is missing or incomplete here; --grace leaves it out.

All logs are read first, and some 400 bytes are kept of each exchange, however large it is: a
million take about 400 MB. Then all objects of the destination are read once, as streams.

Exit codes:
  0   clean
  1   something was found, or a log or the destination could not be read
  64  wrong usage or configuration";

/// The subcommand.
pub(super) fn command() -> Command {
    let command = VerifyArgs::augment_args(Command::new("verify"));
    let command = LineArgs::augment_args(command);
    let command = DestinationArgs::augment_args(command);
    let command = ReportArgs::augment_args(command);
    let command = LogArgs::augment_args(command);
    let hidden = MEANINGLESS.map(|key| key.replace('-', "_"));
    ConfigArgs::augment_args(command)
        .mut_args(|arg| {
            let hide = hidden.iter().any(|id| arg.get_id() == id.as_str());
            arg.hide_short_help(false).hide(hide)
        })
        .about("Say which exchanges of logs are missing in a destination, twice, different or incomplete")
        .long_about(None)
        .override_usage("reassemble verify [OPTIONS] <LOG>...")
        .after_help(NOTES)
}

/// Refuses settings of this run that would change nothing.
pub(crate) fn refuse_meaningless(resolved: &Resolved) -> Result<(), Failure> {
    resolved.refuse(&MEANINGLESS, "to verify, which stores nothing")
}
