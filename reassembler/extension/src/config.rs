//! What the extension is told: environment variables alone, named and written as those of the `reassemble` command.
//!
//! An empty variable counts as unset. What is wrong is told with the variable, its value, and what it can be.

mod values;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reassemble_pipeline::config::{
    Compression, Config as PipelineConfig, DestinationConfig, Envelope, InputConfig, KeyRing, ProcessConfig, Retention,
    S3Options, SigningConfig, StoreConfig,
};

use self::values::{bucket_and_prefix, bytes, days, duration, endpoint, names, switch};

/// What every variable's name begins with.
const PREFIX: &str = "REASSEMBLE_";
/// Longest line in bytes: a record of the Telemetry API, which may be cut over two POSTs.
const MAX_LINE_BYTES: usize = 2 << 20;
/// Memory for what is read and not on disk yet, in bytes. The function and its extensions share their memory.
const MEMORY_BYTES: usize = 2 << 20;
/// Least of it: below it every capture would go to disk and come back.
const LEAST_MEMORY_BYTES: u64 = 1 << 20;
/// Smallest spool in bytes: below it, single compressed blocks would fill it.
const LEAST_SPOOL_BYTES: u64 = 1 << 20;
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

/// Everything that the extension is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the pipeline is told.
    pub pipeline: PipelineConfig,
    /// When captures are sent.
    pub flush: FlushPolicy,
    /// How long a flush at the end of an invocation may take.
    pub flush_timeout: Duration,
    /// What is logged: a level.
    pub log_level: String,
    /// Variables that look like settings and are none.
    pub unknown: Vec<String>,
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
}

/// Variables, each looked at once.
struct Variables(HashMap<String, String>);

impl Variables {
    fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// A variable's value, or the default of the setting.
    fn get<T>(
        &mut self,
        key: &str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let Some(value) = self.take(key) else { return Ok(default) };
        parse(&value).map_err(|why| ConfigError::Invalid { variable: format!("{PREFIX}{key}"), value, why })
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
        let ours = variables.filter_map(|(name, value)| {
            let key = name.strip_prefix(PREFIX).filter(|_| !value.is_empty())?;
            Some((key.to_owned(), value))
        });
        let mut from = Variables(ours.collect());
        let flush = from.get("FLUSH", FlushPolicy::End, flush_policy)?;
        let config = Config {
            flush,
            flush_timeout: from.get("FLUSH_TIMEOUT", Duration::from_secs(2), duration)?,
            log_level: from.get("LOG_LEVEL", "info".to_owned(), log_level)?,
            pipeline: PipelineConfig {
                input: InputConfig {
                    // Whatever the function prints is its own: no line of it is a container's.
                    envelope: Envelope::Json,
                    max_line_bytes: MAX_LINE_BYTES,
                    poll_interval: Duration::from_secs(1),
                    ..InputConfig::default()
                },
                timeout: from.get("TIMEOUT", Duration::from_secs(60), more_than_nothing)?,
                signing: signing(&mut from)?,
                process: process(&mut from)?,
                store: store(&mut from, flush)?,
            },
            unknown: Vec::new(),
        };
        let mut unknown: Vec<_> = from.0.into_keys().map(|key| format!("{PREFIX}{key}")).collect();
        unknown.sort_unstable();
        Ok(Config { unknown, ..config })
    }
}

fn process(from: &mut Variables) -> Result<ProcessConfig, ConfigError> {
    Ok(ProcessConfig {
        redact: !from.get("NO_REDACT", false, switch)?,
        redact_headers: from.get("REDACT_HEADER", Vec::new(), names)?,
        redact_query: from.get("REDACT_QUERY", Vec::new(), names)?,
        decode: !from.get("NO_DECODE", false, switch)?,
        decode_incomplete: true,
        decode_limit_bytes: from.get("DECODE_LIMIT", 8 << 20, bytes)?,
    })
}

fn store(from: &mut Variables, flush: FlushPolicy) -> Result<StoreConfig, ConfigError> {
    let state = PathBuf::from(from.take("STATE").unwrap_or_else(|| "/tmp/reassemble".to_owned()));
    let compression = from.get("COMPRESSION", Compression::Gzip, |word| match word {
        "gzip" => Ok(Compression::Gzip),
        "zstd" => Ok(Compression::Zstd),
        "none" => Ok(Compression::None),
        _ => Err("write gzip, zstd or none".to_owned()),
    })?;
    let compression_level = from.get("COMPRESSION_LEVEL", None, |text| level(text, compression).map(Some))?;
    let retention = Retention::default();
    let limit_bytes = from.get("SPOOL_LIMIT", 256 << 20, |text| at_least(text, LEAST_SPOOL_BYTES))?;
    let memory_bytes = from.get("MEMORY", MEMORY_BYTES as u64, |text| at_least(text, LEAST_MEMORY_BYTES))?;
    Ok(StoreConfig {
        to: destination(from)?,
        spool_limit_bytes: limit_bytes.min(disk_bytes(&state)),
        state: Some(state),
        batch_bytes: from.get("BATCH_BYTES", 64 << 20, |text| at_least(text, 1))?,
        batch_age: match flush {
            FlushPolicy::End => BATCH_AGE,
            FlushPolicy::Periodic(period) => period,
            FlushPolicy::Shutdown => ANY_AGE,
        },
        compression,
        compression_level,
        memory_bytes: usize::try_from(memory_bytes).unwrap_or(usize::MAX),
        inline_body_bytes: from.get("INLINE_BODY", 1 << 20, bytes)?,
        retention: Retention {
            normal_days: from.get("RETENTION", retention.normal_days, days)?,
            errors_days: from.get("RETENTION_ERRORS", retention.errors_days, days)?,
            incomplete_days: from.get("RETENTION_INCOMPLETE", retention.incomplete_days, days)?,
        },
        commit_interval: COMMIT_INTERVAL,
        retry_max_delay: RETRY_MAX_DELAY,
        file_mode: 0o600,
        folder_mode: 0o700,
        accept_damage: from.get("ACCEPT_DAMAGE", false, switch)?,
    })
}

