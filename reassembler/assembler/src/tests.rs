use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use reassemble_formats::exchange::{Content, Fragment, crc_hex};
use reassemble_formats::{Part, Piece, Section};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(60);

fn arrival() -> Arrival {
    Arrival { source: Arc::from("file:/log"), read_at_us: 1_763_787_600_000_000, key: None }
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
        piece: Some(Piece::new(piece.as_bytes())),
        of,
        tail: of.map(|_| Section::Whole(r#"{"us":5}"#.into())),
        sig: None,
    }
}

/// Remembers what was closed and what is in rows, as the store does.
#[derive(Default)]
struct Memory {
    closed: HashMap<CaptureId, Closed>,
    captures: BTreeMap<u64, (CaptureId, Vec<u8>)>,
    chunks: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Memory {
    fn commit(&mut self, changes: OpenChanges) {
        for (number, _) in changes.remove {
            self.captures.remove(&number);
            self.chunks.retain(|(capture, _), _| *capture != number);
        }
        for row in changes.captures {
            self.captures.insert(row.capture, (row.id, row.row));
        }
        for row in changes.chunks {
            self.chunks.insert((row.capture, row.key), row.line);
        }
    }
}

impl Kept for Memory {
    fn lookup(&self, id: &CaptureId) -> Known {
        let open = self.captures.iter().find(|(_, (open, _))| open == id);
        match (open, self.closed.get(id)) {
            (Some((number, (_, row))), _) => Known::Open { number: *number, row: row.clone() },
            (None, Some(closed)) => Known::Closed(Closed::from_bytes(&closed.to_bytes())),
            (None, None) => Known::Nothing,
        }
    }

    fn capture(&self, number: u64) -> Option<Vec<u8>> {
        self.captures.get(&number).map(|(_, row)| row.clone())
    }

    fn chunk(&self, number: u64, part: Part, seq: u32) -> Option<Chunk> {
        Chunk::from_line(self.chunks.get(&(number, chunk_row(part, seq)))?)
    }
}

/// What was made of a capture, with its bodies joined, long ones too.
#[derive(Debug, PartialEq)]
struct Done {
    id: CaptureId,
    complete: bool,
    problems: Vec<String>,
    fragments: Vec<Fragment>,
    bodies: [Option<Vec<u8>>; 2],
    chunks: u64,
    closed: Closed,
    line: Vec<u8>,
}

/// An assembler, what it gave, and the rows that would be in the database.
struct Rig {
    assembler: Assembler,
    memory: Memory,
    done: Vec<Done>,
    repeated: u64,
    conflicting: u64,
}

impl Rig {
    fn new() -> Self {
        Rig {
            assembler: Assembler::new(TIMEOUT),
            memory: Memory::default(),
            done: Vec::new(),
            repeated: 0,
            conflicting: 0,
        }
    }

    fn push(&mut self, chunk: Chunk, now: Duration) {
        let pushed = self.assembler.push(chunk, &arrival(), now, &self.memory);
        self.repeated += u64::from(pushed.repeated);
        self.conflicting += u64::from(pushed.conflicting) + count(&pushed.displaced);
        if let Some(assembled) = pushed.complete {
            self.keep(*assembled);
        }
    }

    fn keep(&mut self, assembled: Assembled) {
        self.memory.closed.insert(assembled.id.clone(), assembled.closed.clone());
        assert_eq!(count(&assembled.lines), assembled.chunks);
        let (exchange, _) = assembled.exchange();
        let mut line = Vec::new();
        exchange.write_line(&mut line);
        // What the store thread does with a long body, while the rows are there.
        let body = |content: &Content<'_>, long: Option<&Pieces>| match (content, long) {
            (Content::Pieces(pieces), None) => pieces.iter().flat_map(|piece| piece.bytes().into_owned()).collect(),
            (content, Some(pieces)) => {
                assert!(content.is_empty());
                let piece = |seq| match pieces.get(seq).unwrap() {
                    Stored::Memory(chunk) => chunk.piece.clone(),
                    Stored::Row { capture, part, seq } => self.memory.chunk(capture, part, seq).unwrap().piece,
                };
                (0..pieces.count()).filter_map(piece).flat_map(|piece| piece.bytes().into_owned()).collect()
            }
            (other, None) => panic!("{other:?}"),
        };
        let bodies: [Option<Vec<u8>>; 2] = [
            exchange.request.as_ref().map(|request| body(&request.body.content, assembled.request_pieces())),
            exchange.response.as_ref().map(|response| body(&response.body.content, assembled.response_pieces())),
        ];
        self.done.push(Done {
            id: assembled.id.clone(),
            complete: exchange.complete,
            problems: exchange.problems.clone(),
            fragments: exchange.fragments.clone(),
            bodies,
            chunks: assembled.chunks,
            closed: assembled.closed.clone(),
            line,
        });
        // As the index of the pipeline does: what was closed since the last commit hides the rows.
        self.commit();
    }

    fn expire(&mut self, now: Duration) {
        while let Some(assembled) = self.assembler.expire(now, &self.memory) {
            self.keep(assembled);
        }
    }

    fn finish(&mut self) {
        // Restarts of this rig lose no capture's touch: a run that ends has read what it restored.
        let known: Vec<u64> = self.memory.captures.keys().copied().collect();
        for number in known.iter().filter(|number| !self.assembler.open.contains_key(number)).collect::<Vec<_>>() {
            self.assembler.bring_back_by_number(*number, &self.memory);
        }
        for capture in self.assembler.open.values_mut() {
            capture.touched = true;
        }
        while let Some(assembled) = self.assembler.finish_touched(&self.memory) {
            self.keep(assembled);
        }
    }

    fn commit(&mut self) {
        let changes = self.assembler.take_changes();
        self.memory.commit(changes);
        self.assembler.saved();
    }

    fn put_away(&mut self) {
        self.commit();
        self.assembler.put_away(0);
        assert_eq!((self.assembler.open.len(), self.assembler.unsaved_bytes()), (0, 0));
    }

    /// Writes the rows down, and goes on with a new assembler that knows nothing else.
    fn restart(&mut self) {
        self.commit();
        let disk_bytes = self.assembler.disk_bytes();
        self.assembler = Assembler::new(TIMEOUT);
        self.assembler.restore(self.memory.captures.keys().copied(), disk_bytes, Duration::ZERO);
    }

    fn problems(&self, at: usize) -> Vec<&str> {
        self.done[at].problems.iter().map(String::as_str).collect()
    }
}

fn count(lines: &Lines) -> u64 {
    lines.iter().map(|(_, count)| count).sum()
}

fn body(done: &Done, part: Part) -> Vec<u8> {
    done.bodies[usize::from(part == Part::Response)].clone().unwrap()
}

#[test]
fn parts_come_in_any_order_and_complete_once() {
    let mut rig = Rig::new();
    rig.push(chunk("a", Part::Response, 1, Some(2), "Z"), Duration::ZERO);
    rig.push(chunk("a", Part::Request, 0, Some(1), "q"), Duration::ZERO);
    assert!(rig.done.is_empty());
    rig.push(chunk("a", Part::Response, 0, None, "Y"), Duration::ZERO);
    assert!(rig.done[0].complete && rig.problems(0).is_empty());
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
    let fragments: Vec<_> = rig.done[0].fragments.iter().map(|f| (f.seq, f.text.as_deref())).collect();
    assert_eq!(fragments, [(4, Some("4")), (6, Some("6"))]);
    assert_eq!(rig.done[0].fragments[0].crc, Some(crc_hex(b"4")));
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
    assert!(!rig.done[1].complete);
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
    let closed: Vec<String> =
        std::iter::from_fn(|| rig.assembler.finish_touched(&rig.memory)).map(|done| done.id.to_string()).collect();
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
    let assembler = &rig.assembler;
    assert_eq!((assembler.memory_bytes(), assembler.unsaved_bytes(), assembler.disk_bytes()), (0, 0, 0));
    assert_eq!((assembler.away_bytes(), assembler.away_captures()), (0, 0));
}

#[test]
fn a_capture_that_was_put_away_is_as_if_it_had_stayed() {
    let long = "x".repeat(700_000);
    let exchanges = |away: bool| {
        let mut rig = Rig::new();
        for (seq, of) in [(0, None), (3, None), (1, None), (2, Some(4))] {
            rig.push(chunk("a", Part::Response, seq, of, &format!("{seq}{long}")), Duration::ZERO);
            if away {
                rig.put_away();
            }
            rig.push(chunk("a", Part::Response, seq, of, &format!("{seq}{long}")), Duration::ZERO);
            rig.push(chunk("a", Part::Response, seq, of, "other"), Duration::ZERO);
        }
        assert_eq!((rig.repeated, rig.conflicting), (4, 4));
        if away {
            rig.put_away();
            assert!(rig.assembler.memory_bytes() == 0 && rig.assembler.disk_bytes() > 2_800_000);
        }
        rig.push(chunk("a", Part::Request, 0, Some(1), "q"), Duration::ZERO);
        assert!(rig.done[0].complete, "{:?}", rig.problems(0));
        rig.done.remove(0)
    };
    assert_eq!(exchanges(true), exchanges(false));
}

#[test]
fn a_wrong_tail_of_a_long_body_is_found_whether_or_not_it_was_put_away() {
    for away in [false, true] {
        let mut rig = Rig::new();
        rig.push(chunk("a", Part::Request, 0, Some(1), "q"), Duration::ZERO);
        for seq in 0..3 {
            let mut piece = chunk("a", Part::Response, seq, (seq == 2).then_some(3), "abc");
            if seq == 2 {
                piece.tail = Some(Section::Whole(r#"{"len":9,"crc":"00000000"}"#.into()));
            }
            rig.push(piece, Duration::ZERO);
            if away {
                rig.put_away();
            }
        }
        rig.finish();
        assert_eq!(rig.problems(0), ["response_crc", "input_end"]);
    }
}

#[test]
fn captures_that_were_put_away_time_out_and_are_crowded_out_oldest_first() {
    let mut rig = Rig::new();
    for second in 0..20 {
        let name = format!("{second:02}");
        rig.push(chunk(&name, Part::Request, 0, Some(1), "q"), Duration::from_secs(second));
    }
    rig.put_away();
    rig.expire(Duration::from_secs(61));
    assert_eq!(rig.done.iter().map(|done| done.id.to_string()).collect::<Vec<_>>(), ["00"]);
    assert_eq!(rig.problems(0), ["response_missing", "timeout"]);
    rig.assembler.crowd_out();
    rig.push(chunk("01", Part::Response, 0, Some(1), "r"), Duration::from_secs(61));
    rig.expire(Duration::from_secs(61));
    assert_eq!(rig.done.iter().map(|done| done.id.to_string()).collect::<Vec<_>>(), ["00", "01", "02"]);
    assert!(rig.done[1].complete);
    assert_eq!(rig.problems(2), ["response_missing", "crowded"]);
    rig.expire(Duration::from_secs(1000));
    assert_eq!((rig.done.len(), rig.assembler.open_captures(), rig.memory.chunks.len()), (20, 0, 0));
}

#[test]
fn fragments_beyond_what_one_exchange_takes_are_stored_in_supplements() {
    for away in [false, true] {
        let mut rig = Rig::new();
        rig.push(chunk("a", Part::Request, 0, Some(1), "q"), Duration::ZERO);
        for seq in 1..=10 {
            rig.push(chunk("a", Part::Response, seq, (seq == 10).then_some(11), &"x".repeat(300_000)), Duration::ZERO);
        }
        if away {
            rig.put_away();
        }
        rig.expire(TIMEOUT * 2);
        assert!(rig.done.len() > 2, "{}", rig.done.len());
        let seqs: Vec<u32> = rig.done.iter().flat_map(|done| &done.fragments).map(|it| it.seq).collect();
        assert_eq!(seqs, (1..=10).collect::<Vec<_>>());
        assert!(rig.done.iter().skip(1).all(|done| done.problems[0] == "continues"));
        assert_eq!(rig.done.iter().map(|done| done.chunks).sum::<u64>(), 11);
        // All of them are known, and what is missing still makes a supplement.
        rig.push(chunk("a", Part::Response, 7, None, "repeat"), Duration::ZERO);
        assert_eq!((rig.repeated, rig.assembler.open_captures(), rig.memory.captures.len()), (1, 0, 0));
    }
}

#[test]
fn heads_that_never_end_are_kept_as_fragments_and_bounded() {
    let mut rig = Rig::new();
    for seq in 0..40 {
        let mut line = chunk("a", Part::Request, seq, (seq == 39).then_some(40), "b");
        line.head = Some(Section::Fragment("x".repeat(60_000).into()));
        line.tail = None;
        rig.push(line, Duration::ZERO);
    }
    rig.push(chunk("a", Part::Response, 0, Some(1), "r"), Duration::ZERO);
    rig.finish();
    assert!(rig.problems(0).contains(&"request_head_too_long"), "{:?}", rig.problems(0));
    let kept: usize =
        rig.done.iter().flat_map(|done| &done.fragments).filter_map(|it| it.headf.as_ref()).map(String::len).sum();
    assert_eq!(kept, 40 * 60_000);
    assert!(rig.done.iter().all(|done| done.line.len() < 3 << 20));
}

#[test]
fn a_line_with_another_key_than_its_captures_is_refused() {
    let mut rig = Rig::new();
    let signed = |key: Option<&str>| Arrival { key: key.map(Arc::from), ..arrival() };
    let request = chunk("a", Part::Request, 0, Some(1), "q");
    rig.assembler.push(request, &signed(Some("one")), Duration::ZERO, &rig.memory);
    rig.put_away();
    let response = chunk("a", Part::Response, 0, Some(1), "r");
    for key in [Some("two"), None] {
        let pushed = rig.assembler.push(response.clone(), &signed(key), Duration::ZERO, &rig.memory);
        assert_eq!(pushed, Pushed { wrong_key: true, ..Pushed::default() });
    }
    let pushed = rig.assembler.push(response, &signed(Some("one")), Duration::ZERO, &rig.memory);
    assert_eq!(pushed.complete.unwrap().key.as_deref(), Some("one"));

    let request = chunk("b", Part::Request, 0, Some(1), "q");
    rig.assembler.push(request, &signed(Some("one")), Duration::ZERO, &rig.memory);
    rig.expire(TIMEOUT);
    let late = chunk("b", Part::Response, 0, Some(1), "r");
    let pushed = rig.assembler.push(late.clone(), &signed(Some("two")), TIMEOUT, &rig.memory);
    assert!(pushed.wrong_key && rig.assembler.open_captures() == 0);
    assert!(!rig.assembler.push(late, &signed(Some("one")), TIMEOUT, &rig.memory).wrong_key);
}

/// A capture as it was written: the body of each part, cut into chunks.
fn captures() -> impl Strategy<Value = Vec<(Vec<String>, Vec<String>)>> {
    let part = || proptest::collection::vec("[a-zé\"\\\\]{0,5}", 1..5);
    proptest::collection::vec((part(), part()), 1..6)
}

proptest! {
    /// Any order, any repetition, any loss, and restarts, commits and captures put away anywhere: what came whole is stored whole, once; what did not is stored
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
            match *action {
                0 => rig.restart(),
                1 => rig.put_away(),
                2 => rig.commit(),
                _ => (),
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
            prop_assert_eq!(done.complete, came == all.len());
            prop_assert_eq!(done.chunks, came as u64);
            if done.complete {
                prop_assert_eq!(body(done, Part::Request), request.concat().into_bytes());
                prop_assert_eq!(body(done, Part::Response), response.concat().into_bytes());
            }
        }
    }
}
