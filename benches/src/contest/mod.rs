//! The contest of an end-to-end measurement: reassemble, and the yardsticks that do one part of its work on the same log, run in turn.
//!
//! - [`Contestant`] is what runs, and [`plan`] says which ones the bars need.
//! - [`run`] runs one of them once, from nothing, and checks what was stored.
//! - [`binary`] looks at the program's file.
//! - [`verdict`] makes bars of what came out.

pub mod binary;
pub mod run;
pub mod verdict;

use clap::ValueEnum;

use crate::generate::Envelope;
use crate::logs::LogKind;

/// How reassemble compresses what it stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Beside `libdeflate-gzip -1`.
    Gzip,
    /// Beside `zstd -1 -T1`.
    Zstd,
    /// Beside `cat`.
    None,
}

impl Compression {
    /// As `--compression` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::None => "none",
        }
    }
}

/// Where reassemble stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A directory.
    Directory,
    /// A bucket of an S3 server on loopback, a process of its own whose CPU time is not counted.
    S3,
}

/// A program that runs on a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    /// The compressor, alone, on the plain log; for none, `cat`.
    Yardstick(Compression),
    /// `grep -c cap1` on ordinary lines: the least that finding no capture can cost.
    Grep,
    /// The real binary.
    Reassemble {
        /// What it reads.
        log: LogKind,
        /// How it compresses.
        compression: Compression,
        /// Where it stores.
        destination: Destination,
    },
}

impl Contestant {
    /// Reassemble from the plain log to a directory.
    pub const fn plain(compression: Compression) -> Contestant {
        Contestant::enveloped(Envelope::Plain, compression)
    }

    /// Reassemble from a log in this envelope to a directory.
    pub const fn enveloped(envelope: Envelope, compression: Compression) -> Contestant {
        Contestant::Reassemble { log: LogKind::Captures(envelope), compression, destination: Destination::Directory }
    }

    /// Reassemble from the plain log to S3.
    pub const fn to_s3(compression: Compression) -> Contestant {
        let log = LogKind::Captures(Envelope::Plain);
        Contestant::Reassemble { log, compression, destination: Destination::S3 }
    }

    /// Reassemble over ordinary lines.
    pub const fn no_captures() -> Contestant {
        let (compression, destination) = (Compression::None, Destination::Directory);
        Contestant::Reassemble { log: LogKind::Ordinary, compression, destination }
    }

    /// Which log it runs on.
    pub fn log(self) -> LogKind {
        match self {
            Contestant::Yardstick(_) => LogKind::Captures(Envelope::Plain),
            Contestant::Grep => LogKind::Ordinary,
            Contestant::Reassemble { log, .. } => log,
        }
    }

    /// Whether it is what is measured, and no yardstick.
    pub fn is_reassemble(self) -> bool {
        matches!(self, Contestant::Reassemble { .. })
    }

    /// Its name in tables.
    pub fn name(self) -> String {
        match self {
            Contestant::Yardstick(Compression::Gzip) => "libdeflate-gzip -1".to_owned(),
            Contestant::Yardstick(Compression::Zstd) => "zstd -1 -T1".to_owned(),
            Contestant::Yardstick(Compression::None) => "cat".to_owned(),
            Contestant::Grep => "grep -c cap1".to_owned(),
            Contestant::Reassemble { log, compression, destination } => {
                let to = match destination {
                    Destination::Directory => "",
                    Destination::S3 => " to S3",
                };
                format!("reassemble, {}, {}{to}", log.name(), compression.name())
            }
        }
    }
}

/// The bars that an end-to-end run can judge.
pub const BARS: [u32; 6] = [1, 2, 3, 4, 5, 9];

/// What to measure.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Numbers of bars, of [`BARS`].
    pub bars: Vec<u32>,
    /// Compressions.
    pub compressions: Vec<Compression>,
    /// Envelopes of bar 4.
    pub envelopes: Vec<Envelope>,
}

impl Selection {
    fn has(&self, bars: &[u32]) -> bool {
        bars.iter().any(|bar| self.bars.contains(bar))
    }
}

/// Who runs, in the order of a round: each beside those that it is compared with, and none twice. Bar 5 is of all runs, so by itself it needs
/// every run of reassemble.
pub fn plan(selection: &Selection) -> Vec<Contestant> {
    let mut plan = Vec::new();
    let mut add = |contestant| {
        if !plan.contains(&contestant) {
            plan.push(contestant);
        }
    };
    for &compression in &selection.compressions {
        if selection.has(&[1]) {
            add(Contestant::Yardstick(compression));
        }
        if selection.has(&[1, 2, 5]) {
            add(Contestant::plain(compression));
        }
        if selection.has(&[1, 5]) {
            add(Contestant::to_s3(compression));
        }
        if selection.has(&[4, 5]) && compression != Compression::Zstd {
            add(Contestant::plain(compression));
            selection.envelopes.iter().for_each(|&envelope| add(Contestant::enveloped(envelope, compression)));
        }
    }
    if selection.has(&[3]) {
        add(Contestant::Grep);
    }
    if selection.has(&[3, 5]) {
        add(Contestant::no_captures());
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(bars: &[u32]) -> Vec<String> {
        let selection = Selection {
            bars: bars.to_vec(),
            compressions: vec![Compression::Gzip, Compression::Zstd, Compression::None],
            envelopes: vec![Envelope::Docker, Envelope::Plain],
        };
        plan(&selection).into_iter().map(Contestant::name).collect()
    }

    #[test]
    fn each_bar_plans_what_it_needs_and_nobody_runs_twice() {
        assert_eq!(planned(&[3]), ["grep -c cap1", "reassemble, plain-no-captures, none"]);
        assert_eq!(planned(&[2]), ["gzip", "zstd", "none"].map(|name| format!("reassemble, plain, {name}")));
        assert_eq!(
            planned(&[4]),
            ["plain, gzip", "docker, gzip", "plain, none", "docker, none"].map(|name| format!("reassemble, {name}"))
        );
        assert_eq!(planned(&[9]), [""; 0]);
        let all = planned(&BARS);
        assert_eq!(all.len(), 3 * 3 + 2 + 2, "{all:?}");
        assert_eq!(all[..3], ["libdeflate-gzip -1", "reassemble, plain, gzip", "reassemble, plain, gzip to S3"]);
        assert!(planned(&[5]).iter().all(|name| all.contains(name) && name.starts_with("reassemble")));
        assert_eq!(planned(&[5]).len(), all.len() - 4);
    }
}
