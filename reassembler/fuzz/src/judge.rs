//! A second opinion on a record: serde_json for the JSON, the specification's sentences for the rest. Slow, plain, and without a line of
//! the decoder.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reassemble_formats::{CaptureId, Chunk, MAX_SEQ, Part, Piece, Section};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The record's keys (L-1).
const KNOWN: [&str; 13] =
    ["cap1", "part", "seq", "head", "headf", "at", "text", "b64", "crc", "of", "tail", "tailf", "sig"];
/// Deepest nesting that a reader follows (L-5.6).
const MAX_DEPTH: usize = 64;
/// 2⁵³-1 (L-1.7).
const MAX_AT: u64 = (1 << 53) - 1;

/// What a text is that serde_json takes for one JSON object with a key `cap1`.
#[derive(Debug, PartialEq)]
pub(crate) enum Judgement {
    Chunk(Box<Chunk>),
    /// The text of its head.
    Meta(String),
    /// One of L-6's reasons.
    Bad,
    /// Nested deeper than a reader follows.
    TooDeep,
}

/// Judges a text; nothing where it is no JSON object that has `cap1` as its bytes stand (L-5.4), or a `meta` record with odd values.
pub(crate) fn judge(text: &[u8]) -> Option<Judgement> {
    let text = std::str::from_utf8(text).ok()?;
    // Of keys taken as bytes serde_json lets control characters pass.
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let object: Object<'_> = serde_json::from_str(text).ok()?;
    let signed = object.0.iter().any(|(key, _)| key.is("sig"));
    let known = |name: &'static str| {
        let is_taken = !(signed && ["head", "tail"].contains(&name)); // L-8.2
        object.0.iter().filter(move |(key, _)| is_taken && key.is(name)).map(|(_, value)| *value)
    };
    known("cap1").next()?;
    if depth(text.as_bytes()) > MAX_DEPTH {
        return Some(Judgement::TooDeep);
    }
    let twice = KNOWN.iter().any(|name| known(name).count() > 1);
    let rivals = [("text", "b64"), ("head", "headf"), ("tail", "tailf")];
    let both = rivals.iter().any(|(one, other)| known(one).next().is_some() && known(other).next().is_some());
    if twice || both {
        return Some(Judgement::Bad);
    }
    let judged = record(|name| known(name).next());
    if judged.is_none() && known("part").next().and_then(string).is_some_and(|part| part == b"meta") {
        return None; // A reader may look at more than L-6.3 says.
    }
    Some(judged.unwrap_or(Judgement::Bad))
}

