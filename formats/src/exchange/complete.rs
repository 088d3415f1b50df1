//! A stored complete exchange, and whether what is stored of its capture elsewhere is in it.
//!
//! An exchange does not tell how its bodies were cut, nor how its heads were spelled. So of an incomplete one that is held against it is compared
//! what both tell: heads, tails and marks by their values, the contiguous start of a body byte by byte, the chunks behind gaps by whether the body
//! holds their bytes in this order. Of a body whose encoding was undone its length and CRC-32 as captured are all that is left.

use std::collections::BTreeMap;
use std::io::{self, Read};

use memchr::memmem::Finder;
use serde_json::{Map, Value};

use super::join::{OpenBody, fits_loose};
use super::pieces::{BodyObject, PartPiece, StoredBody, StoredPiece, StoredSection, Taken, stored_body};
use super::{EXCHANGE_VERSION, crc_hex};
use crate::id::CaptureId;
use crate::record::{Chunk, Part, Section};

/// Bytes of a body that are read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// A complete exchange.
#[derive(Debug)]
pub struct StoredComplete {
    parts: [Option<CompletePart>; 2],
    exchange: Map<String, Value>,
}

#[derive(Debug)]
struct CompletePart {
    head: StoredSection,
    tail: StoredSection,
    /// Chunks whose fragments of a head or tail could not be joined.
    loose: BTreeMap<u32, Chunk>,
    /// Offset and time of pieces, in the body as captured.
    marks: Vec<(u64, u64)>,
    body: StoredBody,
    /// The length and CRC-32 of the body as captured, where it was decoded.
    decoded_from: Option<(u64, String)>,
}

impl StoredComplete {
    /// Reads a line of a batch; nothing where it is no complete exchange of this format.
    pub fn parse(line: &[u8]) -> Option<StoredComplete> {
        let mut exchange: Map<String, Value> = serde_json::from_slice(line).ok()?;
        let id = CaptureId::parse(exchange.get("id")?.as_str()?.as_bytes())?;
        if exchange.get("v")?.as_u64()? != EXCHANGE_VERSION || !exchange.get("complete")?.as_bool()? {
            return None;
        }
        let taken = Taken { exchange: &exchange, id: &id };
        let [asked, answered] = taken.fragments().ok()?;
        let parts = [
            CompletePart::of(&taken, Part::Request, asked).ok()?,
            CompletePart::of(&taken, Part::Response, answered).ok()?,
        ];
        exchange.shift_remove("source");
        Some(StoredComplete { parts, exchange })
    }

    /// Bodies that are objects of their own.
    pub fn body_objects(&self) -> impl Iterator<Item = &BodyObject> {
        self.parts.iter().flatten().filter_map(|part| match &part.body {
            StoredBody::Object(object) => Some(object),
            StoredBody::Inline(_) => None,
        })
    }

    /// Whether another one says the same, wherever its lines were read.
    pub fn is_same(&self, other: &StoredComplete) -> bool {
        self.exchange == other.exchange
    }

