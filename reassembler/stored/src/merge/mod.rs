//! `reassemble merge`: what several readers have stored of one capture, each for itself, becomes one exchange.
//!
//! The destination's batches of incomplete exchanges are read once, to find the captures of which there are several pieces ([`survey`]). Where there are
//! any at all, the complete exchanges of the same captures are looked for where they can lie ([`complete`]). All these are read again, some captures
//! at a time as memory allows ([`rounds`]): pieces that a complete exchange holds go; others are joined, and delivered as lines to a run of
//! the pipeline with the same destination; of complete exchanges that say the same one stays. What else the objects hold of which
//! something goes is written again unchanged, an object for each ([`rest`]). Once all of it is stored, the old objects are deleted. Bodies
//! that are objects of their own are never deleted.
//!
//! # What always holds
//! - Nothing is deleted before what replaces it is stored, and no object that this merge has stored is. Right before, it is looked whether all that
//!   stands for it is still there: a merge may have been ended long ago, and another one with a state of its own have run since.
//! - What a merge is about to do is written down first ([`journal`]). One that was ended anywhere is gone on with by the next: with the same objects,
//!   and with the run's own state, which knows what is stored already. What has come meanwhile is not its concern but that of the merge
//!   after it.
//! - What is decided depends on the plan and its objects alone, so that a merge that is gone on with decides as the first did.
//! - What cannot be joined exactly stays as it is, and so does what a complete exchange of the same capture contradicts.

mod complete;
mod journal;
mod read;
mod rest;
mod rounds;
mod survey;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reassemble_formats::Envelope;
use reassemble_formats::layout::RetentionClass;
use reassemble_pipeline::config::{Config, InputConfig, ProcessConfig, StoreConfig};
use reassemble_pipeline::run::{RunError, StatusBoard};
use reassemble_pipeline::{connect, deliver_noting, state_root};
use reassemble_store::{Destination, StoreError};
use serde::Serialize;
use tokio::runtime::Runtime;

use self::journal::{Journal, Phase, Plan};
use self::survey::Survey;

/// Longest line between taking apart and putting together, in bytes: a piece of a body, escaped, and a head.
const LINE_BYTES: usize = 16 << 20;
/// No capture times out, for all that is known of one comes at once; and no batch is of an age.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What is merged, and how what comes of it is stored.
#[derive(Clone, Debug)]
pub struct MergeConfig {
    /// What happens to exchanges. Bodies of incomplete ones stay as captured, whatever it says.
    pub process: ProcessConfig,
    /// The destination, and how it is written.
    pub store: StoreConfig,
    /// Whether to look and change nothing.
    pub dry_run: bool,
    /// Whether to look for complete exchanges that are stored more than once, in all batches that share their folder with another. Of those that
    /// pieces lead to, one stays in any case.
    pub repeated: bool,
    /// Complete exchanges are looked for from this time on alone, in milliseconds since the Unix epoch.
    pub complete_since_ms: Option<i64>,
}

/// How far a merge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It looks for pieces: batches read, and bytes of them.
    Looking {
        /// Batches.
        objects: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// What is stored of captures is held against each other and joined: captures so far, of all.
    Joining {
        /// So far.
        captures: u64,
        /// Of these.
        of: u64,
    },
    /// What is replaced is deleted: objects so far, of all.
    Deleting {
        /// So far.
        objects: u64,
        /// Of these.
        of: u64,
    },
}

/// What a merge came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Whether an earlier merge, which had not come to its end, was gone on with first.
    pub resumed: bool,
    /// Batches that were read.
    pub objects_read: u64,
    /// Bytes of them.
    pub bytes_read: u64,
    /// Batches that cannot be read to their end, or are not what their names say; they stay as they are.
    pub objects_damaged: u64,
    /// Incomplete exchanges in them.
    pub incomplete: u64,
    /// Captures whose pieces were joined; in a dry run, could be.
    pub captures: u64,
    /// Pieces of those.
    pub pieces: u64,
    /// Pieces that went, or could go, because a complete exchange of the capture holds all of them.
    pub pieces_held: u64,
    /// Complete exchanges that went, or could go, because another one says the same.
    pub repeated: u64,
    /// Batches in which a complete exchange could have been, and that were not read for they are older than was asked for.
    pub objects_too_old: u64,
    /// Captures that are complete now.
    pub completed: u64,
    /// Captures of which something is still missing.
    pub still_incomplete: u64,
    /// Captures of which more than one is stored that cannot be joined, or not all of them, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Objects that were written.
    pub objects_written: u64,
    /// Objects that were replaced and deleted.
    pub objects_deleted: u64,
}

