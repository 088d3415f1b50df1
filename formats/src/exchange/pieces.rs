//! A stored incomplete exchange, taken apart into the chunks that it was made of, as far as the format lets them be known.
//!
//! The chunks of a part's contiguous start are the body, cut by `pieces`; their head and tail are those of the exchange, whichever chunks they
//! came on. What lies behind a gap stands in `fragments` as it came. What cannot be taken back exactly is refused, and named.
//!
//! Nothing that a line says sizes memory: a piece is at most [`MAX_PIECE_BYTES`], and a list is as long as its text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64_simd::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{EXCHANGE_VERSION, crc_hex};
use crate::id::CaptureId;
use crate::piece::Piece;
use crate::record::{Chunk, MAX_SEQ, Part, Section};

/// Longest piece of a body that is taken back, in bytes: the longest line that a reader takes unless told otherwise.
pub const MAX_PIECE_BYTES: u64 = 1 << 20;
/// How many ranges of missing chunks an exchange names one by one (S-6.4).
const MAX_NAMED: usize = 32;
/// Up to so many bytes of fragments, nothing was left to a supplement (S-4.6): a writer's line is at most 262,144 bytes long (L-3.1).
const SURELY_ALL_BYTES: usize = (1 << 20) - 2 * 262_144;

/// Why a stored exchange cannot be taken back to its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It is no stored exchange of this format, or contradicts itself.
    Malformed,
    /// The encoding of a body was undone, so that its pieces are gone.
    Decoded,
    /// The lengths of its pieces are not told.
    NoPieces,
    /// A piece is longer than [`MAX_PIECE_BYTES`].
    LongPiece,
    /// A body that is all there is not what its tail says.
    Checksum,
    /// Its heads and tails are too long.
    LongHead,
    /// Chunks contradicted others, which are lost.
    Conflict,
    /// More ranges are missing than are named.
    ManyGaps,
    /// What is stored of one capture does not fit together.
    Contradiction,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Refusal; 9] = [
        Refusal::Malformed,
        Refusal::Decoded,
        Refusal::NoPieces,
        Refusal::LongPiece,
        Refusal::Checksum,
        Refusal::LongHead,
        Refusal::Conflict,
        Refusal::ManyGaps,
        Refusal::Contradiction,
    ];

    /// The name under which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::Malformed => "malformed",
            Refusal::Decoded => "decoded",
            Refusal::NoPieces => "no_pieces",
            Refusal::LongPiece => "long_piece",
            Refusal::Checksum => "checksum",
            Refusal::LongHead => "long_head",
            Refusal::Conflict => "conflict",
            Refusal::ManyGaps => "many_gaps",
            Refusal::Contradiction => "contradiction",
        }
    }
}

/// A line of a batch, as far as it concerns joining.
#[derive(Debug)]
pub struct StoredLine {
    /// The capture.
    pub id: CaptureId,
    /// What it was taken apart into; nothing of a complete exchange.
    pub piece: Option<Result<StoredPiece, Refusal>>,
}

/// An incomplete exchange, taken apart.
#[derive(Debug)]
pub struct StoredPiece {
    /// The capture.
    pub id: CaptureId,
    /// Where the first of its lines was read.
    pub source: Option<String>,
    /// Whether it has the request's head with a usable time: then its batch lies under the capture's own service and hour (S-7), as that of the
    /// complete exchange does.
    pub is_in_its_hour: bool,
    /// The request and the response, where anything of them came.
    pub(super) parts: [Option<PartPiece>; 2],
}

/// What is stored of one part.
#[derive(Debug)]
pub(super) struct PartPiece {
    /// The lengths in bytes of the pieces of the contiguous start, 0 for a chunk without one.
    pub(super) lengths: Vec<u64>,
    /// When they passed, by `seq`.
    pub(super) at: BTreeMap<u32, u64>,
    pub(super) body: StoredBody,
    pub(super) head: StoredSection,
    pub(super) tail: StoredSection,
    /// How many chunks the part has, where that is known.
    pub(super) of: Option<u32>,
    /// Chunks of the contiguous start whose fragments of a head or tail could not be joined, without their pieces.
    pub(super) loose: BTreeMap<u32, Chunk>,
    /// The chunks behind it.
    pub(super) behind: BTreeMap<u32, Chunk>,
}

/// The bytes of a contiguous start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StoredBody {
    Inline(Vec<u8>),
    Object(BodyObject),
}

