use std::collections::HashSet;

use reassemble_sources::InputEvent;
use reassemble_store::{Changes, Spool, SpoolConfig};

use super::*;
use crate::config::{ProcessConfig, Retention};
use crate::queue::{Popped, Receiver, queue};

const MEMORY: usize = 256 << 10;
const INPUT: InputId = InputId(1);

/// An intake with a real state, committed when it asks for it.
struct Rig {
    intake: Intake,
    spool: Spool,
    store: Receiver<StoreMessage>,
    /// Exchanges that came as lines.
    stored: Vec<serde_json::Value>,
    /// Those with a body that is too long for that.
    long: Vec<Assembled>,
    most_bytes: usize,
    commits: u32,
}

impl Rig {
    fn new(dir: &std::path::Path) -> Rig {
        let (spool, _) = Spool::open(SpoolConfig { min_free_bytes: 0, ..SpoolConfig::new(dir) }).unwrap();
        let (sender, store) = queue(usize::MAX);
        let retention = Retention { normal_days: 30, errors_days: 90, incomplete_days: 7 };
        let config = IntakeConfig {
            envelope: Envelope::Auto,
            max_line_bytes: 1 << 20,
            timeout: Duration::from_secs(60),
            memory_bytes: MEMORY,
            signing: None,
            processor: Arc::new(Processor::new(&process(), retention, 1 << 20).unwrap()),
            read_at_us: None,
        };
        let mut intake = Intake::new(config, spool.reader(), &Ledger::default(), HashMap::new(), sender).unwrap();
        intake.event(INPUT, InputEvent::Opened { name: "log", position: 0 });
        Rig { intake, spool, store, stored: Vec::new(), long: Vec::new(), most_bytes: 0, commits: 0 }
    }

    fn line(&mut self, line: &str) {
        self.intake.lines(INPUT, line.as_bytes());
        self.most_bytes = self.most_bytes.max(self.intake.work.assembler.memory_bytes());
        self.intake.flush();
        while let Popped::Item(message) = self.store.pop(Duration::ZERO) {
            match message {
                StoreMessage::Lines(lines) => {
                    self.stored.extend(lines.iter().map(|(line, ..)| serde_json::from_slice(line).unwrap()));
                }
                StoreMessage::Exchange(assembled) => self.long.push(*assembled),
                _ => panic!("the intake sends nothing else"),
            }
        }
        if self.intake.wants_commit() {
            self.commit();
        }
    }

    fn commit(&mut self) {
        let (open, seen) = self.intake.take_changes();
        self.spool.commit(&Changes { open, seen, ..Changes::default() }).unwrap();
        self.intake.committed();
        self.commits += 1;
        assert!(!self.intake.memory_is_full(), "a commit makes room");
    }

    fn assert_adds_up(&mut self) {
        let ledger = self.intake.ledger();
        assert!(
            ledger.inputs.values().chain([&ledger.records]).all(|records| records.unaccounted() == 0),
            "{ledger:?}"
        );
        assert!(self.intake.take_error().is_none());
    }
}

fn process() -> ProcessConfig {
    ProcessConfig {
        redact: true,
        redact_headers: vec![],
        redact_query: vec![],
        decode: true,
        decode_incomplete: true,
        decode_limit_bytes: 1 << 20,
    }
}

fn request(id: u32, text: &str) -> String {
    format!("{{\"cap1\":\"c{id}\",\"part\":\"req\",\"seq\":0,\"head\":{{}},\"text\":\"{text}\",\"of\":1}}\n")
}

fn response(id: u32, seq: u32, text: &str, of: &str) -> String {
    format!("{{\"cap1\":\"c{id}\",\"part\":\"res\",\"seq\":{seq},\"text\":\"{text}\"{of}}}\n")
}

