//! The key layout of a destination: partitions, retention classes and object names.
//!
//! A key is `<root>/` (the destination's own) followed by a [`Partition`] and a name:
//!
//! ```text
//! retention=30d/service=checkout/date=2026-11-22/hour=05/20261122T051530123456Z-<32 hex>.ndjson.gz
//! retention=30d/service=checkout/date=2026-11-22/hour=05/<64 hex>.bin
//! ```
//!
//! Invariants:
//! - A partition's text holds only `A-Z a-z 0-9 _ - % = /`, whatever a log claims: no dot, so no `..`, and no empty segment. A
//!   destination may use it as a path without a further look.
//! - Names come from content: the hash is that of the stored bytes (a batch's BLAKE3, a body's SHA-256), so storing the same bytes again writes the same key.
//! - Times are microseconds since the Unix epoch, UTC; what lies before 1970 counts as 1970, what lies past 9999 as its end.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Longest encoded partition value, in bytes; a longer one is cut at a whole character.
pub const MAX_VALUE_BYTES: usize = 128;

/// The service of an exchange that names none.
pub const UNKNOWN_SERVICE: &str = "unknown";

/// Longest retention, in days (about a century); S3 itself takes more, but a longer one is a slip of the pen.
pub const MAX_RETENTION_DAYS: u32 = 36_500;

/// 9999-12-30T21:59:59Z: the last second that jiff has in every time zone.
const LAST_US: i64 = 253_402_207_199_000_000;
const HOUR_US: i64 = 3_600_000_000;

/// Everything outside `A-Z a-z 0-9 _ -` is escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');

/// Why a retention class or a partition's text is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Not whole days with a `d`.
    #[error("`{0}` is not a retention class: write whole days from 1 to {max}, as in `30d`", max = MAX_RETENTION_DAYS)]
    Retention(String),
    /// Not `retention=…/service=…/date=…/hour=…/`.
    #[error("`{0}` is not a partition: expected retention=<class>/service=<service>/date=<YYYY-MM-DD>/hour=<HH>/")]
    Partition(String),
}

/// How long a destination keeps an exchange, in whole days. Comes first in a key, so that one lifecycle rule a class can expire it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RetentionClass {
    days: u32,
}

impl RetentionClass {
    /// A class of so many days; `None` outside 1 to [`MAX_RETENTION_DAYS`].
    pub fn from_days(days: u32) -> Option<Self> {
        (1..=MAX_RETENTION_DAYS).contains(&days).then_some(Self { days })
    }

    /// Days until what is stored under this class may go.
    pub fn days(self) -> u32 {
        self.days
    }
}

impl fmt::Display for RetentionClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}d", self.days)
    }
}

impl FromStr for RetentionClass {
    type Err = LayoutError;

    /// Reads `30d`. A sign, a leading zero, a fraction or another unit is an error: one class has one name.
    fn from_str(text: &str) -> Result<Self, LayoutError> {
        let wrong = || LayoutError::Retention(text.chars().take(40).collect());
        let digits = text.strip_suffix('d').ok_or_else(wrong)?;
        if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        digits.parse().ok().and_then(Self::from_days).ok_or_else(wrong)
    }
}

/// The folder that an exchange belongs to. Cheap to compare and to hash; its `Display` is the key's prefix, with a `/` at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    class: RetentionClass,
    /// Encoded and cut already, so a hostile name holds at most [`MAX_VALUE_BYTES`].
    service: String,
    /// Hours since the epoch, UTC.
    hour: u32,
}

impl Partition {
    /// The partition of an exchange with this class, service (missing or empty: [`UNKNOWN_SERVICE`]) and time in microseconds.
    pub fn new(class: RetentionClass, service: Option<&str>, ts_us: i64) -> Self {
        let service = service.filter(|name| !name.is_empty()).unwrap_or(UNKNOWN_SERVICE);
        // Within LAST_US the hours stay below 71 million.
        let hour = u32::try_from(clamp_us(ts_us) / HOUR_US).unwrap_or(0);
        Self { class, service: encode_value(service), hour }
    }

