//! Reading a batch line by line, of whatever length its lines are.

use std::io::{self, BufRead, Read};

use reassemble_formats::layout::{BatchEncoding, hex};
use reassemble_store::ObjectKind;

use super::{MergeError, Merger};
use crate::objects::{Key, Raw};

/// Longest line that is held in memory; a longer one is passed on in parts and is nothing to join.
const HELD_LINE_BYTES: u64 = 16 << 20;

/// Something of a batch's lines.
pub(super) enum Line<'l> {
    /// A line, with its newline.
    Whole(&'l [u8]),
    /// A part of one that is longer than is held; the last one ends with the newline.
    Part(&'l [u8]),
}

impl<'l> Line<'l> {
    /// The bytes.
    pub(super) fn bytes(&self) -> &'l [u8] {
        match self {
            Line::Whole(bytes) | Line::Part(bytes) => bytes,
        }
    }
}

/// How a batch was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BatchRead {
    /// To its end, and it is what its name says.
    Whole {
        /// Its length.
        bytes: u64,
    },
    /// There is none.
    Gone,
    /// It cannot be read to its end, or is not what its name says.
    Damaged,
}

impl Merger<'_> {
    /// Shows the lines of a batch.
    ///
    /// # Errors
    /// A destination that cannot be read, and what `see` answers.
    pub(super) fn read_batch(
        &self,
        key: &str,
        see: &mut dyn FnMut(Line<'_>) -> Result<(), MergeError>,
    ) -> Result<BatchRead, MergeError> {
        let Key::Batch { encoding, hash, .. } = Key::parse(key) else { return Ok(BatchRead::Gone) };
        let Some(body) = self.runtime.block_on(self.destination.open(key))? else { return Ok(BatchRead::Gone) };
        let mut raw = Raw::new(&self.runtime, body, ObjectKind::Batch);
        let read = read_lines(&mut raw, encoding, see);
        // What stands behind the last line belongs to the hash too.
        let drained = io::copy(&mut raw, &mut io::sink());
        if let Some(error) = raw.failed.take() {
            return Err(error.into());
        }
        match read {
            Err(Stop::Told(error)) => return Err(error),
            Err(Stop::Decoding) => return Ok(BatchRead::Damaged),
            Ok(()) => {}
        }
        drained.map_err(MergeError::Runtime)?;
        let found = hex(&raw.hash.finish()[..16]);
        let is_what_it_says = hash.is_none_or(|hash| hash == found);
        Ok(if is_what_it_says { BatchRead::Whole { bytes: raw.bytes } } else { BatchRead::Damaged })
    }
}

enum Stop {
    Told(MergeError),
    Decoding,
}

fn read_lines(
    raw: &mut Raw<'_>,
    encoding: BatchEncoding,
    see: &mut dyn FnMut(Line<'_>) -> Result<(), MergeError>,
) -> Result<(), Stop> {
    let mut reader = raw.decoded(encoding).map_err(|error| Stop::Told(MergeError::Runtime(error)))?;
    let mut line = Vec::new();
    let mut within = false;
    loop {
        line.clear();
        reader.by_ref().take(HELD_LINE_BYTES).read_until(b'\n', &mut line).map_err(|_| Stop::Decoding)?;
        if line.is_empty() {
            return Ok(());
        }
        let ends = line.ends_with(b"\n") || (line.len() as u64) < HELD_LINE_BYTES;
        let seen = if within || !ends { Line::Part(&line) } else { Line::Whole(&line) };
        within = !ends;
        see(seen).map_err(Stop::Told)?;
    }
}
