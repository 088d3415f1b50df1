use std::collections::HashMap;

use proptest::prelude::*;
use reassemble_formats::exchange::{Content, crc_hex};
use reassemble_formats::{Part, Section};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(60);

fn arrival() -> Arrival {
    Arrival { source: Arc::from("file:/log"), read_at_us: 1_763_787_600_000_000 }
}

fn id(text: &str) -> CaptureId {
    CaptureId::parse(text.as_bytes()).unwrap()
}

fn chunk(id_text: &str, part: Part, seq: u32, of: Option<u32>, piece: &str) -> Chunk {
    let head = match (part, seq) {
        (Part::Request, 0) => Some(r#"{"ts":"2025-11-22T04:00:00Z","service":"shop"}"#),
        (Part::Response, 0) => Some(r#"{"status":200}"#),
        _ => None,
    };
    Chunk {
        id: id(id_text),
        part,
        seq,
        head: head.map(|head| Section::Whole(head.into())),
        at: None,
        piece: Some(piece.as_bytes().into()),
        of,
        tail: of.map(|_| Section::Whole(r#"{"us":5}"#.into())),
        sig: None,
    }
}

/// Remembers what was closed, as the store does.
#[derive(Default)]
struct Memory(HashMap<CaptureId, Closed>);

impl ClosedCaptures for Memory {
    fn lookup(&self, id: &CaptureId) -> Option<Closed> {
        self.0.get(id).map(|closed| Closed::from_bytes(&closed.to_bytes()))
    }
}

/// An assembler, what it gave, and the rows that would be in the database.
struct Rig {
    assembler: Assembler,
    memory: Memory,
    rows: std::collections::BTreeMap<(u64, u32), Vec<u8>>,
    done: Vec<Assembled>,
    repeated: u64,
    conflicting: u64,
}

impl Rig {
    fn new() -> Self {
        Rig {
            assembler: Assembler::new(TIMEOUT),
            memory: Memory::default(),
            rows: Default::default(),
            done: Vec::new(),
            repeated: 0,
            conflicting: 0,
        }
    }

    fn push(&mut self, chunk: Chunk, now: Duration) {
        let pushed = self.assembler.push(chunk, &arrival(), now, &self.memory);
        self.repeated += pushed.repeated;
        self.conflicting += pushed.conflicting;
        if let Some(assembled) = pushed.complete {
            self.keep(*assembled);
        }
    }

    fn keep(&mut self, assembled: Assembled) {
        self.memory.0.insert(assembled.id.clone(), assembled.closed.clone());
        self.done.push(assembled);
    }

    fn expire(&mut self, now: Duration) {
        while let Some(assembled) = self.assembler.expire(now) {
            self.keep(assembled);
        }
    }

    fn finish(&mut self) {
        let mut last = Vec::new();
        // Restarts of this rig lose no capture's touch: a run that ends has read what it restored.
        for capture in self.assembler.open.values_mut() {
            capture.touched = true;
        }
        self.assembler.finish_touched(|assembled| last.push(assembled));
        last.into_iter().for_each(|assembled| self.keep(assembled));
    }

    /// Writes the rows down, and goes on with a new assembler that knows nothing else.
    fn restart(&mut self) {
        let changes = self.assembler.take_changes();
        for (capture, row, bytes) in changes.put {
            self.rows.insert((capture, row), bytes);
        }
        self.rows.retain(|(capture, _), _| !changes.remove.contains(capture));
        self.assembler = Assembler::new(TIMEOUT);
        let rows = self.rows.iter().map(|((capture, row), bytes)| (*capture, *row, bytes.clone()));
        self.assembler.restore(rows, Duration::ZERO).unwrap();
    }

    fn problems(&self, at: usize) -> Vec<&str> {
        self.done[at].exchange.problems.iter().map(String::as_str).collect()
    }
}

fn body(assembled: &Assembled, part: Part) -> Vec<u8> {
    let exchange = &assembled.exchange;
    let body = match part {
        Part::Request => &exchange.request.as_ref().unwrap().body,
        Part::Response => &exchange.response.as_ref().unwrap().body,
    };
    match &body.content {
        Content::Bytes(bytes) => bytes.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn parts_come_in_any_order_and_complete_once() {
    let mut rig = Rig::new();
    rig.push(chunk("a", Part::Response, 1, Some(2), "Z"), Duration::ZERO);
    rig.push(chunk("a", Part::Request, 0, Some(1), "q"), Duration::ZERO);
    assert!(rig.done.is_empty());
    rig.push(chunk("a", Part::Response, 0, None, "Y"), Duration::ZERO);
    assert!(rig.done[0].exchange.complete && rig.problems(0).is_empty());
    assert_eq!(
        (body(&rig.done[0], Part::Request), body(&rig.done[0], Part::Response)),
        (b"q".to_vec(), b"YZ".to_vec())
    );
    rig.push(chunk("a", Part::Response, 0, None, "Y"), Duration::ZERO);
    assert_eq!((rig.repeated, rig.assembler.open_captures(), rig.done.len()), (1, 0, 1));
}

#[test]
fn a_missing_middle_chunk_is_named_and_nothing_that_arrived_is_lost() {
    let mut rig = Rig::new();
    rig.push(chunk("a", Part::Request, 0, Some(1), ""), Duration::ZERO);
    for seq in [0, 1, 4, 6] {
        rig.push(chunk("a", Part::Response, seq, (seq == 6).then_some(7), &seq.to_string()), Duration::ZERO);
    }
    rig.finish();
    assert_eq!(rig.problems(0), ["response_chunk_missing:2-3", "response_chunk_missing:5", "input_end"]);
    assert_eq!(body(&rig.done[0], Part::Response), b"01");
    let fragments: Vec<_> = rig.done[0].exchange.fragments.iter().map(|f| (f.seq, f.text.as_deref())).collect();
    assert_eq!(fragments, [(4, Some("4")), (6, Some("6"))]);
    assert_eq!(rig.done[0].exchange.fragments[0].crc, Some(crc_hex(b"4")));
}

#[test]
fn late_chunks_of_an_incomplete_exchange_are_stored_as_a_supplement() {
    let mut rig = Rig::new();
    rig.push(chunk("a", Part::Request, 0, Some(1), "q"), Duration::ZERO);
    rig.expire(TIMEOUT);
    assert_eq!(rig.problems(0), ["response_missing", "timeout"]);
    rig.push(chunk("a", Part::Request, 0, Some(1), "q"), TIMEOUT);
    assert_eq!((rig.repeated, rig.assembler.open_captures()), (1, 0));
    rig.push(chunk("a", Part::Response, 0, Some(1), "r"), TIMEOUT);
    rig.push(chunk("a", Part::Request, 0, Some(1), "q"), TIMEOUT);
    assert_eq!(rig.repeated, 2);
    rig.restart();
    rig.expire(2 * TIMEOUT);
    assert_eq!(rig.problems(1)[0], "continues");
    assert!(!rig.done[1].exchange.complete);
    assert_eq!(body(&rig.done[1], Part::Response), b"r");
    rig.push(chunk("a", Part::Response, 0, Some(1), "r"), 2 * TIMEOUT);
    assert_eq!((rig.repeated, rig.done.len(), rig.assembler.open_captures()), (3, 2, 0));
}

#[test]
fn the_time_out_counts_from_the_last_chunk() {
    let mut rig = Rig::new();
    rig.push(chunk("a", Part::Request, 0, Some(1), ""), Duration::ZERO);
    rig.push(chunk("b", Part::Request, 0, Some(1), ""), Duration::from_secs(1));
    rig.push(chunk("a", Part::Response, 0, None, ""), Duration::from_secs(50));
    rig.expire(Duration::from_secs(61));
    assert_eq!(rig.done.iter().map(|done| done.id.to_string()).collect::<Vec<_>>(), ["b"]);
    rig.expire(Duration::from_secs(109));
    assert_eq!(rig.done.len(), 1);
    rig.expire(Duration::from_secs(110));
    assert_eq!(rig.done.len(), 2);
}

#[test]
fn claims_size_nothing_and_contradictions_are_named() {
    let mut rig = Rig::new();
    rig.push(chunk("a", Part::Request, 0, Some(2_000_000_000), "first"), Duration::ZERO);
    rig.push(chunk("a", Part::Request, 0, Some(2_000_000_000), "other"), Duration::ZERO);
    rig.push(chunk("a", Part::Request, 1, Some(3), "x"), Duration::ZERO);
    rig.push(chunk("a", Part::Response, 5, None, "past"), Duration::ZERO);
    rig.push(chunk("a", Part::Response, 0, Some(1), "r"), Duration::ZERO);
    rig.restart();
    rig.finish();
    assert_eq!(rig.conflicting, 2);
    let problems = rig.problems(0);
    assert_eq!(
        problems,
        [
            "request_chunk_missing:2-1999999999",
            "of_conflict:request",
            "conflict:request:0",
            "conflict:response:5",
            "input_end"
        ]
    );
    assert_eq!(body(&rig.done[0], Part::Request), b"firstx");
}

#[test]
fn the_end_of_the_inputs_closes_only_what_this_run_touched() {
    let mut rig = Rig::new();
    for name in ["a", "b"] {
        rig.push(chunk(name, Part::Request, 0, Some(1), ""), Duration::ZERO);
    }
    rig.restart();
    rig.push(chunk("b", Part::Request, 0, Some(1), ""), Duration::ZERO);
    let mut closed = Vec::new();
    rig.assembler.finish_touched(|assembled| closed.push(assembled.id.to_string()));
    assert_eq!((closed, rig.assembler.open_captures()), (vec!["b".to_owned()], 1));
}

#[test]
fn closed_captures_leave_nothing_behind() {
    let mut rig = Rig::new();
    for number in 0..100_000 {
        let name = number.to_string();
        rig.push(chunk(&name, Part::Request, 0, Some(1), ""), Duration::ZERO);
        rig.push(chunk(&name, Part::Response, 0, Some(1), ""), Duration::ZERO);
    }
    assert_eq!(rig.done.len(), 100_000);
    assert!(rig.assembler.deadlines.len() < 2_000 && rig.assembler.numbers.is_empty());
    assert_eq!(rig.assembler.take_changes(), OpenChanges::default());
}

/// A capture as it was written: the body of each part, cut into chunks.
fn captures() -> impl Strategy<Value = Vec<(Vec<String>, Vec<String>)>> {
    let part = || proptest::collection::vec("[a-zé\"\\\\]{0,5}", 1..5);
    proptest::collection::vec((part(), part()), 1..6)
}

proptest! {
    /// Any order, any repetition, any loss, and restarts anywhere: what came whole is stored whole, once; what did not is stored
    /// incomplete; and every chunk is accounted for.
    #[test]
    fn any_interleaving_repetition_loss_and_restart_gives_the_exchanges_of_the_model(
        captures in captures(),
        order in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..10), 1..120),
    ) {
        let mut lines = Vec::new();
        for (number, (request, response)) in captures.iter().enumerate() {
            for (part, pieces) in [(Part::Request, request), (Part::Response, response)] {
                for (seq, piece) in pieces.iter().enumerate() {
                    let of = (seq + 1 == pieces.len()).then_some(pieces.len() as u32);
                    lines.push((number, chunk(&format!("c{number}"), part, seq as u32, of, piece)));
                }
            }
        }
        let mut rig = Rig::new();
        let mut sent = std::collections::BTreeSet::new();
        let mut pushed = 0;
        for (index, action) in &order {
            if *action == 0 {
                rig.restart();
            }
            let at = index.index(lines.len());
            sent.insert(at);
            pushed += 1;
            rig.push(lines[at].1.clone(), Duration::ZERO);
        }
        rig.finish();
        let stored_chunks: u64 = rig.done.iter().map(|done| done.chunks).sum();
        prop_assert_eq!(stored_chunks + rig.repeated, pushed);
        for (number, (request, response)) in captures.iter().enumerate() {
            let mine: Vec<_> = rig.done.iter().filter(|done| done.id == id(&format!("c{number}"))).collect();
            let all: Vec<_> = (0..lines.len()).filter(|at| lines[*at].0 == number).collect();
            let came = all.iter().filter(|at| sent.contains(at)).count();
            prop_assert_eq!(mine.len(), usize::from(came > 0));
            let Some(done) = mine.first() else { continue };
            prop_assert_eq!(done.exchange.complete, came == all.len());
            prop_assert_eq!(done.chunks, came as u64);
            if done.exchange.complete {
                prop_assert_eq!(body(done, Part::Request), request.concat().into_bytes());
                prop_assert_eq!(body(done, Part::Response), response.concat().into_bytes());
            }
        }
    }
}
