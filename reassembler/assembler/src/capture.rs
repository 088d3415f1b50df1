//! One open capture: the chunks of its two parts, and what contradicted them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use reassemble_formats::head::{Known, Place, SortedOut, sort_out};
use reassemble_formats::{CaptureId, Chunk, Part, Section};

use crate::Arrival;
use crate::closed::Closed;

/// How many gaps or conflicts of a part are named one by one.
const MAX_NAMED: usize = 32;

/// A capture that is open.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) id: CaptureId,
    pub(crate) source: Arc<str>,
    /// When its first chunk was read, in microseconds since the Unix epoch.
    pub(crate) read_at_us: i64,
    /// When it times out, on the assembler's clock.
    pub(crate) deadline: Duration,
    /// Whether a chunk of it came since it was opened or restored.
    pub(crate) touched: bool,
    /// What was stored of it before, where this is a supplement.
    pub(crate) continues: Option<Closed>,
    pub(crate) request: PartChunks,
    pub(crate) response: PartChunks,
    /// The row under which its latest chunk is kept; row 0 is the capture's own.
    pub(crate) last_row: u32,
}

/// What became of a chunk within its capture.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Taken {
    pub(crate) added: bool,
    pub(crate) repeated: bool,
    pub(crate) conflicting: u32,
}

impl Capture {
    pub(crate) fn new(id: CaptureId, arrival: &Arrival, continues: Option<Closed>) -> Self {
        Capture {
            id,
            source: arrival.source.clone(),
            read_at_us: arrival.read_at_us,
            deadline: Duration::ZERO,
            touched: false,
            continues,
            request: PartChunks::default(),
            response: PartChunks::default(),
            last_row: 0,
        }
    }

    pub(crate) fn part(&self, part: Part) -> &PartChunks {
        match part {
            Part::Request => &self.request,
            Part::Response => &self.response,
        }
    }

    pub(crate) fn part_mut(&mut self, part: Part) -> &mut PartChunks {
        match part {
            Part::Request => &mut self.request,
            Part::Response => &mut self.response,
        }
    }

    /// The row for the next chunk.
    pub(crate) fn next_row(&self) -> u32 {
        self.last_row + 1
    }

    pub(crate) fn take(&mut self, chunk: Chunk) -> Taken {
        if self.continues.as_ref().is_some_and(|earlier| earlier.holds(chunk.part, chunk.seq)) {
            return Taken { repeated: true, ..Taken::default() };
        }
        let row = self.next_row();
        let taken = self.part_mut(chunk.part).take(chunk, row);
        if taken.added {
            self.last_row = row;
        }
        taken
    }

    /// Whether both parts are whole, or the request is and nothing more will come. A supplement never is: what came before lies elsewhere.
    pub(crate) fn is_complete(&self) -> bool {
        self.continues.is_none()
            && self.request.is_whole(Part::Request)
            && (self.response.is_whole(Part::Response) || (self.response.chunks.is_empty() && self.is_oneway()))
    }

    pub(crate) fn is_oneway(&self) -> bool {
        self.request.head(Part::Request).is_some_and(|head| head.known.oneway == Some(true))
    }
}

/// A chunk and the row under which it is kept.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) chunk: Chunk,
    pub(crate) row: u32,
}

/// The chunks of one part.
#[derive(Debug, Default)]
pub(crate) struct PartChunks {
    /// By `seq`; every `seq` is below `of`, where that is known.
    pub(crate) chunks: BTreeMap<u32, Held>,
    /// The first claim of how many there are.
    pub(crate) of: Option<u32>,
    /// Whether a later claim differed.
    pub(crate) of_conflict: bool,
    /// The numbers of chunks that were contradicted, the lowest [`MAX_NAMED`] of them.
    pub(crate) conflicts: BTreeSet<u32>,
}

impl PartChunks {
    fn take(&mut self, chunk: Chunk, row: u32) -> Taken {
        if let Some(held) = self.chunks.get(&chunk.seq) {
            if held.chunk.same_as(&chunk) {
                return Taken { repeated: true, ..Taken::default() };
            }
            return self.conflict(chunk.seq);
        }
        if self.of.or(chunk.of).is_some_and(|of| chunk.seq >= of) {
            return self.conflict(chunk.seq);
        }
        let mut taken = Taken { added: true, ..Taken::default() };
        match (self.of, chunk.of) {
            (Some(first), Some(later)) => self.of_conflict |= first != later,
            (None, Some(of)) => {
                self.of = Some(of);
                let past: Vec<u32> = self.chunks.split_off(&of).into_keys().collect();
                taken.conflicting = u32::try_from(past.len()).unwrap_or(u32::MAX);
                past.into_iter().for_each(|seq| self.note_conflict(seq));
            }
            (_, None) => (),
        }
        self.chunks.insert(chunk.seq, Held { chunk, row });
        taken
    }

