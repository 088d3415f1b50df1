//! The kinds of value that options take, beside [quantities](super::quantities): destinations, addresses, names, words.
//!
//! Each type parses from what a person writes and is in range once it exists. Error texts are fragments that read well after
//! "invalid value '12' for '--batch-age':", and say what to write instead.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use reassemble_pipeline::config::{self, Compression};

/// Why a value was refused: a lower-case fragment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadValue(String);

/// Refuses a value.
pub(super) fn bad<T>(why: impl Into<String>) -> Result<T, BadValue> {
    Err(BadValue(why.into()))
}

/// The `--to` option: a directory, or a bucket with a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A directory on this machine.
    Dir(PathBuf),
    /// A bucket, and a prefix without slashes at its ends.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// The prefix, empty for none.
        prefix: String,
    },
}

impl FromStr for Destination {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return bad("the bucket is missing: write s3://bucket/prefix");
            }
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if !bucket.chars().all(fits) {
                return bad(format!("'{bucket}' is no bucket name: letters, digits, '.' and '-' only"));
            }
            let prefix = prefix.trim_matches('/');
            if prefix.chars().any(char::is_control) || prefix.contains("//") {
                return bad("the prefix has an empty part or a control character");
            }
            return Ok(Destination::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() });
        }
        if let Some(path) = text.strip_prefix("file://") {
            return bad(format!("write the directory itself: {}", if path.is_empty() { "./captures" } else { path }));
        }
        let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("s3") => bad("write s3://bucket/prefix, with two slashes"),
            Some("gs" | "az" | "abfs" | "http" | "https") if text.contains("://") => bad(
                "captures go to a directory or to s3://bucket/prefix; other S3-compatible stores work with --s3-endpoint URL",
            ),
            _ if text.is_empty() => bad("it is empty: write a directory or s3://bucket/prefix"),
            _ => Ok(Destination::Dir(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Dir(path) => path.display().fmt(f),
            Destination::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Destination::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// An address to listen on, `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddr(pub(crate) String);

impl FromStr for ListenAddr {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let teach = "write HOST:PORT, such as 127.0.0.1:9464, or 0.0.0.0:9464 to be reached from other machines";
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(ListenAddr(text.to_owned())),
            _ => bad(teach),
        }
    }
}

/// An `http://` or `https://` URL of an S3-compatible store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint(pub(crate) String);

impl FromStr for Endpoint {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let Ok(uri) = text.parse::<http::Uri>() else {
            return bad("it is no URL: write http://HOST:PORT or https://HOST");
        };
        match (uri.scheme_str(), uri.host()) {
            (Some("http" | "https"), Some(host)) if !host.is_empty() => {
                Ok(Endpoint(text.trim_end_matches('/').to_owned()))
            }
            _ => bad(format!("write the scheme too: https://{text}")),
        }
    }
}

/// S3's name of a storage class; other stores have their own, so any such word passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StorageClass(pub(crate) String);

impl FromStr for StorageClass {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') {
            return Ok(StorageClass(text.to_owned()));
        }
        bad("a storage class is a word in capitals, such as STANDARD_IA, INTELLIGENT_TIERING or GLACIER_IR")
    }
}

/// A header's or query parameter's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldName(pub(crate) String);

impl FromStr for FieldName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.is_empty()
            || text.contains([':', '=', ','])
            || text.chars().any(|c| c.is_whitespace() || c.is_control())
        {
            return bad("write the name alone, such as x-session, and the option once for each name");
        }
        Ok(FieldName(text.to_owned()))
    }
}

/// What the program logs: a level, or a filter by module such as `info,reassemble_store=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogLevel(pub(crate) String);

impl FromStr for LogLevel {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let plain_word = !text.contains(['=', ',']);
        let known = ["off", "error", "warn", "info", "debug", "trace"].contains(&text.to_ascii_lowercase().as_str());
        if (plain_word && !known) || text.parse::<tracing_subscriber::filter::Targets>().is_err() {
            return bad("write error, warn, info, debug or off, or a filter such as info,reassemble_store=debug");
        }
        Ok(LogLevel(text.to_owned()))
    }
}

/// The `--envelope` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Envelope {
    /// Recognise it from each input's own lines
    Auto,
    /// Lines as the app printed them
    Plain,
    /// Docker's json-file driver
    Docker,
    /// Containerd's and CRI-O's files under /var/log/pods
    Cri,
    /// A JSON logger's records, the line in a field or nested
    Json,
}

impl From<Envelope> for config::Envelope {
    fn from(envelope: Envelope) -> Self {
        match envelope {
            Envelope::Auto => config::Envelope::Auto,
            Envelope::Plain => config::Envelope::Plain,
            Envelope::Docker => config::Envelope::Docker,
            Envelope::Cri => config::Envelope::Cri,
            Envelope::Json => config::Envelope::Json,
        }
    }
}

/// The `--compression` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CompressionName {
    /// .ndjson.gz, levels 1 to 9
    Gzip,
    /// .ndjson.zst, levels 1 to 22
    Zstd,
    /// .ndjson
    None,
}

impl From<CompressionName> for Compression {
    fn from(name: CompressionName) -> Self {
        match name {
            CompressionName::Gzip => Compression::Gzip,
            CompressionName::Zstd => Compression::Zstd,
            CompressionName::None => Compression::None,
        }
    }
}

/// The `--s3-checksums` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Checksums {
    /// With every upload, as AWS recommends
    Always,
    /// Only where S3 demands one, for stores that reject them
    Required,
}

/// The `--summary` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SummaryFormat {
    /// A table for people, on standard error
    Text,
    /// One JSON object on standard output (on standard error where standard output is the app's)
    Json,
    /// Nothing
    None,
}

/// The `--log-format` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people
    Plain,
    /// One JSON object a line
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let s3 = |bucket: &str, prefix: &str| Destination::S3 { bucket: bucket.into(), prefix: prefix.into() };
        assert_eq!("s3://logs".parse(), Ok(s3("logs", "")));
        assert_eq!("s3://logs/a/b/".parse(), Ok(s3("logs", "a/b")));
        assert_eq!("./captures".parse(), Ok(Destination::Dir("./captures".into())));
        assert_eq!("a:b".parse(), Ok(Destination::Dir("a:b".into())));
        for text in ["", "s3:/logs", "s3://", "s3:///x", "s3://lo gs/x", "s3://logs/a//b", "gs://logs", "file:///tmp/x"]
        {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }

    #[test]
    fn listen_addresses_have_a_host_and_a_port() {
        for text in ["127.0.0.1:9464", "[::1]:0", "localhost:80"] {
            assert!(text.parse::<ListenAddr>().is_ok(), "{text}");
        }
        for text in ["9464", ":9464", "localhost", "localhost:http", "localhost:70000"] {
            assert!(text.parse::<ListenAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn other_words() {
        assert!("http://127.0.0.1:9000".parse::<Endpoint>().is_ok());
        assert!("minio:9000".parse::<Endpoint>().is_err());
        assert!("STANDARD_IA".parse::<StorageClass>().is_ok());
        assert!("standard".parse::<StorageClass>().is_err());
        assert!("x-session".parse::<FieldName>().is_ok());
        assert!("x-session: 1".parse::<FieldName>().is_err());
        assert!("info,reassemble_store=debug".parse::<LogLevel>().is_ok());
        assert!("infoo".parse::<LogLevel>().is_err());
    }
}
