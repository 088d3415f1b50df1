//! Log groups of CloudWatch Logs: a thread asks for their events, and the core reads the other end of a queue.
//!
//! A page goes through the queue with the position behind it. So the positions that a commit takes are those of the lines that the core has, and a
//! restart reads what came after them again; chunks that it has already are known. What an envelope has half joined is not kept: it would be joined with
//! lines that come again in another order.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reassemble_cloudwatch::{
    ClientConfig, Ended, EventQuery, LogsClient, LogsError, Page, Poller, PollerConfig, group_of,
};
use reassemble_sources::{InputEvent, InputId, LineSink};
use tokio::runtime::Runtime;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::check::Check;
use crate::config::CloudWatchConfig;
use crate::core::Waker;
use crate::intake::Intake;
use crate::queue::{Popped, Receiver, queue};
use crate::run::RunError;

/// Ids from here on, to those of inputs that keep nothing, are of log groups: so they are told from followed files.
pub(crate) const FIRST_GROUP_ID: u64 = 1 << 62;
/// Bytes of lines between the thread and the core: a page has a megabyte of them.
const QUEUE_BYTES: usize = 2 << 20;
/// One id of an event that was read is kept for so many of the bytes that may be held (`--memory`): it takes up to 34 of them.
const MEMORY_AN_ID: usize = 64;
/// What a page weighs beside its lines.
const PAGE_OVERHEAD: usize = 512;

/// The core's end.
pub(crate) struct LogGroups {
    queue: Receiver<Read>,
    stretch: Arc<AtomicU32>,
    inputs: HashMap<String, Input>,
    next_id: u64,
    done: bool,
    /// Positions that no commit has yet.
    changed: HashMap<InputId, Vec<u8>>,
    /// The thread ends with this.
    _stop: DropGuard,
}

struct Input {
    id: InputId,
    opened: bool,
}

/// What the thread hands over.
enum Read {
    Page(Page),
    /// A group that cannot be read, and why.
    Failed(String, String),
    /// Nothing more will come, and nothing is missing but of groups that failed.
    Done,
}

/// What one look found.
pub(crate) struct Progress {
    pub(crate) read: bool,
    /// See [`Poller::stretch`].
    pub(crate) stretch: u32,
    pub(crate) ended: bool,
}

