//! What tests of faults have in common: a log of known exchanges, the objects that a run without faults makes of it, and the command behind
//! a store that fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reassemble_testkit::faults::{FaultServer, Rule};
use reassemble_testkit::process::{signal, wait_for};
use reassemble_testkit::s3::S3;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::load::Passed;
use crate::programs::{reassemble, run};
use crate::stored;

/// Exchanges in the log.
pub(crate) const EXCHANGES: usize = 400;

fn id(number: usize) -> String {
    format!("capture-{number}")
}

/// The body of a request: mostly a kilobyte or so, sometimes large enough to be an object of its own.
pub(crate) fn body(number: usize) -> String {
    let length = if number % 40 == 7 { 20_000 } else { 300 + (number * 7919) % 1500 };
    let mut text = String::new();
    let mut mixed = number as u64;
    while text.len() < length {
        mixed = mixed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        write!(text, "{:x}", mixed >> 20).unwrap();
    }
    text
}

/// Exchanges of two services, as lines.
pub(crate) fn lines(numbers: std::ops::Range<usize>) -> String {
    let mut lines = String::new();
    for number in numbers {
        let (id, body, service) = (id(number), body(number), ["shop", "till"][number % 2]);
        let head = format!(r#"{{"ts":"2026-11-01T10:00:00.{number:06}Z","service":"{service}","method":"POST"}}"#);
        writeln!(lines, r#"{{"cap1":"{id}","part":"req","seq":0,"head":{head},"text":"{body}","of":1}}"#).unwrap();
        writeln!(lines, r#"{{"cap1":"{id}","part":"res","seq":0,"head":{{"status":200}},"of":1}}"#).unwrap();
    }
    lines
}

/// Every exchange of these numbers is stored once, with its body.
pub(crate) fn assert_exchanges(root: &Path, count: usize) {
    let mut found = BTreeMap::new();
    for exchange in stored::exchanges(root) {
        let bytes = stored::body(root, &exchange["request"]["body"]);
        let before = found.insert(exchange["id"].as_str().unwrap().to_owned(), Passed::of(&bytes));
        assert_eq!(before, None, "{} is stored twice", exchange["id"]);
    }
    assert_eq!(found.len(), count);
    for number in 0..count {
        assert_eq!(found[&id(number)], Passed::of(body(number).as_bytes()), "{number}");
    }
}

/// What is common to all runs: small batches, so that there are many objects, and short delays.
pub(crate) fn settings(command: &mut Command) {
    command.args(["--batch-bytes", "32KiB", "--inline-body", "16KiB", "--commit-interval", "50ms"]);
    // Flags of single tests stand over these.
    command.env("REASSEMBLE_BATCH_AGE", "1h");
    command.env("REASSEMBLE_RETRY_MAX_DELAY", "300ms").env("REASSEMBLE_UPLOAD_TIMEOUT", "1s");
}

/// The log that most runs read: one place for all, for exchanges name their source.
pub(crate) fn shared_log() -> &'static Path {
    static LOG: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LOG.get_or_init(|| {
        let dir = tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, lines(0..EXCHANGES)).unwrap();
        (dir, path)
    });
    path
}

/// The objects that a run without faults makes of the log.
pub(crate) fn expected() -> &'static BTreeMap<PathBuf, Vec<u8>> {
    static EXPECTED: OnceLock<BTreeMap<PathBuf, Vec<u8>>> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let dir = tempdir().unwrap();
        let root = dir.path().join("captures");
        let mut command = reassemble(["--to"]);
        command.arg(&root).arg(shared_log());
        settings(&mut command);
        let (code, _, said) = run(command);
        assert_eq!(code, Some(0), "{said}");
        assert_exchanges(&root, EXCHANGES);
        let objects = stored::objects(&root);
        assert!(objects.len() > 20, "{}", objects.len());
        objects
    })
}

/// A log, a store, and what stands between.
pub(crate) struct Rig {
    pub(crate) dir: TempDir,
    pub(crate) log: PathBuf,
    pub(crate) s3: S3,
    pub(crate) faults: FaultServer,
}

impl Rig {
    pub(crate) fn new() -> Rig {
        let s3 = S3::start();
        let faults = FaultServer::before(&s3);
        Rig { dir: tempdir().unwrap(), log: shared_log().to_owned(), s3, faults }
    }

    /// The same with a log of its own.
    pub(crate) fn with_log(lines: &str) -> Rig {
        let rig = Rig::new();
        let log = rig.dir.path().join("log");
        fs::write(&log, lines).unwrap();
        Rig { log, ..rig }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.s3.bucket().join("captures")
    }

    /// The command, with the log as a whole, or followed.
    pub(crate) fn command(&self, follow: bool) -> Command {
        let mut command = reassemble(if follow { &["--follow"][..] } else { &[] });
        command.arg(&self.log).args(["--to", "s3://bucket/captures", "--state"]).arg(self.dir.path().join("state"));
        command.args(["--s3-endpoint", &self.faults.url(), "--s3-path-style", "--s3-region", "us-east-1"]);
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
        settings(&mut command);
        command
    }

    /// Runs to the end, which is good; gives the run's counts and what was said.
    pub(crate) fn run(&self) -> (Value, String) {
        let (code, summary, said) = run(self.command(false));
        assert_eq!(code, Some(0), "{said}");
        (summary["run"].clone(), said)
    }

    pub(crate) fn assert_delivered(&self) {
        let (have, want) = (stored::objects(&self.root()), expected());
        assert_eq!(have.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
        assert!(have == *want, "objects differ");
    }
}

/// Runs with a script; gives the run's counts and what was said, after everything was found delivered.
pub(crate) fn delivered_through(rules: impl IntoIterator<Item = Rule>) -> (Rig, Value, String) {
    let rig = Rig::new();
    rig.faults.script(rules);
    let (counts, said) = rig.run();
    assert!(rig.faults.faults() > 0, "no request met a fault");
    rig.assert_delivered();
    assert_eq!(counts["objects_stored"], expected().len(), "{counts}");
    assert_eq!(counts["exchanges_stored"], EXCHANGES, "{counts}");
    (rig, counts, said)
}

pub(crate) fn assert_said(said: &str, words: &str) {
    assert!(said.contains(words), "nothing of '{words}' in:\n{said}");
}

/// The command while it runs, and what it has said so far.
pub(crate) struct Running {
    pub(crate) child: Child,
    said: Arc<Mutex<String>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        command.args(["--metrics", "127.0.0.1:0", "--summary", "none"]);
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while stderr.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Running { child, said }
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn wait_until_said(&self, words: &str) {
        wait_for(words, || self.said().contains(words).then_some(()));
    }

    /// A page of its own server, head and all.
    pub(crate) fn page(&self, path: &str) -> String {
        self.wait_until_said("metrics at http://");
        let said = self.said();
        let (_, rest) = said.split_once("metrics at http://").unwrap();
        let mut stream = TcpStream::connect(rest.split('/').next().unwrap()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.page("/metrics");
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {page}")).trim().parse::<f64>().unwrap() as u64
    }

    pub(crate) fn wait_for_metric(&self, name: &str, value: u64) {
        wait_for(name, || (self.metric(name) == value).then_some(()));
    }

    /// Sends SIGTERM; gives how long it took to end.
    pub(crate) fn stop(&mut self) -> Duration {
        let began = Instant::now();
        signal(&self.child, Signal::SIGTERM);
        let code = self.child.wait().unwrap().code();
        assert_eq!(code, Some(0), "{}", self.said());
        began.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
