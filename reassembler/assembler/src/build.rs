//! A closed capture to its stored exchange (stored-exchange specification), in two steps: what it is made of is taken out of the capture
//! ([`Assembled`]), and seen as an exchange ([`Assembled::exchange`]), whose text is that of the capture's own lines.

use std::sync::Arc;

use reassemble_formats::exchange::{Body, Content, Exchange, Fragment, Headers, Request, Response, base64_text};
use reassemble_formats::head::{Known, Place, SortedOut};
use reassemble_formats::timestamp::{rfc3339_us, usable_ts};
use reassemble_formats::{CaptureId, Chunk, Part, Piece, Section};
use serde_json::{Map, Value};

use crate::Close;
use crate::capture::{Capture, Lines};
use crate::closed::{Closed, SeenChunks};
use crate::kept::Kept;
use crate::part::{OnDisk, PartChunks};
use crate::pieces::Pieces;

/// Largest body that is joined in memory, in bytes.
const JOINED_BYTES: u64 = 1 << 20;
/// Most bytes of fragments in one exchange; what is left is stored in supplements.
const FRAGMENTS_BYTES: usize = 1 << 20;

/// A closed capture: what its exchange is made of, and what the store must know of it.
#[derive(Debug, PartialEq)]
pub struct Assembled {
    /// The capture.
    pub id: CaptureId,
    /// Whether nothing is missing.
    pub complete: bool,
    /// How many chunks it is made of.
    pub chunks: u64,
    /// Their lines, by the inputs that they came from.
    pub lines: Lines,
    /// The key under which they are signed.
    pub key: Option<Arc<str>>,
    /// When its first chunk was read, in microseconds since the Unix epoch.
    pub read_at_us: i64,
    /// What is to be remembered of it, so that later chunks are known.
    pub closed: Closed,
    why: Close,
    /// Whether something of it was stored before.
    continues: bool,
    source: Arc<str>,
    request: ClosedPart,
    response: ClosedPart,
    fragments: Vec<Fragment>,
}

/// What is left of a capture once its exchange is made.
pub(crate) enum Rest {
    /// Nothing but rows to remove.
    Gone { id: CaptureId, has_rows: bool, disk_bytes: u64 },
    /// Chunks that did not fit the exchange, as a supplement that is due at once.
    Open(Box<Capture>),
}

/// Takes a capture that is closed apart; `number` is the capture's.
pub(crate) fn assemble(mut capture: Box<Capture>, number: u64, why: Close, kept: &dyn Kept) -> (Assembled, Rest) {
    let disk = |part| OnDisk { capture: number, part, kept };
    let complete = why == Close::Complete;
    let mut fragments = Fragments::default();
    let request = ClosedPart::of(&mut capture.request, &disk(Part::Request), &mut fragments);
    let response = ClosedPart::of(&mut capture.response, &disk(Part::Response), &mut fragments);
    let taken = [request.taken(Part::Request, &fragments), response.taken(Part::Response, &fragments)];
    let closed = if complete { Closed::Complete } else { Closed::Incomplete(Box::new(seen_chunks(&capture, taken))) };
    let rest = [capture.request.split_off(taken[0]), capture.response.split_off(taken[1])];
    let chunks = capture.count();
    let mut assembled = Assembled {
        id: capture.id.clone(),
        complete,
        chunks,
        lines: capture.lines.split_off(chunks),
        key: capture.key.clone(),
        read_at_us: capture.read_at_us,
        closed,
        why,
        continues: capture.continues.is_some(),
        source: capture.source.clone(),
        request,
        response,
        fragments: fragments.list,
    };
    assembled.request.take_body(&mut capture.request, &disk(Part::Request), complete);
    assembled.response.take_body(&mut capture.response, &disk(Part::Response), complete);
    let rest = capture.rest(rest, &assembled.closed);
    (assembled, rest)
}

impl Capture {
    /// What is left once an exchange was made of the chunks that are not in `parts`.
    fn rest(mut self: Box<Self>, parts: [PartChunks; 2], closed: &Closed) -> Rest {
        if parts.iter().all(PartChunks::is_empty) {
            return Rest::Gone { id: self.id, has_rows: self.has_rows, disk_bytes: self.disk_bytes };
        }
        [self.request, self.response] = parts;
        self.continues = Some(closed.clone());
        self.deadline = std::time::Duration::ZERO;
        self.unsaved.retain(|(part, seq)| match part {
            Part::Request => self.request.chunks.contains(*seq),
            Part::Response => self.response.chunks.contains(*seq),
        });
        self.count_memory();
        Rest::Open(self)
    }
}

