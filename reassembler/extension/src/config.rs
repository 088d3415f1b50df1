//! What the extension is told: environment variables alone, named and written as those of the `reassemble` command.
//!
//! An empty variable counts as unset. What is wrong is told with the variable, its value, and what it can be.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use reassemble_pipeline::config::{
    Config as PipelineConfig, DestinationConfig, Envelope, InputConfig, ProcessConfig, Retention, S3Options,
    SigningConfig, StoreConfig,
};
use reassemble_settings::key_file::KeyFile;
use reassemble_settings::quantities::{Bytes, Days, Interval, Span};
use reassemble_settings::ranges::{self, LEAST_SPOOL_LIMIT_BYTES, Misfit};
use reassemble_settings::values::{Bucket, Endpoint, FieldNames, StorageClass};
use reassemble_settings::variables::{self, variable};
use reassemble_settings::words::{Checksums, CompressionName, Level, Switch};
use reassemble_settings::{BadValue, bad, defaults};

/// Where the spool and the state are.
const STATE: &str = "/tmp/reassemble";
/// How long a flush at the end of an invocation may take.
const FLUSH_TIMEOUT: &str = "2s";
/// Longest time for a request to S3: it has to end within a flush, or soon behind it.
const UPLOAD_TIMEOUT: &str = "5s";
/// Bytes of /tmp, of which there are 512 MiB unless a function has more, for what the bucket has not taken.
const SPOOL_LIMIT: &str = "256MiB";
/// Memory for what is read and not on disk yet. The function and its extensions share theirs.
const MEMORY: &str = "2MiB";
/// Longest line in bytes: a record of the Telemetry API, which may be cut over two POSTs.
const MAX_LINE_BYTES: usize = 2 << 20;
/// What is left free of the disk for the state and for the function, in bytes.
const SPARED_DISK_BYTES: u64 = 32 << 20;
/// How often what was read is made durable while the function runs: between invocations a flush does it.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
/// Longest wait between tries of an upload: an environment lives for minutes.
const RETRY_MAX_DELAY: Duration = Duration::from_secs(2);
/// Largest age of a batch where nothing but the shutdown flushes.
const ANY_AGE: Duration = Duration::from_secs(86_400);
/// Age of a batch beside flushes at the end of invocations: for functions that run for minutes.
const BATCH_AGE: Duration = Duration::from_secs(60);

/// When captures are sent to the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushPolicy {
    /// At the end of each invocation, once the response has gone.
    End,
    /// At the end of the first invocation after so long.
    Periodic(Duration),
    /// When the environment ends.
    Shutdown,
}

impl FromStr for FlushPolicy {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.split_once(':') {
            None if text == "end" => Ok(FlushPolicy::End),
            None if text == "shutdown" => Ok(FlushPolicy::Shutdown),
            Some(("periodic", period)) => {
                let Span(period) = match period.parse::<u32>() {
                    Ok(seconds) => Span(Duration::from_secs(u64::from(seconds))),
                    Err(_) => period.parse()?,
                };
                if period.is_zero() { bad("a period is at least a second") } else { Ok(FlushPolicy::Periodic(period)) }
            }
            _ => bad("write end, periodic:SECONDS (such as periodic:60) or shutdown"),
        }
    }
}

/// Everything that the extension is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the pipeline is told.
    pub pipeline: PipelineConfig,
    /// When captures are sent.
    pub flush: FlushPolicy,
    /// How long a flush at the end of an invocation may take.
    pub flush_timeout: Duration,
    /// How much is logged.
    pub log_level: Level,
    /// What should be told once the log is open: variables that look like settings and are none.
    pub warnings: Vec<String>,
}

/// A variable that is missing or cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It is needed and not set.
    #[error("{variable} is not set: {teach}")]
    Missing {
        /// The variable.
        variable: String,
        /// What it can be.
        teach: &'static str,
    },
    /// Its value cannot be used.
    #[error("invalid value '{value}' for {variable}: {why}")]
    Invalid {
        /// The variable.
        variable: String,
        /// What it holds.
        value: String,
        /// What is wrong with it, and what it can be.
        why: String,
    },
    /// Its value is out of range, or does not fit another's.
    #[error("{name} {0}", name = variable(.0.key))]
    Misfit(#[from] Misfit),
}

