//! The sample shop as a process: started, watched and ended.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;

/// A shop that runs; dropped, it is killed.
#[derive(Debug)]
pub struct Shop {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Shop {
    /// Starts the shop with its standard output, which has captures alone, in a file; with or without the emitter.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start(binary: &Path, output: &Path, with_emitter: bool) -> Result<Shop> {
        let output = File::create(output).with_context(|| format!("failed to create {}", output.display()))?;
        let mut command = Command::new(binary);
        command.args(["--listen", "127.0.0.1:0", "--quiet"]);
        command.env("CAPTURE_OUTPUT", if with_emitter { "stdout" } else { "off" });
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {}: cargo build --release -p shop", binary.display()))?;
        let mut stderr = BufReader::new(child.stderr.take().context("the shop has no standard error")?);
        let mut line = String::new();
        stderr.read_line(&mut line).context("failed to read what the shop says")?;
        let address = line.trim().strip_prefix("listening on http://").and_then(|address| address.parse().ok());
        let address = address.with_context(|| format!("the shop says {line:?}"))?;
        Ok(Shop { child, stderr, address })
    }

    /// CPU time of all its threads so far, user and system.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn cpu(&self) -> Result<Duration> {
        let clock = ClockId::pid_cpu_clock_id(self.pid()?).context("the shop has no CPU clock")?;
        Ok(clock.now().context("failed to read the shop's CPU clock")?.into())
    }

    /// Peak resident memory so far in bytes.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn peak_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kib.with_context(|| format!("{path} has no VmHWM"))? * 1024)
    }

    /// Ends it; gives how many captures it finished, all of those that it began.
    ///
    /// # Errors
    /// Where it dropped captures or lost lines, or ends with another code than 0.
    pub fn end(mut self) -> Result<u64> {
        kill(self.pid()?, Signal::SIGTERM).context("failed to end the shop")?;
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).context("failed to read what the shop says")?;
        let status = self.child.wait().context("failed to wait for the shop")?;
        ensure!(status.success(), "the shop ended with {status}: {said}");
        let count = |name: &str| {
            let figure = said.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            figure
                .and_then(|figure| figure.trim_end_matches(',').parse::<u64>().ok())
                .with_context(|| format!("the shop says {said:?}"))
        };
        let finished = count("finished")?;
        ensure!(
            count("begun")? == finished && count("dropped")? == 0 && count("lost_lines")? == 0,
            "the emitter did not keep up: {said}"
        );
        Ok(finished)
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id()).context("the shop's process id")?))
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to kill.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
