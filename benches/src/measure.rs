//! What one run of a program costs: CPU time, wall time, peak resident memory.
//!
//! The system tells a parent what its waited-for children used, summed up and, for memory, the highest of all. So each run gets a parent
//! of its own: the benchmark starts itself once more ([`run_as_parent`]), that small process starts the one program, waits, and
//! prints what the system says. Linux counts as a child's peak also what its parent held when it was started; the small process
//! holds a few MiB, which is the floor of every figure and is printed with them.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// The hidden command under which a benchmark must call [`run_as_parent`].
pub const PARENT_COMMAND: &str = "run-as-parent";

/// What a run cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// User and system time of the program and the children that it waited for.
    pub cpu: Duration,
    /// From its start to its end.
    pub wall: Duration,
    /// Peak resident memory in bytes.
    pub peak_bytes: u64,
}

/// A program with its arguments and, where it writes to standard output what counts, the file for that.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program, by path or as found in PATH.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where its standard output goes; nowhere if not set.
    pub stdout: Option<PathBuf>,
    /// Variables that it has beside those of the benchmark.
    pub env: Vec<(&'static str, &'static str)>,
}

impl Program {
    /// A program with arguments, its output going nowhere.
    pub fn new<A: Into<OsString>>(program: impl Into<OsString>, args: impl IntoIterator<Item = A>) -> Program {
        Program {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            stdout: None,
            env: Vec::new(),
        }
    }
}

/// Runs a program once and gives its cost.
///
/// # Errors
/// Where it can't be started, or ends with another code than 0.
pub fn run(program: &Program) -> Result<Cost> {
    let this = std::env::current_exe().context("failed to find this program")?;
    let mut parent = Command::new(this);
    parent.arg(PARENT_COMMAND);
    parent.arg(program.stdout.as_ref().map_or_else(|| "-".into(), |path| path.clone().into_os_string()));
    parent.arg(&program.program).args(&program.args).envs(program.env.iter().copied());
    parent.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = parent.output().context("failed to start this program once more")?;
    if !output.status.success() {
        bail!("{} failed: {}", program.program.display(), output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<u64> =
        text.split_whitespace().map(str::parse).collect::<Result<_, _>>().context("no figures came back")?;
    let [cpu_us, wall_us, peak_bytes] = figures[..] else { bail!("no figures came back: {text}") };
    Ok(Cost { cpu: Duration::from_micros(cpu_us), wall: Duration::from_micros(wall_us), peak_bytes })
}

/// The other half: runs the program of `args` (where its output goes, its name, its arguments) and prints CPU and wall time in microseconds
/// and peak memory in bytes.
///
/// # Errors
/// Where it can't be started, or ends with another code than 0.
pub fn run_as_parent(mut args: impl Iterator<Item = OsString>) -> Result<()> {
    let stdout = args.next().context("where does the output go?")?;
    let name = args.next().context("which program?")?;
    let stdout = if stdout == "-" {
        Stdio::null()
    } else {
        File::create(&stdout).context("failed to create the output")?.into()
    };
    let began = Instant::now();
    let status = Command::new(&name)
        .args(args)
        .stdout(stdout)
        .status()
        .with_context(|| format!("failed to start {}", name.display()))?;
    let wall = began.elapsed();
    if !status.success() {
        bail!("{} ended with {status}", name.display());
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("failed to ask what the program used")?;
    let cpu_us = micros(usage.user_time()) + micros(usage.system_time());
    let peak_kib = u64::try_from(usage.max_rss()).unwrap_or(0);
    println!("{cpu_us} {} {}", wall.as_micros(), peak_kib * 1024);
    Ok(())
}

fn micros(time: TimeVal) -> u64 {
    u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or(0)
}
