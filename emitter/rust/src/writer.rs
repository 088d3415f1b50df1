//! The writer's thread: takes messages in their order, cuts each part into lines, and writes the lines of a batch of messages together.
//!
//! Invariants: a capture has an entry from its `Begin` until both its halves have ended, and its kept room is given back then and only then;
//! a batch's cost is given back, and a capture counted as finished, once its lines are written; whenever the thread waits, all lines are written.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    mem,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use reassemble_formats::write::{
    MetaHead, PartTag, PartWriter, RequestHead, ResponseHead, Status, Tail, header_text, write_meta,
};

use crate::{
    batch::{Batch, Message, Texts},
    emitter::{Counts, Shared},
    identity::{CaptureId, Draw, ID_BYTES, now_us},
    live::CLOSING_BYTES,
    message::HalfTag,
    part::{OpenPart, body_kind},
    sink::Sink,
};

/// A body goes through the cut in slices of this size, so that a large one does not size the buffer of lines.
const SLICE_BYTES: usize = 64 * 1024;
/// Lines are written once there are so many bytes of them, and at the end of each batch.
const GATHERED_BYTES: usize = 32 * 1024;
/// The buffer of lines gives memory back above this.
const KEPT_BYTES: usize = 256 * 1024;

/// A capture of which a half is open.
struct Open {
    id: CaptureId,
    request: Option<OpenPart>,
    response: Option<OpenPart>,
    /// The response has yet to begin.
    awaited: bool,
    /// A line of it was lost.
    torn: bool,
}

