//! Putting a run together: the state, the destination, the inputs and the threads, from a [`Config`].

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use reassemble_sources::{InputId, Pipe, Tail, TailConfig};
use reassemble_store::{
    Destination, DirConfig, DirStore, KmsKey, Restored, S3Config, S3Store, SealedObject, SealedQueue, Spool,
    SpoolConfig, StateError, StateReader, StoreError, UploadConfig, UploadEvent, Uploader,
};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::config::{CloudWatchConfig, Compression, Config, DestinationConfig, StoreConfig};
use crate::core::{Clock, Commits, Core, CoreMessage, Files, Flushes, Waker};
use crate::deliver::{Deliveries, Noter};
use crate::forward::{Admission, Fed, Feed, Forwarder};
use crate::input_row;
use crate::intake::{Intake, IntakeConfig};
use crate::ledger::Ledger;
use crate::log_groups::{FIRST_GROUP_ID, LogGroups};
use crate::objects::Objects;
use crate::patient::PatientSpool;
use crate::process::Processor;
use crate::queue::{Receiver, Sender, queue};
use crate::run::{Run, RunError, StatusBoard, Stopper, Storing};
use crate::state_dir;
use crate::store_thread::{StoreGauges, StoreMessage, StoreThread};

/// Open captures may take one in so many of the bytes that may be held (`--memory`),
const ASSEMBLER_SHARE: usize = 2;
/// exchanges between the core and the store thread,
const STORE_QUEUE_SHARE: usize = 13;
/// lines of unfinished blocks (a few blocks more are being compressed),
const PENDING_SHARE: usize = 6;
/// and the state database's cache.
const CACHE_SHARE: usize = 32;
/// A block of lines that is compressed as one,
const BLOCK_SHARE: usize = 25;
/// within bounds: smaller ones compress badly, larger ones hardly better.
const LEAST_BLOCK_BYTES: usize = 64 << 10;
const MOST_BLOCK_BYTES: usize = 640 << 10;
/// Of the ids that are stored one is remembered for each so many bytes of it, as far as the spool's default goes: what it takes to look whether one
/// is known grows with them.
const BYTES_A_REMEMBERED_ID: usize = 16;
/// Bytes of records between forwarders and the core.
const FEED_QUEUE_BYTES: usize = 4 << 20;
/// Ids from here on are of inputs that are not followed, and keep nothing.
pub(crate) const FIRST_PASSING_ID: u64 = 1 << 63;
/// A followed file that grows all the time is read so many times in a commit interval: what is read sooner is not durable sooner, and costs
/// a wake-up,
const READS_A_COMMIT: u32 = 4;
/// but it is read at least so often, a block at 10 MB a second,
const SELDOMEST_READS: Duration = Duration::from_millis(50);
/// and at most so often.
const OFTENEST_READS: Duration = Duration::from_millis(2);
/// How long a full disk is waited for once all streams that were passed on have ended: whoever runs the wrapper waits for it.
const FULL_DISK_PATIENCE: Duration = Duration::from_secs(5);

