//! Heads and tails by their keys: each known key with a value of its own type, and all the rest kept as it came.

mod quick;

use memchr::memmem;
use serde_json::{Map, Number, Value};

use crate::exchange::{Headers, Text};
use crate::json::without_lone_surrogates;
use crate::record::{Chunk, Part, Section};

/// Largest integer that every JSON reader holds exactly.
const MAX_INTEGER: f64 = 9_007_199_254_740_991.0;

/// A head's or a tail's values. What a part's head or tail has no key for stays empty.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names are the keys of the capture-line specification")]
pub struct Known<'a> {
    pub ts: Option<Text<'a>>,
    pub service: Option<Text<'a>>,
    pub host: Option<Text<'a>>,
    pub inst: Option<Text<'a>>,
    pub n: Option<u64>,
    pub dir: Option<Text<'a>>,
    pub proto: Option<Text<'a>>,
    pub method: Option<Text<'a>>,
    pub url: Option<Text<'a>>,
    pub headers: Option<Headers<'a>>,
    pub peer: Option<Text<'a>>,
    pub trace: Option<Text<'a>>,
    pub parent: Option<Text<'a>>,
    pub tags: Option<Map<String, Value>>,
    pub rate: Option<Number>,
    pub why: Option<Text<'a>>,
    pub body_enc: Option<Text<'a>>,
    pub oneway: Option<bool>,
    pub us: Option<u64>,
    pub status: Option<Value>,
    pub len: Option<u64>,
    pub crc: Option<u32>,
    pub trailers: Option<Headers<'a>>,
    pub error: Option<Text<'a>>,
    pub truncated: Option<bool>,
    pub full_len: Option<u64>,
}

/// A head or tail taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SortedOut<'a> {
    /// What the format knows.
    pub known: Known<'a>,
    /// What it does not know, and known keys whose value has another type.
    pub rest: Map<String, Value>,
    /// The keys among `rest` that are known.
    pub mistyped: Vec<String>,
}

/// Which object of a part is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// What is known when the part begins.
    Head,
    /// What is known when the part ends.
    Tail,
}

impl Place {
    /// Both.
    pub const BOTH: [Place; 2] = [Place::Head, Place::Tail];

    /// What a chunk brings of it.
    pub fn of(self, chunk: &Chunk) -> Option<&Section> {
        match self {
            Place::Head => chunk.head.as_ref(),
            Place::Tail => chunk.tail.as_ref(),
        }
    }

    /// Takes what a chunk brings of it.
    pub fn take(self, chunk: &mut Chunk) -> Option<Section> {
        match self {
            Place::Head => chunk.head.take(),
            Place::Tail => chunk.tail.take(),
        }
    }
}

/// Takes the JSON text of a head or tail apart; `None` where it is no whole JSON object.
pub fn sort_out(part: Part, place: Place, text: &str) -> Option<SortedOut<'_>> {
    let mut sorted = SortedOut::default();
    sorted.read(part, place, text).then_some(sorted)
}

/// Whether a request's head says that no response will come.
pub fn is_oneway(head: &str) -> bool {
    // Nearly none does, and that is seen sooner than what else it says.
    let may_say = memmem::find(head.as_bytes(), b"oneway").is_some() || head.contains('\\');
    may_say && sort_out(Part::Request, Place::Head, head).and_then(|head| head.known.oneway) == Some(true)
}

impl<'a> SortedOut<'a> {
    /// What [`sort_out`] gives, read in its place, because it is large; this is the default before. False, and still the default, where the text is no
    /// whole JSON object.
    pub fn read(&mut self, part: Part, place: Place, text: &'a str) -> bool {
        if quick::read_known(part, place, text, &mut self.known) {
            return true;
        }
        let sorted = sort_out_any(part, place, text);
        let whole = sorted.is_some();
        *self = sorted.unwrap_or_default();
        whole
    }
}

