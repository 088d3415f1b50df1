//! A log that grows as a test says, and the folders of a daemon that follows it.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use reassemble_testkit::process::Process;
use tempfile::{TempDir, tempdir};

use crate::broken_disk::Faults;
use crate::intact;
use crate::programs::reassemble;
use crate::stored;
use crate::written::Captures;

/// How long the end may take that is to take two seconds.
pub(crate) const GRACE: Duration = Duration::from_secs(8);

/// Points a command at a store where nobody listens.
pub(crate) fn refused(command: &mut Command) {
    command.args(["--to", "s3://bucket/captures", "--s3-endpoint", "http://127.0.0.1:9", "--s3-path-style"]);
    command.args(["--s3-region", "us-east-1"]).env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s");
}

/// A log that grows as a test says, and a follower's folders.
pub(crate) struct Scene {
    pub(crate) dir: TempDir,
    pub(crate) log: File,
    pub(crate) captures: Captures,
    pub(crate) state: PathBuf,
    pub(crate) to: PathBuf,
    pub(crate) commit_interval: &'static str,
    pub(crate) batch_age: &'static str,
    pub(crate) batch_bytes: &'static str,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let dir = tempdir().unwrap();
        let log = File::create(dir.path().join("app.log")).unwrap();
        let (state, to) = (dir.path().join("state"), dir.path().join("captures"));
        Scene {
            dir,
            log,
            captures: Captures::new(7, 500_000),
            state,
            to,
            commit_interval: "50ms",
            batch_age: "300ms",
            batch_bytes: "1MiB",
        }
    }

    /// Writes about so many bytes of log; some captures stay open.
    pub(crate) fn log(&mut self, bytes: usize) {
        let mut written = 0;
        while written < bytes {
            let line = self.captures.line(true).unwrap();
            self.log.write_all(&line).unwrap();
            written += line.len();
        }
    }

    /// Ends the captures that are open.
    pub(crate) fn finish_log(&mut self) {
        while let Some(line) = self.captures.line(false) {
            self.log.write_all(&line).unwrap();
        }
    }

    /// The program with the state, and small batches and commits.
    pub(crate) fn command(&self) -> Command {
        let mut command = reassemble(["--commit-interval", self.commit_interval]);
        command.args(["--batch-age", self.batch_age, "--batch-bytes", self.batch_bytes]);
        command
            .args(["--inline-body", "64KiB", "--poll-interval", "50ms", "--no-progress", "--state"])
            .arg(&self.state);
        command
    }

    /// A follower of the log to the directory.
    pub(crate) fn follower(&self) -> Command {
        let mut command = self.command();
        command.arg("--follow").arg(self.log_path()).arg("--to").arg(&self.to);
        command
    }

    /// A follower whose destination takes nothing: nobody listens there.
    pub(crate) fn refused_follower(&self) -> Command {
        let mut command = self.command();
        command.arg("--follow").arg(self.log_path());
        refused(&mut command);
        command
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.dir.path().join("app.log")
    }

    pub(crate) fn start(&self) -> Process {
        Process::start(self.follower(), self.dir.path())
    }

    pub(crate) fn start_with(&self, faults: &Faults) -> Process {
        let mut command = self.follower();
        faults.attach(&mut command);
        Process::start(command, self.dir.path())
    }

    pub(crate) fn stored(&self) -> usize {
        stored::exchanges(&self.to).len()
    }

    /// Waits until all is stored, ends the daemon, and checks what is there.
    pub(crate) fn complete(&mut self, mut daemon: Process) {
        self.finish_log();
        let all = self.captures.exchanges.len();
        daemon.until("everything to be stored", || stored::exchanges(&self.to).len() >= all);
        let (status, _) = daemon.end_by(Signal::SIGTERM);
        assert_eq!(status.code(), Some(0), "{}", daemon.words());
        intact::assert_intact(&self.to, &self.captures.exchanges);
        intact::assert_drained(&self.state);
        intact::assert_no_leftovers(&self.to);
    }
}
