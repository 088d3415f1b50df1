//! From what the function printed to lines.
//!
//! A record in text format is a string, which may hold several lines, a logger's prefix, or a piece of a line where the runtime cut a long
//! write in two. In JSON format it is an object, which becomes a line of its own; the pipeline finds capture records nested in it.

use std::fmt;

use memchr::{memchr, memmem, memrchr};
use serde::Deserializer as _;
use serde::de::{Error, Visitor};

/// Lines are handed on once there are so many bytes of them.
const BLOCK_BYTES: usize = 128 << 10;
/// Longest start of a line that waits for its rest, in bytes: no emitter writes longer lines.
const MOST_HELD_BYTES: usize = 262_144;
/// How a capture record begins where it stands bare.
const MARKER: &[u8] = b"{\"cap";

/// Lines that are gathered until there are enough of them.
#[derive(Debug, Default)]
pub struct Lines {
    block: Vec<u8>,
    /// Where the last line begins, if its rest may come with the next record.
    held: Option<usize>,
}

impl Lines {
    /// Takes a record's JSON text. False where it is none: nothing is taken then.
    pub fn record(&mut self, json: &[u8]) -> bool {
        if json.first() != Some(&b'"') {
            self.end_held();
            // Outside strings, where alone it may stand, a newline is white space.
            self.block.extend(json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
            self.block.push(b'\n');
            return true;
        }
        let from = self.held.take().unwrap_or(self.block.len());
        let before = self.block.len();
        if !append_string(json, &mut self.block) {
            self.block.truncate(before);
            self.held = (from < before).then_some(from);
            return false;
        }
        self.end_string(from);
        true
    }

    /// Takes what is there of a string of which one end is lost: JSON text without quotes.
    pub fn fragment(&mut self, inside: &[u8]) {
        self.end_held();
        let from = self.block.len();
        let mut json = Vec::with_capacity(inside.len() + 2);
        // What is cut may be the last escape, or a pair of them.
        for shorter in 0..=inside.len().min(12) {
            json.clear();
            json.push(b'"');
            json.extend_from_slice(&inside[..inside.len() - shorter]);
            json.push(b'"');
            if append_string(&json, &mut self.block) {
                break;
            }
            self.block.truncate(from);
        }
        self.block.push(b'\n');
    }

    /// What is there, where it is enough, or where `all` is asked for; the start of a line whose rest may come stays.
    pub fn take(&mut self, all: bool) -> Option<Vec<u8>> {
        let whole = self.held.unwrap_or(self.block.len());
        if whole == 0 || (!all && whole < BLOCK_BYTES) {
            return None;
        }
        let rest = self.block.split_off(whole);
        self.held = self.held.map(|_| 0);
        Some(std::mem::replace(&mut self.block, rest))
    }

    /// What is left once nothing more comes.
    pub fn finish(&mut self) -> Option<Vec<u8>> {
        self.end_held();
        self.take(true)
    }

    /// Ends a line that waits for its rest.
    fn end_held(&mut self) {
        if self.held.take().is_some() {
            self.block.push(b'\n');
        }
    }

    /// Ends the line of a string that was taken, unless it may go on: where a long write was cut, the next record is its rest.
    fn end_string(&mut self, from: usize) {
        if self.block.last() == Some(&b'\n') {
            return;
        }
        let line = memrchr(b'\n', &self.block[from..]).map_or(from, |at| from + at + 1);
        if self.block.len() - line <= MOST_HELD_BYTES && is_unfinished(&self.block[line..]) {
            self.held = Some(line);
        } else {
            self.block.push(b'\n');
        }
    }
}

/// Whether a line ends within a bare capture record, or within the first letters of one.
fn is_unfinished(line: &[u8]) -> bool {
    if (1..MARKER.len()).any(|length| line.ends_with(&MARKER[..length])) {
        return true;
    }
    memmem::rfind(line, MARKER).is_some_and(|at| !is_closed(&line[at..]))
}

/// Whether the object that begins a text ends in it.
fn is_closed(text: &[u8]) -> bool {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                let Some(length) = string_length(&text[at + 1..]) else { return false };
                at += length;
            }
            b'{' => depth += 1,
            b'}' if depth <= 1 => return true,
            b'}' => depth -= 1,
            _ => (),
        }
        at += 1;
    }
    false
}

