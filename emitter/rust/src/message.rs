//! What a request's thread hands to the writer: owned values, as they came, with their cost in queued bytes.

use std::{borrow::Cow, collections::BTreeMap, sync::mpsc::SyncSender};

use bytes::Bytes;
use reassemble_formats::write::{Direction, Why};

use crate::identity::{CaptureId, TraceParent};

/// What a message costs beside what it carries: its place in the queue and its boxes.
const MESSAGE_BYTES: usize = 128;
/// What a header costs beside its text.
const HEADER_BYTES: usize = 32;

/// One step of a capture, or an order to the writer. `n` is the capture's number in this process.
#[derive(Debug)]
pub(crate) enum Message {
    Begin { n: u64, start: Box<RequestStart> },
    Respond { n: u64, start: Box<ResponseStart> },
    Body { n: u64, half: HalfTag, bytes: Bytes },
    End { n: u64, half: HalfTag, end: Box<PartEnd> },
    Flush(SyncSender<()>),
    Reopen,
}

/// Which half of a capture a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HalfTag {
    Request,
    Response,
}

impl Message {
    /// How many bytes of the queue's limit the message takes.
    pub(crate) fn cost(&self) -> usize {
        MESSAGE_BYTES
            + match self {
                Message::Begin { start, .. } => {
                    let tags: usize =
                        start.tags.iter().map(|(name, value)| HEADER_BYTES + name.len() + value.len()).sum();
                    start.url.len() + start.headers.cost() + tags + 256
                }
                Message::Respond { start, .. } => start.headers.cost(),
                Message::Body { bytes, .. } => bytes.len(),
                Message::End { end, .. } => end.trailers.cost() + end.error.len(),
                Message::Flush(_) | Message::Reopen => 0,
            }
    }
}

/// What is known when a request begins.
#[derive(Debug)]
pub(crate) struct RequestStart {
    pub(crate) id: CaptureId,
    pub(crate) ts_us: i64,
    pub(crate) dir: Direction,
    pub(crate) proto: Cow<'static, str>,
    pub(crate) method: Cow<'static, str>,
    pub(crate) url: String,
    pub(crate) headers: Headers,
    pub(crate) peer: Option<String>,
    pub(crate) trace: Option<TraceParent>,
    pub(crate) parent: Option<CaptureId>,
    pub(crate) tags: BTreeMap<Cow<'static, str>, String>,
    pub(crate) why: Why,
    pub(crate) oneway: bool,
}

/// What is known when a response begins.
#[derive(Debug)]
pub(crate) struct ResponseStart {
    pub(crate) ts_us: i64,
    pub(crate) us: Option<u64>,
    pub(crate) status: Option<CaptureStatus>,
    pub(crate) headers: Headers,
}

/// What is known when a part ends.
#[derive(Debug)]
pub(crate) struct PartEnd {
    pub(crate) us: Option<u64>,
    pub(crate) status: Option<CaptureStatus>,
    pub(crate) trailers: Headers,
    pub(crate) error: Cow<'static, str>,
    pub(crate) truncated: bool,
    pub(crate) full_len: Option<u64>,
}

/// How a request ended: a number for HTTP, text elsewhere (an SQLSTATE, a gRPC status name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptureStatus {
    /// An HTTP status.
    Code(u16),
    /// Any other protocol's.
    Text(Cow<'static, str>),
}

impl From<u16> for CaptureStatus {
    fn from(code: u16) -> Self {
        CaptureStatus::Code(code)
    }
}

impl From<&'static str> for CaptureStatus {
    fn from(text: &'static str) -> Self {
        CaptureStatus::Text(text.into())
    }
}

impl From<String> for CaptureStatus {
    fn from(text: String) -> Self {
        CaptureStatus::Text(text.into())
    }
}

/// Headers, trailers, or what a protocol has like them.
#[derive(Debug, Default)]
pub(crate) enum Headers {
    /// The protocol has none, or they are not known.
    #[default]
    None,
    Pairs(Vec<(Cow<'static, str>, Vec<u8>)>),
    #[cfg(feature = "_http")]
    Map(Box<http::HeaderMap>),
}

impl Headers {
    pub(crate) fn cost(&self) -> usize {
        match self {
            Headers::None => 0,
            Headers::Pairs(pairs) => pairs.iter().map(|(name, value)| HEADER_BYTES + name.len() + value.len()).sum(),
            #[cfg(feature = "_http")]
            Headers::Map(map) => map.iter().map(|(name, value)| HEADER_BYTES + name.as_str().len() + value.len()).sum(),
        }
    }

    /// Names and values in their order; `None` where there are none to tell of.
    pub(crate) fn pairs(&self) -> Option<Vec<(&str, &[u8])>> {
        match self {
            Headers::None => None,
            Headers::Pairs(pairs) => Some(pairs.iter().map(|(name, value)| (&**name, value.as_slice())).collect()),
            #[cfg(feature = "_http")]
            Headers::Map(map) => Some(map.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()),
        }
    }
}
