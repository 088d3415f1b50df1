//! A program as a process that a test watches: what it says is read while it runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `done` gives something.
pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(result) = done() {
            return result;
        }
        assert!(began.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Sends a process a signal.
pub fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub now_bytes: u64,
    /// The most so far.
    pub peak_bytes: u64,
}

/// A running process with its words in a file. It is killed where a test leaves it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    said: PathBuf,
}

impl Process {
    /// Starts a command; what it says goes to a file of its own in this folder.
    pub fn start(command: Command, dir: &Path) -> Process {
        static STARTED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Process::start_saying(command, dir.join(format!("stderr-{number}")))
    }

    /// Starts a command; what it says is added to this file, and what stands there counts as said.
    pub fn start_saying(mut command: Command, said: PathBuf) -> Process {
        let log = File::options().create(true).append(true).open(&said).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Process { child, said }
    }

    /// The process as the standard library has it.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// What it said.
    pub fn words(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.said).unwrap()).into_owned()
    }

    /// Waits until it has said this.
    pub fn says(&mut self, words: &str) {
        let began = Instant::now();
        while !self.words().contains(words) {
            let ended = self.child.try_wait().unwrap();
            let patient = ended.is_none() && began.elapsed() < PATIENCE;
            assert!(patient || self.words().contains(words), "{ended:?} without {words:?}: {}", self.words());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until something is so, while it runs.
    pub fn until(&mut self, what: &str, mut so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !so() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "{what}: {ended:?}, {}", self.words());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until it ends by itself.
    pub fn ended(&mut self) -> ExitStatus {
        self.ended_within(PATIENCE).unwrap_or_else(|| panic!("it does not end: {}", self.words()))
    }

    /// Waits so long for its end.
    pub fn ended_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > patience {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it ends by itself, and gives it something to do again and again until then.
    pub fn ended_while(&mut self, mut work: impl FnMut()) -> ExitStatus {
        for _ in 0..100 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            work();
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("it does not end: {}", self.words());
    }

    /// Sends it a signal.
    pub fn signal(&self, by: Signal) {
        signal(&self.child, by);
    }

    /// Sends a signal and waits for the end; gives its exit status and how long that took.
    pub fn end_by(&mut self, by: Signal) -> (ExitStatus, Duration) {
        let began = Instant::now();
        self.signal(by);
        let status = self.ended();
        (status, began.elapsed())
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The memory that it holds.
    pub fn memory(&self) -> Memory {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
        };
        Memory { now_bytes: bytes("VmRSS:"), peak_bytes: bytes("VmHWM:") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
