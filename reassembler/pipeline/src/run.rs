//! A run as its shell sees it: started from a [`Config`], watched, stopped, waited for.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use reassemble_sources::{InputId, Pipe, PipeConfig, SourceError, Tail, TailConfig};
use reassemble_store::{
    Destination, DirConfig, DirStore, KmsKey, Restored, S3Config, S3Store, Spool, SpoolConfig, StateError, StoreError,
    UploadConfig, UploadEvent, Uploader,
};
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::config::{Compression, Config, DestinationConfig, StoreConfig};
use crate::core::{Clock, Commits, Core, CoreMessage, Files, Waker};
use crate::exec::Child;
use crate::forward::{Admission, Fed, Feed, Forwarder};
use crate::input_row;
use crate::intake::{Intake, IntakeConfig};
use crate::ledger::Ledger;
use crate::patient::PatientSpool;
use crate::process::Processor;
use crate::queue::{Receiver, Sender, queue};
use crate::state_dir;
use crate::store_thread::{StoreGauges, StoreMessage, StoreThread};

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
                | RunError::Destination(StoreError::Config(_))
        )
    }
}

/// Begins a graceful stop, from any thread.
#[derive(Clone)]
pub struct Stopper {
    core: Sender<CoreMessage>,
    gauges: Arc<StoreGauges>,
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
    storing: Option<Storing>,
    forwarders: Vec<JoinHandle<()>>,
    child: Option<Child>,
    board: Arc<StatusBoard>,
}

/// The threads that read and store.
struct Storing {
    core: JoinHandle<Result<(), RunError>>,
    store: JoinHandle<()>,
    stopper: Stopper,
    uploader: Uploader,
    runtime: Runtime,
    state_dir: PathBuf,
}

/// Open captures may take one in so many of the bytes that may be held (`--memory`),
const ASSEMBLER_SHARE: usize = 2;
/// exchanges between the core and the store thread,
const STORE_QUEUE_SHARE: usize = 4;
/// lines of unfinished blocks,
const PENDING_SHARE: usize = 8;
/// and the state database's cache.
const CACHE_SHARE: usize = 8;
/// Bytes of records between forwarders and the core.
const FEED_QUEUE_BYTES: usize = 4 << 20;
/// Bytes of lines between standard input and the core.
const PIPE_QUEUE_BYTES: usize = 1 << 20;
/// Ids from here on are of inputs that are not followed, and keep nothing.
const FIRST_PASSING_ID: u64 = 1 << 63;
/// How long a full disk is waited for once all streams that were passed on have ended: whoever runs the wrapper waits for it.
const FULL_DISK_PATIENCE: Duration = Duration::from_secs(5);
/// How long uploads under way may take once nobody waits for more.
const UPLOAD_GRACE: Duration = Duration::from_millis(100);

/// Starts a run over files and standard input.
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
        let (feed, _) = queue(FEED_QUEUE_BYTES);
        let admission = Arc::new(Admission::new(Arc::default()));
        admission.close();
        let out = Forwarder::new(
            "exec:stdout",
            stdout,
            std::io::stdout(),
            max_line_bytes,
            feed.clone(),
            admission.clone(),
            gone.clone(),
        );
        let err = Forwarder::new("exec:stderr", stderr, std::io::stderr(), max_line_bytes, feed, admission, gone);
        let forwarders =
            vec![spawn("forward stdout", move || _ = out.run())?, spawn("forward stderr", move || _ = err.run())?];
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

/// A run that is being put together.
struct Builder {
    config: Config,
    board: Arc<StatusBoard>,
    spool: Spool,
    restored: Restored,
    processor: Processor,
    state_dir: PathBuf,
    runtime: Runtime,
    destination: Destination,
    gauges: Arc<StoreGauges>,
    core_inbox: Receiver<CoreMessage>,
    core: Sender<CoreMessage>,
    waker: Waker,
    feed: Option<Feeding>,
    pipe: Option<Pipe>,
    passing_ids: Box<dyn FnMut() -> InputId + Send>,
    forwarders: Vec<JoinHandle<()>>,
}

