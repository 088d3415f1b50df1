//! Open captures as rows of a database, so that they survive a restart and need not lie in memory.
//!
//! A capture has a number. Its own row sums up what is known of it, and each chunk has a row of its own. Only what changed since the last
//! call is given out, so keeping a long capture costs what arrived of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use reassemble_formats::{CaptureId, Part, Sum};
use serde::{Deserialize, Serialize};

use crate::capture::Capture;
use crate::closed::Closed;
use crate::part::{PartChunks, Prefix};
use crate::ranges::Ranges;
use crate::{Arrival, Assembler};

/// What changed among the open captures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenChanges {
    /// Captures whose rows, all of them, are to be removed; this comes before the puts.
    pub remove: Vec<(u64, CaptureId)>,
    /// Rows of captures to write.
    pub captures: Vec<CaptureRow>,
    /// Rows of chunks to write.
    pub chunks: Vec<ChunkRow>,
}

/// A capture's own row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureRow {
    /// The capture's number.
    pub capture: u64,
    /// Its id, by which it is found.
    pub id: CaptureId,
    /// The row.
    pub row: Vec<u8>,
}

/// A chunk's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkRow {
    /// The capture's number.
    pub capture: u64,
    /// The row's key within the capture: [`chunk_row`].
    pub key: u64,
    /// The chunk, as [`Chunk::to_line`](reassemble_formats::Chunk::to_line) writes it.
    pub line: Vec<u8>,
}

/// The key of a chunk's row within its capture: in order of `seq`, the request's first.
pub fn chunk_row(part: Part, seq: u32) -> u64 {
    let part = match part {
        Part::Request => 0,
        Part::Response => 1,
    };
    part << 32 | u64::from(seq)
}

/// A capture's row is missing or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// The capture's number.
    pub capture: u64,
}

/// A capture's row.
#[derive(Serialize, Deserialize)]
struct Row {
    id: String,
    source: String,
    read_at_us: i64,
    /// [`Closed::to_bytes`] of what was stored before, where this is a supplement.
    continues: Option<Vec<u8>>,
    key: Option<String>,
    lines: Vec<(String, u64)>,
    disk_bytes: u64,
    parts: [PartRow; 2],
}

/// What a capture's row says of a part.
#[derive(Serialize, Deserialize)]
struct PartRow {
    held: Ranges,
    sections: Ranges,
    section_bytes: u64,
    piece_bytes: u64,
    of: Option<u32>,
    of_conflict: bool,
    conflicts: BTreeSet<u32>,
    /// [`Prefix`]: `next`, and the sum's `len` and `crc`.
    prefix: (u32, u64, u32),
}

impl Assembler {
    /// What changed among the open captures since the last call (or the start). The caller keeps it in one transaction with the positions
    /// up to which chunks were read, and says with [`saved`](Self::saved) when that is durable.
    pub fn take_changes(&mut self) -> OpenChanges {
        let mut changes = OpenChanges { remove: std::mem::take(&mut self.removed), ..OpenChanges::default() };
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        for number in dirty {
            let Some(capture) = self.open.get_mut(&number).filter(|capture| capture.dirty) else { continue };
            capture.dirty = false;
            self.saving.insert(number);
            capture.has_rows = true;
            self.unsaved_bytes -= std::mem::take(&mut capture.unsaved_bytes);
            let disk_before = capture.disk_bytes;
            for (part, seq) in std::mem::take(&mut capture.unsaved) {
                // One that was displaced since is no longer there, and needs no row.
                let Some(chunk) = capture.part(part).chunks.get(seq) else { continue };
                let line = chunk.to_line();
                capture.disk_bytes += line.len() as u64;
                changes.chunks.push(ChunkRow { capture: number, key: chunk_row(part, seq), line });
            }
            self.disk_bytes += capture.disk_bytes - disk_before;
            capture.request.sum_up();
            capture.response.sum_up();
            changes.captures.push(CaptureRow { capture: number, id: capture.id.clone(), row: capture_row(capture) });
        }
        changes
    }

    /// What [`take_changes`](Self::take_changes) gave is durable.
    pub fn saved(&mut self) {
        self.saving = std::collections::HashSet::new();
    }
}

fn capture_row(capture: &Capture) -> Vec<u8> {
    let row = Row {
        id: capture.id.to_string(),
        source: capture.source.to_string(),
        read_at_us: capture.read_at_us,
        continues: capture.continues.as_ref().map(Closed::to_bytes),
        key: capture.key.as_deref().map(str::to_owned),
        lines: capture.lines.iter().map(|(input, lines)| (input.to_string(), lines)).collect(),
        disk_bytes: capture.disk_bytes,
        parts: Part::BOTH.map(|part| part_row(capture.part(part))),
    };
    serde_json::to_vec(&row).unwrap_or_default()
}

fn part_row(part: &PartChunks) -> PartRow {
    let mut sections = part.sections_on_disk.clone();
    let in_memory = part.chunks.iter().filter(|chunk| chunk.head.is_some() || chunk.tail.is_some());
    sections.extend(in_memory.map(|chunk| chunk.seq));
    PartRow {
        held: part.seqs(),
        sections,
        section_bytes: part.section_bytes,
        piece_bytes: part.piece_bytes,
        of: part.of,
        of_conflict: part.of_conflict,
        conflicts: part.conflicts.clone(),
        prefix: (part.prefix.next, part.prefix.sum.len, part.prefix.sum.crc),
    }
}

/// A capture as its row has it: with all its chunks on disk.
pub(crate) fn read_capture_row(bytes: &[u8]) -> Option<Capture> {
    let row: Row = serde_json::from_slice(bytes).ok()?;
    let arrival = Arrival { source: Arc::from(row.source), read_at_us: row.read_at_us, key: row.key.map(Arc::from) };
    let continues = row.continues.map(|bytes| Closed::from_bytes(&bytes));
    let mut capture = Capture::new(CaptureId::parse(row.id.as_bytes())?, &arrival, continues);
    for (input, lines) in row.lines {
        capture.lines.add(&Arc::from(input), lines);
    }
    capture.disk_bytes = row.disk_bytes;
    capture.has_rows = true;
    let [request, response] = row.parts;
    capture.request = read_part_row(request);
    capture.response = read_part_row(response);
    capture.count_memory();
    Some(capture)
}

fn read_part_row(row: PartRow) -> PartChunks {
    let (next, len, crc) = row.prefix;
    PartChunks {
        on_disk: row.held,
        sections_on_disk: row.sections,
        section_bytes: row.section_bytes,
        piece_bytes: row.piece_bytes,
        of: row.of,
        of_conflict: row.of_conflict,
        conflicts: row.conflicts,
        prefix: Prefix { next, sum: Sum { len, crc } },
        ..PartChunks::default()
    }
}