impl Open {
    fn half(&mut self, half: HalfTag) -> &mut Option<OpenPart> {
        match half {
            HalfTag::Request => &mut self.request,
            HalfTag::Response => &mut self.response,
        }
    }
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    sink: Sink,
    open: HashMap<u64, Open>,
    lines: Vec<u8>,
    /// Up to where in `lines` they are of which capture, in order.
    owners: Vec<(usize, u64)>,
    /// Captures that have ended and whose last lines are among `lines`; `torn` or not.
    ended: Vec<(u64, bool)>,
    told: Counts,
    told_at: Instant,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, sink: Sink) -> Writer {
        Writer {
            shared,
            sink,
            open: HashMap::new(),
            lines: Vec::new(),
            owners: Vec::new(),
            ended: Vec::new(),
            told: Counts::default(),
            told_at: Instant::now(),
        }
    }

    /// Runs until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        block_signals();
        let mut read = Batch::default();
        loop {
            let closed = self.shared.queue.is_closed();
            let idle;
            (read, idle) = match self.shared.queue.take(read) {
                Ok(mut batch) => {
                    let (messages, mut texts) = batch.read();
                    messages.for_each(|message| self.handle(message, &mut texts));
                    self.write_lines();
                    self.shared.queue.release(batch.cost());
                    (batch, false)
                }
                Err(read) => (read, true),
            };
            let next = self.tell_when_due();
            if idle && closed {
                break;
            }
            if idle {
                self.shared.queue.wait(next);
            }
        }
        for n in self.open.keys().copied().collect::<Vec<_>>() {
            self.close(n);
        }
        self.write_lines();
        self.tell();
    }

    /// Takes all texts of the message, whatever becomes of it.
    fn handle(&mut self, message: Message, texts: &mut Texts<'_>) {
        match message {
            Message::Begin { n, id, ts_us, dir, proto, peer, parent, why, oneway, headers, tags } => {
                let (method, url, named_peer, trace) = (texts.text(), texts.text(), texts.text(), texts.text());
                let settings = &self.shared.settings;
                let head = RequestHead {
                    ts_us: Some(ts_us),
                    service: settings.service.as_str().into(),
                    host: settings.host.as_str().into(),
                    inst: settings.inst.as_str().into(),
                    n: Some(n),
                    dir: Some(dir),
                    proto: proto.into(),
                    method: method.into(),
                    url: settings.redactor.url(url),
                    headers: self.pairs(headers, texts),
                    peer: peer.map_or(Cow::Borrowed(named_peer), |address| Cow::Owned(address.to_string())),
                    trace: trace.into(),
                    parent: parent.map(|id| id.to_string()).unwrap_or_default().into(),
                    tags: (0..tags).map(|_| (texts.text().into(), texts.text().into())).collect::<BTreeMap<_, _>>(),
                    rate: Some(settings.rate),
                    why: Some(why),
                    body_enc: "".into(),
                    oneway,
                };
                let request = self.part(id, PartTag::Req, head.to_json(), head.headers.as_deref());
                self.open.insert(n, Open { id, request, response: None, awaited: !oneway, torn: false });
            }
            Message::Respond { n, ts_us, us, code, headers } => {
                let status = status(code, texts.text());
                let headers = self.pairs(headers, texts);
                self.respond(n, &ResponseHead { ts_us: Some(ts_us), us, status, headers, body_enc: "".into() });
            }
            Message::Copied { n, half } => self.body(n, half, texts.bytes()),
            Message::Shared { n, half, bytes } => self.body(n, half, &bytes),
            Message::End { n, half, us, code, truncated, full_len, trailers } => {
                let status = status(code, texts.text());
                let error = texts.text().into();
                let trailers = self.pairs(trailers, texts);
                self.end(n, half, Tail { us, status, trailers, error, truncated, full_len });
            }
            Message::Flush(done) => {
                self.write_lines();
                // Who asked may have stopped waiting.
                done.send(()).ok();
            }
            Message::Reopen => {
                self.write_lines();
                self.sink.reopen();
                self.shared.output_gone.store(self.sink.is_gone(), Ordering::Relaxed);
            }
        }
    }

    fn respond(&mut self, n: u64, head: &ResponseHead<'_>) {
        let Some(id) = self.open.get(&n).map(|open| open.id) else { return };
        let response = self.part(id, PartTag::Res, head.to_json(), head.headers.as_deref());
        if let Some(open) = self.open.get_mut(&n) {
            open.response = response;
            open.awaited = false;
        }
    }

    fn body(&mut self, n: u64, half: HalfTag, bytes: &[u8]) {
        for slice in bytes.chunks(SLICE_BYTES) {
            let Some(part) = self.open.get_mut(&n).and_then(|open| open.half(half).as_mut()) else { return };
            let before = part.held_bytes();
            part.body(slice, &mut self.lines);
            self.shared.queue.hold(before, part.held_bytes());
            self.gathered(n);
        }
    }

    fn end(&mut self, n: u64, half: HalfTag, tail: Tail<'_>) {
        let Some(part) = self.open.get_mut(&n).and_then(|open| open.half(half).take()) else { return };
        self.shared.queue.hold(part.held_bytes(), 0);
        part.finish(tail, &self.shared.settings.redactor, &mut self.lines);
        self.gathered(n);
        self.forget_ended(n);
    }

    fn forget_ended(&mut self, n: u64) {
        let ended = |open: &Open| open.request.is_none() && open.response.is_none() && !open.awaited;
        if self.open.get(&n).is_some_and(ended)
            && let Some(open) = self.open.remove(&n)
        {
            self.shared.queue.release(CLOSING_BYTES);
            self.ended.push((n, open.torn));
        }
    }

    /// Ends what the app has not ended when the emitter was.
    fn close(&mut self, n: u64) {
        if self.open.get(&n).is_some_and(|open| open.awaited) {
            self.respond(n, &ResponseHead { ts_us: Some(now_us()), ..ResponseHead::default() });
        }
        let tail = Tail { error: "shutdown".into(), truncated: true, ..Tail::default() };
        self.end(n, HalfTag::Request, tail.clone());
        self.end(n, HalfTag::Response, tail);
    }

    /// Redacted pairs; header bytes that are not UTF-8 as Latin-1.
    fn pairs<'a>(&self, count: Option<usize>, texts: &mut Texts<'a>) -> Option<Vec<(Cow<'a, str>, Cow<'a, str>)>> {
        let redactor = &self.shared.settings.redactor;
        let mut pair = || {
            let (name, value) = (texts.text(), texts.bytes());
            (Cow::Borrowed(name), redactor.header_value(name, header_text(value)))
        };
        count.map(|count| (0..count).map(|_| pair()).collect())
    }

    fn part(
        &self,
        id: CaptureId,
        tag: PartTag,
        head: String,
        headers: Option<&[(Cow<'_, str>, Cow<'_, str>)]>,
    ) -> Option<OpenPart> {
        let settings = &self.shared.settings;
        // A UUID is always an id, so a part is always made.
        let lines = PartWriter::new(id.text(&mut [0; ID_BYTES]), tag, head, settings.line_limit).ok()?;
        let kind = settings.redact_buffer.and_then(|_| body_kind(headers));
        Some(OpenPart::new(lines.signed(settings.signing.as_ref()), kind, settings.redact_buffer.unwrap_or(0)))
    }

    /// Notes whose lines the last ones are, and writes where enough have come together.
    fn gathered(&mut self, n: u64) {
        if self.owners.last().map_or(0, |(end, _)| *end) < self.lines.len() {
            self.owners.push((self.lines.len(), n));
        }
        if self.lines.len() >= GATHERED_BYTES {
            self.write_lines();
        }
    }

    /// Writes what has come together, and counts the captures that are finished with it.
    fn write_lines(&mut self) {
        let Writer { shared, sink, open, lines, owners, ended, .. } = self;
        let mut lost = 0;
        sink.write_lines(lines, |at| {
            lost += 1;
            // Behind the last owner's lines stands `meta` alone.
            let owner = owners.get(owners.partition_point(|(end, _)| *end <= at)).map(|(_, n)| *n);
            if let Some(open) = owner.and_then(|n| open.get_mut(&n)) {
                open.torn = true;
            }
            ended.iter_mut().filter(|(n, _)| Some(*n) == owner).for_each(|(_, torn)| *torn = true);
        });
        if lost > 0 {
            shared.counters.lost_lines.fetch_add(lost, Ordering::Relaxed);
            shared.output_gone.store(sink.is_gone(), Ordering::Relaxed);
        }
        let finished = ended.iter().filter(|(_, torn)| !torn).count() as u64;
        if finished > 0 {
            shared.counters.finished.fetch_add(finished, Ordering::Relaxed);
        }
        ended.clear();
        owners.clear();
        lines.clear();
        if lines.capacity() > KEPT_BYTES {
            *lines = Vec::new();
        }
    }

    /// Tells the counters if there is something to tell and it is time; returns when it will be, if there is.
    fn tell_when_due(&mut self) -> Option<Duration> {
        if self.shared.counts() == self.told {
            return None;
        }
        let left = self.shared.settings.meta_every.saturating_sub(self.told_at.elapsed());
        if left.is_zero() {
            self.tell();
            return None;
        }
        Some(left)
    }

    fn tell(&mut self) {
        let counts = self.shared.counts();
        self.told_at = Instant::now();
        if mem::replace(&mut self.told, counts) == counts {
            return;
        }
        let Some((id, ts_us)) = Draw::new().begin_now() else { return };
        let settings = &self.shared.settings;
        let head = MetaHead {
            ts_us: Some(ts_us),
            service: settings.service.as_str().into(),
            host: settings.host.as_str().into(),
            inst: settings.inst.as_str().into(),
            begun: counts.begun,
            finished: counts.finished,
            dropped: counts.dropped,
            sampled_out: counts.sampled_out,
        };
        let (id, head, key) = (id.to_string(), head.to_json(), settings.signing.as_ref());
        if write_meta(&id, head, settings.line_limit, key, &mut self.lines).is_ok() {
            self.write_lines();
        }
    }
}

/// A status is a number or a text; where it is not known, neither.
fn status(code: Option<u16>, text: &str) -> Option<Status<'_>> {
    code.map(Status::Code).or_else(|| (!text.is_empty()).then_some(Status::Text(Cow::Borrowed(text))))
}

/// The app's signal handlers must not run on this thread, and a reader that went away must be an error here, not a SIGPIPE to the app.
fn block_signals() {
    #[cfg(unix)]
    {
        // Where that fails, signals arrive here as they would without it.
        nix::sys::signal::SigSet::all().thread_block().ok();
    }
}
