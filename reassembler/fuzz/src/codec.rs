//! Bytes as one record.

use reassemble_formats::{Chunk, Record, scan_line};
use serde::de::IgnoredAny;

use crate::found::{Event, Found};
use crate::judge::{Judgement, judge};

/// Reads bytes as a line: what is decoded survives being kept, and what JSON parsers take for a record is judged as the specification says.
pub fn codec(data: &[u8]) {
    if let Some(chunk) = Chunk::from_line(data) {
        let kept = chunk.to_line();
        assert_eq!(Chunk::from_line(&kept).as_ref(), Some(&chunk), "kept as {}", String::from_utf8_lossy(&kept));
        assert!(chunk.same_as(&chunk));
        assert!(begins_with_json(data), "no JSON stands there");
    }
    let mut found = Found::default();
    scan_line(data, &mut found);
    match judge(data) {
        None | Some(Judgement::TooDeep) => (),
        Some(Judgement::Bad) => assert!(matches!(found.0[..], [Event::Bad(_)]), "bad, but {found:?}"),
        Some(Judgement::Chunk(chunk)) => assert_eq!(found.0, [Event::Record(Record::Chunk(*chunk))]),
        Some(Judgement::Meta(head)) => {
            assert!(matches!(&found.0[..], [Event::Record(Record::Meta(meta))] if meta.text() == head), "{found:?}");
        }
    }
}

/// Whether a JSON value stands at the start, escapes unjudged: a reader may tolerate unknown ones where it passes over a string (L-5.7).
fn begins_with_json(data: &[u8]) -> bool {
    let mut plain = data.to_vec();
    let mut at = 0;
    while let Some(found) = plain[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        let end = (at + 2).min(plain.len());
        plain[at..end].fill(b'x');
        at = end;
    }
    let mut values = serde_json::Deserializer::from_slice(&plain).into_iter::<IgnoredAny>();
    matches!(values.next(), Some(Ok(_)))
}