#[test]
fn open_captures_take_no_more_memory_than_they_may_and_all_come_back() {
    const CAPTURES: u32 = 5_000;
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(dir.path());
    let text = "x".repeat(2_000);
    for id in 0..CAPTURES {
        rig.line(&request(id, &text));
    }
    assert_eq!((rig.intake.ledger().open_captures, rig.stored.len()), (CAPTURES.into(), 0));
    assert!(rig.intake.ledger().open_disk_bytes > 9 << 20);
    rig.assert_adds_up();
    // Each once more, and its end: the one is known for a repeat, the other finds its request.
    for id in 0..CAPTURES {
        rig.line(&request(id, &text));
        rig.line(&response(id, 0, "r", ",\"of\":1"));
    }
    assert!(rig.stored.iter().all(|exchange| exchange["complete"] == true));
    let ids: HashSet<&str> = rig.stored.iter().filter_map(|exchange| exchange["id"].as_str()).collect();
    assert_eq!((rig.stored.len(), ids.len()), (CAPTURES as usize, CAPTURES as usize));
    let records = rig.intake.ledger().records.clone();
    assert_eq!((records.in_exchanges, records.repeated, records.open), (2 * 5_000, 5_000, 0));
    rig.assert_adds_up();
    // One line may stand over the bound.
    assert!(rig.most_bytes <= MEMORY + 4_000, "{}", rig.most_bytes);
    rig.commit();
    assert_eq!(rig.intake.ledger().open_disk_bytes, 0);
}

#[test]
fn a_body_of_any_length_takes_no_more_memory_than_it_may() {
    const CHUNKS: u32 = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(dir.path());
    let text = "y".repeat(3_000);
    rig.line(&request(1, "q"));
    for seq in 0..CHUNKS {
        let of =
            if seq + 1 == CHUNKS { format!(",\"of\":{CHUNKS},\"tail\":{{\"len\":30000000}}") } else { String::new() };
        rig.line(&response(1, seq, &text, &of));
    }
    assert!(rig.most_bytes <= MEMORY + 4_000 && rig.commits > 100, "{} {}", rig.most_bytes, rig.commits);
    let [assembled] = &rig.long[..] else { panic!("{} exchanges", rig.long.len()) };
    assert!(assembled.complete, "{:?}", assembled.exchange().0.problems);
    let pieces = assembled.response_pieces().unwrap();
    assert!(pieces.count() == CHUNKS && pieces.memory_bytes() <= MEMORY);
    rig.assert_adds_up();
}

#[test]
fn where_too_many_are_open_the_quietest_are_stored_incomplete() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(dir.path());
    for id in 0..=CROWD as u32 + 1_000 {
        rig.line(&request(id, "q"));
    }
    rig.commit();
    rig.intake.work.assembler.put_away(0);
    let on_disk = rig.intake.ledger().open_disk_bytes;
    assert!(rig.intake.work.assembler.away_bytes() <= AWAY_SHARE * MEMORY, "only the disk is at stake here");
    rig.intake.crowd_out(on_disk);
    rig.intake.expire();
    assert_eq!(rig.intake.ledger().exchanges_incomplete, 0);
    rig.commit();
    rig.intake.crowd_out(on_disk / 2);
    rig.intake.expire();
    let ledger = rig.intake.ledger();
    assert_eq!(ledger.incomplete_why["crowded"], ledger.exchanges_incomplete);
    assert!((1_000..2_000).contains(&ledger.exchanges_incomplete), "{}", ledger.exchanges_incomplete);
    rig.assert_adds_up();
}

#[test]
fn endless_ids_take_no_more_memory_than_they_may() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(dir.path());
    for id in 0..30_000 {
        rig.line(&request(id, "q"));
        rig.intake.crowd_out(u64::MAX);
        rig.intake.expire();
        if rig.intake.closed_since_commit() >= COMMIT_CLOSED {
            rig.commit();
        }
        assert!(rig.intake.work.assembler.away_bytes() <= AWAY_SHARE * MEMORY + 1_000);
    }
    let ledger = rig.intake.ledger();
    assert!(ledger.incomplete_why["crowded"] > 10_000 && ledger.open_captures > CROWD as u64, "{ledger:?}");
    assert_eq!(ledger.exchanges_incomplete + ledger.open_captures, 30_000);
    rig.assert_adds_up();
}

#[test]
fn what_is_open_at_the_end_is_closed_a_commit_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(dir.path());
    for id in 0..25_000 {
        rig.line(&request(id, "q"));
    }
    rig.commit();
    let before = rig.commits;
    while rig.intake.finish() {
        assert!(rig.intake.closed_since_commit() <= COMMIT_CLOSED);
        rig.commit();
    }
    assert_eq!((rig.commits - before, rig.intake.ledger().exchanges_incomplete), (2, 25_000));
    rig.assert_adds_up();
}
