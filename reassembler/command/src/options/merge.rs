//! The command line of `merge`: its own options beside the settings that it shares.

use std::ffi::OsString;

use clap::{Args, Command};

use super::args::ConfigArgs;
use super::layers::Resolved;
use super::moment::Moment;
use super::settings::{ContentArgs, DestinationArgs, LogArgs, ReportArgs, RetentionArgs, StorageArgs};
use crate::failure::Failure;

/// Options of `merge`.
#[derive(Clone, Debug, Args)]
pub(crate) struct MergeArgs {
    /// What is merged: a directory, or s3://bucket/prefix; the same as --to
    #[arg(value_name = "DIR|s3://BUCKET/PREFIX", conflicts_with = "to")]
    pub(crate) destination: Option<OsString>,

    /// Say what could be joined and what would go, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Look for complete exchanges that are stored more than once, too: reads every batch
    #[arg(long)]
    pub(crate) repeated: bool,

    /// Look for complete exchanges from this time on only: 2026-11-22T05:00:00Z, or 2d for two days ago
    #[arg(long, value_name = "TIME")]
    pub(crate) complete_since: Option<Moment>,

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
  reassemble merge s3://bucket/captures --complete-since 2d
                                                       often, where the bucket holds years
  reassemble merge s3://bucket/captures --repeated --complete-since 2d
                                                       once a day
  reassemble merge ./captures --json                   in a directory, with counts for machines

When it is needed:
  A reader without a state of its own, such as the forwarder of a log subscription, stores what one
  delivery leaves open as an incomplete exchange. Where several readers each saw a part of a
  capture, so do they. merge joins such pieces: what is whole then is stored as the complete
  exchange that one reader of all lines would have stored, once; what still misses something
  becomes one incomplete exchange with all that is known. Run it as often as pieces should become
  whole, every few minutes or once an hour, and before --retention-incomplete expires them.

What is delivered again:
  CloudWatch Logs delivers at least once. What comes again of a capture that is stored complete is
  a piece to the forwarder. merge finds the complete exchange, holds the piece against it, and
  deletes the piece where all it holds is there. Complete exchanges of one capture that say the
  same, but for their source, become one: those that pieces lead to always, all others with
  --repeated.

What it reads:
  First the batches of incomplete exchanges; if there are no pieces, nothing else. Of complete
  exchanges, the services and hours of the pieces; and all of them, where a piece lacks its
  request's head and so does not tell its hour. --complete-since leaves out what is older, and
  pieces whose complete exchange lies there are joined or stay as if there were none; the summary
  counts these batches. With --repeated it reads every folder of a service and hour that holds
  more than one batch.

It is safe at any time, twice, and beside running readers: what comes meanwhile is joined by the
next one. Objects are deleted only once what replaces them is stored. After it was killed the next
one goes on; it needs the same --state for that (unless set, a place of the destination's own).
One merge of a destination at a time: --state guards it, and so on one machine only. Two at once on
two machines may end with 1, or store a capture twice, which --repeated undoes later.
An object that is written again because some of it went counts its age anew for its class.

Pieces are in the class of incomplete exchanges: --retention and --retention-incomplete are to be
what the readers were given, and so are --redact-… and --compression. Of bodies whose
Content-Encoding was undone nothing can be joined; the forwarder stores incomplete ones as captured.

Rights in a bucket: s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject.

Reasons why something stays as it is:
  decoded, no_pieces  their bodies are not as captured, or not cut as they were
  conflict, checksum, long_head, many_gaps, long_piece
                      they are damaged, or more than an exchange can tell
  contradiction       they do not fit together, or not to the complete exchange, or two complete
                      ones differ: two captures have one id, readers were set differently, or a
                      body is missing
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
        .about("Make one exchange of what several readers have stored of one capture")
        .long_about(None)
        .override_usage("reassemble merge [OPTIONS] <DIR|s3://BUCKET/PREFIX>")
        .after_help(NOTES)
}

/// Refuses settings of this run that would change nothing.
pub(crate) fn refuse_meaningless(resolved: &Resolved) -> Result<(), Failure> {
    resolved.refuse(&MEANINGLESS, "to merge, which ends by itself")
}
