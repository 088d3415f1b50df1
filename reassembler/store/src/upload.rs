//! The uploader: brings sealed objects to a destination, endlessly.
//!
//! - Objects are read from the committed state in order, a few at a time, so an outage of any length holds no memory.
//! - A batch starts only when no body with a lower number is under way: what refers comes after what is referred to.
//! - A fault that concerns the destination holds its place and is retried with growing, jittered delays; the first success after it
//!   wakes all others at once, so a spool drains as soon as it can.
//! - A fault that concerns one object ([`FaultKind::Object`]) parks it and lets the others go by. Nothing is ever dropped.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::{Id, JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::destination::{Destination, PutOutcome};
use crate::error::{FaultKind, StateError, StoreError};
use crate::object::{ObjectKind, SealedObject};

/// Objects read at once.
const FETCH: usize = 64;
/// Objects set aside at once; with more, nothing new starts until one is tried again.
const MAX_PARKED: usize = 64;
/// Events waiting to be read.
const EVENTS: usize = 256;

/// Where sealed objects come from: [`StateReader`](crate::StateReader).
pub trait SealedQueue: Send + Sync + 'static {
    /// Up to `limit` committed, sealed objects with a higher number than `object_no` (`None`: from the first), in order. Blocking.
    ///
    /// # Errors
    /// Where the state cannot be read.
    fn after(&self, object_no: Option<u64>, limit: usize) -> Result<Vec<SealedObject>, StateError>;
}

/// How hard the uploader tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadConfig {
    /// Objects under way at once.
    pub parallel: usize,
    /// Delay before the first retry of a transient fault; doubles with each.
    pub first_retry: Duration,
    /// Longest delay between retries of a transient fault or of refused credentials.
    pub max_retry: Duration,
    /// Delay between retries of what stays until a person acts.
    pub permanent_retry: Duration,
}

impl Default for UploadConfig {
    fn default() -> Self {
        Self {
            parallel: 4,
            first_retry: Duration::from_millis(200),
            max_retry: Duration::from_secs(15),
            permanent_retry: Duration::from_secs(60),
        }
    }
}

/// What the uploader tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadEvent {
    /// The destination has an object; tell [`Spool::mark_stored`](crate::Spool::mark_stored).
    Stored {
        /// Its number.
        object_no: u64,
        /// Its length.
        bytes: u64,
        /// It was there before.
        already: bool,
    },
    /// A try failed; there will be another.
    Failing {
        /// The object; `None` where the state could not be read.
        object_no: Option<u64>,
        /// What is wrong, and what to do.
        why: String,
        /// When it is tried again.
        retry_in: Duration,
        /// What kind of fault it is.
        kind: FaultKind,
    },
    /// The destination takes objects again.
    Recovered,
}

/// A running uploader.
#[derive(Debug)]
pub struct Uploader {
    wake: Arc<Notify>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Uploader {
    /// Starts on the current tokio runtime with what is pending. Events have to be read; while they are not, uploads wait.
    pub fn spawn(
        queue: Arc<dyn SealedQueue>,
        destination: Destination,
        config: UploadConfig,
    ) -> (Self, mpsc::Receiver<UploadEvent>) {
        Self::spawn_with(queue, destination, config)
    }

    fn spawn_with<P: Put>(
        queue: Arc<dyn SealedQueue>,
        destination: P,
        config: UploadConfig,
    ) -> (Self, mpsc::Receiver<UploadEvent>) {
        let (events, receiver) = mpsc::channel(EVENTS);
        let (wake, cancel) = (Arc::new(Notify::new()), CancellationToken::new());
        let worker = Worker {
            destination,
            config,
            events,
            cancel: cancel.clone(),
            failing: Arc::new(AtomicBool::new(false)),
            recovered: Arc::new(Notify::new()),
        };
        let task = tokio::spawn(Service::new(queue, worker, Arc::clone(&wake)).run());
        (Self { wake, cancel, task }, receiver)
    }

    /// Says that a commit has sealed objects. May be called from any thread.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// What calls [`wake`](Self::wake), for a thread that does not hold the uploader.
    pub fn waker(&self) -> impl Fn() + Send + 'static {
        let wake = Arc::clone(&self.wake);
        move || wake.notify_one()
    }

