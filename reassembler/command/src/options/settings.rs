//! Every setting, declared once: its flag, its environment variable, its key in the file, its default, its help.
//!
//! The variable is the flag's name in capitals behind `REASSEMBLE_`, the key is the flag's name; both are read by the same parser
//! as the flag (see [`layers`](super::layers)). Groups exist because `exec` and `lifecycle` take some of them only.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Parser};
use reassemble_settings::defaults;
use reassemble_settings::quantities::{Bytes, Days, Interval, Mode, Span};
use reassemble_settings::values::{Destination, Endpoint, FieldName, StorageClass};
use reassemble_settings::words::{Checksums, CompressionName};

use super::moment::Moment;
use super::values::{Envelope, ListenAddr, LogFormat, LogLevel, SummaryFormat};

/// All settings, typed and each in its range. What they mean together is validated by [`config`](super::config).
#[derive(Debug, Parser)]
#[command(name = "reassemble", no_binary_name = true, disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Settings {
    /// What is read.
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// How lines are read.
    #[command(flatten)]
    pub(crate) lines: LineArgs,
    /// Where exchanges go.
    #[command(flatten)]
    pub(crate) destination: DestinationArgs,
    /// How they are batched and kept.
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    /// Retention classes.
    #[command(flatten)]
    pub(crate) retention: RetentionArgs,
    /// What is stored of an exchange.
    #[command(flatten)]
    pub(crate) content: ContentArgs,
    /// What is shown and served.
    #[command(flatten)]
    pub(crate) report: ReportArgs,
    /// What is logged.
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// What is read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Input")]
pub(crate) struct InputArgs {
    /// Follow a file, or all files that match a glob, over rotation and restarts (repeatable)
    ///
    /// New files are read from their start. Quote globs, so that the shell does not expand them: files that appear later count too.
    #[arg(long, value_name = "PATH-OR-GLOB", action = ArgAction::Append)]
    pub(crate) follow: Vec<String>,

    /// Read a log group of CloudWatch Logs, or with `*` at its end all that begin with it (repeatable)
    ///
    /// A name or an ARN. From the first start on; with --since from an earlier time, with --until to a time, where reading ends. A restart
    /// goes on where the last run was. Groups that appear later are read from their first event. Region, credentials and endpoint
    /// (AWS_ENDPOINT_URL_CLOUDWATCH_LOGS) come from AWS's usual chain; the role needs logs:FilterLogEvents, and for `*`
    /// logs:DescribeLogGroups.
    #[arg(long, value_name = "LOG-GROUP", action = ArgAction::Append)]
    pub(crate) cloudwatch: Vec<String>,

    /// Of --cloudwatch, read only streams whose names begin so
    #[arg(long, value_name = "PREFIX", hide_short_help = true)]
    pub(crate) cloudwatch_streams: Option<String>,

    /// How often a log group is asked that is read to its end
    #[arg(long, value_name = "DURATION", default_value = "5s", hide_short_help = true)]
    pub(crate) cloudwatch_interval: Interval,

    /// How much later than its time an event of a log group may appear: so far back groups are read again; repeats are dropped
    ///
    /// What appears later still may be missed; a warning says where events come so late. A capture whose parts appear minutes apart needs a
    /// --timeout that is as long.
    #[arg(long, value_name = "DURATION", default_value = "5m", hide_short_help = true)]
    pub(crate) cloudwatch_overlap: Interval,

    /// Of --cloudwatch, read events from this time on: 2026-11-22T05:00:00Z, or 24h for a day ago
    ///
    /// For groups that were not read before; those that were go on from where they are, unless this is earlier than where they began.
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    pub(crate) since: Option<Moment>,

    /// Of --cloudwatch, read events up to this time, and end
    ///
    /// A group that cannot be read for five minutes is given up, and the run ends with 1. The next goes on where it was.
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    pub(crate) until: Option<Moment>,

    /// Begin at the end of files that exist at the first start
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, value_parser = BoolishValueParser::new(), num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_default_value = true, hide_possible_values = true, hide_short_help = true)]
    pub(crate) from_end: bool,

    /// Print standard input's ordinary lines on standard output; only capture lines are taken out
    ///
    /// The app is never blocked: where the spool is full, whole new captures are shed and counted.
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, value_parser = BoolishValueParser::new(), num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_default_value = true, hide_possible_values = true)]
    pub(crate) passthrough: bool,

    /// How often followed files are looked at where no events come, as on network file systems
    #[arg(long, value_name = "DURATION", default_value = "1s", hide_short_help = true)]
    pub(crate) poll_interval: Interval,
}

