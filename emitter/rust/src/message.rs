//! What a request's thread hands to the writer, step by step: borrowed from whoever holds it, with its cost in queued bytes.
//!
//! Invariant: nothing here is allocated or formatted. A step's texts are copied once, into the batch that the queue fills ([`crate::batch`]).

use std::{borrow::Cow, collections::BTreeMap, net::SocketAddr};

use bytes::Bytes;
use reassemble_formats::write::{Direction, Why};

use crate::{
    batch::Message,
    identity::{CaptureId, TraceParent},
};

/// What a text costs beside its bytes: its length.
const TEXT_BYTES: usize = size_of::<usize>();

/// Names and values as the plain API takes them.
pub(crate) type Pairs = [(Cow<'static, str>, Vec<u8>)];

/// Which half of a capture a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HalfTag {
    Request,
    Response,
}

/// One step of a capture.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    Begin(&'a RequestStart<'a>),
    Respond(&'a ResponseStart<'a>),
    /// A piece that is copied: a shared one would keep its whole buffer, often many times larger, alive in the queue.
    Copied(HalfTag, &'a [u8]),
    /// A piece that is large enough to be shared.
    Shared(HalfTag, Bytes),
    End(HalfTag, &'a PartEnd<'a>),
}

impl Step<'_> {
    /// How many bytes of the queue's limit the step takes.
    pub(crate) fn cost(&self) -> usize {
        size_of::<Message>()
            + match self {
                Step::Begin(start) => start.cost(),
                Step::Respond(start) => text_of(start.status).len() + start.headers.cost() + TEXT_BYTES,
                Step::Copied(_, bytes) => bytes.len() + TEXT_BYTES,
                Step::Shared(_, bytes) => bytes.len(),
                Step::End(_, end) => text_of(end.status).len() + end.trailers.cost() + end.error.len() + 2 * TEXT_BYTES,
            }
    }
}

/// What is known when a request begins.
#[derive(Debug)]
pub(crate) struct RequestStart<'a> {
    pub(crate) id: CaptureId,
    pub(crate) ts_us: i64,
    pub(crate) dir: Direction,
    pub(crate) proto: &'static str,
    pub(crate) method: &'a str,
    /// In pieces, as they are found.
    pub(crate) url: [&'a str; 4],
    /// What of the URL tells endpoints apart.
    pub(crate) route: &'a str,
    pub(crate) headers: Headers<'a>,
    pub(crate) peer: Peer<'a>,
    pub(crate) trace: Option<&'a TraceParent>,
    pub(crate) parent: Option<CaptureId>,
    pub(crate) tags: Option<&'a BTreeMap<Cow<'static, str>, String>>,
    pub(crate) why: Why,
    pub(crate) oneway: bool,
}

impl RequestStart<'_> {
    fn cost(&self) -> usize {
        let tags = self.tags.iter().flat_map(|tags| tags.iter());
        let tags: usize = tags.map(|(name, value)| name.len() + value.len() + 2 * TEXT_BYTES).sum();
        let url: usize = self.url.iter().map(|piece| piece.len()).sum();
        let trace = self.trace.map_or(0, |trace| trace.as_str().len());
        self.method.len() + url + self.headers.cost() + self.peer.text().len() + trace + tags + 4 * TEXT_BYTES
    }
}

/// The other side's address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer<'a> {
    None,
    /// Put into words by the writer.
    #[cfg_attr(not(feature = "tower"), expect(dead_code, reason = "only servers know it so"))]
    Address(SocketAddr),
    Text(&'a str),
}

impl Peer<'_> {
    pub(crate) fn text(&self) -> &str {
        match self {
            Peer::Text(text) => text,
            _ => "",
        }
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Peer::Address(address) => Some(*address),
            _ => None,
        }
    }
}

/// What is known when a response begins.
#[derive(Debug)]
pub(crate) struct ResponseStart<'a> {
    pub(crate) ts_us: i64,
    pub(crate) us: Option<u64>,
    pub(crate) status: Option<&'a CaptureStatus>,
    pub(crate) headers: Headers<'a>,
}

/// What is known when a part ends.
#[derive(Debug)]
pub(crate) struct PartEnd<'a> {
    pub(crate) us: Option<u64>,
    pub(crate) status: Option<&'a CaptureStatus>,
    pub(crate) trailers: Headers<'a>,
    pub(crate) error: &'a str,
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

/// A status that is a number.
pub(crate) fn code_of(status: Option<&CaptureStatus>) -> Option<u16> {
    match status {
        Some(CaptureStatus::Code(code)) => Some(*code),
        _ => None,
    }
}

/// A status in words; empty where it is none.
pub(crate) fn text_of(status: Option<&CaptureStatus>) -> &str {
    match status {
        Some(CaptureStatus::Text(text)) => text,
        _ => "",
    }
}

/// Headers, trailers, or what a protocol has like them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Headers<'a> {
    /// The protocol has none, or they are not known.
    #[default]
    None,
    Pairs(&'a Pairs),
    #[cfg(feature = "_http")]
    Map(&'a http::HeaderMap),
}

impl Headers<'_> {
    /// How many bytes of the queue's limit they take.
    pub(crate) fn cost(&self) -> usize {
        let mut bytes = 0;
        self.each(|name, value| bytes += name.len() + value.len() + 2 * TEXT_BYTES);
        bytes
    }

    /// How many there are; `None` where there are none to tell of.
    pub(crate) fn count(&self) -> Option<usize> {
        match self {
            Headers::None => None,
            Headers::Pairs(pairs) => Some(pairs.len()),
            #[cfg(feature = "_http")]
            Headers::Map(map) => Some(map.len()),
        }
    }

    /// Gives names and values in their order.
    pub(crate) fn each(&self, mut take: impl FnMut(&str, &[u8])) {
        match self {
            Headers::None => {}
            Headers::Pairs(pairs) => pairs.iter().for_each(|(name, value)| take(name, value)),
            #[cfg(feature = "_http")]
            Headers::Map(map) => map.iter().for_each(|(name, value)| take(name.as_str(), value.as_bytes())),
        }
    }
}
