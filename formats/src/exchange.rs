//! The stored exchange: one JSON object on a line (stored-exchange specification).
//!
//! Field order is the order in which keys are written. Text is borrowed where it can be: an exchange is a view of the lines that it was
//! made of, and its bodies are written as those spelled them.

mod complete;
mod join;
mod line;
mod pieces;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Number, Value};

use crate::id::CaptureId;
use crate::piece::Piece;
use crate::sum::Sum;

pub use self::complete::StoredComplete;
pub use self::join::{Joined, OpenBody};
pub use self::pieces::{BodyObject, MAX_PIECE_BYTES, Refusal, StoredLine, StoredPiece};

/// The format's version, written as `v`.
pub const EXCHANGE_VERSION: u64 = 1;

/// Text, borrowed from a line or made.
pub type Text<'a> = Cow<'a, str>;

/// Names and values in order, repeats and case as captured.
pub type Headers<'a> = Vec<(Text<'a>, Text<'a>)>;

/// One request with its response, or what came of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange<'a> {
    /// The capture's id.
    pub id: CaptureId,
    /// The service that captured it.
    pub service: Option<Text<'a>>,
    /// The machine.
    pub host: Option<Text<'a>>,
    /// The process.
    pub inst: Option<Text<'a>>,
    /// The how-manieth capture of this process.
    pub n: Option<u64>,
    /// `in` or `out`.
    pub dir: Option<Text<'a>>,
    /// The protocol.
    pub proto: Option<Text<'a>>,
    /// When the request began: RFC 3339.
    pub ts: Text<'a>,
    /// Microseconds from the request's start to the response's end.
    pub duration_us: Option<u64>,
    /// Whether both parts are whole (or the request is `oneway`).
    pub complete: bool,
    /// What is missing or odd.
    pub problems: Vec<String>,
    /// The request, where anything of it came.
    pub request: Option<Request<'a>>,
    /// The response, where anything of it came.
    pub response: Option<Response<'a>>,
    /// The W3C traceparent.
    pub trace: Option<Text<'a>>,
    /// The id of the capture that caused this one.
    pub parent: Option<Text<'a>>,
    /// The other side's address.
    pub peer: Option<Text<'a>>,
    /// Free labels.
    pub tags: Option<Map<String, Value>>,
    /// The sample rate in force.
    pub rate: Option<Number>,
    /// Why it was captured.
    pub why: Option<Text<'a>>,
    /// What went wrong, as the emitter saw it.
    pub error: Option<Text<'a>>,
    /// Whether no response was to come.
    pub oneway: bool,
    /// What came behind a gap, of an incomplete exchange.
    pub fragments: Vec<Fragment>,
    /// Keys of heads and tails that this format does not know, and known ones with values of another type.
    pub more: Map<String, Value>,
    /// Where the first of its lines was read.
    pub source: Option<Text<'a>>,
}

/// What was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request<'a> {
    /// The method or operation.
    pub method: Option<Text<'a>>,
    /// The target.
    pub url: Option<Text<'a>>,
    /// Headers or metadata.
    pub headers: Option<Headers<'a>>,
    /// Trailers.
    pub trailers: Option<Headers<'a>>,
    /// Microseconds from the request's start to its own end.
    pub us: Option<u64>,
    /// How the emitter itself compressed the body.
    pub body_enc: Option<Text<'a>>,
    /// The body.
    pub body: Body<'a>,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response<'a> {
    /// When it began.
    pub ts: Option<Text<'a>>,
    /// Microseconds from the request's start to the first byte.
    pub us: Option<u64>,
    /// A number for HTTP, a string elsewhere.
    pub status: Option<Value>,
    /// Headers or metadata.
    pub headers: Option<Headers<'a>>,
    /// Trailers.
    pub trailers: Option<Headers<'a>>,
    /// How the emitter itself compressed the body.
    pub body_enc: Option<Text<'a>>,
    /// The body.
    pub body: Body<'a>,
}

/// A message's body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body<'a> {
    /// The content type, from the headers.
    pub media_type: Option<Text<'a>>,
    /// The Content-Encoding that was undone.
    pub encoding: Option<String>,
    /// What the body was before that.
    pub captured: Option<Sum>,
    /// Whether the emitter cut the body.
    pub truncated: bool,
    /// Its full length in bytes, where it was cut and that is known.
    pub full_len: Option<u64>,
    /// (offset in bytes, microseconds since the part began) of pieces that told when they passed.
    pub marks: Vec<(u64, u64)>,
    /// Of an incomplete exchange: the lengths in bytes of the captured pieces, one for each chunk, 0 for one without a piece.
    pub pieces: Vec<u64>,
    /// The bytes, or where they are.
    pub content: Content<'a>,
}

/// A body's bytes, or where they are.
#[derive(Clone, Debug, PartialEq)]
pub enum Content<'a> {
    /// Within the exchange: `text` where they are UTF-8, else `b64`.
    Bytes(Vec<u8>),
    /// The same, as pieces in their lines' spelling.
    Pieces(&'a [Piece]),
    /// An object of its own.
    Object {
        /// Its key, relative to the destination's root.
        key: String,
        /// Its SHA-256 in lowercase hex.
        sha256: String,
        /// Its length in bytes.
        len: u64,
    },
}

impl Default for Content<'_> {
    fn default() -> Self {
        Content::Bytes(Vec::new())
    }
}

impl Content<'_> {
    /// The length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Pieces(pieces) => pieces.iter().map(|piece| piece.sum().len).sum(),
            Content::Object { len, .. } => *len,
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A chunk behind a gap.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fragment {
    /// `req` or `res`.
    pub part: String,
    /// The chunk's number.
    pub seq: u32,
    /// The claimed number of chunks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<u32>,
    /// A head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Value>,
    /// A fragment of a head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headf: Option<String>,
    /// When the piece passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// The piece, where it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The piece, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b64: Option<String>,
    /// The piece's CRC-32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc: Option<String>,
    /// A tail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<Value>,
    /// A fragment of a tail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tailf: Option<String>,
}

impl Exchange<'_> {
    /// The response's status as a number, where it is one.
    pub fn status_code(&self) -> Option<u64> {
        self.response.as_ref()?.status.as_ref()?.as_u64()
    }
}

/// CRC-32 as the formats spell it: 8 lowercase hex digits.
pub fn crc_hex(bytes: &[u8]) -> String {
    format!("{:08x}", crc32fast::hash(bytes))
}

/// Bytes as base64, the way the formats spell it.
pub fn base64_text(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}
