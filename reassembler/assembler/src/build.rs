//! A closed capture to its stored exchange: heads and tails to their keys, pieces to bodies, and what is missing to problems
//! (stored-exchange specification).

use reassemble_formats::exchange::{
    Body, Content, EXCHANGE_VERSION, Exchange, Fragment, Headers, Request, Response, base64_text, crc_hex,
};
use reassemble_formats::head::{Known, SortedOut};
use reassemble_formats::timestamp::{rfc3339_us, usable_ts};
use reassemble_formats::{Chunk, Part, Section};
use serde_json::{Map, Value};

use crate::capture::{Capture, PartChunks, known_or_default};
use crate::closed::{Closed, SeenChunks};
use crate::{Assembled, Close};

/// Makes the exchange of a capture that is closed.
pub(crate) fn assemble(capture: Capture, why: Close) -> Assembled {
    let oneway = capture.is_oneway();
    let request = PartParts::new(Part::Request, &capture.request);
    let response = PartParts::new(Part::Response, &capture.response);
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
    let chunks = capture.request.chunks.len() + capture.response.chunks.len();
    let fragments = request.fragments().chain(response.fragments()).collect();
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
        fragments,
        more: more.0,
        source: Some(capture.source.to_string()),
        request: request.came().then(|| request.to_request(head, head_tail)),
        response: response.came().then(|| response.to_response(answer, answer_tail)),
    };
    let closed = if exchange.complete { Closed::Complete } else { Closed::Incomplete(seen_chunks(&capture)) };
    Assembled { id: capture.id, exchange, ts_us, chunks: chunks as u64, closed }
}

fn seen_chunks(capture: &Capture) -> SeenChunks {
    let mut seen = match &capture.continues {
        Some(Closed::Incomplete(earlier)) => earlier.clone(),
        _ => SeenChunks::default(),
    };
    for part in Part::BOTH {
        seen.add(part, capture.part(part).chunks.keys().copied());
    }
    seen
}

/// One part with its head and tail taken apart.
struct PartParts<'c> {
    part: Part,
    chunks: &'c PartChunks,
    head: Option<SortedOut>,
    tail: Option<SortedOut>,
    /// How many chunks the contiguous start has.
    run: u32,
}

impl<'c> PartParts<'c> {
    fn new(part: Part, chunks: &'c PartChunks) -> Self {
        let run = u32::try_from(chunks.run().count()).unwrap_or(u32::MAX);
        PartParts { part, chunks, head: chunks.head(part), tail: chunks.tail(part), run }
    }

    fn came(&self) -> bool {
        !self.chunks.chunks.is_empty()
    }

    fn name_problems(&self, may_be_missing: bool, problems: &mut Vec<String>) {
        let name = self.part.name();
        for (place, section) in [("head", &self.head), ("tail", &self.tail)] {
            let keys = section.iter().flat_map(|section| &section.mistyped);
            problems.extend(keys.map(|key| format!("{place}_type:{name}:{key}")));
        }
        if self.came() || !may_be_missing {
            problems.extend(self.chunks.faults(self.part));
        }
        if self.came() && self.head.is_none() {
            problems.push(format!("{name}_head_missing"));
        }
        if self.tail.is_none() && self.chunks.run().any(|chunk| matches!(chunk.tail, Some(Section::Fragment(_)))) {
            problems.push(format!("{name}_tail_missing"));
        }
        if self.chunks.of_conflict {
            problems.push(format!("of_conflict:{name}"));
        }
        problems.extend(self.chunks.conflicts.iter().map(|seq| format!("conflict:{name}:{seq}")));
    }

    fn body(&self, headers: Option<&Headers>, tail: &Known) -> Body {
        let mut bytes = Vec::new();
        let mut marks = Vec::new();
        for chunk in self.chunks.run() {
            let Some(piece) = &chunk.piece else { continue };
            if let Some(at) = chunk.at {
                marks.push((bytes.len() as u64, at));
            }
            bytes.extend_from_slice(piece);
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

    /// What came behind a gap, and what of heads and tails could not be joined.
    fn fragments(&self) -> impl Iterator<Item = Fragment> {
        self.chunks.chunks.iter().filter_map(|(seq, held)| {
            let chunk = &held.chunk;
            if *seq >= self.run {
                return Some(fragment(chunk, true, true, true));
            }
            let is_fragment = |section: &Option<Section>| matches!(section, Some(Section::Fragment(_)));
            let loose_head = is_fragment(&chunk.head) && self.head.is_none();
            let loose_tail = is_fragment(&chunk.tail) && self.tail.is_none();
            (loose_head || loose_tail).then(|| fragment(chunk, self.head.is_none(), false, loose_tail))
        })
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
