//! What is stored of one capture in several incomplete exchanges, joined to the capture lines that they were made of, each line once.
//!
//! Of each part the longest contiguous start is taken, with its head and tail, and of the chunks behind it each that any of them has. What
//! several have must be the same: a capture of which it is not is left as it is, and nothing of it is chosen or lost.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde_json::{Map, Value};

use super::pieces::{BodyObject, PartPiece, Refusal, StoredBody, StoredPiece, StoredSection};
use crate::id::CaptureId;
use crate::piece::Piece;
use crate::record::{Chunk, Part, Section};

/// All that is stored of one capture.
#[derive(Debug)]
pub struct Joined {
    id: CaptureId,
    parts: Vec<JoinedPart>,
}

#[derive(Debug)]
struct JoinedPart {
    part: Part,
    start: PartPiece,
    /// How many chunks the part has, where no chunk that is written tells it anyhow.
    of: Option<u32>,
}

/// Opens a body that is an object of its own.
pub type OpenBody<'o> = dyn FnMut(&BodyObject) -> io::Result<Box<dyn Read + 'o>> + 'o;

impl Joined {
    /// Joins what is stored of one capture.
    ///
    /// # Errors
    /// Where it does not fit together.
    pub fn new(pieces: Vec<StoredPiece>) -> Result<Joined, Refusal> {
        let id = pieces.first().ok_or(Refusal::Malformed)?.id.clone();
        let mut by_part = [Vec::new(), Vec::new()];
        for piece in pieces {
            for (part, list) in piece.parts.into_iter().zip(&mut by_part) {
                list.extend(part);
            }
        }
        let mut parts = Vec::new();
        for (part, mut pieces) in Part::BOTH.into_iter().zip(by_part) {
            // The first of the longest, so that the order of equals decides nothing.
            let Some(at) = (0..pieces.len()).rev().max_by_key(|at| pieces[*at].run()) else { continue };
            let mut start = pieces.swap_remove(at);
            pieces.into_iter().try_for_each(|piece| start.take(piece))?;
            parts.push(start.into_joined(part)?);
        }
        Ok(Joined { id, parts })
    }

    /// Writes the lines, each with its newline, the response's first: behind a one-way request they would be late. Bodies that are objects of their own come from `open`.
    ///
    /// # Errors
    /// Those of `open` and `write`, and a body that is shorter than it should be.
    pub fn write_lines(
        &self,
        open: &mut OpenBody<'_>,
        write: &mut dyn FnMut(Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut write = |chunk: Chunk| {
            let mut line = chunk.to_line();
            line.push(b'\n');
            write(line)
        };
        for JoinedPart { part, start, of } in self.parts.iter().rev() {
            let mut body: Box<dyn Read> = match &start.body {
                StoredBody::Inline(bytes) => Box::new(bytes.as_slice()),
                StoredBody::Object(object) => open(object)?,
            };
            let mut of = *of;
            for (seq, length) in (0u32..).zip(&start.lengths) {
                let mut bytes = Vec::new();
                body.by_ref().take(*length).read_to_end(&mut bytes)?;
                if bytes.len() as u64 != *length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let loose = start.loose.get(&seq);
                let is_last = seq + 1 == start.run();
                let whole = |section: &StoredSection, here: bool| match section {
                    StoredSection::Whole(map) if here => Some(Section::Whole(to_text(map))),
                    _ => None,
                };
                write(Chunk {
                    id: self.id.clone(),
                    part: *part,
                    seq,
                    head: whole(&start.head, seq == 0).or_else(|| loose.and_then(|chunk| chunk.head.clone())),
                    at: start.at.get(&seq).copied(),
                    piece: (!bytes.is_empty()).then(|| Piece::new(&bytes)),
                    of: loose
                        .and_then(|chunk| chunk.of)
                        .or_else(|| if loose.is_none() || is_last { of.take() } else { None }),
                    tail: whole(&start.tail, is_last).or_else(|| loose.and_then(|chunk| chunk.tail.clone())),
                    sig: None,
                })?;
            }
            for chunk in start.behind.values() {
                write(Chunk { of: chunk.of.or_else(|| of.take()), ..chunk.clone() })?;
            }
        }
        Ok(())
    }
}

fn to_text(map: &Map<String, Value>) -> Box<str> {
    // Text and numbers: nothing in it can fail to be JSON.
    serde_json::to_string(map).unwrap_or_default().into()
}

impl PartPiece {
    /// Takes what another has of the same part, and this has not. The other's contiguous start is no longer than this one's.
    fn take(&mut self, other: PartPiece) -> Result<(), Refusal> {
        let (run, their_run) = (self.run(), other.run());
        let same_run = run == their_run;
        let fits = self.lengths.starts_with(&other.lengths)
            && self.at.range(..their_run).eq(other.at.iter())
            && fits_body(&self.body, &other.body, same_run)
            && fits_head(&self.head, &other.head)
            && (!same_run || fits_tail(&self.tail, &other.tail))
            && fits_loose(&self.loose, &other.loose, |chunk| &chunk.head, self.head == StoredSection::Loose)
            && (!same_run
                || fits_loose(&self.loose, &other.loose, |chunk| &chunk.tail, self.tail == StoredSection::Loose));
        if !fits {
            return Err(Refusal::Contradiction);
        }
        match (&mut self.tail, other.tail) {
            (StoredSection::Whole(mine), StoredSection::Whole(theirs)) if same_run => {
                for (key, value) in theirs {
                    mine.entry(key).or_insert(value);
                }
            }
            (mine @ StoredSection::Absent, theirs @ StoredSection::Whole(_)) if same_run => *mine = theirs,
            _ => {}
        }
        self.of = match (self.of, other.of) {
            (Some(mine), Some(theirs)) if mine != theirs => return Err(Refusal::Contradiction),
            (mine, theirs) => mine.or(theirs),
        };
        for (seq, chunk) in other.behind {
            let fits = match self.behind.get(&seq) {
                Some(mine) => mine.same_as(&chunk),
                None => seq >= run || self.holds(&chunk),
            };
            if !fits {
                return Err(Refusal::Contradiction);
            }
            if seq >= run {
                self.behind.entry(seq).or_insert(chunk);
            }
        }
        Ok(())
    }

