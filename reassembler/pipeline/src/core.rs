//! The core thread: reads what can be read, keeps the clocks, and says when to commit.
//!
//! It stops reading by itself where the queue to the store thread or the spool is full, and goes on when there is room. Its clock for
//! time-outs runs only while every input is read to its end.

mod flush;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reassemble_sources::{InputId, Pipe, PipeState, SourceError, Tail, WholeFile};
use reassemble_store::{Changes, StateError};

pub(crate) use self::flush::Flushes;
use crate::deliver::Deliveries;
use crate::forward::Feed;
use crate::intake::{COMMIT_CLOSED, Intake};
use crate::ledger::Ledger;
use crate::log_groups::LogGroups;
use crate::objects::{Next, Objects};
use crate::queue::{Popped, Receiver, Sender};
use crate::run::{RunError, StatusBoard};
use crate::store_thread::{CommitRequest, StoreGauges, StoreMessage};

/// What the core is told.
pub(crate) enum CoreMessage {
    /// There may be something to read.
    Wake,
    /// The last commit is durable.
    Committed,
    /// The store thread has ended.
    StoreFailed(StateError),
    /// End gracefully.
    Stop,
}

/// Wakes the core, once until it has woken.
#[derive(Clone)]
pub(crate) struct Waker {
    pub(crate) core: Sender<CoreMessage>,
    pub(crate) woken: Arc<AtomicBool>,
}

impl Waker {
    pub(crate) fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.core.push_now(CoreMessage::Wake);
        }
    }
}

/// Microseconds since the Unix epoch by the machine's clock.
pub(crate) fn wall_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Bytes read between two looks at messages and clocks.
const READ_BUDGET_BYTES: usize = 1 << 20;
/// Bytes read after which a commit is due, however short the time.
const COMMIT_BYTES: u64 = 64 << 20;
/// Longest stretch that the time-out clock advances at once: what no look has shown as read to its end does not count.
const CLOCK_STEP: Duration = Duration::from_secs(2);
/// How often the status is published where anything changed,
const STATUS_INTERVAL: Duration = Duration::from_millis(200);
/// or less often where a ledger of many inputs makes it long: one part in so many of the time,
const STATUS_SHARE: u32 = 1000;
/// but at least as often as this.
const STATUS_LATEST: Duration = Duration::from_secs(2);
/// Longest sleep.
const IDLE: Duration = Duration::from_secs(1);
/// Share of the spool's limit below which reading goes on.
const SPOOL_RESUME: f64 = 0.9;
/// After a stop: how long everything may take.
const STOP_GRACE: Duration = Duration::from_millis(1600);
/// After a stop: how long what pipes brought before it may take; a writer that goes on must not keep it from ending.
const DRAIN_GRACE: Duration = Duration::from_millis(500);
const DRAIN_PAUSE: Duration = Duration::from_millis(20);
/// At the end of bounded inputs: how long the destination may refuse before it is left for the next run.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same where only a person can mend it.
const PATIENCE_FOR_GOOD: Duration = Duration::from_secs(5);

/// The core's inputs and where it reports.
pub(crate) struct Core {
    pub(crate) intake: Intake,
    pub(crate) tail: Option<Tail>,
    pub(crate) files: Files,
    pub(crate) pipe: Option<Pipe>,
    pub(crate) feed: Option<Feed>,
    pub(crate) deliveries: Option<Deliveries>,
    pub(crate) log_groups: Option<LogGroups>,
    pub(crate) flushes: Flushes,
    pub(crate) inbox: Receiver<CoreMessage>,
    pub(crate) woken: Arc<AtomicBool>,
    pub(crate) store: Sender<StoreMessage>,
    pub(crate) gauges: Arc<StoreGauges>,
    pub(crate) hurry_uploader: Box<dyn Fn() + Send>,
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) base: Ledger,
    pub(crate) spool_limit_bytes: u64,
    pub(crate) commit_interval: Duration,
    pub(crate) clock: Clock,
    pub(crate) commits: Commits,
}

/// Files that are read to their end, one after the other, and then objects.
pub(crate) struct Files {
    pub(crate) waiting: VecDeque<PathBuf>,
    pub(crate) objects: VecDeque<Objects>,
    pub(crate) current: Option<WholeFile>,
    pub(crate) max_line_bytes: usize,
    pub(crate) next_id: Box<dyn FnMut() -> InputId + Send>,
    pub(crate) done_bytes: u64,
    pub(crate) total_bytes: u64,
}