/// What a tail claims of its body, where it does: its length in bytes and its CRC-32. `None` where the text is no whole JSON object.
pub fn claims(part: Part, text: &str) -> Option<(Option<u64>, Option<u32>)> {
    quick::claims(part, text).or_else(|| {
        let known = sort_out(part, Place::Tail, text)?.known;
        Some((known.len, known.crc))
    })
}

/// What [`sort_out`] does, for any spelling.
fn sort_out_any(part: Part, place: Place, text: &str) -> Option<SortedOut<'static>> {
    let values: Map<String, Value> = serde_json::from_str(&without_lone_surrogates(text)).ok()?;
    let mut sorted = SortedOut::default();
    for (key, value) in values {
        match sorted.known.take(part, place, &key, value) {
            Taken::Known => (),
            Taken::Unknown(value) => {
                sorted.rest.insert(key, value);
            }
            Taken::Mistyped(value) => {
                sorted.mistyped.push(key.clone());
                sorted.rest.insert(key, value);
            }
        }
    }
    Some(sorted)
}

enum Taken {
    Known,
    Unknown(Value),
    Mistyped(Value),
}

impl Known<'static> {
    fn take(&mut self, part: Part, place: Place, key: &str, value: Value) -> Taken {
        use Part::{Request, Response};
        use Place::{Head, Tail};
        match (place, part, key) {
            (Head, _, "ts") => set(&mut self.ts, value, string),
            (Head, Request, "service") => set(&mut self.service, value, string),
            (Head, Request, "host") => set(&mut self.host, value, string),
            (Head, Request, "inst") => set(&mut self.inst, value, string),
            (Head, Request, "n") => set(&mut self.n, value, count),
            (Head, Request, "dir") => set(&mut self.dir, value, direction),
            (Head, Request, "proto") => set(&mut self.proto, value, string),
            (Head, Request, "method") => set(&mut self.method, value, string),
            (Head, Request, "url") => set(&mut self.url, value, string),
            (Head, _, "headers") => set(&mut self.headers, value, pairs),
            (Head, Request, "peer") => set(&mut self.peer, value, string),
            (Head, Request, "trace") => set(&mut self.trace, value, string),
            (Head, Request, "parent") => set(&mut self.parent, value, string),
            (Head, Request, "tags") => set(&mut self.tags, value, string_map),
            (Head, Request, "rate") => set(&mut self.rate, value, share),
            (Head, Request, "why") => set(&mut self.why, value, string),
            (Head, _, "body_enc") => set(&mut self.body_enc, value, string),
            (Head, Request, "oneway") => set(&mut self.oneway, value, boolean),
            (Head, Response, "us") | (Tail, _, "us") => set(&mut self.us, value, count),
            (_, Response, "status") => set(&mut self.status, value, status),
            (Tail, _, "len") => set(&mut self.len, value, count),
            (Tail, _, "crc") => set(&mut self.crc, value, crc),
            (Tail, _, "trailers") => set(&mut self.trailers, value, pairs),
            (Tail, _, "error") => set(&mut self.error, value, string),
            (Tail, _, "truncated") => set(&mut self.truncated, value, boolean),
            (Tail, _, "full_len") => set(&mut self.full_len, value, count),
            _ => Taken::Unknown(value),
        }
    }
}

/// Sets a field where the value converts, and gives the value back where it does not.
fn set<T>(field: &mut Option<T>, value: Value, convert: impl FnOnce(Value) -> Result<T, Value>) -> Taken {
    match convert(value) {
        Ok(converted) => {
            *field = Some(converted);
            Taken::Known
        }
        Err(value) => Taken::Mistyped(value),
    }
}

fn string(value: Value) -> Result<Text<'static>, Value> {
    match value {
        Value::String(text) => Ok(text.into()),
        other => Err(other),
    }
}

fn direction(value: Value) -> Result<Text<'static>, Value> {
    if value == "in" || value == "out" { string(value) } else { Err(value) }
}

