//! Random appends, commits, rolls, uploads and crashes against a model: exactly the appended lines come out, once each and in order.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

#[derive(Debug, Clone)]
enum Action {
    Append {
        partition: usize,
        bytes: usize,
    },
    Body {
        partition: usize,
        bytes: usize,
    },
    Commit,
    /// One that ends at some time while others go on.
    BeginCommit,
    RollAll,
    Upload {
        count: usize,
    },
    /// Open anew after a clean end, without a commit.
    Drop,
    /// Go on with a copy of the state directory, made while the spool worked.
    Kill,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        20 => (0..6usize, prop_oneof![1..200usize, 1000..5000usize]).prop_map(|(partition, bytes)| Action::Append { partition, bytes }),
        1 => (0..6usize, 1..9000usize).prop_map(|(partition, bytes)| Action::Body { partition, bytes }),
        2 => Just(Action::Commit),
        2 => Just(Action::BeginCommit),
        1 => Just(Action::RollAll),
        2 => (1..4usize).prop_map(|count| Action::Upload { count }),
        1 => Just(Action::Drop),
        1 => Just(Action::Kill),
    ]
}

/// A spool and what it should hold.
struct Model {
    dir: TempDir,
    config: SpoolConfig,
    spool: Option<Spool>,
    /// Per partition, the lines and bodies committed.
    committed: BTreeMap<String, Vec<Vec<u8>>>,
    /// Those since.
    since: Vec<(usize, Vec<u8>, bool)>,
    /// What a destination has.
    uploaded: BTreeMap<String, Vec<u8>>,
    serial: usize,
    kills: usize,
}

impl Model {
    fn new(adjust: impl Fn(SpoolConfig) -> SpoolConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = adjust(config(&dir.path().join("0")));
        let spool = Some(open(&config));
        Self {
            dir,
            config,
            spool,
            committed: BTreeMap::new(),
            since: Vec::new(),
            uploaded: BTreeMap::new(),
            serial: 0,
            kills: 0,
        }
    }

    fn spool(&mut self) -> &mut Spool {
        self.spool.as_mut().unwrap()
    }

    fn line(&mut self, bytes: usize) -> Vec<u8> {
        self.serial += 1;
        let mut line = format!("{} ", self.serial).into_bytes();
        // Hard to compress, so that batches have several blocks of some size.
        let mut x = self.serial as u64;
        line.extend(
            std::iter::repeat_with(|| {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                b' ' + (x >> 58) as u8
            })
            .take(bytes),
        );
        line
    }

    fn put(&mut self, n: usize, content: &[u8], body: bool) {
        if body {
            super::put_body(self.spool(), &partition(n), content);
        } else {
            self.spool().append(&partition(n), content, TS).unwrap();
        }
    }

    fn run(&mut self, action: &Action) {
        match *action {
            Action::Append { partition, bytes } | Action::Body { partition, bytes } => {
                let body = matches!(action, Action::Body { .. });
                let content = self.line(bytes);
                self.put(partition, &content, body);
                self.since.push((partition, content, body));
            }
            Action::Commit => self.commit(),
            Action::BeginCommit => self.begin_commit(),
            Action::RollAll => self.spool().roll_all().unwrap(),
            Action::Upload { count } => {
                for object in pending(self.spool()).into_iter().take(count) {
                    self.upload(&object);
                    self.spool().mark_stored(object.object_no).unwrap();
                }
            }
            Action::Drop => {
                drop(self.spool.take());
                self.reopen();
            }
            Action::Kill => {
                // A copy that is made while the disk is written to is of no instant.
                drop(self.spool().end_commit().unwrap());
                let to = self.dir.path().join(format!("killed-{}", self.kills));
                copy_dir(&self.config.state_dir, &to);
                drop(self.spool.take());
                std::fs::remove_dir_all(&self.config.state_dir).unwrap();
                self.config.state_dir = to;
                self.kills += 1;
                self.reopen();
            }
        }
    }

