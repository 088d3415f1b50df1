//! Open captures as rows of a database, so that they survive a restart.
//!
//! A capture has a number; its row 0 says what is known of it beside its chunks, and each chunk has a row of its own, numbered as they
//! were taken. Chunks taken again in that order give the same capture. Only what changed since the last call is given out, so keeping a
//! long capture costs what arrived of it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use reassemble_formats::{CaptureId, Chunk, Part};
use serde::{Deserialize, Serialize};

use crate::capture::Capture;
use crate::closed::Closed;
use crate::{Arrival, Assembler};

/// What changed among the open captures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenChanges {
    /// (capture, row, bytes) to write.
    pub put: Vec<(u64, u32, Vec<u8>)>,
    /// Captures whose rows, all of them, are to be removed. None of them is in `put`.
    pub remove: Vec<u64>,
}

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// The capture's number.
    pub capture: u64,
    /// The row.
    pub row: u32,
}

/// What changed since the last [`Assembler::take_changes`].
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Captures with new chunks (their rows) or a new row 0.
    dirty: BTreeMap<u64, BTreeSet<u32>>,
    /// Captures that have rows in the database.
    kept: HashSet<u64>,
    /// Those of them that are closed.
    removed: Vec<u64>,
}

impl Changes {
    pub(crate) fn note(&mut self, capture: u64, row: Option<u32>) {
        self.dirty.entry(capture).or_default().extend(row);
    }

    pub(crate) fn closed(&mut self, capture: u64) {
        self.dirty.remove(&capture);
        if self.kept.remove(&capture) {
            self.removed.push(capture);
        }
    }
}

/// Row 0.
#[derive(Serialize, Deserialize)]
struct CaptureRow {
    id: String,
    source: String,
    read_at_us: i64,
    /// [`Closed::to_bytes`] of what was stored before, where this is a supplement.
    continues: Option<Vec<u8>>,
    conflicts: [Vec<u32>; 2],
    of_conflicts: [bool; 2],
}

impl Assembler {
    /// What changed among the open captures since the last call (or the start). The caller keeps it in one transaction with the positions
    /// up to which chunks were read.
    pub fn take_changes(&mut self) -> OpenChanges {
        let mut changes = OpenChanges { put: Vec::new(), remove: std::mem::take(&mut self.changes.removed) };
        for (number, rows) in std::mem::take(&mut self.changes.dirty) {
            let Some(capture) = self.open.get(&number) else { continue };
            self.changes.kept.insert(number);
            changes.put.push((number, 0, capture_row(capture)));
            for part in Part::BOTH {
                let held = capture.part(part).chunks.values().filter(|held| rows.contains(&held.row));
                changes.put.extend(held.map(|held| (number, held.row, held.chunk.to_line())));
            }
        }
        changes
    }

    /// Takes up the open captures of an earlier run, whose rows come in ascending order. Their time-outs begin at `now`.
    ///
    /// # Errors
    /// The first row that no version of this program wrote.
    pub fn restore(
        &mut self,
        rows: impl IntoIterator<Item = (u64, u32, Vec<u8>)>,
        now: Duration,
    ) -> Result<(), RowError> {
        let mut open: BTreeMap<u64, Capture> = BTreeMap::new();
        for (number, row, bytes) in rows {
            let unreadable = RowError { capture: number, row };
            if row == 0 {
                open.insert(number, read_capture_row(&bytes).ok_or(unreadable)?);
                continue;
            }
            let chunk = Chunk::from_line(&bytes).ok_or(unreadable.clone())?;
            let capture = open.get_mut(&number).ok_or(unreadable)?;
            capture.last_row = row - 1;
            capture.take(chunk);
            capture.last_row = capture.last_row.max(row);
        }
        for (number, mut capture) in open {
            capture.deadline = now.saturating_add(self.timeout);
            self.next_number = self.next_number.max(number + 1);
            self.changes.kept.insert(number);
            self.insert(number, capture);
        }
        Ok(())
    }
}

fn capture_row(capture: &Capture) -> Vec<u8> {
    let row = CaptureRow {
        id: capture.id.to_string(),
        source: capture.source.to_string(),
        read_at_us: capture.read_at_us,
        continues: capture.continues.as_ref().map(Closed::to_bytes),
        conflicts: Part::BOTH.map(|part| capture.part(part).conflicts.iter().copied().collect()),
        of_conflicts: Part::BOTH.map(|part| capture.part(part).of_conflict),
    };
    serde_json::to_vec(&row).unwrap_or_default()
}

fn read_capture_row(bytes: &[u8]) -> Option<Capture> {
    let row: CaptureRow = serde_json::from_slice(bytes).ok()?;
    let arrival = Arrival { source: Arc::from(row.source), read_at_us: row.read_at_us };
    let continues = row.continues.map(|bytes| Closed::from_bytes(&bytes));
    let mut capture = Capture::new(CaptureId::parse(row.id.as_bytes())?, &arrival, continues);
    for ((part, conflicts), of_conflict) in Part::BOTH.into_iter().zip(row.conflicts).zip(row.of_conflicts) {
        let part = capture.part_mut(part);
        part.conflicts = conflicts.into_iter().collect();
        part.of_conflict = of_conflict;
    }
    Some(capture)
}
