//! From lines to exchanges: each input's envelope, the one assembler, and the counts of what was found.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reassemble_assembler::{Arrival, Assembled, Assembler, Closed, ClosedCaptures, OpenChanges};
use reassemble_formats::{BadReason, CaptureId, Envelope, EnvelopeReader, Record, RecordSink};
use reassemble_sources::{InputEvent, InputId, LineSink};
use reassemble_store::{StateError, StateReader};

use crate::ledger::Ledger;
use crate::queue::Sender;
use crate::store_thread::StoreMessage;

/// What an exchange weighs in the queue to the store beside its bodies, in bytes.
const EXCHANGE_OVERHEAD: usize = 1024;

/// Takes what the inputs deliver and hands finished exchanges to the store thread.
pub(crate) struct Intake {
    envelope: Envelope,
    max_line_bytes: usize,
    inputs: HashMap<InputId, Input>,
    /// What an earlier run had half joined, until its input opens.
    carried: HashMap<InputId, Vec<u8>>,
    work: Work,
}

struct Input {
    name: Arc<str>,
    reader: EnvelopeReader,
}

/// What records go through, apart from the inputs so that an input's reader and this can be borrowed at once.
struct Work {
    assembler: Assembler,
    closed: ClosedIndex,
    store: Sender<StoreMessage>,
    ledger: Ledger,
    /// Time on the assembler's clock.
    now: Duration,
    /// Wall clock, in microseconds since the Unix epoch.
    wall_us: i64,
    /// Whether anything happened that a commit should keep.
    dirty: bool,
    /// Whether the store thread takes exchanges.
    store_gone: bool,
}

impl Intake {
    /// An intake that goes on from what `state` holds: open captures and, under their inputs, half-joined lines.
    ///
    /// # Errors
    /// Where the state cannot be read, or holds what no version of this program wrote.
    pub(crate) fn new(
        envelope: Envelope,
        max_line_bytes: usize,
        timeout: Duration,
        state: StateReader,
        carried: HashMap<InputId, Vec<u8>>,
        store: Sender<StoreMessage>,
    ) -> Result<Self, IntakeError> {
        let mut rows = Vec::new();
        state.for_each_open(|capture, row, bytes| rows.push((capture, row, bytes.to_vec())))?;
        let mut assembler = Assembler::new(timeout);
        assembler
            .restore(rows, Duration::ZERO)
            .map_err(|row| IntakeError::Row { capture: row.capture, row: row.row })?;
        let closed = ClosedIndex { recent: HashMap::new(), committing: HashMap::new(), state, failed: None.into() };
        let work = Work {
            assembler,
            closed,
            store,
            ledger: Ledger::default(),
            now: Duration::ZERO,
            wall_us: 0,
            dirty: false,
            store_gone: false,
        };
        Ok(Intake { envelope, max_line_bytes, inputs: HashMap::new(), carried, work })
    }

    /// Sets the clocks: the assembler's, and the wall's in microseconds since the Unix epoch.
    pub(crate) fn set_time(&mut self, now: Duration, wall_us: i64) {
        self.work.now = now;
        self.work.wall_us = wall_us;
    }

    /// The counts of this run so far.
    pub(crate) fn ledger(&mut self) -> &mut Ledger {
        self.work.ledger.open_captures = self.work.assembler.open_captures() as u64;
        &mut self.work.ledger
    }

    /// Whether a commit would keep anything new.
    pub(crate) fn is_dirty(&self) -> bool {
        self.work.dirty
    }

    /// Whether exchanges find no taker: the store thread has ended.
    pub(crate) fn store_is_gone(&self) -> bool {
        self.work.store_gone
    }

    /// An error that reading the state met meanwhile.
    pub(crate) fn take_error(&mut self) -> Option<StateError> {
        self.work.closed.failed.take()
    }

    /// How many captures were closed since the last commit.
    pub(crate) fn closed_since_commit(&self) -> usize {
        self.work.closed.recent.len()
    }

    /// Stores what has timed out.
    pub(crate) fn expire(&mut self) {
        while let Some(assembled) = self.work.assembler.expire(self.work.now) {
            self.work.store(assembled);
        }
    }

