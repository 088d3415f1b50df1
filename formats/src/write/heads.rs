//! What a part's head and tail say, as typed values that become canonical JSON text: keys in the specification's order, absent ones left out.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};

use super::json::{ObjectWriter, crc_hex, push_number, push_string};

/// Longest `error` that is written, in bytes; a longer one is cut at a character's edge.
pub const MAX_ERROR_BYTES: usize = 1024;

/// Names and values in their order, repeats included.
type Pairs<'a> = [(Cow<'a, str>, Cow<'a, str>)];

/// The bytes of a header's value as text: UTF-8 as it is, else each byte as the Latin-1 character of that number.
pub fn header_text(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(value.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// Who called whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `in`: this app was called.
    In,
    /// `out`: this app calls.
    Out,
}

impl Direction {
    /// As heads spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }
}

/// Why a capture was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// `all`: every one is.
    All,
    /// `sample`: it fell below the sample rate.
    Sample,
    /// `error`: it went wrong, and those always are.
    Error,
    /// `limit`: a limit on the rate let it pass.
    Limit,
}

impl Why {
    /// As heads spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Why::All => "all",
            Why::Sample => "sample",
            Why::Error => "error",
            Why::Limit => "limit",
        }
    }
}

/// How it ended: a number for HTTP, text elsewhere (an SQLSTATE, a gRPC status name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status<'a> {
    /// An HTTP status.
    Code(u16),
    /// Any other protocol's.
    Text(Cow<'a, str>),
}

impl Status<'_> {
    fn write(&self, out: &mut String) {
        match self {
            Status::Code(code) => push_number(u64::from(*code), out),
            Status::Text(text) => push_string(text, out),
        }
    }
}

/// The head of a `req` part. Empty texts and absent values are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestHead<'a> {
    /// When it began, in microseconds since 1970, UTC.
    pub ts_us: Option<i64>,
    /// The service.
    pub service: Cow<'a, str>,
    /// The host that it runs on.
    pub host: Cow<'a, str>,
    /// The process: random, drawn once.
    pub inst: Cow<'a, str>,
    /// The capture's number in its process, from 1.
    pub n: Option<u64>,
    /// Who called whom.
    pub dir: Option<Direction>,
    /// The protocol: `http/1.1`, `h2`, `grpc`, `postgres`, …
    pub proto: Cow<'a, str>,
    /// The method or operation.
    pub method: Cow<'a, str>,
    /// The target, absolute where scheme and host are known.
    pub url: Cow<'a, str>,
    /// Headers, or what the protocol has like them. `None` where it has none; an empty list is written.
    pub headers: Option<Vec<(Cow<'a, str>, Cow<'a, str>)>>,
    /// The other side's address.
    pub peer: Cow<'a, str>,
    /// The W3C traceparent.
    pub trace: Cow<'a, str>,
    /// The id of the capture that caused this one.
    pub parent: Cow<'a, str>,
    /// Free text by name; written in the order of the names' bytes.
    pub tags: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// The sample rate in force, 0 to 1; written in millionths, without trailing zeros.
    pub rate: Option<f64>,
    /// Why it was taken.
    pub why: Option<Why>,
    /// `gzip` where the emitter compressed the body before it was cut.
    pub body_enc: Cow<'a, str>,
    /// No response will come.
    pub oneway: bool,
}

impl RequestHead<'_> {
    /// The head's JSON text.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(512);
        let mut head = ObjectWriter::new(&mut out);
        put_ts(&mut head, self.ts_us);
        put_text(&mut head, "service", &self.service);
        put_text(&mut head, "host", &self.host);
        put_text(&mut head, "inst", &self.inst);
        put_number(&mut head, "n", self.n);
        put_text(&mut head, "dir", self.dir.map_or("", Direction::as_str));
        put_text(&mut head, "proto", &self.proto);
        put_text(&mut head, "method", &self.method);
        put_text(&mut head, "url", &self.url);
        put_pairs(&mut head, "headers", self.headers.as_deref());
        put_text(&mut head, "peer", &self.peer);
        put_text(&mut head, "trace", &self.trace);
        put_text(&mut head, "parent", &self.parent);
        if !self.tags.is_empty() {
            let mut tags = ObjectWriter::new(head.key("tags"));
            for (name, value) in &self.tags {
                tags.string(name, value);
            }
            tags.end();
        }
        if let Some(rate) = self.rate {
            push_rate(rate, head.key("rate"));
        }
        put_text(&mut head, "why", self.why.map_or("", Why::as_str));
        put_text(&mut head, "body_enc", &self.body_enc);
        head.flag("oneway", self.oneway);
        head.end();
        out
    }
}