/// What forwarders share.
struct Feeding {
    sender: Sender<Fed>,
    receiver: Receiver<Fed>,
    admission: Arc<Admission>,
    streams: Arc<Streams>,
}

/// Held by each stream that is passed on. When the last has ended, a full disk is not waited for much longer.
struct Streams(Arc<StoreGauges>);

impl Drop for Streams {
    fn drop(&mut self) {
        let gauges = self.0.clone();
        // Where no thread can be started the wait is without end, as it is for inputs that can be read again.
        drop(spawn("patience", move || {
            thread::sleep(FULL_DISK_PATIENCE);
            gauges.hurry.store(true, Ordering::Relaxed);
        }));
    }
}

impl Builder {
    fn new(config: Config, board: Arc<StatusBoard>) -> Result<Self, RunError> {
        let processor = Processor::new(&config.process, config.store.retention).ok_or(RunError::Retention)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("runtime")
            .enable_all()
            .build()
            .map_err(RunError::Thread)?;
        let destination =
            runtime.block_on(connect(&config.store.to))?.with_modes(config.store.file_mode, config.store.folder_mode);
        let (spool, restored, state_dir) = open_spool(&config)?;
        let gauges = Arc::new(StoreGauges::default());
        gauges.objects_waiting.store(restored.sealed_objects as u64, Ordering::Relaxed);
        let (core, core_inbox) = queue(usize::MAX);
        let waker = Waker { core: core.clone(), woken: Arc::new(AtomicBool::new(false)) };
        let mut next = FIRST_PASSING_ID;
        let passing_ids = Box::new(move || {
            next += 1;
            InputId(next)
        });
        tracing::info!(state = %state_dir.display(), destination = destination.describe(), "ready");
        Ok(Builder {
            config,
            board,
            spool,
            restored,
            processor,
            state_dir,
            runtime,
            destination,
            gauges,
            core_inbox,
            core,
            waker,
            feed: None,
            pipe: None,
            passing_ids,
            forwarders: Vec::new(),
        })
    }

    /// Starts to pass a stream on.
    fn forward(
        &mut self,
        source: &str,
        input: impl std::io::Read + std::os::fd::AsFd + Send + 'static,
        output: impl std::io::Write + Send + 'static,
        writer_gone: Arc<AtomicBool>,
    ) -> Result<(), RunError> {
        let gauges = &self.gauges;
        let Feeding { sender, admission, streams, .. } = self.feed.get_or_insert_with(|| {
            let (sender, receiver) = queue(FEED_QUEUE_BYTES);
            let admission = Arc::new(Admission::new(gauges.clone()));
            Feeding { sender, receiver, admission, streams: Arc::new(Streams(gauges.clone())) }
        });
        let streams = streams.clone();
        let waker = self.waker.clone();
        let max_line_bytes = self.config.input.max_line_bytes;
        let forwarder =
            Forwarder::new(source, input, output, max_line_bytes, sender.clone(), admission.clone(), writer_gone)
                .waking({
                    let waker = waker.clone();
                    move || waker.wake()
                });
        let forward = move || {
            _ = forwarder.run();
            drop(streams);
            // Its end of the queue is gone now: that is what the core is to see.
            waker.wake();
        };
        self.forwarders.push(spawn(&format!("forward {source}"), forward)?);
        Ok(())
    }

