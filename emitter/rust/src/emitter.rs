//! The emitter: what all captures of a process share, and the handle that ends it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use reassemble_formats::{
    redact::Redactor,
    sign::SigningKey,
    write::{LineLimit, Why},
};

use crate::{
    batch::Message,
    capture::Begin,
    config::{BuildError, Builder, Errors, SampleBy},
    filter::Filter,
    identity::{Draw, forget_drawn, is_sampled, put_hex},
    limiter::Limiter,
    live::{CLOSING_BYTES, Live},
    message::{RequestStart, Step},
    queue::Queue,
    sink::Sink,
    writer,
};

/// How long dropping the last handle waits for the output.
const DROP_PATIENCE: Duration = Duration::from_secs(2);

/// What was set when the emitter was built.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) service: String,
    pub(crate) host: String,
    pub(crate) inst: String,
    pub(crate) line_limit: LineLimit,
    pub(crate) body_limit: u64,
    pub(crate) rate: f64,
    pub(crate) sample_by: SampleBy,
    pub(crate) limiter: Option<Limiter>,
    pub(crate) errors: Errors,
    #[cfg_attr(not(feature = "_http"), expect(dead_code, reason = "only HTTP's are filtered"))]
    pub(crate) methods: Filter,
    #[cfg_attr(not(feature = "_http"), expect(dead_code, reason = "only HTTP has paths"))]
    pub(crate) paths: Filter,
    #[cfg_attr(not(feature = "_http"), expect(dead_code, reason = "only HTTP has content types"))]
    pub(crate) body_types: Filter,
    pub(crate) redactor: Redactor,
    /// How many bytes of a body are held to be looked through for secrets; where they are not, nothing.
    pub(crate) redact_buffer: Option<usize>,
    pub(crate) meta_every: Duration,
    pub(crate) signing: Option<SigningKey>,
}

#[cfg(feature = "_http")]
impl Settings {
    /// Whether an HTTP call's method and path are captured.
    pub(crate) fn lets_http(&self, method: &str, path: &str) -> bool {
        self.methods.lets_method(method) && self.paths.lets_path(path)
    }
}

/// What happened to this process's captures since the emitter was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Captures admitted.
    pub begun: u64,
    /// Captures of which every line was written.
    pub finished: u64,
    /// Captures dropped whole, for the queue was full or the output is gone.
    pub dropped: u64,
    /// Captures that sampling or the rate limit left out.
    pub sampled_out: u64,
    /// Lines that the output did not take.
    pub lost_lines: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) finished: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) sampled_out: AtomicU64,
    pub(crate) lost_lines: AtomicU64,
}

/// What requests' threads and the writer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    /// Nobody reads the output any more, so that nothing need be captured.
    pub(crate) output_gone: AtomicBool,
    /// The process that the writer runs in; a forked child has none.
    pid: u32,
}

/// Ends the writer with the last handle.
#[derive(Debug)]
struct Guard {
    shared: Arc<Shared>,
    done: Mutex<Receiver<()>>,
}

impl Guard {
    fn shut_down(&self, patience: Duration) -> bool {
        self.shared.queue.close();
        if std::process::id() != self.shared.pid {
            return false;
        }
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        // The writer sends nothing: it hangs up when it has written its last line.
        !matches!(done.recv_timeout(patience), Err(mpsc::RecvTimeoutError::Timeout))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shut_down(DROP_PATIENCE);
    }
}

/// Takes captures and hands them to a writer thread of its own. Clones are handles to the same emitter.
///
/// Dropping the last handle (layers and middlewares hold one each) writes what is queued, closes what is open with the error `shutdown`, and waits for
/// the output for two seconds at most. A program that ends by `std::process::exit` calls [`Emitter::shutdown`] first.
#[derive(Clone, Debug)]
pub struct Emitter {
    guard: Option<Arc<Guard>>,
}

impl Emitter {
    /// Sets an emitter up.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// An emitter that is set up by the environment alone: see [`Builder::env`].
    ///
    /// # Errors
    /// As [`Builder::env`] and [`Builder::build`].
    pub fn from_env() -> Result<Emitter, BuildError> {
        Emitter::builder().env()?.build()
    }

    /// An emitter that captures nothing and runs no thread.
    pub fn disabled() -> Emitter {
        Emitter { guard: None }
    }

    pub(crate) fn start(settings: Settings, queue_limit: usize, sink: Sink) -> Result<Emitter, BuildError> {
        forget_drawn();
        let shared = Arc::new(Shared {
            settings,
            queue: Queue::new(queue_limit),
            counters: Counters::default(),
            output_gone: AtomicBool::new(false),
            pid: std::process::id(),
        });
        let (hold, done) = mpsc::channel();
        let writer = writer::Writer::new(Arc::clone(&shared), sink);
        thread::Builder::new()
            .name("capture-writer".into())
            .spawn(move || {
                writer.run();
                drop(hold);
            })
            .map_err(|source| BuildError::Thread { source })?;
        Ok(Emitter { guard: Some(Arc::new(Guard { shared, done: Mutex::new(done) })) })
    }

