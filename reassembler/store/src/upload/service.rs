//! Which object gets a place next, and what waits for what.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::worker::{Aside, Ended, Worker};
use super::{Put, SealedQueue, UploadEvent};
use crate::error::FaultKind;
use crate::object::{ObjectKind, SealedObject};

/// Objects read at once.
const FETCH: usize = 64;
/// Objects set aside at once; with more, nothing new starts until one is tried again. A few hundred bytes each.
const MOST_ASIDE: usize = 1024;
/// A body that was set aside so often lets the batches of its folder by.
const BODY_HOLDS_TIMES: u32 = 2;

/// An object with its history.
#[derive(Debug)]
struct Entry {
    object: SealedObject,
    /// How often it was set aside.
    times_aside: u32,
    /// Its last fault was its own: the destination's recovery does not concern it.
    own: bool,
    /// Others were stored since it was set aside: one more failure is its own.
    suspect: bool,
}

/// An object that was set aside.
#[derive(Debug)]
struct Waiting {
    due: Instant,
    entry: Entry,
}

/// The uploader's task.
pub(super) struct Service<P> {
    queue: Arc<dyn SealedQueue>,
    worker: Worker<P>,
    wake: Arc<Notify>,
    hurry: Arc<Notify>,
    /// The highest number that was read.
    read: Option<u64>,
    ready: VecDeque<SealedObject>,
    tasks: JoinSet<Ended>,
    under_way: HashMap<Id, Entry>,
    aside: Vec<Waiting>,
    /// Objects with faults of their own, by number, until they are stored.
    troubled: BTreeMap<u64, (FaultKind, String)>,
}

impl<P: Put> Service<P> {
    pub(super) fn new(queue: Arc<dyn SealedQueue>, worker: Worker<P>, wake: Arc<Notify>, hurry: Arc<Notify>) -> Self {
        Self {
            queue,
            worker,
            wake,
            hurry,
            read: None,
            ready: VecDeque::new(),
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
            aside: Vec::new(),
            troubled: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let cancel = self.worker.cancel.clone();
        let mut read_again = None;
        while !cancel.is_cancelled() {
            if self.ready.is_empty() && read_again.is_none() && self.has_place() {
                read_again = self.read_more().await;
            }
            self.start();
            // One that is due but finds no free place waits for a task to end, not for the clock.
            let due = self.aside.iter().map(|waiting| waiting.due).min().filter(|_| self.has_place());
            let timer = [due, read_again].into_iter().flatten().min();
            tokio::select! {
                () = cancel.cancelled() => {}
                Some(ended) = self.tasks.join_next_with_id() => self.end(ended).await,
                () = self.wake.notified() => {}
                () = self.hurry.notified() => {
                    read_again = None;
                    self.hurry();
                }
                () = sleep_until(timer) => read_again = read_again.filter(|at| *at > Instant::now()),
            }
        }
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.end(ended).await;
        }
    }

    /// Tries now what waits for its time.
    fn hurry(&mut self) {
        self.worker.hurry();
        let now = Instant::now();
        self.aside.iter_mut().for_each(|waiting| waiting.due = now);
    }

    fn has_place(&self) -> bool {
        self.tasks.len() < self.worker.config.parallel.max(1)
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
        while self.has_place() {
            let now = Instant::now();
            let due = self.aside.iter().enumerate().filter(|(_, waiting)| waiting.due <= now);
            if let Some((first, _)) = due.min_by_key(|(_, waiting)| waiting.due) {
                let waiting = self.aside.swap_remove(first);
                self.spawn(waiting.entry);
                continue;
            }
            if self.aside.len() >= MOST_ASIDE {
                return;
            }
            let Some(next) = self.ready.iter().position(|object| self.may_start(object)) else { return };
            if let Some(object) = self.ready.remove(next) {
                self.spawn(Entry { object, times_aside: 0, own: false, suspect: false });
            }
        }
    }

    /// A batch waits for what it may refer to. Bodies come before batches in `ready`, so that those there need no look.
    fn may_start(&self, object: &SealedObject) -> bool {
        let holds = |body: &SealedObject| {
            body.kind == ObjectKind::Body && body.object_no < object.object_no && folder(body) == folder(object)
        };
        let aside = |waiting: &&Waiting| !waiting.entry.own && waiting.entry.times_aside < BODY_HOLDS_TIMES;
        object.kind == ObjectKind::Body
            || !(self.under_way.values().any(|entry| holds(&entry.object))
                || self.aside.iter().filter(aside).any(|waiting| holds(&waiting.entry.object)))
    }

    fn spawn(&mut self, entry: Entry) {
        let task = self.tasks.spawn(self.worker.clone().store(entry.object.clone(), entry.times_aside, entry.suspect));
        self.under_way.insert(task.id(), entry);
    }

    async fn end(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, ended),
            // A put that panicked is no reason to forget the object.
            Err(error) => {
                let retry_in = self.worker.config.permanent_retry;
                let own = Some((FaultKind::Object, format!("an upload failed: {error}")));
                (error.id(), Ended::Aside(Aside { retry_in, own }))
            }
        };
        let Some(entry) = self.under_way.remove(&id) else { return };
        match ended {
            Ended::Stored { recovered } => self.stored(entry.object.object_no, recovered).await,
            Ended::Aside(aside) => self.set_aside(entry, aside).await,
            Ended::Cancelled => {}
        }
    }

    async fn stored(&mut self, object_no: u64, recovered: bool) {
        let was_troubled = self.troubled.remove(&object_no).is_some();
        let now = Instant::now();
        if recovered {
            for waiting in self.aside.iter_mut().filter(|waiting| !waiting.entry.own) {
                waiting.due = now;
                waiting.entry.suspect = true;
            }
        }
        match self.troubled.first_key_value() {
            None if (recovered || was_troubled) && !self.worker.is_failing() => {
                self.worker.tell(UploadEvent::Recovered).await;
            }
            // The outage is over; what an object waits for is not.
            Some((&object_no, (kind, why))) if recovered => {
                let waiting = self.aside.iter().find(|waiting| waiting.entry.object.object_no == object_no);
                let retry_in = waiting.map(|waiting| waiting.due.duration_since(now)).unwrap_or_default();
                let (object_no, why, kind) = (Some(object_no), why.clone(), *kind);
                self.worker.tell(UploadEvent::Failing { object_no, why, retry_in, kind }).await;
            }
            _ => {}
        }
    }

    async fn set_aside(&mut self, entry: Entry, Aside { retry_in, own }: Aside) {
        let object_no = entry.object.object_no;
        let (own_fault, times_aside) = (own.is_some(), entry.times_aside.saturating_add(1));
        let entry = Entry { times_aside, own: own_fault, suspect: own_fault, ..entry };
        if let Some((kind, why)) = own {
            self.troubled.insert(object_no, (kind, why.clone()));
            self.worker.tell(UploadEvent::Failing { object_no: Some(object_no), why, retry_in, kind }).await;
        }
        self.aside.push(Waiting { due: Instant::now() + retry_in, entry });
    }
}

/// What two objects of one partition have in common.
fn folder(object: &SealedObject) -> &str {
    object.key.rsplit_once('/').map_or("", |(folder, _)| folder)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
