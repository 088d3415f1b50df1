//! The programs of an end-to-end measurement: reassemble, and the yardsticks that do one part of its work on the same file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::generate::Summary;
use crate::measure::{Cost, Program, run};

/// How reassemble compresses what it stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Beside `libdeflate-gzip -1`.
    Gzip,
    /// Beside `zstd -1`.
    Zstd,
    /// Beside `cp`.
    None,
}

impl Compression {
    /// As `--compression` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::None => "none",
        }
    }
}

/// A program that runs on the log.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// Its name in the table.
    pub name: String,
    /// For reassemble: the name of its yardstick.
    pub yardstick: Option<String>,
    /// How to install it, where it is not there.
    pub install: Option<&'static str>,
    program: Program,
    /// What it writes; removed before each run.
    outputs: Vec<PathBuf>,
    /// Where `--summary json` goes.
    summary: Option<PathBuf>,
}

/// What one run gave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Time and memory.
    pub cost: Cost,
    /// Bytes that it wrote.
    pub stored_bytes: u64,
}

impl Contestant {
    /// `reassemble` of this path, from the log to a directory below `work`.
    pub fn reassemble(binary: &Path, compression: Compression, log: &Path, work: &Path) -> Contestant {
        let (stored, state, summary) = (work.join("stored"), work.join("state"), work.join("summary.json"));
        let mut args: Vec<_> =
            ["--compression", compression.name(), "--summary", "json", "--quiet", "--to"].map(Into::into).into();
        args.extend([stored.clone().into_os_string(), "--state".into(), state.clone().into(), log.into()]);
        let mut program = Program::new(binary, args);
        program.stdout = Some(summary.clone());
        Contestant {
            name: format!("reassemble, {}", compression.name()),
            yardstick: Some(yardstick_name(compression).to_owned()),
            install: Some("cargo build --release"),
            program,
            outputs: vec![stored, state],
            summary: Some(summary),
        }
    }

    /// The yardstick for this compression.
    pub fn yardstick(compression: Compression, log: &Path, work: &Path) -> Contestant {
        let output = work.join("yardstick.out");
        let (mut program, install) = match compression {
            Compression::Gzip => (
                Program::new("libdeflate-gzip", ["-1".as_ref(), "-k".as_ref(), "-c".as_ref(), log.as_os_str()]),
                Some("apt-get install libdeflate-tools"),
            ),
            Compression::Zstd => (
                Program::new("zstd", ["-1".as_ref(), "-q".as_ref(), "-c".as_ref(), log.as_os_str()]),
                Some("apt-get install zstd"),
            ),
            Compression::None => (Program::new("cat", [log]), None),
        };
        program.stdout = Some(output.clone());
        let name = yardstick_name(compression).to_owned();
        Contestant { name, yardstick: None, install, program, outputs: vec![output], summary: None }
    }

    /// `grep -c cap1`: the least that finding no capture can cost.
    pub fn grep(log: &Path) -> Contestant {
        // grep ends with 1 where it finds nothing, which is what is expected here.
        let script = r#"grep -c cap1 "$1" >/dev/null; test $? -le 1"#;
        let program = Program::new("sh", ["-c".as_ref(), script.as_ref(), "sh".as_ref(), log.as_os_str()]);
        Contestant {
            name: "grep -c cap1".to_owned(),
            yardstick: None,
            install: None,
            program,
            outputs: Vec::new(),
            summary: None,
        }
    }

    /// The same with another yardstick.
    pub fn beside(self, yardstick: &str) -> Contestant {
        Contestant { yardstick: Some(yardstick.to_owned()), ..self }
    }

    /// Whether the program is there.
    pub fn is_installed(&self) -> bool {
        let program = Path::new(&self.program.program);
        let in_path = || {
            std::env::var_os("PATH")
                .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
        };
        if program.components().count() > 1 { program.is_file() } else { in_path() }
    }

    /// Runs it once, from nothing; what it stored is checked against what the log holds.
    ///
    /// # Errors
    /// Where it fails, or stored something else.
    pub fn run(&self, log: &Summary) -> Result<Outcome> {
        for output in &self.outputs {
            remove(output)?;
        }
        let cost = run(&self.program)?;
        if let Some(path) = &self.summary {
            check_summary(&fs::read_to_string(path).context("failed to read the summary")?, log)?;
        }
        let stored_bytes = self.outputs.first().map_or(Ok(0), |output| total_bytes(output))?;
        for output in &self.outputs {
            remove(output)?;
        }
        Ok(Outcome { cost, stored_bytes })
    }
}

fn yardstick_name(compression: Compression) -> &'static str {
    match compression {
        Compression::Gzip => "libdeflate-gzip -1",
        Compression::Zstd => "zstd -1",
        Compression::None => "cat",
    }
}

/// A figure of a run that lost something is worth nothing.
fn check_summary(text: &str, log: &Summary) -> Result<()> {
    let summary: serde_json::Value = serde_json::from_str(text).context("the summary is no JSON")?;
    let count = |key: &str| summary["run"][key].as_u64().with_context(|| format!("the summary has no run.{key}"));
    ensure!(
        count("exchanges_stored")? == log.captures,
        "{} exchanges stored, {} in the log",
        count("exchanges_stored")?,
        log.captures
    );
    ensure!(count("exchanges_incomplete")? == 0, "{} exchanges are incomplete", count("exchanges_incomplete")?);
    ensure!(count("records")? == log.records, "{} records read, {} in the log", count("records")?, log.records);
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("failed to remove {}: {error}", path.display())
        }
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
                r#"{{"run":{{"exchanges_stored":{stored},"exchanges_incomplete":{incomplete},"records":{records}}}}}"#
            )
        };
        check_summary(&text(1, 0, 3), &log).unwrap();
        for wrong in [text(0, 0, 3), text(1, 1, 3), text(1, 0, 2), "{}".to_owned(), String::new()] {
            assert!(check_summary(&wrong, &log).is_err(), "{wrong}");
        }
    }
}