    fn conflict(&mut self, seq: u32) -> Taken {
        self.note_conflict(seq);
        Taken { conflicting: 1, ..Taken::default() }
    }

    fn note_conflict(&mut self, seq: u32) {
        self.conflicts.insert(seq);
        if self.conflicts.len() > MAX_NAMED {
            self.conflicts.pop_last();
        }
    }

    /// The chunks of the contiguous start.
    pub(crate) fn run(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks
            .iter()
            .zip(0..)
            .take_while(|((seq, _), expected)| *seq == expected)
            .map(|((_, held), _)| &held.chunk)
    }

    /// Whether chunks 0 to `of` - 1 are there.
    fn has_all(&self) -> bool {
        self.of.is_some_and(|of| self.chunks.len() == of as usize)
    }

    fn is_whole(&self, part: Part) -> bool {
        self.has_all() && self.misfit(part) == Misfit::default()
    }

    /// Whether the tail's `len` and `crc`, if any, contradict the body.
    fn misfit(&self, part: Part) -> Misfit {
        let Some(tail) = self.tail(part) else { return Misfit::default() };
        let mut hasher = crc32fast::Hasher::new();
        let mut len = 0;
        for piece in self.run().filter_map(|chunk| chunk.piece.as_ref()) {
            len += piece.len() as u64;
            if tail.known.crc.is_some() {
                hasher.update(piece);
            }
        }
        Misfit {
            len: tail.known.len.is_some_and(|claimed| claimed != len),
            crc: tail.known.crc.is_some_and(|claimed| claimed != hasher.finalize()),
        }
    }

    pub(crate) fn head(&self, part: Part) -> Option<SortedOut> {
        self.section(part, Place::Head)
    }

    pub(crate) fn tail(&self, part: Part) -> Option<SortedOut> {
        self.section(part, Place::Tail)
    }

    /// The head (the first whole one) or the tail (the last whole one), or what their fragments join to.
    fn section(&self, part: Part, place: Place) -> Option<SortedOut> {
        let of_chunk = |chunk: &'_ Chunk| match place {
            Place::Head => chunk.head.clone(),
            Place::Tail => chunk.tail.clone(),
        };
        let mut joined = String::new();
        let mut whole = None;
        for section in self.run().filter_map(of_chunk) {
            match section {
                Section::Fragment(text) => joined.push_str(&text),
                Section::Whole(text) if place == Place::Head => return sort_out(part, place, &text),
                Section::Whole(text) => whole = Some(text),
            }
        }
        sort_out(part, place, whole.as_deref().unwrap_or(&joined))
    }

    /// What keeps the part from being whole, in the words of the specification.
    pub(crate) fn faults(&self, part: Part) -> Vec<String> {
        let name = part.name();
        if self.chunks.is_empty() {
            return vec![format!("{name}_missing")];
        }
        let mut faults: Vec<String> =
            self.gaps().into_iter().map(|gap| format!("{name}_chunk_missing:{gap}")).collect();
        if self.of.is_none() {
            faults.push(format!("{name}_end_missing"));
        }
        if faults.is_empty() {
            let misfit = self.misfit(part);
            faults.extend(misfit.len.then(|| format!("{name}_len")));
            faults.extend(misfit.crc.then(|| format!("{name}_crc")));
        }
        faults
    }

    /// The missing chunks, `3` or `3-5`. Beyond [`MAX_NAMED`] the last names all the rest.
    fn gaps(&self) -> Vec<String> {
        let mut gaps: Vec<(u32, u32)> = Vec::new();
        let mut expected = 0;
        for seq in self.chunks.keys().copied().chain(self.of) {
            if seq > expected {
                if gaps.len() < MAX_NAMED {
                    gaps.push((expected, seq - 1));
                } else if let Some(last) = gaps.last_mut() {
                    last.1 = seq - 1;
                }
            }
            expected = seq.saturating_add(1);
        }
        gaps.into_iter()
            .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
            .collect()
    }
}

/// Which of a tail's claims the body contradicts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Misfit {
    len: bool,
    crc: bool,
}

/// Known values that stand for a head or tail which never came.
pub(crate) fn known_or_default(section: Option<&SortedOut>) -> Known {
    section.map(|section| section.known.clone()).unwrap_or_default()
}
