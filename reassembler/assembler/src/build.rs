//! A closed capture to its stored exchange: heads and tails to their keys, pieces to bodies, and what is missing to problems
//! (stored-exchange specification).

use reassemble_formats::exchange::{
    Body, Content, EXCHANGE_VERSION, Exchange, Fragment, Headers, Request, Response, base64_text, crc_hex,
};
use reassemble_formats::head::{Known, SortedOut};
use reassemble_formats::timestamp::{rfc3339_us, usable_ts};
use reassemble_formats::{CaptureId, Chunk, Part, Section};
use serde_json::{Map, Value};

use crate::capture::{Capture, known_or_default};
use crate::closed::{Closed, SeenChunks};
use crate::kept::Kept;
use crate::part::{OnDisk, PartChunks};
use crate::pieces::Pieces;
use crate::{Assembled, Close};

/// Largest body that is joined in memory, in bytes.
const JOINED_BYTES: u64 = 1 << 20;
/// Most bytes of fragments in one exchange; what is left is stored in supplements.
const FRAGMENTS_BYTES: usize = 1 << 20;

/// What is left of a capture once its exchange is made.
pub(crate) enum Rest {
    /// Nothing but rows to remove.
    Gone { id: CaptureId, has_rows: bool, disk_bytes: u64 },
    /// Chunks that did not fit the exchange, as a supplement that is due at once.
    Open(Box<Capture>),
}

/// Makes the exchange of a capture that is closed; `number` is the capture's.
pub(crate) fn assemble(mut capture: Capture, number: u64, why: Close, kept: &impl Kept) -> (Assembled, Rest) {
    let disk = |part| OnDisk { capture: number, part, kept };
    let request = PartParts::new(&capture.request, disk(Part::Request));
    let response = PartParts::new(&capture.response, disk(Part::Response));
    let oneway = request.head.as_ref().is_some_and(|head| head.known.oneway == Some(true));
    let mut problems = Vec::new();
    if capture.continues.is_some() {
        problems.push("continues".to_owned());
    }
    request.name_problems(false, &mut problems);
    response.name_problems(oneway, &mut problems);
    let mut more = More::default();
    let (head, head_tail) = (known_or_default(request.head.as_ref()), known_or_default(request.tail.as_ref()));
    let (answer, answer_tail) = (known_or_default(response.head.as_ref()), known_or_default(response.tail.as_ref()));
    more.add("request", request.head.as_ref());
    more.add("response", response.head.as_ref());
    more.add("request_tail", request.tail.as_ref());
    more.add("response_tail", response.tail.as_ref());
    if let (Some(first), Some(last)) = (&answer.status, &answer_tail.status)
        && first != last
    {
        more.insert("response", "status", first.clone());
    }
    let error = answer_tail.error.clone().or_else(|| head_tail.error.clone());
    if let Some(other) = head_tail.error.clone().filter(|other| Some(other) != error.as_ref()) {
        more.insert("request_tail", "error", other.into());
    }
    let claimed_ts = if request.head.is_some() { head.ts.clone() } else { answer.ts.clone() };
    let usable = claimed_ts.as_deref().and_then(|ts| usable_ts(ts, capture.read_at_us));
    if usable.is_none() {
        problems.push("ts_unusable".to_owned());
        if let Some(ts) = &head.ts {
            more.insert("request", "ts", ts.clone().into());
        }
    }
    let ts_us = usable.unwrap_or(capture.read_at_us);
    problems.extend(why.problem().map(str::to_owned));
    let mut fragments = Fragments::default();
    request.fragments(&mut fragments);
    response.fragments(&mut fragments);
    let taken = [request.taken(&fragments), response.taken(&fragments)];
    let duration_us = answer_tail.us.or(if oneway { head_tail.us } else { None });
    let exchange = Exchange {
        v: EXCHANGE_VERSION,
        id: capture.id.to_string(),
        service: head.service.clone(),
        host: head.host.clone(),
        inst: head.inst.clone(),
        n: head.n,
        dir: head.dir.clone(),
        proto: head.proto.clone(),
        ts: match (usable, claimed_ts) {
            (Some(_), Some(ts)) => ts,
            _ => rfc3339_us(ts_us),
        },
        duration_us,
        complete: why == Close::Complete,
        problems,
        trace: head.trace.clone(),
        parent: head.parent.clone(),
        peer: head.peer.clone(),
        tags: head.tags.clone(),
        rate: head.rate.clone(),
        why: head.why.clone(),
        error,
        oneway,
        fragments: fragments.list,
        more: more.0,
        source: Some(capture.source.to_string()),
        request: request.came().then(|| request.to_request(head, head_tail)),
        response: response.came().then(|| response.to_response(answer, answer_tail)),
    };
    let long = [request.long_run(), response.long_run()];
    let seen = seen_chunks(&capture, taken);
    let rest = [capture.request.split_off(taken[0]), capture.response.split_off(taken[1])];
    let chunks = capture.count();
    let lines = capture.lines.split_off(chunks);
    let pieces = |part: Part, run: Option<u32>, chunks: &mut PartChunks| {
        run.map(|run| Pieces::new(number, part, run, std::mem::take(&mut chunks.chunks)))
    };
    let assembled = Assembled {
        id: capture.id.clone(),
        closed: if exchange.complete { Closed::Complete } else { Closed::Incomplete(seen) },
        exchange,
        ts_us,
        chunks,
        lines,
        key: capture.key.clone(),
        read_at_us: capture.read_at_us,
        request_pieces: pieces(Part::Request, long[0], &mut capture.request),
        response_pieces: pieces(Part::Response, long[1], &mut capture.response),
    };
    let rest = capture.rest(rest, &assembled.closed);
    (assembled, rest)
}

