//! What container runtimes and loggers wrap around an app's lines, and how to see through it.
//!
//! One [`EnvelopeReader`] stands behind each input. It takes blocks of whole lines, joins the pieces into which Docker (16 KiB) and CRI
//! runtimes cut longer lines, each stream for itself, and hands what the app printed to the scanner. What is half joined is bounded by
//! the longest line, and can be carried over a restart.
//!
//! With [`Envelope::Auto`] an input's first line decides between the containers' formats, which hold for a whole file; the records of JSON
//! loggers need no decision, for the scanner looks into any JSON object. A later line that holds a record can still reveal a container's
//! format.

mod cri;
mod docker;

use memchr::{memchr, memchr_iter, memmem, memrchr};
use serde::{Deserialize, Serialize};

use crate::json::{JsonError, unescape};
use crate::layout::hex;
use crate::record::RecordSink;
use crate::scan::{HINT, Scanner, is_hint, may_hold_records};

/// How an input's lines are wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Envelope {
    /// Recognised from the lines.
    #[default]
    Auto,
    /// Lines as the app printed them: records stand bare, behind a prefix at most. JSON is not searched.
    Plain,
    /// Docker's json-file driver: `{"log":"…\n","stream":"stdout","time":"…"}`.
    Docker,
    /// The Kubernetes container runtime interface: `TIME stdout F LINE`.
    Cri,
    /// A JSON logger's records, which hold the line in a string or the record as an object.
    Json,
}

/// A container's line taken apart: whose stream, whether more of the same line follows, and what of the app's line it holds.
struct Piece<'l> {
    stream: usize,
    partial: bool,
    content: Content<'l>,
}

