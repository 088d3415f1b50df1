//! The program that follows, watched through `/proc`.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reassemble_testkit::process::Memory;

/// The unit in which Linux shows times to programs, whatever its own clock's is.
const TICK: Duration = Duration::from_millis(10);

/// How reassemble is started.
#[derive(Clone, Debug)]
pub struct Place {
    /// The program.
    pub reassemble: PathBuf,
    /// Where its destination and state lie; made anew for each daemon.
    pub dir: PathBuf,
}

impl Place {
    /// Where objects go.
    pub fn stored(&self) -> PathBuf {
        self.dir.join("stored")
    }
}

/// A running program; it is killed where this is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    summary: ChildStdout,
}

impl Daemon {
    /// Follows a path or glob into an empty directory, with these arguments beside.
    ///
    /// # Errors
    /// Where the program does not start.
    pub fn follow(place: &Place, what: &Path, args: &[&str]) -> Result<Daemon> {
        for dir in [place.stored(), place.dir.join("state")] {
            if dir.exists() {
                fs::remove_dir_all(&dir).with_context(|| format!("failed to remove {}", dir.display()))?;
            }
        }
        let mut child = Command::new(&place.reassemble)
            .args([OsStr::new("--follow"), what.as_os_str(), "--to".as_ref(), place.stored().as_os_str()])
            .args(["--state".as_ref(), place.dir.join("state").as_os_str()])
            .args(["--summary", "json", "--quiet"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {}", place.reassemble.display()))?;
        let summary = child.stdout.take().context("the program has no standard output")?;
        Ok(Daemon { child, summary })
    }

    /// User and system time so far, of all threads, those that ended included, to a hundredth of a second.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn cpu(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        // The name, in parentheses, may hold anything.
        let (_, fields) = stat.rsplit_once(')').context("/proc/…/stat is not understood")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks.sum::<Result<u64, _>>().context("/proc/…/stat is not understood")?;
        Ok(TICK * u32::try_from(ticks)?)
    }

    /// Resident memory.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn memory(&self) -> Result<Memory> {
        Memory::of(self.child.id()).context("failed to read the program's memory")
    }

    /// Ends it in order, and gives its summary.
    ///
    /// # Errors
    /// Where it ends with another code than 0.
    pub fn stop(mut self) -> Result<serde_json::Value> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM).context("failed to end the program")?;
        let mut text = String::new();
        self.summary.read_to_string(&mut text).context("failed to read the summary")?;
        let status = self.child.wait().context("failed to wait for the program")?;
        ensure!(status.success(), "the program ended with {status}");
        serde_json::from_str(&text).context("the summary is no JSON")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already where it was told to.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