    fn commit(&mut self) {
        self.begin_commit();
        drop(self.spool().end_commit().unwrap());
        assert!(self.spool().commit_has_ended());
    }

    fn begin_commit(&mut self) {
        let position = self.serial.to_string().into_bytes();
        let changes = Changes { inputs: vec![(0, Some(position))], ..Changes::default() };
        self.spool().begin_commit(&changes, || ()).unwrap();
        for (n, content, body) in std::mem::take(&mut self.since) {
            self.committed.entry(name(n, body)).or_default().push(content);
        }
    }

    /// Opens the last commit and does again what came after it, as inputs that are read again would.
    fn reopen(&mut self) {
        self.spool = Some(open(&self.config));
        for (n, content, body) in self.since.clone() {
            self.put(n, &content, body);
        }
    }

    fn upload(&mut self, object: &SealedObject) {
        let bytes = fs::read(&object.path).unwrap();
        assert_eq!(bytes.len() as u64, object.bytes);
        if let Some(before) = self.uploaded.insert(object.key.clone(), bytes.clone()) {
            assert_eq!(before, bytes, "another content under the same key");
        }
    }

    /// Ends everything and compares. Answers with what is in the destination.
    fn finish(mut self) -> BTreeMap<String, Vec<u8>> {
        self.spool().roll_all().unwrap();
        self.commit();
        let held: u64 = pending(self.spool()).iter().map(|object| object.bytes).sum();
        assert_eq!(self.spool().spool_bytes(), held);
        for object in pending(self.spool()) {
            self.upload(&object);
            self.spool().mark_stored(object.object_no).unwrap();
        }
        self.spool().commit(&Changes::default()).unwrap();
        assert_eq!(self.spool().spool_bytes(), 0);
        assert_eq!(fs::read_dir(self.config.state_dir.join("spool")).unwrap().count(), 0);

        let mut found: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for (key, bytes) in &self.uploaded {
            let (folder, file) = key.rsplit_once('/').unwrap();
            if file.ends_with(".bin") {
                found.entry(format!("{folder}/ body")).or_default().push(bytes.clone());
                continue;
            }
            let plain = decoded(file, bytes);
            let lines = plain.strip_suffix(b"\n").unwrap().split(|b| *b == b'\n').map(<[u8]>::to_vec);
            found.entry(format!("{folder}/ lines")).or_default().extend(lines);
        }
        for contents in found.values_mut().chain(self.committed.values_mut()) {
            contents.sort();
        }
        assert_eq!(found, self.committed);
        self.uploaded
    }
}

fn name(n: usize, body: bool) -> String {
    format!("{} {}", partition(n), if body { "body" } else { "lines" })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn exactly_what_was_appended_comes_out_once(
        actions in prop::collection::vec(action(), 1..120),
        compression in prop_oneof![
            2 => Just(Compression::Gzip { level: 1 }),
            1 => Just(Compression::Zstd { level: 2 }),
            1 => Just(Compression::None),
        ],
        compressor_threads in 0..3usize,
    ) {
        let mut model = Model::new(|config| SpoolConfig { compression, compressor_threads, ..config });
        for action in &actions {
            model.run(action);
        }
        model.finish();
    }

    /// Commits, crashes and uploads change no byte of any object.
    #[test]
    fn objects_depend_on_the_lines_alone(actions in prop::collection::vec(action(), 1..120)) {
        // The memory for lines is no part of the rule either, nor is who compresses them.
        let mut plain = Model::new(|config| SpoolConfig { pending_bytes: 1 << 20, compressor_threads: 0, ..config });
        let mut shaken = Model::new(|config| SpoolConfig { compressor_threads: 2, ..config });
        for action in &actions {
            match action {
                // A roll that a crash undoes is not done again, so it is no function of the lines.
                Action::RollAll => {}
                Action::Append { .. } | Action::Body { .. } => {
                    plain.run(action);
                    shaken.run(action);
                }
                other => shaken.run(other),
            }
        }
        prop_assert_eq!(plain.finish(), shaken.finish());
    }
}
