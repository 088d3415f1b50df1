//! The real extension's process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::platform::{PATIENCE, Platform};

/// What Lambda gives an environment to end in; then it kills.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// A process of it. It is killed where a test leaves it.
pub(crate) struct Extension {
    child: Child,
    said: PathBuf,
}

impl Extension {
    /// Starts it with nothing in its environment but what is given; what it says is added to a file in this folder.
    pub(crate) fn start(platform: &Platform, dir: &Path, configure: impl FnOnce(&mut Command)) -> Extension {
        let said = dir.join("stderr");
        let log = File::options().create(true).append(true).open(&said).unwrap();
        // Figures are of the binary that goes into the layer.
        let binary = std::env::var_os("REASSEMBLE_TEST_EXTENSION");
        let mut command = Command::new(binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_reassemble-extension").into()));
        command.env_clear().env("AWS_LAMBDA_RUNTIME_API", platform.address.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        configure(&mut command);
        Extension { child: command.spawn().unwrap(), said }
    }

    /// What it said, and those before it in the same folder.
    pub(crate) fn words(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it has said this.
    pub(crate) fn says(&self, words: &str) {
        let began = Instant::now();
        while !self.words().contains(words) {
            assert!(began.elapsed() < PATIENCE, "it does not say {words:?}: {}", self.words());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Memory that it holds now, and the most that it held, in bytes.
    pub(crate) fn resident_bytes(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
        };
        (of("VmRSS:"), of("VmHWM:"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > patience {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it as Lambda does: it has two seconds, and is killed then. It must not come to that.
    pub(crate) fn shut_down(&mut self, platform: &Platform, reason: &str) {
        platform.shut_down(reason);
        let ended = self.ended(SHUTDOWN);
        let status = ended.unwrap_or_else(|| panic!("it was killed at the shutdown's end: {}", self.words()));
        assert!(status.success(), "{status}: {}", self.words());
    }

    /// Kills it, as Lambda does when it resets an environment.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Extension {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
