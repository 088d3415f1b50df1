//! What several readers have stored of one capture, taken back to lines and assembled again, is what one reader of all lines stores.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use reassemble_assembler::{Arrival, Assembled, Assembler, Closed, Kept, Known};
use reassemble_formats::exchange::{Joined, Refusal, StoredComplete, StoredLine, crc_hex};
use reassemble_formats::{CaptureId, Chunk, Part, Piece, Section};
use serde_json::{Value, json};

struct Forgetful;

impl Kept for Forgetful {
    fn lookup(&self, _id: &CaptureId) -> Known {
        Known::Nothing
    }

    fn capture(&self, _number: u64) -> Option<Vec<u8>> {
        None
    }

    fn chunk(&self, _number: u64, _part: Part, _seq: u32) -> Option<Chunk> {
        None
    }
}

/// Assembles the lines of one capture, as a reader that reads nothing else; gives what it stores.
fn assemble(chunks: impl IntoIterator<Item = Chunk>) -> Vec<Vec<u8>> {
    let mut assembler = Assembler::new(Duration::from_secs(60));
    let arrival = Arrival { source: Arc::from("stdin"), read_at_us: 1_767_225_600_000_000, key: None };
    let mut closed: Option<Closed> = None;
    let mut stored = Vec::new();
    let mut keep = |assembled: Assembled| {
        let mut line = Vec::new();
        assembled.exchange().0.write_line(&mut line);
        stored.push(line);
        closed = Some(assembled.closed);
    };
    for chunk in chunks {
        if let Some(assembled) = assembler.push(chunk, &arrival, Duration::ZERO, &Forgetful).complete {
            // Lines that come after it are repeats.
            keep(*assembled);
            return stored;
        }
    }
    while let Some(assembled) = assembler.finish_touched(&Forgetful) {
        keep(assembled);
    }
    stored
}

fn join(stored: &[Vec<u8>]) -> Result<Vec<Chunk>, Refusal> {
    let pieces =
        stored.iter().map(|line| StoredLine::parse(line).unwrap().piece.unwrap()).collect::<Result<Vec<_>, _>>()?;
    let mut chunks = Vec::new();
    Joined::new(pieces)?
        .write_lines(&mut |object| panic!("{object:?}"), &mut |line| {
            chunks.push(Chunk::from_line(line.strip_suffix(b"\n").unwrap()).unwrap());
            Ok(())
        })
        .unwrap();
    Ok(chunks)
}

/// How a head or tail comes: whole, or cut over so many chunks, or so with its end lost, or not at all.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Over(usize),
    Broken(usize),
    Absent,
}

fn cut() -> impl Strategy<Value = Cut> {
    prop_oneof![3 => Just(Cut::Whole), 2 => (1usize..4).prop_map(Cut::Over), 1 => (1usize..3).prop_map(Cut::Broken), 1 => Just(Cut::Absent)]
}

#[derive(Clone, Debug)]
struct PartLines {
    pieces: Vec<(Option<Vec<u8>>, Option<u64>)>,
    head: (Value, Cut),
    tail: (Value, Cut),
    /// Whether the tail tells length and CRC-32.
    claims: bool,
    /// 0: `of` on the last line, 1: on each, 2: on the first alone, 3: nowhere.
    of: u8,
}

fn piece() -> impl Strategy<Value = (Option<Vec<u8>>, Option<u64>)> {
    let bytes = prop_oneof![
        2 => "[a-zé\"\\\\\n]{1,6}".prop_map(|text| Some(text.into_bytes())),
        1 => proptest::collection::vec(any::<u8>(), 1..6).prop_map(Some),
        1 => Just(None),
        1 => Just(Some(Vec::new())),
    ];
    (bytes, proptest::option::of(0u64..99)).prop_map(|(bytes, at)| {
        let at = at.filter(|_| bytes.as_ref().is_some_and(|bytes| !bytes.is_empty()));
        (bytes, at)
    })
}

fn part(head: impl Strategy<Value = Value>, tail: impl Strategy<Value = Value>) -> impl Strategy<Value = PartLines> {
    let pieces = proptest::collection::vec(piece(), 1..7);
    (pieces, (head, cut()), (tail, cut()), any::<bool>(), 0u8..4)
        .prop_map(|(pieces, head, tail, claims, of)| PartLines { pieces, head, tail, claims, of })
}