    /// Whether a chunk's piece is that of the contiguous start.
    fn holds(&self, chunk: &Chunk) -> bool {
        let seq = chunk.seq as usize;
        let (start, length) = (self.lengths[..seq].iter().sum::<u64>(), self.lengths[seq]);
        let len = chunk.piece.as_ref().map_or(0, |piece| piece.sum().len);
        let same_bytes = match (&self.body, &chunk.piece) {
            (StoredBody::Inline(bytes), Some(piece)) => {
                // The lengths of the pieces add up to that of the body.
                bytes.get(start as usize..(start + length) as usize).is_some_and(|bytes| *bytes == *piece.bytes())
            }
            _ => true,
        };
        len == length && same_bytes && self.at.get(&chunk.seq).copied() == chunk.at
    }

    fn into_joined(self, part: Part) -> Result<JoinedPart, Refusal> {
        let highest = self.behind.keys().next_back().map_or(self.run(), |last| last.saturating_add(1));
        if self.of.is_some_and(|of| highest > of) {
            return Err(Refusal::Contradiction);
        }
        let told = self.loose.values().chain(self.behind.values()).any(|chunk| chunk.of.is_some());
        let of = self.of.filter(|_| !told);
        Ok(JoinedPart { part, start: self, of })
    }
}

fn fits_body(mine: &StoredBody, theirs: &StoredBody, same_run: bool) -> bool {
    match (mine, theirs) {
        (StoredBody::Inline(mine), StoredBody::Inline(theirs)) => mine.starts_with(theirs),
        (StoredBody::Object(mine), StoredBody::Object(theirs)) => !same_run || mine.sha256 == theirs.sha256,
        // Their lengths fit.
        _ => true,
    }
}

/// A longer start has the head of a shorter one. Its `status` may be that of a tail, which the shorter does not reach.
fn fits_head(mine: &StoredSection, theirs: &StoredSection) -> bool {
    match (mine, theirs) {
        (StoredSection::Whole(mine), StoredSection::Whole(theirs)) => {
            mine.iter().filter(|(key, _)| *key != "status" || theirs.contains_key("status")).count() == theirs.len()
                && theirs.iter().all(|(key, value)| mine.get(key) == Some(value))
        }
        (_, StoredSection::Absent) | (StoredSection::Whole(_) | StoredSection::Loose, StoredSection::Loose) => true,
        (_, StoredSection::Whole(_)) | (StoredSection::Absent, StoredSection::Loose) => false,
    }
}

fn fits_tail(mine: &StoredSection, theirs: &StoredSection) -> bool {
    let known = |section: &StoredSection| match section {
        StoredSection::Whole(map) => Some(map.clone()),
        StoredSection::Absent => Some(Map::new()),
        StoredSection::Loose => None,
    };
    // Whose an error is, or of a one-way request the time, may be known to one alone.
    let within = |one: &Map<String, Value>, other: &Map<String, Value>| {
        one.iter().all(|(key, value)| other.get(key).map_or(key == "error" || key == "us", |other| other == value))
    };
    match (known(mine), known(theirs)) {
        (Some(mine), Some(theirs)) => within(&mine, &theirs) && within(&theirs, &mine),
        (mine, theirs) => mine.is_none() && theirs.is_none(),
    }
}

/// Whether fragments that neither could join are the same.
pub(super) fn fits_loose(
    mine: &BTreeMap<u32, Chunk>,
    theirs: &BTreeMap<u32, Chunk>,
    section: fn(&Chunk) -> &Option<Section>,
    mine_are_loose: bool,
) -> bool {
    let same = |(seq, chunk): (&u32, &Chunk)| {
        section(chunk).is_none() || mine.get(seq).is_some_and(|mine| section(mine) == section(chunk))
    };
    !mine_are_loose || theirs.iter().all(same)
}
