//! From event to event: flushes at the end of invocations by the policy, and the end within what Lambda gives.
//!
//! Nothing here stands before a response: the function answers by itself, and Lambda hands its answer on when the runtime is done. What
//! this program does then only keeps the environment from its next request, and so is bounded: by the flush's own limit, and by the
//! invocation's deadline, past which Lambda would count the function as timed out.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reassemble_pipeline::run::StatusBoard;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout, timeout_at};

use crate::config::FlushPolicy;
use crate::extensions_api::{ApiError, Event, ExtensionsApi};
use crate::feeder::{Feeder, Seen};
use crate::telemetry::TIMEOUT_MS;

/// What is left of an invocation's time when nothing is waited for any more.
const MARGIN: Duration = Duration::from_millis(250);
/// A flush that has less time is not begun.
const LEAST_FLUSH: Duration = Duration::from_millis(100);
/// How long lines of a capture that is still open are waited for at the end of an invocation: two of the platform's bufferings.
const LATE_LINES: Duration = Duration::from_millis(2 * TIMEOUT_MS);
/// How often a wait for the end of an invocation looks whether there is still a reason for it.
const LOOK: Duration = Duration::from_millis(100);
/// How often managed instances flush, which are not told of invocations, where the policy does not say.
const MANAGED_PERIOD: Duration = Duration::from_secs(10);
/// All that a shutdown may take. Lambda kills after two seconds.
const SHUTDOWN: Duration = Duration::from_millis(1_800);
/// After so much of it, what still waits for room in the spool is given up, so that the rest ends well.
const SHUTDOWN_HURRY: Duration = Duration::from_millis(900);
/// At a shutdown, late lines have all come when none came for so long,
const QUIET: Duration = Duration::from_millis(4 * TIMEOUT_MS);
/// and are not waited for longer than this.
const LONGEST_QUIET: Duration = Duration::from_millis(400);

/// What is needed from event to event.
pub(crate) struct Lifecycle {
    pub(crate) api: ExtensionsApi,
    pub(crate) feeder: Feeder,
    /// Hears of the feeder's end.
    pub(crate) ended: oneshot::Receiver<()>,
    pub(crate) board: Arc<StatusBoard>,
    pub(crate) policy: FlushPolicy,
    pub(crate) flush_timeout: Duration,
}

impl Lifecycle {
    /// Goes from event to event until the environment ends; gives why it did not end as it should, where it did not.
    pub(crate) async fn run(self) -> Result<(), ApiError> {
        let mut flushes = Flushes { seen: self.feeder.seen(), last: SystemTime::now(), failing: None };
        let ended = loop {
            match self.next(&mut flushes).await {
                Ok(Event::Invoke { request_id, deadline_ms }) => {
                    self.invocation(&request_id, deadline_ms, &mut flushes).await;
                }
                Ok(Event::Shutdown { shutdown_reason }) => {
                    tracing::debug!(reason = shutdown_reason, "the environment ends");
                    break Ok(());
                }
                Err(error) => break Err(error),
            }
        };
        self.shut_down(flushes).await;
        ended
    }

    /// The next event. Where invocations are not told, it is a long wait, with flushes in between.
    async fn next(&self, flushes: &mut Flushes) -> Result<Event, ApiError> {
        let period = match self.policy {
            _ if self.api.is_told_of_invocations => return self.api.next().await,
            FlushPolicy::Shutdown => return self.api.next().await,
            FlushPolicy::Periodic(period) => period,
            FlushPolicy::End => MANAGED_PERIOD,
        };
        let next = self.api.next();
        tokio::pin!(next);
        loop {
            tokio::select! {
                event = &mut next => return event,
                () = sleep(period) => flushes.flush(&self.feeder, Instant::now() + self.flush_timeout).await,
            }
        }
    }