/// A run that is being put together.
pub(crate) struct Builder {
    pub(crate) config: Config,
    board: Arc<StatusBoard>,
    spool: Spool,
    restored: Restored,
    processor: Arc<Processor>,
    state_dir: PathBuf,
    runtime: Runtime,
    destination: Destination,
    gauges: Arc<StoreGauges>,
    core_inbox: Receiver<CoreMessage>,
    core: Sender<CoreMessage>,
    pub(crate) waker: Waker,
    feed: Option<Feeding>,
    pub(crate) deliveries: Option<Deliveries>,
    /// Notes the keys of objects before they are stored.
    pub(crate) noter: Option<Noter>,
    pub(crate) log_groups: Option<LogGroups>,
    pub(crate) pipe: Option<Pipe>,
    pub(crate) passing_ids: Box<dyn FnMut() -> InputId + Send>,
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
    pub(crate) fn new(config: Config, board: Arc<StatusBoard>) -> Result<Self, RunError> {
        let processor = Processor::new(&config.process, config.store.retention, config.store.inline_body_bytes);
        let processor = Arc::new(processor.ok_or(RunError::Retention)?);
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
            deliveries: None,
            noter: None,
            log_groups: None,
            pipe: None,
            passing_ids,
            forwarders: Vec::new(),
        })
    }

    /// Starts to pass a stream on.
    pub(crate) fn forward(
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

    /// Starts to read log groups, from the positions in the state. Called by those alone who read any: what it needs is large.
    pub(crate) fn read_groups(&self, config: &CloudWatchConfig) -> Result<LogGroups, RunError> {
        let rows = self.restored.inputs.iter().filter(|(id, _)| is_group(*id));
        let mut positions = Vec::new();
        for (id, row) in rows {
            positions.push((InputId(*id), decode_row(*id, row)?.0));
        }
        LogGroups::start(config, positions, self.config.store.memory_bytes, &self.runtime, self.waker.clone())
    }

    /// Starts the threads.
    pub(crate) fn finish(self) -> Result<Run, RunError> {
        let Builder { config, board, spool, restored, gauges, runtime, .. } = self;
        let (store, store_inbox) = queue(config.store.memory_bytes / STORE_QUEUE_SHARE);
        let reader = spool.reader();
        let (uploader, events) = {
            let _entered = runtime.enter();
            let sealed: Arc<dyn SealedQueue> = match self.noter {
                None => Arc::new(reader.clone()),
                Some(noter) => Arc::new(Noted { state: reader.clone(), noter }),
            };
            Uploader::spawn(sealed, self.destination, UploadConfig::patient(config.store.retry_max_delay))
        };
        runtime.spawn(pass_events(events, store.clone()));
        let base = read_ledger(&restored.ledger)?;
        let mut carried = HashMap::new();
        let mut records = Vec::new();
        for (id, row) in restored.inputs {
            let (record, carry) = decode_row(id, &row)?;
            if !is_group(id) {
                carried.extend(carry.map(|carry| (InputId(id), carry)));
                records.push((InputId(id), record));
            }
        }
        let input = &config.input;
        let tail = if input.follow.is_empty() { None } else { Some(open_tail(&config, records, self.waker.clone())?) };
        let intake = IntakeConfig {
            envelope: input.envelope,
            max_line_bytes: input.max_line_bytes,
            timeout: config.timeout,
            memory_bytes: config.store.memory_bytes / ASSEMBLER_SHARE,
            signing: config.signing.clone(),
            processor: self.processor.clone(),
            read_at_us: input.read_at_us,
        };
        let mut intake = Intake::new(intake, reader.clone(), &base, carried, store.clone())?;
        intake.set_time(Duration::ZERO, crate::core::wall_us());
        let mut objects = VecDeque::new();
        for config in &input.objects {
            objects.push_back(Objects::open(config, &runtime)?);
        }
        let files: Vec<PathBuf> = input.files.iter().filter(|path| *path != Path::new("-")).cloned().collect();
        let ages = !config.input.follow.is_empty()
            || config.input.stdin
            || !self.forwarders.is_empty()
            || self.deliveries.is_some()
            || self.log_groups.is_some();
        let core = Core {
            intake,
            tail,
            files: Files {
                total_bytes: files.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum(),
                waiting: files.into(),
                objects,
                current: None,
                max_line_bytes: input.max_line_bytes,
                next_id: self.passing_ids,
                done_bytes: 0,
            },
            pipe: self.pipe,
            feed: self.feed.map(|feed| Feed { queue: feed.receiver }),
            deliveries: self.deliveries,
            log_groups: self.log_groups,
            flushes: Flushes::default(),
            inbox: self.core_inbox,
            woken: self.waker.woken.clone(),
            store,
            gauges: gauges.clone(),
            hurry_uploader: Box::new(uploader.hurrier()),
            board: board.clone(),
            base: base.clone(),
            spool_limit_bytes: config.store.spool_limit_bytes,
            commit_interval: config.store.commit_interval,
            clock: Clock::default(),
            commits: Commits { last: Instant::now(), under_way: false, bytes_at_last: 0 },
        };
        let stop_gauges = gauges.clone();
        let wake_uploader = uploader.waker();
        let thread = StoreThread {
            spool: PatientSpool { spool, gauges: gauges.clone(), board: board.clone() },
            state: reader.clone(),
            processor: self.processor,
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
            committing: None,
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

/// Sealed objects of which each is noted before it is given out to be stored.
struct Noted {
    state: StateReader,
    noter: Noter,
}

impl SealedQueue for Noted {
    fn after(&self, object_no: Option<u64>, limit: usize) -> Result<Vec<SealedObject>, StateError> {
        let objects = self.state.after(object_no, limit)?;
        for object in &objects {
            (self.noter)(&object.key).map_err(|source| StateError::Unusable {
                action: "note",
                path: object.path.clone(),
                source,
            })?;
        }
        Ok(objects)
    }
}

/// Starts to pass a stream on where nothing can be stored: its captures are shed.
pub(crate) fn pass_on(
    source: &str,
    input: impl std::io::Read + std::os::fd::AsFd + Send + 'static,
    output: impl std::io::Write + Send + 'static,
    max_line_bytes: usize,
    writer_gone: Arc<AtomicBool>,
) -> Result<JoinHandle<()>, RunError> {
    let (feed, _) = queue(FEED_QUEUE_BYTES);
    let admission = Arc::new(Admission::new(Arc::default()));
    admission.close();
    let forwarder = Forwarder::new(source, input, output, max_line_bytes, feed, admission, writer_gone);
    spawn(&format!("forward {source}"), move || _ = forwarder.run())
}

/// Starts a named thread.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, RunError> {
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
        event_rest: (config.store.commit_interval / READS_A_COMMIT).clamp(OFTENEST_READS, SELDOMEST_READS),
        ..TailConfig::new(input.follow.clone())
    };
    let mut last = records.iter().map(|(id, _)| id.0).max().unwrap_or_default();
    let next_id = move || {
        last += 1;
        InputId(last)
    };
    Ok(Tail::open(tail, records, next_id, Arc::new(move || waker.wake()), Instant::now())?)
}

/// The destination, ready to be asked; nothing is sent yet.
///
/// # Errors
/// Where there is no region or nothing that gives credentials.
pub async fn connect(to: &DestinationConfig) -> Result<Destination, StoreError> {
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

/// Whether an input's id is a log group's.
fn is_group(id: u64) -> bool {
    (FIRST_GROUP_ID..FIRST_PASSING_ID).contains(&id)
}

fn decode_row(id: u64, row: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>), RunError> {
    input_row::decode(row)
        .ok_or_else(|| RunError::Restore(format!("the position of input {id} in the state cannot be read")))
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
    let has_positions = !input.follow.is_empty()
        || input.cloudwatch.is_some()
        || !input.objects.is_empty()
        || input.files.iter().any(|path| path != Path::new("-"));
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
    let defaults = SpoolConfig::new(dir);
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
        block_bytes: (store.memory_bytes / BLOCK_SHARE).clamp(LEAST_BLOCK_BYTES, MOST_BLOCK_BYTES),
        pending_bytes: store.memory_bytes / PENDING_SHARE,
        cache_bytes: store.memory_bytes / CACHE_SHARE,
        seen_per_generation: defaults.seen_per_generation.min((store.memory_bytes / BYTES_A_REMEMBERED_ID) as u64),
        ..defaults
    }
}

/// Default level of gzip (of libdeflate, whose 1 is denser than gzip's own): captures are paid for by the app's machine, and level 2 costs 40 %
/// more CPU for 5 % fewer bytes.
const GZIP_LEVEL: u32 = 1;
/// Default level of Zstandard, which the spool has tuned for captures.
const ZSTD_LEVEL: i32 = 2;
