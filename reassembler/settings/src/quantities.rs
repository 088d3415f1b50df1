//! Quantities as people write them: sizes, durations, days, permissions. Each is in range once it exists.

use std::str::FromStr;
use std::time::Duration;

use crate::{BadValue, bad};

/// Splits `1.5GiB` into `1.5` and `GiB`.
fn number_and_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// A number of bytes: `65536`, `64MiB`, `64MB`, `1.5GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (number, unit) = number_and_unit(text.trim());
        let Ok(value) = number.parse::<f64>() else {
            return bad("a size is a number with a unit, such as 64MiB, 64MB or 65536");
        };
        let unit_bytes: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            "kib" | "ki" => 1 << 10,
            "mib" | "mi" => 1 << 20,
            "gib" | "gi" => 1 << 30,
            "tib" | "ti" => 1 << 40,
            short @ ("k" | "m" | "g" | "t") => {
                let short = short.to_ascii_uppercase();
                return bad(format!(
                    "{short} could mean two things: write {number}{short}iB (powers of 1024) or {number}{short}B (of 1000)"
                ));
            }
            _ => return bad(format!("'{unit}' is no unit of size: write B, KiB, MiB, GiB, or kB, MB, GB")),
        };
        // Whole numbers are taken exactly; a fraction is rounded down to a byte.
        let bytes = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(unit_bytes),
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a fraction is not negative, is compared first, and need not be exact to the byte"
            )]
            Err(_) if value * (unit_bytes as f64) < 9e18 => Some((value * unit_bytes as f64) as u64),
            Err(_) => None,
        };
        match bytes {
            Some(bytes) if bytes <= i64::MAX as u64 => Ok(Bytes(bytes)),
            _ => bad("that is more bytes than any machine holds"),
        }
    }
}

/// A length of time: `500ms`, `60s`, `5m`, `1h30m`, `2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// Ten years: longer spans are mistakes, and would overflow a deadline somewhere.
const LONGEST_SPAN_MS: u64 = 3_653 * 86_400_000;

impl FromStr for Span {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return bad("a duration is a number with a unit, such as 60s, 5m or 1h");
        }
        let mut total_ms: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = rest.split_at(digits);
            let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, next) = after.split_at(letters);
            let Ok(value) = number.parse::<u64>() else {
                return bad(
                    "a duration is a whole number with a unit, such as 60s, 5m or 1h (500ms for half a second)",
                );
            };
            let unit_ms: u64 = match unit.trim() {
                "ms" => 1,
                "s" => 1_000,
                "m" | "min" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "" => return bad(format!("{value} of what? write {value}s, {value}m or {value}h")),
                other => return bad(format!("'{other}' is no unit of time: write ms, s, m, h or d")),
            };
            total_ms = value.checked_mul(unit_ms).and_then(|ms| total_ms.checked_add(ms)).unwrap_or(u64::MAX);
            rest = next;
        }
        if total_ms > LONGEST_SPAN_MS {
            return bad("that is longer than ten years");
        }
        Ok(Span(Duration::from_millis(total_ms)))
    }
}

/// A span above zero, for what happens again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(pub Duration);

impl FromStr for Interval {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.parse::<Span>()? {
            Span(Duration::ZERO) => bad("it must be more than nothing: 1ms is the least"),
            Span(duration) => Ok(Interval(duration)),
        }
    }
}

/// Permissions of a file or folder, in octal: `0640`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u32);

impl FromStr for Mode {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let is_octal = !text.is_empty() && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
        match u32::from_str_radix(text, 8) {
            Ok(mode) if is_octal && mode <= 0o777 && mode & 0o600 == 0o600 => Ok(Mode(mode)),
            Ok(mode) if is_octal && mode <= 0o777 => bad("the owner must be able to read and write: 0600 is the least"),
            _ => bad("permissions are three octal digits, such as 0640"),
        }
    }
}

/// Whole days, as lifecycle rules of object stores count them: `30d`, `4w`, `1y` (365 days).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(pub u32);

/// A century; S3 takes more, but nobody means it.
const MOST_DAYS: u32 = 36_500;