/// The time-outs' clock.
#[derive(Default)]
pub(crate) struct Clock {
    active: Duration,
    caught_up_at: Option<Instant>,
}

impl Clock {
    /// Counts the time since the last look, where both looks found every input read to its end. Where what is read in turns is asked `stretch` times
    /// more seldom than it should be, it is that much slower: between two turns of an input no more time passes for its captures.
    fn look(&mut self, caught_up: bool, stretch: u32, now: Instant) {
        if let Some(before) = self.caught_up_at.filter(|_| caught_up) {
            self.active += now.duration_since(before).min(CLOCK_STEP) / stretch.max(1);
        }
        self.caught_up_at = caught_up.then_some(now);
    }
}

/// When the last commit was, and whether one is under way.
pub(crate) struct Commits {
    pub(crate) last: Instant,
    pub(crate) under_way: bool,
    pub(crate) bytes_at_last: u64,
}

/// How a run came to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The inputs ended.
    Inputs,
    /// Somebody said stop.
    Stopped,
}

/// What one round of reading found.
#[derive(Default)]
struct Round {
    read: bool,
    caught_up: bool,
    /// How many times more seldom than they should be some inputs are asked that are read to their end.
    stretch: u32,
    ended: bool,
}

impl Round {
    /// Whether nothing is known to be unread, and nothing may be for long.
    fn is_current(&self) -> bool {
        self.caught_up && self.stretch <= 1
    }
}

impl Core {
    /// Reads until the inputs end or it is told to stop; then makes everything durable and waits for the destination as long as is fit.
    pub(crate) fn run(mut self) -> Result<(), RunError> {
        let end = self.read_until_the_end()?;
        let stopped_at = Instant::now();
        if end == End::Stopped {
            self.drain_pipes(stopped_at);
        }
        // What no later run can read is closed; followed and whole files and log groups will be read again, and their captures wait for them.
        let bounded = self.tail.is_none() && end == End::Inputs;
        if bounded || self.reads_once() {
            while self.intake.finish() {
                self.await_commit()?;
                self.commit()?;
            }
        }
        self.await_commit()?;
        self.intake.flush();
        self.store.push_now(StoreMessage::RollAll);
        self.commit()?;
        self.await_commit()?;
        self.publish(true, true);
        self.await_uploads(end, stopped_at)?;
        self.store.push_now(StoreMessage::Close);
        Ok(())
    }

    fn read_until_the_end(&mut self) -> Result<End, RunError> {
        let mut publish_at = Instant::now();
        let mut shown = None;
        loop {
            let now = Instant::now();
            self.intake.set_time(self.clock.active, wall_us());
            let full = self.spool_is_full();
            let round = if self.commits.under_way && self.intake.memory_is_full() {
                // What is open can be put away once that commit is durable.
                Round::default()
            } else if full {
                self.read_only_feed()
            } else {
                self.read()?
            };
            self.clock.look(round.caught_up, round.stretch, now);
            self.intake.set_time(self.clock.active, wall_us());
            self.intake.crowd_out(self.spool_limit_bytes);
            self.intake.expire();
            self.check()?;
            if round.read || self.intake.is_dirty() {
                shown = None;
            }
            self.commit_if_due()?;
            self.go_on_flushing()?;
            let begun = Instant::now();
            let outline = Some((round.is_current(), full, self.followed_files()));
            if begun >= publish_at && shown != outline {
                self.publish(round.is_current(), false);
                shown = outline;
                publish_at = begun + (begun.elapsed() * STATUS_SHARE).clamp(STATUS_INTERVAL, STATUS_LATEST);
            }
            if round.ended {
                return Ok(End::Inputs);
            }
            let patience = if round.read { Duration::ZERO } else { self.sleep(Instant::now()) };
            if self.receive(patience)? {
                return Ok(End::Stopped);
            }
        }
    }

    /// One round over all inputs.
    fn read(&mut self) -> Result<Round, RunError> {
        let mut round = Round { caught_up: true, ended: self.tail.is_none(), ..Round::default() };
        if let Some(tail) = &mut self.tail {
            let progress = tail.read(READ_BUDGET_BYTES, Instant::now(), &mut self.intake);
            round.read |= progress.bytes > 0;
            round.caught_up &= progress.caught_up;
        }
        if self.files.read(&mut self.intake) {
            round.read = true;
            round.caught_up = false;
            round.ended = false;
        }
        if let Some(groups) = &mut self.log_groups {
            let progress = groups.read(READ_BUDGET_BYTES, &mut self.intake)?;
            round.read |= progress.read;
            round.caught_up &= progress.stretch > 0;
            round.stretch = progress.stretch;
            round.ended &= progress.ended;
        }
        self.read_pipes(&mut round);
        Ok(round)
    }

