//! Chunks in any order, with time-outs and restarts.
//!
//! Every piece says whose it is (`2/req/7/0;`: capture, part, `seq`, which of several), so that a body or fragment shows what it is made of.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use reassemble_assembler::{Arrival, Assembled, Assembler, Closed, ClosedCaptures};
use reassemble_formats::exchange::{Body, Content, Exchange};
use reassemble_formats::{CaptureId, Chunk, Part, Section};

/// What happens next.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Step {
    /// A chunk comes.
    Push {
        /// Whose.
        capture: u8,
        /// Of which part.
        response: bool,
        /// Its number.
        seq: u8,
        /// How many it claims there are, where it does.
        of: Option<u8>,
        /// Which of several different ones.
        variant: bool,
    },
    /// Time passes, and what has waited too long is closed.
    Wait(u8),
    /// The process ends and another goes on from what was kept.
    Restart,
}

const TIMEOUT: Duration = Duration::from_secs(60);

/// Lets an assembler take the steps: nothing is lost, made up or told twice, and neither repetition nor restarts change what comes out.
pub fn assembler(steps: &[Step]) {
    let exchanges = run(steps.iter().copied());
    assert_eq!(exchanges, run(steps.iter().copied()));
    // A restart begins time-outs anew, so these two runs know no time.
    let timeless = || steps.iter().copied().filter(|step| !matches!(step, Step::Wait(_)));
    let by_id = |mut exchanges: Vec<Assembled>| {
        exchanges.sort_by(|one, other| one.id.cmp(&other.id));
        exchanges
    };
    let unbroken = run(timeless().filter(|step| !matches!(step, Step::Restart)));
    // Of several that have timed out, a restart may change which is told first.
    assert_eq!(by_id(run(timeless())), by_id(unbroken));
}

fn run(steps: impl Iterator<Item = Step>) -> Vec<Assembled> {
    let mut run = Run::new();
    for step in steps {
        match step {
            Step::Push { capture, response, seq, of, variant } => {
                run.push(chunk(capture % 4, response, seq % 8, of.map(|of| of % 8 + 1), variant));
            }
            Step::Wait(seconds) => {
                run.now += Duration::from_secs(seconds.into());
                run.expire();
            }
            Step::Restart => run.restart(),
        }
    }
    run.now += 2 * TIMEOUT;
    run.expire();
    assert_eq!(run.assembler.open_captures(), 0);
    run.account();
    run.exchanges
}

fn chunk(capture: u8, response: bool, seq: u8, of: Option<u8>, variant: bool) -> Chunk {
    let part = if response { Part::Response } else { Part::Request };
    let piece = format!("{capture}/{}/{seq}/{};", part.tag(), u8::from(variant));
    Chunk {
        id: CaptureId::parse(format!("c{capture}").as_bytes()).expect("a good id"),
        part,
        seq: seq.into(),
        head: (seq == 0).then(|| Section::Whole("{}".into())),
        at: None,
        piece: Some(piece.into_bytes().into()),
        of: of.map(u32::from),
        tail: None,
        sig: None,
    }
}

#[derive(Default)]
struct Memory(HashMap<CaptureId, Vec<u8>>);

impl ClosedCaptures for Memory {
    fn lookup(&self, id: &CaptureId) -> Option<Closed> {
        self.0.get(id).map(|bytes| Closed::from_bytes(bytes))
    }
}

struct Run {
    assembler: Assembler,
    memory: Memory,
    rows: BTreeMap<(u64, u32), Vec<u8>>,
    now: Duration,
    pushed: u64,
    left_out: u64,
    exchanges: Vec<Assembled>,
}

impl Run {
    fn new() -> Run {
        Run {
            assembler: Assembler::new(TIMEOUT),
            memory: Memory::default(),
            rows: BTreeMap::new(),
            now: Duration::ZERO,
            pushed: 0,
            left_out: 0,
            exchanges: Vec::new(),
        }
    }

    fn push(&mut self, chunk: Chunk) {
        let arrival = Arrival { source: Arc::from("file:log"), read_at_us: 1 };
        let pushed = self.assembler.push(chunk, &arrival, self.now, &self.memory);
        self.pushed += 1;
        self.left_out += pushed.repeated + pushed.conflicting;
        pushed.complete.into_iter().for_each(|assembled| self.keep(*assembled));
    }

    fn expire(&mut self) {
        while let Some(assembled) = self.assembler.expire(self.now) {
            assert!(!assembled.exchange.complete);
            self.keep(assembled);
        }
    }

    fn keep(&mut self, assembled: Assembled) {
        self.memory.0.insert(assembled.id.clone(), assembled.closed.to_bytes());
        self.exchanges.push(assembled);
    }

    fn restart(&mut self) {
        let changes = self.assembler.take_changes();
        self.rows.retain(|(capture, _), _| !changes.remove.contains(capture));
        self.rows.extend(changes.put.into_iter().map(|(capture, row, bytes)| ((capture, row), bytes)));
        self.assembler = Assembler::new(TIMEOUT);
        let rows = self.rows.iter().map(|((capture, row), bytes)| (*capture, *row, bytes.clone()));
        self.assembler.restore(rows, self.now).expect("rows as they were written");
    }

    /// Every chunk that was not left out stands in one exchange, once, in its place.
    fn account(&self) {
        let told: u64 = self.exchanges.iter().map(|assembled| assembled.chunks).sum();
        assert_eq!(self.pushed, told + self.left_out);
        let mut seen = HashSet::new();
        for assembled in &self.exchanges {
            let pieces = pieces(&assembled.exchange);
            assert_eq!(pieces.len() as u64, assembled.chunks);
            assert!(pieces.into_iter().all(|piece| seen.insert(piece)), "told twice: {:?}", assembled.exchange);
        }
    }
}

/// An exchange's pieces as (capture, part, `seq`).
fn pieces(exchange: &Exchange) -> Vec<String> {
    let mut pieces = Vec::new();
    let bodies = [exchange.request.as_ref().map(|it| &it.body), exchange.response.as_ref().map(|it| &it.body)];
    for (body, part) in bodies.into_iter().zip(Part::BOTH) {
        for (seq, piece) in body.map(text).unwrap_or_default().split_terminator(';').enumerate() {
            pieces.push(place(exchange, part.tag(), seq, piece));
        }
    }
    for fragment in &exchange.fragments {
        assert!(!exchange.complete);
        let piece = fragment.text.as_deref().expect("pieces are text").trim_end_matches(';');
        pieces.push(place(exchange, &fragment.part, fragment.seq as usize, piece));
    }
    pieces
}

fn text(body: &Body) -> String {
    match &body.content {
        Content::Bytes(bytes) => String::from_utf8(bytes.clone()).expect("pieces are text"),
        other => panic!("{other:?}"),
    }
}

fn place(exchange: &Exchange, part: &str, seq: usize, piece: &str) -> String {
    let place = format!("{}/{part}/{seq}", &exchange.id[1..]);
    assert!(piece.strip_prefix(&place).is_some_and(|variant| variant.len() == 2), "{piece} stands at {place}");
    place
}