fn boolean(value: Value) -> Result<bool, Value> {
    value.as_bool().ok_or(value)
}

/// A whole number, not negative, however it is written.
fn count(value: Value) -> Result<u64, Value> {
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 && (0.0..=MAX_INTEGER).contains(&number) => Ok(number as u64),
        _ => Err(value),
    }
}

fn status(value: Value) -> Result<Value, Value> {
    if value.is_string() { Ok(value) } else { count(value).map(Value::from) }
}

/// A number from 0 to 1.
fn share(value: Value) -> Result<Number, Value> {
    match value {
        Value::Number(number) if number.as_f64().is_some_and(|rate| (0.0..=1.0).contains(&rate)) => Ok(number),
        other => Err(other),
    }
}

fn crc(value: Value) -> Result<u32, Value> {
    let parsed = value
        .as_str()
        .filter(|digits| digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .and_then(|digits| u32::from_str_radix(digits, 16).ok());
    parsed.ok_or(value)
}

fn string_map(value: Value) -> Result<Map<String, Value>, Value> {
    match value {
        Value::Object(map) if map.values().all(Value::is_string) => Ok(map),
        other => Err(other),
    }
}

fn pairs(value: Value) -> Result<Headers<'static>, Value> {
    let is_pair =
        |pair: &Value| matches!(pair.as_array().map(Vec::as_slice), Some([Value::String(_), Value::String(_)]));
    match value {
        Value::Array(list) if list.iter().all(is_pair) => Ok(list.into_iter().filter_map(pair).collect()),
        other => Err(other),
    }
}

fn pair(value: Value) -> Option<(Text<'static>, Text<'static>)> {
    let Value::Array(pair) = value else { return None };
    let [Value::String(name), Value::String(value)] = <[Value; 2]>::try_from(pair).ok()? else { return None };
    Some((name.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_are_taken_by_their_type_and_all_others_kept() {
        let text = r#"{"ts":"t","n":3.0,"oneway":true,"rate":0.5,"headers":[["a","b"],["a","c"]],"url":7,"zone":"x","status":1,"dir":"up"}"#;
        let sorted = sort_out(Part::Request, Place::Head, text).unwrap();
        assert_eq!(sorted.known.ts.as_deref(), Some("t"));
        assert_eq!((sorted.known.n, sorted.known.oneway), (Some(3), Some(true)));
        assert_eq!(sorted.known.headers.unwrap()[1], ("a".into(), "c".into()));
        assert_eq!(sorted.mistyped, ["url", "dir"]);
        assert_eq!(serde_json::to_string(&sorted.rest).unwrap(), r#"{"url":7,"zone":"x","status":1,"dir":"up"}"#);
    }

    #[test]
    fn oneway_is_a_value_that_is_true() {
        for (head, oneway) in [
            (r#"{"oneway":true}"#, true),
            (r#"{"\u006fneway":true}"#, true),
            (r#"{"oneway":false,"url":"/"}"#, false),
            (r#"{"url":"/oneway"}"#, false),
            ("{}", false),
            (r#"{"oneway":true"#, false),
        ] {
            assert_eq!(is_oneway(head), oneway, "{head}");
        }
    }

    #[test]
    fn a_tail_has_keys_of_its_own() {
        let sorted =
            sort_out(Part::Response, Place::Tail, r#"{"len":5,"crc":"0000000A","status":"OK","ts":"t"}"#).unwrap();
        assert_eq!((sorted.known.len, sorted.known.crc), (Some(5), Some(10)));
        assert_eq!(sorted.known.status, Some("OK".into()));
        assert!(sorted.rest.contains_key("ts") && sorted.mistyped.is_empty());
        assert!(
            sort_out(Part::Response, Place::Tail, "[]").is_none()
                && sort_out(Part::Response, Place::Tail, "{").is_none()
        );
    }
}
