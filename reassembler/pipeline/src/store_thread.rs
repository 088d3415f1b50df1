//! The thread that owns the spool: it processes exchanges, appends them to batches, and commits.
//!
//! Invariant: nothing is committed between an exchange and the positions of the lines it was made of. Exchanges and commits come through
//! one queue, in order; a commit of this thread's own (after uploads, or when batches rolled by age) happens only while no exchange has
//! been appended since the core's last one.
//!
//! While a commit waits for the disk this thread goes on with what belongs to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reassemble_assembler::Assembled;
use reassemble_formats::layout::Partition;
use reassemble_store::{Changes, FaultKind, Spool, StateError, StateReader, UploadEvent};

use crate::core::CoreMessage;
use crate::ledger::Ledger;
use crate::lines::Lines;
use crate::patient::PatientSpool;
use crate::process::Processor;
use crate::process::bodies::Bodies;
use crate::queue::{Popped, Receiver, Sender};
use crate::run::StatusBoard;

/// What the store thread is told.
pub(crate) enum StoreMessage {
    /// Store these.
    Lines(Lines),
    /// Store this, of which a body is to be decoded or kept apart.
    Exchange(Box<Assembled>),
    /// Seal every batch.
    RollAll,
    /// Make everything before this durable, with these changes of the core's and its ledger of this run.
    Commit(Box<CommitRequest>),
    /// The uploader tells something.
    Upload(UploadEvent),
    /// Commit what uploads changed, and end.
    Close,
}

/// The core's share of a commit.
pub(crate) struct CommitRequest {
    /// Positions, open captures and ids.
    pub(crate) changes: Changes,
    /// The counts of this run.
    pub(crate) ledger: Ledger,
}

/// What the store thread lets others see without asking.
#[derive(Debug, Default)]
pub(crate) struct StoreGauges {
    /// Bytes accepted and not yet at the destination.
    pub(crate) spool_bytes: AtomicU64,
    /// Objects that wait for the destination.
    pub(crate) objects_waiting: AtomicU64,
    /// Whether a fault that only a person can mend keeps objects from the destination.
    pub(crate) failing_for_good: AtomicBool,
    /// Whether the spool has reached its limit.
    pub(crate) spool_full: AtomicBool,
    /// Whether any fault does.
    pub(crate) failing: AtomicBool,
    /// How often the destination has refused.
    pub(crate) refusals: AtomicU64,
    /// Set by a stop: do not wait for room on the disk any more.
    pub(crate) hurry: AtomicBool,
}

/// Who wants a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    /// The core, which is told when it has ended.
    Core,
    /// This thread, because of uploads or ages.
    Store,
}

/// How often ages of batches are looked at.
const ROLL_INTERVAL: Duration = Duration::from_millis(500);

/// The thread's state.
pub(crate) struct StoreThread {
    pub(crate) spool: PatientSpool,
    /// Where the pieces of long bodies lie.
    pub(crate) state: StateReader,
    pub(crate) processor: Arc<Processor>,
    pub(crate) batch_age: Option<Duration>,
    pub(crate) own_commit_after: Duration,
    pub(crate) inbox: Receiver<StoreMessage>,
    pub(crate) core: Sender<CoreMessage>,
    pub(crate) wake_uploader: Box<dyn Fn() + Send>,
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) gauges: Arc<StoreGauges>,
    /// The ledger since the state directory was made, without this run.
    pub(crate) base: Ledger,
    /// The core's ledger as of its last commit.
    pub(crate) run: Ledger,
    /// What this thread counts itself.
    pub(crate) stored: Ledger,
    pub(crate) appended: bool,
    /// When there first was something to commit on this thread's own account.
    pub(crate) own_since: Option<Instant>,
    /// Who wanted the commit under way.
    pub(crate) committing: Option<Wants>,
}

impl StoreThread {
    /// Works until it is told to close. An error is told to the core, and ends it.
    pub(crate) fn run(mut self) {
        if let Err(error) = self.work() {
            self.core.push_now(CoreMessage::StoreFailed(error));
        }
    }

