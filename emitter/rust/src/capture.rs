//! Captures of anything that no layer sees: a query, a message, a job.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use reassemble_formats::write::{Direction, Why};

use crate::{
    context::CaptureContext,
    emitter::Emitter,
    half::Half,
    identity::{CaptureId, Draw, TraceParent},
    message::{CaptureStatus, Headers, Peer, RequestStart},
};

/// What is said of a request before its capture starts. See [`Emitter::begin`].
#[derive(Debug)]
#[must_use = "nothing is captured before `start`"]
pub struct Begin<'a> {
    emitter: &'a Emitter,
    proto: &'static str,
    method: Cow<'static, str>,
    url: String,
    dir: Direction,
    headers: Vec<(Cow<'static, str>, Vec<u8>)>,
    peer: Option<String>,
    trace: Option<TraceParent>,
    parent: Option<CaptureId>,
    tags: BTreeMap<Cow<'static, str>, String>,
    oneway: bool,
}

impl<'a> Begin<'a> {
    pub(crate) fn new(emitter: &'a Emitter, proto: &'static str, method: Cow<'static, str>, url: String) -> Begin<'a> {
        let context = CaptureContext::current();
        Begin {
            emitter,
            proto,
            method,
            url,
            dir: Direction::Out,
            headers: Vec::new(),
            peer: None,
            trace: context.as_ref().map(|context| context.trace().clone()),
            parent: context.and_then(|context| context.id()),
            tags: BTreeMap::new(),
            oneway: false,
        }
    }

    /// This app was called; without it, it calls.
    pub fn inbound(mut self) -> Self {
        self.dir = Direction::In;
        self
    }

    /// Adds a header, or what the protocol has like it. Bytes that are not UTF-8 are written as Latin-1.
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The other side's address.
    pub fn peer(mut self, peer: impl Into<String>) -> Self {
        self.peer = Some(peer.into());
        self
    }

    /// The trace; without it that of the inbound request within which the code runs.
    pub fn trace(mut self, trace: TraceParent) -> Self {
        self.trace = Some(trace);
        self
    }

    /// The capture that caused this one; without it the inbound request within which the code runs.
    pub fn parent(mut self, parent: CaptureId) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Adds a tag: an order's number, a queue's partition, a foreign id.
    pub fn tag(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// No response will come.
    pub fn oneway(mut self) -> Self {
        self.oneway = true;
        self
    }

    /// Starts the capture. Where sampling leaves it out or the queue is full, the capture takes all calls and does nothing.
    pub fn start(self) -> Capture {
        self.admit().unwrap_or(Capture { id: None, request: None, response: None, error: None })
    }

    fn admit(self) -> Option<Capture> {
        let shared = self.emitter.shared()?;
        let draw = Draw::new();
        let (id, ts_us) = draw.begin_now()?;
        let mut start = RequestStart {
            id,
            ts_us,
            dir: self.dir,
            proto: self.proto,
            method: &self.method,
            url: [&self.url, "", "", ""],
            route: &self.url,
            headers: if self.headers.is_empty() { Headers::None } else { Headers::Pairs(&self.headers) },
            peer: self.peer.as_deref().map_or(Peer::None, Peer::Text),
            trace: self.trace.as_ref(),
            parent: self.parent,
            tags: Some(&self.tags),
            why: Why::All,
            oneway: self.oneway,
        };
        let live = shared.begin(&draw, &mut start)?;
        Some(Capture {
            id: Some(id),
            request: Some(Half::request(Arc::clone(&live))),
            response: (!self.oneway).then(|| Half::response(live)),
            error: None,
        })
    }
}

/// One capture under way. Dropped before [`Capture::finish`], it ends as truncated.
#[derive(Debug)]
pub struct Capture {
    id: Option<CaptureId>,
    request: Option<Half>,
    response: Option<Half>,
    error: Option<Cow<'static, str>>,
}

impl Capture {
    /// The capture's id; `None` where it is not captured.
    pub fn id(&self) -> Option<CaptureId> {
        self.id
    }

    /// Adds to the request's body: a statement, arguments, a message.
    pub fn request_body(&mut self, bytes: impl Into<Bytes>) {
        if let Some(request) = &mut self.request {
            request.body(&bytes.into());
        }
    }

    /// Begins the response. What is added to the request's body afterwards still counts.
    pub fn respond(&mut self, status: impl Into<CaptureStatus>) {
        self.respond_with(status, std::iter::empty::<(&'static str, Vec<u8>)>());
    }

    /// Begins the response, with headers or what the protocol has like them.
    pub fn respond_with<N, V>(&mut self, status: impl Into<CaptureStatus>, headers: impl IntoIterator<Item = (N, V)>)
    where
        N: Into<Cow<'static, str>>,
        V: Into<Vec<u8>>,
    {
        if let Some(response) = &mut self.response {
            let pairs: Vec<_> = headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
            let headers = if pairs.is_empty() { Headers::None } else { Headers::Pairs(&pairs) };
            response.respond(Some(&status.into()), headers);
        }
    }

    /// Adds to the response's body: rows as JSON, a reply.
    pub fn response_body(&mut self, bytes: impl Into<Bytes>) {
        if let Some(response) = &mut self.response {
            response.body(&bytes.into());
        }
    }

    /// Says what went wrong; the capture then ends with it.
    pub fn error(&mut self, error: impl Into<Cow<'static, str>>) {
        self.error = Some(error.into());
    }

    /// Ends the capture.
    pub fn finish(mut self) {
        let failed = self.error.take();
        let last = if self.response.is_some() { &mut self.response } else { &mut self.request };
        if let (Some(half), Some(error)) = (last, failed) {
            half.fail(&error);
        }
        for half in [&mut self.request, &mut self.response].into_iter().flatten() {
            half.end(Headers::None);
        }
    }
}