/// How lines are read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Lines")]
pub(crate) struct LineArgs {
    /// How lines are wrapped
    #[arg(long, value_name = "KIND", default_value = "auto")]
    pub(crate) envelope: Envelope,

    /// Longest line; longer ones are skipped and counted
    #[arg(long, value_name = "SIZE", default_value = "1MiB", hide_short_help = true)]
    pub(crate) max_line: Bytes,

    /// How long a capture stays open after its last chunk, until it is stored as incomplete
    #[arg(long, value_name = "DURATION", default_value = defaults::TIMEOUT)]
    pub(crate) timeout: Interval,

    /// Take signed capture lines only, by the keys in this file; unsigned and forged ones are counted as bad_sig
    ///
    /// Whoever can make an app log a string can write capture lines; with keys, only those who have one can. One key a line: its
    /// name, its secret (what `openssl rand -hex 32` prints; the app's emitter gets the same in CAPTURE_SIGNING_KEY), and the services
    /// it may sign for, separated by commas, or * for all. Several keys are taken at once: to rotate, add the new one here, then give it
    /// to the apps, then remove the old one. The file is read at the start.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// With --key-file: reject captures that are older than this when they are read, against replayed lines
    ///
    /// It has to leave room for the longest request, for rotation, and for outages in which nothing is read. Unset, any age is taken, as
    /// reading old logs needs it.
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub(crate) sig_max_age: Option<Interval>,
}

/// Where exchanges go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Destination")]
pub(crate) struct DestinationArgs {
    /// Where exchanges are stored: a directory, or s3://bucket/prefix
    #[arg(long, value_name = "DIR|s3://BUCKET/PREFIX", default_value = "./captures")]
    pub(crate) to: Destination,

    /// Endpoint of another S3-compatible store, such as http://127.0.0.1:9000
    #[arg(long, value_name = "URL", hide_short_help = true)]
    pub(crate) s3_endpoint: Option<Endpoint>,

    /// Region, where the usual chain (environment, profile, instance) should not decide
    #[arg(long, value_name = "REGION", hide_short_help = true)]
    pub(crate) s3_region: Option<String>,

    /// Name the bucket in the path instead of the host name, as most other stores want it
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, value_parser = BoolishValueParser::new(), num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_default_value = true, hide_possible_values = true, hide_short_help = true)]
    pub(crate) s3_path_style: bool,

    /// Storage class of new objects, such as STANDARD_IA
    #[arg(long, value_name = "CLASS", hide_short_help = true)]
    pub(crate) s3_storage_class: Option<StorageClass>,

    /// Encrypt with KMS: with this key (an id or ARN), or with the account's own where none is given
    #[arg(long, value_name = "KEY", num_args = 0..=1, require_equals = true, default_missing_value = "", hide_short_help = true)]
    pub(crate) s3_sse_kms: Option<String>,

    /// When uploads carry a checksum
    #[arg(long, value_name = "WHEN", default_value = defaults::S3_CHECKSUMS, hide_short_help = true)]
    pub(crate) s3_checksums: Checksums,
}

/// How exchanges are batched and kept until they are stored.
#[derive(Debug, Args)]
#[command(next_help_heading = "Batches and state")]
pub(crate) struct StorageArgs {
    /// Where positions, open captures and the spool are kept; unless set, a place of its own for each destination
    ///
    /// One running program a directory. It belongs on a disk that survives a restart.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,

    /// Uncompressed size at which a batch is stored
    #[arg(long, value_name = "SIZE", default_value = defaults::BATCH_BYTES, hide_short_help = true)]
    pub(crate) batch_bytes: Bytes,

    /// Age at which a batch is stored
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub(crate) batch_age: Span,

    /// Compression of batches
    #[arg(long, value_name = "KIND", default_value = defaults::COMPRESSION)]
    pub(crate) compression: CompressionName,

    /// Level of compression: 1 to 9 for gzip (1 unless set), 1 to 22 for zstd (2 unless set)
    #[arg(long, value_name = "LEVEL", hide_short_help = true)]
    pub(crate) compression_level: Option<u32>,

    /// Bytes waiting for the destination at which reading pauses until there is room again
    #[arg(long, value_name = "SIZE", default_value = "1GiB", hide_short_help = true)]
    pub(crate) spool_limit: Bytes,

    /// Memory for what is read and not on disk yet: beyond it open captures and long bodies go to the state directory and come back
    #[arg(long, value_name = "SIZE", default_value = "16MiB", hide_short_help = true)]
    pub(crate) memory: Bytes,

