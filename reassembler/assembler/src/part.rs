//! The chunks of one part: those in memory, those whose content lies on disk, and what contradicted them.

use std::collections::BTreeSet;

use reassemble_formats::head::{Place, claims, is_oneway, sort_out};
use reassemble_formats::{Chunk, Part, Piece, Section, Sum};

use crate::chunks::Chunks;
use crate::kept::Kept;
use crate::ranges::Ranges;

/// How many gaps or conflicts of a part are named one by one.
const MAX_NAMED: usize = 32;
/// Most text of heads and tails that a part may have, in bytes. What comes beyond is kept as fragments, and the part is not whole.
const MAX_SECTION_BYTES: u64 = 1 << 20;

/// What became of a chunk within its part.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Taken {
    pub(crate) added: bool,
    pub(crate) repeated: bool,
    pub(crate) conflicting: bool,
    /// Earlier chunks that this one's `of` shows to be past the end: they are left out now.
    pub(crate) displaced: u64,
}

impl Taken {
    fn repeat() -> Self {
        Taken { repeated: true, ..Taken::default() }
    }
}

/// A body's start, up to a chunk, summed up: so that a long body is summed up as it comes and not read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// The first chunk that is not in it.
    pub(crate) next: u32,
    pub(crate) sum: Sum,
}

impl Prefix {
    fn add(&mut self, piece: Option<&Piece>) {
        self.next = self.next.saturating_add(1);
        if let Some(piece) = piece {
            self.sum = self.sum.then(piece.sum());
        }
    }
}

/// A chunk whose content lies on disk: where its row is.
#[derive(Clone, Copy)]
pub(crate) struct OnDisk<'k> {
    pub(crate) capture: u64,
    pub(crate) part: Part,
    pub(crate) kept: &'k dyn Kept,
}

impl OnDisk<'_> {
    /// Reads a chunk back; nothing where that failed, which `kept` knows and which ends the run.
    pub(crate) fn load(&self, seq: u32) -> Option<Chunk> {
        self.kept.chunk(self.capture, self.part, seq)
    }
}

/// The chunks of one part.
#[derive(Debug, Default)]
pub(crate) struct PartChunks {
    /// Those in memory, by `seq`; every `seq` is below `of`, where that is known.
    pub(crate) chunks: Chunks,
    /// Those of which only the number is in memory.
    pub(crate) on_disk: Ranges,
    /// Those among them that bring something of a head or tail.
    pub(crate) sections_on_disk: Ranges,
    /// Bytes of the text of all heads and tails, those on disk included.
    pub(crate) section_bytes: u64,
    /// Bytes of all pieces, those on disk included.
    pub(crate) piece_bytes: u64,
    /// The start of the body, as far as it was summed up.
    pub(crate) prefix: Prefix,
    /// The first claim of how many there are.
    pub(crate) of: Option<u32>,
    /// Whether a later claim differed.
    pub(crate) of_conflict: bool,
    /// The numbers of chunks that were contradicted, the lowest [`MAX_NAMED`] of them.
    pub(crate) conflicts: BTreeSet<u32>,
    /// Whether the part is whole, where that was found out since its last chunk came.
    pub(crate) whole: Option<bool>,
}

impl PartChunks {
    pub(crate) fn take(&mut self, chunk: Chunk, disk: &OnDisk<'_>) -> Taken {
        let seq = chunk.seq;
        let same = match self.chunks.get(seq) {
            Some(held) => Some(held.same_as(&chunk)),
            // One that cannot be read back ends the run; until then it counts as the same.
            None if self.on_disk.contains(seq) => Some(disk.load(seq).is_none_or(|held| held.same_as(&chunk))),
            None => None,
        };
        match same {
            Some(true) => return Taken::repeat(),
            Some(false) => return self.conflict(seq),
            None if self.of.or(chunk.of).is_some_and(|of| seq >= of) => return self.conflict(seq),
            None => (),
        }
        let mut taken = Taken { added: true, ..Taken::default() };
        match (self.of, chunk.of) {
            (Some(first), Some(later)) => self.of_conflict |= first != later,
            (None, Some(of)) => {
                self.of = Some(of);
                taken.displaced = self.displace(of);
            }
            (_, None) => (),
        }
        self.piece_bytes += chunk.piece.as_ref().map_or(0, |piece| piece.sum().len);
        self.section_bytes += section_bytes(&chunk);
        self.chunks.insert(chunk);
        self.whole = None;
        taken
    }

