//! `reassemble verify`: logs and a destination held against each other, exchange by exchange.
//!
//! This is a proof of what the rest of the program did, so it shares with it only what reads the formats and the inputs, and what lists and reads
//! objects; the assembler, the processing, the spool and the state have no part in it.
//!
//! First the logs are read ([`logs`]) to one expectation a capture ([`expected`]): lengths, checksums and hashes of fields ([`prints`]), a few hundred
//! bytes however large its bodies are. Then the destination's objects are read ([`objects`]), each once, line by line ([`stored`]), and every
//! exchange is judged ([`judge`]) as it passes. What is stored incomplete waits until all of it is there ([`pieces`]); what no object held is missing.

mod expected;
mod finding;
mod judge;
mod logs;
mod objects;
mod part;
mod pieces;
mod prints;
mod stored;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reassemble_formats::Envelope;
use reassemble_formats::sign::KeyRing;
use reassemble_sources::SourceError;
use reassemble_store::StoreError;

pub use self::finding::{Counts, Fault, Finding, Verdict};
use reassemble_pipeline::config::DestinationConfig;
use reassemble_pipeline::connect;

/// What is held against what.
#[derive(Clone, Debug)]
pub struct VerifyConfig {
    /// Log files and globs, plain or compressed.
    pub logs: Vec<PathBuf>,
    /// How their lines are wrapped.
    pub envelope: Envelope,
    /// Longest line in bytes; longer ones are skipped and counted.
    pub max_line_bytes: usize,
    /// Whose lines count; `None`: lines need no signature.
    pub keys: Option<KeyRing>,
    /// Where exchanges are stored.
    pub to: DestinationConfig,
    /// Captures younger than this are not judged where they are missing or incomplete.
    pub grace: Duration,
    /// Whether every exchange that is not in the logs is told, and not only counted.
    pub tell_unknown: bool,
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Logs are read.
    Logs {
        /// Bytes of the files read so far.
        read_bytes: u64,
        /// Bytes of all files.
        total_bytes: u64,
    },
    /// Objects are read.
    Objects {
        /// Batches read so far.
        read: u64,
        /// Their bytes, and those of bodies.
        bytes: u64,
    },
}

/// What a verification came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The counts.
    pub counts: Counts,
    /// A sentence for each log that could not be read to its end: what stands behind is not judged.
    pub unread: Vec<String>,
}

/// Why a verification could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A log.
    #[error("{0}")]
    Source(#[source] SourceError),
    /// A glob that matches no log.
    #[error("no file matches {pattern}")]
    NothingMatches {
        /// The glob.
        pattern: String,
    },
    /// The destination.
    #[error(transparent)]
    Destination(#[from] StoreError),
    /// Something of this machine.
    #[error("cannot read objects: {0}")]
    Runtime(std::io::Error),
}

impl VerifyError {
    /// Whether what was asked for is at fault, and not what happened.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            VerifyError::Source(SourceError::Pattern { .. }) | VerifyError::Destination(StoreError::Config(_))
        )
    }
}

/// Reads the logs and the destination, and tells each finding as it is made. Blocks until all is read.
///
/// # Errors
/// A log that cannot be opened, and a destination that cannot be read.
pub fn verify(
    config: &VerifyConfig,
    progress: &mut dyn FnMut(&Progress),
    tell: &mut dyn FnMut(&Finding),
) -> Result<Outcome, VerifyError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let pending_after_us = match config.grace {
        Duration::ZERO => i64::MAX,
        grace => i64::try_from(now.saturating_sub(grace).as_micros()).unwrap_or(i64::MAX),
    };
    let mut outcome = Outcome::default();
    let mut expectations = expected::Expectations::of(config.keys.clone());
    let files = logs::files(&config.logs)?;
    let counts = &mut outcome.counts;
    outcome.unread = logs::read(&files, config.envelope, config.max_line_bytes, &mut expectations, counts, progress)?;
    expectations.end();
    counts.bad_records += expectations.refused;
    counts.logged_complete = expectations.iter().filter(|(_, expected)| expected.logged.is_whole()).count() as u64;
    counts.logged_incomplete = expectations.len() as u64 - counts.logged_complete;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(VerifyError::Runtime)?;
    let destination = runtime.block_on(connect(&config.to))?;
    let mut judge = judge::Judge::new(&mut expectations, counts, config.tell_unknown, pending_after_us, tell);
    objects::read(&destination, &runtime, &mut judge, progress)?;
    judge.finish();
    Ok(outcome)
}
