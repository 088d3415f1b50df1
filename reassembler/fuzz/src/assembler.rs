//! Chunks in any order, with time-outs, commits, captures put away, and restarts.
//!
//! Every piece says whose it is (`2/req/7/0;`: capture, part, `seq`, which of several), so that a body or fragment shows what it is made of.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use reassemble_assembler::{Arrival, Assembled, Assembler, Closed, Kept, Known, chunk_row};
use reassemble_formats::exchange::{Body, Content, Exchange};
use reassemble_formats::{CaptureId, Chunk, Part, Piece, Section};

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
    /// What changed becomes durable.
    Commit,
    /// The same, and what can be put away is.
    PutAway,
    /// The process ends and another goes on from what was kept.
    Restart,
}

const TIMEOUT: Duration = Duration::from_secs(60);

/// Lets an assembler take the steps: nothing is lost, made up or told twice, and neither repetition, nor putting away, nor restarts change what comes out.
pub fn assembler(steps: &[Step]) {
    let exchanges = run(steps.iter().copied());
    assert_eq!(exchanges, run(steps.iter().copied()));
    // A restart begins time-outs anew, and those of captures that are away are of whole seconds, so these two runs know no time.
    let timeless = || steps.iter().copied().filter(|step| !matches!(step, Step::Wait(_)));
    let by_id = |mut exchanges: Vec<Assembled>| {
        exchanges.sort_by(|one, other| one.id.cmp(&other.id));
        exchanges
    };
    let unbroken = run(timeless().filter(|step| matches!(step, Step::Push { .. })));
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
            Step::Commit => run.commit(),
            Step::PutAway => {
                run.commit();
                run.assembler.put_away(0);
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
        piece: Some(Piece::new(piece.as_bytes())),
        of: of.map(u32::from),
        tail: None,
        sig: None,
    }
}

/// What a state database knows.
#[derive(Default)]
struct Memory {
    closed: HashMap<CaptureId, Vec<u8>>,
    /// Those closed since the last commit: their rows are still there.
    recent: HashSet<CaptureId>,
    captures: BTreeMap<u64, (CaptureId, Vec<u8>)>,
    chunks: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Kept for Memory {
    fn lookup(&self, id: &CaptureId) -> Known {
        let open = self.captures.iter().find(|(_, (open, _))| open == id && !self.recent.contains(id));
        match (open, self.closed.get(id)) {
            (Some((number, (_, row))), _) => Known::Open { number: *number, row: row.clone() },
            (None, Some(closed)) => Known::Closed(Closed::from_bytes(closed)),
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

struct Run {
    assembler: Assembler,
    memory: Memory,
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
            now: Duration::ZERO,
            pushed: 0,
            left_out: 0,
            exchanges: Vec::new(),
        }
    }

    fn push(&mut self, chunk: Chunk) {
        let arrival = Arrival { source: Arc::from("file:log"), read_at_us: 1, key: None };
        let pushed = self.assembler.push(chunk, &arrival, self.now, &self.memory);
        self.pushed += 1;
        self.left_out += u64::from(pushed.repeated || pushed.conflicting);
        self.left_out += pushed.displaced.iter().map(|(_, lines)| lines).sum::<u64>();
        pushed.complete.into_iter().for_each(|assembled| self.keep(*assembled));
    }

    fn expire(&mut self) {
        while let Some(assembled) = self.assembler.expire(self.now, &self.memory) {
            assert!(!assembled.complete);
            self.keep(assembled);
        }
    }

    fn keep(&mut self, assembled: Assembled) {
        assert_eq!(assembled.lines.iter().map(|(_, lines)| lines).sum::<u64>(), assembled.chunks);
        self.memory.closed.insert(assembled.id.clone(), assembled.closed.to_bytes());
        self.memory.recent.insert(assembled.id.clone());
        self.exchanges.push(assembled);
    }

    fn commit(&mut self) {
        let changes = self.assembler.take_changes();
        let memory = &mut self.memory;
        for (number, _) in changes.remove {
            memory.captures.remove(&number);
            memory.chunks.retain(|(capture, _), _| *capture != number);
        }
        memory.captures.extend(changes.captures.into_iter().map(|row| (row.capture, (row.id, row.row))));
        memory.chunks.extend(changes.chunks.into_iter().map(|row| ((row.capture, row.key), row.line)));
        memory.recent.clear();
        self.assembler.saved();
    }

    fn restart(&mut self) {
        self.commit();
        let disk_bytes = self.assembler.disk_bytes();
        self.assembler = Assembler::new(TIMEOUT);
        self.assembler.restore(self.memory.captures.keys().copied(), disk_bytes, self.now);
    }

    /// Every chunk that was not left out stands in one exchange, once, in its place.
    fn account(&self) {
        let told: u64 = self.exchanges.iter().map(|assembled| assembled.chunks).sum();
        assert_eq!(self.pushed, told + self.left_out);
        let mut seen = HashSet::new();
        for assembled in &self.exchanges {
            let (exchange, _) = assembled.exchange();
            let pieces = pieces(&exchange);
            assert_eq!(pieces.len() as u64, assembled.chunks);
            assert!(pieces.into_iter().all(|piece| seen.insert(piece)), "told twice: {exchange:?}");
        }
    }
}

/// An exchange's pieces as (capture, part, `seq`).
fn pieces(exchange: &Exchange<'_>) -> Vec<String> {
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

fn text(body: &Body<'_>) -> String {
    match &body.content {
        Content::Pieces(pieces) => {
            let bytes = pieces.iter().flat_map(|piece| piece.bytes().into_owned()).collect();
            String::from_utf8(bytes).expect("pieces are text")
        }
        other => panic!("{other:?}"),
    }
}

fn place(exchange: &Exchange<'_>, part: &str, seq: usize, piece: &str) -> String {
    let place = format!("{}/{part}/{seq}", &exchange.id.to_string()[1..]);
    assert!(piece.strip_prefix(&place).is_some_and(|variant| variant.len() == 2), "{piece} stands at {place}");
    place
}