fn invalid(key: &str, value: &str, why: impl Display) -> ConfigError {
    ConfigError::Invalid { variable: variable(key), value: value.to_owned(), why: why.to_string() }
}

fn parsed<T: FromStr<Err: Display>>(key: &str, value: &str) -> Result<T, ConfigError> {
    value.parse().map_err(|why| invalid(key, value, why))
}

/// Variables of ours, each looked at once.
struct Variables {
    /// Those that are set and were not asked for yet.
    set: BTreeMap<String, String>,
    /// The settings that were asked for.
    asked: Vec<&'static str>,
}

impl Variables {
    /// A setting as it is written; `None` where it is not set.
    fn take(&mut self, key: &'static str) -> Option<String> {
        self.asked.push(key);
        self.set.remove(&variable(key))
    }

    /// A setting that may be unset.
    fn optional<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Result<Option<T>, ConfigError> {
        self.take(key).map(|value| parsed(key, &value)).transpose()
    }

    /// A setting with its default, as one would write it.
    fn get<T: FromStr<Err: Display>>(&mut self, key: &'static str, default: &str) -> Result<T, ConfigError> {
        parsed(key, self.take(key).as_deref().unwrap_or(default))
    }

    /// Whether a switch is on.
    fn is_on(&mut self, key: &'static str) -> Result<bool, ConfigError> {
        Ok(self.optional(key)?.is_some_and(|Switch(on)| on))
    }

    /// What is to be told of those that nobody asked for.
    fn warnings(self) -> Vec<String> {
        let said = |(name, value): (&String, &String)| {
            variables::unknown(name, value, "extension", self.asked.iter().copied())
        };
        self.set.iter().filter_map(said).collect()
    }
}

impl Config {
    /// Reads the variables of this process's environment.
    ///
    /// # Errors
    /// The first variable that is missing or cannot be used.
    pub fn from_environment() -> Result<Config, ConfigError> {
        let readable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        Config::from_variables(std::env::vars_os().filter_map(readable))
    }

    /// Reads these variables.
    ///
    /// # Errors
    /// The first variable that is missing or cannot be used.
    pub fn from_variables(variables: impl Iterator<Item = (String, String)>) -> Result<Config, ConfigError> {
        let ours = variables.filter(|(name, value)| name.starts_with(variables::PREFIX) && !value.is_empty());
        let mut from = Variables { set: ours.collect(), asked: Vec::new() };
        let flush = from.optional("flush")?.unwrap_or(FlushPolicy::End);
        let Span(flush_timeout) = from.get("flush-timeout", FLUSH_TIMEOUT)?;
        let log_level = from.get("log-level", defaults::LOG_LEVEL)?;
        let Interval(timeout) = from.get("timeout", defaults::TIMEOUT)?;
        let pipeline = PipelineConfig {
            input: InputConfig {
                // Whatever the function prints is its own: no line of it is a container's.
                envelope: Envelope::Json,
                max_line_bytes: MAX_LINE_BYTES,
                poll_interval: Duration::from_secs(1),
                ..InputConfig::default()
            },
            timeout,
            signing: signing(&mut from)?,
            process: process(&mut from)?,
            store: store(&mut from, flush)?,
        };
        Ok(Config { pipeline, flush, flush_timeout, log_level, warnings: from.warnings() })
    }
}

fn signing(from: &mut Variables) -> Result<Option<SigningConfig>, ConfigError> {
    let path = from.take("key-file");
    let max_age = from.optional("sig-max-age")?.map(|Interval(age)| age);
    let Some(path) = path else { return Ok(None) };
    // Who else may read it does not matter: an environment has one user, and files of layers are everyone's.
    let file = KeyFile::read(Path::new(&path)).map_err(|why| invalid("key-file", &path, why))?;
    Ok(Some(SigningConfig { keys: file.keys, max_age }))
}

fn process(from: &mut Variables) -> Result<ProcessConfig, ConfigError> {
    let Bytes(decode_limit_bytes) = from.get("decode-limit", defaults::DECODE_LIMIT)?;
    Ok(ProcessConfig {
        redact: !from.is_on("no-redact")?,
        redact_headers: names(from, "redact-header")?,
        redact_query: names(from, "redact-query")?,
        decode: !from.is_on("no-decode")?,
        decode_incomplete: true,
        decode_limit_bytes,
    })
}

