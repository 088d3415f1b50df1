//! What one capture record says, once it is decoded: a chunk of a capture's part, or a process's counters.

use std::fmt;

use crate::id::CaptureId;
use crate::piece::{Piece, Spelling};
use crate::sign::SIGNATURE_BYTES;

/// The two halves of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// What was asked.
    Request,
    /// What was answered.
    Response,
}

impl Part {
    /// Both, the request first.
    pub const BOTH: [Part; 2] = [Part::Request, Part::Response];

    /// As capture lines spell it: `req` or `res`.
    pub fn tag(self) -> &'static str {
        match self {
            Part::Request => "req",
            Part::Response => "res",
        }
    }

    /// As stored exchanges and their problems spell it: `request` or `response`.
    pub fn name(self) -> &'static str {
        match self {
            Part::Request => "request",
            Part::Response => "response",
        }
    }
}

/// A head or a tail as one line brings it: JSON text of a whole object, or a fragment of such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Section {
    /// An object on this line (`head`, `tail`).
    Whole(Box<str>),
    /// A fragment to be joined in `seq` order (`headf`, `tailf`).
    Fragment(Box<str>),
}

impl Section {
    /// The JSON text, whole or a fragment.
    pub fn text(&self) -> &str {
        match self {
            Section::Whole(text) | Section::Fragment(text) => text,
        }
    }
}

/// One chunk of a part: what one line says. Its `crc` was checked when it was decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The capture.
    pub id: CaptureId,
    /// The part.
    pub part: Part,
    /// The chunk's number within its part, from 0; at most [`MAX_SEQ`].
    pub seq: u32,
    /// What is known when the part begins.
    pub head: Option<Section>,
    /// Microseconds since the part began when this piece passed.
    pub at: Option<u64>,
    /// A piece of the body.
    pub piece: Option<Piece>,
    /// How many chunks the part has: a claim, at most [`MAX_SEQ`] + 1.
    pub of: Option<u32>,
    /// What is known when the part ends.
    pub tail: Option<Section>,
    /// The line's signature: then head and tail are fragments, and neither they nor the piece are empty.
    pub sig: Option<[u8; SIGNATURE_BYTES]>,
}

impl Chunk {
    /// Whether both say the same when decoded: a head that a shipper spelled anew is the same head.
    pub fn same_as(&self, other: &Chunk) -> bool {
        self.part == other.part
            && self.seq == other.seq
            && self.at == other.at
            && self.of == other.of
            && self.piece == other.piece
            && same_section(self.head.as_ref(), other.head.as_ref())
            && same_section(self.tail.as_ref(), other.tail.as_ref())
    }