    /// The retention class.
    pub fn class(&self) -> RetentionClass {
        self.class
    }

    /// The same service and hour in another class.
    pub fn in_class(&self, class: RetentionClass) -> Self {
        Self { class, ..self.clone() }
    }

    /// When its hour is over, in milliseconds since the Unix epoch.
    pub fn ends_ms(&self) -> i64 {
        (i64::from(self.hour) + 1) * (HOUR_US / 1_000)
    }

    /// The service as it stands in the key: percent-encoded, and cut where it was too long.
    pub fn service(&self) -> &str {
        &self.service
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = utc(i64::from(self.hour) * HOUR_US);
        write!(
            f,
            "retention={}/service={}/date={:04}-{:02}-{:02}/hour={:02}/",
            self.class,
            self.service,
            at.year(),
            at.month(),
            at.day(),
            at.hour()
        )
    }
}

impl FromStr for Partition {
    type Err = LayoutError;

    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, LayoutError> {
        let wrong = || LayoutError::Partition(text.chars().take(400).collect());
        let mut parts = text.split('/');
        let mut value = |name: &str| {
            let part = parts.next().unwrap_or("");
            part.strip_prefix(name).and_then(|rest| rest.strip_prefix('='))
        };
        let class = value("retention").and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
        let service = value("service").ok_or_else(wrong)?.to_owned();
        let date: Date = value("date").and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
        let hour: i8 = value("hour").and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
        if !(0..24).contains(&hour) {
            return Err(wrong());
        }
        let at = date.at(hour, 0, 0, 0).to_zoned(TimeZone::UTC).map_err(|_| wrong())?;
        let hour = u32::try_from(at.timestamp().as_second() / 3_600).map_err(|_| wrong())?;
        let partition = Self { class, service, hour };
        let encoded = partition.service.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'%'));
        if !encoded || partition.service.len() > MAX_VALUE_BYTES || partition.service.is_empty() {
            return Err(wrong());
        }
        // Whatever else could differ (signs, padding, trailing text) differs from what is written.
        (partition.to_string() == text).then_some(partition).ok_or_else(wrong)
    }
}

/// How a batch's lines are compressed; it decides the name's ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchEncoding {
    /// gzip members one after another: `.ndjson.gz`.
    Gzip,
    /// Zstandard frames one after another: `.ndjson.zst`.
    Zstd,
    /// As it is: `.ndjson`.
    Plain,
}

impl BatchEncoding {
    /// The ending of a batch's name, without its first dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Gzip => "ndjson.gz",
            Self::Zstd => "ndjson.zst",
            Self::Plain => "ndjson",
        }
    }
}

/// The name of a batch: its first exchange's time and the first half of the BLAKE3 of its stored bytes.
pub fn batch_name(first_ts_us: i64, blake3: &[u8; 32], encoding: BatchEncoding) -> String {
    let us = clamp_us(first_ts_us);
    let at = utc(us);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}{:06}Z-{}.{}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        us % 1_000_000,
        hex(&blake3[..16]),
        encoding.extension()
    )
}

/// The name of a large body: the SHA-256 of its bytes.
pub fn body_name(sha256: &[u8; 32]) -> String {
    format!("{}.bin", hex(sha256))
}

/// Lowercase hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Percent-encodes a partition's value outside `A-Z a-z 0-9 _ -`. What is longer than [`MAX_VALUE_BYTES`] when encoded is cut
/// before the first character that does not fit whole, so no escape and no UTF-8 sequence is torn.
pub fn encode_value(value: &str) -> String {
    let mut encoded = String::new();
    let mut one = [0; 4];
    for c in value.chars() {
        let before = encoded.len();
        encoded.extend(utf8_percent_encode(c.encode_utf8(&mut one), ESCAPED));
        if encoded.len() > MAX_VALUE_BYTES {
            encoded.truncate(before);
            break;
        }
    }
    encoded
}

fn clamp_us(ts_us: i64) -> i64 {
    ts_us.clamp(0, LAST_US)
}