impl LogGroups {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where there is no region, a group's name is none, or a position cannot be read.
    pub(crate) fn start(
        config: &CloudWatchConfig,
        positions: Vec<(InputId, Vec<u8>)>,
        memory_bytes: usize,
        runtime: &Runtime,
        waker: Waker,
    ) -> Result<LogGroups, RunError> {
        let mut inputs = HashMap::new();
        let mut records = Vec::new();
        let mut next_id = FIRST_GROUP_ID;
        for (id, record) in positions {
            inputs.insert(group_of(&record)?, Input { id, opened: false });
            next_id = next_id.max(id.0 + 1);
            records.push(record);
        }
        let poller = PollerConfig {
            stream_prefix: config.stream_prefix.clone(),
            since_ms: config.since_ms,
            until_ms: config.until_ms,
            poll_interval: config.interval,
            overlap: config.overlap,
            ids_kept: memory_bytes / MEMORY_AN_ID,
            ..PollerConfig::new(config.groups.clone())
        };
        let poller = Poller::new(poller, &records)?;
        let client = runtime.block_on(LogsClient::connect(ClientConfig::default()))?;
        // Its own: whoever delivers waits for the core, and uploads must not wait with it.
        let own = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Thread)?;
        let (stretch, stop) = (poller.stretch(), CancellationToken::new());
        let (sender, receiver) = queue(QUEUE_BYTES);
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("log groups".to_owned());
        thread
            .spawn(move || {
                tracing::info!(place = client.place(), "reading log groups");
                let mut deliver = |page: Page| {
                    let weight = PAGE_OVERHEAD + page.lines.len();
                    let taken = sender.push(Read::Page(page), weight);
                    waker.wake();
                    taken
                };
                let ended = own.block_on(poller.run(&client, &stopped, &mut deliver));
                if let Ended::Done { failed } = ended {
                    for (group, why) in failed {
                        sender.push(Read::Failed(group, why.to_string()), PAGE_OVERHEAD);
                    }
                    sender.push_now(Read::Done);
                }
                drop(sender);
                waker.wake();
            })
            .map_err(RunError::Thread)?;
        let _stop = stop.drop_guard();
        Ok(LogGroups { queue: receiver, stretch, inputs, next_id, done: false, changed: HashMap::new(), _stop })
    }

    /// Takes about `budget_bytes` of what is there.
    ///
    /// # Errors
    /// Where the thread ended before its time.
    pub(crate) fn read(&mut self, mut budget_bytes: usize, intake: &mut Intake) -> Result<Progress, RunError> {
        // Before the queue: what was delivered before it was set is in there.
        let stretch = self.stretch.load(Ordering::Acquire);
        let mut progress = Progress { read: false, stretch: 0, ended: false };
        while budget_bytes > 0 {
            match self.queue.pop(Duration::ZERO) {
                Popped::Item(Read::Page(page)) => {
                    budget_bytes = budget_bytes.saturating_sub(PAGE_OVERHEAD + page.lines.len());
                    let id = self.open(page.group, intake);
                    if page.lines.is_empty() {
                        intake.position_moved();
                    } else {
                        intake.lines(id, &page.lines);
                    }
                    self.changed.insert(id, page.position);
                }
                Popped::Item(Read::Failed(group, why)) => {
                    let id = self.open(group, intake);
                    intake.event(id, InputEvent::Failed { why: &why });
                }
                Popped::Item(Read::Done) => self.done = true,
                Popped::Empty => {
                    progress.stretch = stretch;
                    break;
                }
                Popped::Closed if !self.done => return Err(RunError::ThreadDied("log groups")),
                Popped::Closed => {
                    for input in self.inputs.values_mut() {
                        if std::mem::take(&mut input.opened) {
                            intake.event(input.id, InputEvent::Closed);
                        }
                    }
                    progress.stretch = 1;
                    progress.ended = true;
                    break;
                }
            }
            progress.read = true;
        }
        Ok(progress)
    }

    /// The positions that changed since the last call.
    pub(crate) fn changed_positions(&mut self) -> impl Iterator<Item = (InputId, Vec<u8>)> {
        self.changed.drain()
    }

    /// A group's input, announced where it is new.
    fn open(&mut self, group: String, intake: &mut Intake) -> InputId {
        let name = format!("cloudwatch:{}", group.chars().filter(|c| !c.is_control()).collect::<String>());
        let input = self.inputs.entry(group).or_insert_with(|| {
            self.next_id += 1;
            Input { id: InputId(self.next_id - 1), opened: false }
        });
        if !std::mem::replace(&mut input.opened, true) {
            intake.event(input.id, InputEvent::Opened { name: &name, position: 0 });
        }
        input.id
    }
}

/// Whether each group can be read, by asking for what it has of this moment; and of a pattern, whether it fits any.
pub(crate) fn check(config: &CloudWatchConfig) -> Vec<Check> {
    let failed = |why: String| vec![Check { what: "log groups".into(), result: Err(why) }];
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(format!("cannot start a runtime: {error}")),
    };
    match runtime.block_on(LogsClient::connect(ClientConfig::default())) {
        Err(error) => failed(error.to_string()),
        Ok(client) => {
            let look =
                |group: &String| runtime.block_on(look(&client, group, config)).map_err(|error| error.to_string());
            config
                .groups
                .iter()
                .map(|group| Check { what: format!("log group {group}"), result: look(group) })
                .collect()
        }
    }
}

async fn look(client: &LogsClient, group: &str, config: &CloudWatchConfig) -> Result<String, LogsError> {
    let name = group.strip_suffix('*').filter(|_| !group.starts_with("arn:"));
    if let Some(prefix) = name {
        let found = client.describe_log_groups(prefix, None).await?.groups.len();
        return Ok(if found == 0 { "fits none yet, and is waited for".into() } else { "fits some".into() });
    }
    let (start_ms, stream_prefix) = (crate::core::wall_us() / 1000, &*config.stream_prefix);
    let query = EventQuery { group, start_ms, end_ms: Some(start_ms), token: None, stream_prefix };
    client.filter_log_events(query).await.map(|_| "can be read".into())
}
