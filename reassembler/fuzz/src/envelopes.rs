//! Bytes as a log.

use reassemble_formats::{Envelope, EnvelopeReader, scan_line};
use serde::de::IgnoredAny;

use crate::found::Found;

const ENVELOPES: [Envelope; 5] = [Envelope::Auto, Envelope::Plain, Envelope::Docker, Envelope::Cri, Envelope::Json];
const LONGEST_LINES: [usize; 3] = [1 << 20, 1000, 64];

/// Reads a log, whose first three bytes choose envelope, longest line and cuts, in several ways that must come to the same.
pub fn envelopes(data: &[u8]) {
    let [envelope, longest, cuts, log @ ..] = data else { return };
    let envelope = ENVELOPES[usize::from(*envelope) % ENVELOPES.len()];
    let max_line_bytes = LONGEST_LINES[usize::from(*longest) % LONGEST_LINES.len()];
    let mut reader = EnvelopeReader::new(envelope, max_line_bytes);
    let mut whole = Found::default();
    let lines = reader.block(log, &mut whole);
    reader.finish(&mut whole);

    let mut reader = EnvelopeReader::new(envelope, max_line_bytes);
    let (mut pieces, mut piece_lines) = (Found::default(), 0);
    for (number, block) in blocks(log, *cuts).into_iter().enumerate() {
        piece_lines += reader.block(block, &mut pieces);
        let carry = reader.carry();
        // Hex doubles what is half joined, two streams have some.
        assert!(carry.as_ref().is_none_or(|carry| carry.len() <= 4 * max_line_bytes + 200));
        if (cuts >> (number % 8)) & 1 == 1 {
            reader = EnvelopeReader::new(envelope, max_line_bytes);
            carry.iter().for_each(|carry| reader.restore(carry));
            assert_eq!(reader.carry(), carry);
        }
    }
    reader.finish(&mut pieces);
    assert_eq!((lines, whole), (piece_lines, pieces));
    log.split(|byte| *byte == b'\n').for_each(scanned_line);
}

/// A log as blocks of whole lines, one or several each.
fn blocks(log: &[u8], cuts: u8) -> Vec<&[u8]> {
    let mut blocks = Vec::new();
    let mut start = 0;
    for (number, (newline, _)) in log.iter().enumerate().filter(|(_, byte)| **byte == b'\n').enumerate() {
        if (cuts.rotate_left(3) >> (number % 8)) & 1 == 1 {
            blocks.push(&log[start..=newline]);
            start = newline + 1;
        }
    }
    blocks.push(&log[start..]);
    blocks
}

/// Where a line holds neither a bare marker nor a whole JSON object, nothing is found: no quoted text is ever taken for a record.
fn scanned_line(line: &[u8]) {
    let objects = || (0..line.len()).filter(|at| line[*at] == b'{');
    if objects().any(|at| is_bare_marker(&line[at + 1..]) || is_whole_object(&line[at..])) {
        return;
    }
    let mut found = Found::default();
    scan_line(line, &mut found);
    assert_eq!(found.chunks().count(), 0, "{found:?}");
}

fn is_bare_marker(behind_brace: &[u8]) -> bool {
    behind_brace.trim_ascii_start().starts_with(b"\"cap")
}

/// Whether a JSON object starts the text. What a reader may tolerate within strings is made clean.
fn is_whole_object(text: &[u8]) -> bool {
    let mut clean: Vec<u8> = text
        .iter()
        .map(|byte| match byte {
            b'\t' | b'\r' => b' ',
            byte if *byte < b' ' || !byte.is_ascii() => b'x',
            byte => *byte,
        })
        .collect();
    let mut at = 0;
    while let Some(found) = clean[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        let end = (at + 2).min(clean.len());
        clean[at..end].fill(b'x');
        at = end;
    }
    let mut values = serde_json::Deserializer::from_slice(&clean).into_iter::<IgnoredAny>();
    matches!(values.next(), Some(Ok(_)))
}