    /// Whether an input cannot be read again by a later run.
    fn reads_once(&self) -> bool {
        self.pipe.is_some() || self.feed.is_some() || self.deliveries.is_some()
    }

    /// One round while the spool is full. The wrapper and pass-through never wait for storing: what is admitted is taken, and new captures
    /// are shed before they come here.
    fn read_only_feed(&mut self) -> Round {
        let others_are_done = self.tail.is_none()
            && self.pipe.is_none()
            && self.deliveries.is_none()
            && self.log_groups.is_none()
            && self.files.is_done();
        let mut round = Round { ended: self.feed.is_some() && others_are_done, ..Round::default() };
        self.read_feed(&mut round);
        Round { caught_up: false, ..round }
    }

    fn read_pipes(&mut self, round: &mut Round) {
        if let Some(pipe) = &mut self.pipe {
            let mut budget = READ_BUDGET_BYTES;
            loop {
                match pipe.try_next(&mut self.intake) {
                    PipeState::Delivered { bytes } if bytes < budget => {
                        budget -= bytes;
                        round.read = true;
                    }
                    PipeState::Delivered { .. } => {
                        round.read = true;
                        round.caught_up = false;
                        round.ended = false;
                        break;
                    }
                    PipeState::Empty => {
                        round.ended = false;
                        break;
                    }
                    PipeState::Closed => break,
                }
            }
        }
        if let Some(deliveries) = &mut self.deliveries {
            let delivered = deliveries.read(READ_BUDGET_BYTES, &mut self.intake);
            round.read |= delivered.read;
            round.caught_up &= delivered.caught_up;
            round.ended &= delivered.ended;
            if let Some(request) = delivered.flush {
                self.flushes.add(request);
            }
        }
        self.read_feed(round);
    }

    /// Takes what was read from pipes before the stop: nobody else can read it any more.
    fn drain_pipes(&mut self, stopped_at: Instant) {
        let mut empty = 0;
        while empty < 2 && stopped_at.elapsed() < DRAIN_GRACE && self.reads_once() {
            let mut round = Round::default();
            self.read_pipes(&mut round);
            empty = if round.read { 0 } else { empty + 1 };
            if empty == 1 {
                // Whoever reads the pipe may hold a block that found no room before.
                std::thread::sleep(DRAIN_PAUSE);
            }
        }
    }

    fn read_feed(&mut self, round: &mut Round) {
        let Some(feed) = &mut self.feed else { return };
        let mut budget = READ_BUDGET_BYTES;
        loop {
            match feed.queue.pop(Duration::ZERO) {
                Popped::Item(item) => {
                    budget = budget.saturating_sub(item.weight());
                    item.deliver(&mut self.intake);
                    round.read = true;
                    if budget == 0 {
                        round.caught_up = false;
                        round.ended = false;
                        return;
                    }
                }
                Popped::Empty => {
                    round.ended = false;
                    return;
                }
                Popped::Closed => return,
            }
        }
    }

    fn spool_is_full(&self) -> bool {
        let bytes = self.gauges.spool_bytes.load(Ordering::Relaxed);
        let was_full = self.gauges.spool_full.load(Ordering::Relaxed);
        let limit = if was_full { self.spool_limit_bytes as f64 * SPOOL_RESUME } else { self.spool_limit_bytes as f64 };
        let full = bytes as f64 >= limit;
        if full != was_full {
            self.gauges.spool_full.store(full, Ordering::Relaxed);
            if full {
                tracing::warn!(
                    spool_bytes = bytes,
                    "the spool is full (--spool-limit): reading waits until the destination takes objects"
                );
            } else {
                tracing::info!("the spool has room again");
            }
        }
        full
    }

    fn check(&mut self) -> Result<(), RunError> {
        if let Some(error) = self.intake.take_error() {
            return Err(error.into());
        }
        if self.intake.store_is_gone() { self.store_error() } else { Ok(()) }
    }

    /// The store thread ended while it was needed; it has told why, or will.
    fn store_error(&mut self) -> Result<(), RunError> {
        loop {
            match self.inbox.pop(IDLE) {
                Popped::Item(CoreMessage::StoreFailed(error)) => return Err(error.into()),
                Popped::Item(_) => (),
                Popped::Empty | Popped::Closed => return Err(RunError::ThreadDied("store")),
            }
        }
    }

