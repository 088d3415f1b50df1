//! A capture under way, on the side of the app: its steps go to the queue, or are held until it is known whether they shall.
//!
//! Invariants: what is held counts against the queue's limit; a held capture is admitted or left out once, at its response's head, and counted then.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Instant,
};

use crate::{
    batch::Batch,
    emitter::Shared,
    message::{CaptureStatus, ResponseStart, Step},
    queue::QueueFull,
};

/// What is kept in the queue for each open capture: two ends and a response's head without headers.
pub(crate) const CLOSING_BYTES: usize = 1024;
/// How much of a request's body is held until it is known whether the capture is taken.
const HELD_BODY_BYTES: u64 = 64 << 10;
/// Statuses from here on are errors of the service's own.
const SERVER_ERROR: u16 = 500;

/// One capture, shared by its halves.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) shared: Arc<Shared>,
    steps: Steps,
    start: Instant,
    /// `start` by the clock on the wall, in microseconds since 1970.
    pub(crate) ts_us: i64,
}

#[derive(Debug)]
enum Steps {
    /// They go to the queue under this number.
    Queued(u64),
    Held(Mutex<Held>),
}

/// What becomes of a capture that is captured only if it goes wrong.
#[derive(Debug)]
enum Held {
    Waits(Batch),
    Admitted(u64),
    LeftOut,
}

impl Live {
    pub(crate) fn admitted(shared: &Arc<Shared>, n: u64, start: Instant, ts_us: i64) -> Live {
        Live { shared: Arc::clone(shared), steps: Steps::Queued(n), start, ts_us }
    }

    /// A capture of which this is the first step, and for which room was taken.
    pub(crate) fn held(shared: &Arc<Shared>, first: Step<'_>, start: Instant, ts_us: i64) -> Live {
        let (mut batch, cost) = (Batch::default(), first.cost());
        batch.put(0, first, cost);
        Live { shared: Arc::clone(shared), steps: Steps::Held(Mutex::new(Held::Waits(batch))), start, ts_us }
    }

    /// Microseconds since the request began.
    pub(crate) fn elapsed_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// How many bytes of a body are captured.
    pub(crate) fn body_limit(&self) -> u64 {
        let limit = self.shared.settings.body_limit;
        match &self.steps {
            Steps::Held(held) if matches!(*lock(held), Held::Waits(_)) => limit.min(HELD_BODY_BYTES),
            _ => limit,
        }
    }

    /// Begins the response. `failed`: none will come, for whoever was to give it has failed.
    pub(crate) fn respond(&self, start: &ResponseStart<'_>, failed: bool) -> Result<(), QueueFull> {
        if let Steps::Held(held) = &self.steps {
            let mut held = lock(held);
            if let Held::Waits(batch) = &mut *held {
                let wrong = failed || matches!(start.status, Some(CaptureStatus::Code(SERVER_ERROR..)));
                *held = match wrong {
                    true => Held::Admitted(self.shared.queue.admit_held(std::mem::take(batch))),
                    false => self.left_out(batch),
                };
            }
        }
        self.push(Step::Respond(start))
    }

    /// Puts a step in, or refuses it where that passes the queue's limit.
    pub(crate) fn push(&self, step: Step<'_>) -> Result<(), QueueFull> {
        let queue = &self.shared.queue;
        let held = match &self.steps {
            Steps::Queued(n) => return queue.push(*n, step),
            Steps::Held(held) => held,
        };
        match &mut *lock(held) {
            Held::Admitted(n) => queue.push(*n, step),
            Held::LeftOut => Ok(()),
            Held::Waits(batch) => {
                let cost = step.cost();
                queue.take_room(cost)?;
                batch.put(0, step, cost);
                Ok(())
            }
        }
    }

    /// Puts a step in for which room was kept, whatever the queue holds.
    pub(crate) fn push_reserved(&self, step: Step<'_>) {
        let queue = &self.shared.queue;
        let held = match &self.steps {
            Steps::Queued(n) => return queue.push_reserved(*n, step),
            Steps::Held(held) => held,
        };
        match &mut *lock(held) {
            Held::Admitted(n) => queue.push_reserved(*n, step),
            Held::LeftOut => {}
            Held::Waits(batch) => {
                let cost = step.cost();
                queue.take_reserved(cost);
                batch.put(0, step, cost);
            }
        }
    }

    fn left_out(&self, batch: &Batch) -> Held {
        self.shared.queue.release(batch.cost() + CLOSING_BYTES);
        self.shared.counters.sampled_out.fetch_add(1, Ordering::Relaxed);
        Held::LeftOut
    }
}

impl Drop for Live {
    /// A held capture whose response never was to come.
    fn drop(&mut self) {
        if let Steps::Held(held) = &self.steps
            && let Held::Waits(batch) = &*lock(held)
        {
            self.left_out(batch);
        }
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    // Nothing panics while it is held but for want of memory.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
