//! Storing everything now, because somebody waits for it.
//!
//! A flush goes through the same steps as the end of a run: what is complete is sealed, a commit makes it durable, and the uploader brings it to the
//! destination. Reading goes on meanwhile.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Core;
use crate::deliver::{FlushRequest, Flushed};
use crate::run::RunError;
use crate::store_thread::StoreMessage;

/// The flushes that are waited for.
#[derive(Default)]
pub(crate) struct Flushes {
    wanted: Vec<FlushRequest>,
    under_way: Vec<UnderWay>,
}

struct UnderWay {
    request: FlushRequest,
    /// The commit that makes it durable is.
    durable: bool,
    /// How often the destination had refused when it began, and whether it was failing then.
    refusals: u64,
    was_failing: bool,
}

impl Flushes {
    pub(crate) fn add(&mut self, request: FlushRequest) {
        self.wanted.push(request);
    }

    /// The commit under way is durable.
    pub(crate) fn committed(&mut self) {
        self.under_way.iter_mut().for_each(|flush| flush.durable = true);
    }

    /// How long until somebody has waited long enough.
    pub(crate) fn patience(&self, now: Instant) -> Option<Duration> {
        let requests = self.wanted.iter().chain(self.under_way.iter().map(|flush| &flush.request));
        requests.map(|request| request.deadline.saturating_duration_since(now)).min()
    }
}

impl Core {
    /// Begins the flushes that are wanted, and answers those that have come to their end.
    pub(super) fn go_on_flushing(&mut self) -> Result<(), RunError> {
        // A commit under way does not hold what came since.
        if !self.flushes.wanted.is_empty() && !self.commits.under_way {
            self.begin_flush()?;
        }
        self.answer_flushes();
        Ok(())
    }

    fn begin_flush(&mut self) -> Result<(), RunError> {
        let refusals = self.gauges.refusals.load(Ordering::Relaxed);
        let was_failing = self.gauges.failing.load(Ordering::Relaxed);
        let wanted = std::mem::take(&mut self.flushes.wanted);
        let begun = wanted.into_iter().map(|request| UnderWay { request, durable: false, refusals, was_failing });
        self.flushes.under_way.extend(begun);
        self.intake.flush();
        self.store.push_now(StoreMessage::RollAll);
        self.commit()?;
        (self.hurry_uploader)();
        Ok(())
    }

    fn answer_flushes(&mut self) {
        if self.flushes.wanted.is_empty() && self.flushes.under_way.is_empty() {
            return;
        }
        let now = Instant::now();
        let waiting_objects = self.gauges.objects_waiting.load(Ordering::Relaxed);
        let refusals = self.gauges.refusals.load(Ordering::Relaxed);
        let for_good = self.gauges.failing_for_good.load(Ordering::Relaxed);
        let over = |flush: &mut UnderWay| {
            let refused = refusals > flush.refusals && (flush.was_failing || for_good);
            flush.durable && (waiting_objects == 0 || refused) || flush.request.deadline <= now
        };
        let mut ended: Vec<(FlushRequest, bool)> = self
            .flushes
            .under_way
            .extract_if(.., over)
            .map(|flush| (flush.request, flush.durable && waiting_objects == 0))
            .collect();
        ended.extend(
            self.flushes.wanted.extract_if(.., |request| request.deadline <= now).map(|request| (request, false)),
        );
        if ended.is_empty() {
            return;
        }
        let open_captures = self.intake.ledger().open_captures;
        let failing = self.board.snapshot().destination_failing;
        for (request, stored) in ended {
            let flushed = Flushed { stored, waiting_objects, open_captures, failing: failing.clone() };
            // Whoever asked may have stopped waiting.
            request.reply.try_send(flushed).ok();
        }
    }
}