fn seen_chunks(capture: &Capture, taken: [u32; 2]) -> SeenChunks {
    let mut seen = match &capture.continues {
        Some(Closed::Incomplete(earlier)) => SeenChunks::clone(earlier),
        _ => SeenChunks::of_key(capture.key.as_deref()),
    };
    for (part, end) in Part::BOTH.into_iter().zip(taken) {
        seen.add(part, capture.part(part).seqs().iter().take_while(|seq| *seq < end));
    }
    seen
}

impl Assembled {
    /// The capture as it will be stored, and the time that decides where, in microseconds since the Unix epoch. A body that is too long to be held
    /// is empty here, and stands in [`request_pieces`](Self::request_pieces) or [`response_pieces`](Self::response_pieces).
    pub fn exchange(&self) -> (Exchange<'_>, i64) {
        // They are large, so they are read where they are and moved by their fields alone.
        let [mut asked, mut answered] = [Sections::default(), Sections::default()];
        self.request.take_apart(Part::Request, &mut asked);
        self.response.take_apart(Part::Response, &mut answered);
        let oneway = asked.head.known.oneway == Some(true);
        let mut problems = Vec::new();
        if self.continues {
            problems.push("continues".to_owned());
        }
        self.request.name_problems(Part::Request, &asked, false, &mut problems);
        self.response.name_problems(Part::Response, &answered, oneway, &mut problems);
        let mut more = More::default();
        more.keep("request", &mut asked.head);
        more.keep("response", &mut answered.head);
        more.keep("request_tail", &mut asked.tail);
        more.keep("response_tail", &mut answered.tail);
        let (head, head_tail) = (&mut asked.head.known, &mut asked.tail.known);
        let (answer, answer_tail) = (&mut answered.head.known, &mut answered.tail.known);
        if let (Some(first), Some(last)) = (&answer.status, &answer_tail.status)
            && first != last
        {
            more.insert("response", "status", first.clone());
        }
        let error = answer_tail.error.clone().or_else(|| head_tail.error.clone());
        if let Some(other) = head_tail.error.clone().filter(|other| Some(other) != error.as_ref()) {
            more.insert("request_tail", "error", other.into());
        }
        let claimed_ts = if asked.has_head { head.ts.clone() } else { answer.ts.clone() };
        let usable = claimed_ts.as_deref().and_then(|ts| usable_ts(ts, self.read_at_us));
        if usable.is_none() {
            problems.push("ts_unusable".to_owned());
            if let Some(ts) = &head.ts {
                more.insert("request", "ts", ts.as_ref().into());
            }
        }
        let ts_us = usable.unwrap_or(self.read_at_us);
        problems.extend(self.why.problem().map(str::to_owned));
        let exchange = Exchange {
            id: self.id.clone(),
            service: head.service.take(),
            host: head.host.take(),
            inst: head.inst.take(),
            n: head.n,
            dir: head.dir.take(),
            proto: head.proto.take(),
            ts: match (usable, claimed_ts) {
                (Some(_), Some(ts)) => ts,
                _ => rfc3339_us(ts_us).into(),
            },
            duration_us: answer_tail.us.or(if oneway { head_tail.us } else { None }),
            complete: self.complete,
            problems,
            trace: head.trace.take(),
            parent: head.parent.take(),
            peer: head.peer.take(),
            tags: head.tags.take(),
            rate: head.rate.take(),
            why: head.why.take(),
            error,
            oneway,
            fragments: self.fragments.clone(),
            more: more.0,
            source: Some((&*self.source).into()),
            request: self.request.came.then(|| self.request.to_request(head, head_tail)),
            response: self.response.came.then(|| self.response.to_response(answer, answer_tail)),
        };
        (exchange, ts_us)
    }

    /// The request's body, where it is long.
    pub fn request_pieces(&self) -> Option<&Pieces> {
        self.request.long.as_ref()
    }

    /// The response's body, where it is long.
    pub fn response_pieces(&self) -> Option<&Pieces> {
        self.response.long.as_ref()
    }

    /// Bytes that it takes in memory, about.
    pub fn memory_bytes(&self) -> usize {
        let part = |part: &ClosedPart| {
            part.pieces.iter().map(|piece| piece.raw().len()).sum::<usize>()
                + part.long.as_ref().map_or(0, Pieces::memory_bytes)
        };
        part(&self.request) + part(&self.response)
    }
}