/// A body that is an object of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyObject {
    /// Its key, relative to the destination's root: a claim.
    pub key: String,
    /// Its SHA-256 in hex: a claim.
    pub sha256: String,
    /// Its length in bytes: a claim.
    pub len: u64,
}

/// A head or a tail of a contiguous start.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum StoredSection {
    /// None came that says anything.
    Absent,
    /// Its fragments make no object; they stand in `loose`.
    Loose,
    Whole(Map<String, Value>),
}

/// What a glance at a line of a batch tells.
#[derive(Debug, Deserialize)]
struct Glance<'l> {
    v: u64,
    #[serde(borrow)]
    id: Cow<'l, str>,
    complete: bool,
}

impl StoredLine {
    /// The capture of a line of a batch, and whether it is complete, and no more of it than that; nothing where it is no stored exchange of this format.
    pub fn glance(line: &[u8]) -> Option<(CaptureId, bool)> {
        let glance: Glance<'_> = serde_json::from_slice(line).ok()?;
        let id = CaptureId::parse(glance.id.as_bytes())?;
        (glance.v == EXCHANGE_VERSION).then_some((id, glance.complete))
    }

    /// Reads a line of a batch; nothing where it is no stored exchange of this format.
    pub fn parse(line: &[u8]) -> Option<StoredLine> {
        let exchange: Map<String, Value> = serde_json::from_slice(line).ok()?;
        let id = CaptureId::parse(exchange.get("id")?.as_str()?.as_bytes())?;
        if exchange.get("v")?.as_u64()? != EXCHANGE_VERSION {
            return None;
        }
        let piece = match exchange.get("complete")?.as_bool()? {
            true => None,
            false => Some(Taken { exchange: &exchange, id: &id }.apart()),
        };
        Some(StoredLine { id, piece })
    }
}

impl StoredPiece {
    /// Bodies that are objects of their own.
    pub fn body_objects(&self) -> impl Iterator<Item = &BodyObject> {
        self.parts.iter().flatten().filter_map(|part| match &part.body {
            StoredBody::Object(object) => Some(object),
            StoredBody::Inline(_) => None,
        })
    }
}

impl PartPiece {
    /// How many chunks the contiguous start has.
    pub(super) fn run(&self) -> u32 {
        // A list in a line is shorter than that.
        u32::try_from(self.lengths.len()).unwrap_or(u32::MAX)
    }
}

/// An exchange that is taken apart.
pub(super) struct Taken<'e> {
    pub(super) exchange: &'e Map<String, Value>,
    pub(super) id: &'e CaptureId,
}

impl<'e> Taken<'e> {
    fn apart(&self) -> Result<StoredPiece, Refusal> {
        for problem in self.problems()? {
            let kind = problem.split(':').next().unwrap_or_default();
            match kind {
                "conflict" | "of_conflict" => return Err(Refusal::Conflict),
                "request_len" | "response_len" | "request_crc" | "response_crc" => return Err(Refusal::Checksum),
                "request_head_too_long" | "response_head_too_long" => return Err(Refusal::LongHead),
                _ => {}
            }
        }
        let [asked, answered] = self.fragments()?;
        let fragment_bytes: usize = asked.values().chain(answered.values()).map(|chunk| chunk.to_line().len()).sum();
        let surely_all = fragment_bytes <= SURELY_ALL_BYTES;
        let request = self.part(Part::Request, asked, surely_all)?;
        let response = self.part(Part::Response, answered, surely_all)?;
        let source = self.exchange.get("source").and_then(Value::as_str).map(str::to_owned);
        let is_in_its_hour = request.as_ref().is_some_and(|part| matches!(part.head, StoredSection::Whole(_)))
            && !self.problems()?.contains(&"ts_unusable");
        Ok(StoredPiece { id: self.id.clone(), source, is_in_its_hour, parts: [request, response] })
    }

    /// The fragments of the request and of the response, by `seq`.
    pub(super) fn fragments(&self) -> Result<[BTreeMap<u32, Chunk>; 2], Refusal> {
        let mut fragments = [BTreeMap::new(), BTreeMap::new()];
        for value in self.list(self.exchange.get("fragments"))? {
            let chunk = self.fragment(value).ok_or(Refusal::Malformed)?;
            fragments[usize::from(chunk.part == Part::Response)].insert(chunk.seq, chunk);
        }
        Ok(fragments)
    }