    /// The inputs have ended: stores what this run opened or touched, as incomplete. Captures kept from an earlier run of which this run saw
    /// nothing stay open: their rest may come from inputs that were not read now.
    pub(crate) fn finish(&mut self) {
        let mut closed = Vec::new();
        self.work.assembler.finish_touched(|assembled| closed.push(assembled));
        closed.into_iter().for_each(|assembled| self.work.store(assembled));
    }

    /// A record that was found outside of any envelope of this intake.
    pub(crate) fn take_record(&mut self, source: &Arc<str>, record: Record) {
        RecordTaker { source, work: &mut self.work }.record(record);
    }

    /// A bad record found likewise.
    pub(crate) fn take_bad(&mut self, reason: BadReason) {
        self.work.count_bad(reason);
    }

    /// Everything that a commit keeps of this instant.
    pub(crate) fn take_changes(&mut self) -> (OpenChanges, Vec<(String, Vec<u8>)>) {
        self.work.dirty = false;
        let closed = &mut self.work.closed;
        let seen = closed.recent.iter().map(|(id, closed)| (id.to_string(), closed.to_bytes())).collect();
        let recent = std::mem::take(&mut closed.recent);
        closed.committing.extend(recent);
        (self.work.assembler.take_changes(), seen)
    }

    /// The commit of what [`take_changes`](Self::take_changes) gave is done: the state knows it now.
    pub(crate) fn committed(&mut self) {
        self.work.closed.committing = HashMap::new();
    }

    /// What an input's envelope has half joined.
    pub(crate) fn carry(&self, input: InputId) -> Option<Vec<u8>> {
        match self.inputs.get(&input) {
            Some(input) => input.reader.carry(),
            None => self.carried.get(&input).cloned(),
        }
    }

    fn open(&mut self, id: InputId, name: &str) {
        let mut reader = EnvelopeReader::new(self.envelope, self.max_line_bytes);
        if let Some(carry) = self.carried.remove(&id) {
            reader.restore(&carry);
        }
        tracing::info!(input = name, "reading");
        self.inputs.insert(id, Input { name: Arc::from(name), reader });
    }

    fn close(&mut self, id: InputId) {
        if let Some(mut input) = self.inputs.remove(&id) {
            let mut taker = RecordTaker { source: &input.name, work: &mut self.work };
            input.reader.finish(&mut taker);
            tracing::debug!(input = &*input.name, "read to its end");
        }
    }

    fn name(&self, id: InputId) -> &str {
        self.inputs.get(&id).map_or("input", |input| &input.name)
    }
}

impl LineSink for Intake {
    fn lines(&mut self, input: InputId, block: &[u8]) {
        if !self.inputs.contains_key(&input) {
            // Sources announce every input before its lines; should one not, its lines are still lines.
            self.open(input, "input");
        }
        let Some(input) = self.inputs.get_mut(&input) else { return };
        let lines = input.reader.block(block, &mut RecordTaker { source: &input.name, work: &mut self.work });
        self.work.ledger.bytes_read += block.len() as u64;
        self.work.ledger.lines_read += lines;
        self.work.dirty = true;
    }

    fn event(&mut self, input: InputId, event: InputEvent<'_>) {
        self.work.dirty = true;
        match event {
            InputEvent::Opened { name, .. } => self.open(input, name),
            InputEvent::Follows { predecessor } => {
                let carry = self.carry(predecessor);
                if let (Some(carry), Some(input)) = (carry, self.inputs.get_mut(&input)) {
                    input.reader.restore(&carry);
                    // The pieces moved on; the predecessor must not give them a second time when it closes.
                    if let Some(before) = self.inputs.get_mut(&predecessor) {
                        before.reader = EnvelopeReader::new(self.envelope, self.max_line_bytes);
                    }
                }
            }
            InputEvent::Truncated { lost_at_least_bytes } => {
                self.work.ledger.truncations += 1;
                self.work.ledger.lost_bytes_at_least += lost_at_least_bytes;
                tracing::warn!(
                    input = self.name(input),
                    lost_at_least_bytes,
                    "truncated before it was read to its end: at least this many bytes are lost"
                );
            }
            InputEvent::LongLine { bytes } => {
                tracing::warn!(input = self.name(input), bytes, "skipped a line longer than the limit (--max-line)");
                self.work.count_long_line(bytes);
            }
            InputEvent::Failed { why } => {
                self.work.ledger.input_failures += 1;
                tracing::error!(input = self.name(input), "{why}");
            }
            InputEvent::Closed => self.close(input),
        }
    }
}

