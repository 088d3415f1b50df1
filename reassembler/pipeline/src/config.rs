//! What a run is told: one validated structure, made by the command line from flags, environment and file.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use reassemble_formats::Envelope;
pub use reassemble_formats::sign::KeyRing;

/// Log groups of CloudWatch Logs that are read. Region, endpoint and credentials come from the usual chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudWatchConfig {
    /// Names or ARNs; a `*` at the end of a name stands for all that begin with it.
    pub groups: Vec<String>,
    /// What the names of streams begin with; empty for all.
    pub stream_prefix: String,
    /// No event before this time, in milliseconds since the epoch; `None`: none before the first start.
    pub since_ms: Option<i64>,
    /// Read to this time, in milliseconds since the epoch, and end; `None`: the groups are followed.
    pub until_ms: Option<i64>,
    /// How often a group is asked that is read to its end.
    pub interval: Duration,
    /// How much later than its time an event may become visible.
    pub overlap: Duration,
}

/// Where lines are read from.
#[derive(Clone, Debug, Default)]
pub struct InputConfig {
    /// Log groups to read.
    pub cloudwatch: Option<CloudWatchConfig>,
    /// Paths and globs to follow.
    pub follow: Vec<String>,
    /// Files to read to their end, in this order; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Objects to read to their end, behind the files and in this order.
    pub objects: Vec<ObjectsConfig>,
    /// Whether standard input is read.
    pub stdin: bool,
    /// Whether standard input's ordinary lines go on to standard output.
    pub passthrough: bool,
    /// Whether files that exist at the first start are followed from their end.
    pub from_end: bool,
    /// How lines are wrapped.
    pub envelope: Envelope,
    /// Longest line in bytes; longer ones are skipped and counted.
    pub max_line_bytes: usize,
    /// How often followed files are looked at where no events come.
    pub poll_interval: Duration,
    /// When lines count as read, in microseconds since the Unix epoch; `None`: when they are read. It stands in what has no usable time of its
    /// own, so runs over the same lines store the same bytes where it is the same.
    pub read_at_us: Option<i64>,
}

/// Objects of a bucket that are read as files are.
#[derive(Clone, Debug)]
pub struct ObjectsConfig {
    /// The bucket's name.
    pub bucket: String,
    /// All objects below this are meant, as below a folder; where there are none, the one of this key. Without slashes at its ends, empty for the
    /// whole bucket.
    pub key: String,
    /// How to talk to the store.
    pub options: S3Options,
}

impl ObjectsConfig {
    /// The bucket, as one connects to it.
    pub(crate) fn place(&self) -> DestinationConfig {
        let ObjectsConfig { bucket, options, .. } = self;
        DestinationConfig::S3 { bucket: bucket.clone(), prefix: String::new(), options: options.clone() }
    }
}

impl fmt::Display for ObjectsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

impl InputConfig {
    /// Whether reading ends by a signal alone.
    pub fn is_endless(&self) -> bool {
        !self.follow.is_empty() || self.cloudwatch.as_ref().is_some_and(|groups| groups.until_ms.is_none())
    }
}

/// Compression of stored batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Gzip members, `.ndjson.gz`.
    #[default]
    Gzip,
    /// Zstandard frames, `.ndjson.zst`.
    Zstd,
    /// No compression, `.ndjson`.
    None,
}

/// Retention in whole days, by class of exchange.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Complete exchanges.
    pub normal_days: u32,
    /// Exchanges with status 500 and up.
    pub errors_days: u32,
    /// Incomplete exchanges.
    pub incomplete_days: u32,
}

/// Options of an S3 destination beyond bucket and prefix.
#[derive(Clone, Debug, Default)]
pub struct S3Options {
    /// Another endpoint than AWS's, as a URL.
    pub endpoint: Option<String>,
    /// Region, where the usual chain should not decide.
    pub region: Option<String>,
    /// Bucket in the path instead of the host name.
    pub path_style: bool,
    /// Storage class, as S3 names it.
    pub storage_class: Option<String>,
    /// KMS key id or ARN for SSE-KMS; empty: the bucket's default KMS key.
    pub sse_kms_key: Option<String>,
    /// Send checksums only where S3 requires them.
    pub checksums_when_required: bool,
    /// Longest time for one request, beside what its body takes; `None`: the store's default.
    pub timeout: Option<Duration>,
}

/// Where exchanges go.
#[derive(Clone, Debug)]
pub enum DestinationConfig {
    /// A directory on this machine.
    Dir(PathBuf),
    /// A bucket, and a prefix without slashes at its ends (empty for none).
    S3 {
        /// The bucket's name.
        bucket: String,
        /// The prefix under which everything is stored.
        prefix: String,
        /// How to talk to the store.
        options: S3Options,
    },
}

/// How exchanges are stored.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The destination.
    pub to: DestinationConfig,
    /// The state directory; `None`: one that belongs to the destination.
    pub state: Option<PathBuf>,
    /// Uncompressed bytes at which a batch rolls.
    pub batch_bytes: u64,
    /// Age at which a batch rolls.
    pub batch_age: Duration,
    /// Compression of batches.
    pub compression: Compression,
    /// Compression level; `None`: the default of the compression.
    pub compression_level: Option<u32>,
    /// Bytes of spool (accepted and not yet stored) at which reading stops, or new captures are shed.
    pub spool_limit_bytes: u64,
    /// Bytes that may be held in memory of what was read and is not on disk: open captures, queues, unfinished blocks, caches.
    pub memory_bytes: usize,
    /// Largest body kept inside its exchange, in bytes; larger ones are objects of their own.
    pub inline_body_bytes: u64,
    /// Retention classes.
    pub retention: Retention,
    /// How often what was read is made durable.
    pub commit_interval: Duration,
    /// Longest delay between tries of an upload.
    pub retry_max_delay: Duration,
    /// Mode of files in a directory.
    pub file_mode: u32,
    /// Mode of folders in a directory.
    pub folder_mode: u32,
    /// Whether damaged spool files are set aside at the start, and their exchanges given up.
    pub accept_damage: bool,
}

/// What happens to an exchange before it is stored.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// Whether the default list of secrets is redacted.
    pub redact: bool,
    /// Header names redacted beside the default list.
    pub redact_headers: Vec<String>,
    /// Query parameters redacted beside the default list.
    pub redact_query: Vec<String>,
    /// Whether Content-Encoding is undone.
    pub decode: bool,
    /// Whether it is undone in incomplete exchanges too. Bodies as captured can be joined with what another reader has (`merge`).
    pub decode_incomplete: bool,
    /// Largest decoded body in bytes; larger ones are stored as captured.
    pub decode_limit_bytes: u64,
}

/// Which signatures are taken. Without it signed and unsigned lines are taken alike.
#[derive(Clone, Debug)]
pub struct SigningConfig {
    /// The keys; a line that none of them signed is rejected.
    pub keys: KeyRing,
    /// Largest age of a capture when it is read; `None`: any.
    pub max_age: Option<Duration>,
}

/// Everything a run needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where lines are read from.
    pub input: InputConfig,
    /// How long a capture stays open after its last chunk.
    pub timeout: Duration,
    /// Which signatures are taken; `None`: lines need none.
    pub signing: Option<SigningConfig>,
    /// What happens to exchanges.
    pub process: ProcessConfig,
    /// Where and how they are stored.
    pub store: StoreConfig,
}
