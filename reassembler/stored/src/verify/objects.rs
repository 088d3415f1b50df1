//! Reading a destination's objects: batches line by line, and the bodies that they refer to, each against the hash in its name.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};

use reassemble_formats::layout::{BatchEncoding, Partition, hex};
use reassemble_store::{Destination, ObjectKind};
use serde_json::error::Category;
use tokio::runtime::Runtime;

use super::finding::{Finding, Verdict};
use super::judge::Judge;
use super::prints::Run;
use super::stored::{Stored, StoredBody};
use super::{Progress, VerifyError};
use crate::objects::{Key, Raw};

/// Longest line that is held in memory as it stands; of a longer one only the longest string is.
const HELD_LINE_BYTES: u64 = 16 << 20;

/// Reads all that is stored, and lets it be judged.
///
/// # Errors
/// What keeps the destination from being read. Objects that are read and not good are findings.
pub(super) fn read(
    destination: &Destination,
    runtime: &Runtime,
    judge: &mut Judge<'_>,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(), VerifyError> {
    let mut listing = destination.list();
    while let Some(page) = runtime.block_on(listing.next_page())? {
        for object in page {
            match Key::parse(&object.key) {
                Key::Foreign => judge.counts.foreign_objects += 1,
                // It is read where an exchange refers to it.
                Key::Body { .. } => {}
                Key::Batch { place, encoding, hash } => {
                    Batch { destination, runtime, judge: &mut *judge, key: &object.key, place, bodies: HashMap::new() }
                        .read(encoding, hash)?;
                }
            }
            progress(&Progress::Objects { read: judge.counts.objects, bytes: judge.counts.object_bytes });
        }
    }
    Ok(())
}

/// A batch that is being read.
struct Batch<'b, 'j> {
    destination: &'b Destination,
    runtime: &'b Runtime,
    judge: &'b mut Judge<'j>,
    key: &'b str,
    place: Partition,
    /// What the bodies turned out to be that its exchanges refer to, by key; nothing for those that were told to be damaged.
    bodies: HashMap<String, Option<Run>>,
}

impl Batch<'_, '_> {
    fn read(mut self, encoding: BatchEncoding, hash: Option<&str>) -> Result<(), VerifyError> {
        let Some(body) = self.runtime.block_on(self.destination.open(self.key))? else {
            self.damaged("object", "it was listed, and is gone");
            return Ok(());
        };
        let mut raw = Raw::new(self.runtime, body, ObjectKind::Batch);
        let read = {
            let mut decoded = raw.decoded(encoding).map_err(VerifyError::Runtime)?;
            self.read_lines(&mut decoded, HELD_LINE_BYTES)
        };
        // What stands behind the last line belongs to the hash too, and a store that failed is no damage of the object.
        let drained = io::copy(&mut raw, &mut io::sink());
        if let Some(error) = raw.failed.take() {
            return Err(error.into());
        }
        if let Err(stop) = read {
            match stop {
                Stop::Verify(error) => return Err(error),
                Stop::Decoding(why) => {
                    self.damaged("compression", &format!("it cannot be decompressed to its end: {why}"))
                }
            }
        }
        drained.map_err(VerifyError::Runtime)?;
        self.judge.counts.objects += 1;
        self.judge.counts.object_bytes += raw.bytes;
        let found = raw.hash.finish();
        if hash.is_some_and(|hash| hash != hex(&found[..16])) {
            self.damaged("hash", "its bytes have not the hash that its name tells");
        }
        Ok(())
    }