    /// Handles messages, waiting at most `patience` for the first. True where the run is to stop.
    fn receive(&mut self, mut patience: Duration) -> Result<bool, RunError> {
        loop {
            match self.inbox.pop(patience) {
                Popped::Item(CoreMessage::Stop) => return Ok(true),
                Popped::Item(CoreMessage::Wake) => self.woken.store(false, Ordering::Release),
                Popped::Item(CoreMessage::Committed) => self.committed(),
                Popped::Item(CoreMessage::StoreFailed(error)) => return Err(error.into()),
                Popped::Empty => return Ok(false),
                Popped::Closed => return Ok(true),
            }
            patience = Duration::ZERO;
        }
    }

    fn sleep(&self, now: Instant) -> Duration {
        let mut sleep = IDLE;
        if let Some(tail) = &self.tail {
            sleep = sleep.min(tail.next_wake(now));
        }
        if let Some(patience) = self.flushes.patience(now) {
            sleep = sleep.min(patience);
        }
        if self.intake.is_dirty() {
            sleep = sleep.min(self.commit_interval.saturating_sub(self.commits.last.elapsed()));
        }
        // A wake that came between the reading and this sleep is in the inbox; a zero sleep would spin.
        sleep.max(Duration::from_millis(1))
    }

    fn commit_if_due(&mut self) -> Result<(), RunError> {
        if self.commits.under_way || !self.intake.is_dirty() {
            return Ok(());
        }
        let bytes = self.intake.bytes_read() - self.commits.bytes_at_last;
        let due = self.commits.last.elapsed() >= self.commit_interval
            || bytes >= COMMIT_BYTES
            || self.intake.wants_commit()
            || self.intake.closed_since_commit() >= COMMIT_CLOSED;
        if due { self.commit() } else { Ok(()) }
    }

    /// Asks the store thread to make everything of this instant durable; never after an error, which closing captures at the end may meet too.
    fn commit(&mut self) -> Result<(), RunError> {
        self.check()?;
        let (open, seen) = self.intake.take_changes();
        let mut inputs = Vec::new();
        if let Some(tail) = &mut self.tail {
            for (id, record) in tail.changed_records() {
                let row = record.map(|record| crate::input_row::encode(&record, self.intake.carry(id).as_deref()));
                inputs.push((id.0, row));
            }
        }
        if let Some(groups) = &mut self.log_groups {
            inputs.extend(
                groups.changed_positions().map(|(id, record)| (id.0, Some(crate::input_row::encode(&record, None)))),
            );
        }
        let ledger = self.intake.ledger().clone();
        self.commits.bytes_at_last = ledger.bytes_read;
        self.commits.last = Instant::now();
        let changes = Changes { inputs, open, seen, ledger: Vec::new() };
        if !self.store.push(StoreMessage::Commit(Box::new(CommitRequest { changes, ledger })), 0) {
            return self.store_error();
        }
        self.commits.under_way = true;
        Ok(())
    }

    fn committed(&mut self) {
        self.commits.under_way = false;
        self.intake.committed();
        self.flushes.committed();
    }

    fn await_commit(&mut self) -> Result<(), RunError> {
        while self.commits.under_way {
            match self.inbox.pop(IDLE) {
                Popped::Item(CoreMessage::Committed) => self.committed(),
                Popped::Item(CoreMessage::StoreFailed(error)) => return Err(error.into()),
                Popped::Item(CoreMessage::Stop | CoreMessage::Wake) | Popped::Empty => (),
                Popped::Closed => return Err(RunError::ThreadDied("store")),
            }
        }
        Ok(())
    }

    /// Waits until the destination has everything, or it is time to leave the rest to the next run.
    fn await_uploads(&mut self, end: End, stopped_at: Instant) -> Result<(), RunError> {
        let mut stopped = (end == End::Stopped).then_some(stopped_at);
        let mut refused_since: Option<Instant> = None;
        while self.gauges.objects_waiting.load(Ordering::Relaxed) > 0 {
            if !self.gauges.failing.load(Ordering::Relaxed) {
                refused_since = None;
            }
            let for_good = self.gauges.failing_for_good.load(Ordering::Relaxed);
            let patience = if for_good || self.feed.is_some() { PATIENCE_FOR_GOOD } else { PATIENCE };
            let refused = self.gauges.failing.load(Ordering::Relaxed)
                && refused_since.get_or_insert_with(Instant::now).elapsed() >= patience;
            if refused || stopped.is_some_and(|at| at.elapsed() >= STOP_GRACE) {
                return Ok(());
            }
            match self.inbox.pop(Duration::from_millis(20)) {
                Popped::Item(CoreMessage::Stop) => stopped = stopped.or_else(|| Some(Instant::now())),
                Popped::Item(CoreMessage::StoreFailed(error)) => return Err(error.into()),
                Popped::Closed => return Err(RunError::ThreadDied("store")),
                _ => (),
            }
        }
        Ok(())
    }