    /// Begins a capture of anything that no layer sees: `proto` is the protocol (`postgres`, `kafka`, …), `method` the operation, `url` the target.
    ///
    /// ```
    /// # let emitter = reassemble_emitter::Emitter::disabled();
    /// let mut query = emitter.begin("postgres", "query", "postgres://db/shop").start();
    /// query.request_body("select name from items");
    /// query.respond("00000");
    /// query.response_body(r#"[["tea"],["cup"]]"#);
    /// query.finish();
    /// ```
    pub fn begin(
        &self,
        proto: &'static str,
        method: impl Into<std::borrow::Cow<'static, str>>,
        url: impl Into<String>,
    ) -> Begin<'_> {
        Begin::new(self, proto, method.into(), url.into())
    }

    /// Waits until all that was captured so far is written, at most `patience`; false where that was not enough.
    pub fn flush(&self, patience: Duration) -> bool {
        let Some(guard) = &self.guard else { return true };
        if guard.shared.queue.is_closed() {
            return guard.shut_down(patience);
        }
        let (done, wait) = mpsc::sync_channel(1);
        guard.shared.queue.order(Message::Flush(done));
        wait.recv_timeout(patience).is_ok()
    }

    /// Opens an [`crate::Output::Path`] again, after the file there was renamed away; any other output goes on.
    pub fn reopen(&self) {
        if let Some(guard) = &self.guard {
            guard.shared.queue.order(Message::Reopen);
        }
    }

    /// Ends the emitter, whatever handles there are: nothing new is captured, and what is open ends with the error `shutdown`. Waits for the output
    /// at most `patience`; false where that was not enough. What is not written by then still is, if the process goes on.
    pub fn shutdown(&self, patience: Duration) -> bool {
        self.guard.as_ref().is_none_or(|guard| guard.shut_down(patience))
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.guard.as_ref().map_or_else(Counts::default, |guard| guard.shared.counts())
    }

    pub(crate) fn shared(&self) -> Option<&Arc<Shared>> {
        self.guard.as_ref().map(|guard| &guard.shared)
    }
}

impl Shared {
    pub(crate) fn counts(&self) -> Counts {
        let Counters { finished, dropped, sampled_out, lost_lines } = &self.counters;
        Counts {
            begun: self.queue.admitted(),
            finished: finished.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
            sampled_out: sampled_out.load(Ordering::Relaxed),
            lost_lines: lost_lines.load(Ordering::Relaxed),
        }
    }

    /// Why a capture is taken, if sampling and the rate limit take it.
    fn why(&self, start: &RequestStart<'_>) -> Option<Why> {
        let Settings { rate, sample_by, limiter, .. } = &self.settings;
        if *rate < 1.0 {
            let taken = match start.trace {
                Some(trace) if *sample_by == SampleBy::Trace => is_sampled(trace.trace_id(), *rate),
                _ => is_sampled(&start.id.to_string(), *rate),
            };
            taken.then_some(())?;
        }
        match limiter {
            Some(limiter) => limiter.takes(start.method, start.route, Instant::now()).then_some(Why::Limit),
            None if *rate < 1.0 => Some(Why::Sample),
            None => Some(Why::All),
        }
    }

    /// Admits a capture whole, with room for its end, or leaves it out whole, and counts it. One that is taken only if it goes wrong is held.
    pub(crate) fn begin(self: &Arc<Self>, draw: &Draw, start: &mut RequestStart<'_>) -> Option<Arc<Live>> {
        if draw.pid != self.pid {
            return None;
        }
        let began = Instant::now();
        let why = self.why(start);
        if why.is_none() && (self.settings.errors != Errors::Always || start.oneway) {
            self.counters.sampled_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        start.why = why.unwrap_or(Why::Error);
        let live = match (self.output_gone.load(Ordering::Relaxed), why) {
            (true, _) => None,
            (_, Some(_)) => {
                let number = self.queue.admit(start, CLOSING_BYTES).ok();
                number.map(|n| Live::admitted(self, n, began, start.ts_us))
            }
            (_, None) => {
                let first = Step::Begin(start);
                let room = self.queue.take_room(first.cost() + CLOSING_BYTES).ok();
                room.map(|()| Live::held(self, first, began, start.ts_us))
            }
        };
        if live.is_none() {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
        live.map(Arc::new)
    }
}

/// A process's name for itself: 16 hex digits.
pub(crate) fn draw_instance() -> Option<String> {
    let mut digits = [0; 16];
    put_hex(&Draw::new().bytes::<8>()?, &mut digits);
    Some(digits.iter().copied().map(char::from).collect())
}
