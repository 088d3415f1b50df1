//! Passing lines on while taking captures out: behind the wrapper (`exec`) and `--passthrough`.
//!
//! A forwarder reads one stream, writes its ordinary lines on, at once and unchanged, and hands the records of its capture lines to the
//! core. Where the queue between them is more than half full it waits for [`PATIENCE`], once, so that a burst is not shed which a moment later would
//! have been taken; from then on, and at once where the spool is full, captures that are not known yet are shed whole, and what was admitted goes on
//! until the queue is full altogether. So no fault of storing can hold the stream up for longer than that.
//!
//! A line in which a good record was found is a capture line and is taken out. Half a line is held back for [`HOLD`], and where it may become a
//! record until its end is there; then it goes on, and the rest of its line too.

mod admission;

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use memchr::{memchr, memchr_iter};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use reassemble_formats::{BadReason, Record, RecordSink, scan_line};

use crate::intake::Intake;
use crate::queue::{Receiver, Sender};
pub(crate) use admission::Admission;

/// How long half a line is held back, in milliseconds.
const HOLD: u8 = 20;
/// How often a stream is asked whether its other end is gone, in milliseconds.
const LOOK: u8 = 100;
/// How long a burst may hold the stream up before captures are shed.
const PATIENCE: Duration = Duration::from_millis(200);
/// A pipe of Linux holds this much unless it was made larger.
const READ_BYTES: usize = 64 * 1024;
/// What a record weighs in the queue beside its body.
const RECORD_OVERHEAD: usize = 256;

/// The core's end.
pub(crate) struct Feed {
    pub(crate) queue: Receiver<Fed>,
}

/// What one read of a stream brought.
#[derive(Debug)]
pub(crate) struct Fed {
    source: Arc<str>,
    bytes: u64,
    lines: u64,
    long_lines: Vec<u64>,
    records: Vec<Record>,
    bad: Vec<BadReason>,
    shed_captures: u64,
    shed_records: u64,
}

impl Fed {
    fn new(source: Arc<str>) -> Self {
        Fed {
            source,
            bytes: 0,
            lines: 0,
            long_lines: Vec::new(),
            records: Vec::new(),
            bad: Vec::new(),
            shed_captures: 0,
            shed_records: 0,
        }
    }

    /// Bytes that it holds.
    pub(crate) fn weight(&self) -> usize {
        self.records.iter().map(weight).sum::<usize>() + RECORD_OVERHEAD
    }

    /// Hands everything to the intake.
    pub(crate) fn deliver(self, intake: &mut Intake) {
        intake.take_records(&self.source, self.records, self.bad);
        intake.count_shed(&self.source, self.shed_records, self.shed_captures);
        intake.count_read(self.bytes, self.lines);
        self.long_lines.into_iter().for_each(|bytes| intake.count_long_line(bytes));
    }
}

fn weight(record: &Record) -> usize {
    match record {
        Record::Chunk(chunk) => RECORD_OVERHEAD + chunk.piece.as_ref().map_or(0, |piece| piece.raw().len()),
        Record::Meta(meta) => meta.text().len(),
    }
}

/// Why a forwarder stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The stream ended, or nothing more came after its writer had gone.
    Ended,
    /// Nobody reads what is passed on.
    OutputClosed,
}

/// Passes one stream on.
pub(crate) struct Forwarder<R, W> {
    input: R,
    output: W,
    max_line_bytes: usize,
    queue: Sender<Fed>,
    admission: Arc<Admission>,
    /// Set when whoever writes the stream has gone: what others still hold open is not waited for.
    writer_gone: Arc<AtomicBool>,
    /// Whether patience has run out, and the queue has not been below half since.
    stalled: bool,
    /// Called when there is something for the core.
    wake: Box<dyn Fn() + Send>,
    /// What was found and not handed to the core yet.
    fed: Fed,
    /// The line that has no newline yet.
    line: Vec<u8>,
    /// How much of it was passed on already.
    passed: usize,
    /// Bytes of the line that were let go because it is too long.
    overlong: u64,
    out: Vec<u8>,
}

impl<R: Read + AsFd, W: Write> Forwarder<R, W> {
    pub(crate) fn new(
        source: &str,
        input: R,
        output: W,
        max_line_bytes: usize,
        queue: Sender<Fed>,
        admission: Arc<Admission>,
        writer_gone: Arc<AtomicBool>,
    ) -> Self {
        let (fed, line, out) = (Fed::new(Arc::from(source)), Vec::new(), Vec::new());
        Forwarder {
            input,
            output,
            max_line_bytes,
            queue,
            admission,
            writer_gone,
            stalled: false,
            wake: Box::new(|| ()),
            fed,
            line,
            passed: 0,
            overlong: 0,
            out,
        }
    }

    /// Sets what is called when there is something for the core.
    pub(crate) fn waking(mut self, wake: impl Fn() + Send + 'static) -> Self {
        self.wake = Box::new(wake);
        self
    }