    fn work(&mut self) -> Result<(), StateError> {
        let mut rolled_at = Instant::now();
        self.publish();
        loop {
            match self.inbox.pop(ROLL_INTERVAL) {
                Popped::Item(StoreMessage::Lines(lines)) => self.append_lines(&lines)?,
                Popped::Item(StoreMessage::Exchange(assembled)) => self.append(&assembled)?,
                Popped::Item(StoreMessage::RollAll) => {
                    self.spool.patiently(Spool::roll_all)?;
                    self.own_since.get_or_insert_with(Instant::now);
                }
                Popped::Item(StoreMessage::Commit(request)) => {
                    self.roll_due()?;
                    self.run = request.ledger;
                    self.begin_commit(request.changes, Wants::Core)?;
                }
                Popped::Item(StoreMessage::Upload(event)) => self.uploaded(event)?,
                Popped::Item(StoreMessage::Close) | Popped::Closed => {
                    self.end_commit()?;
                    if !self.appended {
                        self.begin_commit(Changes::default(), Wants::Store)?;
                    }
                    return self.end_commit();
                }
                Popped::Empty => (),
            }
            if self.committing.is_some() && self.spool.spool.commit_has_ended() {
                self.end_commit()?;
            }
            if rolled_at.elapsed() >= ROLL_INTERVAL {
                rolled_at = Instant::now();
                self.roll_due()?;
            }
            let own = self.own_since.is_some_and(|since| since.elapsed() >= self.own_commit_after);
            if own && !self.appended && self.committing.is_none() {
                self.begin_commit(Changes::default(), Wants::Store)?;
            }
        }
    }

    fn append_lines(&mut self, lines: &Lines) -> Result<(), StateError> {
        self.appended = true;
        for (line, partition, ts_us) in lines.iter() {
            self.spool.patiently(|spool| spool.append(partition, line, ts_us))?;
        }
        self.gauges.spool_bytes.store(self.spool.spool.spool_bytes(), Ordering::Relaxed);
        Ok(())
    }

    fn append(&mut self, assembled: &Assembled) -> Result<(), StateError> {
        let (mut exchange, ts_us) = assembled.exchange();
        self.processor.redact(&mut exchange);
        let partition = Partition::new(self.processor.class(&exchange), exchange.service.as_deref(), ts_us);
        self.appended = true;
        let mut bodies = Bodies {
            spool: &mut self.spool,
            state: &self.state,
            partition: &partition,
            complete: exchange.complete,
            inline_bytes: self.processor.inline_bytes(),
            decode_limit_bytes: self.processor.decode_limit_bytes(),
        };
        let problems = &mut exchange.problems;
        if let Some(request) = &mut exchange.request {
            let encodings =
                self.processor.encodings(exchange.complete, request.headers.as_ref(), request.body_enc.as_deref());
            if bodies.store(&mut request.body, assembled.request_pieces(), &encodings, problems)? {
                request.body_enc = None;
            }
        }
        if let Some(response) = &mut exchange.response {
            let encodings =
                self.processor.encodings(exchange.complete, response.headers.as_ref(), response.body_enc.as_deref());
            if bodies.store(&mut response.body, assembled.response_pieces(), &encodings, problems)? {
                response.body_enc = None;
            }
        }
        let appended =
            self.spool.patiently(|spool| spool.append_with(&partition, ts_us, &mut |out| exchange.write_line(out)));
        self.gauges.spool_bytes.store(self.spool.spool.spool_bytes(), Ordering::Relaxed);
        appended
    }

