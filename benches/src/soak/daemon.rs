//! One life of the daemon, watched from outside: its readiness by what it says, its memory by `/proc`, its spool by its files.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reassemble_testkit::process::Memory;

use super::store::free_port;

/// What all lives share.
#[derive(Clone, Debug)]
pub struct Place {
    /// The program.
    pub reassemble: PathBuf,
    /// The log that it follows.
    pub log: PathBuf,
    /// Its state.
    pub state: PathBuf,
    /// What all lives say.
    pub said: PathBuf,
    /// Its arguments for the destination.
    pub destination: Vec<OsString>,
}

/// A running daemon; it is killed where this is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    place: Place,
    port: u16,
    ready: Arc<Mutex<Option<Duration>>>,
}

impl Daemon {
    /// Begins a life.
    ///
    /// # Errors
    /// Where the program does not start.
    pub fn start(place: &Place) -> Result<Daemon> {
        let port = free_port()?;
        let mut said =
            File::options().create(true).append(true).open(&place.said).context("failed to open stderr.log")?;
        let began = Instant::now();
        let mut child = Command::new(&place.reassemble)
            .args([
                "--commit-interval",
                "100ms",
                "--batch-age",
                "1s",
                "--batch-bytes",
                "1MiB",
                "--inline-body",
                "64KiB",
            ])
            .args(["--compression", "none", "--no-progress", "--summary", "none", "--metrics"])
            .arg(format!("127.0.0.1:{port}"))
            .arg("--follow")
            .arg(&place.log)
            .arg("--state")
            .arg(&place.state)
            .args(&place.destination)
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {}", place.reassemble.display()))?;
        let ready = Arc::new(Mutex::new(None));
        let stderr = child.stderr.take().context("the daemon has no standard error")?;
        let seen = Arc::clone(&ready);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                if line.windows(12).any(|words| words == b" INFO ready ") {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(began.elapsed());
                }
                // Where even this cannot be written, the daemon's words are lost, and the soak goes on.
                said.write_all(&[&line[..], b"\n"].concat()).ok();
            }
        });
        Ok(Daemon { child, place: place.clone(), port, ready })
    }

    /// How long it took to be ready, where it was.
    pub fn ready(&self) -> Option<Duration> {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it runs.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("failed to look at the daemon")?.is_none())
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// Where there is no such process any more.
    pub fn terminate(&self) -> Result<()> {
        let id = i32::try_from(self.child.id()).context("the daemon's process id")?;
        kill(Pid::from_raw(id), Signal::SIGTERM).context("failed to send SIGTERM")
    }

    /// Sends SIGKILL, and waits for the end.
    ///
    /// # Errors
    /// Where that fails.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("failed to kill the daemon")?;
        self.wait().map(drop)
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().context("failed to wait for the daemon")
    }

    /// The last of what this life and those before it said.
    pub fn words(&self) -> String {
        let text = fs::read(&self.place.said).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(4_000)..]).into_owned()
    }

    /// Most memory that it held so far, in bytes; 0 where it is gone.
    pub fn peak_bytes(&self) -> u64 {
        Memory::of(self.child.id()).map_or(0, |memory| memory.peak_bytes)
    }

    /// Bytes of its spool's files.
    pub fn spool_bytes(&self) -> u64 {
        let entries = fs::read_dir(self.place.state.join("spool")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
    }

    /// Whether all is read and stored, as its metrics say.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn is_drained(&self) -> Result<bool> {
        let metrics = self.metrics().context("failed to read the daemon's metrics")?;
        let value = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.trim().parse::<f64>().ok())
                .with_context(|| format!("there is no metric {name}"))
        };
        let nothing = |name: &str| value(name).map(|value| value == 0.0);
        Ok(value("reassemble_caught_up")? == 1.0
            && nothing("reassemble_open_captures")?
            && nothing("reassemble_waiting_objects")?
            && nothing("reassemble_spool_bytes")?)
    }

    fn metrics(&self) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: soak\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
