//! Any interleaving, repetition, loss and cut of a log gives the exchanges of a model.
//!
//! Captures are written as an emitter writes them; their lines are spread at random over logs in every envelope, some lost, some repeated, some cut at
//! any byte with or without their newline. The model knows for every byte range that is left whether it holds a whole record, and nothing else of
//! how records are found or joined.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reassemble_formats::write::{LineLimit, PartTag, PartWriter, RequestHead, ResponseHead, Status, Tail};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::programs::{reassemble, run};
use crate::stored;

const CAPTURES: usize = 250;
const PARTS: [&str; 2] = ["request", "response"];

/// SplitMix64: the same numbers for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// One line of a capture's part, without its newline, and what it brings.
struct Line {
    text: String,
    piece: Vec<u8>,
    has_head: bool,
}

/// A capture: the lines of both parts.
struct Capture {
    id: String,
    parts: [Vec<Line>; 2],
}

/// A line by its capture, part and number.
type Place = (usize, usize, usize);

fn body(random: &mut Random) -> Vec<u8> {
    const STRETCHES: [&[u8]; 8] = [
        b"plain words ",
        b"\"quoted\" \\ and \\\" ",
        "é日本😀 ".as_bytes(),
        b"line\nline\r\n",
        b"{\"cap1\":\"evil\",\"part\":\"req\",\"seq\":0,\"of\":1}",
        b"{\\\"cap1\\\":\\\"evil\\\",\\\"part\\\":\\\"req\\\",\\\"seq\\\":0}",
        b"\xff\x00\x80\xfe",
        b"}]}\",\"of\":1}",
    ];
    let mut body = Vec::new();
    let binary = random.one_in(3);
    for _ in 0..random.below(60) * random.below(8) {
        let stretch = STRETCHES[random.below(STRETCHES.len())];
        if binary || std::str::from_utf8(stretch).is_ok() {
            body.extend_from_slice(stretch);
        }
    }
    body
}

fn capture(number: usize, random: &mut Random) -> Capture {
    let id = format!("c-{number}");
    let long = "h".repeat(if random.one_in(6) { 600 + random.below(600) } else { random.below(40) });
    let ts_us = Some(1_777_600_000_000_000);
    let request = RequestHead {
        ts_us,
        service: "any".into(),
        headers: Some(vec![("x".into(), long.clone().into())]),
        ..RequestHead::default()
    };
    let response = ResponseHead {
        ts_us,
        status: Some(Status::Code(200)),
        headers: Some(vec![("x".into(), long.into())]),
        ..ResponseHead::default()
    };
    let limit = LineLimit::new(512 + random.below(600)).unwrap();
    let parts = [(PartTag::Req, request.to_json()), (PartTag::Res, response.to_json())].map(|(part, head)| {
        let mut out = Vec::new();
        let mut writer = PartWriter::new(&id, part, head, limit).unwrap();
        writer.body(&body(random), &mut out);
        writer.finish(&Tail::default(), &mut out);
        String::from_utf8(out).unwrap().lines().map(line).collect()
    });
    Capture { id, parts }
}

