//! What lies in the queue: messages of a fixed size, and their texts one behind the other in a buffer of the batch.
//!
//! So a request's thread allocates nothing for what it hands over, and the memory that it writes to is that of a batch the writer is done with.
//!
//! Invariant: a message's texts stand in the order of [`Message`]'s docs, and [`Texts`] must be asked for each of them, in this order, whatever
//! becomes of the message.

use std::{net::SocketAddr, slice, sync::mpsc::SyncSender, vec};

use bytes::Bytes;
use reassemble_formats::write::{Direction, Why};

use crate::{
    identity::CaptureId,
    message::{HalfTag, Headers, RequestStart, Step, code_of, text_of},
};

/// A batch with this much text is full: small enough to stay in a core's cache between its two readers.
const FULL_BYTES: usize = 64 * 1024;
/// So is one of so many messages, which take about as much.
const FULL_MESSAGES: usize = 512;

/// One step of a capture, or an order to the writer. `n` is the capture's number in this process.
#[derive(Debug)]
pub(crate) enum Message {
    /// Texts: method, URL, peer, trace; names and values of headers, then of tags.
    Begin {
        n: u64,
        id: CaptureId,
        ts_us: i64,
        dir: Direction,
        proto: &'static str,
        peer: Option<SocketAddr>,
        parent: Option<CaptureId>,
        why: Why,
        oneway: bool,
        headers: Option<usize>,
        tags: usize,
    },
    /// Texts: status; names and values of headers.
    Respond {
        n: u64,
        ts_us: i64,
        us: Option<u64>,
        code: Option<u16>,
        headers: Option<usize>,
    },
    /// Texts: the piece.
    Copied {
        n: u64,
        half: HalfTag,
    },
    Shared {
        n: u64,
        half: HalfTag,
        bytes: Bytes,
    },
    /// Texts: status, error; names and values of trailers.
    End {
        n: u64,
        half: HalfTag,
        us: Option<u64>,
        code: Option<u16>,
        truncated: bool,
        full_len: Option<u64>,
        trailers: Option<usize>,
    },
    Flush(SyncSender<()>),
    Reopen,
}

/// Messages in their order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    messages: Vec<Message>,
    texts: Vec<u8>,
    lens: Vec<usize>,
    cost: usize,
}

impl Batch {
    /// Adds a step of the capture `n`, which takes `cost` of the queue's limit.
    pub(crate) fn put(&mut self, n: u64, step: Step<'_>, cost: usize) {
        self.cost += cost;
        let message = match step {
            Step::Begin(start) => self.begin(n, start),
            Step::Respond(start) => {
                self.text(text_of(start.status).as_bytes());
                let headers = self.pairs(start.headers);
                Message::Respond { n, ts_us: start.ts_us, us: start.us, code: code_of(start.status), headers }
            }
            Step::Copied(half, bytes) => {
                self.text(bytes);
                Message::Copied { n, half }
            }
            Step::Shared(half, bytes) => Message::Shared { n, half, bytes },
            Step::End(half, end) => {
                self.text(text_of(end.status).as_bytes());
                self.text(end.error.as_bytes());
                let trailers = self.pairs(end.trailers);
                let (us, code, truncated, full_len) = (end.us, code_of(end.status), end.truncated, end.full_len);
                Message::End { n, half, us, code, truncated, full_len, trailers }
            }
        };
        self.messages.push(message);
    }

    /// Adds an order to the writer.
    pub(crate) fn order(&mut self, order: Message) {
        self.messages.push(order);
    }

    /// Makes all messages those of the capture `n`.
    pub(crate) fn renumber(&mut self, n: u64) {
        for message in &mut self.messages {
            match message {
                Message::Begin { n: number, .. }
                | Message::Respond { n: number, .. }
                | Message::Copied { n: number, .. }
                | Message::Shared { n: number, .. }
                | Message::End { n: number, .. } => *number = n,
                Message::Flush(_) | Message::Reopen => {}
            }
        }
    }

    fn begin(&mut self, n: u64, start: &RequestStart<'_>) -> Message {
        self.text(start.method.as_bytes());
        start.url.iter().for_each(|piece| self.texts.extend_from_slice(piece.as_bytes()));
        self.lens.push(start.url.iter().map(|piece| piece.len()).sum());
        self.text(start.peer.text().as_bytes());
        self.text(start.trace.map_or("", |trace| trace.as_str()).as_bytes());
        let headers = self.pairs(start.headers);
        for (name, value) in start.tags.iter().flat_map(|tags| tags.iter()) {
            self.text(name.as_bytes());
            self.text(value.as_bytes());
        }
        Message::Begin {
            n,
            id: start.id,
            ts_us: start.ts_us,
            dir: start.dir,
            proto: start.proto,
            peer: start.peer.address(),
            parent: start.parent,
            why: start.why,
            oneway: start.oneway,
            headers,
            tags: start.tags.map_or(0, |tags| tags.len()),
        }
    }

    fn text(&mut self, bytes: &[u8]) {
        self.texts.extend_from_slice(bytes);
        self.lens.push(bytes.len());
    }

    fn pairs(&mut self, headers: Headers<'_>) -> Option<usize> {
        headers.each(|name, value| {
            self.text(name.as_bytes());
            self.text(value);
        });
        headers.count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.texts.len() >= FULL_BYTES || self.messages.len() >= FULL_MESSAGES
    }

    /// What its steps take of the queue's limit.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// Takes the messages out, and gives their texts beside them.
    pub(crate) fn read(&mut self) -> (vec::Drain<'_, Message>, Texts<'_>) {
        (self.messages.drain(..), Texts { bytes: &self.texts, lens: self.lens.iter() })
    }

    /// Empties it to be filled again; one that an uncommon text made large gives its memory back.
    pub(crate) fn clear(&mut self) {
        if self.texts.capacity() > 2 * FULL_BYTES {
            self.texts = Vec::new();
        }
        if self.lens.capacity() > FULL_BYTES / size_of::<usize>() {
            self.lens = Vec::new();
        }
        self.messages.clear();
        self.texts.clear();
        self.lens.clear();
        self.cost = 0;
    }
}

/// The texts of a batch's messages, in their order.
#[derive(Debug)]
pub(crate) struct Texts<'a> {
    bytes: &'a [u8],
    lens: slice::Iter<'a, usize>,
}

impl<'a> Texts<'a> {
    /// The next text's bytes; empty behind the last.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let len = self.lens.next().copied().unwrap_or(0);
        let (text, rest) = self.bytes.split_at_checked(len).unwrap_or_default();
        self.bytes = rest;
        text
    }

    /// The next text, which was put in as one.
    pub(crate) fn text(&mut self) -> &'a str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }
}
