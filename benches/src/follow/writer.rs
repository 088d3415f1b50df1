//! A log that grows at a steady rate: the lines of a finished log, copied one a write, some every few milliseconds.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

/// How often lines are written.
const STEP: Duration = Duration::from_millis(10);

/// A thread that writes.
#[derive(Debug)]
pub struct Writer {
    written: Arc<AtomicU64>,
    thread: JoinHandle<Result<()>>,
}

impl Writer {
    /// Begins to copy `from` to the end of `to`, with so many bytes a second.
    ///
    /// # Errors
    /// Where one of them cannot be opened.
    pub fn begin(from: &Path, to: &Path, bytes_per_second: u64) -> Result<Writer> {
        let from = File::open(from).with_context(|| format!("failed to open {}", from.display()))?;
        let to = OpenOptions::new().append(true).create(true).open(to).context("failed to open the log")?;
        let written = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&written);
        let thread = thread::spawn(move || copy(from, to, bytes_per_second, &counter));
        Ok(Writer { written, thread })
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// Where writing failed.
    pub fn finish(self) -> Result<()> {
        self.thread.join().map_err(|_| anyhow!("the writer panicked"))?
    }
}

fn copy(from: File, mut to: File, bytes_per_second: u64, written: &AtomicU64) -> Result<()> {
    let mut from = BufReader::with_capacity(1 << 20, from);
    let (began, mut line, mut total) = (Instant::now(), Vec::new(), 0);
    for step in 1.. {
        let due = bytes_per_second as f64 * (STEP * step).as_secs_f64();
        while (total as f64) < due {
            line.clear();
            if from.read_until(b'\n', &mut line).context("failed to read the finished log")? == 0 {
                return Ok(());
            }
            to.write_all(&line).context("failed to write the log")?;
            total += line.len() as u64;
        }
        written.store(total, Ordering::Relaxed);
        thread::sleep((STEP * step).saturating_sub(began.elapsed()));
    }
    Ok(())
}
