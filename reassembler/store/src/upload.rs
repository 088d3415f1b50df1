//! The uploader: brings sealed objects to a destination, endlessly.
//!
//! - Objects are read from the committed state in order, and sent several at a time; they are streamed from their files, so that neither
//!   their size nor an outage of any length holds memory.
//! - What refers comes after what is referred to: a batch waits for the bodies of its folder that were sealed before it, and for no others.
//! - A fault that concerns the destination holds its place and is retried with growing, jittered delays, or when the store says
//!   (`Retry-After`); the first success after it wakes all others at once, so that a spool drains as soon as it can.
//! - A fault that concerns one object sets it aside, and the others go by: one that is so by nature ([`FaultKind::Object`]), or one that
//!   stays while the destination takes others. Where nothing succeeds, places are given to other objects from time to time, so that a
//!   few objects with troubles of their own cannot pass for an outage.
//! - Nothing is ever dropped: what was set aside is tried again, for as long as the process lives, and by the next.

mod service;
mod worker;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::service::Service;
use self::worker::Worker;
use crate::destination::{Destination, PutOutcome};
use crate::error::{FaultKind, StateError, StoreError};
use crate::object::SealedObject;

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
        Self::patient(Duration::from_secs(15))
    }
}

impl UploadConfig {
    /// The defaults with another longest delay; what stays until a person acts is asked for a quarter as often.
    pub fn patient(max_retry: Duration) -> Self {
        Self {
            parallel: 4,
            first_retry: Duration::from_millis(200),
            max_retry,
            permanent_retry: max_retry.saturating_mul(4),
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
    /// The destination takes objects again, and none is set aside.
    Recovered,
}

/// A running uploader.
#[derive(Debug)]
pub struct Uploader {
    wake: Arc<Notify>,
    hurry: Arc<Notify>,
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
        let (wake, hurry) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let cancel = CancellationToken::new();
        let worker = Worker::new(destination, config, events, cancel.clone());
        let task = tokio::spawn(Service::new(queue, worker, Arc::clone(&wake), Arc::clone(&hurry)).run());
        (Self { wake, hurry, cancel, task }, receiver)
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

    /// What has everything that waits for its next try tried now, for a thread that does not hold the uploader.
    pub fn hurrier(&self) -> impl Fn() + Send + 'static {
        let hurry = Arc::clone(&self.hurry);
        move || hurry.notify_one()
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

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;