fn names(from: &mut Variables, key: &'static str) -> Result<Vec<String>, ConfigError> {
    let FieldNames(names) = from.get(key, "")?;
    Ok(names.into_iter().map(|name| name.0).collect())
}

fn store(from: &mut Variables, flush: FlushPolicy) -> Result<StoreConfig, ConfigError> {
    let state = PathBuf::from(from.take("state").unwrap_or_else(|| STATE.to_owned()));
    let Bytes(batch_bytes) = from.get("batch-bytes", defaults::BATCH_BYTES)?;
    let compression: CompressionName = from.get("compression", defaults::COMPRESSION)?;
    let Bytes(spool_limit_bytes) = from.get("spool-limit", SPOOL_LIMIT)?;
    let Bytes(memory_bytes) = from.get("memory", MEMORY)?;
    let Bytes(inline_body_bytes) = from.get("inline-body", defaults::INLINE_BODY)?;
    let config = StoreConfig {
        to: destination(from)?,
        spool_limit_bytes: spool_limit_bytes.min(disk_bytes(&state)),
        state: Some(state),
        batch_bytes,
        batch_age: match flush {
            FlushPolicy::End => BATCH_AGE,
            FlushPolicy::Periodic(period) => period,
            FlushPolicy::Shutdown => ANY_AGE,
        },
        compression: compression.into(),
        compression_level: from.optional("compression-level")?,
        memory_bytes: usize::try_from(memory_bytes).unwrap_or(usize::MAX),
        inline_body_bytes,
        retention: retention(from)?,
        commit_interval: COMMIT_INTERVAL,
        retry_max_delay: RETRY_MAX_DELAY,
        file_mode: 0o600,
        folder_mode: 0o700,
        accept_damage: from.is_on("accept-damage")?,
    };
    ranges::check(&config)?;
    Ok(config)
}

fn retention(from: &mut Variables) -> Result<Retention, ConfigError> {
    let Days(normal_days) = from.get("retention", defaults::RETENTION)?;
    let Days(errors_days) = from.get("retention-errors", defaults::RETENTION_ERRORS)?;
    let Days(incomplete_days) = from.get("retention-incomplete", defaults::RETENTION_INCOMPLETE)?;
    Ok(Retention { normal_days, errors_days, incomplete_days })
}

fn destination(from: &mut Variables) -> Result<DestinationConfig, ConfigError> {
    let teach = "captures go to s3://bucket/prefix";
    let missing = || ConfigError::Missing { variable: variable("to"), teach };
    let Bucket { name: bucket, prefix } = from.optional("to")?.ok_or_else(missing)?;
    let checksums: Checksums = from.get("s3-checksums", defaults::S3_CHECKSUMS)?;
    let Interval(timeout) = from.get("upload-timeout", UPLOAD_TIMEOUT)?;
    Ok(DestinationConfig::S3 {
        bucket,
        prefix,
        options: S3Options {
            endpoint: from.optional("s3-endpoint")?.map(|Endpoint(url)| url),
            region: from.take("s3-region"),
            path_style: from.is_on("s3-path-style")?,
            storage_class: from.optional("s3-storage-class")?.map(|StorageClass(class)| class),
            sse_kms_key: from.take("s3-sse-kms"),
            checksums_when_required: checksums == Checksums::Required,
            timeout: Some(timeout),
        },
    })
}