/// The head of a `res` part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResponseHead<'a> {
    /// When it began, in microseconds since 1970, UTC.
    pub ts_us: Option<i64>,
    /// Microseconds from the request's start to the response's.
    pub us: Option<u64>,
    /// How it ended, where that is known now.
    pub status: Option<Status<'a>>,
    /// Headers, or what the protocol has like them.
    pub headers: Option<Vec<(Cow<'a, str>, Cow<'a, str>)>>,
    /// `gzip` where the emitter compressed the body before it was cut.
    pub body_enc: Cow<'a, str>,
}

impl ResponseHead<'_> {
    /// The head's JSON text.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(256);
        let mut head = ObjectWriter::new(&mut out);
        put_ts(&mut head, self.ts_us);
        put_number(&mut head, "us", self.us);
        if let Some(status) = &self.status {
            status.write(head.key("status"));
        }
        put_pairs(&mut head, "headers", self.headers.as_deref());
        put_text(&mut head, "body_enc", &self.body_enc);
        head.end();
        out
    }
}

/// The tail of a part, save for `len` and `crc`, which [`super::PartWriter`] knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tail<'a> {
    /// Microseconds from the request's start to this end.
    pub us: Option<u64>,
    /// How it ended, where only the end tells.
    pub status: Option<Status<'a>>,
    /// Trailers; `None` where there are none.
    pub trailers: Option<Vec<(Cow<'a, str>, Cow<'a, str>)>>,
    /// What went wrong; written up to [`MAX_ERROR_BYTES`].
    pub error: Cow<'a, str>,
    /// The body was cut.
    pub truncated: bool,
    /// How long the body was before it was cut, in bytes, where known.
    pub full_len: Option<u64>,
}

impl Tail<'_> {
    /// The tail's JSON text for a body of `len` bytes with the CRC-32 `crc`.
    pub fn to_json(&self, len: u64, crc: u32) -> String {
        let mut out = String::with_capacity(128);
        let mut tail = ObjectWriter::new(&mut out);
        tail.number("len", len);
        let crc = crc_hex(crc).map(char::from);
        tail.key("crc").extend(std::iter::once('"').chain(crc).chain(std::iter::once('"')));
        put_number(&mut tail, "us", self.us);
        if let Some(status) = &self.status {
            status.write(tail.key("status"));
        }
        put_pairs(&mut tail, "trailers", self.trailers.as_deref());
        put_text(&mut tail, "error", &self.error[..self.error.floor_char_boundary(MAX_ERROR_BYTES)]);
        tail.flag("truncated", self.truncated);
        put_number(&mut tail, "full_len", self.full_len);
        tail.end();
        out
    }
}

/// The head of a `meta` record: a process's counters since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaHead<'a> {
    /// When, in microseconds since 1970, UTC.
    pub ts_us: Option<i64>,
    /// The service.
    pub service: Cow<'a, str>,
    /// The host that it runs on.
    pub host: Cow<'a, str>,
    /// The process.
    pub inst: Cow<'a, str>,
    /// Captures admitted: the highest `n` so far.
    pub begun: u64,
    /// Captures of which every line was written.
    pub finished: u64,
    /// Captures dropped whole.
    pub dropped: u64,
    /// Captures that sampling left out.
    pub sampled_out: u64,
}

impl MetaHead<'_> {
    /// The head's JSON text.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(256);
        let mut head = ObjectWriter::new(&mut out);
        put_ts(&mut head, self.ts_us);
        put_text(&mut head, "service", &self.service);
        put_text(&mut head, "host", &self.host);
        put_text(&mut head, "inst", &self.inst);
        head.number("begun", self.begun);
        head.number("finished", self.finished);
        head.number("dropped", self.dropped);
        head.number("sampled_out", self.sampled_out);
        head.end();
        out
    }
}

