//! From lines to exchanges: each input's envelope, the one assembler, and the counts of what was found.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reassemble_assembler::{Arrival, Assembled, Assembler, Closed, OpenChanges, RowError};
use reassemble_formats::exchange::Exchange;
use reassemble_formats::{BadReason, Envelope, EnvelopeReader, Record, RecordSink};
use reassemble_sources::{InputEvent, InputId, LineSink};
use reassemble_store::{OpenRows, StateError, StateReader};

use crate::config::SigningConfig;
use crate::index::{ClosedRows, Index};
use crate::ledger::{InputCounts, Ledger};
use crate::lines::{Lines, RecentPartitions};
use crate::process::Processor;
use crate::queue::Sender;
use crate::signatures::Signatures;
use crate::store_thread::StoreMessage;

/// What an exchange weighs in the queue to the store beside its bodies, in bytes.
const EXCHANGE_OVERHEAD: usize = 1024;

/// Closed captures after which a commit is due: their ids are in memory until then.
pub(crate) const COMMIT_CLOSED: usize = 10_000;
/// How many captures must be put away before some may be crowded out.
const CROWD: usize = 10_000;
/// What is in memory of captures that are away may take so many times what those in memory may.
const AWAY_SHARE: usize = 2;

/// What an intake is told.
pub(crate) struct IntakeConfig {
    /// How lines are wrapped.
    pub(crate) envelope: Envelope,
    /// Longest line in bytes.
    pub(crate) max_line_bytes: usize,
    /// How long a capture stays open after its last chunk.
    pub(crate) timeout: Duration,
    /// Bytes that open captures may take in memory.
    pub(crate) memory_bytes: usize,
    /// Which signatures are taken.
    pub(crate) signing: Option<SigningConfig>,
    /// What is done to exchanges.
    pub(crate) processor: Arc<Processor>,
    /// When lines count as read; `None`: by the wall clock.
    pub(crate) read_at_us: Option<i64>,
}

/// Takes what the inputs deliver and hands finished exchanges to the store thread.
pub(crate) struct Intake {
    envelope: Envelope,
    max_line_bytes: usize,
    read_at_us: Option<i64>,
    inputs: HashMap<InputId, Input>,
    /// What an earlier run had half joined, until its input opens.
    carried: HashMap<InputId, Vec<u8>>,
    work: Work,
}

struct Input {
    name: Arc<str>,
    /// Where its records are counted.
    counts: usize,
    reader: EnvelopeReader,
}

/// What records go through, apart from the inputs so that an input's reader and this can be borrowed at once.
struct Work {
    assembler: Assembler,
    /// Bytes that the assembler may hold.
    memory_bytes: usize,
    index: Index,
    /// Who may sign what; nothing where lines need no signature.
    signatures: Option<Signatures>,
    processor: Arc<Processor>,
    partitions: RecentPartitions,
    /// What goes to the store thread next.
    lines: Lines,
    store: Sender<StoreMessage>,
    ledger: Ledger,
    counts: InputCounts,
    /// Time on the assembler's clock.
    now: Duration,
    /// Wall clock, in microseconds since the Unix epoch.
    wall_us: i64,
    /// Whether anything happened that a commit should keep.
    dirty: bool,
    /// Whether the store thread takes exchanges.
    store_gone: bool,
    /// Whether captures were crowded out at the last look.
    crowded: bool,
}

