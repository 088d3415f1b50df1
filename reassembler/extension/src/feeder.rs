//! The thread between the listener and the pipeline: it opens the pipeline, reads POSTs, hands lines on, and asks for flushes.
//!
//! The pipeline is opened here, beside the start of the function and not before it. Where it cannot be, or ends, the function runs on:
//! what would have been stored is counted as lost, and one line of the log says why.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use memchr::memmem;
use reassemble_formats::{BadReason, Record, RecordSink, scan_line};
use reassemble_pipeline::config::Config;
use reassemble_pipeline::run::{Run, StatusBoard, Stopper};
use reassemble_pipeline::{Deliverer, Flushed, deliver};
use reassemble_sources::InputId;
use tokio::sync::{mpsc, oneshot, watch};

use crate::telemetry::Cut;
use crate::telemetry::events::{Event, Problem, answered, read};
use crate::telemetry::lines::Lines;
use crate::telemetry::listener::{Post, Taker};
use crate::trust;

/// What the pipeline's ledger names the input.
const INPUT: &str = "lambda telemetry";
/// Work that waits for the thread: the listener holds two POSTs at most, and there is one flush at a time, and the end.
const QUEUE: usize = 8;
/// What a flush leaves of its time for the answer, which must come before nobody waits for it.
const ANSWER: Duration = Duration::from_millis(60);
/// Requests whose answer is remembered. One runs at a time; managed instances are not told of them.
const MOST_ANSWERED: usize = 64;

/// What the thread is asked for.
enum Work {
    Post(Post),
    Flush { until: Instant, done: oneshot::Sender<Flushed> },
    Finish,
}

/// What was seen of the telemetry, the newest last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// POSTs that came.
    pub(crate) posts: u64,
    /// Requests that are answered.
    answered: Vec<String>,
}

impl Seen {
    /// Whether the function is done with a request.
    pub(crate) fn is_answered(&self, request_id: &str) -> bool {
        self.answered.iter().any(|answered| answered == request_id)
    }
}

/// What is not in the pipeline's ledger: counts of this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// What was wrong with POSTs: how often, and how many bytes it concerned.
    pub(crate) problems: BTreeMap<&'static str, (u64, u64)>,
    /// Records that the platform dropped, and their bytes.
    pub(crate) dropped: (u64, u64),
    /// Capture records that could not be handed to the pipeline.
    pub(crate) unstored_records: u64,
}

/// Where POSTs and requests for flushes go.
#[derive(Clone)]
pub(crate) struct Feeder {
    work: mpsc::Sender<Work>,
    seen: watch::Sender<Seen>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    tally: Mutex<Tally>,
    stopper: OnceLock<Stopper>,
    has_failed: AtomicBool,
}

impl Shared {
    fn tally(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Taker for Feeder {
    async fn take(&self, post: Post) {
        let answered = answered(&post.body);
        if self.work.send(Work::Post(post)).await.is_err() {
            self.shared.tally(|tally| tally.problems.entry("after_the_end").or_default().0 += 1);
        }
        // After it is queued: whoever then asks for a flush has its lines in front.
        self.seen.send_modify(|seen| {
            seen.posts += 1;
            seen.answered.extend(answered);
            let old = seen.answered.len().saturating_sub(MOST_ANSWERED);
            seen.answered.drain(..old);
        });
    }
}

impl Feeder {
    /// Starts the thread. What ends it is [`finish`](Feeder::finish); the receiver hears of its end.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub(crate) fn start(config: Config, board: Arc<StatusBoard>) -> std::io::Result<(Feeder, oneshot::Receiver<()>)> {
        let (work, inbox) = mpsc::channel(QUEUE);
        let (over, ended) = oneshot::channel();
        let shared = Arc::<Shared>::default();
        let feeder = Feeder { work, seen: watch::Sender::default(), shared: shared.clone() };
        thread::Builder::new().name("feeder".to_owned()).spawn(move || {
            Feeding {
                pipeline: Pipeline::open(config, board, &shared),
                shared,
                lines: Lines::default(),
                cut: Cut::default(),
                is_due: true,
            }
            .run(inbox);
            // Where nobody waits for the end, nobody needs to hear of it.
            over.send(()).ok();
        })?;
        Ok((feeder, ended))
    }

    /// What is seen of the telemetry, as it changes.
    pub(crate) fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// Forgets that a request was answered: where it failed, Lambda may send it again under the same id.
    pub(crate) fn forget(&self, request_id: &str) {
        self.seen.send_modify(|seen| seen.answered.retain(|answered| answered != request_id));
    }

    /// Whether nothing can be stored any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.shared.has_failed.load(Ordering::Relaxed)
    }

    /// Has everything that came before stored; `None` where that is not even begun in time, or storing has ended.
    pub(crate) async fn flush(&self, until: Instant) -> Option<Flushed> {
        let (done, flushed) = oneshot::channel();
        let ask = async {
            self.work.send(Work::Flush { until, done }).await.ok()?;
            flushed.await.ok()
        };
        tokio::time::timeout_at(until.into(), ask).await.ok()?
    }

    /// Ends the thread once it is done with what came before.
    pub(crate) async fn finish(&self) {
        // It is gone already where this fails.
        self.work.send(Work::Finish).await.ok();
    }

    /// Has the pipeline end although the thread may still be waiting for room in it.
    pub(crate) fn stop(&self) {
        if let Some(stopper) = self.shared.stopper.get() {
            stopper.stop();
        }
    }

