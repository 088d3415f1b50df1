//! Logs that are made once and kept: a kind and a size give the same file every time.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::generate::{Envelope, LogOptions, Summary, write_log};

/// Stands in the file's name: to be raised when the generator's output changes, so that no old log is taken for a new one.
const LOG_VERSION: u32 = 1;

/// What a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// Captures and ordinary lines, wrapped like this.
    Captures(Envelope),
    /// Ordinary lines alone, as the app printed them.
    Ordinary,
}

impl LogKind {
    /// As it stands in tables and in the file's name.
    pub fn name(self) -> String {
        match self {
            LogKind::Captures(envelope) => {
                envelope.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
            }
            LogKind::Ordinary => "plain-no-captures".to_owned(),
        }
    }
}

/// A log on disk.
#[derive(Clone, Debug)]
pub struct Log {
    /// What it holds.
    pub kind: LogKind,
    /// Where it lies.
    pub path: PathBuf,
    /// What the generator wrote.
    pub summary: Summary,
}

impl Log {
    /// The log of this kind and size in this folder; made where it is not there whole.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn cached(dir: &Path, kind: LogKind, bytes: u64) -> Result<Log> {
        let path = dir.join(format!("log-v{LOG_VERSION}-{}-{bytes}.log", kind.name()));
        let counts = path.with_extension("counts");
        if let Some(summary) = kept(&path, &counts) {
            return Ok(Log { kind, path, summary });
        }
        eprintln!("making {}", path.display());
        let file = File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let (envelope, captures) = match kind {
            LogKind::Captures(envelope) => (envelope, true),
            LogKind::Ordinary => (Envelope::Plain, false),
        };
        let summary = write_log(&LogOptions { bytes, envelope, captures, seed: 1 }, &mut out)?;
        out.flush().context("failed to write the log")?;
        let text = format!("{} {} {} {}\n", summary.bytes, summary.lines, summary.records, summary.captures);
        fs::write(&counts, text).context("failed to write the log's counts")?;
        Ok(Log { kind, path, summary })
    }

    /// Reads it, so that the first run does not read it from a disk and the others from memory.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn warm(&self) -> Result<()> {
        let mut file = File::open(&self.path).with_context(|| format!("failed to open {}", self.path.display()))?;
        io::copy(&mut file, &mut io::sink()).context("failed to read the log")?;
        Ok(())
    }
}

/// The counts of a log that was made whole: they are written last, and tell its length.
fn kept(log: &Path, counts: &Path) -> Option<Summary> {
    let text = fs::read_to_string(counts).ok()?;
    let figures: Vec<u64> = text.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
    let [bytes, lines, records, captures] = figures[..] else { return None };
    (fs::metadata(log).ok()?.len() == bytes).then_some(Summary { bytes, lines, records, captures })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_made_once_and_again_where_it_is_not_whole() {
        let dir = std::env::temp_dir().join(format!("reassemble-benches-logs-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let kind = LogKind::Captures(Envelope::Cri);
        let log = Log::cached(&dir, kind, 20_000).unwrap();
        log.warm().unwrap();
        let bytes = fs::read(&log.path).unwrap();
        assert_eq!(log.summary.bytes, bytes.len() as u64);
        assert!(log.summary.captures > 0);

        let kept = fs::metadata(&log.path).unwrap().modified().unwrap();
        assert_eq!(Log::cached(&dir, kind, 20_000).unwrap().summary, log.summary);
        assert_eq!(fs::metadata(&log.path).unwrap().modified().unwrap(), kept);

        fs::write(&log.path, &bytes[..9_000]).unwrap();
        assert_eq!(Log::cached(&dir, kind, 20_000).unwrap().summary, log.summary);
        assert_eq!(fs::read(&log.path).unwrap(), bytes);

        let ordinary = Log::cached(&dir, LogKind::Ordinary, 20_000).unwrap();
        assert_eq!((ordinary.summary.records, ordinary.summary.captures), (0, 0));
        assert_ne!(ordinary.path, log.path);
        fs::remove_dir_all(dir).unwrap();
    }
}