fn destination(from: &mut Variables) -> Result<DestinationConfig, ConfigError> {
    let to = from.get("TO", None, |text| bucket_and_prefix(text).map(Some))?;
    let teach = "captures go to s3://bucket/prefix";
    let (bucket, prefix) = to.ok_or(ConfigError::Missing { variable: format!("{PREFIX}TO"), teach })?;
    Ok(DestinationConfig::S3 {
        bucket,
        prefix,
        options: S3Options {
            endpoint: from.get("S3_ENDPOINT", None, |text| endpoint(text).map(Some))?,
            region: from.take("S3_REGION"),
            path_style: from.get("S3_PATH_STYLE", false, switch)?,
            storage_class: from.get("S3_STORAGE_CLASS", None, |text| values::storage_class(text).map(Some))?,
            sse_kms_key: from.take("S3_SSE_KMS"),
            checksums_when_required: from.get("S3_CHECKSUMS", false, |word| match word {
                "always" => Ok(false),
                "required" => Ok(true),
                _ => Err("write always or required".to_owned()),
            })?,
            timeout: Some(from.get("UPLOAD_TIMEOUT", Duration::from_secs(5), more_than_nothing)?),
        },
    })
}

fn signing(from: &mut Variables) -> Result<Option<SigningConfig>, ConfigError> {
    let keys = from.get("KEY_FILE", None, |path| {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        KeyRing::parse(&text).map(Some).map_err(|error| error.to_string())
    })?;
    let max_age = from.get("SIG_MAX_AGE", None, |text| more_than_nothing(text).map(Some))?;
    Ok(keys.map(|keys| SigningConfig { keys, max_age }))
}

fn flush_policy(text: &str) -> Result<FlushPolicy, String> {
    match text.split_once(':') {
        None if text == "end" => Ok(FlushPolicy::End),
        None if text == "shutdown" => Ok(FlushPolicy::Shutdown),
        Some(("periodic", seconds)) => {
            let period = match seconds.parse::<u32>() {
                Ok(seconds) => Ok(Duration::from_secs(u64::from(seconds))),
                Err(_) => duration(seconds),
            };
            match period {
                Ok(Duration::ZERO) => Err("a period is at least a second".to_owned()),
                period => period.map(FlushPolicy::Periodic),
            }
        }
        _ => Err("write end, periodic:SECONDS (such as periodic:60) or shutdown".to_owned()),
    }
}

fn log_level(text: &str) -> Result<String, String> {
    match text.to_ascii_lowercase() {
        level if ["off", "error", "warn", "info", "debug", "trace"].contains(&level.as_str()) => Ok(level),
        _ => Err("write error, warn, info, debug or off".to_owned()),
    }
}

fn level(text: &str, compression: Compression) -> Result<u32, String> {
    let most = match compression {
        Compression::Gzip => 9,
        Compression::Zstd => 22,
        Compression::None => return Err("there is no compression for it".to_owned()),
    };
    match text.parse() {
        Ok(level) if (1..=most).contains(&level) => Ok(level),
        _ => Err(format!("it must lie between 1 and {most}")),
    }
}

fn more_than_nothing(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Ok(Duration::ZERO) => Err("it must be more than nothing: 1ms is the least".to_owned()),
        duration => duration,
    }
}

fn at_least(text: &str, least: u64) -> Result<u64, String> {
    match bytes(text) {
        Ok(bytes) if bytes < least => Err(format!("{least} bytes are the least")),
        bytes => bytes,
    }
}

/// What the disk has for the spool at this path, or will once its folder exists.
fn disk_bytes(state: &Path) -> u64 {
    let existing = state.ancestors().find_map(|path| nix::sys::statvfs::statvfs(path).ok());
    let Some(disk) = existing else { return LEAST_SPOOL_BYTES };
    let free = disk.blocks_available() * disk.fragment_size();
    free.saturating_sub(SPARED_DISK_BYTES).max(LEAST_SPOOL_BYTES)
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
        assert_eq!(config.unknown, Vec::<String>::new());
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
            ("REASSEMBLE_BATCH_AGES", "1s"),
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
        assert_eq!(config.unknown, ["REASSEMBLE_BATCH_AGES"]);
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
            ("REASSEMBLE_FLUSH_TIMEOUT", "5", "5 of what? write 5s, 5m or 5ms"),
            ("REASSEMBLE_COMPRESSION", "lz4", "write gzip, zstd or none"),
            ("REASSEMBLE_COMPRESSION_LEVEL", "10", "it must lie between 1 and 9"),
            ("REASSEMBLE_S3_PATH_STYLE", "maybe", "write true or false"),
            ("REASSEMBLE_SPOOL_LIMIT", "1KiB", "1048576 bytes are the least"),
            ("REASSEMBLE_KEY_FILE", "/no/such", "No such file or directory (os error 2)"),
            ("REASSEMBLE_LOG_LEVEL", "loud", "write error, warn, info, debug or off"),
        ] {
            assert_eq!(config(&[(name, value)]).map(drop), Err(format!("invalid value '{value}' for {name}: {why}")));
        }
    }
}
