//! The end of a commit, on a thread of its own: fsyncs, then the transaction. Both wait for the disk, and meanwhile lines are appended and
//! compressed.
//!
//! The files that a commit names may grow while it is under way. It fsyncs them through the handles by which everything was written that it
//! counts on, and what is written meanwhile goes through other handles, for the next commit; so an error of writing back meets a commit
//! that counts on the bytes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};

use redb::WriteTransaction;

use super::files::Touched;
use super::state::failed;
use crate::error::StateError;

/// What is left of a commit when everything is written.
pub(crate) struct Job {
    pub(crate) files: Touched,
    pub(crate) txn: WriteTransaction,
    /// Called when the commit has ended, on whichever thread that is.
    pub(crate) ended: Box<dyn FnOnce() + Send>,
}

type Outcome = Result<(), StateError>;
/// A commit, and where its outcome goes.
type Order = (Job, SyncSender<Outcome>);

/// The thread, which is started with the first commit and ends with this, and the commit that it has under way.
pub(crate) struct Committer {
    path: PathBuf,
    thread: Option<(SyncSender<Order>, JoinHandle<()>)>,
    under_way: Option<Receiver<Outcome>>,
    /// The outcome of the commit that was under way, where it was looked at and is not taken.
    landed: Option<Outcome>,
}

impl Committer {
    /// For the database at this path, by which its errors call it.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), thread: None, under_way: None, landed: None }
    }

    /// Begins to end a commit; the one before has to be waited for first.
    pub(crate) fn start(&mut self, job: Job) {
        debug_assert!(!self.is_under_way(), "two commits at once");
        let (answer, outcome) = sync_channel(1);
        self.under_way = Some(outcome);
        // Where no thread can be started this one waits for the disk.
        let job = match self.sender() {
            Some(sender) => sender.send((job, answer)).map_err(|refused| refused.0),
            None => Err((job, answer)),
        };
        if let Err((job, answer)) = job {
            finish(&self.path, job, &answer);
        }
    }

    fn sender(&mut self) -> Option<&SyncSender<Order>> {
        if self.thread.is_none() {
            let (sender, jobs) = sync_channel::<Order>(1);
            let path = self.path.clone();
            let work = move || jobs.into_iter().for_each(|(job, answer)| finish(&path, job, &answer));
            match thread::Builder::new().name("commit".into()).spawn(work) {
                Ok(thread) => self.thread = Some((sender, thread)),
                Err(error) => tracing::warn!(%error, "cannot start a thread; commits are waited for"),
            }
        }
        self.thread.as_ref().map(|(sender, _)| sender)
    }

    /// Whether there is a commit that nobody has waited for.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some() || self.landed.is_some()
    }

    /// Whether waiting takes no time.
    pub(crate) fn has_ended(&mut self) -> bool {
        if let Some(outcome) = &self.under_way {
            match outcome.try_recv() {
                Ok(outcome) => self.landed = Some(outcome),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => self.landed = Some(Err(thread_ended(&self.path))),
            }
            self.under_way = None;
        }
        true
    }

    /// Waits for the commit under way. True where there was one.
    pub(crate) fn wait(&mut self) -> Result<bool, StateError> {
        if let Some(outcome) = self.landed.take() {
            return outcome.map(|()| true);
        }
        match self.under_way.take() {
            Some(outcome) => outcome.recv().unwrap_or_else(|_| Err(thread_ended(&self.path))).map(|()| true),
            None => Ok(false),
        }
    }
}

impl Drop for Committer {
    /// A database is closed when its last transaction has ended.
    fn drop(&mut self) {
        if let Some((jobs, thread)) = self.thread.take() {
            drop(jobs);
            // A panic of its is told to whoever waits for the commit.
            drop(thread.join());
        }
    }
}

fn finish(path: &Path, job: Job, answer: &SyncSender<Outcome>) {
    let Job { files, txn, ended } = job;
    let outcome = files.sync().and_then(|()| txn.commit().map_err(|source| failed(path, source.into())));
    // Nobody waits for it where the spool is gone.
    drop(answer.send(outcome));
    ended();
}

fn thread_ended(path: &Path) -> StateError {
    StateError::write("commit", path)(io::Error::other("the thread that commits has ended"))
}
