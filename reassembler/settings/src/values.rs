//! The kinds of value that settings take, beside [quantities](crate::quantities) and [words](crate::words): destinations, addresses, names.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{BadValue, bad, variables};

/// A bucket, and a prefix without slashes at its ends: `s3://bucket/prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The bucket's name.
    pub name: String,
    /// The prefix, empty for none.
    pub prefix: String,
}

impl FromStr for Bucket {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let Some(rest) = text.strip_prefix("s3://") else { return bad("captures go to s3://bucket/prefix") };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() {
            return bad("the bucket is missing: write s3://bucket/prefix");
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !name.chars().all(fits) {
            return bad(format!("'{name}' is no bucket name: letters, digits, '.' and '-' only"));
        }
        let prefix = prefix.trim_matches('/');
        if prefix.chars().any(char::is_control) || prefix.contains("//") {
            return bad("the prefix has an empty part or a control character");
        }
        Ok(Bucket { name: name.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "s3://{}{slash}{}", self.name, self.prefix)
    }
}

/// Where captures go: a directory, or a bucket with a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A directory on this machine.
    Dir(PathBuf),
    /// A bucket.
    S3(Bucket),
}

impl FromStr for Destination {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.starts_with("s3://") {
            return text.parse().map(Destination::S3);
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
            Destination::S3(bucket) => bucket.fmt(f),
        }
    }
}

/// An `http://` or `https://` URL of an S3-compatible store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(pub String);

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
pub struct StorageClass(pub String);

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
pub struct FieldName(pub String);

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

/// Names of headers or query parameters, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldNames(pub Vec<FieldName>);

impl FromStr for FieldNames {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let names = variables::list(text).map(str::parse).collect::<Result<_, _>>();
        names.map(FieldNames).or_else(|_| bad("write names alone, such as x-session,x-token"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let s3 = |name: &str, prefix: &str| Destination::S3(Bucket { name: name.into(), prefix: prefix.into() });
        assert_eq!("s3://logs".parse(), Ok(s3("logs", "")));
        assert_eq!("s3://logs/a/b/".parse(), Ok(s3("logs", "a/b")));
        assert_eq!("./captures".parse(), Ok(Destination::Dir("./captures".into())));
        assert_eq!("a:b".parse(), Ok(Destination::Dir("a:b".into())));
        for text in ["", "s3:/logs", "s3://", "s3:///x", "s3://lo gs/x", "s3://logs/a//b", "gs://logs", "file:///tmp/x"]
        {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
        for text in ["s3://logs", "s3://logs/a/b", "./captures"] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn where_only_a_bucket_will_do_nothing_else_is_one() {
        assert_eq!("s3://logs/a/".parse(), Ok(Bucket { name: "logs".into(), prefix: "a".into() }));
        for text in ["", "./captures", "gs://logs", "s3:/logs"] {
            let why = text.parse::<Bucket>().unwrap_err();
            assert_eq!(why.to_string(), "captures go to s3://bucket/prefix", "{text}");
        }
    }

    #[test]
    fn addresses_and_names() {
        assert!("http://127.0.0.1:9000".parse::<Endpoint>().is_ok());
        assert!("minio:9000".parse::<Endpoint>().is_err());
        assert!("STANDARD_IA".parse::<StorageClass>().is_ok());
        assert!("standard".parse::<StorageClass>().is_err());
        assert!("x-session".parse::<FieldName>().is_ok());
        assert!("x-session: 1".parse::<FieldName>().is_err());
        let names = ["x-a", "x-b"].map(|name| FieldName(name.to_owned())).to_vec();
        assert_eq!("x-a, x-b,".parse(), Ok(FieldNames(names)));
        let why = "x-a,x-b: 1".parse::<FieldNames>().unwrap_err();
        assert_eq!(why.to_string(), "write names alone, such as x-session,x-token");
    }
}