    fn followed_files(&self) -> u64 {
        self.tail.as_ref().map_or(0, |tail| tail.followed_files() as u64)
    }

    fn publish(&mut self, caught_up: bool, ended: bool) {
        let run = self.intake.ledger().clone();
        let total = self.base.plus(&run);
        let followed_files = self.followed_files();
        let spool_full = self.gauges.spool_full.load(Ordering::Relaxed) && !ended;
        let (files_read_bytes, files_total_bytes) = self.files.progress();
        self.board.update(|status| {
            for (shown, counted) in [(&mut status.run, run), (&mut status.total, total)] {
                let stored = std::mem::take(shown);
                *shown = Ledger {
                    exchanges_stored: stored.exchanges_stored,
                    objects_stored: stored.objects_stored,
                    bytes_stored: stored.bytes_stored,
                    objects_already_stored: stored.objects_already_stored,
                    ..counted
                };
            }
            status.followed_files = followed_files;
            status.caught_up = caught_up;
            status.spool_full = spool_full;
            status.files_read_bytes = files_read_bytes;
            status.files_total_bytes = files_total_bytes;
        });
    }
}

impl Files {
    /// Reads on in the current file, or opens the next. False where there is none left.
    fn read(&mut self, intake: &mut Intake) -> bool {
        if self.current.is_none() {
            if let Some(path) = self.waiting.pop_front() {
                match WholeFile::open((self.next_id)(), &path, self.max_line_bytes) {
                    Ok(file) => self.current = Some(file),
                    Err(error) => self.refused(&path, &error, intake),
                }
            } else if !self.next_object(intake) {
                return false;
            }
        }
        if let Some(file) = &mut self.current {
            let progress = file.read(READ_BUDGET_BYTES, intake);
            if progress.done {
                self.done_bytes += progress.total_bytes;
                self.current = None;
            }
        }
        true
    }

    /// Opens the next object, if it has come. False where there is none left.
    fn next_object(&mut self, intake: &mut Intake) -> bool {
        let Some(objects) = self.objects.front_mut() else { return false };
        match objects.next() {
            Next::NotYet => {}
            Next::Object { name, bytes, reader } => {
                let id = (self.next_id)();
                self.current = Some(WholeFile::from_reader(id, &name, bytes, reader, self.max_line_bytes));
            }
            Next::Failed(why) => {
                tracing::error!("{why}");
                intake.ledger().input_failures += 1;
            }
            Next::End => {
                self.done_bytes += objects.listed_bytes() - objects.opened_bytes();
                self.total_bytes += objects.listed_bytes();
                self.objects.pop_front();
            }
        }
        true
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.objects.is_empty() && self.current.is_none()
    }

    fn refused(&mut self, path: &std::path::Path, error: &SourceError, intake: &mut Intake) {
        tracing::error!("cannot read {}: {error}", path.display());
        intake.ledger().input_failures += 1;
    }

    fn progress(&self) -> (u64, u64) {
        let current = self.current.as_ref().map_or(0, |file| file.progress().consumed_bytes);
        let listed: u64 = self.objects.iter().map(Objects::listed_bytes).sum();
        (self.done_bytes + current, self.total_bytes + listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_while_everything_is_read_and_slower_where_turns_come_seldom() {
        let (start, mut clock, mut at) = (Instant::now(), Clock::default(), Duration::ZERO);
        let mut look = |caught_up, stretch, later_ms| {
            at += Duration::from_millis(later_ms);
            clock.look(caught_up, stretch, start + at);
            clock.active.as_millis()
        };
        assert_eq!(look(true, 0, 500), 0, "nothing was known before");
        assert_eq!(look(true, 1, 500), 500);
        assert_eq!(look(true, 5, 500), 600);
        assert_eq!(look(true, 1, 60_000), 2_600, "nobody looked meanwhile");
        assert_eq!(look(false, 0, 500), 2_600);
        assert_eq!(look(true, 1, 500), 2_600);
    }
}