impl Capture {
    /// What is left once an exchange was made of the chunks that are not in `parts`.
    fn rest(mut self, parts: [PartChunks; 2], closed: &Closed) -> Rest {
        if parts.iter().all(PartChunks::is_empty) {
            return Rest::Gone { id: self.id, has_rows: self.has_rows, disk_bytes: self.disk_bytes };
        }
        [self.request, self.response] = parts;
        self.continues = Some(closed.clone());
        self.deadline = std::time::Duration::ZERO;
        self.unsaved.retain(|(part, seq)| match part {
            Part::Request => self.request.chunks.contains_key(seq),
            Part::Response => self.response.chunks.contains_key(seq),
        });
        self.count_memory();
        Rest::Open(Box::new(self))
    }
}

fn seen_chunks(capture: &Capture, taken: [u32; 2]) -> SeenChunks {
    let mut seen = match &capture.continues {
        Some(Closed::Incomplete(earlier)) => earlier.clone(),
        _ => SeenChunks::of_key(capture.key.as_deref()),
    };
    for (part, end) in Part::BOTH.into_iter().zip(taken) {
        seen.add(part, capture.part(part).seqs().iter().take_while(|seq| *seq < end));
    }
    seen
}

/// One part with its head and tail taken apart.
struct PartParts<'c, K> {
    chunks: &'c PartChunks,
    disk: OnDisk<'c, K>,
    head: Option<SortedOut>,
    tail: Option<SortedOut>,
    /// How many chunks make the body.
    run: u32,
}

impl<'c, K: Kept> PartParts<'c, K> {
    fn new(chunks: &'c PartChunks, disk: OnDisk<'c, K>) -> Self {
        PartParts { chunks, head: chunks.head(&disk), tail: chunks.tail(&disk), run: chunks.body_run(&disk), disk }
    }

    fn came(&self) -> bool {
        !self.chunks.is_empty()
    }

    fn name_problems(&self, may_be_missing: bool, problems: &mut Vec<String>) {
        let name = self.disk.part.name();
        for (place, section) in [("head", &self.head), ("tail", &self.tail)] {
            let keys = section.iter().flat_map(|section| &section.mistyped);
            problems.extend(keys.map(|key| format!("{place}_type:{name}:{key}")));
        }
        if self.came() || !may_be_missing {
            problems.extend(self.chunks.faults(&self.disk));
        }
        if self.came() && self.head.is_none() {
            problems.push(format!("{name}_head_missing"));
        }
        if self.came() && self.tail.is_none() && self.has_tail_fragment() {
            problems.push(format!("{name}_tail_missing"));
        }
        if self.chunks.of_conflict {
            problems.push(format!("of_conflict:{name}"));
        }
        problems.extend(self.chunks.conflicts.iter().map(|seq| format!("conflict:{name}:{seq}")));
    }

