//! Random lives of a log: whatever happens to it, every line arrives exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::rig::Rig;

#[derive(Clone, Copy, Debug)]
enum Action {
    Write { lines: u8 },
    WritePart,
    WriteThroughOldDescriptor,
    Rotate { successor: bool },
    RotateOutOfSight,
    CopyTruncateWhenRead,
    CompressOldest,
    Delete,
    Restart,
    Crash,
    RotateWhileDown { twice: bool },
    Read,
    ReadLittle,
    RestartUnread,
    PassTime { seconds: u16 },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (1u8..40).prop_map(|lines| Action::Write { lines }),
        3 => Just(Action::WritePart),
        2 => Just(Action::WriteThroughOldDescriptor),
        3 => any::<bool>().prop_map(|successor| Action::Rotate { successor }),
        1 => Just(Action::RotateOutOfSight),
        2 => Just(Action::CopyTruncateWhenRead),
        2 => Just(Action::CompressOldest),
        1 => Just(Action::Delete),
        2 => Just(Action::Restart),
        2 => Just(Action::Crash),
        1 => any::<bool>().prop_map(|twice| Action::RotateWhileDown { twice }),
        4 => Just(Action::Read),
        3 => Just(Action::ReadLittle),
        2 => Just(Action::RestartUnread),
        2 => (0u16..200).prop_map(|seconds| Action::PassTime { seconds }),
    ]
}

/// So long an app may be silent before it goes on writing to a rotated file.
const QUIET: Duration = Duration::from_secs(100);

/// The log's owner, and what it wrote.
struct App {
    rig: Rig,
    number: u64,
    written: BTreeSet<String>,
    /// The line begun in the current file.
    begun: Option<String>,
    old: Option<std::fs::File>,
    old_used: Instant,
    stamp: u64,
    /// The file at the path was there when the follower looked last.
    looked_at: bool,
    /// What had been delivered at the last checkpoint.
    kept: Vec<String>,
}

impl App {
    fn new(pattern: &str, few_descriptors: bool) -> Self {
        let mut rig = Rig::new(&[pattern]);
        rig.config.rotated_quiet = QUIET + Duration::from_secs(60);
        rig.config.max_open_files = few_descriptors.then_some(4);
        rig.write("app.log", "");
        rig.start();
        let old_used = rig.clock;
        let mut app = Self {
            rig,
            number: 0,
            written: BTreeSet::new(),
            begun: None,
            old: None,
            old_used,
            stamp: 0,
            looked_at: false,
            kept: Vec::new(),
        };
        app.read();
        app
    }

    fn line(&mut self) -> String {
        self.number += 1;
        let line = format!("line {} {}", self.number, "x".repeat((self.number * 37 % 300) as usize));
        self.written.insert(line.clone());
        line
    }

    fn write(&mut self, lines: u8) {
        self.finish_line();
        for _ in 0..lines {
            let line = self.line();
            self.rig.append("app.log", format!("{line}\n"));
        }
    }

    fn finish_line(&mut self) {
        if let Some(rest) = self.begun.take() {
            self.rig.append("app.log", format!("{rest}\n"));
        }
    }

    fn write_part(&mut self) {
        self.finish_line();
        let line = self.line();
        let (first, rest) = line.split_at(line.len() / 2);
        self.rig.append("app.log", first);
        self.begun = Some(rest.to_owned());
    }

    fn read(&mut self) {
        self.looked_at = self.rig.path("app.log").exists();
        self.rig.drain();
    }

    fn checkpoint(&mut self) {
        self.rig.checkpoint();
        self.kept.clone_from(&self.rig.seen.lines);
    }

    /// Gives the file a name that no rotation used before. The modification times of two files must tell their order.
    fn rotate(&mut self, to: &str, successor: bool) {
        self.finish_line();
        self.stamp += 1;
        self.old = Some(self.rig.writer("app.log"));
        self.old_used = self.rig.clock;
        self.rig.rename("app.log", &format!("{to}{}", self.stamp));
        self.looked_at = false;
        std::thread::sleep(Duration::from_millis(5));
        if successor {
            self.write(1);
        }
    }

