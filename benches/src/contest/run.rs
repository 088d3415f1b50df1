//! One run of one program, from nothing, and a look at what it stored.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::{Compression, Contestant, Destination};
use crate::generate::Summary;
use crate::logs::Log;
use crate::measure::{Cost, Program, run};
use crate::soak::store::Store;

/// The program that is measured, and where programs write.
#[derive(Clone, Debug)]
pub struct Ring {
    /// reassemble, by path.
    pub reassemble: PathBuf,
    /// A folder; what a run writes is removed when it is over.
    pub dir: PathBuf,
}

/// What one run gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Time and memory.
    pub cost: Cost,
    /// Bytes that it wrote.
    pub stored_bytes: u64,
}

impl Ring {
    /// Why this contestant cannot run here, where it cannot: what to do about it.
    pub fn lacks(&self, contestant: Contestant) -> Option<&'static str> {
        let (program, install) = match contestant {
            Contestant::Yardstick(Compression::Gzip) => ("libdeflate-gzip", "apt-get install libdeflate-tools"),
            Contestant::Yardstick(Compression::Zstd) => ("zstd", "apt-get install zstd"),
            Contestant::Yardstick(Compression::None) => ("cat", "apt-get install coreutils"),
            Contestant::Grep => ("grep", "apt-get install grep"),
            Contestant::Reassemble { .. } => {
                return (!self.reassemble.is_file()).then_some("cargo build --release");
            }
        };
        let paths = env::var_os("PATH").unwrap_or_default();
        let is_there = env::split_paths(&paths).any(|dir| dir.join(program).is_file());
        (!is_there).then_some(install)
    }

    /// Runs a contestant once. A run of reassemble that did not store every exchange of the log complete has no outcome.
    ///
    /// # Errors
    /// Where the program fails, or stored something else.
    pub fn run(&self, contestant: Contestant, log: &Log) -> Result<Outcome> {
        match contestant {
            Contestant::Yardstick(compression) => self.compress(compression, &log.path),
            Contestant::Grep => grep(&log.path),
            Contestant::Reassemble { compression, destination, .. } => self.reassemble(compression, destination, log),
        }
    }

    fn compress(&self, compression: Compression, log: &Path) -> Result<Outcome> {
        let (name, args): (_, &[&str]) = match compression {
            Compression::Gzip => ("libdeflate-gzip", &["-1", "-k", "-c"]),
            // One thread, said in words: what zstd does by itself depends on its version and the machine.
            Compression::Zstd => ("zstd", &["-1", "-T1", "-q", "-c"]),
            Compression::None => ("cat", &[]),
        };
        let output = self.dir.join("yardstick.out");
        let mut program = Program::new(name, args.iter().map(OsString::from).chain([log.into()]));
        program.stdout = Some(output.clone());
        let cost = run(&program)?;
        let stored_bytes = total_bytes(&output)?;
        remove(&output)?;
        Ok(Outcome { cost, stored_bytes })
    }

    fn reassemble(&self, compression: Compression, destination: Destination, log: &Log) -> Result<Outcome> {
        let work = self.dir.join("run");
        remove(&work)?;
        fs::create_dir_all(&work).with_context(|| format!("failed to make {}", work.display()))?;
        // A server lives as long as this.
        let store = Store::open(&work, destination == Destination::S3)?;
        let (state, summary) = (work.join("state"), work.join("summary.json"));
        let mut args: Vec<OsString> =
            ["--compression", compression.name(), "--summary", "json", "--quiet", "--state"].map(Into::into).into();
        args.push(state.into());
        args.extend(store.arguments());
        args.push(log.path.clone().into());
        let mut program = Program::new(&self.reassemble, args);
        program.stdout = Some(summary.clone());
        program.env = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")].into();
        let cost = run(&program)?;
        check_summary(&fs::read_to_string(summary).context("failed to read the summary")?, &log.summary)?;
        // Where there was no capture, there is no folder.
        let stored_bytes = if log.summary.captures == 0 { 0 } else { total_bytes(&store.root())? };
        drop(store);
        remove(&work)?;
        Ok(Outcome { cost, stored_bytes })
    }
}

fn grep(log: &Path) -> Result<Outcome> {
    // grep ends with 1 where it finds nothing, which is what is expected here.
    let script = r#"grep -c cap1 "$1" >/dev/null; test $? -le 1"#;
    let cost = run(&Program::new("sh", ["-c".as_ref(), script.as_ref(), "sh".as_ref(), log.as_os_str()]))?;
    Ok(Outcome { cost, stored_bytes: 0 })
}

/// A figure of a run that lost something is worth nothing.
fn check_summary(text: &str, log: &Summary) -> Result<()> {
    let summary: serde_json::Value = serde_json::from_str(text).context("the summary is no JSON")?;
    for (pointer, expected) in [
        ("/run/exchanges_stored", log.captures),
        ("/run/exchanges_complete", log.captures),
        ("/run/exchanges_incomplete", 0),
        ("/run/lines_read", log.lines),
        ("/run/records/read", log.records),
        ("/run/records/in_exchanges", log.records),
    ] {
        let count = summary.pointer(pointer).and_then(serde_json::Value::as_u64);
        let count = count.with_context(|| format!("the summary has no {pointer}"))?;
        ensure!(count == expected, "the summary's {pointer} is {count}, and by the log it is {expected}");
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => bail!("failed to remove {}: {error}", path.display()),
        _ => Ok(()),
    }
}

/// Bytes of all files below.
fn total_bytes(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path).with_context(|| format!("nothing was written to {}", path.display()))?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let mut total = 0;
    for entry in fs::read_dir(path).context("failed to list what was stored")? {
        total += total_bytes(&entry.context("failed to list what was stored")?.path())?;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_lost_something_has_no_figure() {
        let log = Summary { bytes: 9, lines: 4, records: 3, captures: 1 };
        let text = |stored, incomplete, records| {
            format!(
                concat!(
                    r#"{{"run":{{"exchanges_stored":{stored},"exchanges_complete":1,"exchanges_incomplete":{incomplete},"#,
                    r#""lines_read":4,"records":{{"read":{records},"in_exchanges":3}}}}}}"#
                ),
                stored = stored,
                incomplete = incomplete,
                records = records
            )
        };
        check_summary(&text(1, 0, 3), &log).unwrap();
        for wrong in [text(0, 0, 3), text(1, 1, 3), text(1, 0, 2), "{}".to_owned(), String::new()] {
            assert!(check_summary(&wrong, &log).is_err(), "{wrong}");
        }
    }
}