/// An object with some of these members.
fn some_of(members: Value) -> impl Strategy<Value = Value> {
    let members: Vec<(String, Value)> = members.as_object().unwrap().clone().into_iter().collect();
    let count = members.len();
    proptest::sample::subsequence(members, 0..=count).prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// Every tail that a writer writes tells when it was.
fn lasting(mut tail: Value) -> Value {
    tail["us"] = if tail["us"].is_null() { json!(11) } else { tail["us"].take() };
    tail
}

fn capture() -> impl Strategy<Value = [PartLines; 2]> {
    let request_head = some_of(json!({
        "ts": "2025-11-22T04:00:00.000001Z", "service": "shop", "host": "h", "inst": "i", "n": 3, "dir": "in", "proto": "http/1.1", "method": "POST",
        "url": "/a?b=\"c\"", "headers": [["content-type", "text/plain"], ["A", "1"], ["a", "2"]], "peer": "10.0.0.1", "trace": "t", "parent": "p",
        "tags": {"k": "v"}, "rate": 0.5, "why": "all", "body_enc": "gzip", "oneway": true, "zone": {"x": [1.5, null]},
    }))
    .prop_map(|mut head| {
        // What has no usable time is stored under that of reading, which is another each time.
        head["ts"] = json!("2025-11-22T04:00:00.000001Z");
        head
    });
    let request_tail = some_of(json!({"us": 7, "trailers": [["x", "y"]], "error": "asked", "truncated": true, "full_len": 900, "mine": 1, "len": "x"})).prop_map(lasting);
    let response_head = some_of(json!({
        "ts": "2025-11-22T04:00:01Z", "us": 5, "status": 200, "headers": [["Content-Type", "image/png"]], "body_enc": "br", "odd": true, "url": 7,
    }));
    let response_tail = some_of(json!({"us": 9, "status": "OK", "trailers": [["grpc-status", "0"]], "error": "answered", "truncated": true, "rest": [1]})).prop_map(lasting);
    [part(request_head, request_tail).boxed(), part(response_head, response_tail).boxed()]
}

fn fragments(text: &str, over: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(chars.len().div_ceil(over)).map(|chunk| chunk.iter().collect()).collect()
}

fn lines(part: Part, written: &PartLines) -> Vec<Chunk> {
    let count = written.pieces.len();
    let body: Vec<u8> = written.pieces.iter().filter_map(|(piece, _)| piece.clone()).flatten().collect();
    let mut tail = written.tail.0.clone();
    if written.claims {
        tail["len"] = json!(body.len());
        tail["crc"] = json!(crc_hex(&body));
    }
    let cut = |value: &Value, cut: Cut, at_end: bool| {
        let mut sections = vec![None; count];
        let text = value.to_string();
        let place = |seq: usize, parts: usize| if at_end { count - parts + seq } else { seq };
        match cut {
            Cut::Absent => {}
            Cut::Whole => sections[place(0, 1)] = Some(Section::Whole(text.into())),
            Cut::Over(over) | Cut::Broken(over) => {
                let mut parts = fragments(&text, over.min(count));
                if let (Cut::Broken(_), Some(last)) = (cut, parts.last_mut()) {
                    last.pop();
                    last.push('x');
                }
                let many = parts.len();
                for (seq, part) in parts.into_iter().enumerate() {
                    sections[place(seq, many)] = Some(Section::Fragment(part.into()));
                }
            }
        }
        sections
    };
    let heads = cut(&written.head.0, written.head.1, false);
    let tails = cut(&tail, written.tail.1, true);
    written
        .pieces
        .iter()
        .zip(heads.into_iter().zip(tails))
        .enumerate()
        .map(|(seq, ((piece, at), (head, tail)))| {
            let tells = match written.of {
                0 => seq + 1 == count,
                1 => true,
                2 => seq == 0,
                _ => false,
            };
            Chunk {
                id: CaptureId::parse(b"c").unwrap(),
                part,
                seq: seq as u32,
                head,
                at: *at,
                piece: piece.as_deref().map(Piece::new),
                of: tells.then_some(count as u32),
                tail,
                sig: None,
            }
        })
        .collect()
}

/// An exchange without what a reader's own place and an unsaid emptiness make of it.
fn comparable(line: &[u8]) -> Value {
    let mut exchange: Value = serde_json::from_slice(line).unwrap();
    exchange["source"] = Value::Null;
    for fragment in exchange["fragments"].as_array_mut().into_iter().flatten() {
        let fragment = fragment.as_object_mut().unwrap();
        // Which of a part's chunks told their number is known of fragments alone.
        fragment.shift_remove("of");
        if fragment.get("text") == Some(&json!("")) {
            fragment.shift_remove("text");
            fragment.shift_remove("crc");
        }
    }
    exchange
}

fn holds(complete: &StoredComplete, piece: &[u8]) -> bool {
    let piece = StoredLine::parse(piece).unwrap().piece.unwrap().unwrap();
    complete.holds(&piece, &mut |object| panic!("{object:?}")).unwrap()
}

/// A piece of which something is another capture's: a body, or a value of a head that is whole; nothing where it has neither.
fn changed(line: &[u8], change: usize) -> Option<Vec<u8>> {
    let mut exchange: Value = serde_json::from_slice(line).unwrap();
    let lacks = |problem: &str| exchange["problems"].as_array().unwrap().contains(&json!(problem));
    let mut places = Vec::new();
    for part in ["request", "response"] {
        if exchange[part]["body"]["len"].as_u64().is_some_and(|len| len > 0) {
            places.push(format!("/{part}/body"));
        }
        if exchange[part].is_object() && !lacks(&format!("{part}_head_missing")) {
            places.push(format!("/{part}/headers"));
        }
    }
    let fragments = exchange["fragments"].as_array().map_or(0, Vec::len);
    let has_bytes = |n: &usize| exchange["fragments"][n].get("crc").is_some_and(|crc| *crc != "00000000");
    places.extend((0..fragments).filter(has_bytes).map(|n| format!("/fragments/{n}")));
    let place = places.get(change % places.len().max(1))?;
    let (parent, key) = place.rsplit_once('/').unwrap();
    let parent = exchange.pointer_mut(parent).unwrap();
    if key == "headers" {
        parent["headers"] = json!([["another", "1"]]);
        return Some(exchange.to_string().into_bytes());
    }
    let body = exchange.pointer_mut(place).unwrap().as_object_mut().unwrap();
    // A fragment is looked for anywhere, so it must be longer than chance; of a start each byte is compared.
    let len = body.get("len").map_or(9, |len| usize::try_from(len.as_u64().unwrap()).unwrap());
    let bytes = ["\u{7}", "\u{8}"].map(|byte| byte.repeat(len));
    let bytes = if body.get("text") == Some(&json!(bytes[0])) { &bytes[1] } else { &bytes[0] };
    body.shift_remove("b64");
    body.insert("text".to_owned(), json!(bytes));
    if body.contains_key("crc") {
        body["crc"] = json!(crc_hex(bytes.as_bytes()));
    }
    Some(exchange.to_string().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn what_readers_have_in_pieces_is_joined_to_what_one_has_of_all(
        capture in capture(),
        readers in proptest::collection::vec((0u8..16, any::<u32>()), 14),
        change in any::<usize>(),
    ) {
        let lines: Vec<Chunk> =
            Part::BOTH.into_iter().zip(&capture).rev().flat_map(|(part, written)| lines(part, written)).collect();
        // A line goes to each reader whose bit is set; of some lines nobody reads any.
        let came: Vec<(&Chunk, u8, u32)> = lines.iter().zip(&readers).map(|(line, (readers, order))| (line, *readers, *order)).collect();
        let whole = assemble(came.iter().filter(|(_, readers, _)| *readers != 0).map(|(line, ..)| (*line).clone()));
        let mut pieces = Vec::new();
        for reader in 0..4 {
            let mut mine: Vec<_> = came.iter().filter(|(_, readers, _)| readers & (1 << reader) != 0).collect();
            mine.sort_by_key(|(_, _, order)| order.rotate_left(8 * reader));
            pieces.extend(assemble(mine.into_iter().map(|(line, ..)| (*line).clone())));
        }
        if pieces.is_empty() {
            return Ok(());
        }
        let (complete, pieces): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|line| comparable(line)["complete"] == true);
        // Who has all lines has what is in any pieces, whoever has them.
        let everything = assemble(came.iter().map(|(line, ..)| (*line).clone()));
        for line in complete.iter().chain(everything.iter().filter(|line| comparable(line)["complete"] == true)) {
            let (whole, has_response) = (StoredComplete::parse(line).unwrap(), comparable(line)["response"].is_object());
            for piece in &pieces {
                let told = || format!("{} and {}", String::from_utf8_lossy(piece), String::from_utf8_lossy(line));
                // What comes of a response to a request that wants none is nowhere else.
                let is_odd = !has_response && comparable(piece)["response"].is_object();
                prop_assert_eq!(holds(&whole, piece), !is_odd, "{}", told());
                prop_assert!(!changed(piece, change).is_some_and(|changed| holds(&whole, &changed)), "{}", told());
            }
        }
        if !complete.is_empty() {
            return Ok(());
        }
        let joined = join(&pieces);
        prop_assert!(joined.is_ok(), "{joined:?} of {}", pieces.iter().map(|line| String::from_utf8_lossy(line)).collect::<String>());
        let again = assemble(joined.unwrap());
        let told = |lines: &[Vec<u8>]| lines.iter().map(|line| comparable(line)).collect::<Vec<_>>();
        prop_assert_eq!(told(&again), told(&whole), "of {}", pieces.iter().map(|line| String::from_utf8_lossy(line)).collect::<String>());
    }
}
