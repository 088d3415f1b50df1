//! The command line of `merge`: its own options beside the settings that it shares.

use std::ffi::OsString;

use clap::{Args, Command};

use super::args::ConfigArgs;
use super::layers::Resolved;
use super::settings::{ContentArgs, DestinationArgs, LogArgs, ReportArgs, RetentionArgs, StorageArgs};
use crate::failure::Failure;

/// Options of `merge`.
#[derive(Clone, Debug, Args)]
pub(crate) struct MergeArgs {
    /// What is merged: a directory, or s3://bucket/prefix; the same as --to
    #[arg(value_name = "DIR|s3://BUCKET/PREFIX", conflicts_with = "to")]
    pub(crate) destination: Option<OsString>,

    /// Say what could be joined, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print the counts as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Settings that a group brings along and that mean nothing here.
const MEANINGLESS: [&str; 3] = ["batch-age", "summary", "metrics"];

const NOTES: &str = "\
Examples:
  reassemble merge s3://bucket/captures --dry-run      what is there to join?
  reassemble merge s3://bucket/captures                join it
  reassemble merge ./captures --json                   in a directory, with counts for machines

When it is needed:
  A reader without a state of its own, such as the forwarder of a log subscription, stores what one
  delivery leaves open as an incomplete exchange. Where several readers each saw a part of a
  capture, so do they. merge joins such pieces: what is whole then is stored as the complete
  exchange that one reader of all lines would have stored, once; what still misses something
  becomes one incomplete exchange with all that is known. Run it as often as pieces should become
  whole, every few minutes or once an hour, and before --retention-incomplete expires them.

It is safe at any time, twice, and beside running readers: what comes meanwhile is joined by the
next one. Objects are deleted only once what replaces them is stored. After it was killed the next
one goes on; it needs the same --state for that (unless set, a place of the destination's own).
One merge of a destination at a time.

It reads the class of incomplete exchanges: --retention and --retention-incomplete are to be what
the readers were given, and so are --redact-… and --compression. Of bodies whose
Content-Encoding was undone nothing can be joined; the forwarder stores incomplete ones as captured.

Rights in a bucket: s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject.

Reasons why pieces stay as they are:
  decoded, no_pieces  their bodies are not as captured, or not cut as they were
  conflict, checksum, long_head, many_gaps, long_piece
                      they are damaged, or more than an exchange can tell
  contradiction       they do not fit together: two captures have one id, or a body is missing
  malformed           they are no exchanges of this format

Exit codes:
  0   done, or nothing to do
  1   the destination or the state could not be read or written; nothing is lost, merge again
  64  wrong usage or configuration";

/// The subcommand.
pub(super) fn command() -> Command {
    let command = MergeArgs::augment_args(Command::new("merge"));
    let command = DestinationArgs::augment_args(command);
    let command = StorageArgs::augment_args(command);
    let command = RetentionArgs::augment_args(command);
    let command = ContentArgs::augment_args(command);
    let command = ReportArgs::augment_args(command);
    let command = LogArgs::augment_args(command);
    let hidden = MEANINGLESS.map(|key| key.replace('-', "_"));
    ConfigArgs::augment_args(command)
        .mut_args(|arg| {
            let hide = hidden.iter().any(|id| arg.get_id() == id.as_str());
            arg.hide(hide)
        })
        .about("Join incomplete exchanges that several readers have stored of one capture")
        .long_about(None)
        .override_usage("reassemble merge [OPTIONS] <DIR|s3://BUCKET/PREFIX>")
        .after_help(NOTES)
}

/// Refuses settings of this run that would change nothing.
pub(crate) fn refuse_meaningless(resolved: &Resolved) -> Result<(), Failure> {
    resolved.refuse(&MEANINGLESS, "to merge, which ends by itself")
}
