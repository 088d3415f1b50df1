//! A point in time as people write it: a date and time, or how long ago.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use reassemble_settings::quantities::Span;
use reassemble_settings::{BadValue, bad};

/// Milliseconds since the Unix epoch: `2026-11-22T05:00:00Z` (RFC 3339), or `24h` for so long before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) i64);

impl FromStr for Moment {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let text = text.trim();
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Moment(time.as_millisecond()));
        }
        let Ok(Span(ago)) = text.parse() else {
            return bad("a time is a date with its zone, such as 2026-11-22T05:00:00Z, or how long ago, such as 24h");
        };
        let since = SystemTime::now().checked_sub(ago).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let since = since.and_then(|since| i64::try_from(since.as_millis()).ok());
        since.map_or_else(|| bad("that is before 1970"), |since_ms| Ok(Moment(since_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_with_zones_or_how_long_ago() {
        assert_eq!("2026-11-22T05:00:00Z".parse(), Ok(Moment(1_795_323_600_000)));
        assert_eq!("2026-11-22T06:00:00.25+01:00".parse(), Ok(Moment(1_795_323_600_250)));
        let [day, hour, now] = ["1d", "1h", "0s"].map(|text| text.parse::<Moment>().expect(text));
        assert!(day < hour && hour < now);
        for wrong in ["", "yesterday", "2026-11-22", "2026-11-22T05:00:00", "-1h", "24"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }
}