    fn has_tail_fragment(&self) -> bool {
        let mut has = false;
        self.chunks.each(self.chunks.section_seqs(self.run), &self.disk, |chunk| {
            has = matches!(chunk.tail, Some(Section::Fragment(_)));
            !has
        });
        has
    }

    /// How many chunks the body is made of, where it is too long to be joined in memory.
    fn long_run(&self) -> Option<u32> {
        (self.chunks.piece_bytes > JOINED_BYTES).then_some(self.run)
    }

    fn body(&self, headers: Option<&Headers>, tail: &Known) -> Body {
        let mut bytes = Vec::new();
        let mut marks = Vec::new();
        if self.long_run().is_none() {
            self.chunks.each(0..self.run, &self.disk, |chunk| {
                if let Some(piece) = &chunk.piece {
                    marks.extend(chunk.at.map(|at| (bytes.len() as u64, at)));
                    bytes.extend_from_slice(piece);
                }
                true
            });
        }
        Body {
            media_type: headers
                .and_then(|headers| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type")))
                .map(|(_, value)| value.clone()),
            truncated: tail.truncated == Some(true),
            full_len: tail.full_len,
            marks,
            content: Content::Bytes(bytes),
            ..Body::default()
        }
    }

    fn to_request(&self, head: Known, tail: Known) -> Request {
        let body = self.body(head.headers.as_ref(), &tail);
        Request {
            method: head.method,
            url: head.url,
            headers: head.headers,
            trailers: tail.trailers,
            us: tail.us,
            body_enc: head.body_enc,
            body,
        }
    }

    fn to_response(&self, head: Known, tail: Known) -> Response {
        let body = self.body(head.headers.as_ref(), &tail);
        Response {
            ts: head.ts,
            us: head.us,
            status: tail.status.or(head.status),
            headers: head.headers,
            trailers: tail.trailers,
            body_enc: head.body_enc,
            body,
        }
    }

    /// What of heads and tails could not be joined, and what came behind a gap, as far as there is room.
    fn fragments(&self, fragments: &mut Fragments) {
        if self.head.is_none() || self.tail.is_none() {
            self.chunks.each(self.chunks.section_seqs(self.run), &self.disk, |chunk| {
                let is_fragment = |section: &Option<Section>| matches!(section, Some(Section::Fragment(_)));
                let loose_head = is_fragment(&chunk.head) && self.head.is_none();
                let loose_tail = is_fragment(&chunk.tail) && self.tail.is_none();
                if loose_head || loose_tail {
                    fragments.list.push(fragment(chunk, self.head.is_none(), false, loose_tail));
                }
                true
            });
        }
        let seqs = self.chunks.seqs();
        self.chunks.each(seqs.iter().skip_while(|seq| *seq < self.run), &self.disk, |chunk| fragments.add(chunk));
    }

    /// The number from which on its chunks are not in the exchange.
    fn taken(&self, fragments: &Fragments) -> u32 {
        match fragments.full_at {
            Some((Part::Request, seq)) if self.disk.part == Part::Request => seq,
            // The request's fragments filled the exchange: of the response there is the body alone.
            Some((Part::Request, _)) => self.run,
            Some((Part::Response, seq)) if self.disk.part == Part::Response => seq,
            _ => u32::MAX,
        }
    }
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
        match std::str::from_utf8(piece) {
            Ok(text) => fragment.text = Some(text.to_owned()),
            Err(_) => fragment.b64 = Some(base64_text(piece)),
        }
        fragment.crc = Some(crc_hex(piece));
    }
    fragment
}

/// The exchange's `more`: by part and place.
#[derive(Default)]
struct More(Map<String, Value>);

impl More {
    fn add(&mut self, place: &str, section: Option<&SortedOut>) {
        if let Some(section) = section.filter(|section| !section.rest.is_empty()) {
            self.0.insert(place.to_owned(), Value::Object(section.rest.clone()));
        }
    }

    fn insert(&mut self, place: &str, key: &str, value: Value) {
        let place = self.0.entry(place).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(values) = place {
            values.insert(key.to_owned(), value);
        }
    }
}
