//! The log: captures interleaved with one another and with ordinary lines.

use std::io::Write;

use anyhow::{Context, Result};

use super::capture::Captures;
use super::envelope::{Envelope, Wrapper};
use super::random::Random;

/// Captures that are open at any time.
const OPEN_CAPTURES: usize = 64;
/// Of a hundred capture lines so many have an ordinary line before them.
const ORDINARY_PERCENT: u64 = 30;
/// 2026-11-20T00:00:00Z, when the log begins, in microseconds since 1970.
const DAY_BEGINS_US: i64 = 1_795_132_800_000_000;
/// 10 o'clock on that day, in microseconds: far from a change of date.
const BEGINS_US: u64 = 36_000_000_000;
/// Microseconds from line to line: some 20,000 lines a second.
const STEP_US: u64 = 50;

/// What to write.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Bytes at which no new capture begins; those that are open are finished.
    pub bytes: u64,
    /// How lines are wrapped.
    pub envelope: Envelope,
    /// Whether there are captures, or ordinary lines only.
    pub captures: bool,
    /// The same seed gives the same bytes.
    pub seed: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of the log.
    pub bytes: u64,
    /// Lines of the log.
    pub lines: u64,
    /// Capture lines among them.
    pub records: u64,
    /// Captures.
    pub captures: u64,
}

/// Writes a log.
///
/// # Errors
/// Where `out` fails.
pub fn write_log(options: &LogOptions, out: &mut impl Write) -> Result<Summary> {
    let mut random = Random::new(options.seed);
    let captures = Captures::new(&mut random);
    let mut log = Log {
        random,
        captures,
        wrapper: Wrapper::new(options.envelope),
        out,
        now_us: BEGINS_US,
        summary: Summary::default(),
    };
    if options.captures {
        log.interleave(options.bytes)?;
    } else {
        while log.summary.bytes < options.bytes {
            log.ordinary_line()?;
        }
    }
    log.summary.captures = log.captures.made();
    Ok(log.summary)
}

struct Log<'o, W> {
    random: Random,
    captures: Captures,
    wrapper: Wrapper,
    out: &'o mut W,
    now_us: u64,
    summary: Summary,
}

/// The lines of an open capture, and how far they are written.
#[derive(Default)]
struct Slot {
    lines: Vec<u8>,
    at: usize,
}

