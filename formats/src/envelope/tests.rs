use super::*;
use crate::record::{BadReason, Record};

#[derive(Default, Debug, PartialEq)]
struct Found {
    ids: Vec<String>,
    bad: Vec<BadReason>,
    long: Vec<u64>,
}

impl RecordSink for Found {
    fn record(&mut self, record: Record) {
        if let Record::Chunk(chunk) = record {
            self.ids.push(chunk.id.to_string());
        }
    }
    fn bad(&mut self, reason: BadReason) {
        self.bad.push(reason);
    }
    fn long_line(&mut self, bytes: u64) {
        self.long.push(bytes);
    }
}

const LIMIT: usize = 1 << 20;

fn record(id: &str, padding: usize) -> String {
    format!(r#"{{"cap1":"{id}","part":"req","seq":0,"text":"{}","of":1}}"#, "x".repeat(padding))
}

/// As Docker writes a line: cut into pieces of 16 KiB.
fn docker(stream: &str, line: &str) -> Vec<String> {
    let line = format!("{line}\n");
    line.as_bytes()
        .chunks(16 * 1024)
        .map(|piece| {
            let log = serde_json::to_string(std::str::from_utf8(piece).unwrap()).unwrap();
            format!("{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"2026-11-22T05:00:00.1Z\"}}\n")
        })
        .collect()
}

fn cri(stream: &str, line: &str, piece_bytes: usize) -> Vec<String> {
    let pieces: Vec<_> = line.as_bytes().chunks(piece_bytes).collect();
    let last = pieces.len() - 1;
    pieces
        .iter()
        .enumerate()
        .map(|(at, piece)| {
            let tag = if at == last { "F" } else { "P" };
            format!("2026-11-22T05:00:00.123456789Z {stream} {tag} {}\n", std::str::from_utf8(piece).unwrap())
        })
        .collect()
}

fn read(envelope: Envelope, blocks: &[String]) -> (Found, u64) {
    let mut reader = EnvelopeReader::new(envelope, LIMIT);
    let mut found = Found::default();
    let mut lines = 0;
    for block in blocks {
        // Over a restart at every block: what is carried is all that is needed.
        let carry = reader.carry();
        reader = EnvelopeReader::new(envelope, LIMIT);
        if let Some(carry) = carry {
            reader.restore(&carry);
        }
        lines += reader.block(block.as_bytes(), &mut found);
    }
    reader.finish(&mut found);
    (found, lines)
}

fn interleave(a: Vec<String>, b: Vec<String>) -> Vec<String> {
    let longest = a.len().max(b.len());
    (0..longest).flat_map(|at| [a.get(at).cloned(), b.get(at).cloned()]).flatten().collect()
}

#[test]
fn docker_pieces_are_joined_around_their_limit() {
    let overhead = record("a", 0).len() + 1;
    for bytes in [100, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 16 * 1024 * 3] {
        let blocks = docker("stdout", &record("a", bytes - overhead));
        assert_eq!(blocks.len(), bytes.div_ceil(16 * 1024));
        for envelope in [Envelope::Auto, Envelope::Docker] {
            assert_eq!(read(envelope, &blocks).0.ids, ["a"], "{bytes}");
        }
    }
}

#[test]
fn interleaved_streams_are_joined_each_for_itself() {
    let pieces = |id: &str| record(id, 40_000);
    let blocks = interleave(docker("stdout", &pieces("a")), docker("stderr", &pieces("b")));
    let (found, lines) = read(Envelope::Auto, &blocks);
    assert_eq!((found.ids, lines), (vec!["a".to_owned(), "b".to_owned()], 6));
    let blocks = interleave(cri("stdout", &pieces("a"), 16_384), cri("stderr", &pieces("b"), 16_384));
    assert_eq!(read(Envelope::Auto, &blocks).0.ids, ["a", "b"]);
    assert_eq!(read(Envelope::Cri, &blocks).0.ids, ["a", "b"]);
}

#[test]
fn a_cut_marker_is_joined() {
    let line = record("a", 10);
    for piece_bytes in 1..line.len() {
        assert_eq!(read(Envelope::Auto, &cri("stdout", &line, piece_bytes)).0.ids, ["a"], "{piece_bytes}");
    }
}

#[test]
fn ordinary_lines_between_and_before_do_not_hide_the_format() {
    let mut blocks = vec!["\n".to_owned(), "2026-11-22T05:00:00Z stderr F \n".to_owned()];
    blocks.extend(cri("stdout", &record("a", 50_000), 16_384));
    assert_eq!(read(Envelope::Auto, &blocks).0.ids, ["a"]);
    // A shipper's note first: the format shows in the first line that holds a record.
    let mut blocks = vec!["==> app.log <==\n".to_owned()];
    blocks.extend(docker("stdout", &record("a", 10)));
    blocks.extend(docker("stdout", &record("b", 50_000)));
    assert_eq!(read(Envelope::Auto, &[blocks.concat()]).0.ids, ["a", "b"]);
}

#[test]
fn a_joined_line_over_the_limit_is_skipped_and_the_next_one_read() {
    let mut blocks = cri("stdout", &record("long", 2 * LIMIT), 16_384);
    let long = record("long", 2 * LIMIT).len() as u64;
    blocks.extend(cri("stdout", &record("a", 10), 16_384));
    let (found, _) = read(Envelope::Auto, &blocks);
    assert_eq!((found.ids, found.long), (vec!["a".to_owned()], vec![long]));
}

#[test]
fn pieces_without_an_end_stay_bounded() {
    let mut reader = EnvelopeReader::new(Envelope::Cri, 10_000);
    let mut found = Found::default();
    for _ in 0..1_000 {
        reader.block(format!("2026-11-22T05:00:00.1Z stdout P {}\n", "y".repeat(1_000)).as_bytes(), &mut found);
    }
    assert!(reader.carry().unwrap().len() < 30_000);
    reader.finish(&mut found);
    assert_eq!(found.long, [1_000_000]);
}

#[test]
fn loggers_records_need_no_joining_and_plain_looks_into_no_json() {
    let line = record("a", 10);
    let logged = format!(
        "{{\"level\":\"info\",\"msg\":{},\"rec\":{}}}\n",
        serde_json::to_string(&line).unwrap(),
        record("b", 0)
    );
    for (envelope, ids) in
        [(Envelope::Auto, vec!["a", "b"]), (Envelope::Json, vec!["a", "b"]), (Envelope::Plain, vec!["b"])]
    {
        assert_eq!(read(envelope, std::slice::from_ref(&logged)).0.ids, ids);
    }
}

#[test]
fn every_hinted_line_is_seen_whole_wherever_its_hints_stand() {
    let block = format!("x \"capital\" {} \"cap1\nno\n\"cap\"cap {}\nlast \"cap1", record("a", 3), record("b", 3));
    let (found, lines) = read(Envelope::Auto, &[block]);
    assert_eq!((found.ids, lines), (vec!["a".to_owned(), "b".to_owned()], 4));
}

#[test]
fn where_blocks_end_does_not_decide_the_envelope() {
    // A mixed file: its first line is no container's, and the first piece of a cut line bears no hint.
    let mut blocks = vec!["starting\n".to_owned()];
    blocks.extend(cri("stdout", &record("a", 10), 3));
    let whole = read(Envelope::Auto, &[blocks.concat()]);
    assert_eq!(read(Envelope::Auto, &blocks), whole);
    // A reader that goes on after a restart knows that it is not at the file's start.
    let mut found = Found::default();
    let mut first = EnvelopeReader::new(Envelope::Auto, LIMIT);
    first.block(b"\n", &mut found);
    assert_eq!(first.carry(), None);
    first.block(blocks[0].as_bytes(), &mut found);
    let mut second = EnvelopeReader::new(Envelope::Auto, LIMIT);
    second.restore(&first.carry().unwrap());
    second.block(blocks[1..].concat().as_bytes(), &mut found);
    second.finish(&mut found);
    assert_eq!(found, whole.0);
}

#[test]
fn a_record_of_docker_with_an_unknown_escape_is_none_of_its() {
    let line = |log: &str| format!("{{\"log\":\"{log}\",\"stream\":\"stdout\",\"time\":\"t\"}}\n");
    let whole = serde_json::to_string(&record("a", 0)).unwrap();
    let quoted = whole.trim_matches('"');
    // It is no JSON, so what it quotes is no record; nor does it end or continue a joined line (E-2.4).
    assert_eq!(read(Envelope::Docker, &[line(&format!("{quoted}\\q\\n"))]).0, Found::default());
    let (front, back) = quoted.split_at(quoted.find("req").unwrap());
    for broken in ["x\\q", "x\\q\\n", "x\\u12"] {
        let blocks = [line(front), line(broken), line(&format!("{back}\\n"))];
        assert_eq!(read(Envelope::Docker, &blocks).0.ids, ["a"], "{broken}");
    }
}
