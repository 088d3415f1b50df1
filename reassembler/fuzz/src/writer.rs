//! Captures as an emitter writes them, wrapped, damaged, and read back.

use std::borrow::Cow;
use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use reassemble_formats::write::{LineLimit, PartTag, PartWriter, RequestHead, Tail};
use reassemble_formats::{Envelope, EnvelopeReader, Record, Section};
use serde_json::json;

use crate::found::{Event, Found};
use crate::judge::{Judgement, judge};

/// The only id that any written line bears. Records with another id stand in bodies, headers and tags at most.
const ID: &str = "carrier";

/// One captured request, what wraps its lines, and what becomes of them.
#[derive(Arbitrary, Debug)]
pub struct Written<'a> {
    limit: u16,
    wrapping: Wrapping,
    damage: Damage,
    service: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    tags: BTreeMap<&'a str, &'a str>,
    error: &'a str,
    body: Vec<&'a [u8]>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Wrapping {
    Bare,
    Prefixed,
    Docker {
        piece_bytes: u8,
    },
    Cri {
        piece_bytes: u8,
    },
    /// In a string of a JSON object, in a string of another, …
    Quoted {
        levels: u8,
    },
    /// As an object within one.
    Nested,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Damage {
    None,
    /// Only what lies behind this offset came.
    Front(u16),
    /// Only what lies before it came.
    End(u16),
    /// One line did not come.
    Lost(u8),
}

/// Writes a capture and reads it: whole lines give what was written, and damaged ones nothing that was not.
pub fn writer(written: &Written<'_>) {
    let head = written.head();
    let lines = written.lines(&head);
    let mut log: Vec<Vec<u8>> = lines.iter().flat_map(|line| written.wrapping.wrap(line)).collect();
    if let Damage::Lost(number) = written.damage {
        log.remove(usize::from(number) % log.len());
    }
    let log = log.concat();
    let log = match written.damage {
        Damage::Front(at) => &log[usize::from(at) % log.len()..],
        Damage::End(at) => &log[..usize::from(at) % log.len()],
        Damage::None | Damage::Lost(_) => &log[..],
    };
    let mut found = Found::default();
    let mut reader = EnvelopeReader::new(Envelope::Auto, 1 << 20);
    reader.block(log, &mut found);
    reader.finish(&mut found);
    assert!(found.chunks().all(|chunk| chunk.id.to_string() == ID), "{found:?}");
    if matches!(written.damage, Damage::None) {
        written.assert_read(&found, &lines, &head);
    }
}

impl Written<'_> {
    fn head(&self) -> String {
        let pairs = |(name, value): &(&str, &str)| (Cow::Owned((*name).into()), Cow::Owned((*value).into()));
        RequestHead {
            service: self.service.into(),
            headers: Some(self.headers.iter().map(pairs).collect()),
            tags: self.tags.iter().map(|(name, value)| (Cow::Borrowed(*name), Cow::Borrowed(*value))).collect(),
            ..RequestHead::default()
        }
        .to_json()
    }

    /// The lines without their newlines.
    fn lines(&self, head: &str) -> Vec<String> {
        let limit = LineLimit::new(LineLimit::MIN.bytes() + usize::from(self.limit)).expect("within its bounds");
        let mut writer = PartWriter::new(ID, PartTag::Req, head.into(), limit).expect("a good id");
        let mut out = Vec::new();
        self.body.iter().for_each(|bytes| writer.body(bytes, &mut out));
        writer.finish(&Tail { error: self.error.into(), ..Tail::default() }, &mut out);
        assert!(out.split_inclusive(|byte| *byte == b'\n').all(|line| line.len() <= limit.bytes()));
        String::from_utf8(out).expect("lines are text").lines().map(str::to_owned).collect()
    }

    fn assert_read(&self, found: &Found, lines: &[String], head: &str) {
        assert_eq!(found.0.len(), lines.len(), "{found:?}");
        let (mut body, mut headf) = (Vec::new(), String::new());
        for ((chunk, event), (seq, line)) in found.chunks().zip(&found.0).zip((0..).zip(lines)) {
            assert_eq!(Some(Judgement::Chunk(Box::new(chunk.clone()))), judge(line.as_bytes()));
            assert_eq!(event, &Event::Record(Record::Chunk(chunk.clone())));
            assert_eq!(chunk.seq, seq);
            chunk.piece.iter().for_each(|piece| piece.append_to(&mut body));
            headf.push_str(chunk.head.as_ref().map_or("", Section::text));
        }
        assert_eq!((body, headf.as_str()), (self.body.concat(), head));
    }
}

impl Wrapping {
    /// The lines of the log, newlines included, that hold one line of the app.
    fn wrap(self, line: &str) -> Vec<Vec<u8>> {
        match self {
            Wrapping::Bare => vec![format!("{line}\n").into()],
            Wrapping::Prefixed => vec![format!("2026-11-22 05:00:00 INFO [x] {line} {{}}\n").into()],
            Wrapping::Docker { piece_bytes } => {
                let line = format!("{line}\n");
                let pieces = pieces(&line, piece_bytes);
                let wrap =
                    |piece: &&str| format!("{}\n", json!({"log": piece, "stream": "stdout", "time": "t"})).into();
                pieces.iter().map(wrap).collect()
            }
            Wrapping::Cri { piece_bytes } => {
                let pieces = pieces(line, piece_bytes);
                let tag = |number| if number + 1 == pieces.len() { 'F' } else { 'P' };
                let wrap = |(number, piece): (usize, &&str)| {
                    format!("2026-11-22T05:00:00.1Z stdout {} {piece}\n", tag(number)).into()
                };
                pieces.iter().enumerate().map(wrap).collect()
            }
            Wrapping::Quoted { levels } => {
                let quote = |text: String, _| json!({"level": "info", "msg": text, "end": {}}).to_string();
                vec![format!("{}\n", (0..=levels % 4).fold(line.to_owned(), quote)).into()]
            }
            Wrapping::Nested => vec![format!("{{\"level\":\"info\",\"rec\":[{line}],\"end\":1}}\n").into()],
        }
    }
}

/// A line in pieces of about this size.
fn pieces(line: &str, piece_bytes: u8) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while rest.len() > usize::from(piece_bytes) + 16 {
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(usize::from(piece_bytes) + 16));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    pieces
}
