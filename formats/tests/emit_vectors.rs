//! Runs `spec/vectors/emit`: inputs to exact lines, whatever sizes the body arrives in; and says the same of any body at all.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "vectors/emit.rs"]
mod emit;

use std::{fs, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use emit::Vector;
use proptest::prelude::*;
use reassemble_formats::write::{LineLimit, PartTag, PartWriter, ResponseHead, Tail};
use serde_json::Value;

fn refs(arrivals: &[Vec<u8>]) -> Vec<&[u8]> {
    arrivals.iter().map(Vec::as_slice).collect()
}

#[test]
fn every_vector_gives_its_lines_however_the_body_arrives() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("spec/vectors/emit");
    let mut run = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let vector: Vector =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let wanted = fs::read(path.with_extension("lines")).unwrap();
        let arrivals = vector.arrivals();
        let body = arrivals.concat();
        let ways =
            [("as given", refs(&arrivals)), ("at once", vec![body.as_slice()]), ("by bytes", body.chunks(1).collect())];
        for (way, arrivals) in ways {
            let lines = vector.lines(&arrivals);
            assert!(
                lines == wanted,
                "{name}, body {way}:\n{}\ninstead of\n{}",
                String::from_utf8_lossy(&lines),
                String::from_utf8_lossy(&wanted)
            );
        }
        run += 1;
    }
    assert!(run >= 70, "only {run} vectors were found");
}

/// Bodies as they come: words, escapes, characters of several bytes, bytes that are no text.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let stretch = prop_oneof![
        4 => "[a-z ]{0,300}".prop_map(String::into_bytes),
        2 => "[\"\\\\\n\u{1}]{0,80}".prop_map(String::into_bytes),
        2 => "[é茶🍵\u{2028}]{0,120}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..400),
        1 => Just(b"\xe8\x8c".to_vec()),
    ];
    prop::collection::vec(stretch, 0..6).prop_map(|stretches| stretches.concat())
}

proptest! {
    #[test]
    fn lines_depend_on_the_body_alone_and_join_to_it(
        body in body(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        limit in 512usize..900,
        head_len in 0usize..700,
        error in "[a-zé\"]{0,600}",
    ) {
        let limit = LineLimit::new(limit).unwrap();
        let head = ResponseHead { headers: Some(vec![("h".into(), "y".repeat(head_len).into())]), ..ResponseHead::default() }.to_json();
        let tail = Tail { error: error.as_str().into(), ..Tail::default() };
        let write = |arrivals: &[&[u8]]| {
            let mut out = Vec::new();
            let mut writer = PartWriter::new("c-1", PartTag::Res, head.clone(), limit).unwrap();
            for arrival in arrivals {
                writer.body(arrival, &mut out);
                prop_assert!(writer.held_bytes() <= 2 * limit.bytes());
            }
            writer.finish(&tail, &mut out);
            Ok(out)
        };
        let whole = write(&[&body])?;
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        ends.extend([0, body.len()]);
        ends.sort_unstable();
        let arrivals: Vec<&[u8]> = ends.windows(2).map(|ends| &body[ends[0]..ends[1]]).collect();
        prop_assert_eq!(&write(&arrivals)?, &whole);

        let text = String::from_utf8(whole).unwrap();
        let (mut joined, mut heads, mut tails) = (Vec::new(), String::new(), String::new());
        let count = text.lines().count();
        for (seq, line) in text.split_inclusive('\n').enumerate() {
            prop_assert!(line.len() <= limit.bytes() && line.ends_with('\n'));
            let record: Value = serde_json::from_str(line).unwrap();
            prop_assert_eq!(record["seq"].as_u64(), Some(seq as u64));
            prop_assert_eq!(record["of"].as_u64(), (seq + 1 == count).then_some(count as u64));
            let piece = match (&record["text"], &record["b64"]) {
                (Value::String(text), Value::Null) => text.clone().into_bytes(),
                (Value::Null, Value::String(b64)) => STANDARD.decode(b64).unwrap(),
                _ => Vec::new(),
            };
            if !piece.is_empty() {
                prop_assert_eq!(record["crc"].as_str().unwrap(), format!("{:08x}", crc32fast::hash(&piece)));
            }
            joined.extend(piece);
            for (key, fragment, joined) in [("head", "headf", &mut heads), ("tail", "tailf", &mut tails)] {
                joined.push_str(record[fragment].as_str().unwrap_or_default());
                if record[key].is_object() {
                    joined.push_str(&record[key].to_string());
                }
            }
        }
        prop_assert_eq!(&joined, &body);
        prop_assert_eq!(heads, head);
        prop_assert_eq!(tails, tail.to_json(body.len() as u64, crc32fast::hash(&body)));
    }

    #[test]
    fn what_is_no_id_is_refused(id in "[a-z/\" é]{0,70}") {
        let good = !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_lowercase());
        prop_assert_eq!(PartWriter::new(&id, PartTag::Req, "{}".into(), LineLimit::DEFAULT).is_ok(), good);
    }
}

#[test]
fn limits_out_of_bounds_are_refused() {
    for (bytes, good) in [(0, false), (511, false), (512, true), (262_144, true), (262_145, false), (usize::MAX, false)]
    {
        assert_eq!(LineLimit::new(bytes).is_ok(), good, "{bytes}");
    }
}