fn line(text: &str) -> Line {
    let record: Value = serde_json::from_str(text).unwrap();
    let piece = match (record["text"].as_str(), record["b64"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (_, Some(b64)) => STANDARD.decode(b64).unwrap(),
        _ => Vec::new(),
    };
    let has_head = record["head"].is_object() || record["headf"].is_string();
    Line { text: text.to_owned(), piece, has_head }
}

#[derive(Clone, Copy, PartialEq)]
enum Envelope {
    Plain,
    Prefixed,
    Nested,
    Quoted,
    Docker,
    Cri,
}

impl Envelope {
    const ALL: [Envelope; 6] =
        [Envelope::Plain, Envelope::Prefixed, Envelope::Nested, Envelope::Quoted, Envelope::Docker, Envelope::Cri];

    fn wrap(self, line: &str) -> String {
        match self {
            Envelope::Plain => line.to_owned(),
            Envelope::Prefixed => format!("2026-05-01 10:00:00 INFO [worker-1] {{}} {line} done"),
            Envelope::Nested => format!("{{\"level\":\"info\",\"record\":{line},\"end\":1}}"),
            Envelope::Quoted => json!({"level": "info", "msg": format!("say: {line}"), "end": {}}).to_string(),
            Envelope::Docker => {
                json!({"log": format!("{line}\n"), "stream": "stdout", "time": "2026-05-01T10:00:00Z"}).to_string()
            }
            Envelope::Cri => format!("2026-05-01T10:00:00.123456789Z stdout F {line}"),
        }
    }

    /// Whether the record is quoted: then it counts only within the whole of what quotes it.
    fn quotes(self) -> bool {
        matches!(self, Envelope::Quoted | Envelope::Docker)
    }
}

/// One log, and the whole records in it.
struct Log {
    bytes: Vec<u8>,
    lines: u64,
    whole: Vec<Place>,
}

/// Shortest start of a quoting object that is the start of an object at all: a key and its colon.
const QUOTE_START_BYTES: usize = 12;

fn log(envelope: Envelope, places: &[Place], captures: &[Capture], random: &mut Random) -> Log {
    let mut log = Log { bytes: Vec::new(), lines: 0, whole: Vec::new() };
    // What precedes on the same line: nothing, or something torn.
    let mut behind_torn = false;
    let mut in_line = false;
    for place in places {
        let record = &captures[place.0].parts[place.1][place.2].text;
        let text = envelope.wrap(record);
        // The bytes that must be there for the record to be whole.
        let needed = match envelope.quotes() {
            true => 0..text.len(),
            false => {
                let start = text.find(record).unwrap();
                start..start + record.len()
            }
        };
        let (kept, newline) = match random.below(30) {
            _ if in_line => (0..text.len(), true),
            0 => (random.below(text.len())..text.len(), true),
            1 => (0..random.below(text.len()), true),
            2 => (0..QUOTE_START_BYTES + random.below(text.len() - QUOTE_START_BYTES), false),
            3 => (0..text.len(), false),
            _ => (0..text.len(), true),
        };
        if kept.start <= needed.start && needed.end <= kept.end && !(behind_torn && envelope.quotes()) {
            log.whole.push(*place);
        }
        behind_torn = !newline && kept.end < text.len();
        in_line = !newline;
        log.bytes.extend_from_slice(&text.as_bytes()[kept]);
        if newline {
            log.bytes.push(b'\n');
            log.lines += 1;
        }
        if random.one_in(20) {
            log.bytes.extend_from_slice(if in_line { b" " } else { b"an ordinary line, \"cap\" and all\n" });
            log.lines += u64::from(!in_line);
        }
    }
    log.lines += u64::from(in_line);
    log
}

/// What must be stored of a capture of which these lines came, in the words of the specification, of fragments those with a piece of a body;
/// nothing where no line came.
fn expected(capture: &Capture, came: &BTreeSet<Place>, number: usize) -> Option<Value> {
    let mut problems = BTreeSet::new();
    let mut exchange = json!({"id": capture.id, "fragments": []});
    let mut any = false;
    for (part, name) in PARTS.iter().enumerate() {
        let lines = &capture.parts[part];
        let seqs: Vec<usize> = (0..lines.len()).filter(|seq| came.contains(&(number, part, *seq))).collect();
        let run = seqs.iter().enumerate().take_while(|(at, seq)| at == *seq).count();
        let Some(highest) = seqs.last().copied() else {
            problems.insert(format!("{name}_missing"));
            exchange[name] = Value::Null;
            continue;
        };
        any = true;
        let mut missing: Vec<(usize, usize)> = Vec::new();
        for seq in (0..highest).filter(|seq| !seqs.contains(seq)) {
            match missing.last_mut() {
                Some((_, last)) if *last + 1 == seq => *last = seq,
                _ => missing.push((seq, seq)),
            }
        }
        let range =
            |(first, last): (usize, usize)| if first == last { first.to_string() } else { format!("{first}-{last}") };
        problems.extend(missing.into_iter().map(|gap| format!("{name}_chunk_missing:{}", range(gap))));
        if highest + 1 < lines.len() {
            problems.insert(format!("{name}_end_missing"));
        }
        if run < lines.iter().filter(|line| line.has_head).count() {
            problems.insert(format!("{name}_head_missing"));
        }
        let body: Vec<u8> = lines[..run].iter().flat_map(|line| line.piece.clone()).collect();
        exchange[name] = json!(STANDARD.encode(body));
        for seq in seqs.into_iter().skip(run).filter(|seq| !lines[*seq].piece.is_empty()) {
            let fragment = json!([name[..3], seq, STANDARD.encode(&lines[seq].piece)]);
            exchange["fragments"].as_array_mut().unwrap().push(fragment);
        }
    }
    let complete = problems.iter().all(|problem| problem.ends_with("_head_missing"));
    exchange["complete"] = json!(complete);
    if !complete {
        problems.insert("input_end".into());
    }
    exchange["problems"] = json!(problems);
    any.then_some(exchange)
}

/// A stored exchange in the form of [`expected`].
fn stored_form(exchange: &Value, root: &std::path::Path) -> Value {
    let bytes = |fragment: &Value| match fragment["text"].as_str() {
        Some(text) => STANDARD.encode(text),
        None => fragment["b64"].as_str().unwrap_or_default().to_owned(),
    };
    let body = |part: &Value| {
        if part.is_null() { Value::Null } else { json!(STANDARD.encode(stored::body(root, &part["body"]))) }
    };
    let problems: BTreeSet<_> = exchange["problems"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    // What brings no piece of a body is left out on both sides.
    let fragments: Vec<_> = exchange["fragments"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|fragment| json!([fragment["part"], fragment["seq"], bytes(fragment)]))
        .filter(|fragment| fragment[2] != "")
        .collect();
    json!({
        "id": exchange["id"], "fragments": fragments, "complete": exchange["complete"],
        "problems": problems.into_iter().filter(|problem| *problem != "ts_unusable").collect::<Vec<_>>(),
        "request": body(&exchange["request"]), "response": body(&exchange["response"]),
    })
}

/// Writes the captures into logs, runs over all of them, and compares with the model.
fn assert_model_holds(seed: u64) {
    let mut random = Random(seed);
    let captures: Vec<Capture> = (0..CAPTURES).map(|number| capture(number, &mut random)).collect();
    let mut files: Vec<Vec<Place>> = Envelope::ALL.iter().map(|_| Vec::new()).collect();
    for (number, capture) in captures.iter().enumerate() {
        // Some captures meet with nothing, some with much.
        let loss = [usize::MAX, 40, 4][random.below(3)];
        for (part, lines) in capture.parts.iter().enumerate() {
            for seq in 0..lines.len() {
                while !random.one_in(loss) {
                    let file = random.below(files.len());
                    let at = random.below(files[file].len() + 1);
                    files[file].insert(at, (number, part, seq));
                    if !random.one_in(8) {
                        break; // Else once more, elsewhere.
                    }
                }
            }
        }
    }
    let dir = tempdir().unwrap();
    let mut command = reassemble(["--to", "captures", "--no-decode"]);
    command.current_dir(dir.path());
    let (mut came, mut lines, mut whole) = (BTreeSet::new(), 0, 0);
    for (number, (envelope, places)) in Envelope::ALL.into_iter().zip(&files).enumerate() {
        let log = log(envelope, places, &captures, &mut random);
        let name = format!("{number}.log");
        fs::write(dir.path().join(&name), &log.bytes).unwrap();
        command.arg(name);
        lines += log.lines;
        whole += log.whole.len() as u64;
        came.extend(log.whole);
    }
    let (code, summary, said) = run(command);
    assert_eq!(code, Some(0), "seed {seed}: {said}");

    let root = dir.path().join("captures");
    let mut stored: BTreeMap<String, Value> = BTreeMap::new();
    for exchange in stored::exchanges(&root) {
        let id = exchange["id"].as_str().unwrap().to_owned();
        assert!(stored.insert(id, stored_form(&exchange, &root)).is_none(), "seed {seed}: twice: {exchange}");
    }
    let mut complete = 0;
    for (number, capture) in captures.iter().enumerate() {
        let expected = expected(capture, &came, number);
        complete += u64::from(expected.as_ref().is_some_and(|exchange| exchange["complete"] == true));
        assert_eq!(stored.remove(&capture.id), expected, "seed {seed}");
    }
    assert_eq!(stored.into_keys().collect::<Vec<_>>(), Vec::<String>::new(), "seed {seed}: invented");
    let run = &summary["run"];
    let bad = run["records"]["bad"].as_object().unwrap();
    assert!(bad.keys().all(|reason| reason == "torn") && complete > 50, "seed {seed}: {complete} complete, {bad:?}");
    let torn = bad.get("torn").and_then(Value::as_u64).unwrap_or(0);
    assert_eq!(run["records"]["read"].as_u64(), Some(whole + torn), "seed {seed}");
    assert_eq!(run["records"]["repeated"].as_u64(), Some(whole - came.len() as u64), "seed {seed}");
    assert_eq!(
        (run["records"]["conflicting"].as_u64(), run["lines_read"].as_u64()),
        (Some(0), Some(lines)),
        "seed {seed}"
    );
}

#[test]
fn any_interleaving_repetition_loss_and_cut_gives_the_models_exchanges() {
    for seed in 1..=12 {
        assert_model_holds(seed);
    }
}
