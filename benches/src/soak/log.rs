//! The log: the generator's captures, one stretch after the other, at a steady rate, renamed and begun anew every few seconds.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::generate::{Envelope, LogOptions, write_log};

/// Bytes between two looks at whether to stop; captures under way are then finished.
const STRETCH_BYTES: u64 = 2_000_000;
/// How often the log is rotated.
const ROTATE_EVERY: Duration = Duration::from_secs(5);

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Bytes.
    pub bytes: u64,
    /// Lines.
    pub lines: u64,
    /// Renamed so many times.
    pub rotations: u64,
}

/// A thread that writes the log.
#[derive(Debug)]
pub struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Written>>,
}

impl Writer {
    /// Begins a log of so many bytes a second.
    ///
    /// # Errors
    /// Where the log cannot be made.
    pub fn start(log: &Path, rate: u64, seed: u64) -> Result<Writer> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut out = BufWriter::with_capacity(4096, RotatingLog::new(log, rate)?);
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut written = Written::default();
            for stretch in 0.. {
                let seed = seed.wrapping_mul(1_000_003).wrapping_add(stretch);
                let options = LogOptions { bytes: STRETCH_BYTES, envelope: Envelope::Plain, captures: true, seed };
                let summary = write_log(&options, &mut out).context("failed to write the log")?;
                written.bytes += summary.bytes;
                written.lines += summary.lines;
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
            }
            out.flush().context("failed to write the log")?;
            Ok(Written { rotations: out.get_ref().rotations, ..written })
        });
        Ok(Writer { stop, thread })
    }

    /// Finishes the captures under way, and gives what was written.
    ///
    /// # Errors
    /// Where the log could not be written.
    pub fn finish(self) -> Result<Written> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the writer of the log panicked"))?
    }
}

struct RotatingLog {
    path: PathBuf,
    file: File,
    rate: u64,
    began: Instant,
    written: u64,
    rotate_at: Instant,
    rotations: u64,
}

impl RotatingLog {
    fn new(path: &Path, rate: u64) -> Result<RotatingLog> {
        let file = open(path).with_context(|| format!("failed to create {}", path.display()))?;
        let now = Instant::now();
        Ok(RotatingLog {
            path: path.to_owned(),
            file,
            rate,
            began: now,
            written: 0,
            rotate_at: now + ROTATE_EVERY,
            rotations: 0,
        })
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().create_new(true).append(true).open(path)
}

impl Write for RotatingLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let due = Duration::from_secs_f64(self.written as f64 / self.rate as f64);
        std::thread::sleep(due.saturating_sub(self.began.elapsed()));
        // Only at a line's end: an app opens its new log between two lines.
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        let Some(end) = end.filter(|_| Instant::now() >= self.rotate_at) else {
            let taken = self.file.write(bytes)?;
            self.written += taken as u64;
            return Ok(taken);
        };
        self.file.write_all(&bytes[..=end])?;
        self.written += end as u64 + 1;
        self.rotations += 1;
        fs::rename(&self.path, self.path.with_added_extension(self.rotations.to_string()))?;
        self.file = open(&self.path)?;
        self.rotate_at = Instant::now() + ROTATE_EVERY;
        Ok(end + 1)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
