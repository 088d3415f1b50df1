//! One object's tries: until it is stored, or set aside so that others get its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{Put, UploadConfig, UploadEvent};
use crate::destination::PutOutcome;
use crate::error::{FaultKind, StoreError};
use crate::object::SealedObject;

/// Failures between which others were stored, after which a fault that passes by itself is the object's own. In a storm, where one request
/// of two is refused, one object in eight is set aside for a moment; that costs nothing.
const OWN_AFTER: u32 = 3;
/// Tries in a row after which an object gives its place to another, though nothing shows that the fault is its own.
const YIELD_AFTER: u32 = 8;
/// How often the delay of what is set aside again and again doubles.
const MOST_DOUBLINGS: u32 = 4;

/// How a worker's task ended.
pub(super) enum Ended {
    Stored {
        /// The destination had refused before.
        recovered: bool,
    },
    Aside(Aside),
    Cancelled,
}

/// An object is set aside.
pub(super) struct Aside {
    pub(super) retry_in: Duration,
    /// The fault, where it is the object's own.
    pub(super) own: Option<(FaultKind, String)>,
}

/// What all workers share.
#[derive(Default)]
struct Shared {
    /// A fault of the destination's, and no success since.
    failing: AtomicBool,
    /// Waiting for the next try is over: another object was stored, or somebody is in a hurry.
    try_now: Notify,
    /// Objects stored.
    stored: AtomicU64,
    /// Failures since the last success.
    failures: AtomicU32,
}

/// What tries; a clone for each object.
#[derive(Clone)]
pub(super) struct Worker<P> {
    destination: P,
    pub(super) config: UploadConfig,
    events: mpsc::Sender<UploadEvent>,
    pub(super) cancel: CancellationToken,
    shared: Arc<Shared>,
}

impl<P: Put> Worker<P> {
    pub(super) fn new(
        destination: P,
        config: UploadConfig,
        events: mpsc::Sender<UploadEvent>,
        cancel: CancellationToken,
    ) -> Self {
        Self { destination, config, events, cancel, shared: Arc::default() }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
    }

    /// Ends all waiting for the next try.
    pub(super) fn hurry(&self) {
        self.shared.try_now.notify_waiters();
    }

    /// Tries until the object is stored or set aside, which happened to it so often before. For a suspect one
    /// more failure is its own.
    pub(super) async fn store(self, object: SealedObject, times_aside: u32, is_suspect: bool) -> Ended {
        let shared = Arc::clone(&self.shared);
        let (mut tries, mut while_others_passed) = (0, if is_suspect { OWN_AFTER } else { 0 });
        let mut stored_at_failure = None;
        loop {
            // Listens before it tries: a success elsewhere meanwhile must not be missed.
            let try_now = shared.try_now.notified();
            tokio::pin!(try_now);
            try_now.as_mut().enable();
            let error = match self.destination.put(&object).await {
                Ok(outcome) => return Ended::Stored { recovered: self.succeed(&object, outcome).await },
                Err(error) => error,
            };
            let kind = error.kind();
            let stored = shared.stored.load(Ordering::Relaxed);
            while_others_passed += u32::from(stored_at_failure.is_some_and(|before| stored > before));
            stored_at_failure = Some(stored);
            let own = match kind {
                FaultKind::Object => true,
                FaultKind::Permanent => while_others_passed > 0,
                FaultKind::Transient | FaultKind::Credentials => while_others_passed >= OWN_AFTER,
            };
            if own {
                let retry_in = self.aside_for(kind, times_aside);
                return Ended::Aside(Aside { retry_in, own: Some((kind, error.to_string())) });
            }
            let retry_in = self.delay(&error, tries);
            tries += 1;
            shared.failing.store(true, Ordering::Relaxed);
            let why = error.to_string();
            self.tell(UploadEvent::Failing { object_no: Some(object.object_no), why, retry_in, kind }).await;
            tokio::select! {
                () = tokio::time::sleep(retry_in) => {}
                () = try_now => {}
                () = self.cancel.cancelled() => return Ended::Cancelled,
            }
            if tries >= YIELD_AFTER && self.is_failing() {
                return Ended::Aside(Aside { retry_in: self.aside_for(kind, times_aside), own: None });
            }
        }
    }

    /// True where the destination had refused before.
    async fn succeed(&self, object: &SealedObject, outcome: PutOutcome) -> bool {
        self.shared.stored.fetch_add(1, Ordering::Relaxed);
        self.shared.failures.store(0, Ordering::Relaxed);
        let already = outcome == PutOutcome::AlreadyStored;
        self.tell(UploadEvent::Stored { object_no: object.object_no, bytes: object.bytes, already }).await;
        let recovered = self.shared.failing.swap(false, Ordering::Relaxed);
        if recovered {
            self.shared.try_now.notify_waiters();
        }
        recovered
    }

    /// Events are for whoever listens; where nobody does any more, the uploader ends.
    pub(super) async fn tell(&self, event: UploadEvent) {
        if self.events.send(event).await.is_err() {
            self.cancel.cancel();
        }
    }

    /// How long to wait after so many failed tries of one object, or as many of all of them since the last success.
    fn delay(&self, error: &StoreError, tries: u32) -> Duration {
        let places = u32::try_from(self.config.parallel.max(1)).unwrap_or(u32::MAX);
        let rounds = self.shared.failures.fetch_add(1, Ordering::Relaxed) / places;
        let whole = match error.kind() {
            FaultKind::Transient | FaultKind::Credentials => {
                doubled(self.config.first_retry, tries.max(rounds)).min(self.config.max_retry)
            }
            FaultKind::Permanent | FaultKind::Object => self.config.permanent_retry,
        };
        let asked = error.retry_after().unwrap_or_default();
        jittered(whole).max(asked + jittered(asked / 4))
    }

    fn aside_for(&self, kind: FaultKind, times_aside: u32) -> Duration {
        let whole = match kind {
            FaultKind::Transient | FaultKind::Credentials => self.config.max_retry,
            FaultKind::Permanent | FaultKind::Object => self.config.permanent_retry,
        };
        jittered(doubled(whole, times_aside.min(MOST_DOUBLINGS)))
    }
}

fn doubled(delay: Duration, times: u32) -> Duration {
    delay.saturating_mul(1u32.checked_shl(times.min(20)).unwrap_or(u32::MAX))
}

/// Half of a delay is fixed and half is drawn, so that many instances do not come back at one instant.
fn jittered(whole: Duration) -> Duration {
    let drawn = getrandom::u32().unwrap_or(u32::MAX);
    whole.mul_f64(0.5 + f64::from(drawn) / f64::from(u32::MAX) / 2.0)
}
