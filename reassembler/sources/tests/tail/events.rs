//! Events make it quick; the clock here is the real one.

use std::fs;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reassemble_sources::{InputId, Tail, TailConfig};

use crate::rig::Seen;

/// Follows with polls so seldom that only events can explain what is noticed.
struct Live {
    tail: Tail,
    woken: mpsc::Receiver<()>,
    seen: Seen,
}

impl Live {
    fn new(pattern: String) -> Self {
        let mut config = TailConfig::new(vec![pattern]);
        config.poll_interval = Duration::from_secs(600);
        config.scan_interval = Duration::from_secs(600);
        let (wake, woken) = mpsc::channel();
        let wake = Mutex::new(wake);
        let wake = Arc::new(move || wake.lock().unwrap().send(()).unwrap_or_default());
        let mut number = 0;
        let next = move || {
            number += 1;
            InputId(number)
        };
        let tail = Tail::open(config, Vec::new(), next, wake, Instant::now()).unwrap();
        let mut live = Self { tail, woken, seen: Seen::default() };
        live.read();
        live
    }

    fn read(&mut self) {
        while !self.tail.read(1 << 20, Instant::now(), &mut self.seen).caught_up {}
    }

    /// How long it takes until the line is there.
    fn latency_of(&mut self, line: &str) -> Duration {
        let began = Instant::now();
        while !self.seen.lines.iter().any(|seen| seen == line) {
            let left = Duration::from_secs(5).checked_sub(began.elapsed()).expect("the line never came");
            // A walk may be put off for a moment after the one before.
            let wait = left.min(Duration::from_millis(20));
            if let Err(mpsc::RecvTimeoutError::Disconnected) = self.woken.recv_timeout(wait) {
                panic!("events have ended");
            }
            self.read();
        }
        began.elapsed()
    }
}

#[test]
fn a_write_a_rotation_and_a_new_directory_are_noticed_by_events() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let log = root.join("logs/app.log");
    let mut live = Live::new(format!("{}/logs/*.log", root.display()));
    fs::create_dir(root.join("logs")).unwrap();
    fs::write(&log, "one\n").unwrap();
    assert!(live.latency_of("one") < Duration::from_secs(2));
    for number in 0..20 {
        let line = format!("line {number}");
        std::io::Write::write_all(
            &mut fs::OpenOptions::new().append(true).open(&log).unwrap(),
            format!("{line}\n").as_bytes(),
        )
        .unwrap();
        assert!(live.latency_of(&line) < Duration::from_millis(500));
    }
    fs::rename(&log, root.join("logs/app.log.1")).unwrap();
    fs::write(&log, "rotated\n").unwrap();
    assert!(live.latency_of("rotated") < Duration::from_secs(2));
    assert_eq!(live.seen.lines.len(), 22);
}

#[test]
fn a_caller_is_woken_by_the_first_write_after_silence() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().canonicalize().unwrap().join("app.log");
    fs::write(&log, "").unwrap();
    let live = Live::new(log.display().to_string());
    std::thread::sleep(Duration::from_millis(50));
    while live.woken.try_recv().is_ok() {}
    fs::write(&log, "one\n").unwrap();
    assert!(live.woken.recv_timeout(Duration::from_secs(2)).is_ok());
}
