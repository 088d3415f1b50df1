//! `reassemble` as a daemon that a test watches: what it says is read while it runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::programs::{PATIENCE, signal};

/// A running process with its words in a file. It is killed where a test leaves it.
pub(crate) struct Daemon {
    child: Child,
    said: PathBuf,
}

impl Daemon {
    /// Starts a command; what it says goes to the end of a file in this folder, and is read from its start.
    pub(crate) fn start(mut command: Command, dir: &Path) -> Daemon {
        static STARTED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let said = dir.join(format!("stderr-{number}"));
        let child = command.stdout(Stdio::null()).stderr(File::create(&said).unwrap()).spawn().unwrap();
        Daemon { child, said }
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn words(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.said).unwrap()).into_owned()
    }

    /// Waits until it has said this.
    pub(crate) fn says(&mut self, words: &str) {
        let began = Instant::now();
        while !self.words().contains(words) {
            let ended = self.child.try_wait().unwrap();
            let patient = ended.is_none() && began.elapsed() < PATIENCE;
            assert!(patient || self.words().contains(words), "{ended:?} without {words:?}: {}", self.words());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until something is so, while it runs.
    pub(crate) fn until(&mut self, what: &str, mut so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !so() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "{what}: {ended:?}, {}", self.words());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until it ends by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end: {}", self.words());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The same, and gives it something to do again and again until then.
    pub(crate) fn ended_while(&mut self, mut work: impl FnMut()) -> ExitStatus {
        for _ in 0..100 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            work();
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("it does not end: {}", self.words());
    }

    /// Sends a signal and waits for the end; gives its exit status and how long that took.
    pub(crate) fn end_by(&mut self, by: Signal) -> (ExitStatus, Duration) {
        let began = Instant::now();
        signal(&self.child, by);
        let status = self.ended();
        (status, began.elapsed())
    }

    /// The most memory that it held, in bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
