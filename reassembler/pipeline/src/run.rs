//! A run as its shell sees it: started from a [`Config`], watched, stopped, waited for.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use reassemble_cloudwatch::LogsError;
use reassemble_sources::{Pipe, PipeConfig, SourceError};
use reassemble_store::{StateError, StoreError, Uploader};
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::builder::{Builder, pass_on};
use crate::config::Config;
use crate::core::CoreMessage;
use crate::exec::Child;
use crate::ledger::Ledger;
use crate::queue::Sender;
use crate::store_thread::StoreGauges;

/// What a run is doing, for status lines, metrics and health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The ledger of this run.
    pub run: Ledger,
    /// The ledger since the state directory was made.
    pub total: Ledger,
    /// Bytes of bounded input files: read so far, of all.
    pub files_read_bytes: u64,
    /// Bytes of bounded input files in all.
    pub files_total_bytes: u64,
    /// Files followed now.
    pub followed_files: u64,
    /// Whether every input is read to its end.
    pub caught_up: bool,
    /// Bytes accepted and not yet stored at the destination.
    pub spool_bytes: u64,
    /// Whether reading stands still because the spool is full.
    pub spool_full: bool,
    /// Sealed objects that wait for the destination.
    pub objects_waiting: u64,
    /// Why the destination refuses, where it does.
    pub destination_failing: Option<String>,
    /// Seconds since the Unix epoch of the last commit.
    pub last_commit_unix_s: u64,
}

/// Where the run keeps its [`Status`] for others to read.
#[derive(Debug, Default)]
pub struct StatusBoard(Mutex<Status>);