/// How many bytes a string has behind its first quote, the closing quote included.
fn string_length(inside: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let quote = at + memchr(b'"', &inside[at..])?;
        let escapes = inside[at..quote].iter().rev().take_while(|byte| **byte == b'\\').count();
        if escapes % 2 == 0 {
            return Some(quote + 1);
        }
        at = quote + 1;
    }
}

/// Appends what a JSON string says. False where it is none.
fn append_string(json: &[u8], to: &mut Vec<u8>) -> bool {
    let mut string = serde_json::Deserializer::from_slice(json);
    // As bytes, for a lone surrogate is no reason to lose the string.
    string.deserialize_bytes(Append(to)).is_ok() && string.end().is_ok()
}

struct Append<'t>(&'t mut Vec<u8>);

impl Visitor<'_> for Append<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_bytes<E: Error>(self, said: &[u8]) -> Result<(), E> {
        self.0.extend_from_slice(said);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that records become.
    fn lines(records: &[&str]) -> String {
        let mut lines = Lines::default();
        for record in records {
            assert!(lines.record(record.as_bytes()), "{record}");
        }
        String::from_utf8(lines.finish().unwrap_or_default()).unwrap()
    }

    #[test]
    fn strings_and_objects_become_lines() {
        assert_eq!(lines(&[r#""one\ntwo \"x\" \u00e9""#, r#""three\n""#]), "one\ntwo \"x\" é\nthree\n");
        assert_eq!(lines(&["{\"a\":\n  \"b\\n\"\r\n}", "7"]), "{\"a\":   \"b\\n\"  }\n7\n");
        assert_eq!(lines(&[]), "");
    }

    #[test]
    fn a_line_that_was_cut_is_joined_wherever_it_was_cut() {
        let line = r#"INFO {"cap1":"a{\\\"","head":{"x":"}"},"text":"y\\"}"#;
        let marker = line.find('{').unwrap();
        for at in marker + 1..line.len() {
            if !line.is_char_boundary(at) {
                continue;
            }
            let (start, rest) = (format!("before\n{}", &line[..at]), format!("{}\nafter\n", &line[at..]));
            let records = [&start, &rest].map(|text| serde_json::to_string(text).unwrap());
            assert_eq!(lines(&[&records[0], &records[1]]), format!("before\n{line}\nafter\n"), "{at}");
        }
    }

    #[test]
    fn a_cut_line_waits_over_blocks_but_not_for_an_object() {
        let mut lines = Lines::default();
        assert!(lines.record(br#""one\n{\"cap1\":\"a""#));
        assert_eq!(lines.take(true).as_deref(), Some(b"one\n".as_slice()));
        assert_eq!(lines.take(true), None);
        assert!(lines.record(br#""b\"}""#));
        assert_eq!(lines.take(true).as_deref(), Some(b"{\"cap1\":\"ab\"}\n".as_slice()));
        assert!(lines.record(br#""{\"cap1\":\"a""#));
        assert!(lines.record(b"{}"));
        assert_eq!(lines.take(true).as_deref(), Some(b"{\"cap1\":\"a\n{}\n".as_slice()));
    }

    #[test]
    fn a_start_that_nothing_ends_does_not_grow_for_ever() {
        let mut lines = Lines::default();
        assert!(lines.record(br#""{\"cap1\":\"""#));
        let more = format!("\"{}\"", "x".repeat(MOST_HELD_BYTES));
        assert!(lines.record(more.as_bytes()));
        assert_eq!(lines.take(false).map(|block| block.last().copied()), Some(Some(b'\n')));
    }

    #[test]
    fn fragments_keep_what_is_whole_of_them() {
        let mut lines = Lines::default();
        for inside in [r"a\nb", r"c\", r"d\u00", r"e\ud83d\ude"] {
            lines.fragment(inside.as_bytes());
        }
        let text = lines.finish().unwrap();
        assert!(text.starts_with(b"a\nb\nc\nd\ne"), "{text:?}");
        assert!(!lines.record(b"\"broken"));
        assert_eq!(lines.finish(), None);
    }
}
