//! An environment of Lambda with the extension in it, its bucket, and what its invocations cost.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::time::ClockId;
use nix::unistd::Pid;
use reassemble_testkit::lambda::platform::{Options, Platform};
use reassemble_testkit::process::{Memory, Process};
use tempfile::TempDir;

use super::Flush;
use super::printer::Printer;
use crate::soak::store::Store;

/// A POST is full at so many bytes: what the extension asks for, less its envelope.
const POST_BYTES: usize = 1_000_000;
/// How long the function works before it prints anything: the event has come to the extension by then.
const WORK: Duration = Duration::from_millis(10);
/// A time limit of invocations that none comes near to.
const LIMIT: Duration = Duration::from_secs(600);

/// The environment; dropped, its processes are killed.
#[derive(Debug)]
pub struct Environment {
    platform: Platform,
    extension: Process,
    clock: ClockId,
    printer: Printer,
    invocations: u64,
    // What follows goes last: processes write there.
    _store: Store,
    _dir: TempDir,
}

/// What one invocation cost.
#[derive(Clone, Copy, Debug)]
pub struct Invocation {
    /// From `platform.runtimeDone` being handed over to the next event being asked for; nothing where it was asked for before.
    pub added: Duration,
    /// CPU time of the extension before that, from the event of the invocation on.
    pub cpu_before: Duration,
    /// CPU time of the extension within the added time.
    pub cpu_after: Duration,
    /// Whether a capture was left open.
    pub is_open: bool,
}

impl Environment {
    /// Starts all of it. `dir` is where its files lie until it is dropped.
    ///
    /// # Errors
    /// Where something does not start.
    pub fn start(binary: &Path, dir: &Path, flush: Flush) -> Result<Environment> {
        let dir = tempfile::tempdir_in(dir).context("failed to make a folder")?;
        let store = Store::open(dir.path(), true)?;
        let platform = Platform::start(Options::default());
        let mut extension = platform.start_extension(binary, dir.path(), |command| {
            command.envs(store.variables()).env("REASSEMBLE_FLUSH", flush.to_string());
            command.env("REASSEMBLE_STATE", dir.path().join("state"));
        });
        let pid = Pid::from_raw(i32::try_from(extension.child().id()).context("the extension's process id")?);
        let clock = ClockId::pid_cpu_clock_id(pid).context("the extension has no CPU clock")?;
        platform.idle();
        Ok(Environment {
            platform,
            extension,
            clock,
            printer: Printer::default(),
            invocations: 0,
            _store: store,
            _dir: dir,
        })
    }

    /// An invocation in which the function prints so many lines.
    ///
    /// # Errors
    /// Where lines cannot be made, or the CPU clock cannot be read.
    pub fn invoke(&mut self, lines: usize) -> Result<Invocation> {
        self.invocations += 1;
        let id = format!("request-{}", self.invocations);
        let posts = posts(self.platform.printed(&self.printer.lines(lines)?));
        self.platform.idle();
        let began = self.cpu()?;
        self.platform.invoke(&id, LIMIT);
        std::thread::sleep(WORK);
        posts.iter().for_each(|elements| self.platform.push(elements));
        let done = [self.platform.runtime_done(&id)];
        let (answered, before) = (Instant::now(), self.cpu()?);
        self.platform.push(&done);
        let next = self.platform.idle();
        let after = self.cpu()?;
        Ok(Invocation {
            added: next.saturating_duration_since(answered),
            cpu_before: before - began,
            cpu_after: after - before,
            is_open: self.printer.is_open(),
        })
    }

    /// Resident memory of the extension.
    pub fn memory(&self) -> Memory {
        self.extension.memory()
    }

    /// Ends it, and checks that every capture is stored: figures of one that lost something are worth nothing.
    ///
    /// # Errors
    /// Where one is not, or the extension fails.
    pub fn end(mut self) -> Result<()> {
        self.platform.idle();
        self.platform.shut_down("spindown");
        let status = self.extension.ended();
        let words = self.extension.words();
        ensure!(status.success(), "the extension ended with {status}: {words}");
        let summary = words.lines().rfind(|line| line.contains("the environment ended"));
        let summary = summary.with_context(|| format!("the extension says nothing of its end: {words}"))?;
        let (captures, open) = (self.printer.captures(), u64::from(self.printer.is_open()));
        for (count, expected) in [
            ("exchanges_complete", captures),
            ("exchanges_incomplete", open),
            ("exchanges_stored", captures + open),
            ("records_bad", 0),
            ("records_unstored", 0),
            ("dropped_by_lambda_records", 0),
        ] {
            let is_there = summary.split(' ').any(|word| word == format!("{count}={expected}"));
            ensure!(is_there, "{count} should be {expected}: {summary}");
        }
        Ok(())
    }

    fn cpu(&self) -> Result<Duration> {
        Ok(self.clock.now().context("failed to read the extension's CPU clock")?.into())
    }
}

/// Elements in POSTs, each as large as it may be.
fn posts(elements: Vec<String>) -> Vec<Vec<String>> {
    let (mut posts, mut bytes) = (vec![Vec::new()], 0);
    for element in elements {
        if bytes + element.len() > POST_BYTES {
            posts.push(Vec::new());
            bytes = 0;
        }
        bytes += element.len() + 1;
        if let Some(post) = posts.last_mut() {
            post.push(element);
        }
    }
    posts
}
