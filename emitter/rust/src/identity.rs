//! Who a capture is: its id, the trace that it belongs to, and whether sampling takes it.
//!
//! Invariant: every random byte comes from the system's random source and is used once. A thread draws some ahead, for one call costs as much as all
//! else that an id takes; those belong to one process and to the emitters that there were, so a fork repeats no id.

use std::{
    cell::RefCell,
    fmt, process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use uuid::{Uuid, fmt::Hyphenated};

/// How long an id is in text.
pub(crate) const ID_BYTES: usize = Hyphenated::LENGTH;

/// A capture's id: a UUIDv7, drawn for this one capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CaptureId(Uuid);

impl CaptureId {
    /// An id for a capture that begins `now`; `random` is fresh.
    pub(crate) fn new(now_us: i64, random: &[u8; 10]) -> CaptureId {
        let millis = u64::try_from(now_us / 1000).unwrap_or(0);
        CaptureId(uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid())
    }

    /// As lines spell it, in `room`.
    pub(crate) fn text<'a>(&self, room: &'a mut [u8; ID_BYTES]) -> &'a str {
        self.0.hyphenated().encode_lower(room)
    }
}

impl fmt::Display for CaptureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A W3C `traceparent`, valid as a whole: `00-<32 hex>-<16 hex>-<2 hex>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(Spelled);

/// All ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Spelled {
    /// Of version 00, or as long.
    Usual([u8; LEN]),
    /// Of a later version.
    Longer(Arc<str>),
}

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
        good.then(|| {
            let usual = bytes.try_into().map(Spelled::Usual);
            TraceParent(usual.unwrap_or_else(|_| Spelled::Longer(text.into())))
        })
    }

    /// A new trace, marked as sampled.
    #[cfg(any(feature = "_http", test))]
    pub(crate) fn new(random: &[u8; 24]) -> TraceParent {
        let mut random = *random;
        // An id of zeros alone means none.
        random[15] |= u8::from(random[..16].iter().all(|b| *b == 0));
        random[23] |= u8::from(random[16..].iter().all(|b| *b == 0));
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-01";
        put_hex(&random[..16], &mut text[TRACE_ID]);
        put_hex(&random[16..], &mut text[SPAN_ID]);
        TraceParent(Spelled::Usual(text))
    }

    /// The same trace with a span of its own, as an outbound call carries it.
    #[cfg(any(feature = "reqwest", test))]
    pub(crate) fn child(&self, random: &[u8; 8]) -> TraceParent {
        let mut span = *random;
        span[7] |= u8::from(span.iter().all(|b| *b == 0));
        let mut text = [0; LEN];
        text.copy_from_slice(&self.as_str().as_bytes()[..LEN]);
        text[..2].copy_from_slice(b"00");
        put_hex(&span, &mut text[SPAN_ID]);
        TraceParent(Spelled::Usual(text))
    }

    /// The 32 hex digits that all of a trace shares.
    pub fn trace_id(&self) -> &str {
        &self.as_str()[TRACE_ID]
    }

    /// The header's value.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // ASCII always is UTF-8.
            Spelled::Usual(text) => std::str::from_utf8(text).unwrap_or_default(),
            Spelled::Longer(text) => text,
        }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether sampling at `rate` takes what `key` names: the same answer in every process and language.
pub(crate) fn is_sampled(key: &str, rate: f64) -> bool {
    rate >= 1.0 || f64::from(crc32fast::hash(key.as_bytes())) < rate * 4_294_967_296.0
}

/// What a thread draws ahead: enough for a dozen captures.
const AHEAD_BYTES: usize = 512;

/// Emitters that this process has built, and those before it that it was forked from.
static EMITTERS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static AHEAD: RefCell<Ahead> = const { RefCell::new(Ahead { bytes: [0; AHEAD_BYTES], used: AHEAD_BYTES, owner: (0, 0) }) };
}

/// Random bytes that no capture has used yet.
struct Ahead {
    bytes: [u8; AHEAD_BYTES],
    used: usize,
    /// The process that drew them, and how many emitters it had built. An id of a process can come again in a child that has its own name space of them; such
    /// a child builds an emitter of its own before it captures anything.
    owner: (u32, u64),
}

/// To be called for each emitter: what was drawn before it is not used.
pub(crate) fn forget_drawn() {
    EMITTERS.fetch_add(1, Ordering::SeqCst);
}

/// Randomness for one capture.
pub(crate) struct Draw {
    /// The process that draws, asked for once.
    pub(crate) pid: u32,
}

impl Draw {
    pub(crate) fn new() -> Draw {
        Draw { pid: process::id() }
    }

    /// Random bytes that nobody else gets; `None` where the system has none to give, and then nothing is captured.
    pub(crate) fn bytes<const N: usize>(&self) -> Option<[u8; N]> {
        const { assert!(N <= AHEAD_BYTES) };
        AHEAD.with_borrow_mut(|ahead| {
            let owner = (self.pid, EMITTERS.load(Ordering::SeqCst));
            if ahead.used + N > AHEAD_BYTES || ahead.owner != owner {
                ahead.used = AHEAD_BYTES;
                getrandom::fill(&mut ahead.bytes).ok()?;
                (ahead.used, ahead.owner) = (0, owner);
            }
            let mut drawn = [0; N];
            drawn.copy_from_slice(&ahead.bytes[ahead.used..ahead.used + N]);
            ahead.used += N;
            Some(drawn)
        })
    }

    /// The id of a capture that begins now, and this instant in microseconds since 1970.
    pub(crate) fn begin_now(&self) -> Option<(CaptureId, i64)> {
        let random = self.bytes()?;
        let now = now_us();
        Some((CaptureId::new(now, &random), now))
    }
}

/// Microseconds since 1970.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Writes bytes as lowercase hex, two digits each.
pub(crate) fn put_hex(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, digits) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        digits.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
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
    fn what_was_drawn_is_never_drawn_again() {
        let draws = |draw: &Draw| (0..100).map(|_| draw.bytes::<10>().unwrap()).collect::<Vec<_>>();
        let mut all = draws(&Draw::new());
        // Another process, as far as can be told; then this one again; then with another emitter.
        all.extend(draws(&Draw { pid: 0 }));
        all.extend(draws(&Draw::new()));
        forget_drawn();
        all.extend(draws(&Draw::new()));
        all.extend(std::thread::spawn(move || draws(&Draw::new())).join().unwrap());
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 500);
    }

    #[test]
    fn what_a_parent_drew_ahead_is_not_its_childs() {
        let owned = |pid, emitters| AHEAD.with_borrow(|ahead| ahead.owner == (pid, emitters));
        let emitters = || EMITTERS.load(Ordering::SeqCst);
        Draw { pid: 1 }.bytes::<10>().unwrap();
        assert!(owned(1, emitters()));
        Draw { pid: 2 }.bytes::<10>().unwrap();
        assert!(owned(2, emitters()));
        let before = emitters();
        forget_drawn();
        Draw { pid: 2 }.bytes::<10>().unwrap();
        assert!(!owned(2, before));
    }

    #[test]
    fn sampling_compares_the_crc_with_the_rate() {
        // CRC-32 of "123456789" is cbf43926, which is 0.7967 of 2^32.
        assert!(is_sampled("123456789", 0.797) && !is_sampled("123456789", 0.796));
        assert!(is_sampled("123456789", 1.0) && !is_sampled("123456789", 0.0));
    }
}