/// What an exchange is made of, of one part.
#[derive(Debug, Default, PartialEq)]
struct ClosedPart {
    /// Whether anything of it came.
    came: bool,
    head: Option<Box<str>>,
    tail: Option<Box<str>>,
    /// How many chunks make the body.
    run: u32,
    pieces: Vec<Piece>,
    marks: Vec<(u64, u64)>,
    /// The pieces' lengths, of an incomplete exchange.
    lengths: Vec<u64>,
    /// The body, where it is long.
    long: Option<Pieces>,
    /// What keeps it from being whole.
    faults: Vec<String>,
    has_tail_fragment: bool,
    of_conflict: bool,
    conflicts: Vec<u32>,
}

impl ClosedPart {
    /// All but the body, which is taken once it is known what else goes with it.
    fn of(chunks: &mut PartChunks, disk: &OnDisk<'_>, fragments: &mut Fragments) -> Self {
        let faults = if chunks.whole == Some(true) { Vec::new() } else { chunks.faults(disk) };
        let run = chunks.body_run(disk);
        let head = chunks.take_section(Place::Head, disk);
        let tail = chunks.take_section(Place::Tail, disk);
        let mut part = ClosedPart {
            came: !chunks.is_empty(),
            run,
            faults,
            of_conflict: chunks.of_conflict,
            conflicts: chunks.conflicts.iter().copied().collect(),
            ..ClosedPart::default()
        };
        if head.is_none() || tail.is_none() {
            chunks.each(chunks.section_seqs(run), disk, |chunk| {
                let is_fragment = |section: &Option<Section>| matches!(section, Some(Section::Fragment(_)));
                part.has_tail_fragment |= is_fragment(&chunk.tail);
                let loose_head = is_fragment(&chunk.head) && head.is_none();
                let loose_tail = is_fragment(&chunk.tail) && tail.is_none();
                if loose_head || loose_tail {
                    fragments.list.push(fragment(chunk, head.is_none(), false, loose_tail));
                }
                true
            });
        }
        if chunks.count() > u64::from(run) {
            let seqs = chunks.seqs();
            chunks.each(seqs.iter().skip_while(|seq| *seq < run), disk, |chunk| fragments.add(chunk));
        }
        (part.head, part.tail) = (head, tail);
        part
    }

    /// Takes head and tail apart.
    fn take_apart<'a>(&'a self, part: Part, sections: &mut Sections<'a>) {
        let read = |place, text: &'a Option<Box<str>>, section: &mut SortedOut<'a>| {
            text.as_deref().is_some_and(|text| section.read(part, place, text))
        };
        sections.has_head = read(Place::Head, &self.head, &mut sections.head);
        sections.has_tail = read(Place::Tail, &self.tail, &mut sections.tail);
    }

    /// The number from which on its chunks are not in the exchange.
    fn taken(&self, part: Part, fragments: &Fragments) -> u32 {
        match fragments.full_at {
            Some((Part::Request, seq)) if part == Part::Request => seq,
            // The request's fragments filled the exchange: of the response there is the body alone.
            Some((Part::Request, _)) => self.run,
            Some((Part::Response, seq)) if part == Part::Response => seq,
            _ => u32::MAX,
        }
    }

    /// Takes the body out of the chunks that go into the exchange.
    fn take_body(&mut self, chunks: &mut PartChunks, disk: &OnDisk<'_>, complete: bool) {
        if chunks.piece_bytes > JOINED_BYTES {
            self.long = Some(Pieces::new(disk.capture, disk.part, self.run, std::mem::take(&mut chunks.chunks)));
            return;
        }
        self.pieces.reserve_exact(self.run as usize);
        let mut bytes = 0;
        for seq in 0..self.run {
            let (at, piece) = match chunks.chunks.get_mut(seq) {
                Some(chunk) => (chunk.at, chunk.piece.take()),
                None => disk.load(seq).map_or((None, None), |chunk| (chunk.at, chunk.piece)),
            };
            if !complete {
                self.lengths.push(piece.as_ref().map_or(0, |piece| piece.sum().len));
            }
            if let Some(piece) = piece {
                self.marks.extend(at.map(|at| (bytes, at)));
                bytes += piece.sum().len;
                self.pieces.push(piece);
            }
        }
    }

    fn name_problems(&self, part: Part, sections: &Sections<'_>, may_be_missing: bool, problems: &mut Vec<String>) {
        let name = part.name();
        for (place, section) in [("head", &sections.head), ("tail", &sections.tail)] {
            problems.extend(section.mistyped.iter().map(|key| format!("{place}_type:{name}:{key}")));
        }
        if self.came || !may_be_missing {
            problems.extend_from_slice(&self.faults);
        }
        if self.came && !sections.has_head {
            problems.push(format!("{name}_head_missing"));
        }
        if self.came && !sections.has_tail && self.has_tail_fragment {
            problems.push(format!("{name}_tail_missing"));
        }
        if self.of_conflict {
            problems.push(format!("of_conflict:{name}"));
        }
        problems.extend(self.conflicts.iter().map(|seq| format!("conflict:{name}:{seq}")));
    }

    fn body<'a>(&'a self, headers: Option<&Headers<'a>>, tail: &Known<'_>) -> Body<'a> {
        Body {
            media_type: headers
                .and_then(|headers| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type")))
                .map(|(_, value)| value.clone()),
            truncated: tail.truncated == Some(true),
            full_len: tail.full_len,
            marks: self.marks.clone(),
            pieces: self.lengths.clone(),
            content: Content::Pieces(&self.pieces),
            ..Body::default()
        }
    }

    fn to_request<'a>(&'a self, head: &mut Known<'a>, tail: &mut Known<'a>) -> Request<'a> {
        Request {
            method: head.method.take(),
            url: head.url.take(),
            body: self.body(head.headers.as_ref(), tail),
            headers: head.headers.take(),
            trailers: tail.trailers.take(),
            us: tail.us,
            body_enc: head.body_enc.take(),
        }
    }

    fn to_response<'a>(&'a self, head: &mut Known<'a>, tail: &mut Known<'a>) -> Response<'a> {
        Response {
            ts: head.ts.take(),
            us: head.us,
            status: tail.status.take().or_else(|| head.status.take()),
            body: self.body(head.headers.as_ref(), tail),
            headers: head.headers.take(),
            trailers: tail.trailers.take(),
            body_enc: head.body_enc.take(),
        }
    }
}