    /// Reads lines; those longer than `held_bytes` are parsed as they come.
    fn read_lines(&mut self, reader: &mut impl BufRead, held_bytes: u64) -> Result<(), Stop> {
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            reader.by_ref().take(held_bytes).read_until(b'\n', &mut line).map_err(Stop::decoding)?;
            if line.is_empty() {
                break;
            }
            let parsed = if line.ends_with(b"\n") {
                serde_json::from_slice(&line)
            } else if (line.len() as u64) < held_bytes {
                self.damaged("line", &format!("line {number}, the last one, has no end"));
                serde_json::from_slice(&line)
            } else {
                let mut rest = RestOfLine { reader: &mut *reader, ended: false };
                let parsed = serde_json::from_reader(BufReader::new(line.as_slice().chain(&mut rest)));
                io::copy(&mut rest, &mut io::sink()).map_err(Stop::decoding)?;
                parsed
            };
            let stored = parsed.map_err(told).and_then(Stored::new);
            match stored {
                Ok(stored) => self.exchange(stored)?,
                Err(why) => self.damaged("line", &format!("line {number}: {why}")),
            }
        }
        Ok(())
    }

    fn exchange(&mut self, stored: Stored) -> Result<(), VerifyError> {
        self.judge.counts.stored += 1;
        if !self.judge.knows(&stored.id, self.key) {
            return Ok(());
        }
        let mut bodies = [None, None];
        for (part, run) in stored.parts.iter().zip(&mut bodies) {
            *run = match part.as_ref().map(|part| &part.body) {
                None => None,
                Some(StoredBody::Inline(run)) => Some(*run),
                Some(StoredBody::Object { key, sha256, len, captured }) => {
                    self.body(key, sha256, *len, &stored)?.map(|run| captured.unwrap_or(run))
                }
            };
        }
        self.judge.take(self.key, &self.place, stored, bodies);
        Ok(())
    }

    /// Reads a body that is an object of its own; nothing where it is damaged, which is told.
    fn body(&mut self, key: &str, sha256: &str, len: u64, stored: &Stored) -> Result<Option<Run>, VerifyError> {
        let damaged = |judge: &mut Judge<'_>, what: &str, why: &str| {
            judge.find(&Finding {
                id: Some(stored.id.to_string()),
                object: Some(self.key.to_owned()),
                other_object: Some(key.to_owned()),
                what: vec![what.to_owned()],
                why: why.to_owned(),
                ..Finding::new(Verdict::Damaged)
            });
        };
        if Key::parse(key) != (Key::Body { hash: sha256 }) {
            damaged(self.judge, "ref", "the key of its body is none, or has another hash than it tells");
            return Ok(None);
        }
        if let Some(run) = self.bodies.get(key) {
            return Ok(*run);
        }
        let run = match self.runtime.block_on(self.destination.open(key))? {
            None => {
                damaged(self.judge, "ref", "its body, an object of its own, is not there");
                None
            }
            Some(body) => {
                let mut raw = Raw::new(self.runtime, body, ObjectKind::Body);
                let mut run = Run::default();
                while let Some(piece) = raw.next_piece()? {
                    run.push(&piece);
                }
                self.judge.counts.bodies += 1;
                self.judge.counts.object_bytes += raw.bytes;
                if hex(&raw.hash.finish()) != sha256 {
                    damaged(self.judge, "hash", "the bytes of its body have not the hash that its name tells");
                    None
                } else if run.len != len {
                    damaged(self.judge, "ref", "its body has another length than it tells");
                    None
                } else {
                    Some(run)
                }
            }
        };
        self.bodies.insert(key.to_owned(), run);
        Ok(run)
    }

    fn damaged(&mut self, what: &str, why: &str) {
        self.judge.find(&Finding {
            object: Some(self.key.to_owned()),
            what: vec![what.to_owned()],
            why: why.to_owned(),
            ..Finding::new(Verdict::Damaged)
        });
    }
}

/// Why a batch was not read to its end.
enum Stop {
    Verify(VerifyError),
    Decoding(String),
}

impl Stop {
    fn decoding(error: io::Error) -> Stop {
        Stop::Decoding(error.to_string())
    }
}

impl From<VerifyError> for Stop {
    fn from(error: VerifyError) -> Self {
        Stop::Verify(error)
    }
}

/// What is wrong with a line, without anything that it says: it may hold secrets.
fn told(error: serde_json::Error) -> String {
    let what = match error.classify() {
        Category::Io => "it cannot be decompressed",
        Category::Eof => "it is cut",
        Category::Syntax => "it is no JSON",
        Category::Data => "it is no stored exchange",
    };
    format!("{what} (at byte {})", error.column())
}

/// The rest of a line, up to its newline.
struct RestOfLine<'r, R> {
    reader: &'r mut R,
    ended: bool,
}

impl<R: BufRead> Read for RestOfLine<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let ahead = self.reader.fill_buf()?;
        let (line, ended) = match memchr::memchr(b'\n', ahead) {
            Some(newline) => (&ahead[..=newline], true),
            None => (ahead, ahead.is_empty()),
        };
        let read = line.len().min(buffer.len());
        buffer[..read].copy_from_slice(&line[..read]);
        self.ended = ended && read == line.len();
        self.reader.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_line_ends_with_it() {
        for size in [1, 3, 100] {
            let mut reader = BufReader::with_capacity(size, &b"rest of it\nnext"[..]);
            let mut rest = String::new();
            RestOfLine { reader: &mut reader, ended: false }.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "rest of it\n");
            reader.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "rest of it\nnext");
        }
    }
}