/// What the disk has for the spool at this path, or will once its folder exists.
fn disk_bytes(state: &Path) -> u64 {
    let existing = state.ancestors().find_map(|path| nix::sys::statvfs::statvfs(path).ok());
    let Some(disk) = existing else { return LEAST_SPOOL_LIMIT_BYTES };
    let free = disk.blocks_available() * disk.fragment_size();
    free.saturating_sub(SPARED_DISK_BYTES).max(LEAST_SPOOL_LIMIT_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Config, String> {
        let to = [("REASSEMBLE_TO", "s3://logs/fn/")];
        let variables = to.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::from_variables(variables).map_err(|error| error.to_string())
    }

    #[test]
    fn one_variable_is_enough() {
        let config = config(&[("PATH", "/bin")]).unwrap();
        assert_eq!((config.flush, config.flush_timeout), (FlushPolicy::End, Duration::from_secs(2)));
        let DestinationConfig::S3 { bucket, prefix, options } = config.pipeline.store.to else { panic!("S3") };
        assert_eq!((bucket.as_str(), prefix.as_str(), options.path_style), ("logs", "fn", false));
        assert_eq!(config.pipeline.store.state, Some("/tmp/reassemble".into()));
        assert!(config.pipeline.store.spool_limit_bytes <= 256 << 20);
        assert_eq!(config.warnings, Vec::<String>::new());
    }

    #[test]
    fn variables_are_settings() {
        let config = config(&[
            ("REASSEMBLE_FLUSH", "periodic:30"),
            ("REASSEMBLE_FLUSH_TIMEOUT", "500ms"),
            ("REASSEMBLE_S3_ENDPOINT", "http://127.0.0.1:9000/"),
            ("REASSEMBLE_S3_PATH_STYLE", "true"),
            ("REASSEMBLE_S3_REGION", "eu-north-1"),
            ("REASSEMBLE_RETENTION", "2w"),
            ("REASSEMBLE_COMPRESSION", "zstd"),
            ("REASSEMBLE_COMPRESSION_LEVEL", "19"),
            ("REASSEMBLE_SPOOL_LIMIT", "2MiB"),
            ("REASSEMBLE_REDACT_HEADER", "x-a, x-b"),
            ("REASSEMBLE_STATE", ""),
            ("REASSEMBLE_FLUSH_TIMEOUTS", "1s"),
            ("REASSEMBLE_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ])
        .unwrap();
        assert_eq!(config.flush, FlushPolicy::Periodic(Duration::from_secs(30)));
        assert_eq!(config.flush_timeout, Duration::from_millis(500));
        let store = config.pipeline.store;
        assert_eq!((store.retention.normal_days, store.compression_level), (14, Some(19)));
        assert_eq!((store.spool_limit_bytes, store.batch_age), (2 << 20, Duration::from_secs(30)));
        let DestinationConfig::S3 { options, .. } = store.to else { panic!("S3") };
        assert_eq!(options.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!((options.region.as_deref(), options.path_style), (Some("eu-north-1"), true));
        assert_eq!(config.pipeline.process.redact_headers, ["x-a", "x-b"]);
        assert_eq!(
            config.warnings,
            [
                "environment variable REASSEMBLE_FLUSH_TIMEOUTS is no setting of this extension; did you mean REASSEMBLE_FLUSH_TIMEOUT?"
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_what_it_can_be() {
        assert_eq!(
            Config::from_variables(std::iter::empty()).map(drop).unwrap_err().to_string(),
            "REASSEMBLE_TO is not set: captures go to s3://bucket/prefix"
        );
        for (name, value, why) in [
            ("REASSEMBLE_TO", "./captures", "captures go to s3://bucket/prefix"),
            ("REASSEMBLE_FLUSH", "often", "write end, periodic:SECONDS (such as periodic:60) or shutdown"),
            ("REASSEMBLE_FLUSH", "periodic:0", "a period is at least a second"),
            ("REASSEMBLE_FLUSH", "periodic:1w", "'w' is no unit of time: write ms, s, m, h or d"),
            ("REASSEMBLE_FLUSH_TIMEOUT", "5", "5 of what? write 5s, 5m or 5h"),
            ("REASSEMBLE_TIMEOUT", "0s", "it must be more than nothing: 1ms is the least"),
            ("REASSEMBLE_COMPRESSION", "lz4", "write one of gzip, zstd, none"),
            ("REASSEMBLE_S3_PATH_STYLE", "maybe", "write true or false"),
            ("REASSEMBLE_KEY_FILE", "/no/such", "No such file or directory (os error 2)"),
            ("REASSEMBLE_LOG_LEVEL", "loud", "write error, warn, info, debug or off"),
            ("REASSEMBLE_REDACT_HEADER", "x-a: 1", "write names alone, such as x-session,x-token"),
        ] {
            assert_eq!(config(&[(name, value)]).map(drop), Err(format!("invalid value '{value}' for {name}: {why}")));
        }
        for (name, value, why) in [
            ("REASSEMBLE_COMPRESSION_LEVEL", "10", "must lie between 1 and 9 for gzip"),
            ("REASSEMBLE_SPOOL_LIMIT", "1KiB", "must be at least 1MiB"),
            ("REASSEMBLE_MEMORY", "1KiB", "must be at least 1MiB"),
        ] {
            assert_eq!(config(&[(name, value)]).map(drop), Err(format!("{name} {why}")));
        }
    }
}