    fn problems(&self) -> Result<Vec<&'e str>, Refusal> {
        let problems = self.list(self.exchange.get("problems"))?;
        problems.iter().map(|problem| problem.as_str().ok_or(Refusal::Malformed)).collect()
    }

    fn has_problem(&self, kind: &str, part: Part) -> bool {
        let told = format!("{}_{kind}", part.name());
        self.problems().is_ok_and(|problems| problems.contains(&told.as_str()))
    }

    pub(super) fn list(&self, value: Option<&'e Value>) -> Result<&'e [Value], Refusal> {
        match value {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(Refusal::Malformed),
        }
    }

    pub(super) fn object(&self, part: Part) -> Option<&'e Map<String, Value>> {
        self.exchange.get(part.name())?.as_object()
    }

    fn part(
        &self,
        part: Part,
        mut behind: BTreeMap<u32, Chunk>,
        surely_all: bool,
    ) -> Result<Option<PartPiece>, Refusal> {
        let Some(object) = self.object(part) else {
            return if behind.is_empty() { Ok(None) } else { Err(Refusal::Malformed) };
        };
        let body = object.get("body").and_then(Value::as_object).ok_or(Refusal::Malformed)?;
        if body.contains_key("encoding") || body.contains_key("captured") {
            return Err(Refusal::Decoded);
        }
        let gaps = self.gaps(part)?;
        let lengths = self.numbers(body.get("pieces"))?;
        let stored = stored_body(body).ok_or(Refusal::Malformed)?;
        let len = match &stored {
            StoredBody::Inline(bytes) => bytes.len() as u64,
            StoredBody::Object(object) => object.len,
        };
        // An exchange of a reader that did not tell them looks as if its first chunk were missing, which it would name.
        if lengths.is_empty() && gaps.first().is_none_or(|(first, _)| *first > 0) {
            return Err(Refusal::NoPieces);
        }
        if lengths.iter().any(|length| *length > MAX_PIECE_BYTES) {
            return Err(Refusal::LongPiece);
        }
        if lengths.iter().sum::<u64>() != len {
            return Err(Refusal::Malformed);
        }
        let run = u32::try_from(lengths.len()).map_err(|_| Refusal::Malformed)?;
        let at = self.marks(body, &lengths)?;
        let split = behind.split_off(&run);
        let loose = std::mem::replace(&mut behind, split);
        if gaps.iter().any(|(first, _)| *first < run) || behind.contains_key(&run) {
            return Err(Refusal::Malformed);
        }
        let claimed = loose.values().chain(behind.values()).filter_map(|chunk| chunk.of).next();
        let ends = !self.has_problem("end_missing", part) && (surely_all || gaps.is_empty());
        let highest = behind.keys().next_back().copied().or(run.checked_sub(1));
        let known =
            highest.into_iter().chain(gaps.last().map(|(_, last)| *last)).max().and_then(|last| last.checked_add(1));
        let of = claimed.or(known.filter(|_| ends));
        let (head, tail) = self.sections(part, object, &loose);
        if run == 0 && (matches!(head, StoredSection::Whole(_)) || matches!(tail, StoredSection::Whole(_))) {
            return Err(Refusal::Malformed);
        }
        Ok(Some(PartPiece { lengths, at, body: stored, head, tail, of, loose, behind }))
    }

    /// The head and the tail of a part's contiguous start.
    pub(super) fn sections(
        &self,
        part: Part,
        object: &Map<String, Value>,
        loose: &BTreeMap<u32, Chunk>,
    ) -> (StoredSection, StoredSection) {
        let head = match self.has_problem("head_missing", part) {
            false => StoredSection::Whole(self.head(part, object)),
            true if loose.values().any(|chunk| chunk.head.is_some()) => StoredSection::Loose,
            true => StoredSection::Absent,
        };
        let tail = match self.tail(part, object) {
            _ if self.has_problem("tail_missing", part) => StoredSection::Loose,
            tail if tail.is_empty() => StoredSection::Absent,
            tail => StoredSection::Whole(tail),
        };
        (head, tail)
    }

    /// The ranges of missing chunks that are named.
    fn gaps(&self, part: Part) -> Result<Vec<(u32, u32)>, Refusal> {
        let prefix = format!("{}_chunk_missing:", part.name());
        let mut gaps = Vec::new();
        for seqs in self.problems()?.iter().filter_map(|problem| problem.strip_prefix(&prefix)) {
            let (first, last) = seqs.split_once('-').unwrap_or((seqs, seqs));
            match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) if first <= last && last <= MAX_SEQ => gaps.push((first, last)),
                _ => return Err(Refusal::Malformed),
            }
        }
        gaps.sort_unstable();
        if gaps.len() >= MAX_NAMED { Err(Refusal::ManyGaps) } else { Ok(gaps) }
    }

    pub(super) fn numbers(&self, list: Option<&'e Value>) -> Result<Vec<u64>, Refusal> {
        self.list(list)?.iter().map(|number| number.as_u64().ok_or(Refusal::Malformed)).collect()
    }

    /// When pieces passed, by `seq`: a mark stands at the offset of its piece, and no two pieces that are not empty have the same.
    fn marks(&self, body: &'e Map<String, Value>, lengths: &[u64]) -> Result<BTreeMap<u32, u64>, Refusal> {
        let mut at = BTreeMap::new();
        let mut pieces = lengths.iter().zip(0u32..).scan(0, |offset, (length, seq)| {
            let start = *offset;
            *offset += length;
            Some((start, *length, seq))
        });
        for mark in self.list(body.get("marks"))? {
            let mark = self.numbers(Some(mark))?;
            let [offset, passed] = mark.as_slice() else { return Err(Refusal::Malformed) };
            match pieces.find(|(start, length, _)| start == offset && *length > 0) {
                Some((_, _, seq)) => at.insert(seq, *passed),
                // Of a piece that holds nothing, or of none.
                None => return Err(Refusal::Malformed),
            };
        }
        Ok(at)
    }

    fn fragment(&self, value: &Value) -> Option<Chunk> {
        let fragment = value.as_object()?;
        let number = |key: &str, most: u32| match fragment.get(key) {
            None => Some(None),
            Some(value) => Some(Some(u32::try_from(value.as_u64()?).ok().filter(|number| *number <= most)?)),
        };
        let part = match fragment.get("part")?.as_str()? {
            "req" => Part::Request,
            "res" => Part::Response,
            _ => return None,
        };
        let bytes = match (fragment.get("text"), fragment.get("b64")) {
            (Some(text), None) => Some(text.as_str()?.as_bytes().to_vec()),
            (None, Some(text)) => Some(STANDARD.decode_to_vec(text.as_str()?).ok()?),
            (None, None) => None,
            (Some(_), Some(_)) => return None,
        };
        if let (Some(bytes), Some(crc)) = (&bytes, fragment.get("crc"))
            && *crc != crc_hex(bytes)
        {
            return None;
        }
        // One that holds nothing says nothing, and a contiguous start does not tell it from none.
        let piece = bytes.filter(|bytes| !bytes.is_empty()).map(|bytes| Piece::new(&bytes));
        let at = fragment.get("at").map(|at| at.as_u64().ok_or(())).transpose().ok()?;
        Some(Chunk {
            id: self.id.clone(),
            part,
            seq: number("seq", MAX_SEQ)??,
            head: section(fragment, "head", "headf")?,
            at: at.filter(|_| piece.is_some()),
            piece,
            of: number("of", MAX_SEQ + 1)?,
            tail: section(fragment, "tail", "tailf")?,
            sig: None,
        })
    }

    pub(super) fn more(&self, place: &str) -> Option<&'e Map<String, Value>> {
        self.exchange.get("more")?.get(place)?.as_object()
    }

    /// The head of a part that has one, by the keys of L-2.
    fn head(&self, part: Part, object: &Map<String, Value>) -> Map<String, Value> {
        let mut head = Map::new();
        let mut take = |from: &Map<String, Value>, keys: &[&str]| {
            for key in keys {
                if let Some(value) = from.get(*key) {
                    head.insert((*key).to_owned(), value.clone());
                }
            }
        };
        match part {
            Part::Request => {
                if !self.problems().is_ok_and(|problems| problems.contains(&"ts_unusable")) {
                    take(self.exchange, &["ts"]);
                }
                take(self.exchange, &["service", "host", "inst", "n", "dir", "proto"]);
                take(object, &["method", "url", "headers"]);
                take(self.exchange, &["peer", "trace", "parent", "tags", "rate", "why"]);
                take(object, &["body_enc"]);
                take(self.exchange, &["oneway"]);
            }
            Part::Response => {
                take(object, &["ts", "us"]);
                if !self.status_is_the_tails() {
                    take(object, &["status"]);
                }
                take(object, &["headers", "body_enc"]);
            }
        }
        head.extend(self.more(part.name()).into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        head
    }

    /// Whether the response's status is that of its tail: the head has another one (S-5.3), or there is no head.
    fn status_is_the_tails(&self) -> bool {
        self.more("response").is_some_and(|more| more.contains_key("status"))
            || self.has_problem("head_missing", Part::Response)
    }

    /// What is known of the tail of a part's contiguous start, but its `len` and `crc`, which say what is known of the body.
    fn tail(&self, part: Part, object: &Map<String, Value>) -> Map<String, Value> {
        let mut tail = Map::new();
        let mut take = |from: Option<&Map<String, Value>>, key: &str, name: &str| {
            if let Some(value) = from.and_then(|from| from.get(key)) {
                tail.insert(name.to_owned(), value.clone());
            }
        };
        let body = object.get("body").and_then(Value::as_object);
        match part {
            Part::Request => take(Some(object), "us", "us"),
            Part::Response if self.duration_is_the_responses() => take(Some(self.exchange), "duration_us", "us"),
            Part::Response => {}
        }
        if part == Part::Response && self.status_is_the_tails() {
            take(Some(object), "status", "status");
        }
        take(Some(object), "trailers", "trailers");
        take(body, "truncated", "truncated");
        take(body, "full_len", "full_len");
        let place = format!("{}_tail", part.name());
        tail.extend(self.more(&place).into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
        if let Some(error) = self.exchange.get("error")
            && self.has_the_error(part)
        {
            tail.insert("error".to_owned(), error.clone());
        }
        tail
    }

    /// Whether `duration_us` is of the response's tail: of a one-way request it may be the request's own (S-1.6).
    fn duration_is_the_responses(&self) -> bool {
        let oneway = self.exchange.get("oneway").is_some();
        let asked = self.object(Part::Request).and_then(|request| request.get("us"));
        !(oneway && asked == self.exchange.get("duration_us"))
    }

    /// Whether `error` is of this part's tail: it is the response's, where that has one (S-1.8).
    fn has_the_error(&self, part: Part) -> bool {
        let owner = match (self.object(Part::Request), self.object(Part::Response)) {
            (_, None) => Part::Request,
            (None, _) => Part::Response,
            // The request's own stands apart where it is another one (S-5.3).
            _ if self.more("request_tail").is_some_and(|more| more.contains_key("error")) => Part::Response,
            (Some(request), Some(response)) => {
                let says = |object: &Map<String, Value>, place: &str| {
                    let body = object.get("body");
                    object.contains_key("trailers")
                        || body.is_some_and(|body| body.get("truncated").is_some() || body.get("full_len").is_some())
                        || self.more(place).is_some()
                };
                let lasted = self.exchange.contains_key("duration_us") && self.duration_is_the_responses();
                let answered = lasted || says(response, "response_tail");
                let asked = request.contains_key("us") || says(request, "request_tail");
                if asked && !answered { Part::Request } else { Part::Response }
            }
        };
        owner == part
    }
}

pub(super) fn stored_body(body: &Map<String, Value>) -> Option<StoredBody> {
    let text = |key: &str| body.get(key).map(|value| value.as_str().ok_or(())).transpose().ok();
    Some(match (text("text")?, text("b64")?, text("ref")?, text("sha256")?) {
        (Some(text), None, None, None) => StoredBody::Inline(text.as_bytes().to_vec()),
        (None, Some(b64), None, None) => StoredBody::Inline(STANDARD.decode_to_vec(b64).ok()?),
        (None, None, Some(key), Some(sha256)) => StoredBody::Object(BodyObject {
            key: key.to_owned(),
            sha256: sha256.to_owned(),
            len: body.get("len")?.as_u64()?,
        }),
        _ => return None,
    })
}

/// A fragment's head or tail. One that JSON readers refuse, for a lone surrogate in it, stands there as its text.
fn section(fragment: &Map<String, Value>, whole: &str, piece: &str) -> Option<Option<Section>> {
    Some(match (fragment.get(whole), fragment.get(piece)) {
        (None, None) => None,
        (Some(Value::String(text)), None) => Some(Section::Whole(text.as_str().into())),
        (Some(value @ Value::Object(_)), None) => Some(Section::Whole(value.to_string().into())),
        (None, Some(Value::String(text))) => Some(Section::Fragment(text.as_str().into())),
        _ => return None,
    })
}