    /// The counts so far.
    pub(crate) fn tally(&self) -> Tally {
        self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The pipeline while it takes lines.
struct Pipeline {
    deliverer: Deliverer,
    input: InputId,
    run: Run,
}

impl Pipeline {
    fn open(config: Config, board: Arc<StatusBoard>, shared: &Shared) -> Option<Pipeline> {
        trust::bring_along();
        match deliver(config, board) {
            Ok((run, deliverer)) => {
                if let Some(stopper) = run.stopper() {
                    // It is set here alone.
                    shared.stopper.set(stopper).ok();
                }
                let input = deliverer.open(INPUT);
                Some(Pipeline { deliverer, input, run })
            }
            Err(error) => {
                shared.has_failed.store(true, Ordering::Relaxed);
                tracing::error!("captures are not stored, the function runs without: {error}");
                None
            }
        }
    }

    /// Ends it, and waits until all is durable and the destination has what it takes.
    fn end(self) {
        let Pipeline { deliverer, input, run } = self;
        let stopper = run.stopper();
        deliverer.close(input);
        drop(deliverer);
        if let Some(stopper) = stopper {
            stopper.stop();
        }
        if let Err(error) = run.wait() {
            tracing::error!("captures since the last commit are not stored: {error}");
        }
    }
}

struct Feeding {
    pipeline: Option<Pipeline>,
    shared: Arc<Shared>,
    lines: Lines,
    cut: Cut,
    /// What came since all was stored may hold captures.
    is_due: bool,
}

impl Feeding {
    fn run(mut self, mut inbox: mpsc::Receiver<Work>) {
        while let Some(work) = inbox.blocking_recv() {
            match work {
                Work::Post(post) => self.post(&post),
                Work::Flush { until, done } => {
                    let within = until.saturating_duration_since(Instant::now()).saturating_sub(ANSWER);
                    if let Some(flushed) = self.flush(within) {
                        // Whoever asked may have gone on.
                        done.send(flushed).ok();
                    }
                }
                Work::Finish => inbox.close(),
            }
        }
        self.finish();
    }

    /// Has all stored that came before. Where nothing came the disk and the bucket are left alone.
    fn flush(&mut self, within: Duration) -> Option<Flushed> {
        let pipeline = self.pipeline.as_ref()?;
        if !self.is_due {
            return Some(Flushed { stored: true, ..Flushed::default() });
        }
        let flushed = pipeline.deliverer.flush(within);
        self.is_due = !flushed.stored || flushed.open_captures > 0;
        Some(flushed)
    }

    fn post(&mut self, post: &Post) {
        if post.beyond_bytes > 0 {
            self.problem(Problem::TooLong, post.beyond_bytes);
        }
        let mut cut = std::mem::take(&mut self.cut);
        read(&post.body, &mut cut, &mut |event| self.event(event));
        self.cut = cut;
        self.hand_on(true);
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Function(record) => {
                if !self.lines.record(&record) {
                    self.problem(Problem::BadRecord, record.len());
                }
                self.hand_on(false);
            }
            Event::Fragment(inside) => self.lines.fragment(&inside),
            Event::LogsDropped { records, bytes } => self.dropped(records, bytes),
            Event::Problem(problem, bytes) => self.problem(problem, bytes),
            // The listener told it to those who wait.
            Event::RuntimeDone { .. } => (),
        }
    }

    fn dropped(&self, records: u64, bytes: u64) {
        tracing::warn!(records, bytes, "Lambda dropped output of the function before it came here");
        self.shared.tally(|tally| {
            tally.dropped.0 = tally.dropped.0.saturating_add(records);
            tally.dropped.1 = tally.dropped.1.saturating_add(bytes);
        });
        if let Some(pipeline) = &self.pipeline {
            pipeline.deliverer.count_lost(pipeline.input, records, bytes);
        }
    }

    /// Counts a problem, and tells of the first of its kind.
    fn problem(&self, problem: Problem, bytes: usize) {
        self.shared.tally(|tally| {
            let count = tally.problems.entry(problem.name()).or_default();
            if count.0 == 0 {
                tracing::warn!(problem = problem.name(), bytes, "telemetry could not be read as it came");
            }
            count.0 += 1;
            count.1 += bytes as u64;
        });
    }

    fn hand_on(&mut self, all: bool) {
        if let Some(block) = self.lines.take(all) {
            self.deliver(block);
        }
    }

    fn deliver(&mut self, block: Vec<u8>) {
        let Some(pipeline) = &self.pipeline else {
            let mut count = Count(0);
            block.split(|byte| *byte == b'\n').for_each(|line| scan_line(line, &mut count));
            self.shared.tally(|tally| tally.unstored_records += count.0);
            return;
        };
        // No line without these letters is of a capture, in whatever it is wrapped.
        self.is_due |= memmem::find(&block, b"cap").is_some();
        if !pipeline.deliverer.deliver(pipeline.input, block) {
            self.shared.has_failed.store(true, Ordering::Relaxed);
            // Its error says that what came since the last commit is not stored: this block too.
            if let Some(pipeline) = self.pipeline.take() {
                pipeline.end();
            }
        }
    }

    fn finish(mut self) {
        if let Some(inside) = self.cut.give_up() {
            self.problem(Problem::LostPiece, inside.len());
            self.lines.fragment(&inside);
        }
        if let Some(block) = self.lines.finish() {
            self.deliver(block);
        }
        if let Some(pipeline) = self.pipeline.take() {
            pipeline.end();
        }
    }
}

/// Counts the capture records of lines.
struct Count(u64);

impl RecordSink for Count {
    fn record(&mut self, _: Record) {
        self.0 += 1;
    }

    fn bad(&mut self, _: BadReason) {
        self.0 += 1;
    }

    fn long_line(&mut self, _: u64) {}
}
