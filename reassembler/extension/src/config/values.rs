//! Values as people write them in variables: sizes, durations, days, addresses. They have the forms that the `reassemble` command takes.
//!
//! An error says what to write instead.

use std::time::Duration;

/// Ten years: longer spans are mistakes, and would overflow a deadline somewhere.
const LONGEST: Duration = Duration::from_secs(3_653 * 86_400);
/// A century; S3 takes more, but nobody means it.
const MOST_DAYS: u32 = 36_500;

fn number_and_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// A number of bytes: `65536`, `64MiB`, `64MB`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = number_and_unit(text);
    let unit_bytes: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" | "ki" => 1 << 10,
        "mib" | "mi" => 1 << 20,
        "gib" | "gi" => 1 << 30,
        _ => return Err(format!("'{unit}' is no unit of size: write B, KiB, MiB, GiB, or kB, MB, GB")),
    };
    let Ok(value) = number.parse::<u64>() else {
        return Err("a size is a whole number with a unit, such as 64MiB, 64MB or 65536".to_owned());
    };
    let bytes = value.checked_mul(unit_bytes).filter(|bytes| i64::try_from(*bytes).is_ok());
    bytes.ok_or_else(|| "that is more bytes than any machine holds".to_owned())
}

/// A length of time: `500ms`, `60s`, `5m`, `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    let mut total_ms: u64 = 0;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let Ok(value) = number.parse::<u64>() else {
            return Err("a duration is a whole number with a unit, such as 2s or 500ms".to_owned());
        };
        let unit_ms: u64 = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return Err(format!("{value} of what? write {value}s, {value}m or {value}ms")),
            other => return Err(format!("'{other}' is no unit of time: write ms, s, m, h or d")),
        };
        total_ms = value.checked_mul(unit_ms).and_then(|ms| total_ms.checked_add(ms)).unwrap_or(u64::MAX);
        if next.is_empty() {
            let total = Duration::from_millis(total_ms);
            return if total <= LONGEST { Ok(total) } else { Err("that is longer than ten years".to_owned()) };
        }
        rest = next;
    }
}

/// Whole days: `30d`, `4w`, `1y` (365 days).
pub(super) fn days(text: &str) -> Result<u32, String> {
    let (number, unit) = number_and_unit(text);
    let unit_days = match unit {
        "d" => Some(1),
        "w" => Some(7),
        "y" => Some(365),
        _ => None,
    };
    let days = number.parse::<u32>().ok().zip(unit_days).and_then(|(value, unit)| value.checked_mul(unit));
    match days {
        Some(days @ 1..=MOST_DAYS) => Ok(days),
        _ => Err("a retention is a number of whole days from 1d to a century, such as 30d (also 4w or 1y)".to_owned()),
    }
}

/// A switch: `true`, `false`, and the words that go for them.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "y" | "on" | "t" => Ok(true),
        "false" | "0" | "no" | "n" | "off" | "f" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

/// Names of headers or query parameters, separated by commas.
pub(super) fn names(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<_> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let is_bad = |name: &String| name.contains([':', '=']) || name.chars().any(|c| c.is_whitespace() || c.is_control());
    if names.iter().any(is_bad) {
        return Err("write names alone, such as x-session,x-token".to_owned());
    }
    Ok(names)
}

/// A bucket, and a prefix without slashes at its ends: `s3://bucket/prefix`.
pub(super) fn bucket_and_prefix(text: &str) -> Result<(String, String), String> {
    let Some(rest) = text.strip_prefix("s3://") else { return Err("captures go to s3://bucket/prefix".to_owned()) };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if bucket.is_empty() || !bucket.chars().all(fits) {
        return Err(format!("'{bucket}' is no bucket name: write s3://bucket/prefix"));
    }
    let prefix = prefix.trim_matches('/');
    if prefix.chars().any(char::is_control) || prefix.contains("//") {
        return Err("the prefix has an empty part or a control character".to_owned());
    }
    Ok((bucket.to_owned(), prefix.to_owned()))
}

/// The URL of an S3-compatible store.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err("write http://HOST:PORT or https://HOST".to_owned()),
    }
}

/// S3's name of a storage class; other stores have their own, so any such word passes.
pub(super) fn storage_class(text: &str) -> Result<String, String> {
    if text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') {
        return Ok(text.to_owned());
    }
    Err("a storage class is a word in capitals, such as STANDARD_IA or GLACIER_IR".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_units() {
        for (text, expected) in [("0", 0), ("65536", 65_536), ("64MiB", 64 << 20), ("64 mb", 64_000_000), ("7B", 7)] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "1.5GiB", "9x", "99999999999GiB", "-1"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for text in ["", "5", "5w", "s", "99999999999999d", "1s2"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!((days("30d"), days("4w"), days("1y")), (Ok(30), Ok(28), Ok(365)));
        for text in ["", "30", "0d", "101y", "1m"] {
            assert!(days(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(bucket_and_prefix("s3://logs/a/b/"), Ok(("logs".to_owned(), "a/b".to_owned())));
        for text in ["s3://", "s3:///x", "s3://lo gs/x", "s3://logs/a//b", "gs://logs", "logs"] {
            assert!(bucket_and_prefix(text).is_err(), "{text}");
        }
        assert!(endpoint("minio:9000").is_err() && endpoint("http://127.0.0.1:9000").is_ok());
        assert!(storage_class("standard").is_err() && storage_class("STANDARD_IA").is_ok());
    }
}
