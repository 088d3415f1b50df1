//! One open capture: its two parts, and where its lines came from.

use std::sync::Arc;
use std::time::Duration;

use reassemble_formats::{CaptureId, Chunk, Part};

use crate::Arrival;
use crate::closed::Closed;
use crate::kept::Kept;
use crate::part::{OnDisk, PartChunks, Taken};

/// What an open capture takes in memory beside its chunks, in bytes, about.
pub(crate) const CAPTURE_BYTES: usize = 640;
/// What a chunk takes beside its text, in bytes, about.
const CHUNK_BYTES: usize = 160;

/// What a chunk takes in memory, in bytes, about.
pub(crate) fn chunk_bytes(chunk: &Chunk) -> usize {
    let section = |section: &Option<reassemble_formats::Section>| section.as_ref().map_or(0, |it| it.text().len());
    CHUNK_BYTES
        + chunk.piece.as_ref().map_or(0, |piece| piece.raw().len())
        + section(&chunk.head)
        + section(&chunk.tail)
}

/// A capture that is open, with what of it is in memory.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) id: CaptureId,
    pub(crate) source: Arc<str>,
    /// When its first chunk was read, in microseconds since the Unix epoch.
    pub(crate) read_at_us: i64,
    /// When it times out, on the assembler's clock.
    pub(crate) deadline: Duration,
    /// The order of its last chunk among all.
    pub(crate) last_push: u64,
    /// Whether a chunk of it came in this run.
    pub(crate) touched: bool,
    /// What was stored of it before, where this is a supplement.
    pub(crate) continues: Option<Closed>,
    /// The key under which its lines are signed.
    pub(crate) key: Option<Arc<str>>,
    pub(crate) request: PartChunks,
    pub(crate) response: PartChunks,
    /// How many of its lines came from which input.
    pub(crate) lines: Lines,
    /// What it takes in memory, in bytes.
    pub(crate) memory_bytes: usize,
    /// What of that no commit has been given yet.
    pub(crate) unsaved_bytes: usize,
    /// Its chunks that no commit has been given yet.
    pub(crate) unsaved: Vec<(Part, u32)>,
    /// What it takes on disk, in bytes.
    pub(crate) disk_bytes: u64,
    /// Whether rows of it were given to a commit.
    pub(crate) has_rows: bool,
    /// Whether its rows are not what it is.
    pub(crate) dirty: bool,
}

impl Capture {
    pub(crate) fn new(id: CaptureId, arrival: &Arrival, continues: Option<Closed>) -> Self {
        Capture {
            id,
            source: arrival.source.clone(),
            read_at_us: arrival.read_at_us,
            deadline: Duration::ZERO,
            last_push: 0,
            touched: false,
            continues,
            key: arrival.key.clone(),
            request: PartChunks::default(),
            response: PartChunks::default(),
            lines: Lines::default(),
            memory_bytes: CAPTURE_BYTES,
            unsaved_bytes: 0,
            unsaved: Vec::new(),
            disk_bytes: 0,
            has_rows: false,
            dirty: false,
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

    /// Takes a chunk, and counts its line; `number` is the capture's own.
    pub(crate) fn take(&mut self, chunk: Chunk, arrival: &Arrival, number: u64, kept: &dyn Kept) -> Taken {
        let (part, seq) = (chunk.part, chunk.seq);
        if self.continues.as_ref().is_some_and(|earlier| earlier.holds(part, seq)) {
            return Taken { repeated: true, ..Taken::default() };
        }
        let bytes = chunk_bytes(&chunk);
        let taken = self.part_mut(part).take(chunk, &OnDisk { capture: number, part, kept });
        if taken.added {
            self.lines.add(&arrival.source, 1);
            self.memory_bytes += bytes;
            self.unsaved_bytes += bytes;
            self.unsaved.push((part, seq));
        }
        taken
    }

    /// Whether both parts are whole, or the request is and nothing more will come. A supplement never is: what came before lies elsewhere.
    pub(crate) fn is_complete(&mut self, number: u64, kept: &dyn Kept) -> bool {
        let disk = |part| OnDisk { capture: number, part, kept };
        self.continues.is_none()
            && self.request.is_whole(&disk(Part::Request))
            && (self.response.is_whole(&disk(Part::Response))
                || (self.response.is_empty() && self.request.is_oneway(&disk(Part::Request))))
    }

    /// Counts anew what it takes in memory.
    pub(crate) fn count_memory(&mut self) {
        let bytes = |(part, seq): &(Part, u32)| self.part(*part).chunks.get(*seq).map_or(0, chunk_bytes);
        self.unsaved_bytes = self.unsaved.iter().map(bytes).sum();
        let parts = [&self.request, &self.response];
        let chunks: usize = parts.iter().flat_map(|part| part.chunks.iter()).map(chunk_bytes).sum();
        let ranges: usize = parts.iter().map(|part| part.ranges_bytes()).sum();
        self.memory_bytes = CAPTURE_BYTES + ranges + chunks;
    }

    /// How many chunks it has.
    pub(crate) fn count(&self) -> u64 {
        self.request.count() + self.response.count()
    }
}

/// How many lines came from which input. One input, nearly always; so a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(Vec<(Arc<str>, u64)>);

impl Lines {
    /// Adds lines of an input.
    pub fn add(&mut self, input: &Arc<str>, lines: u64) {
        match self.0.iter_mut().find(|(name, _)| Arc::ptr_eq(name, input) || name == input) {
            Some((_, count)) => *count += lines,
            None => self.0.push((input.clone(), lines)),
        }
    }

    /// Takes so many lines out, whichever they were, and gives them.
    pub(crate) fn split_off(&mut self, mut lines: u64) -> Lines {
        let mut taken = Lines::default();
        for (input, count) in &mut self.0 {
            let part = lines.min(*count);
            if part > 0 {
                taken.0.push((input.clone(), part));
                *count -= part;
                lines -= part;
            }
        }
        self.0.retain(|(_, count)| *count > 0);
        taken
    }

    /// Inputs and their lines.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        self.0.iter().map(|(input, lines)| (input, *lines))
    }
}