    /// Whether everything that is stored in an incomplete exchange of the same capture is in this one, as far as both tell. Bodies that are objects of
    /// their own come from `open`.
    ///
    /// # Errors
    /// Those of `open`, and of reading what it gives.
    pub fn holds(&self, piece: &StoredPiece, open: &mut OpenBody<'_>) -> io::Result<bool> {
        for ((name, mine), theirs) in Part::BOTH.iter().zip(&self.parts).zip(&piece.parts) {
            let holds = match (mine, theirs) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(mine), Some(theirs)) => {
                    self.holds_sections(*name, mine, theirs)
                        && mine.holds_marks(theirs)
                        && mine.holds_body(theirs, open)?
                }
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn holds_sections(&self, part: Part, mine: &CompletePart, theirs: &PartPiece) -> bool {
        let head = match &theirs.head {
            StoredSection::Absent => true,
            StoredSection::Loose => mine.head != StoredSection::Absent,
            StoredSection::Whole(head) => self.holds_head(mine, head),
        };
        let tail = match &theirs.tail {
            StoredSection::Absent | StoredSection::Loose => true,
            StoredSection::Whole(tail) => self.holds_tail(part, mine, tail),
        };
        let section = |section: &Option<Section>| match section {
            Some(Section::Whole(text)) => Some(serde_json::from_str(text).unwrap_or_default()),
            _ => None,
        };
        head && tail
            && fits_loose(&mine.loose, &theirs.loose, |chunk| &chunk.head, mine.head == StoredSection::Loose)
            && fits_loose(&mine.loose, &theirs.loose, |chunk| &chunk.tail, mine.tail == StoredSection::Loose)
            && theirs.behind.values().all(|chunk| {
                section(&chunk.head).is_none_or(|head| self.holds_head(mine, &head))
                    && section(&chunk.tail).is_none_or(|tail| self.holds_tail(part, mine, &tail))
            })
    }

    fn holds_head(&self, mine: &CompletePart, theirs: &Map<String, Value>) -> bool {
        let StoredSection::Whole(head) = &mine.head else { return false };
        theirs.iter().all(|(key, value)| {
            // What the emitter compressed and this reader undid is not told any more (S-2.4).
            head.get(key) == Some(value) || (key == "body_enc" && mine.decoded_from.is_some())
        })
    }

    fn holds_tail(&self, part: Part, mine: &CompletePart, theirs: &Map<String, Value>) -> bool {
        let empty = Map::new();
        let tail = match &mine.tail {
            StoredSection::Whole(tail) => tail,
            StoredSection::Absent => &empty,
            StoredSection::Loose => return false,
        };
        let at = |path: &[&str]| {
            let mut value = self.exchange.get(*path.first()?)?;
            for key in &path[1..] {
                value = value.get(key)?;
            }
            Some(value)
        };
        theirs.iter().all(|(key, value)| match (key.as_str(), value) {
            _ if tail.get(key) == Some(value) => true,
            ("len", Value::Number(len)) => len.as_u64() == Some(mine.captured_len()),
            ("crc", Value::String(crc)) => mine.captured_crc().is_none_or(|mine| mine.eq_ignore_ascii_case(crc)),
            // Whose these are, of the parts and of head and tail, an exchange does not always tell.
            ("error", _) => [at(&["error"]), at(&["more", "request_tail", "error"])].contains(&Some(value)),
            ("us", _) => [at(&["duration_us"]), at(&["request", "us"])].contains(&Some(value)),
            ("status", _) => part == Part::Response && at(&["response", "status"]) == Some(value),
            _ => false,
        })
    }
}

impl CompletePart {
    fn of(taken: &Taken<'_>, part: Part, loose: BTreeMap<u32, Chunk>) -> Result<Option<CompletePart>, super::Refusal> {
        let malformed = super::Refusal::Malformed;
        let Some(object) = taken.object(part) else { return Ok(None) };
        let body = object.get("body").and_then(Value::as_object).ok_or(malformed)?;
        let mut marks = Vec::new();
        for mark in taken.list(body.get("marks"))? {
            let [offset, at] = taken.numbers(Some(mark))?[..] else { return Err(malformed) };
            marks.push((offset, at));
        }
        let decoded_from = match body.get("captured") {
            None => None,
            Some(captured) => {
                let len = captured.get("len").and_then(Value::as_u64).ok_or(malformed)?;
                let crc = captured.get("crc").and_then(Value::as_str).ok_or(malformed)?;
                Some((len, crc.to_owned()))
            }
        };
        let (head, tail) = taken.sections(part, object, &loose);
        let body = stored_body(body).ok_or(malformed)?;
        Ok(Some(CompletePart { head, tail, loose, marks, body, decoded_from }))
    }

    fn captured_len(&self) -> u64 {
        match (&self.decoded_from, &self.body) {
            (Some((len, _)), _) => *len,
            (None, StoredBody::Inline(bytes)) => bytes.len() as u64,
            (None, StoredBody::Object(object)) => object.len,
        }
    }

    /// Where it is known without reading an object.
    fn captured_crc(&self) -> Option<String> {
        match (&self.decoded_from, &self.body) {
            (Some((_, crc)), _) => Some(crc.clone()),
            (None, StoredBody::Inline(bytes)) => Some(crc_hex(bytes)),
            (None, StoredBody::Object(_)) => None,
        }
    }

    fn holds_marks(&self, piece: &PartPiece) -> bool {
        let mut offset = 0;
        let start = (0u32..).zip(&piece.lengths).all(|(seq, length)| {
            let mark = piece.at.get(&seq).map(|at| (offset, *at));
            offset += length;
            mark.is_none_or(|mark| self.marks.contains(&mark))
        });
        // Where a chunk behind a gap begins is not known.
        let behind = piece.behind.values().filter_map(|chunk| chunk.at);
        start && behind.into_iter().all(|at| self.marks.iter().any(|(_, mine)| *mine == at))
    }