/// Why a merge did not come to its end. What was done is kept, and the next goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The destination.
    #[error(transparent)]
    Destination(#[from] StoreError),
    /// The run that stores what was joined.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Another merge of the same destination runs.
    #[error("{dir} is in use by another merge: wait for its end, or give this one a directory of its own with --state", dir = dir.display())]
    Held {
        /// The folder of its state.
        dir: PathBuf,
    },
    /// The state of the merge.
    #[error("cannot {action} {path}: {source}; check the owner, the mode and the disk, or choose another directory with --state", path = path.display())]
    State {
        /// What was tried, as in `create`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something of this machine.
    #[error("cannot read objects: {0}")]
    Runtime(io::Error),
    /// An object is not what it was when it was read before.
    #[error("{key} has changed while it was read; nothing of it was deleted, merge again")]
    Changed {
        /// Its key.
        key: String,
    },
    /// Objects wait for the destination.
    #[error("the destination does not have everything yet, and nothing was deleted: {0}; merge again to go on")]
    Undelivered(String),
}

impl MergeError {
    /// Whether what was asked for is at fault, and not what happened.
    pub fn is_usage(&self) -> bool {
        match self {
            MergeError::Destination(error) => matches!(error, StoreError::Config(_)),
            MergeError::Run(error) => error.is_usage(),
            _ => false,
        }
    }

    fn state(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| MergeError::State { action, path, source }
    }
}

/// Merges what can be merged, and tells how far it is. Blocks until it is done. Whoever ends it by force loses nothing: the next goes on.
///
/// # Errors
/// What keeps the destination or the state from being read or written. Nothing is lost by it.
pub fn merge(config: &MergeConfig, progress: &mut dyn FnMut(&Progress)) -> Result<Outcome, MergeError> {
    let incomplete = RetentionClass::from_days(config.store.retention.incomplete_days).ok_or(RunError::Retention)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(MergeError::Runtime)?;
    let modes = (config.store.file_mode, config.store.folder_mode);
    let destination = runtime.block_on(connect(&config.store.to))?.with_modes(modes.0, modes.1);
    // Beside what readers keep, within a state directory that was named too.
    let state = config.store.state.clone().unwrap_or_else(|| state_root(&config.store.to)).join("merge");
    let mut merger = Merger { config, runtime, destination, progress, outcome: Outcome::default() };
    if config.dry_run {
        let mut survey = merger.survey(incomplete, None)?;
        merger.join(&mut survey, None)?;
        return Ok(merger.outcome);
    }
    // What is not there, or may not be read, is told before anything is made.
    merger.runtime.block_on(merger.destination.list().next_page())?;
    let mut journal = Journal::open(&state)?;
    if !matches!(journal.phase(), Phase::Nothing) {
        merger.outcome.resumed = true;
        merger.go_on(&mut journal, incomplete)?;
    }
    let survey = merger.survey(incomplete, None)?;
    if survey.captures() > 0 {
        let sources = survey.sources().map(|(_, key)| key.to_owned()).collect();
        journal.begin(Plan { class: incomplete, repeated: config.repeated, sources })?;
        merger.replace(&mut journal, survey)?;
    }
    Ok(merger.outcome)
}

/// A merge that runs.
struct Merger<'m> {
    config: &'m MergeConfig,
    runtime: Runtime,
    destination: Destination,
    progress: &'m mut dyn FnMut(&Progress),
    outcome: Outcome,
}

impl Merger<'_> {
    /// Goes on with what an earlier merge has begun.
    fn go_on(&mut self, journal: &mut Journal, incomplete: RetentionClass) -> Result<(), MergeError> {
        match journal.phase() {
            Phase::Nothing => Ok(()),
            Phase::Stored { replaced } => {
                let replaced = replaced.clone();
                self.delete(journal, &replaced)
            }
            Phase::Begun(plan) => {
                let plan = plan.clone();
                let survey = self.survey(incomplete, Some(plan))?;
                self.replace(journal, survey)
            }
        }
    }

    /// Stores what pieces are joined to and what else their objects hold, and deletes these.
    fn replace(&mut self, journal: &mut Journal, mut survey: Survey) -> Result<(), MergeError> {
        let board = Arc::new(StatusBoard::default());
        let (run, deliverer) = deliver_noting(self.run_config(journal), board, journal.noter())?;
        let joined = self.join(&mut survey, Some(&deliverer));
        let stopper = run.stopper().filter(|_| joined.is_err());
        // What was delivered of an unfinished merge must not be closed for want of the rest: it stays open in the state.
        if let Some(stopper) = stopper {
            stopper.stop();
        }
        drop(deliverer);
        let ended = run.wait();
        joined?;
        let ended = ended?;
        if ended.undelivered_objects > 0 {
            let why = ended.status.destination_failing.unwrap_or_else(|| "it did not answer in time".to_owned());
            return Err(MergeError::Undelivered(why));
        }
        self.outcome.completed += ended.status.run.exchanges_complete;
        self.outcome.still_incomplete += ended.status.run.exchanges_incomplete;
        self.outcome.objects_written += ended.status.run.objects_stored;
        let replaced = self.keep_the_rest(&survey, journal)?;
        let replaced = journal.stored(replaced)?;
        self.delete(journal, &replaced)
    }

    /// Deletes what is stored elsewhere; unless it is not any more, for another merge, or an expiry, came between: then all stays for the next look.
    fn delete(&mut self, journal: &mut Journal, replaced: &[String]) -> Result<(), MergeError> {
        for key in journal.needed(replaced) {
            if self.runtime.block_on(self.destination.open(&key))?.is_none() {
                tracing::warn!(
                    object = key,
                    "has gone since it was read or stored: nothing that it stands for is deleted"
                );
                return journal.end();
            }
        }
        for (objects, key) in (1u64..).zip(replaced) {
            self.runtime.block_on(self.destination.delete(key))?;
            self.outcome.objects_deleted += 1;
            (self.progress)(&Progress::Deleting { objects, of: replaced.len() as u64 });
        }
        journal.end()
    }

    /// A run that stores what is delivered, as whole batches whose bytes depend on what is delivered alone.
    fn run_config(&self, journal: &Journal) -> Config {
        Config {
            input: InputConfig { envelope: Envelope::Plain, max_line_bytes: LINE_BYTES, ..InputConfig::default() },
            timeout: NEVER,
            signing: None,
            process: ProcessConfig { decode_incomplete: false, ..self.config.process.clone() },
            store: StoreConfig { state: Some(journal.run_dir()), batch_age: NEVER, ..self.config.store.clone() },
        }
    }
}