impl FromStr for Days {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (number, unit) = number_and_unit(text.trim());
        let Ok(value) = number.parse::<u32>() else {
            return bad("a retention is a number of whole days, such as 30d (also 4w or 1y)");
        };
        let unit_days = match unit {
            "d" => 1,
            "w" => 7,
            "y" => 365,
            "" => return bad(format!("{value} of what? write {value}d for {value} days")),
            "m" | "h" | "s" | "ms" | "min" | "mo" => {
                return bad(
                    "retention is counted in whole days, because object stores expire by the day: write 30d, 4w or 1y",
                );
            }
            other => return bad(format!("'{other}' is no unit of retention: write d, w or y")),
        };
        match value.checked_mul(unit_days) {
            Some(0) => bad("nothing can be kept for no time: 1d is the least"),
            Some(days) if days <= MOST_DAYS => Ok(Days(days)),
            _ => bad(format!("a century is the most: {MOST_DAYS}d")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    fn why<T: FromStr<Err = BadValue> + fmt::Debug>(text: &str) -> String {
        text.parse::<T>().expect_err(text).to_string()
    }

    #[test]
    fn sizes_in_every_spelling() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("64MiB", 64 << 20),
            ("64MB", 64_000_000),
            ("64 MiB", 64 << 20),
            ("64mib", 64 << 20),
            ("64Mi", 64 << 20),
            ("1.5KiB", 1536),
            ("7B", 7),
            ("9007199254740993", 9_007_199_254_740_993),
        ] {
            assert_eq!(text.parse::<Bytes>(), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn refused_sizes_teach() {
        assert_eq!(why::<Bytes>("64M"), "M could mean two things: write 64MiB (powers of 1024) or 64MB (of 1000)");
        assert_eq!(why::<Bytes>("64 parsecs"), "'parsecs' is no unit of size: write B, KiB, MiB, GiB, or kB, MB, GB");
        assert_eq!(why::<Bytes>("99999999TiB"), "that is more bytes than any machine holds");
        assert_eq!(why::<Bytes>("1e9"), "'e9' is no unit of size: write B, KiB, MiB, GiB, or kB, MB, GB");
        for text in ["", "-1", "MiB", "1.2.3KiB", "99999999999999999999999.5TiB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations_add_up() {
        for (text, ms) in
            [("500ms", 500), ("60s", 60_000), ("5m", 300_000), ("1h30m", 5_400_000), ("2d", 172_800_000), ("0s", 0)]
        {
            assert_eq!(text.parse::<Span>(), Ok(Span(Duration::from_millis(ms))), "{text}");
        }
        assert_eq!(why::<Span>("60"), "60 of what? write 60s, 60m or 60h");
        assert_eq!(why::<Span>("5 weeks"), "'weeks' is no unit of time: write ms, s, m, h or d");
        assert_eq!(why::<Span>("99999999999999999999s"), why::<Span>("s"));
        assert_eq!(why::<Span>("18446744073709551615h"), "that is longer than ten years");
        assert_eq!(why::<Interval>("0s"), "it must be more than nothing: 1ms is the least");
    }

    #[test]
    fn permissions_are_octal_and_leave_the_owner_in() {
        for (text, mode) in [("0600", 0o600), ("640", 0o640), ("0777", 0o777)] {
            assert_eq!(text.parse::<Mode>(), Ok(Mode(mode)), "{text}");
        }
        assert!(why::<Mode>("0440").contains("0600 is the least"));
        for text in ["", "u=rw", "0o600", "8", "01777", "+600", "rw-------"] {
            assert_eq!(why::<Mode>(text), "permissions are three octal digits, such as 0640", "{text}");
        }
    }

    #[test]
    fn retention_is_in_whole_days() {
        for (text, days) in [("30d", 30), ("4w", 28), ("1y", 365), ("36500d", 36_500)] {
            assert_eq!(text.parse::<Days>(), Ok(Days(days)), "{text}");
        }
        assert_eq!(why::<Days>("30"), "30 of what? write 30d for 30 days");
        assert!(why::<Days>("12h").contains("whole days"));
        for text in ["0d", "1.5d", "101y", "4294967295w", "d", "-3d"] {
            assert!(text.parse::<Days>().is_err(), "{text}");
        }
    }
}