    fn run(&mut self, action: Action) {
        match action {
            Action::Write { lines } => self.write(lines),
            Action::WritePart => self.write_part(),
            Action::WriteThroughOldDescriptor => {
                // After a long silence it may have been let go.
                let silent = self.rig.clock.duration_since(self.old_used) >= QUIET;
                if self.old.is_some() && !silent {
                    self.old_used = self.rig.clock;
                    let line = self.line();
                    let Some(old) = &mut self.old else { return };
                    old.write_all(format!("{line}\n").as_bytes()).unwrap();
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            Action::Rotate { successor } => {
                if self.rig.path("app.log").exists() {
                    if !self.looked_at {
                        // A file that came and went between two looks is found by what is known of the one before it, which here
                        // may be forgotten already: it was deleted, and that is long ago.
                        self.read();
                    }
                    self.rotate("app.log.", successor);
                    // Looked at before it is rotated again: what happens to names in between is the business of other actions.
                    self.read();
                }
            }
            Action::RotateOutOfSight => {
                if self.rig.path("app.log").exists() {
                    self.read();
                    std::fs::create_dir_all(self.rig.path("attic")).unwrap();
                    self.rotate("attic/app.log.", true);
                    self.read();
                }
            }
            Action::CopyTruncateWhenRead => {
                if self.rig.path("app.log").exists() {
                    self.finish_line();
                    self.read();
                    self.stamp += 1;
                    self.rig.copytruncate("app.log", &format!("app.log.{}", self.stamp));
                    self.read();
                }
            }
            Action::CompressOldest => {
                self.old = None;
                self.read();
                let mut rotated: Vec<String> = std::fs::read_dir(&self.rig.root)
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .filter(|name| name.starts_with("app.log.") && !name.ends_with(".gz"))
                    .collect();
                rotated.sort();
                if let Some(name) = rotated.first() {
                    self.rig.gzip(name, &format!("{name}.gz"));
                    self.rig.remove(name);
                    self.read();
                }
            }
            Action::Delete => {
                if self.rig.path("app.log").exists() {
                    self.finish_line();
                    self.read();
                    self.old = Some(self.rig.writer("app.log"));
                    self.old_used = self.rig.clock;
                    self.rig.remove("app.log");
                    self.looked_at = false;
                }
            }
            Action::Restart => {
                // What is written into a file without a name is lost to whoever comes later.
                self.old = None;
                self.read();
                self.checkpoint();
                self.rig.tail = None;
                self.rig.start();
            }
            Action::Crash => {
                self.old = None;
                self.read();
                self.checkpoint();
                self.write(3);
                self.read();
                self.rig.tail = None;
                self.rig.seen.lines.clone_from(&self.kept);
                self.rig.start();
            }
            Action::RotateWhileDown { twice } => {
                if self.rig.path("app.log").exists() {
                    self.old = None;
                    self.read();
                    self.checkpoint();
                    self.rig.tail = None;
                    self.write(2);
                    self.rotate("app.log.", true);
                    if twice {
                        self.rotate("app.log.", true);
                    }
                    self.rig.start();
                    self.read();
                }
            }
            Action::Read => self.read(),
            Action::ReadLittle => {
                self.rig.pass(Duration::from_secs(1));
                self.rig.read(1);
            }
            Action::RestartUnread => {
                if self.old.take().is_some() {
                    self.read();
                }
                self.checkpoint();
                self.rig.tail = None;
                self.rig.start();
            }
            Action::PassTime { seconds } => self.rig.pass(Duration::from_secs(u64::from(seconds))),
        }
    }
}

fn check(pattern: &str, actions: &[Action]) -> Result<(), TestCaseError> {
    // Without a descriptor there is no way to a file that is moved out of sight.
    let out_of_sight = |action: &Action| matches!(action, Action::RotateOutOfSight | Action::Delete);
    let mut app = App::new(pattern, !actions.iter().any(out_of_sight));
    for action in actions {
        app.run(*action);
    }
    app.finish_line();
    app.read();
    let mut times: BTreeMap<&String, usize> = BTreeMap::new();
    for line in &app.rig.seen.lines {
        *times.entry(line).or_default() += 1;
    }
    for line in &app.written {
        prop_assert_eq!(times.remove(line), Some(1), "{}", &line[..line.len().min(12)]);
    }
    prop_assert!(times.is_empty(), "never written: {:?}", times.keys().next());
    prop_assert!(app.rig.seen.failed.is_empty(), "{:?}", app.rig.seen.failed);
    prop_assert!(app.rig.seen.truncated.iter().all(|lost| *lost == 0), "{:?}", app.rig.seen.truncated);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_line_arrives_exactly_once_where_the_glob_holds_the_rotated_files(
        actions in proptest::collection::vec(action(), 1..25)
    ) {
        check("app.log*", &actions)?;
    }

    #[test]
    fn every_line_arrives_exactly_once_where_one_path_is_followed(
        actions in proptest::collection::vec(action(), 1..25)
    ) {
        check("app.log", &actions)?;
    }
}