    /// Passes on until the stream ends.
    pub(crate) fn run(mut self) -> Stopped {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let held = self.line.len() > self.passed;
            if !is_readable(&self.input, if held { HOLD } else { LOOK }) {
                if held && !self.may_become_a_record() && self.pass_partial().is_err() {
                    return Stopped::OutputClosed;
                }
                if self.writer_gone.load(Ordering::Acquire) {
                    return self.end();
                }
                continue;
            }
            match self.input.read(&mut buffer) {
                Ok(0) => return self.end(),
                Ok(count) => {
                    if self.take(&buffer[..count]).is_err() {
                        return Stopped::OutputClosed;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => {
                    tracing::error!(input = &*self.fed.source, "cannot read: {error}");
                    return self.end();
                }
            }
        }
    }

    /// Takes bytes as they come.
    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let patience = if self.stalled || self.admission.is_full() { Duration::ZERO } else { PATIENCE };
        self.stalled = !self.queue.wait_below(admission::NEW_UNTIL, patience);
        self.fed.bytes += bytes.len() as u64;
        self.fed.lines += memchr_iter(b'\n', bytes).count() as u64;
        while let Some(end) = memchr(b'\n', bytes) {
            self.line.extend_from_slice(&bytes[..=end]);
            bytes = &bytes[end + 1..];
            self.end_line();
        }
        self.line.extend_from_slice(bytes);
        if self.line.len() > self.max_line_bytes {
            // Longer than any capture line: it goes on as it comes, and is never looked at.
            self.out.extend_from_slice(&self.line[self.passed..]);
            self.overlong += self.line.len() as u64;
            self.line.clear();
            self.passed = 0;
        }
        // Counts alone can wait: only records need the core, and those were admitted by how full the queue is.
        if !self.fed.records.is_empty() || self.queue.fill() < admission::NEW_UNTIL {
            self.hand_on();
        }
        self.flush()
    }

    /// A line is whole: it is passed on unless it is a capture line.
    fn end_line(&mut self) {
        if self.overlong > 0 {
            self.fed.long_lines.push(std::mem::take(&mut self.overlong) + self.line.len() as u64);
            self.out.extend_from_slice(&self.line);
        } else {
            let mut found =
                Found { fed: &mut self.fed, admission: &self.admission, fill: self.queue.fill(), good: false };
            scan_line(&self.line, &mut found);
            if !found.good || self.passed > 0 {
                self.out.extend_from_slice(&self.line[self.passed..]);
            }
        }
        self.line.clear();
        self.passed = 0;
    }

    fn end(mut self) -> Stopped {
        if !self.line.is_empty() {
            self.fed.lines += 1;
            self.end_line();
        }
        self.hand_on();
        if self.flush().is_err() { Stopped::OutputClosed } else { Stopped::Ended }
    }

    /// Whether what is held of the line may be the start of a capture line: it is not shown before its end is there, however long that takes.
    /// Prompts and progress, which are to be seen at once, have no braces.
    fn may_become_a_record(&self) -> bool {
        memchr(b'{', &self.line).is_some()
    }

    /// Nothing more came for a while: what is held of the line goes on.
    fn pass_partial(&mut self) -> io::Result<()> {
        self.out.extend_from_slice(&self.line[self.passed..]);
        self.passed = self.line.len();
        self.flush()
    }

    fn hand_on(&mut self) {
        let next = Fed::new(self.fed.source.clone());
        let fed = std::mem::replace(&mut self.fed, next);
        // Where the core has gone, nothing can be done but pass lines on.
        let weight = fed.weight();
        if !self.queue.push_over(fed, weight) {
            self.admission.close();
        }
        (self.wake)();
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let written = self.output.write_all(&self.out).and_then(|()| self.output.flush());
        self.out.clear();
        written
    }
}

/// Whether there is something to read (or the end) within some milliseconds.
fn is_readable(input: &impl AsFd, milliseconds: u8) -> bool {
    let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    // Where polling itself fails, reading tells what is the matter.
    poll(&mut fds, PollTimeout::from(milliseconds)).is_err() || fds[0].any().unwrap_or(true)
}

/// Takes the records of one line.
struct Found<'f> {
    fed: &'f mut Fed,
    admission: &'f Admission,
    fill: f64,
    good: bool,
}

impl RecordSink for Found<'_> {
    fn record(&mut self, record: Record) {
        self.good = true;
        if let Record::Chunk(chunk) = &record {
            match self.admission.ask(&chunk.id, self.fill) {
                admission::Answer::Take => (),
                admission::Answer::Shed { first } => {
                    self.fed.shed_records += 1;
                    self.fed.shed_captures += u64::from(first);
                    return;
                }
            }
        }
        self.fed.records.push(record);
    }

    fn bad(&mut self, reason: BadReason) {
        self.fed.bad.push(reason);
    }

    fn long_line(&mut self, bytes: u64) {
        self.fed.long_lines.push(bytes);
    }
}

#[cfg(test)]
mod tests;