    fn holds_body(&self, piece: &PartPiece, open: &mut OpenBody<'_>) -> io::Result<bool> {
        let start_len: u64 = piece.lengths.iter().sum();
        let behind_len: u64 = piece.behind.values().filter_map(|chunk| Some(chunk.piece.as_ref()?.sum().len)).sum();
        let is_whole = piece.behind.is_empty() && piece.of == Some(piece.run());
        let len = self.captured_len();
        if start_len.saturating_add(behind_len) > len || (is_whole && start_len != len) {
            return Ok(false);
        }
        let mut start = read(&piece.body, open)?;
        match &self.decoded_from {
            Some((_, crc)) if is_whole => Ok(crc_of(&mut *start)?.eq_ignore_ascii_case(crc)),
            Some(_) => Ok(true),
            None => {
                let mut body = Window { body: read(&self.body, open)?, held: Vec::new() };
                let mut runs = runs(&piece.behind);
                let last = runs.pop_if(|(last, _)| piece.of.is_some_and(|of| *last + 1 == of));
                let mut holds = body.begins_with(&mut *start)?;
                for (_, run) in runs {
                    holds = holds && body.pass(&run)?;
                }
                Ok(holds && last.map_or(Ok(true), |(_, run)| body.ends_with(&run))?)
            }
        }
    }
}

/// The bytes of chunks that follow one another, and the number of the last.
fn runs(behind: &BTreeMap<u32, Chunk>) -> Vec<(u32, Vec<u8>)> {
    let mut runs: Vec<(u32, Vec<u8>)> = Vec::new();
    for (seq, chunk) in behind {
        match runs.last_mut() {
            Some((last, _)) if *last + 1 == *seq => *last = *seq,
            _ => runs.push((*seq, Vec::new())),
        }
        if let (Some((_, run)), Some(piece)) = (runs.last_mut(), &chunk.piece) {
            piece.append_to(run);
        }
    }
    runs
}

fn read<'b, 'o: 'b>(body: &'b StoredBody, open: &mut OpenBody<'o>) -> io::Result<Box<dyn Read + 'b>> {
    match body {
        StoredBody::Inline(bytes) => Ok(Box::new(bytes.as_slice())),
        StoredBody::Object(object) => open(object),
    }
}

fn crc_of(body: &mut dyn Read) -> io::Result<String> {
    let (mut crc, mut buffer) = (crc32fast::Hasher::new(), vec![0; BUFFER_BYTES]);
    loop {
        match body.read(&mut buffer)? {
            0 => return Ok(format!("{:08x}", crc.finalize())),
            read => crc.update(&buffer[..read]),
        }
    }
}

/// A body that is looked through from its start to its end, of which no more is held than what is looked for is long, and a buffer.
struct Window<'b> {
    body: Box<dyn Read + 'b>,
    held: Vec<u8>,
}

impl Window<'_> {
    /// Holds about so many bytes more; false at the end.
    fn fill(&mut self, bytes: usize) -> io::Result<bool> {
        Ok(self.body.by_ref().take(bytes as u64).read_to_end(&mut self.held)? > 0)
    }

    fn begins_with(&mut self, start: &mut dyn Read) -> io::Result<bool> {
        let mut expected = Vec::with_capacity(BUFFER_BYTES);
        loop {
            expected.clear();
            Read::take(&mut *start, BUFFER_BYTES as u64).read_to_end(&mut expected)?;
            if expected.is_empty() {
                return Ok(true);
            }
            self.fill(expected.len())?;
            if self.held != expected {
                return Ok(false);
            }
            self.held.clear();
        }
    }

    /// Goes on behind the next place where these bytes stand; false where there is none.
    fn pass(&mut self, run: &[u8]) -> io::Result<bool> {
        let finder = Finder::new(run);
        loop {
            if let Some(at) = finder.find(&self.held) {
                self.held.drain(..at + run.len());
                return Ok(true);
            }
            self.keep(run.len().saturating_sub(1));
            if !self.fill(BUFFER_BYTES.max(run.len()))? {
                return Ok(false);
            }
        }
    }

    fn ends_with(&mut self, run: &[u8]) -> io::Result<bool> {
        while self.fill(BUFFER_BYTES)? {
            self.keep(run.len());
        }
        Ok(self.held.ends_with(run))
    }

    /// Forgets all but the last bytes.
    fn keep(&mut self, bytes: usize) {
        self.held.drain(..self.held.len().saturating_sub(bytes));
    }
}
