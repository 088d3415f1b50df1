//! Lines that other code delivers, as they come: whoever has them holds a [`Deliverer`], and the core reads the other end.
//!
//! What was delivered cannot be asked for again. So the deliverer is held back where the queue is full, never shed; and it can have everything made
//! durable and stored at once, before the process is frozen or ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};

use reassemble_sources::{InputEvent, InputId, LineSink};

use crate::builder::{Builder, FIRST_PASSING_ID};
use crate::config::Config;
use crate::core::Waker;
use crate::intake::Intake;
use crate::queue::{Popped, Receiver, Sender, queue};
use crate::run::{Run, RunError, StatusBoard};

/// Bytes of lines between a deliverer and the core, at most.
const MOST_QUEUE_BYTES: usize = 2 << 20;
/// They may take one in so many of the bytes that may be held (`--memory`).
const QUEUE_SHARE: usize = 4;
/// What an item weighs beside its lines.
const ITEM_OVERHEAD: usize = 64;
/// How much longer than it was given a flush is waited for: the core looks at its clock between two pieces of work.
const FLUSH_GRACE: Duration = Duration::from_millis(50);

/// Starts a run over lines that are delivered. It ends when the last [`Deliverer`] is dropped, or a [`Stopper`](crate::run::Stopper) says so; what
/// is open then is stored incomplete.
///
/// # Errors
/// Where the configuration or the state is at fault.
pub fn deliver(config: Config, status: Arc<StatusBoard>) -> Result<(Run, Deliverer), RunError> {
    start(Builder::new(config, status)?)
}

/// Notes a key, durably, before its object is stored.
pub type Noter = Arc<dyn Fn(&str) -> io::Result<()> + Send + Sync>;

/// The same as [`deliver`], with every object's key noted before the object is stored. Where one cannot be noted, nothing more is stored.
///
/// # Errors
/// As [`deliver`].
pub fn deliver_noting(config: Config, status: Arc<StatusBoard>, noter: Noter) -> Result<(Run, Deliverer), RunError> {
    let mut builder = Builder::new(config, status)?;
    builder.noter = Some(noter);
    start(builder)
}

fn start(mut builder: Builder) -> Result<(Run, Deliverer), RunError> {
    let (sender, receiver) = queue((builder.config.store.memory_bytes / QUEUE_SHARE).min(MOST_QUEUE_BYTES));
    let deliverer =
        Deliverer { queue: sender, waker: builder.waker.clone(), next_id: Arc::new(AtomicU64::new(FIRST_PASSING_ID)) };
    builder.deliveries = Some(Deliveries { queue: receiver });
    Ok((builder.finish()?, deliverer))
}

/// Hands lines to a run. Clones hand to the same run, from any thread.
#[derive(Clone)]
pub struct Deliverer {
    queue: Sender<Delivery>,
    waker: Waker,
    next_id: Arc<AtomicU64>,
}

/// What came of a [flush](Deliverer::flush).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Everything that was delivered before, and is no open capture, is at the destination.
    pub stored: bool,
    /// Objects that wait in the spool.
    pub waiting_objects: u64,
    /// Captures whose rest has not come yet; they are in the state.
    pub open_captures: u64,
    /// Why the destination refuses, where it does.
    pub failing: Option<String>,
}

impl Deliverer {
    /// Announces an input. `name` is what people know it by and what stands in its exchanges' `source`.
    pub fn open(&self, name: &str) -> InputId {
        let input = InputId(self.next_id.fetch_add(1, Ordering::Relaxed));
        self.push(Delivery::Opened { input, name: name.to_owned() });
        input
    }

    /// Delivers whole lines, each with its `\n`; waits while there is no room. False where the run has ended.
    pub fn deliver(&self, input: InputId, block: Vec<u8>) -> bool {
        self.push(Delivery::Lines { input, block })
    }

    /// Counts what whoever sends the lines says that it dropped before they came here.
    pub fn count_lost(&self, input: InputId, records: u64, bytes: u64) {
        self.push(Delivery::Lost { input, records, bytes });
    }

    /// Nothing more will come of an input.
    pub fn close(&self, input: InputId) {
        self.push(Delivery::Closed { input });
    }

    /// Makes everything that was delivered before durable and has it stored, as objects of its own. Waits until it is, at most `within`, and no longer
    /// than it takes to see that the destination still refuses.
    pub fn flush(&self, within: Duration) -> Flushed {
        let (reply, replied) = mpsc::sync_channel(1);
        let request = FlushRequest { deadline: Instant::now() + within, reply };
        if !self.queue.push_now(Delivery::Flush(request)) {
            return Flushed::default();
        }
        self.waker.wake();
        replied.recv_timeout(within + FLUSH_GRACE).unwrap_or_default()
    }

    fn push(&self, delivery: Delivery) -> bool {
        let weight = delivery.weight();
        let pushed = self.queue.push(delivery, weight);
        self.waker.wake();
        pushed
    }
}

/// What a deliverer hands over.
enum Delivery {
    Opened { input: InputId, name: String },
    Lines { input: InputId, block: Vec<u8> },
    Lost { input: InputId, records: u64, bytes: u64 },
    Closed { input: InputId },
    Flush(FlushRequest),
}

impl Delivery {
    fn weight(&self) -> usize {
        match self {
            Delivery::Lines { block, .. } => ITEM_OVERHEAD + block.len(),
            Delivery::Opened { name, .. } => ITEM_OVERHEAD + name.len(),
            _ => ITEM_OVERHEAD,
        }
    }
}

/// Somebody waits for everything before it to be stored.
pub(crate) struct FlushRequest {
    pub(crate) deadline: Instant,
    pub(crate) reply: SyncSender<Flushed>,
}

/// The core's end.
pub(crate) struct Deliveries {
    queue: Receiver<Delivery>,
}

/// What one look at the deliveries found.
pub(crate) struct Delivered {
    pub(crate) read: bool,
    /// Whether the queue was read to its end.
    pub(crate) caught_up: bool,
    /// Whether nothing will come any more.
    pub(crate) ended: bool,
    pub(crate) flush: Option<FlushRequest>,
}

impl Deliveries {
    /// Takes about `budget_bytes` of what is there, up to a flush: what comes behind it is not its concern.
    pub(crate) fn read(&mut self, mut budget_bytes: usize, intake: &mut Intake) -> Delivered {
        let mut delivered = Delivered { read: false, caught_up: false, ended: false, flush: None };
        while budget_bytes > 0 {
            let delivery = match self.queue.pop(Duration::ZERO) {
                Popped::Item(delivery) => delivery,
                Popped::Empty => {
                    delivered.caught_up = true;
                    break;
                }
                Popped::Closed => {
                    delivered.caught_up = true;
                    delivered.ended = true;
                    break;
                }
            };
            delivered.read = true;
            budget_bytes = budget_bytes.saturating_sub(delivery.weight());
            match delivery {
                Delivery::Opened { input, name } => {
                    intake.event(input, InputEvent::Opened { name: &name, position: 0 });
                }
                Delivery::Lines { input, block } => intake.lines(input, &block),
                Delivery::Lost { input, records, bytes } => intake.event(input, InputEvent::Lost { records, bytes }),
                Delivery::Closed { input } => intake.event(input, InputEvent::Closed),
                Delivery::Flush(request) => {
                    delivered.flush = Some(request);
                    break;
                }
            }
        }
        delivered
    }
}
