//! A directory, a follower, and a clock that the test moves.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reassemble_sources::{InputEvent, InputId, LineSink, ReadProgress, Tail, TailConfig};
use tempfile::TempDir;

/// What was delivered, in order.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) lines: Vec<String>,
    pub(crate) by_input: BTreeMap<u64, Vec<String>>,
    pub(crate) truncated: Vec<u64>,
    pub(crate) long: Vec<u64>,
    pub(crate) failed: Vec<String>,
    pub(crate) opened: Vec<(u64, String, u64)>,
    pub(crate) follows: Vec<(u64, u64)>,
    pub(crate) closed: Vec<u64>,
    pub(crate) bytes: usize,
}

impl LineSink for Seen {
    fn lines(&mut self, input: InputId, block: &[u8]) {
        assert!(!block.is_empty());
        self.bytes += block.len();
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(line).trim_end_matches('\n').to_owned();
            self.by_input.entry(input.0).or_default().push(line.clone());
            self.lines.push(line);
        }
    }

    fn event(&mut self, input: InputId, event: InputEvent<'_>) {
        match event {
            InputEvent::Opened { name, position } => self.opened.push((input.0, name.to_owned(), position)),
            InputEvent::Follows { predecessor } => self.follows.push((input.0, predecessor.0)),
            InputEvent::Truncated { lost_at_least_bytes } => self.truncated.push(lost_at_least_bytes),
            InputEvent::LongLine { bytes } => self.long.push(bytes),
            InputEvent::Lost { .. } => panic!("files lose nothing that they know of"),
            InputEvent::Failed { why } => self.failed.push(why.to_owned()),
            InputEvent::Closed => self.closed.push(input.0),
        }
    }
}

pub(crate) struct Rig {
    _dir: TempDir,
    pub(crate) root: PathBuf,
    pub(crate) config: TailConfig,
    pub(crate) clock: Instant,
    pub(crate) seen: Seen,
    pub(crate) records: BTreeMap<InputId, Vec<u8>>,
    pub(crate) tail: Option<Tail>,
    ids: Arc<AtomicU64>,
}

impl Rig {
    /// Follows patterns (relative to the directory) by polling alone. Nothing is started yet.
    pub(crate) fn new(patterns: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let patterns = patterns.iter().map(|pattern| format!("{}/{pattern}", root.display())).collect();
        let mut config = TailConfig::new(patterns);
        config.events = false;
        config.rotated_quiet = Duration::from_secs(3600);
        Self {
            _dir: dir,
            root,
            config,
            clock: Instant::now(),
            seen: Seen::default(),
            records: BTreeMap::new(),
            tail: None,
            ids: Arc::new(AtomicU64::new(1)),
        }
    }

    /// The same, with one file of this content there from the start, and started.
    pub(crate) fn following(pattern: &str, name: &str, content: &str) -> Self {
        let mut rig = Rig::new(&[pattern]);
        rig.write(name, content);
        rig.start();
        rig.drain();
        rig
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn append(&self, name: &str, content: impl AsRef<[u8]>) {
        self.writer(name).write_all(content.as_ref()).unwrap();
    }

    /// As an app holds its log.
    pub(crate) fn writer(&self, name: &str) -> File {
        OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap()
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    pub(crate) fn copytruncate(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
        self.cut(from, 0);
    }

    pub(crate) fn cut(&self, name: &str, len: u64) {
        OpenOptions::new().write(true).open(self.path(name)).unwrap().set_len(len).unwrap();
    }

    pub(crate) fn gzip(&self, from: &str, to: &str) {
        let content = fs::read(self.path(from)).unwrap();
        self.write(to, gzip(&content));
        let modified = fs::metadata(self.path(from)).unwrap().modified().unwrap();
        OpenOptions::new().write(true).open(self.path(to)).unwrap().set_modified(modified).unwrap();
    }

    pub(crate) fn start(&mut self) {
        let ids = Arc::clone(&self.ids);
        let next = move || InputId(ids.fetch_add(1, Ordering::Relaxed));
        let restored = self.records.iter().map(|(id, record)| (*id, record.clone())).collect();
        self.tail = Some(Tail::open(self.config.clone(), restored, next, Arc::new(|| {}), self.clock).unwrap());
    }

    /// Keeps the records, as a checkpoint does.
    pub(crate) fn checkpoint(&mut self) {
        for (id, record) in self.tail.as_mut().unwrap().changed_records() {
            match record {
                Some(record) => self.records.insert(id, record),
                None => self.records.remove(&id),
            };
        }
    }

    /// Changes a number in every record that has it.
    pub(crate) fn edit_records(&mut self, key: &str, from: u64, to: u64) {
        for record in self.records.values_mut() {
            let text = String::from_utf8(record.clone()).unwrap();
            *record = text.replace(&format!("\"{key}\":{from},"), &format!("\"{key}\":{to},")).into_bytes();
        }
    }

    /// Ends the run with a checkpoint.
    pub(crate) fn stop(&mut self) {
        self.checkpoint();
        self.tail = None;
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start();
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.clock += time;
    }

    pub(crate) fn read(&mut self, budget: usize) -> ReadProgress {
        self.tail.as_mut().unwrap().read(budget, self.clock, &mut self.seen)
    }

    /// Reads until there is nothing more, or only time can bring more.
    pub(crate) fn read_all(&mut self) {
        for _ in 0..10_000 {
            let caught_up = self.read(1 << 20).caught_up;
            if caught_up || self.tail.as_ref().unwrap().next_wake(self.clock) > Duration::ZERO {
                return;
            }
        }
        panic!("never caught up");
    }

    /// Lets so much time pass that everything is polled and walked, twice, and reads.
    pub(crate) fn drain(&mut self) {
        for _ in 0..2 {
            self.pass(Duration::from_secs(11));
            self.read_all();
        }
    }

    /// The lines since the last call.
    #[track_caller]
    pub(crate) fn expect(&mut self, lines: &[&str]) {
        self.drain();
        let seen = std::mem::take(&mut self.seen.lines);
        if let Some(at) =
            (0..seen.len().max(lines.len())).find(|at| seen.get(*at).map(String::as_str) != lines.get(*at).copied())
        {
            let around =
                |from: usize| seen.iter().skip(from).take(5).map(|line| line.chars().take(60).collect::<String>());
            let found: Vec<String> = around(at).collect();
            let wanted = lines.get(at).map(|line| &line[..line.len().min(60)]);
            panic!(
                "line {at} of {} (wanted {}): {found:?} instead of {wanted:?}; {:?}",
                seen.len(),
                lines.len(),
                self.seen.failed
            );
        }
    }
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Lines that differ, so that files differ wherever they are looked at.
pub(crate) fn numbered(prefix: &str, count: usize) -> String {
    (0..count).map(|number| format!("{prefix} line {number} of {count}\n")).collect()
}

pub(crate) fn lines_of(text: &str) -> Vec<&str> {
    text.lines().collect()
}