    /// Starts nothing more, and waits for what is under way, at most this long. True where all of it ended.
    pub async fn stop(mut self, deadline: Duration) -> bool {
        self.cancel.cancel();
        let ended = tokio::time::timeout(deadline, &mut self.task).await.is_ok();
        if !ended {
            self.task.abort();
        }
        ended
    }
}

/// The seam to a destination.
trait Put: Clone + Send + Sync + 'static {
    fn put(&self, object: &SealedObject) -> impl Future<Output = Result<PutOutcome, StoreError>> + Send;
}

impl Put for Destination {
    fn put(&self, object: &SealedObject) -> impl Future<Output = Result<PutOutcome, StoreError>> + Send {
        Destination::put(self, object)
    }
}

/// How a worker's task ended.
enum Ended {
    Stored,
    /// The fault is the object's own.
    Parked(Duration),
    Cancelled,
}

#[derive(Clone)]
struct Worker<P> {
    destination: P,
    config: UploadConfig,
    events: mpsc::Sender<UploadEvent>,
    cancel: CancellationToken,
    failing: Arc<AtomicBool>,
    recovered: Arc<Notify>,
}

impl<P: Put> Worker<P> {
    async fn store(self, object: SealedObject) -> Ended {
        let mut tries = 0;
        loop {
            // Listens before it tries: a success elsewhere meanwhile must not be missed.
            let recovered = self.recovered.notified();
            tokio::pin!(recovered);
            recovered.as_mut().enable();
            let error = match self.destination.put(&object).await {
                Ok(outcome) => {
                    self.succeed(&object, outcome).await;
                    return Ended::Stored;
                }
                Err(error) => error,
            };
            let kind = error.kind();
            let retry_in = self.delay(kind, tries);
            tries += 1;
            if kind != FaultKind::Object {
                self.failing.store(true, Ordering::Relaxed);
            }
            self.tell(UploadEvent::Failing {
                object_no: Some(object.object_no),
                why: error.to_string(),
                retry_in,
                kind,
            })
            .await;
            if kind == FaultKind::Object {
                return Ended::Parked(retry_in);
            }
            tokio::select! {
                () = tokio::time::sleep(retry_in) => {}
                () = recovered => {}
                () = self.cancel.cancelled() => return Ended::Cancelled,
            }
        }
    }

    async fn succeed(&self, object: &SealedObject, outcome: PutOutcome) {
        let already = outcome == PutOutcome::AlreadyStored;
        self.tell(UploadEvent::Stored { object_no: object.object_no, bytes: object.bytes, already }).await;
        if self.failing.swap(false, Ordering::Relaxed) {
            self.recovered.notify_waiters();
            self.tell(UploadEvent::Recovered).await;
        }
    }

    /// Events are for whoever listens; where nobody does any more, the uploader ends.
    async fn tell(&self, event: UploadEvent) {
        if self.events.send(event).await.is_err() {
            self.cancel.cancel();
        }
    }

    /// Half of the delay is fixed and half is drawn, so that many instances do not come back at one instant.
    fn delay(&self, kind: FaultKind, tries: u32) -> Duration {
        let whole = match kind {
            FaultKind::Transient | FaultKind::Credentials => {
                let grown = self.config.first_retry.saturating_mul(1u32.checked_shl(tries.min(20)).unwrap_or(u32::MAX));
                grown.min(self.config.max_retry)
            }
            FaultKind::Permanent | FaultKind::Object => self.config.permanent_retry,
        };
        let drawn = getrandom::u32().unwrap_or(u32::MAX);
        whole.mul_f64(0.5 + f64::from(drawn) / f64::from(u32::MAX) / 2.0)
    }
}