impl StatusBoard {
    /// The status as last published.
    pub fn snapshot(&self) -> Status {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the published status.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Why a run could not begin or go on. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The state directory or the spool.
    #[error(transparent)]
    State(#[from] StateError),
    /// An open capture in the state cannot be read.
    #[error("{0}")]
    Restore(String),
    /// An input.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Log groups of CloudWatch Logs.
    #[error(transparent)]
    LogGroups(#[from] LogsError),
    /// Objects that are to be read.
    #[error("cannot read {place}: {source}")]
    Objects {
        /// The bucket and key.
        place: String,
        /// What the store says.
        source: StoreError,
    },
    /// The destination's configuration.
    #[error(transparent)]
    Destination(#[from] StoreError),
    /// A retention is out of its bounds.
    #[error("a retention is from 1 to {} days", reassemble_formats::layout::MAX_RETENTION_DAYS)]
    Retention,
    /// The wrapped command cannot be started.
    #[error("cannot start {command}: {source}")]
    Command {
        /// The command's name.
        command: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Threads or the runtime cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// A thread ended that must not.
    #[error("the {0} thread ended unexpectedly; what was committed is safe: start again, and report this")]
    ThreadDied(&'static str),
}

impl RunError {
    /// Whether what was asked for is at fault, and not what happened.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            RunError::Retention
                | RunError::Source(SourceError::Pattern { .. })
                | RunError::LogGroups(LogsError::Config(_))
                | RunError::Destination(StoreError::Config(_))
                | RunError::Objects { source: StoreError::Config(_), .. }
        )
    }
}

/// Begins a graceful stop, from any thread.
#[derive(Clone)]
pub struct Stopper {
    pub(crate) core: Sender<CoreMessage>,
    pub(crate) gauges: Arc<StoreGauges>,
}

impl Stopper {
    /// What was accepted becomes durable, and the run ends within two seconds. Later calls do nothing more.
    pub fn stop(&self) {
        // First, for the core may be waiting for a store thread that waits for room on the disk.
        self.gauges.hurry.store(true, Ordering::Relaxed);
        self.core.push_now(CoreMessage::Stop);
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The last status.
    pub status: Status,
    /// The wrapped command's exit code (128 and the signal's number where a signal ended it).
    pub child_exit: Option<i32>,
    /// Objects that wait in the spool for the next run.
    pub undelivered_objects: u64,
}

/// A run that was started.
pub struct Run {
    /// Nothing where storing cannot work and a wrapped command runs without.
    pub(crate) storing: Option<Storing>,
    pub(crate) forwarders: Vec<JoinHandle<()>>,
    pub(crate) child: Option<Child>,
    pub(crate) board: Arc<StatusBoard>,
}

/// The threads that read and store.
pub(crate) struct Storing {
    pub(crate) core: JoinHandle<Result<(), RunError>>,
    pub(crate) store: JoinHandle<()>,
    pub(crate) stopper: Stopper,
    pub(crate) uploader: Uploader,
    pub(crate) runtime: Runtime,
    pub(crate) state_dir: PathBuf,
}

/// Bytes of lines between standard input and the core.
const PIPE_QUEUE_BYTES: usize = 1 << 20;
/// How long uploads under way may take once nobody waits for more.
const UPLOAD_GRACE: Duration = Duration::from_millis(100);

/// Starts a run over files, log groups and standard input.
///
/// # Errors
/// Where the configuration, the state or an input's set-up is at fault.
pub fn start(config: Config, status: Arc<StatusBoard>) -> Result<Run, RunError> {
    let mut builder = Builder::new(config, status)?;
    let input = builder.config.input.clone();
    if input.stdin && input.passthrough {
        builder.forward("stdin", std::io::stdin(), std::io::stdout(), Arc::default())?;
    } else if input.stdin {
        let waker = builder.waker.clone();
        let config = PipeConfig { max_line_bytes: input.max_line_bytes, queue_bytes: PIPE_QUEUE_BYTES };
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(move || waker.wake());
        let id = (builder.passing_ids)();
        builder.pipe = Some(Pipe::spawn(id, "stdin", std::io::stdin(), config, wake)?);
    }
    if let Some(groups) = &input.cloudwatch {
        builder.log_groups = Some(builder.read_groups(groups)?);
    }
    builder.finish()
}

/// Starts a command and a run over what it prints. Signals that this process gets go to the command.
///
/// # Errors
/// Where the command cannot be started, or the configuration is at fault. Where storing cannot work, the command runs all the same, and
/// its captures are shed.
pub fn exec(config: Config, command: &[OsString], status: Arc<StatusBoard>) -> Result<Run, RunError> {
    let max_line_bytes = config.input.max_line_bytes;
    let builder = match Builder::new(config, status.clone()) {
        Err(error) if !error.is_usage() => {
            tracing::error!("captures are not stored, the command runs without: {error}");
            None
        }
        builder => Some(builder?),
    };
    let mut child = Child::spawn(command)?;
    let (stdout, stderr) = child.take_outputs();
    let gone = child.gone();
    let Some(mut builder) = builder else {
        let forwarders = vec![
            pass_on("exec:stdout", stdout, std::io::stdout(), max_line_bytes, gone.clone())?,
            pass_on("exec:stderr", stderr, std::io::stderr(), max_line_bytes, gone)?,
        ];
        return Ok(Run { storing: None, forwarders, child: Some(child), board: status });
    };
    builder.forward("exec:stdout", stdout, std::io::stdout(), gone.clone())?;
    builder.forward("exec:stderr", stderr, std::io::stderr(), gone)?;
    let mut run = builder.finish()?;
    run.child = Some(child);
    Ok(run)
}

impl Run {
    /// Stops the run from elsewhere; nothing where there is nothing to stop but the wrapped command, which ends by itself.
    pub fn stopper(&self) -> Option<Stopper> {
        self.storing.as_ref().filter(|_| self.child.is_none()).map(|storing| storing.stopper.clone())
    }

    /// Waits for the end: of the inputs, of the wrapped command, or the one that a [`Stopper`] brings about.
    ///
    /// # Errors
    /// What ended the run before. A wrapped command's end is never an error: what befell storing was logged.
    pub fn wait(self) -> Result<Outcome, RunError> {
        let Run { storing, forwarders, child, board } = self;
        let child_exit = child.map(Child::wait);
        if child_exit.is_some() {
            join_all(forwarders);
            if let Some(Err(error)) = storing.map(Storing::wait) {
                tracing::error!("captures since the last commit are not stored: {error}");
            }
            return Ok(outcome(&board, child_exit));
        }
        let ended = storing.map_or(Ok(()), Storing::wait);
        if ended.is_err() {
            // Pass-through goes on without storing until its input ends.
            join_all(forwarders);
        }
        ended.map(|()| outcome(&board, None))
    }
}

fn outcome(board: &StatusBoard, child_exit: Option<i32>) -> Outcome {
    let status = board.snapshot();
    Outcome { child_exit, undelivered_objects: status.objects_waiting, status }
}

fn join_all(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a forwarding thread panicked; this is a fault of the program, please report it");
        }
    }
}

impl Storing {
    fn wait(self) -> Result<(), RunError> {
        let ended = self.core.join().unwrap_or(Err(RunError::ThreadDied("core")));
        if ended.is_ok() && self.store.join().is_err() {
            return Err(RunError::ThreadDied("store"));
        }
        self.runtime.block_on(self.uploader.stop(UPLOAD_GRACE));
        self.runtime.shutdown_timeout(UPLOAD_GRACE);
        if ended.is_err() {
            tracing::info!(state = %self.state_dir.display(), "what was committed is kept");
        }
        ended
    }
}
