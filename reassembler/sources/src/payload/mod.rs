//! What CloudWatch Logs hands to a subscription, as lines.
//!
//! A subscription delivers JSON documents: `{"messageType":"DATA_MESSAGE","owner":…,"logGroup":…,"logStream":…,"subscriptionFilters":[…],
//! "logEvents":[{"id":…,"timestamp":…,"message":…},…]}` ("Log group-level subscription filters" in the CloudWatch Logs user guide). Where
//! they are gathered, as Firehose does in objects, one follows another with nothing between, or a newline.
//!
//! [`Documents`] takes decompressed bytes as they come and gives each event's message as a line; a message's own newlines stay, so what an app
//! printed in one event is several lines. It does no I/O.
//!
//! - One document is held at a time, at most [`MAX_DOCUMENT_BYTES`].
//! - What is damaged, too long or of another shape is told with its place, the events before the damage are given, and the next document is
//!   looked for. A document begins with a marker that cannot stand in a JSON string, for a quote is escaped there: so no log
//!   message can pass for a document.
//! - What stands between documents is no document, and its lines are given as they are: nothing is lost where an app's log happens to begin as
//!   a payload does.

mod document;
mod marker;
#[cfg(test)]
mod tests;

use memchr::memchr2;

use self::document::{Gathered, Kind, Parsed, parse};
use self::marker::Marker;

/// The longest document that is held, in bytes. CloudWatch Logs makes them a few MiB at most.
pub const MAX_DOCUMENT_BYTES: usize = 32 << 20;
/// How many first bytes tell a payload: the longest names of a log group and a log stream take some 1,000.
const HEAD_BYTES: usize = 8 << 10;
/// How often a stretch that was read in vain is read again for documents within it: a document that was cut may have taken the next for a
/// value of its own, and somebody may nest them to make this slow.
const RESCANS: u32 = 16;

/// What stands in a payload, in order.
#[derive(Debug)]
pub enum Found<'a> {
    /// A document, or what could be read of a damaged one.
    Document {
        /// The log group's name, as the document has it; empty where damage came before it.
        log_group: &'a str,
        /// The log stream's name likewise.
        log_stream: &'a str,
        /// The time of the first event, in milliseconds since the Unix epoch.
        first_ms: Option<i64>,
        /// The messages, each with a newline at its end.
        lines: &'a [u8],
    },
    /// Bytes between documents. Where a document follows, they end with a newline.
    Text(&'a [u8]),
    /// Something could not be read.
    Failed {
        /// Where it begins: an offset in the decompressed bytes.
        at: u64,
        /// What is wrong with it, in words that hold nothing of what it says.
        why: String,
    },
}

/// What was found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Documents with events of a log, whole or in part.
    pub documents: u64,
    /// Their events.
    pub events: u64,
    /// Documents by which CloudWatch Logs only tries whether the destination can be reached.
    pub control_messages: u64,
    /// Places that could not be read.
    pub failures: u64,
}

/// Turns the bytes of a payload into lines.
#[derive(Debug, Default)]
pub struct Documents {
    /// What was not understood yet.
    held: Vec<u8>,
    /// The offset of its first byte in the payload.
    at: u64,
    /// So many bytes must be held before it is worth the while to read a document again that was not whole.
    enough: usize,
    place: Place,
    /// Whether other text was given that has no newline yet.
    line_is_open: bool,
    /// Up to which offset something was read in vain, and how often documents were looked for in that.
    vain_until: u64,
    rescans: u32,
    counts: Counts,
}

/// Where the held bytes begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Behind a document, or behind the newline of other text.
    #[default]
    Between,
    /// In a line of other text.
    Line,
    /// At a document's marker.
    Document,
    /// In what is left of a damaged document.
    Damaged,
}

