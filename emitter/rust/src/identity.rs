//! Who a capture is: its id, the trace that it belongs to, and whether sampling takes it.
//!
//! Invariant: every random byte comes from the system's random source when it is needed. Nothing is cached, so a fork repeats no id.

use std::{fmt, sync::Arc, time::SystemTime};

use uuid::Uuid;

/// A capture's id: a UUIDv7, drawn for this one capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CaptureId(Uuid);

impl CaptureId {
    /// An id for a capture that begins `now`; `random` is fresh.
    pub(crate) fn new(now_us: i64, random: &[u8; 10]) -> CaptureId {
        let millis = u64::try_from(now_us / 1000).unwrap_or(0);
        CaptureId(uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid())
    }
}

impl fmt::Display for CaptureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A W3C `traceparent`, valid as a whole: `00-<32 hex>-<16 hex>-<2 hex>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(Arc<str>);

/// Where the trace id stands.
const TRACE_ID: std::ops::Range<usize> = 3..35;
/// Where the parent's span id stands.
const SPAN_ID: std::ops::Range<usize> = 36..52;
/// The length of a `traceparent` of version 00.
const LEN: usize = 55;

impl TraceParent {
    /// Reads a header's value; `None` where it is none that the standard lets pass.
    pub fn parse(text: &str) -> Option<TraceParent> {
        let bytes = text.as_bytes();
        let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let zero = |part: &[u8]| part.iter().all(|b| *b == b'0');
        let good = bytes.len() >= LEN
            && bytes.len() <= 256
            && text.is_ascii()
            && [2, 35, 52].iter().all(|at| bytes[*at] == b'-')
            && hex(&bytes[..2])
            && hex(&bytes[TRACE_ID])
            && hex(&bytes[SPAN_ID])
            && hex(&bytes[53..LEN])
            && !zero(&bytes[TRACE_ID])
            && !zero(&bytes[SPAN_ID])
            && &bytes[..2] != b"ff"
            && (bytes.len() == LEN || (&bytes[..2] != b"00" && bytes[LEN] == b'-'));
        good.then(|| TraceParent(text.into()))
    }

    /// A new trace, marked as sampled.
    #[cfg(any(feature = "_http", test))]
    pub(crate) fn new(random: &[u8; 24]) -> TraceParent {
        let mut random = *random;
        // An id of zeros alone means none.
        random[15] |= u8::from(random[..16].iter().all(|b| *b == 0));
        random[23] |= u8::from(random[16..].iter().all(|b| *b == 0));
        let mut text = String::with_capacity(LEN);
        text.push_str("00-");
        push_hex(&random[..16], &mut text);
        text.push('-');
        push_hex(&random[16..], &mut text);
        text.push_str("-01");
        TraceParent(text.into())
    }

    /// The same trace with a span of its own, as an outbound call carries it.
    #[cfg(any(feature = "reqwest", test))]
    pub(crate) fn child(&self, random: &[u8; 8]) -> TraceParent {
        let mut span = *random;
        span[7] |= u8::from(span.iter().all(|b| *b == 0));
        let mut text = String::with_capacity(LEN);
        text.push_str("00-");
        text.push_str(self.trace_id());
        text.push('-');
        push_hex(&span, &mut text);
        text.push('-');
        text.push_str(&self.0[53..LEN]);
        TraceParent(text.into())
    }

    /// The 32 hex digits that all of a trace shares.
    pub fn trace_id(&self) -> &str {
        &self.0[TRACE_ID]
    }

    /// The header's value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether sampling at `rate` takes what `key` names: the same answer in every process and language.
pub(crate) fn is_sampled(key: &str, rate: f64) -> bool {
    rate >= 1.0 || f64::from(crc32fast::hash(key.as_bytes())) < rate * 4_294_967_296.0
}

/// Fills `bytes` from the system's random source; false where it has none to give.
pub(crate) fn fill_random(bytes: &mut [u8]) -> bool {
    getrandom::fill(bytes).is_ok()
}

/// Microseconds since 1970.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Appends bytes as lowercase hex.
pub(crate) fn push_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_version_7_and_tell_their_time() {
        let id = CaptureId::new(1_700_000_000_123_456, &[0xff; 10]).to_string();
        assert_eq!(id, "018bcfe5-687b-7fff-bfff-ffffffffffff");
    }

    #[test]
    fn only_valid_traceparents_are_taken() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceParent::parse(good).unwrap().trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(TraceParent::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
        for bad in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        ] {
            assert!(TraceParent::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn made_traceparents_are_valid_and_children_share_their_trace() {
        for random in [[0; 24], [7; 24]] {
            let trace = TraceParent::new(&random);
            assert_eq!(TraceParent::parse(trace.as_str()).as_ref(), Some(&trace));
            let child = trace.child(&[9; 8]);
            assert_eq!(TraceParent::parse(child.as_str()).as_ref(), Some(&child));
            assert_eq!(child.trace_id(), trace.trace_id());
            assert_ne!(child, trace);
        }
    }

    #[test]
    fn sampling_compares_the_crc_with_the_rate() {
        // CRC-32 of "123456789" is cbf43926, which is 0.7967 of 2^32.
        assert!(is_sampled("123456789", 0.797) && !is_sampled("123456789", 0.796));
        assert!(is_sampled("123456789", 1.0) && !is_sampled("123456789", 0.0));
    }
}
