//! A log as an app under load writes it, with a memory of what it holds: captures interleaved line by line, bodies from nothing to megabytes,
//! rotation by rename and create while it goes on.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reassemble_formats::write::{PartTag, RequestHead, ResponseHead, Status};
use reassemble_testkit::captures::{self, part};
use reassemble_testkit::chance::Chance;
use reassemble_testkit::process::wait_for;

use crate::load::{Exchanged, Passed};

/// Captures under way at once.
const OPEN: usize = 24;
/// Bytes still to write above which a capture's lines come in runs.
const LONG: usize = 100_000;
/// 2025-11-22T10:30:00Z: exchanges spread from here over an hour and its end.
const FIRST_TS_US: i64 = 1_763_807_400_000_000;
/// Microseconds from capture to capture.
const STEP_US: i64 = 2_000_000;
const SERVICES: [&str; 3] = ["shop", "checkout", "../odd service"];

/// What the captures of a log were, by id.
pub(crate) type Exchanges = HashMap<String, Exchanged>;

/// Captures, line by line.
pub(crate) struct Captures {
    chance: Chance,
    largest_body: usize,
    open: Vec<(Vec<u8>, usize)>,
    last: Option<usize>,
    made: i64,
    pub(crate) exchanges: Exchanges,
}

impl Captures {
    pub(crate) fn new(seed: u64, largest_body: usize) -> Captures {
        let chance = Chance::new(seed);
        Captures { chance, largest_body, open: Vec::new(), last: None, made: 0, exchanges: HashMap::new() }
    }

    /// A line of a capture that chance picks. Where `begin` is false none is begun, and in the end nothing is left.
    pub(crate) fn line(&mut self, begin: bool) -> Option<Vec<u8>> {
        while begin && self.open.len() < OPEN {
            let lines = self.capture();
            self.open.push((lines, 0));
        }
        if self.open.is_empty() {
            return None;
        }
        // Large bodies come in runs of lines, else they would be all that is open.
        let last = self.last.filter(|last| self.open.get(*last).is_some_and(|(lines, at)| lines.len() - at > LONG));
        let index = match last {
            Some(last) if self.chance.below(40) > 0 => last,
            _ => self.chance.below(self.open.len()),
        };
        self.last = Some(index);
        let (lines, at) = &mut self.open[index];
        let end = lines[*at..].iter().position(|byte| *byte == b'\n').map_or(lines.len(), |length| *at + length + 1);
        let line = lines[*at..end].to_vec();
        *at = end;
        if end == lines.len() {
            self.open.swap_remove(index);
        }
        Some(line)
    }

    /// All lines of the next capture.
    fn capture(&mut self) -> Vec<u8> {
        let number = self.made;
        self.made += 1;
        let id = format!("c{number}-{:016x}", self.chance.next());
        let (asked, answered) = (self.body(), self.body());
        let status = [200, 200, 200, 404, 500][self.chance.below(5)];
        let service = SERVICES[self.chance.below(SERVICES.len())];
        let ts_us = FIRST_TS_US + number * STEP_US;
        let head = RequestHead {
            ts_us: Some(ts_us),
            service: service.into(),
            method: "POST".into(),
            url: "/".into(),
            ..RequestHead::default()
        };
        let mut lines = part(&id, PartTag::Req, head.to_json(), &asked);
        let head = ResponseHead { status: Some(Status::Code(status)), ..ResponseHead::default() };
        lines.extend(part(&id, PartTag::Res, head.to_json(), &answered));
        let exchanged = Exchanged { request: Passed::of(&asked), response: Passed::of(&answered), status };
        self.exchanges.insert(id, exchanged);
        lines
    }

    /// Mostly small, some of tens of kilobytes, a few up to the largest; text with what has to be escaped, or bytes.
    fn body(&mut self) -> Vec<u8> {
        let size = match self.chance.below(200) {
            0 => self.largest_body / 3 + self.chance.below(self.largest_body / 3 * 2),
            1..=15 => self.chance.below(self.largest_body.min(100_000)),
            16..=60 => 0,
            _ => self.chance.below(5_000),
        };
        if self.chance.below(3) == 0 {
            return self.chance.bytes(size);
        }
        captures::text(size, |_| self.chance.below(usize::MAX)).into_bytes()
    }
}

/// How a log is written.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) bytes_per_s: usize,
    pub(crate) largest_body: usize,
}

/// The app, as a thread that writes its log through real files.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    rotations: Arc<AtomicUsize>,
    thread: JoinHandle<Exchanges>,
}

impl Writer {
    pub(crate) fn start(log: &Path, seed: u64, pace: Pace) -> Writer {
        let (stop, rotations) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let app = App {
            log: log.to_owned(),
            captures: Captures::new(seed, pace.largest_body),
            chance: Chance::new(!seed),
            stop: stop.clone(),
            rotations: rotations.clone(),
            pace,
        };
        let thread = std::thread::spawn(move || app.write());
        wait_for("the log", || log.exists().then_some(()));
        Writer { stop, rotations, thread }
    }

    /// Waits until the log was rotated so many times more.
    pub(crate) fn rotated(&self, times: usize) {
        let until = self.rotations.load(Ordering::Relaxed) + times;
        wait_for("rotations", || (self.rotations.load(Ordering::Relaxed) >= until).then_some(()));
    }

    /// Begins no more captures; gives those of the whole log once it is finished.
    pub(crate) fn finish(self) -> Exchanges {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

struct App {
    log: PathBuf,
    captures: Captures,
    chance: Chance,
    stop: Arc<AtomicBool>,
    rotations: Arc<AtomicUsize>,
    pace: Pace,
}

impl App {
    fn write(mut self) -> Exchanges {
        let (began, mut written, mut number) = (Instant::now(), 0, 0);
        let mut file = self.open();
        let mut rotate_at = Instant::now() + self.chance.ms(200, 500);
        while let Some(line) = self.captures.line(!self.stop.load(Ordering::Relaxed)) {
            // Now and then a line comes in two writes, with a moment between them.
            if self.chance.below(300) == 0 {
                let half = self.chance.below(line.len());
                file.write_all(&line[..half]).unwrap();
                std::thread::sleep(Duration::from_millis(3));
                file.write_all(&line[half..]).unwrap();
            } else {
                file.write_all(&line).unwrap();
            }
            written += line.len();
            if self.stop.load(Ordering::Relaxed) {
                continue;
            }
            let due = Duration::from_secs_f64(written as f64 / self.pace.bytes_per_s as f64);
            if let Some(early) = due.checked_sub(began.elapsed()).filter(|early| *early > Duration::from_millis(2)) {
                std::thread::sleep(early);
            }
            if Instant::now() >= rotate_at {
                rotate_at = Instant::now() + self.chance.ms(200, 500);
                number += 1;
                fs::rename(&self.log, self.log.with_added_extension(number.to_string())).unwrap();
                // An app goes on in the old file until it opens the new one.
                for _ in 0..self.chance.below(8) {
                    written += self.captures.line(true).map_or(0, |line| file.write(&line).unwrap());
                }
                file = self.open();
                self.rotations.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.captures.exchanges
    }

    fn open(&self) -> File {
        File::options().create_new(true).append(true).open(&self.log).unwrap()
    }
}