    /// One invocation: waits for its end, where a flush is due then.
    async fn invocation(&self, request_id: &str, deadline_ms: u64, flushes: &mut Flushes) {
        let is_due = match self.policy {
            FlushPolicy::End => true,
            FlushPolicy::Periodic(period) => flushes.last.elapsed().is_ok_and(|passed| passed >= period),
            FlushPolicy::Shutdown => false,
        };
        if !is_due || self.feeder.has_failed() {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left = Duration::from_millis(deadline_ms).saturating_sub(now).saturating_sub(MARGIN);
        let until = Instant::now() + left;
        if self.is_answered(request_id, until, flushes).await {
            flushes.flush(&self.feeder, until.min(Instant::now() + self.flush_timeout)).await;
        }
    }

    /// Waits until a request is answered. False where that is not told in time.
    async fn is_answered(&self, request_id: &str, until: Instant, flushes: &mut Flushes) -> bool {
        loop {
            let look = until.min(Instant::now() + LOOK);
            let answered = flushes.seen.wait_for(|seen| seen.is_answered(request_id));
            // Where the spool is full, the telemetry that would tell of the end waits for room too: that is what a flush makes.
            let is_answered = timeout_at(look.into(), answered).await.is_ok();
            if is_answered || self.board.snapshot().spool_full {
                self.feeder.forget(request_id);
                return true;
            }
            if Instant::now() >= until || self.feeder.has_failed() {
                return false;
            }
        }
    }

    async fn shut_down(self, mut flushes: Flushes) {
        let began = Instant::now();
        flushes.quiet(began + LONGEST_QUIET).await;
        let Lifecycle { feeder, mut ended, board, .. } = self;
        let finish = async {
            feeder.finish().await;
            // An error is the end of the feeder too.
            (&mut ended).await.ok();
        };
        if timeout_at((began + SHUTDOWN_HURRY).into(), finish).await.is_err() {
            feeder.stop();
            // What is not stored by then is durable in the spool.
            timeout_at((began + SHUTDOWN).into(), &mut ended).await.ok();
        }
        summary(&feeder, &board);
    }
}

/// What flushes have in common.
struct Flushes {
    seen: watch::Receiver<Seen>,
    last: SystemTime,
    /// Why the last one could not store, as it was logged.
    failing: Option<String>,
}

impl Flushes {
    /// Flushes, and again where lines come meanwhile: those that the platform had not sent when it told of the response.
    async fn flush(&mut self, feeder: &Feeder, until: Instant) {
        loop {
            if until.saturating_duration_since(Instant::now()) < LEAST_FLUSH {
                return;
            }
            let posts = self.seen.borrow_and_update().posts;
            let flushed = feeder.flush(until).await.unwrap_or_default();
            if feeder.has_failed() {
                return;
            }
            self.last = SystemTime::now();
            tracing::debug!(?flushed, "flushed");
            if !flushed.stored {
                self.tell(flushed.failing.unwrap_or_else(|| "there was no time for more".to_owned()));
                return;
            }
            self.failing = None;
            let is_later = |seen: &Seen| seen.posts > posts;
            let came = if flushed.open_captures > 0 {
                timeout(LATE_LINES, self.seen.wait_for(is_later)).await.is_ok()
            } else {
                is_later(&self.seen.borrow())
            };
            if !came {
                return;
            }
        }
    }

    /// Says why a flush could not store, where it did not say so before.
    fn tell(&mut self, failing: String) {
        if self.failing.as_ref() != Some(&failing) {
            tracing::warn!("captures wait for the next invocation: {failing}");
            self.failing = Some(failing);
        }
    }

    /// Waits until no telemetry has come for a while.
    async fn quiet(&mut self, until: Instant) {
        loop {
            let posts = self.seen.borrow_and_update().posts;
            let quiet = until.min(Instant::now() + QUIET);
            if timeout_at(quiet.into(), self.seen.wait_for(|seen| seen.posts > posts)).await.is_err() {
                return;
            }
        }
    }
}

/// One line of what this environment did.
fn summary(feeder: &Feeder, board: &StatusBoard) {
    let (status, tally) = (board.snapshot(), feeder.tally());
    let run = &status.run;
    let problems: Vec<_> =
        tally.problems.iter().map(|(name, (count, bytes))| format!("{name}={count} ({bytes} bytes)")).collect();
    tracing::info!(
        exchanges_complete = run.exchanges_complete,
        exchanges_incomplete = run.exchanges_incomplete,
        exchanges_stored = run.exchanges_stored,
        objects_waiting = status.objects_waiting,
        records_bad = run.records.bad.values().sum::<u64>(),
        records_unstored = tally.unstored_records,
        dropped_by_lambda_records = tally.dropped.0,
        dropped_by_lambda_bytes = tally.dropped.1,
        problems = problems.join(", "),
        "the environment ended"
    );
}