struct Service<P> {
    queue: Arc<dyn SealedQueue>,
    worker: Worker<P>,
    wake: Arc<Notify>,
    /// The highest number that was read.
    read: Option<u64>,
    ready: VecDeque<SealedObject>,
    tasks: JoinSet<Ended>,
    under_way: HashMap<Id, SealedObject>,
    parked: Vec<(Instant, SealedObject)>,
}

impl<P: Put> Service<P> {
    fn new(queue: Arc<dyn SealedQueue>, worker: Worker<P>, wake: Arc<Notify>) -> Self {
        Self {
            queue,
            worker,
            wake,
            read: None,
            ready: VecDeque::new(),
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
            parked: Vec::new(),
        }
    }

    async fn run(mut self) {
        let cancel = self.worker.cancel.clone();
        let mut read_again = None;
        while !cancel.is_cancelled() {
            if self.ready.is_empty() && read_again.is_none() && self.tasks.len() < self.worker.config.parallel.max(1) {
                read_again = self.read_more().await;
            }
            self.start();
            // A parked object that is due but finds no free place waits for a task to end, not for the clock.
            let free = self.tasks.len() < self.worker.config.parallel.max(1);
            let due = self.parked.iter().map(|(at, _)| *at).min().filter(|_| free);
            let timer = [due, read_again].into_iter().flatten().min();
            tokio::select! {
                () = cancel.cancelled() => {}
                Some(ended) = self.tasks.join_next_with_id() => self.end(ended),
                () = self.wake.notified() => {}
                () = sleep_until(timer) => read_again = read_again.filter(|at| *at > Instant::now()),
            }
        }
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.end(ended);
        }
    }

    /// Reads what was sealed since; answers with the time of the next try where it cannot.
    async fn read_more(&mut self) -> Option<Instant> {
        let (queue, read) = (Arc::clone(&self.queue), self.read);
        let why = match tokio::task::spawn_blocking(move || queue.after(read, FETCH)).await {
            Ok(Ok(objects)) => {
                self.read = objects.last().map_or(self.read, |object| Some(object.object_no));
                self.ready.extend(objects);
                return None;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let retry_in = self.worker.config.permanent_retry;
        self.worker.tell(UploadEvent::Failing { object_no: None, why, retry_in, kind: FaultKind::Permanent }).await;
        Some(Instant::now() + retry_in)
    }

    fn start(&mut self) {
        while self.tasks.len() < self.worker.config.parallel.max(1) {
            let now = Instant::now();
            if let Some(due) = self.parked.iter().position(|(at, _)| *at <= now) {
                let (_, object) = self.parked.swap_remove(due);
                self.spawn(object);
                continue;
            }
            let bodies = self.under_way.values().any(|object| object.kind == ObjectKind::Body);
            let next = self.ready.front().filter(|object| object.kind == ObjectKind::Body || !bodies);
            if next.is_none() || self.parked.len() >= MAX_PARKED {
                return;
            }
            if let Some(object) = self.ready.pop_front() {
                self.spawn(object);
            }
        }
    }

    fn spawn(&mut self, object: SealedObject) {
        let task = self.tasks.spawn(self.worker.clone().store(object.clone()));
        self.under_way.insert(task.id(), object);
    }

    fn end(&mut self, ended: Result<(Id, Ended), tokio::task::JoinError>) {
        let (id, park) = match ended {
            Ok((id, Ended::Parked(retry_in))) => (id, Some(retry_in)),
            Ok((id, Ended::Stored | Ended::Cancelled)) => (id, None),
            // A put that panicked is no reason to forget the object.
            Err(error) => (error.id(), Some(self.worker.config.permanent_retry)),
        };
        if let Some(object) = self.under_way.remove(&id)
            && let Some(retry_in) = park
        {
            self.parked.push((Instant::now() + retry_in, object));
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;
