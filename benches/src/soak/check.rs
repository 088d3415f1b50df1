//! The check at the end: every capture of the log is stored, complete and once. `reassemble verify` compares the contents, where the program
//! has it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::daemon::Place;

/// Exchanges that the log holds beside those that are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Captures in the log.
    pub expected: u64,
    /// Exchanges in the destination.
    pub stored: u64,
    /// Captures of which nothing is stored.
    pub missing: u64,
    /// Captures that are stored more than once.
    pub twice: u64,
    /// Exchanges that no capture of the log is.
    pub unknown: u64,
    /// Exchanges that are not complete.
    pub incomplete: u64,
}

impl Check {
    /// Whether each capture is stored once, complete, and nothing else is.
    pub fn is_clean(&self) -> bool {
        *self == Check { expected: self.expected, stored: self.expected, ..Check::default() }
    }
}

/// Compares the logs of a folder (`app.log` and what rotation made of it) with what lies under a destination's root.
///
/// # Errors
/// Where either cannot be read.
pub fn compare(dir: &Path, root: &Path) -> Result<Check> {
    let mut stored: HashMap<String, u64> = HashMap::new();
    let mut check = Check::default();
    let mut batches = Vec::new();
    find(root, &mut batches)?;
    for batch in batches {
        for line in BufReader::new(File::open(&batch).with_context(|| batch.display().to_string())?).lines() {
            let line = line.with_context(|| batch.display().to_string())?;
            let exchange: serde_json::Value =
                serde_json::from_str(&line).with_context(|| batch.display().to_string())?;
            let id = exchange["id"].as_str().context("an exchange has no id")?;
            *stored.entry(id.to_owned()).or_default() += 1;
            check.stored += 1;
            check.incomplete += u64::from(exchange["complete"] != true);
        }
    }
    let mut logged = HashSet::new();
    for log in logs(dir)? {
        for line in BufReader::new(File::open(&log).with_context(|| log.display().to_string())?).lines() {
            let line = line.with_context(|| log.display().to_string())?;
            if let Some((id, _)) = line.strip_prefix(r#"{"cap1":""#).and_then(|rest| rest.split_once('"')) {
                logged.insert(id.to_owned());
            }
        }
    }
    check.expected = logged.len() as u64;
    check.missing = logged.iter().filter(|id| !stored.contains_key(*id)).count() as u64;
    check.unknown = stored.keys().filter(|id| !logged.contains(*id)).count() as u64;
    check.twice = stored.values().filter(|times| **times > 1).count() as u64;
    Ok(check)
}

/// Runs `reassemble verify` over the logs and the destination; `None` where the program has no such command.
///
/// # Errors
/// Where it cannot be run.
pub fn verify(place: &Place, dir: &Path) -> Result<Option<(bool, String)>> {
    let help = Command::new(&place.reassemble).args(["verify", "--help"]).output();
    // Where it is no command, it is the name of a file.
    if !help.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("reassemble verify")) {
        return Ok(None);
    }
    let mut command = Command::new(&place.reassemble);
    command.arg("verify").args(logs(dir)?).args(&place.destination);
    command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
    let output = command.output().context("failed to run reassemble verify")?;
    let said = [output.stdout, output.stderr].concat();
    Ok(Some((output.status.success(), String::from_utf8_lossy(&said).into_owned())))
}

/// The log and what rotation made of it, the oldest first.
fn logs(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(dir).context("failed to list the logs")? {
        let path = entry.context("failed to list the logs")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(rest) = name.strip_prefix("app.log") {
            let number = rest.strip_prefix('.').and_then(|number| number.parse::<u64>().ok());
            logs.push((number.unwrap_or(u64::MAX), path));
        }
    }
    logs.sort();
    Ok(logs.into_iter().map(|(_, path)| path).collect())
}

/// Every batch below a folder; what is hidden is the state, or the server's own.
fn find(folder: &Path, batches: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))? {
        let path = entry.context("failed to list the destination")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            find(&path, batches)?;
        } else if name.ends_with(".ndjson") {
            batches.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_twice_unknown_or_incomplete_is_counted() {
        let dir = std::env::temp_dir().join(format!("reassemble-soak-check-{}", std::process::id()));
        let root = dir.join("captures/retention=30d");
        fs::create_dir_all(&root).unwrap();
        let line = |id: &str| format!("{{\"cap1\":\"{id}\",\"part\":\"req\"}}\n");
        fs::write(dir.join("app.log.1"), line("a") + &line("b") + "an ordinary line\n").unwrap();
        fs::write(dir.join("app.log"), line("b") + &line("c") + &line("d")).unwrap();
        let stored = |id: &str, complete: bool| format!("{{\"id\":\"{id}\",\"complete\":{complete}}}\n");
        fs::write(root.join("1.ndjson"), stored("a", true) + &stored("b", false)).unwrap();
        fs::write(root.join("2.ndjson"), stored("a", true) + &stored("x", true)).unwrap();
        let check = compare(&dir, &dir.join("captures")).unwrap();
        assert_eq!(check, Check { expected: 4, stored: 4, missing: 2, twice: 1, unknown: 1, incomplete: 1 });
        assert!(!check.is_clean());
        fs::write(root.join("1.ndjson"), ["b", "c", "d"].map(|id| stored(id, true)).concat()).unwrap();
        fs::write(root.join("2.ndjson"), stored("a", true)).unwrap();
        assert!(compare(&dir, &dir.join("captures")).unwrap().is_clean());
        fs::remove_dir_all(dir).unwrap();
    }
}