fn put_text(object: &mut ObjectWriter<'_>, key: &str, value: &str) {
    if !value.is_empty() {
        object.string(key, value);
    }
}

fn put_number(object: &mut ObjectWriter<'_>, key: &str, value: Option<u64>) {
    if let Some(value) = value {
        object.number(key, value);
    }
}

fn put_pairs(object: &mut ObjectWriter<'_>, key: &str, pairs: Option<&Pairs<'_>>) {
    if let Some(pairs) = pairs {
        object.pairs(key, pairs);
    }
}

/// RFC 3339 in UTC with six digits of the second. A time outside the years -9999 to 9999 is left out.
fn put_ts(object: &mut ObjectWriter<'_>, ts_us: Option<i64>) {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
    if let Some(ts) = ts_us.and_then(|us| Timestamp::from_microsecond(us).ok()) {
        object.string("ts", &PRINTER.timestamp_to_string(&ts));
    }
}

/// A rate in millionths as a plain decimal: `1`, `0.05`, `0.000001`; never with an exponent, in which languages differ.
fn push_rate(rate: f64, out: &mut String) {
    const MILLION: u64 = 1_000_000;
    let millionths = (rate.clamp(0.0, 1.0) * MILLION as f64).round() as u64;
    push_number(millionths / MILLION, out);
    if !millionths.is_multiple_of(MILLION) {
        let digits = format!("{:06}", millionths % MILLION);
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_in_the_order_of_the_specification() {
        let head = RequestHead {
            ts_us: Some(1_763_795_040_000_120),
            service: "checkout".into(),
            host: "h".into(),
            inst: "i".into(),
            n: Some(7),
            dir: Some(Direction::In),
            proto: "http/1.1".into(),
            method: "POST".into(),
            url: "/a?b=%20".into(),
            headers: Some(vec![("Host".into(), "x".into()), ("a".into(), "\"".into()), ("a".into(), "".into())]),
            peer: "127.0.0.1:1".into(),
            trace: "00-1-2-01".into(),
            parent: "p".into(),
            tags: BTreeMap::from([("z".into(), "1".into()), ("a".into(), "2".into())]),
            rate: Some(0.05),
            why: Some(Why::Sample),
            body_enc: "gzip".into(),
            oneway: true,
        };
        assert_eq!(
            head.to_json(),
            concat!(
                r#"{"ts":"2025-11-22T07:04:00.000120Z","service":"checkout","host":"h","inst":"i","n":7,"dir":"in","proto":"http/1.1","#,
                r#""method":"POST","url":"/a?b=%20","headers":[["Host","x"],["a","\""],["a",""]],"peer":"127.0.0.1:1","trace":"00-1-2-01","#,
                r#""parent":"p","tags":{"a":"2","z":"1"},"rate":0.05,"why":"sample","body_enc":"gzip","oneway":true}"#
            )
        );
        assert_eq!(RequestHead::default().to_json(), "{}");
    }

    #[test]
    fn rates_are_plain_decimals() {
        let written = |rate| {
            let mut out = String::new();
            push_rate(rate, &mut out);
            out
        };
        let rates = [1.0, 0.0, 0.1, 0.000001, 0.0000001, 0.3333333, f64::NAN, 2.0];
        assert_eq!(rates.map(written), ["1", "0", "0.1", "0.000001", "0", "0.333333", "0", "1"]);
    }

    #[test]
    fn an_error_is_cut_at_a_character() {
        let tail = Tail { error: "é".repeat(600).into(), ..Tail::default() };
        assert_eq!(tail.to_json(0, 0), format!(r#"{{"len":0,"crc":"00000000","error":"{}"}}"#, "é".repeat(512)));
    }

    #[test]
    fn header_bytes_that_are_not_utf8_are_latin1() {
        assert_eq!(header_text("é".as_bytes()), "é");
        assert_eq!(header_text(b"caf\xe9"), "café");
    }
}
