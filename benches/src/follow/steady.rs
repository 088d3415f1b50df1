//! A steady flow, and many files at rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reassemble_testkit::process::Memory;

use super::daemon::{Daemon, Place};
use super::writer::Writer;
use crate::contest::Compression;
use crate::generate::Summary;
use crate::measure::{Program, run};

/// A finished log, and what is in it.
#[derive(Clone, Debug)]
pub struct Log {
    /// Where it lies.
    pub path: PathBuf,
    /// What was written to it.
    pub summary: Summary,
}

/// What was measured of a span.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// CPU time.
    pub cpu: Duration,
    /// How long it was.
    pub wall: Duration,
    /// Bytes that were written meanwhile.
    pub bytes: u64,
    /// Resident memory at its end, and the most since the start.
    pub memory: Memory,
}

impl Span {
    /// CPU time as a share of one core, in percent.
    pub fn percent(&self) -> f64 {
        100.0 * self.cpu.as_secs_f64() / self.wall.as_secs_f64()
    }
}

/// How long what was written last may take to be read.
const SETTLES: Duration = Duration::from_secs(3);
/// How long a file must be silent before it counts as one at rest.
const COMES_TO_REST: Duration = Duration::from_secs(15);

/// Follows a log that is written at a steady rate; what is measured begins after the warm-up, and ends `span` later. The log must last as long.
///
/// # Errors
/// Where something fails, or not every exchange was stored.
pub fn flow(
    place: &Place,
    log: &Log,
    compression: Compression,
    bytes_per_second: u64,
    (warm_up, span): (Duration, Duration),
) -> Result<Span> {
    let followed = place.dir.join("followed.log");
    fs::write(&followed, b"").context("failed to create the log")?;
    let daemon = Daemon::follow(place, &followed, &["--compression", compression.name()])?;
    let writer = Writer::begin(&log.path, &followed, bytes_per_second)?;
    thread::sleep(warm_up);
    let (began, cpu, bytes) = (Instant::now(), daemon.cpu()?, writer.written());
    thread::sleep(span);
    let measured = Span {
        cpu: daemon.cpu()? - cpu,
        wall: began.elapsed(),
        bytes: writer.written() - bytes,
        memory: daemon.memory()?,
    };
    writer.finish()?;
    thread::sleep(SETTLES);
    let summary = daemon.stop()?;
    let stored = summary["run"]["exchanges_stored"].as_u64().context("the summary has no run.exchanges_stored")?;
    ensure!(stored == log.summary.captures, "{stored} exchanges stored, {} in the log", log.summary.captures);
    fs::remove_file(&followed)?;
    Ok(measured)
}

/// CPU time that `libdeflate-gzip -1` needs for what was stored, for each byte of its log.
///
/// # Errors
/// Where a program is missing or fails.
pub fn libdeflate_seconds_per_byte(place: &Place, log: &Log) -> Result<f64> {
    let plain = place.dir.join("plain.ndjson");
    let script = r#"find "$1" -name '*.gz' -print0 | sort -z | xargs -0 cat | gzip -dc"#;
    let mut unpack = Program::new("sh", ["-c".as_ref(), script.as_ref(), "sh".as_ref(), place.stored().as_os_str()]);
    unpack.stdout = Some(plain.clone());
    run(&unpack)?;
    let mut pack = Program::new("libdeflate-gzip", ["-1".as_ref(), "-k".as_ref(), "-c".as_ref(), plain.as_os_str()]);
    pack.stdout = Some(place.dir.join("plain.gz"));
    let cost = run(&pack)?;
    fs::remove_file(&plain)?;
    fs::remove_file(place.dir.join("plain.gz"))?;
    Ok(cost.cpu.as_secs_f64() / log.summary.bytes as f64)
}

/// CPU time of reading the same log as a whole file, for each byte.
///
/// # Errors
/// Where the program fails.
pub fn whole_file_seconds_per_byte(place: &Place, log: &Log, compression: Compression) -> Result<f64> {
    let (stored, state) = (place.stored(), place.dir.join("state"));
    for dir in [&stored, &state] {
        fs::remove_dir_all(dir).with_context(|| format!("failed to remove {}", dir.display()))?;
    }
    let mut args: Vec<_> =
        ["--compression", compression.name(), "--summary", "none", "--quiet", "--to"].map(Into::into).into();
    args.extend([stored.into_os_string(), "--state".into(), state.into(), log.path.clone().into()]);
    Ok(run(&Program::new(&place.reassemble, args))?.cpu.as_secs_f64() / log.summary.bytes as f64)
}

/// Follows so many files to which nothing is written.
///
/// # Errors
/// Where something fails.
pub fn rest(place: &Place, files: usize, span: Duration) -> Result<Span> {
    let dir = place.dir.join("logs");
    fs::create_dir_all(&dir).context("failed to create the logs' folder")?;
    for number in 0..files {
        let lines =
            format!("10:00:00.000 INFO  [worker-{number}] this app has started and says nothing more\n").repeat(20);
        fs::write(dir.join(format!("app-{number}.log")), lines).context("failed to write a log")?;
    }
    let daemon = Daemon::follow(place, &dir.join("*.log"), &[])?;
    thread::sleep(COMES_TO_REST);
    let (began, cpu) = (Instant::now(), daemon.cpu()?);
    thread::sleep(span);
    let measured = Span { cpu: daemon.cpu()? - cpu, wall: began.elapsed(), bytes: 0, memory: daemon.memory()? };
    let summary = daemon.stop()?;
    let lines = summary["run"]["lines_read"].as_u64().context("the summary has no run.lines_read")?;
    ensure!(lines == 20 * files as u64, "{lines} lines of {files} files were read");
    remove(&dir)?;
    Ok(measured)
}

fn remove(dir: &Path) -> Result<()> {
    fs::remove_dir_all(dir).with_context(|| format!("failed to remove {}", dir.display()))
}