/// A part's head and tail, taken apart. One that is not whole has no values.
#[derive(Default)]
struct Sections<'a> {
    head: SortedOut<'a>,
    has_head: bool,
    tail: SortedOut<'a>,
    has_tail: bool,
}

/// Chunks behind gaps, as many as one exchange takes.
#[derive(Default)]
struct Fragments {
    list: Vec<Fragment>,
    bytes: usize,
    /// The first that found no room.
    full_at: Option<(Part, u32)>,
}

impl Fragments {
    /// Takes a chunk; false where there is no room for it.
    fn add(&mut self, chunk: &Chunk) -> bool {
        if self.full_at.is_some() {
            return false;
        }
        let bytes = crate::capture::chunk_bytes(chunk);
        if self.bytes > 0 && self.bytes + bytes > FRAGMENTS_BYTES {
            self.full_at = Some((chunk.part, chunk.seq));
            return false;
        }
        self.bytes += bytes;
        self.list.push(fragment(chunk, true, true, true));
        true
    }
}

fn fragment(chunk: &Chunk, with_head: bool, with_piece: bool, with_tail: bool) -> Fragment {
    let mut fragment = Fragment {
        part: chunk.part.tag().to_owned(),
        seq: chunk.seq,
        of: chunk.of,
        at: chunk.at,
        ..Fragment::default()
    };
    let whole = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| text.into());
    match chunk.head.as_ref().filter(|_| with_head) {
        Some(Section::Whole(text)) => fragment.head = Some(whole(text)),
        Some(Section::Fragment(text)) => fragment.headf = Some(text.to_string()),
        None => (),
    }
    match chunk.tail.as_ref().filter(|_| with_tail) {
        Some(Section::Whole(text)) => fragment.tail = Some(whole(text)),
        Some(Section::Fragment(text)) => fragment.tailf = Some(text.to_string()),
        None => (),
    }
    if let Some(piece) = chunk.piece.as_ref().filter(|_| with_piece) {
        match String::from_utf8(piece.bytes().into_owned()) {
            Ok(text) => fragment.text = Some(text),
            Err(error) => fragment.b64 = Some(base64_text(error.as_bytes())),
        }
        fragment.crc = Some(format!("{:08x}", piece.sum().crc));
    }
    fragment
}

/// The exchange's `more`: by part and place.
#[derive(Default)]
struct More(Map<String, Value>);

impl More {
    /// Keeps what is not known of a head or tail.
    fn keep(&mut self, place: &str, section: &mut SortedOut<'_>) {
        if !section.rest.is_empty() {
            self.0.insert(place.to_owned(), Value::Object(std::mem::take(&mut section.rest)));
        }
    }

    fn insert(&mut self, place: &str, key: &str, value: Value) {
        let place = self.0.entry(place).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(values) = place {
            values.insert(key.to_owned(), value);
        }
    }
}
