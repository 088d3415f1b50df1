//! Times as the formats write them: RFC 3339 text, and microseconds since the Unix epoch.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

/// 2000-01-01T00:00:00Z in microseconds: earlier times are clocks that were never set.
const YEAR_2000_US: i64 = 946_684_800_000_000;
/// A day in microseconds.
const DAY_US: i64 = 86_400_000_000;

/// Microseconds since the Unix epoch of a `ts` that can be used: RFC 3339 with an offset, not before 2000, and at most a day after `now_us`.
pub fn usable_ts(text: &str, now_us: i64) -> Option<i64> {
    let bytes = text.as_bytes();
    // jiff reads more spellings than RFC 3339 has; the shape is checked here.
    let shaped = bytes.len() >= 20
        && matches!(bytes[10], b'T' | b't')
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes[13] == b':'
        && bytes[16] == b':';
    if !shaped || !text.is_ascii() {
        return None;
    }
    let at = text.parse::<Timestamp>().ok()?.as_microsecond();
    (YEAR_2000_US..=now_us.saturating_add(DAY_US)).contains(&at).then_some(at)
}

/// RFC 3339 in UTC with microseconds, for a time in microseconds since the Unix epoch; out of range: the epoch.
pub fn rfc3339_us(at_us: i64) -> String {
    let mut text = String::new();
    let at = Timestamp::from_microsecond(at_us).unwrap_or(Timestamp::UNIX_EPOCH);
    // Writing to a String cannot fail.
    DateTimePrinter::new().precision(Some(6)).print_timestamp(&at, &mut text).unwrap_or_default();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        let now = 1_763_787_600_000_000;
        assert_eq!(usable_ts("2025-11-22T05:00:00.000001Z", now), Some(now + 1));
        assert_eq!(usable_ts("2025-11-22T06:00:00.0000019+01:00", now), Some(now + 1));
        assert_eq!(rfc3339_us(now + 1), "2025-11-22T05:00:00.000001Z");
        assert_eq!(rfc3339_us(i64::MAX), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn times_that_cannot_be_meant_are_refused() {
        let now = 1_763_787_600_000_000;
        for text in [
            "",
            "now",
            "2025-11-22",
            "2025-11-22T05:00:00",
            "1999-12-31T23:59:59Z",
            "2025-11-23T05:00:01Z",
            "2025-13-22T05:00:00Z",
            "20251122T050000Z",
            "2025-11-22 05:00:00Z",
        ] {
            assert_eq!(usable_ts(text, now), None, "{text}");
        }
        assert!(usable_ts("2025-11-23T05:00:00Z", now).is_some());
    }
}