fn utc(us: i64) -> Zoned {
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T05:15:30.123456Z
    const TS: i64 = 1_795_324_530_123_456;

    fn class(text: &str) -> RetentionClass {
        text.parse().unwrap()
    }

    #[test]
    fn a_partition_reads_as_the_layout_says() {
        let partition = Partition::new(class("30d"), Some("checkout"), TS);
        assert_eq!(partition.to_string(), "retention=30d/service=checkout/date=2026-11-22/hour=05/");
        let beside = partition.in_class(class("7d"));
        assert_eq!(beside.to_string(), "retention=7d/service=checkout/date=2026-11-22/hour=05/");
        assert_eq!(beside.ends_ms(), 1_795_327_200_000);
        let none = Partition::new(class("7d"), None, 0);
        assert_eq!(none.to_string(), "retention=7d/service=unknown/date=1970-01-01/hour=00/");
        assert_eq!(Partition::new(class("7d"), Some(""), 0), none);
    }

    #[test]
    fn hostile_services_stay_one_segment() {
        let encoded = |service: &str| encode_value(service);
        assert_eq!(encoded("../../etc"), "%2E%2E%2F%2E%2E%2Fetc");
        assert_eq!(encoded("a=b%2f\0\n"), "a%3Db%252f%00%0A");
        assert_eq!(encoded("é"), "%C3%A9");
        assert_eq!(encoded(&"x".repeat(1000)), "x".repeat(128));
        // 21 times 6 bytes are 126; the next escape pair would end at 132 and is left out whole.
        assert_eq!(encoded(&"é".repeat(100)), "%C3%A9".repeat(21));
        assert_eq!(encoded(&format!("{}é", "x".repeat(125))), "x".repeat(125));
    }

    #[test]
    fn retention_is_whole_days_within_bounds() {
        for good in ["1d", "30d", "36500d"] {
            assert_eq!(class(good).to_string(), good);
        }
        for bad in ["", "d", "0d", "030d", "+3d", "-3d", "3.5d", "30", "30h", "36501d", "99999999999d", "30d ", "3٣d"]
        {
            assert!(bad.parse::<RetentionClass>().is_err(), "{bad}");
        }
    }

    #[test]
    fn partitions_are_read_back() {
        for (service, ts) in [("checkout", TS), ("../é", 0), ("x", i64::MAX), ("y", i64::MIN)] {
            let partition = Partition::new(class("30d"), Some(service), ts);
            assert_eq!(partition.to_string().parse::<Partition>().unwrap(), partition);
        }
        for bad in [
            "retention=30d/service=a/date=2026-11-22/hour=24/",
            "retention=30d/service=a/date=2026-11-22/hour=5/",
            "retention=30d/service=a/date=2026-11-22/hour=05",
            "retention=30d/service=a/date=2026-11-22/hour=05/x",
            "retention=30d/service=/date=2026-11-22/hour=05/",
            "retention=30d/service=../date=2026-11-22/hour=05/",
            "retention=0d/service=a/date=2026-11-22/hour=05/",
        ] {
            assert!(bad.parse::<Partition>().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_out_of_range_are_clamped() {
        let last = Partition::new(class("1d"), None, i64::MAX);
        assert!(last.to_string().contains("/date=9999-12-30/"), "{last}");
        assert!(Partition::new(class("1d"), None, i64::MIN).to_string().contains("/date=1970-01-01/hour=00/"));
    }

    #[test]
    fn names_hold_time_and_hash() {
        let sha = [0xab; 32];
        assert_eq!(
            batch_name(TS, &sha, BatchEncoding::Gzip),
            format!("20261122T051530123456Z-{}.ndjson.gz", "ab".repeat(16))
        );
        assert!(batch_name(0, &sha, BatchEncoding::Zstd).ends_with(".ndjson.zst"));
        assert!(batch_name(0, &sha, BatchEncoding::Plain).ends_with("ab.ndjson"));
        assert_eq!(body_name(&sha), format!("{}.bin", "ab".repeat(32)));
    }
}