impl<W: Write> Log<'_, W> {
    /// Takes a line of one open capture after the other, by chance, until the log is long enough; then finishes what is open.
    fn interleave(&mut self, bytes: u64) -> Result<()> {
        let mut slots: Vec<Slot> = (0..OPEN_CAPTURES).map(|_| Slot::default()).collect();
        while !slots.is_empty() {
            let index = self.random.index(slots.len());
            let slot = &mut slots[index];
            if slot.at == slot.lines.len() {
                if self.summary.bytes >= bytes {
                    slots.swap_remove(index);
                    continue;
                }
                slot.lines.clear();
                slot.at = 0;
                let ts_us = DAY_BEGINS_US + self.now_us.cast_signed();
                self.captures.next(&mut self.random, ts_us, &mut slot.lines)?;
            }
            if self.random.percent(ORDINARY_PERCENT) {
                self.ordinary_line()?;
            }
            let rest = &slot.lines[slot.at..];
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let line = std::str::from_utf8(&rest[..end]).context("a capture line is not UTF-8")?;
            self.summary.records += 1;
            self.summary.lines += 1;
            self.now_us += STEP_US;
            self.summary.bytes += self.wrapper.write(line, self.now_us, self.out)?;
            slot.at = (slot.at + end + 1).min(slot.lines.len());
        }
        Ok(())
    }

    /// A line of about 80 bytes, as an app's logger prints it.
    fn ordinary_line(&mut self) -> Result<()> {
        const LEVELS: [&str; 4] = ["DEBUG", "INFO ", "INFO ", "WARN "];
        self.now_us += STEP_US;
        let seconds = self.now_us / 1_000_000;
        let line = format!(
            "10:{:02}:{:02}.{:03} {} [worker-{}] {} {}: {} took {} us",
            seconds / 60 % 60,
            seconds % 60,
            self.now_us / 1000 % 1000,
            LEVELS[self.random.index(LEVELS.len())],
            self.random.below(16),
            self.captures.bodies.word(&mut self.random),
            self.captures.bodies.word(&mut self.random),
            self.captures.bodies.word(&mut self.random),
            self.random.below(1_000_000),
        );
        self.summary.lines += 1;
        self.summary.bytes += self.wrapper.write(&line, self.now_us, self.out)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use clap::ValueEnum;
    use reassemble_formats::{BadReason, EnvelopeReader, Record, RecordSink};

    use super::*;

    fn log(envelope: Envelope, captures: bool) -> (Vec<u8>, Summary) {
        let mut out = Vec::new();
        let summary = write_log(&LogOptions { bytes: 1_000_000, envelope, captures, seed: 42 }, &mut out).unwrap();
        (out, summary)
    }

    #[derive(Default)]
    struct Found {
        chunks: u64,
        bad: u64,
        /// For each capture its chunks that are still to come, by part, once `of` is known.
        open: HashMap<String, [(u32, Option<u32>); 2]>,
        whole: u64,
        most_open: usize,
    }

    impl RecordSink for Found {
        fn record(&mut self, record: Record) {
            let Record::Chunk(chunk) = record else { return };
            self.chunks += 1;
            let id = chunk.id.to_string();
            let parts = self.open.entry(id.clone()).or_default();
            let part = &mut parts[usize::from(chunk.part == reassemble_formats::Part::Response)];
            part.0 += 1;
            part.1 = part.1.or(chunk.of);
            if parts.iter().all(|(got, of)| Some(*got) == *of) {
                self.open.remove(&id);
                self.whole += 1;
            }
            self.most_open = self.most_open.max(self.open.len());
        }
        fn bad(&mut self, _: BadReason) {
            self.bad += 1;
        }
        fn long_line(&mut self, _: u64) {
            self.bad += 1;
        }
    }

    #[test]
    fn every_envelope_holds_the_same_whole_captures() {
        for envelope in Envelope::value_variants() {
            let (bytes, summary) = log(*envelope, true);
            let mut found = Found::default();
            let mut reader = EnvelopeReader::new(reassemble_formats::Envelope::Auto, 1 << 20);
            assert_eq!(reader.block(&bytes, &mut found), summary.lines, "{envelope:?}");
            assert_eq!((found.chunks, found.bad, found.whole), (summary.records, 0, summary.captures), "{envelope:?}");
            assert_eq!(bytes.len() as u64, summary.bytes);
            assert!(
                found.open.is_empty() && found.most_open > 40 && found.most_open <= OPEN_CAPTURES,
                "{}",
                found.most_open
            );
        }
    }

    #[test]
    fn a_seed_gives_the_same_bytes() {
        assert_eq!(log(Envelope::Plain, true).0, log(Envelope::Plain, true).0);
    }

    #[test]
    fn lines_are_as_long_as_told() {
        let (bytes, summary) = log(Envelope::Plain, true);
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        assert!(lines.iter().all(|line| line.len() <= 4096));
        let ordinary: Vec<usize> = lines.iter().filter(|line| !line.starts_with(b"{")).map(|line| line.len()).collect();
        let mean = ordinary.iter().sum::<usize>() / ordinary.len();
        assert!((70..90).contains(&mean), "{mean}");
        let share = ordinary.len() as f64 / summary.records as f64;
        assert!((0.24..0.36).contains(&share), "{share}");
    }

    #[test]
    fn without_captures_there_is_none() {
        let (bytes, summary) = log(Envelope::Docker, false);
        assert!((1_000_000..1_001_000).contains(&summary.bytes));
        assert_eq!((summary.records, summary.captures), (0, 0));
        assert!(!String::from_utf8(bytes).unwrap().contains("cap1"));
    }
}