/// The record with these values; nothing where one of them makes it bad.
fn record<'t>(value: impl Fn(&'static str) -> Option<&'t RawValue>) -> Option<Judgement> {
    let signed = value("sig").is_some();
    let optional = |name: &'static str| {
        let text = value(name).map(string).map_or(Some(None), |text| text.map(Some))?;
        // L-8.2: an empty one on a signed line is as if it were absent.
        let may_be_empty = !signed || !["headf", "tailf", "text", "b64"].contains(&name);
        Some(text.filter(|text: &Vec<u8>| may_be_empty || !text.is_empty()))
    };
    let id = CaptureId::parse(&string(value("cap1")?)?)?;
    let part = string(value("part")?)?;
    let head = section(value("head"), optional("headf")?)?;
    let tail = section(value("tail"), optional("tailf")?)?;
    let seq = value("seq").map(|raw| integer(raw).filter(|seq| *seq <= u64::from(MAX_SEQ)));
    let of = value("of").map(|raw| integer(raw).filter(|of| (1..=u64::from(MAX_SEQ) + 1).contains(of)));
    let at = value("at").map(|raw| integer(raw).filter(|at| *at <= MAX_AT));
    let (text, b64) = (optional("text")?, optional("b64")?);
    let crc = optional("crc")?;
    let sig = optional("sig")?;
    // Whatever the record is: a value of another type or range is bad.
    let (seq, of, at) = (
        seq.map_or(Some(None), |s| s.map(Some))?,
        of.map_or(Some(None), |o| o.map(Some))?,
        at.map_or(Some(None), |a| a.map(Some))?,
    );
    let sig = match sig {
        Some(sig) => Some(u128::from_str_radix(hex(&sig, 32)?, 16).ok()?.to_be_bytes()),
        None => None,
    };
    if part == b"meta" {
        return Some(Judgement::Meta(head.map_or_else(|| "{}".into(), |head| head.text().into())));
    }
    let part = match part.as_slice() {
        b"req" => Part::Request,
        b"res" => Part::Response,
        _ => return None,
    };
    let piece = match b64 {
        Some(b64) => Some(STANDARD.decode(b64).ok()?),
        None => text,
    };
    if let Some(crc) = crc {
        let claimed = u32::from_str_radix(hex(&crc, 8)?, 16).ok()?;
        if piece.as_ref().is_some_and(|piece| crc32fast::hash(piece) != claimed) {
            return None;
        }
    }
    let number = |value: u64| u32::try_from(value).ok();
    let of = match of {
        Some(of) => Some(number(of)?),
        None => None,
    };
    let piece = piece.map(|bytes| Piece::new(&bytes));
    Some(Judgement::Chunk(Box::new(Chunk { id, part, seq: number(seq?)?, head, at, piece, of, tail, sig })))
}

fn section(whole: Option<&RawValue>, fragment: Option<Vec<u8>>) -> Option<Option<Section>> {
    Some(match (whole, fragment) {
        (Some(raw), _) => Some(Section::Whole(Some(raw.get()).filter(|text| text.starts_with('{'))?.into())),
        (None, Some(text)) => Some(Section::Fragment(String::from_utf8(text).ok()?.into())),
        (None, None) => None,
    })
}

fn hex(digits: &[u8], len: usize) -> Option<&str> {
    let digits = std::str::from_utf8(digits).ok()?;
    (digits.len() == len && digits.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(digits)
}

/// L-1.13.
fn integer(raw: &RawValue) -> Option<u64> {
    raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit()).then_some(())?;
    let value: f64 = raw.get().parse().ok()?;
    (value.fract() == 0.0 && (0.0..=1e18).contains(&value)).then_some(value as u64)
}

/// What a JSON string says, a lone surrogate as U+FFFD; nothing where the value is no string.
fn string(raw: &RawValue) -> Option<Vec<u8>> {
    raw.get().starts_with('"').then_some(())?;
    let said = Said::deserialize(&mut serde_json::Deserializer::from_str(raw.get())).ok()?;
    Some(said.bytes)
}

fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => (),
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// A JSON string's bytes, and whether it was spelled with escapes.
#[derive(Debug)]
struct Said {
    bytes: Vec<u8>,
    escaped: bool,
}

impl Said {
    /// Whether this key is the known one: `cap1` by its spelling, any other by what it says.
    fn is(&self, name: &str) -> bool {
        self.bytes == name.as_bytes() && (name != "cap1" || !self.escaped)
    }
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Said;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            /// Borrowed: as it stands.
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Said, E> {
                Ok(Said { bytes: bytes.to_vec(), escaped: false })
            }
            /// Copied: it has escapes. serde_json gives lone surrogates as three bytes each, `ED A0 80` to `ED BF BF`.
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Said, E> {
                let mut bytes = bytes.to_vec();
                for at in 0..bytes.len() {
                    if bytes[at] == 0xED && bytes[at + 1] >= 0xA0 {
                        bytes[at..at + 3].copy_from_slice("\u{FFFD}".as_bytes());
                    }
                }
                Ok(Said { bytes, escaped: true })
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// An object's members in their order, repeats included.
struct Object<'t>(Vec<(Said, &'t RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<Said>()? {
                    members.push((key, map.next_value()?));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