    /// Starts the threads.
    fn finish(self) -> Result<Run, RunError> {
        let Builder { config, board, spool, restored, gauges, runtime, .. } = self;
        let (store, store_inbox) = queue(config.store.memory_bytes / STORE_QUEUE_SHARE);
        let reader = spool.reader();
        let (uploader, events) = {
            let _entered = runtime.enter();
            Uploader::spawn(
                Arc::new(reader.clone()),
                self.destination,
                UploadConfig::patient(config.store.retry_max_delay),
            )
        };
        runtime.spawn(pass_events(events, store.clone()));
        let base = read_ledger(&restored.ledger)?;
        let mut carried = HashMap::new();
        let mut records = Vec::new();
        for (id, row) in restored.inputs {
            let (record, carry) = input_row::decode(&row)
                .ok_or_else(|| RunError::Restore(format!("the position of input {id} in the state cannot be read")))?;
            carried.extend(carry.map(|carry| (InputId(id), carry)));
            records.push((InputId(id), record));
        }
        let input = &config.input;
        let tail = if input.follow.is_empty() { None } else { Some(open_tail(&config, records, self.waker.clone())?) };
        let intake = IntakeConfig {
            envelope: input.envelope,
            max_line_bytes: input.max_line_bytes,
            timeout: config.timeout,
            memory_bytes: config.store.memory_bytes / ASSEMBLER_SHARE,
            signing: config.signing.clone(),
        };
        let mut intake = Intake::new(intake, reader.clone(), &base, carried, store.clone())?;
        intake.set_time(Duration::ZERO, crate::core::wall_us());
        let files: Vec<PathBuf> = input.files.iter().filter(|path| *path != Path::new("-")).cloned().collect();
        let core = Core {
            intake,
            tail,
            files: Files {
                total_bytes: files.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum(),
                waiting: files.into(),
                current: None,
                max_line_bytes: input.max_line_bytes,
                next_id: self.passing_ids,
                done_bytes: 0,
            },
            pipe: self.pipe,
            feed: self.feed.map(|feed| Feed { queue: feed.receiver }),
            inbox: self.core_inbox,
            woken: self.waker.woken.clone(),
            store,
            gauges: gauges.clone(),
            board: board.clone(),
            base: base.clone(),
            spool_limit_bytes: config.store.spool_limit_bytes,
            commit_interval: config.store.commit_interval,
            clock: Clock::default(),
            commits: Commits { last: Instant::now(), under_way: false, bytes_at_last: 0 },
        };
        let stop_gauges = gauges.clone();
        let wake_uploader = uploader.waker();
        let ages = !config.input.follow.is_empty() || config.input.stdin || !self.forwarders.is_empty();
        let thread = StoreThread {
            spool: PatientSpool { spool, gauges: gauges.clone(), board: board.clone() },
            state: reader.clone(),
            processor: self.processor,
            inline_body_bytes: config.store.inline_body_bytes,
            batch_age: ages.then_some(config.store.batch_age),
            own_commit_after: config.store.commit_interval,
            inbox: store_inbox,
            core: self.core.clone(),
            wake_uploader: Box::new(wake_uploader),
            board: board.clone(),
            gauges,
            base,
            run: Ledger::default(),
            stored: Ledger::default(),
            appended: false,
            own_since: None,
            line: Vec::new(),
        };
        let storing = Storing {
            store: spawn("store", move || thread.run())?,
            core: spawn("core", move || core.run())?,
            stopper: Stopper { core: self.core, gauges: stop_gauges },
            uploader,
            runtime,
            state_dir: self.state_dir,
        };
        Ok(Run { storing: Some(storing), forwarders: self.forwarders, child: None, board })
    }
}

fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, RunError> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(RunError::Thread)
}

/// The ledger of earlier runs; a new state has none.
fn read_ledger(bytes: &[u8]) -> Result<Ledger, RunError> {
    if bytes.is_empty() {
        return Ok(Ledger::default());
    }
    let unreadable = |error| {
        RunError::Restore(format!(
            "the ledger in the state cannot be read: {error}; choose another directory with --state, or run the version that wrote it"
        ))
    };
    serde_json::from_slice(bytes).map_err(unreadable)
}