    /// The chunk as one line of JSON that reads back as the same chunk: what is kept of an open capture. Neither canonical nor cut to
    /// any length.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line =
            format!(r#"{{"cap1":"{}","part":"{}","seq":{}"#, self.id, self.part.tag(), self.seq).into_bytes();
        add_section(&mut line, "head", self.head.as_ref());
        if let Some(at) = self.at {
            line.extend_from_slice(format!(r#","at":{at}"#).as_bytes());
        }
        if let Some(piece) = &self.piece {
            let key: &[u8] = if piece.spelling() == Spelling::Text { br#","text":""# } else { br#","b64":""# };
            line.extend_from_slice(key);
            line.extend_from_slice(piece.raw());
            line.push(b'"');
        }
        if let Some(of) = self.of {
            line.extend_from_slice(format!(r#","of":{of}"#).as_bytes());
        }
        add_section(&mut line, "tail", self.tail.as_ref());
        if let Some(sig) = &self.sig {
            line.extend_from_slice(format!(r#","sig":"{}""#, crate::layout::hex(sig)).as_bytes());
        }
        line.push(b'}');
        line
    }

    /// Reads what [`to_line`](Self::to_line) wrote.
    pub fn from_line(line: &[u8]) -> Option<Chunk> {
        match crate::decode::decode(line, 0, &mut Vec::new()) {
            Ok((Record::Chunk(chunk), _)) => Some(chunk),
            _ => None,
        }
    }
}

fn add_section(line: &mut Vec<u8>, name: &str, section: Option<&Section>) {
    match section {
        Some(Section::Whole(text)) => line.extend_from_slice(format!(r#","{name}":{text}"#).as_bytes()),
        Some(Section::Fragment(text)) => {
            line.extend_from_slice(format!(r#","{name}f":""#).as_bytes());
            crate::write::escape_json(text, line);
            line.push(b'"');
        }
        None => (),
    }
}

fn same_section(one: Option<&Section>, other: Option<&Section>) -> bool {
    match (one, other) {
        (Some(Section::Whole(one)), Some(Section::Whole(other))) if one != other => {
            let value =
                |text: &str| serde_json::from_str::<serde_json::Value>(&crate::json::without_lone_surrogates(text));
            matches!((value(one), value(other)), (Ok(one), Ok(other)) if same_value(&one, &other))
        }
        (one, other) => one == other,
    }
}

/// Whether two JSON values are the same: numbers by value, for a shipper may write `4.0` where `4` stood.
fn same_value(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (one, other) {
        (Number(one), Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Array(one), Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_value(one, other))
        }
        (Object(one), Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| same_value(one, other)))
        }
        (one, other) => one == other,
    }
}

/// Largest `seq` that is taken.
pub const MAX_SEQ: u32 = (1 << 31) - 1;

/// One decoded record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A chunk of a capture.
    Chunk(Chunk),
    /// A process's counters.
    Meta(Meta),
}

/// A process's counters: what one `meta` line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The record's own id; it names no capture.
    pub id: CaptureId,
    /// The line's number, where it has one; at most [`MAX_SEQ`].
    pub seq: Option<u32>,
    /// How many lines the counters have: a claim.
    pub of: Option<u32>,
    /// The counters.
    pub head: Option<Section>,
    /// The line's signature: then the head is a fragment.
    pub sig: Option<[u8; SIGNATURE_BYTES]>,
}

impl Meta {
    /// The head's JSON text, whole or a fragment.
    pub fn text(&self) -> &str {
        self.head.as_ref().map_or("{}", Section::text)
    }
}

/// Why a record is bad. The names are part of the specification: the ledger and the metrics count by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BadReason {
    /// A record begins and no whole JSON object stands there.
    Torn,
    /// The record's key is `cap` with a number other than 1.
    UnknownVersion,
    /// The id is missing, empty, too long or holds a character that no id has.
    BadId,
    /// `part` is missing or none of `req`, `res`, `meta`.
    BadPart,
    /// `seq` is missing, not integral, negative or too large.
    BadSeq,
    /// `of` is not integral, below 1 or too large.
    BadOf,
    /// A known key has a value of another JSON type than its own, or an integer out of range.
    BadType,
    /// A known key stands twice, or `head` with `headf`, or `tail` with `tailf`.
    DuplicateKey,
    /// `text` and `b64` stand on one line.
    TextAndB64,
    /// `b64` is not standard base64 with padding.
    BadB64,
    /// `crc` is malformed or does not fit the piece.
    BadCrc,
    /// What encloses the record is nested deeper than a reader follows.
    TooDeep,
    /// The record is not UTF-8.
    NotUtf8,
    /// Keys are set and the record is not signed as they want it. Decoding knows no keys: who checks signatures counts this.
    BadSig,
}

impl BadReason {
    /// Every reason.
    pub const ALL: [BadReason; 14] = [
        BadReason::Torn,
        BadReason::UnknownVersion,
        BadReason::BadId,
        BadReason::BadPart,
        BadReason::BadSeq,
        BadReason::BadOf,
        BadReason::BadType,
        BadReason::DuplicateKey,
        BadReason::TextAndB64,
        BadReason::BadB64,
        BadReason::BadCrc,
        BadReason::TooDeep,
        BadReason::NotUtf8,
        BadReason::BadSig,
    ];

    /// The name under which the reason is counted.
    pub fn name(self) -> &'static str {
        match self {
            BadReason::Torn => "torn",
            BadReason::UnknownVersion => "unknown_version",
            BadReason::BadId => "bad_id",
            BadReason::BadPart => "bad_part",
            BadReason::BadSeq => "bad_seq",
            BadReason::BadOf => "bad_of",
            BadReason::BadType => "bad_type",
            BadReason::DuplicateKey => "duplicate_key",
            BadReason::TextAndB64 => "text_and_b64",
            BadReason::BadB64 => "bad_b64",
            BadReason::BadCrc => "bad_crc",
            BadReason::TooDeep => "too_deep",
            BadReason::NotUtf8 => "not_utf8",
            BadReason::BadSig => "bad_sig",
        }
    }
}

impl fmt::Display for BadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Takes what is found in lines.
pub trait RecordSink {
    /// A good record.
    fn record(&mut self, record: Record);
    /// A record that can't be used.
    fn bad(&mut self, reason: BadReason);
    /// What an envelope cut into pieces exceeded the longest line when joined, and was skipped: its length so far in bytes.
    fn long_line(&mut self, bytes: u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_chunk_reads_back_the_same() {
        for (head, tail, piece, sig) in [
            (Section::Whole(r#"{"a":[1]}"#.into()), Section::Fragment("\"é\n".into()), &b"text \"\x01"[..], None),
            (Section::Fragment("{\"".into()), Section::Whole("{}".into()), &[0xff, 0, 1], None),
            (Section::Fragment("{\"".into()), Section::Fragment("}".into()), b"\0", Some([0xab; SIGNATURE_BYTES])),
        ] {
            let chunk = Chunk {
                id: CaptureId::parse(b"a:b").unwrap(),
                part: Part::Response,
                seq: 7,
                head: Some(head),
                at: Some(12),
                piece: Some(Piece::new(piece)),
                of: Some(9),
                tail: Some(tail),
                sig,
            };
            assert_eq!(Chunk::from_line(&chunk.to_line()), Some(chunk));
        }
    }

    #[test]
    fn a_head_spelled_anew_is_the_same() {
        let chunk = |head: &str| {
            Chunk::from_line(format!(r#"{{"cap1":"a","part":"req","seq":0,"head":{head}}}"#).as_bytes()).unwrap()
        };
        let one = chunk(r#"{"ts":"é","n":1}"#);
        assert!(one.same_as(&chunk(r#"{ "n":1.0, "ts":"\u00e9" }"#)));
        assert!(!one.same_as(&chunk(r#"{"ts":"é","n":2}"#)));
    }
}