/// What a piece holds, still as the container wrote it.
enum Content<'l> {
    Plain(&'l [u8]),
    /// The inside of a JSON string.
    Escaped(&'l [u8]),
}

impl Content<'_> {
    fn raw(&self) -> &[u8] {
        match self {
            Content::Plain(raw) | Content::Escaped(raw) => raw,
        }
    }

    /// Appends what the app printed. Where it holds an unknown escape nothing is appended: then the container did not write it.
    fn append_to(&self, line: &mut Vec<u8>) -> Result<(), JsonError> {
        match self {
            Content::Plain(raw) => line.extend_from_slice(raw),
            Content::Escaped(raw) => {
                let before = line.len();
                if let Err(error) = unescape(raw, line) {
                    line.truncate(before);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Containers tell two streams apart.
const STREAMS: usize = 2;

/// The stream's slot by its name; what is not `stderr` goes with `stdout`.
fn stream_slot(name: &[u8]) -> usize {
    usize::from(name == b"stderr")
}

/// A line of which not all pieces have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Joining {
    line: Vec<u8>,
    /// Bytes left out since the line exceeded the limit; the line is skipped where this is not 0.
    skipped_bytes: u64,
}

impl Joining {
    fn is_idle(&self) -> bool {
        self.line.is_empty() && self.skipped_bytes == 0
    }
}

/// Reads one input's lines through its envelope.
#[derive(Clone, Debug)]
pub struct EnvelopeReader {
    /// What the lines are wrapped in, as told or as recognised.
    envelope: Envelope,
    /// Whether the input's first line that is not empty was seen: it alone decides without holding a record, wherever blocks end.
    begun: bool,
    max_line_bytes: usize,
    joining: [Joining; STREAMS],
    scanner: Scanner,
}

impl EnvelopeReader {
    /// A reader for an input's first line on. A joined line longer than `max_line_bytes` is skipped and reported.
    pub fn new(envelope: Envelope, max_line_bytes: usize) -> Self {
        EnvelopeReader {
            envelope,
            begun: false,
            max_line_bytes,
            joining: Default::default(),
            scanner: Scanner::default(),
        }
    }

    /// Reads a block of whole lines; gives their number. Only the last line may lack its newline.
    pub fn block(&mut self, block: &[u8], sink: &mut dyn RecordSink) -> u64 {
        if self.envelope == Envelope::Auto && !self.begun {
            self.recognise(block);
        }
        match self.envelope {
            Envelope::Docker | Envelope::Cri => for_each_line(block, |line| self.container_line(line, sink)),
            Envelope::Plain => for_each_hinted_line(block, |line| self.scanner.bare_line(line, sink)),
            Envelope::Auto | Envelope::Json => {
                let mut rest_is_container = None;
                let lines = for_each_hinted_line_until(block, |line, start| {
                    if self.envelope == Envelope::Auto && recognise_line(line).is_some() {
                        rest_is_container = Some(start);
                        return false;
                    }
                    self.scanner.line(line, sink);
                    true
                });
                let Some(start) = rest_is_container else { return lines };
                self.recognise(&block[start..]);
                lines + for_each_line(&block[start..], |line| self.container_line(line, sink))
            }
        }
    }

    /// The input has ended: what is half joined is read as it is.
    pub fn finish(&mut self, sink: &mut dyn RecordSink) {
        for joining in &mut self.joining {
            let joining = std::mem::take(joining);
            if joining.skipped_bytes == 0 {
                self.scanner.line(&joining.line, sink);
            } else {
                sink.long_line(joining.line.len() as u64 + joining.skipped_bytes);
            }
        }
    }

    /// What must be kept to go on after a restart behind the lines read so far; nothing where a new reader would do.
    pub fn carry(&self) -> Option<Vec<u8>> {
        if self.envelope == Envelope::Auto && !self.begun {
            return None;
        }
        let carry = Carry {
            envelope: self.envelope,
            joining: self.joining.iter().map(|joining| (hex(&joining.line), joining.skipped_bytes)).collect(),
        };
        serde_json::to_vec(&carry).ok()
    }

    /// Takes up what [`carry`](Self::carry) gave. An envelope that is set wins over the one carried, and what no version of this
    /// program wrote is ignored.
    pub fn restore(&mut self, carry: &[u8]) {
        let Ok(carry) = serde_json::from_slice::<Carry>(carry) else { return };
        self.begun = true;
        if self.envelope == Envelope::Auto {
            self.envelope = carry.envelope;
        }
        for (joining, (line, skipped_bytes)) in self.joining.iter_mut().zip(carry.joining) {
            *joining = Joining { line: unhex(&line), skipped_bytes };
        }
    }

    /// Decides by the first line that is not empty.
    fn recognise(&mut self, block: &[u8]) {
        let first = block.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty());
        self.begun |= first.is_some();
        if let Some(envelope) = first.and_then(recognise_line) {
            self.envelope = envelope;
        }
    }

    fn container_line(&mut self, line: &[u8], sink: &mut dyn RecordSink) {
        let piece = match self.envelope {
            Envelope::Docker => docker::piece(line),
            _ => cri::piece(line),
        };
        let read = piece.map(|piece| self.join(piece, sink));
        if !matches!(read, Some(Ok(()))) {
            self.scanner.line(line, sink); // Not the runtime's own: a note of a shipper, or another format behind it.
        }
    }

    /// Adds a piece to its stream's line, and reads the line that it ends.
    fn join(&mut self, piece: Piece<'_>, sink: &mut dyn RecordSink) -> Result<(), JsonError> {
        let joining = &mut self.joining[piece.stream];
        if joining.is_idle() && !piece.partial {
            if may_hold_records(piece.content.raw()) {
                match piece.content {
                    Content::Plain(line) => self.scanner.line(line, sink),
                    Content::Escaped(raw) => self.scanner.escaped_line(raw, sink)?,
                }
            }
            return Ok(());
        }
        let piece_bytes = piece.content.raw().len();
        if joining.skipped_bytes > 0 || joining.line.len() + piece_bytes > self.max_line_bytes {
            joining.skipped_bytes += piece_bytes as u64;
        } else {
            piece.content.append_to(&mut joining.line)?;
        }
        if !piece.partial {
            let joined = std::mem::take(joining);
            if joined.skipped_bytes > 0 {
                sink.long_line(joined.line.len() as u64 + joined.skipped_bytes);
            } else {
                self.scanner.line(&joined.line, sink);
            }
        }
        Ok(())
    }
}

/// The container's format that a line shows.
fn recognise_line(line: &[u8]) -> Option<Envelope> {
    if docker::piece(line).is_some() {
        Some(Envelope::Docker)
    } else if cri::piece(line).is_some() {
        Some(Envelope::Cri)
    } else {
        None
    }
}

/// Calls `each` with every line, and gives their number.
fn for_each_line(block: &[u8], mut each: impl FnMut(&[u8])) -> u64 {
    let mut lines = 0;
    let mut rest = block;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        each(&rest[..end]);
        lines += 1;
        rest = &rest[(end + 1).min(rest.len())..];
    }
    lines
}

/// How many lines there are; the last may lack its newline.
fn count_lines(block: &[u8]) -> u64 {
    memchr_iter(b'\n', block).count() as u64 + u64::from(block.last().is_some_and(|last| *last != b'\n'))
}

/// Calls `each` with every line that may hold a record, and gives the number of all. The others are never looked at one by one: that is what
/// makes logs with few captures cheap.
fn for_each_hinted_line(block: &[u8], mut each: impl FnMut(&[u8])) -> u64 {
    for_each_hinted_line_until(block, |line, _| {
        each(line);
        true
    })
}

/// The same, with each line's offset, until `each` says no; gives the number of lines before that one.
fn for_each_hinted_line_until(block: &[u8], mut each: impl FnMut(&[u8], usize) -> bool) -> u64 {
    let finder = memmem::Finder::new(HINT);
    let mut at = 0;
    // Lines are counted where they are stepped over: those that are read need no look of their own.
    let (mut lines, mut counted) = (0, 0);
    while let Some(found) = finder.find(&block[at..]) {
        let hint = at + found;
        if !is_hint(block, hint) {
            at = hint + HINT.len();
            continue;
        }
        let start = at + memrchr(b'\n', &block[at..hint]).map_or(0, |newline| newline + 1);
        let end = memchr(b'\n', &block[hint..]).map_or(block.len(), |newline| hint + newline);
        // Where an earlier hint of this line was passed over, its start lies before `at`.
        let start = if start == at { memrchr(b'\n', &block[..at]).map_or(0, |newline| newline + 1) } else { start };
        lines += count_lines(&block[counted..start]);
        if !each(&block[start..end], start) {
            return lines;
        }
        lines += 1;
        at = (end + 1).min(block.len());
        counted = at;
    }
    lines + count_lines(&block[counted..])
}

#[derive(Serialize, Deserialize)]
struct Carry {
    envelope: Envelope,
    /// For each stream the line so far, in hex, and the bytes left out.
    joining: Vec<(String, u64)>,
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks_exact(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests;