impl Intake {
    /// An intake that goes on from what `state` holds: open captures and, under their inputs, half-joined lines. `base` is the ledger of
    /// earlier runs.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub(crate) fn new(
        config: IntakeConfig,
        state: StateReader,
        base: &Ledger,
        carried: HashMap<InputId, Vec<u8>>,
        store: Sender<StoreMessage>,
    ) -> Result<Self, StateError> {
        let mut assembler = Assembler::new(config.timeout);
        assembler.restore(state.open_captures()?, base.open_disk_bytes, Duration::ZERO);
        let work = Work {
            assembler,
            memory_bytes: config.memory_bytes,
            index: Index::new(state),
            signatures: config.signing.map(Signatures::new),
            processor: config.processor,
            partitions: RecentPartitions::default(),
            lines: Lines::default(),
            store,
            ledger: Ledger::default(),
            counts: InputCounts::new(),
            now: Duration::ZERO,
            wall_us: 0,
            dirty: false,
            store_gone: false,
            crowded: false,
        };
        let IntakeConfig { envelope, max_line_bytes, read_at_us, .. } = config;
        Ok(Intake { envelope, max_line_bytes, read_at_us, inputs: HashMap::new(), carried, work })
    }

    /// Sets the clocks: the assembler's, and the wall's in microseconds since the Unix epoch.
    pub(crate) fn set_time(&mut self, now: Duration, wall_us: i64) {
        self.work.now = now;
        self.work.wall_us = self.read_at_us.unwrap_or(wall_us);
    }

    /// The counts of this run so far.
    pub(crate) fn ledger(&mut self) -> &mut Ledger {
        let work = &mut self.work;
        work.ledger.open_captures = work.assembler.open_captures() as u64;
        work.ledger.open_disk_bytes = work.assembler.disk_bytes();
        work.counts.write_to(&mut work.ledger);
        &mut work.ledger
    }

    /// Bytes read in this run so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.work.ledger.bytes_read
    }

    /// An input's position moved without a line of its own: the next commit should keep it.
    pub(crate) fn position_moved(&mut self) {
        self.work.dirty = true;
    }

    /// Whether open captures take all the memory that they may: reading waits for the commit after which some can be put away.
    pub(crate) fn memory_is_full(&self) -> bool {
        self.work.assembler.memory_bytes() >= self.work.memory_bytes
    }

    /// Whether a commit should come now, because of what it would let go from memory.
    pub(crate) fn wants_commit(&self) -> bool {
        self.memory_is_full() || self.work.assembler.unsaved_bytes() >= self.work.memory_bytes / 2
    }

    /// Closes captures that were quiet longest, where many are open and take more than `limit_bytes` of disk, or even their numbers too much
    /// memory.
    pub(crate) fn crowd_out(&mut self, limit_bytes: u64) {
        let Work { assembler, memory_bytes, crowded, .. } = &mut self.work;
        let too_much = assembler.disk_bytes() > limit_bytes || assembler.away_bytes() > AWAY_SHARE * *memory_bytes;
        let crowds = too_much && assembler.away_captures() > CROWD;
        if crowds {
            if !*crowded {
                tracing::warn!(
                    captures = assembler.open_captures(),
                    bytes = assembler.disk_bytes(),
                    "too many captures are open: those that were quiet longest are stored incomplete"
                );
            }
            assembler.crowd_out();
        }
        *crowded = crowds;
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
        let unreadable = self.work.assembler.take_error();
        self.work.index.take_error().or_else(|| unreadable.map(|RowError { capture }| self.work.index.torn(capture)))
    }

    /// How many captures were closed since the last commit.
    pub(crate) fn closed_since_commit(&self) -> usize {
        self.work.index.closed_since_commit()
    }

    /// Stores what has timed out, until so many captures are closed since the last commit that one should come first.
    pub(crate) fn expire(&mut self) {
        while self.closed_since_commit() < COMMIT_CLOSED
            && let Some(assembled) = self.work.assembler.expire(self.work.now, &self.work.index)
        {
            self.work.store(assembled);
        }
    }

    /// The inputs have ended: stores what this run opened or touched, as incomplete. Captures kept from an earlier run of which this run saw
    /// nothing stay open: their rest may come from inputs that were not read now. True where a commit should come before it goes on.
    pub(crate) fn finish(&mut self) -> bool {
        while self.closed_since_commit() < COMMIT_CLOSED {
            let Some(assembled) = self.work.assembler.finish_touched(&self.work.index) else { return false };
            self.work.store(assembled);
        }
        true
    }

    /// Records that were found outside of any envelope of this intake.
    pub(crate) fn take_records(&mut self, source: &Arc<str>, records: Vec<Record>, bad: Vec<BadReason>) {
        let counts = self.work.counts.number(source);
        let mut taker = RecordTaker { source, counts, work: &mut self.work };
        records.into_iter().for_each(|record| taker.record(record));
        bad.into_iter().for_each(|reason| taker.bad(reason));
    }

    /// Bytes and lines that were read outside of this intake.
    pub(crate) fn count_read(&mut self, bytes: u64, lines: u64) {
        self.work.ledger.bytes_read += bytes;
        self.work.ledger.lines_read += lines;
    }

    /// A line over the limit, skipped likewise.
    pub(crate) fn count_long_line(&mut self, bytes: u64) {
        self.work.count_long_line(bytes);
    }

    /// Records that were found likewise, and shed with their captures.
    pub(crate) fn count_shed(&mut self, source: &Arc<str>, records: u64, captures: u64) {
        let counts = self.work.counts.of(source);
        counts.read += records;
        counts.shed += records;
        self.work.ledger.shed_captures += captures;
        self.work.dirty |= records > 0;
    }

    /// Hands every exchange that is finished to the store thread. Any other message to it comes after this.
    pub(crate) fn flush(&mut self) {
        self.work.flush();
    }

    /// Everything that a commit keeps of this instant: rows of open captures, and ids of closed ones. Exchanges go to the store thread before.
    pub(crate) fn take_changes(&mut self) -> (OpenRows, ClosedRows) {
        self.work.flush();
        self.work.dirty = false;
        let OpenChanges { remove, captures, chunks } = self.work.assembler.take_changes();
        let rows = OpenRows {
            remove: remove.into_iter().map(|(capture, id)| (capture, id.key())).collect(),
            captures: captures.into_iter().map(|row| (row.capture, row.id.key(), row.row)).collect(),
            chunks: chunks.into_iter().map(|row| (row.capture, row.key, row.line)).collect(),
        };
        (rows, self.work.index.take_closed())
    }

    /// The commit of what [`take_changes`](Self::take_changes) gave is done: the state knows it now.
    pub(crate) fn committed(&mut self) {
        let work = &mut self.work;
        work.index.committed();
        work.assembler.saved();
        // Now, before more is read: a capture that goes on is durable for this moment only.
        if work.assembler.memory_bytes() > work.memory_bytes / 2 {
            work.assembler.put_away(work.memory_bytes / 4);
        }
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
        let name: Arc<str> = Arc::from(name);
        let counts = self.work.counts.open(&name);
        self.inputs.insert(id, Input { name, counts, reader });
    }

    fn close(&mut self, id: InputId) {
        if let Some(mut input) = self.inputs.remove(&id) {
            let mut taker = RecordTaker { source: &input.name, counts: input.counts, work: &mut self.work };
            input.reader.finish(&mut taker);
            self.work.counts.close(input.counts);
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
        let mut taker = RecordTaker { source: &input.name, counts: input.counts, work: &mut self.work };
        let lines = input.reader.block(block, &mut taker);
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
            InputEvent::Lost { records, bytes } => {
                self.work.ledger.source_lost_records += records;
                self.work.ledger.source_lost_bytes += bytes;
                tracing::warn!(input = self.name(input), records, bytes, "dropped by its sender before it was read");
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
    counts: usize,
    work: &'i mut Work,
}

impl RecordSink for RecordTaker<'_> {
    fn record(&mut self, record: Record) {
        let work = &mut *self.work;
        let counts = work.counts.at(self.counts);
        counts.read += 1;
        work.dirty = true;
        let chunk = match record {
            Record::Chunk(chunk) => chunk,
            Record::Meta(meta) => {
                if work.signatures.as_ref().is_some_and(|signatures| !signatures.takes_meta(&meta)) {
                    counts.count_bad(BadReason::BadSig.name(), 1);
                    return;
                }
                counts.meta += 1;
                work.ledger.emitters.meta(meta.text());
                return;
            }
        };
        let key = match &mut work.signatures {
            None => None,
            Some(signatures) => match signatures.signer(&chunk) {
                Some(key) => Some(key),
                None => return counts.count_bad(BadReason::BadSig.name(), 1),
            },
        };
        let arrival = Arrival { source: self.source.clone(), read_at_us: work.wall_us, key };
        let pushed = work.assembler.push(chunk, &arrival, work.now, &work.index);
        if pushed.wrong_key {
            counts.count_bad(BadReason::BadSig.name(), 1);
        } else if pushed.repeated {
            counts.repeated += 1;
        } else if pushed.conflicting {
            counts.conflicting += 1;
        } else {
            counts.open += 1;
        }
        for (input, lines) in pushed.displaced.iter() {
            let counts = work.counts.of(input);
            counts.open -= lines.cast_signed();
            counts.conflicting += lines;
        }
        if let Some(assembled) = pushed.complete {
            work.store(*assembled);
        }
    }

    fn bad(&mut self, reason: BadReason) {
        let counts = self.work.counts.at(self.counts);
        counts.read += 1;
        counts.count_bad(reason.name(), 1);
        self.work.dirty = true;
    }

    fn long_line(&mut self, bytes: u64) {
        tracing::warn!(input = &**self.source, bytes, "skipped a joined line longer than the limit (--max-line)");
        self.work.count_long_line(bytes);
    }
}

impl Work {
    fn count_long_line(&mut self, bytes: u64) {
        self.ledger.long_lines += 1;
        self.ledger.long_line_bytes += bytes;
    }

    fn store(&mut self, assembled: Assembled) {
        self.dirty = true;
        let (mut exchange, ts_us) = assembled.exchange();
        if self.signatures.as_ref().is_some_and(|signatures| !signatures.takes(&assembled, &exchange, ts_us)) {
            // As if it were stored whole: what comes late of it opens nothing either.
            self.index.closed(assembled.id.clone(), Closed::Complete);
            for (input, lines) in assembled.lines.iter() {
                let counts = self.counts.of(input);
                counts.open -= lines.cast_signed();
                counts.count_bad(BadReason::BadSig.name(), lines);
            }
            return;
        }
        self.index.closed(assembled.id.clone(), assembled.closed.clone());
        self.count_stored(&assembled, &exchange);
        let is_long = assembled.request_pieces().is_some() || assembled.response_pieces().is_some();
        if !is_long && self.processor.leaves_bodies(&exchange) {
            self.processor.redact(&mut exchange);
            let class = self.processor.class(&exchange);
            let partition = self.partitions.get(class, exchange.service.as_deref(), ts_us);
            self.lines.add(&exchange, partition, ts_us);
            if self.lines.is_full() {
                self.flush();
            }
            return;
        }
        drop(exchange);
        self.flush();
        let weight = assembled.memory_bytes() + EXCHANGE_OVERHEAD;
        self.push(StoreMessage::Exchange(Box::new(assembled)), weight);
    }

    fn flush(&mut self) {
        if !self.lines.is_empty() {
            let lines = std::mem::take(&mut self.lines);
            let weight = lines.bytes();
            self.push(StoreMessage::Lines(lines), weight);
        }
    }

    fn push(&mut self, message: StoreMessage, weight: usize) {
        if !self.store.push(message, weight) {
            self.store_gone = true;
        }
    }

    fn count_stored(&mut self, assembled: &Assembled, exchange: &Exchange<'_>) {
        for (input, lines) in assembled.lines.iter() {
            let counts = self.counts.of(input);
            counts.open -= lines.cast_signed();
            counts.in_exchanges += lines;
        }
        if let (Some(inst), Some(n)) = (&exchange.inst, exchange.n) {
            self.ledger.emitters.stored(inst, exchange.service.as_deref(), exchange.host.as_deref(), n);
        }
        if exchange.complete {
            self.ledger.exchanges_complete += 1;
            return;
        }
        self.ledger.exchanges_incomplete += 1;
        for problem in &exchange.problems {
            // The kind alone: what stands behind the colon may be anything, and would make a metric of everything.
            let kind = problem.split(':').next().unwrap_or_default();
            *self.ledger.incomplete_why.entry(kind.to_owned()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests;