    fn roll_due(&mut self) -> Result<(), StateError> {
        if self.batch_age.is_none() {
            return Ok(());
        }
        let open = self.spool.spool.open_batches();
        let now_us = crate::core::wall_us();
        self.spool.patiently(|spool| spool.roll_due(now_us))?;
        if self.spool.spool.open_batches() < open {
            self.own_since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn begin_commit(&mut self, mut changes: Changes, wants: Wants) -> Result<(), StateError> {
        self.end_commit()?;
        changes.ledger = serde_json::to_vec(&self.total()).unwrap_or_default();
        let inbox = &self.inbox;
        self.spool.patiently(|spool| spool.begin_commit(&changes, inbox.waker()))?;
        self.appended = false;
        self.own_since = None;
        self.committing = Some(wants);
        Ok(())
    }

    /// Waits for the commit under way, where there is one, and tells of it.
    fn end_commit(&mut self) -> Result<(), StateError> {
        let Some(wanted) = self.committing.take() else { return Ok(()) };
        let sealed = self.spool.spool.end_commit()?;
        if !sealed.is_empty() {
            self.gauges.objects_waiting.fetch_add(sealed.len() as u64, Ordering::Relaxed);
            (self.wake_uploader)();
        }
        self.publish();
        let at = crate::core::wall_us() / 1_000_000;
        self.board.update(|status| status.last_commit_unix_s = u64::try_from(at).unwrap_or_default());
        if wanted == Wants::Core {
            self.core.push_now(CoreMessage::Committed);
        }
        Ok(())
    }

    fn uploaded(&mut self, event: UploadEvent) -> Result<(), StateError> {
        match event {
            UploadEvent::Stored { object_no, bytes, already } => {
                // The uploader may have seen what is sealed by it before this thread has.
                self.end_commit()?;
                if let Some(exchanges) = self.spool.spool.mark_stored(object_no)? {
                    self.stored.exchanges_stored += exchanges;
                    if self.gauges.objects_waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
                        // At the end it waits for this.
                        self.core.push_now(CoreMessage::Wake);
                    }
                    self.stored.objects_stored += 1;
                    self.stored.bytes_stored += bytes;
                    self.stored.objects_already_stored += u64::from(already);
                    self.own_since.get_or_insert_with(Instant::now);
                }
                self.publish();
            }
            UploadEvent::Failing { why, retry_in, kind, .. } => {
                let for_good = matches!(kind, FaultKind::Permanent | FaultKind::Credentials | FaultKind::Object);
                self.gauges.failing_for_good.store(for_good, Ordering::Relaxed);
                self.gauges.failing.store(true, Ordering::Relaxed);
                self.gauges.refusals.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(retry_in_s = retry_in.as_secs_f64(), "the destination refuses, nothing is lost: {why}");
                self.board.update(|status| status.destination_failing = Some(why));
                // Somebody may wait for what cannot be stored now.
                self.core.push_now(CoreMessage::Wake);
            }
            UploadEvent::Recovered => {
                self.gauges.failing_for_good.store(false, Ordering::Relaxed);
                self.gauges.failing.store(false, Ordering::Relaxed);
                tracing::info!("the destination takes objects again");
                self.board.update(|status| status.destination_failing = None);
            }
        }
        Ok(())
    }

    fn total(&self) -> Ledger {
        self.base.plus(&self.stored).plus(&self.run)
    }

    /// Shows the state of the spool and what was stored.
    fn publish(&self) {
        let spool_bytes = self.spool.spool.spool_bytes();
        self.gauges.spool_bytes.store(spool_bytes, Ordering::Relaxed);
        let objects_waiting = self.gauges.objects_waiting.load(Ordering::Relaxed);
        self.board.update(|status| {
            status.spool_bytes = spool_bytes;
            status.objects_waiting = objects_waiting;
            for ledger in [&mut status.run, &mut status.total] {
                ledger.exchanges_stored = self.stored.exchanges_stored;
                ledger.objects_stored = self.stored.objects_stored;
                ledger.bytes_stored = self.stored.bytes_stored;
                ledger.objects_already_stored = self.stored.objects_already_stored;
            }
            status.total.exchanges_stored += self.base.exchanges_stored;
            status.total.objects_stored += self.base.objects_stored;
            status.total.bytes_stored += self.base.bytes_stored;
            status.total.objects_already_stored += self.base.objects_already_stored;
        });
    }
}