async fn pass_events(mut events: mpsc::Receiver<UploadEvent>, store: Sender<StoreMessage>) {
    while let Some(event) = events.recv().await {
        if !store.push_now(StoreMessage::Upload(event)) {
            return;
        }
    }
}

fn open_tail(config: &Config, records: Vec<(InputId, Vec<u8>)>, waker: Waker) -> Result<Tail, RunError> {
    let input = &config.input;
    let tail = TailConfig {
        from_end: input.from_end,
        max_line_bytes: input.max_line_bytes,
        poll_interval: input.poll_interval,
        ..TailConfig::new(input.follow.clone())
    };
    let mut last = records.iter().map(|(id, _)| id.0).max().unwrap_or_default();
    let next_id = move || {
        last += 1;
        InputId(last)
    };
    Ok(Tail::open(tail, records, next_id, Arc::new(move || waker.wake()), Instant::now())?)
}

/// The destination, ready for puts; nothing is sent yet.
pub(crate) async fn connect(to: &DestinationConfig) -> Result<Destination, StoreError> {
    Ok(match to {
        DestinationConfig::Dir(root) => Destination::Dir(DirStore::new(DirConfig::new(root))),
        DestinationConfig::S3 { bucket, prefix, options } => {
            let defaults = S3Config::new(bucket, prefix);
            let config = S3Config {
                region: options.region.clone(),
                endpoint: options.endpoint.clone(),
                path_style: options.path_style,
                storage_class: options.storage_class.clone(),
                sse_kms: options
                    .sse_kms_key
                    .as_ref()
                    .map(|key| if key.is_empty() { KmsKey::Default } else { KmsKey::Id(key.clone()) }),
                checksums_when_required: options.checksums_when_required,
                attempt_timeout: options.timeout.unwrap_or(defaults.attempt_timeout),
                ..defaults
            };
            Destination::S3(S3Store::connect(config).await?)
        }
    })
}

/// Opens the state that was named, or the destination's own. Runs over pipes alone take the first of its slots that is free.
fn open_spool(config: &Config) -> Result<(Spool, Restored, PathBuf), StateError> {
    let open = |dir: PathBuf| {
        let (spool, restored) = Spool::open(spool_config(&config.store, &dir))?;
        Ok((spool, restored, dir))
    };
    if let Some(dir) = &config.store.state {
        return open(dir.clone());
    }
    let input = &config.input;
    let has_positions = !input.follow.is_empty() || input.files.iter().any(|path| path != Path::new("-"));
    if has_positions {
        return open(state_dir::for_files(&config.store.to));
    }
    let mut slot = 1;
    loop {
        match open(state_dir::for_pipe(&config.store.to, slot)) {
            Err(StateError::Held { .. }) if slot < state_dir::PIPE_SLOTS => slot += 1,
            result => return result,
        }
    }
}

fn spool_config(store: &StoreConfig, dir: &Path) -> SpoolConfig {
    let level = store.compression_level;
    SpoolConfig {
        batch_bytes: store.batch_bytes,
        batch_age: store.batch_age,
        compression: match store.compression {
            Compression::Gzip => reassemble_store::Compression::Gzip { level: level.unwrap_or(GZIP_LEVEL) },
            Compression::Zstd => {
                let level = level.and_then(|level| i32::try_from(level).ok()).unwrap_or(ZSTD_LEVEL);
                reassemble_store::Compression::Zstd { level }
            }
            Compression::None => reassemble_store::Compression::None,
        },
        accept_damage: store.accept_damage,
        pending_bytes: store.memory_bytes / PENDING_SHARE,
        cache_bytes: store.memory_bytes / CACHE_SHARE,
        ..SpoolConfig::new(dir)
    }
}

/// Default level of gzip: captures are paid for by the app's machine, and each level above costs more CPU than it saves bytes.
const GZIP_LEVEL: u32 = 3;
/// Default level of Zstandard, likewise.
const ZSTD_LEVEL: i32 = 1;