    /// Longest wait between tries of an upload; four times that where only a person can help
    #[arg(long, value_name = "DURATION", default_value = "15s", hide_short_help = true)]
    pub(crate) retry_max_delay: Interval,

    /// Longest time for a request to S3, beside what its body takes; then it is tried again
    #[arg(long, value_name = "DURATION", default_value = "30s", hide_short_help = true)]
    pub(crate) upload_timeout: Interval,

    /// Permissions of files in a directory, whatever the umask
    #[arg(long, value_name = "MODE", default_value = "0600", hide_short_help = true)]
    pub(crate) file_mode: Mode,

    /// Permissions of folders in a directory, whatever the umask
    #[arg(long, value_name = "MODE", default_value = "0700", hide_short_help = true)]
    pub(crate) folder_mode: Mode,

    /// Begin in spite of damaged spool files: they are set aside, and the exchanges in them given up
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, value_parser = BoolishValueParser::new(), num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_default_value = true, hide_possible_values = true, hide_short_help = true)]
    pub(crate) accept_damage: bool,

    /// How often what was read is made durable
    #[arg(long, value_name = "DURATION", default_value = "1s", hide_short_help = true)]
    pub(crate) commit_interval: Interval,
}

/// Retention classes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Retention")]
pub(crate) struct RetentionArgs {
    /// How long complete exchanges are to be kept: names their class, for `reassemble lifecycle`
    #[arg(long, value_name = "DAYS", default_value = defaults::RETENTION)]
    pub(crate) retention: Days,

    /// How long exchanges with status 500 and up are to be kept
    #[arg(long, value_name = "DAYS", default_value = defaults::RETENTION_ERRORS, hide_short_help = true)]
    pub(crate) retention_errors: Days,

    /// How long incomplete exchanges are to be kept
    #[arg(long, value_name = "DAYS", default_value = defaults::RETENTION_INCOMPLETE, hide_short_help = true)]
    pub(crate) retention_incomplete: Days,
}

/// What is stored of an exchange.
#[derive(Debug, Args)]
#[command(next_help_heading = "Secrets and bodies")]
pub(crate) struct ContentArgs {
    /// Redact this header too, beside the default list (repeatable)
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    pub(crate) redact_header: Vec<FieldName>,

    /// Redact this query parameter's value too, beside the default list (repeatable)
    #[arg(long, value_name = "NAME", action = ArgAction::Append, hide_short_help = true)]
    pub(crate) redact_query: Vec<FieldName>,

    /// Store secrets as captured: neither the default list nor --redact-… applies
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, value_parser = BoolishValueParser::new(), num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_default_value = true, hide_possible_values = true, hide_short_help = true)]
    pub(crate) no_redact: bool,

    /// Store bodies as captured: Content-Encoding is not undone
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, value_parser = BoolishValueParser::new(), num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_default_value = true, hide_possible_values = true, hide_short_help = true)]
    pub(crate) no_decode: bool,

    /// Largest decoded body; larger ones are stored as captured
    #[arg(long, value_name = "SIZE", default_value = defaults::DECODE_LIMIT, hide_short_help = true)]
    pub(crate) decode_limit: Bytes,

    /// Largest body kept inside its exchange; larger ones become objects of their own
    #[arg(long, value_name = "SIZE", default_value = defaults::INLINE_BODY, hide_short_help = true)]
    pub(crate) inline_body: Bytes,
}

/// What is shown and served.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reports")]
pub(crate) struct ReportArgs {
    /// How the summary and loss ledger are shown at the end
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) summary: SummaryFormat,

    /// Serve /metrics (Prometheus), /healthz and /livez at this address, such as 127.0.0.1:9464
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) metrics: Option<ListenAddr>,

    /// Show no progress bar and no status line
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, value_parser = BoolishValueParser::new(), num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_default_value = true, hide_possible_values = true, hide_short_help = true)]
    pub(crate) no_progress: bool,

    /// Show warnings and errors only: no progress, no text summary
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, value_parser = BoolishValueParser::new(), num_args = 0..=1, require_equals = true, default_value = "false",
          default_missing_value = "true", hide_default_value = true, hide_possible_values = true)]
    pub(crate) quiet: bool,
}

/// What is logged.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reports")]
pub(crate) struct LogArgs {
    /// How the program's own log is written, on standard error
    #[arg(long, value_name = "FORMAT", default_value = "plain", hide_short_help = true)]
    pub(crate) log_format: LogFormat,

    /// What is logged: error, warn, info, debug, off, or a filter such as info,reassemble_store=debug
    #[arg(long, value_name = "LEVEL", default_value = defaults::LOG_LEVEL, hide_short_help = true)]
    pub(crate) log_level: LogLevel,
}