/// Takes the records of one input.
struct RecordTaker<'i> {
    source: &'i Arc<str>,
    work: &'i mut Work,
}

impl RecordSink for RecordTaker<'_> {
    fn record(&mut self, record: Record) {
        let work = &mut *self.work;
        work.ledger.records += 1;
        work.dirty = true;
        let chunk = match record {
            Record::Chunk(chunk) => chunk,
            Record::Meta(_) => {
                work.ledger.meta += 1;
                return;
            }
        };
        let arrival = Arrival { source: self.source.clone(), read_at_us: work.wall_us };
        let pushed = work.assembler.push(chunk, &arrival, work.now, &work.closed);
        work.ledger.repeated += pushed.repeated;
        work.ledger.conflicting += pushed.conflicting;
        if let Some(assembled) = pushed.complete {
            work.store(*assembled);
        }
    }

    fn bad(&mut self, reason: BadReason) {
        self.work.count_bad(reason);
    }

    fn long_line(&mut self, bytes: u64) {
        tracing::warn!(input = &**self.source, bytes, "skipped a joined line longer than the limit (--max-line)");
        self.work.count_long_line(bytes);
    }
}

impl Work {
    fn count_bad(&mut self, reason: BadReason) {
        self.ledger.records += 1;
        *self.ledger.bad.entry(reason.name().to_owned()).or_default() += 1;
        self.dirty = true;
    }

    fn count_long_line(&mut self, bytes: u64) {
        self.ledger.long_lines += 1;
        self.ledger.long_line_bytes += bytes;
    }

    fn store(&mut self, assembled: Assembled) {
        self.dirty = true;
        self.closed.recent.insert(assembled.id.clone(), assembled.closed.clone());
        let exchange = &assembled.exchange;
        if exchange.complete {
            self.ledger.exchanges_complete += 1;
        } else {
            self.ledger.exchanges_incomplete += 1;
            for problem in &exchange.problems {
                // The kind alone: what stands behind the colon may be anything, and would make a metric of everything.
                let kind = problem.split(':').next().unwrap_or_default();
                *self.ledger.incomplete_why.entry(kind.to_owned()).or_default() += 1;
            }
        }
        let bodies = exchange.request.as_ref().map_or(0, |request| request.body.content.len())
            + exchange.response.as_ref().map_or(0, |response| response.body.content.len());
        let weight = usize::try_from(bodies).unwrap_or(usize::MAX / 2) + EXCHANGE_OVERHEAD;
        if !self.store.push(StoreMessage::Exchange(Box::new(assembled)), weight) {
            self.store_gone = true;
        }
    }
}

/// The captures that were closed: those since the last commit in memory, all others in the state.
struct ClosedIndex {
    recent: HashMap<CaptureId, Closed>,
    committing: HashMap<CaptureId, Closed>,
    state: StateReader,
    failed: std::cell::Cell<Option<StateError>>,
}

impl ClosedCaptures for ClosedIndex {
    fn lookup(&self, id: &CaptureId) -> Option<Closed> {
        if let Some(closed) = self.recent.get(id).or_else(|| self.committing.get(id)) {
            return Some(closed.clone());
        }
        match self.state.seen(&id.to_string()) {
            Ok(seen) => seen.map(|bytes| Closed::from_bytes(&bytes)),
            Err(error) => {
                // Without the index an exchange could be stored twice: the run ends at the next look, before any commit.
                self.failed.set(Some(error));
                None
            }
        }
    }
}

/// Why an intake cannot go on from a state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError {
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A row of an open capture is none.
    #[error(
        "row {row} of open capture {capture} in the state database cannot be read; choose another directory with --state, or run the version that wrote it"
    )]
    Row {
        /// The capture's number.
        capture: u64,
        /// Its row.
        row: u32,
    },
}