    fn conflict(&mut self, seq: u32) -> Taken {
        self.note_conflict(seq);
        Taken { conflicting: true, ..Taken::default() }
    }

    fn note_conflict(&mut self, seq: u32) {
        self.conflicts.insert(seq);
        if self.conflicts.len() > MAX_NAMED {
            self.conflicts.pop_last();
        }
    }

    /// Leaves out what lies at or past `of`.
    fn displace(&mut self, of: u32) -> u64 {
        let past = self.chunks.split_off(of);
        let lost_bytes: u64 = past.iter().filter_map(|chunk| chunk.piece.as_ref()).map(|piece| piece.sum().len).sum();
        self.piece_bytes = self.piece_bytes.saturating_sub(lost_bytes);
        let lowest: Vec<u32> = self.on_disk.iter().skip_while(|seq| *seq < of).take(MAX_NAMED).collect();
        let displaced = past.len() as u64 + self.on_disk.cut(of);
        self.sections_on_disk.cut(of);
        past.iter().map(|chunk| chunk.seq).chain(lowest).for_each(|seq| self.note_conflict(seq));
        if self.prefix.next > of {
            // What was summed up holds what is left out now.
            self.prefix = Prefix::default();
        }
        displaced
    }

    /// Splits the chunks from `seq` on off, as a part of their own.
    pub(crate) fn split_off(&mut self, seq: u32) -> PartChunks {
        let chunks = self.chunks.split_off(seq);
        let [mut on_disk, mut sections_on_disk] = [self.on_disk.clone(), self.sections_on_disk.clone()];
        for (mine, theirs) in [(&mut self.on_disk, &mut on_disk), (&mut self.sections_on_disk, &mut sections_on_disk)] {
            mine.cut(seq);
            if let Some(before) = seq.checked_sub(1) {
                theirs.drop_through(before);
            }
        }
        // Sums of the whole bound those of a part of it.
        let (section_bytes, piece_bytes) = (self.section_bytes, self.piece_bytes);
        PartChunks {
            chunks,
            on_disk,
            sections_on_disk,
            section_bytes,
            piece_bytes,
            of: self.of,
            ..PartChunks::default()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.on_disk.is_empty()
    }

    /// How many chunks there are.
    pub(crate) fn count(&self) -> u64 {
        self.chunks.len() as u64 + self.on_disk.count()
    }

    /// The numbers of all chunks.
    pub(crate) fn seqs(&self) -> Ranges {
        let mut seqs = self.on_disk.clone();
        seqs.extend(self.chunks.iter().map(|chunk| chunk.seq));
        seqs
    }

    /// How many chunks the contiguous start has.
    pub(crate) fn run(&self) -> u32 {
        let mut next = self.chunks.row_len();
        loop {
            if let Some(last) = self.on_disk.range_of(next) {
                next = last.saturating_add(1);
            } else if self.chunks.contains(next) {
                next += 1;
            } else {
                return next;
            }
        }
    }

    /// How many chunks of the contiguous start make the body: all of them, unless their heads and tails are too long.
    pub(crate) fn body_run(&self, disk: &OnDisk<'_>) -> u32 {
        let run = self.run();
        if !self.sections_are_too_long() {
            return run;
        }
        let (mut bytes, mut end) = (0, run);
        self.each(self.section_seqs(run), disk, |chunk| {
            bytes += section_bytes(chunk);
            if bytes > MAX_SECTION_BYTES {
                end = chunk.seq;
            }
            end == run
        });
        end
    }

    fn sections_are_too_long(&self) -> bool {
        self.section_bytes > MAX_SECTION_BYTES
    }

    /// What the ranges take in memory, in bytes.
    pub(crate) fn ranges_bytes(&self) -> usize {
        (self.on_disk.as_slice().len() + self.sections_on_disk.as_slice().len()) * size_of::<(u32, u32)>()
    }

    /// Shows the chunks of some numbers, in order, wherever they are. `see` ends it by answering false.
    pub(crate) fn each(
        &self,
        seqs: impl IntoIterator<Item = u32>,
        disk: &OnDisk<'_>,
        mut see: impl FnMut(&Chunk) -> bool,
    ) {
        for seq in seqs {
            let go_on = match self.chunks.get(seq) {
                Some(chunk) => see(chunk),
                None => disk.load(seq).is_none_or(|chunk| see(&chunk)),
            };
            if !go_on {
                return;
            }
        }
    }

    /// Sums up the body's start as far as its chunks are in memory.
    pub(crate) fn sum_up(&mut self) {
        while let Some(chunk) = self.chunks.get(self.prefix.next) {
            self.prefix.add(chunk.piece.as_ref());
        }
    }

    /// Whether chunks 0 to `of` - 1 are there.
    fn has_all(&self) -> bool {
        self.of.is_some_and(|of| self.count() == u64::from(of))
    }

    pub(crate) fn is_whole(&mut self, disk: &OnDisk<'_>) -> bool {
        let whole = self.whole.unwrap_or_else(|| {
            self.has_all() && !self.sections_are_too_long() && self.misfit(disk) == Misfit::default()
        });
        self.whole = Some(whole);
        whole
    }

    /// Whether the tail's `len` and `crc`, if any, contradict the body.
    fn misfit(&self, disk: &OnDisk<'_>) -> Misfit {
        let claims = self.with_section(Place::Tail, disk, |text| claims(disk.part, text?));
        let Some((len, crc)) = claims.filter(|claims| *claims != (None, None)) else { return Misfit::default() };
        let mut body = self.prefix;
        self.each(body.next..self.run(), disk, |chunk| {
            body.add(chunk.piece.as_ref());
            true
        });
        Misfit {
            len: len.is_some_and(|claimed| claimed != body.sum.len),
            crc: crc.is_some_and(|claimed| claimed != body.sum.crc),
        }
    }

    /// Whether the head says that no response will come.
    pub(crate) fn is_oneway(&self, disk: &OnDisk<'_>) -> bool {
        self.with_section(Place::Head, disk, |text| text.is_some_and(is_oneway))
    }

    /// Shows the text of the head or the tail.
    fn with_section<T>(&self, place: Place, disk: &OnDisk<'_>, see: impl FnOnce(Option<&str>) -> T) -> T {
        // Nearly always there is one, whole, in memory: of that no copy is made.
        let mut holders = self.chunks.iter().filter(|chunk| place.of(chunk).is_some());
        if self.sections_on_disk.is_empty()
            && !self.sections_are_too_long()
            && let (Some(chunk), None) = (holders.next(), holders.next())
            && let Some(Section::Whole(text)) = place.of(chunk)
            && chunk.seq < self.run()
        {
            return see(Some(text));
        }
        see(self.section_text(place, disk).as_deref())
    }

    /// The numbers below `run` of the chunks that bring something of a head or tail.
    pub(crate) fn section_seqs(&self, run: u32) -> Vec<u32> {
        let in_memory = self.chunks.iter().filter(|chunk| chunk.head.is_some() || chunk.tail.is_some());
        let seqs = self.sections_on_disk.iter().chain(in_memory.map(|chunk| chunk.seq));
        let mut seqs: Vec<u32> = seqs.filter(|seq| *seq < run).collect();
        if !self.sections_on_disk.is_empty() {
            seqs.sort_unstable();
        }
        seqs
    }

    /// The text of the head (the first whole one) or the tail (the last whole one), or what their fragments join to.
    fn section_text(&self, place: Place, disk: &OnDisk<'_>) -> Option<Box<str>> {
        let mut joined = String::new();
        let mut whole = None;
        self.each(self.section_seqs(self.body_run(disk)), disk, |chunk| {
            match place.of(chunk) {
                Some(Section::Fragment(text)) => joined.push_str(text),
                Some(Section::Whole(text)) => {
                    whole = Some(text.clone());
                    return place == Place::Tail;
                }
                None => (),
            }
            true
        });
        whole.or((!joined.is_empty()).then(|| joined.into()))
    }

    /// Takes the text of the head or the tail out; nothing where it is not whole.
    pub(crate) fn take_section(&mut self, place: Place, disk: &OnDisk<'_>) -> Option<Box<str>> {
        let is_fragment = |section: Option<&Section>| matches!(section, Some(Section::Fragment(_)));
        let fragments = self.chunks.iter().any(|chunk| Place::BOTH.iter().any(|place| is_fragment(place.of(chunk))));
        if fragments || !self.sections_on_disk.is_empty() || self.sections_are_too_long() {
            // What cannot be joined is kept in another place, so this must know whether it can.
            return self.section_text(place, disk).filter(|text| sort_out(disk.part, place, text).is_some());
        }
        let run = self.run();
        let mut sections = self.chunks.iter_mut_to(run).filter(|chunk| place.of(chunk).is_some());
        let chunk = if place == Place::Head { sections.next() } else { sections.next_back() }?;
        match place.take(chunk) {
            Some(Section::Whole(text) | Section::Fragment(text)) => Some(text),
            None => None,
        }
    }

    /// What keeps the part from being whole, in the words of the specification.
    pub(crate) fn faults(&self, disk: &OnDisk<'_>) -> Vec<String> {
        let name = disk.part.name();
        if self.is_empty() {
            return vec![format!("{name}_missing")];
        }
        let mut faults: Vec<String> =
            self.gaps().into_iter().map(|gap| format!("{name}_chunk_missing:{gap}")).collect();
        if self.of.is_none() {
            faults.push(format!("{name}_end_missing"));
        }
        if self.sections_are_too_long() {
            faults.push(format!("{name}_head_too_long"));
        }
        if faults.is_empty() {
            let misfit = self.misfit(disk);
            faults.extend(misfit.len.then(|| format!("{name}_len")));
            faults.extend(misfit.crc.then(|| format!("{name}_crc")));
        }
        faults
    }

    /// The missing chunks, `3` or `3-5`. Beyond [`MAX_NAMED`] the last names all the rest.
    fn gaps(&self) -> Vec<String> {
        let mut gaps: Vec<(u32, u32)> = Vec::new();
        let mut expected = 0;
        let seqs = self.seqs();
        for (first, last) in seqs.as_slice().iter().copied().chain(self.of.map(|of| (of, of))) {
            if first > expected {
                if gaps.len() < MAX_NAMED {
                    gaps.push((expected, first - 1));
                } else if let Some(gap) = gaps.last_mut() {
                    gap.1 = first - 1;
                }
            }
            expected = last.saturating_add(1);
        }
        gaps.into_iter()
            .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
            .collect()
    }
}

/// Bytes of a chunk's head and tail.
fn section_bytes(chunk: &Chunk) -> u64 {
    [&chunk.head, &chunk.tail].into_iter().flatten().map(|section| section.text().len() as u64).sum()
}

/// Which of a tail's claims the body contradicts.
#[derive(Debug, Default, PartialEq, Eq)]
struct Misfit {
    len: bool,
    crc: bool,
}