impl Documents {
    /// Takes the next bytes and gives what they complete.
    pub fn push(&mut self, bytes: &[u8], out: &mut dyn FnMut(Found<'_>)) {
        self.held.extend_from_slice(bytes);
        self.read(false, out);
    }

    /// The payload has ended: gives what is left.
    pub fn finish(&mut self, out: &mut dyn FnMut(Found<'_>)) {
        self.read(true, out);
    }

    /// What was found so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn read(&mut self, ended: bool, out: &mut dyn FnMut(Found<'_>)) {
        let held = std::mem::take(&mut self.held);
        let mut from = 0;
        while let Some(taken) = self.step(&held[from..], ended, out) {
            from += taken;
            self.at += taken as u64;
        }
        self.held = held;
        self.held.drain(..from);
        if self.held.is_empty() && self.held.capacity() > HEAD_BYTES {
            self.held = Vec::new();
        }
    }

    /// Goes on by some bytes; nothing where it takes more bytes to go on, or the end is reached.
    fn step(&mut self, held: &[u8], ended: bool, out: &mut dyn FnMut(Found<'_>)) -> Option<usize> {
        if held.is_empty() {
            return None;
        }
        match self.place {
            Place::Document => self.document(held, ended, out),
            Place::Between => {
                let white = held.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                if white == 0 {
                    self.place = Place::Line;
                }
                Some(white)
            }
            Place::Line => self.text(held, ended, out),
            Place::Damaged => {
                let (end, next) = seek(held, ended, Place::Damaged);
                self.place = next;
                (end > 0 || next != Place::Damaged).then_some(end)
            }
        }
    }

    fn text(&mut self, held: &[u8], ended: bool, out: &mut dyn FnMut(Found<'_>)) -> Option<usize> {
        let (end, next) = seek(held, ended, Place::Line);
        if end > 0 {
            out(Found::Text(&held[..end]));
            self.line_is_open = !held[..end].ends_with(b"\n");
        }
        if next == Place::Document && std::mem::take(&mut self.line_is_open) {
            out(Found::Text(b"\n"));
            self.failed("what stands before a document is none, and was read as a line", self.at, out);
        }
        self.place = next;
        (end > 0 || next != Place::Line).then_some(end)
    }

    fn document(&mut self, held: &[u8], ended: bool, out: &mut dyn FnMut(Found<'_>)) -> Option<usize> {
        let is_long = held.len() > MAX_DOCUMENT_BYTES;
        if held.len() < self.enough && !is_long && !ended {
            return None;
        }
        let mut gathered = Gathered::default();
        let (parsed, end) = parse(&held[..held.len().min(MAX_DOCUMENT_BYTES)], &mut gathered);
        let why = match parsed {
            Parsed::Whole => {
                self.place = Place::Between;
                self.enough = 0;
                self.found(&gathered, out);
                return Some(end);
            }
            Parsed::Cut if !is_long && !ended => {
                // So that a long document is read a few times at most, however small the pieces are in which it comes.
                self.enough = held.len() * 2;
                return None;
            }
            Parsed::Cut if is_long => format!("it is longer than {} MiB", MAX_DOCUMENT_BYTES >> 20),
            Parsed::Cut => "it ends too early".to_owned(),
            Parsed::Damaged => format!("it is no JSON at byte {}", self.at + end as u64),
            Parsed::Other => format!("it has another shape at byte {}", self.at + end as u64),
        };
        self.failed(&format!("a document cannot be read to its end: {why}"), self.at, out);
        self.found(&gathered, out);
        self.place = Place::Damaged;
        self.enough = 0;
        self.rescans = if self.at < self.vain_until { self.rescans + 1 } else { 0 };
        self.vain_until = self.vain_until.max(self.at + end as u64);
        // Behind its marker at least, so that it goes on.
        Some(if self.rescans < RESCANS { 1 } else { end.max(1) })
    }

    fn found(&mut self, gathered: &Gathered, out: &mut dyn FnMut(Found<'_>)) {
        if gathered.kind == Some(Kind::Control) {
            self.counts.control_messages += 1;
        } else if gathered.whole || gathered.events > 0 {
            self.counts.documents += 1;
            self.counts.events += gathered.events;
            let Gathered { log_group, log_stream, lines, first_ms, .. } = gathered;
            out(Found::Document { log_group, log_stream, first_ms: *first_ms, lines });
        }
    }

    fn failed(&mut self, why: &str, at: u64, out: &mut dyn FnMut(Found<'_>)) {
        self.counts.failures += 1;
        out(Found::Failed { at, why: why.to_owned() });
    }
}

/// How much of what is held is not the start of a document, and what comes behind it: a document, another line, or more of the same.
fn seek(held: &[u8], ended: bool, here: Place) -> (usize, Place) {
    let mut from = 0;
    while let Some(at) = memchr2(b'{', b'\n', &held[from..]).map(|at| from + at) {
        if held[at] == b'\n' {
            return (at + 1, Place::Between);
        }
        match Marker::at(&held[at..]) {
            Marker::Yes => return (at, Place::Document),
            Marker::Cut if !ended => return (at, here),
            Marker::Cut | Marker::No => from = at + 1,
        }
    }
    (held.len(), here)
}

/// Whether a file that begins with these decompressed bytes is a payload; nothing where they are too few to tell.
///
/// It is one where its first document, or as much as is here of it, has a message type, an owner, a log group and a log stream. An app's
/// own JSON has not all of these, and where it has, [`Documents`] gives its lines too.
pub(crate) fn is_payload(head: &[u8], ended: bool) -> Option<bool> {
    let is_enough = ended || head.len() >= HEAD_BYTES;
    let head = head.trim_ascii_start();
    match Marker::at(head) {
        Marker::Yes => {}
        Marker::Cut if !is_enough => return None,
        Marker::Cut | Marker::No => return Some(false),
    }
    let mut gathered = Gathered::default();
    let (parsed, _) = parse(head, &mut gathered);
    match parsed {
        Parsed::Whole => Some(true),
        Parsed::Cut | Parsed::Damaged if gathered.is_named() => Some(true),
        Parsed::Cut if !is_enough => None,
        Parsed::Cut | Parsed::Damaged | Parsed::Other => Some(false),
    }
}
