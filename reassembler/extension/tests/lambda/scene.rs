//! An environment of Lambda with the extension in it, the way to its bucket, and the check of what is there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use reassemble_testkit::captures::{Bodies, Captures};
use reassemble_testkit::gate::{Gate, Way};
use reassemble_testkit::lambda::platform::{Options, Platform};
use reassemble_testkit::process::{PATIENCE, Process};
use reassemble_testkit::s3::S3;
use reassemble_testkit::stored;
use serde_json::Value;
use tempfile::TempDir;

/// What Lambda gives an environment to end in; then it kills.
const SHUTDOWN: Duration = Duration::from_secs(2);
/// A time limit that no test comes near to.
pub(crate) const LIMIT: Duration = Duration::from_secs(50);

/// All of it. The folder is the environment's /tmp.
pub(crate) struct Scene {
    pub(crate) platform: Platform,
    pub(crate) s3: S3,
    pub(crate) gate: Gate,
    pub(crate) extension: Process,
    pub(crate) captures: Captures,
    pub(crate) dir: TempDir,
    invocations: usize,
}

impl Scene {
    /// With all the time that a flush may need on a busy machine.
    pub(crate) fn start() -> Scene {
        Scene::start_with(Options::default(), patient)
    }

    /// With the time that a flush has unless it is set: where the bucket takes nothing, all of it passes.
    pub(crate) fn start_impatient() -> Scene {
        Scene::start_with(Options::default(), |_| ())
    }

    pub(crate) fn start_with(options: Options, configure: impl FnOnce(&mut Command)) -> Scene {
        let (platform, s3, dir) = (Platform::start(options), S3::start(), tempfile::tempdir().unwrap());
        let gate = Gate::before(s3.address());
        let extension = start(&platform, &gate, &dir, configure);
        Scene { platform, s3, gate, extension, captures: Captures::default(), dir, invocations: 0 }
    }

    /// Resets the environment: the process is killed, and another begins over the same /tmp.
    pub(crate) fn reset(&mut self) {
        self.extension.kill();
        self.platform.reset();
        self.extension = start(&self.platform, &self.gate, &self.dir, |_| ());
    }

    /// Begins an invocation; gives its request's id.
    pub(crate) fn invoke(&mut self) -> String {
        self.invocations += 1;
        let id = format!("request-{}", self.invocations);
        self.platform.idle();
        self.platform.invoke(&id, LIMIT);
        id
    }

    /// A whole invocation in which the function prints this, and the extension is done with it.
    pub(crate) fn invocation<R: Into<Value> + Clone>(&mut self, records: &[R]) {
        let id = self.invoke();
        self.platform.push(&self.platform.printed(records));
        self.platform.push(&[self.platform.runtime_done(&id)]);
        self.platform.idle();
    }

    /// Where an object's key is a path.
    pub(crate) fn root(&self) -> PathBuf {
        self.s3.bucket().join("captures")
    }

    /// Every exchange of the bucket, as often as it is there.
    pub(crate) fn exchanges(&self) -> Vec<Value> {
        stored::exchanges(&self.root())
    }

    /// Opens the way to the bucket again; the invocation that follows has a capture of its own.
    pub(crate) fn recover(&mut self) {
        self.gate.set(Way::Open);
        let lines = self.captures.lines(1);
        self.invocation(&lines);
    }

    /// The complete exchanges that are stored, with their bodies.
    pub(crate) fn stored(&self) -> Bodies {
        let mut stored = Bodies::new();
        for exchange in self.exchanges() {
            let id = exchange["id"].as_str().unwrap().to_owned();
            assert_eq!(
                (&exchange["complete"], &exchange["problems"]),
                (&true.into(), &Value::Array(Vec::new())),
                "{id}"
            );
            let body = |part: &str| stored::body(&self.root(), &exchange[part]["body"]);
            let before = stored.insert(id.clone(), (body("request"), body("response")));
            assert!(before.is_none(), "{id} is stored twice");
        }
        stored
    }

    /// Every capture is stored once and whole, and nothing else.
    pub(crate) fn assert_stored(&self) {
        let stored = self.stored();
        let ids = |bodies: &Bodies| bodies.keys().cloned().collect::<Vec<_>>();
        assert_eq!(ids(&stored), ids(&self.captures.made), "{}", self.extension.words());
        assert!(stored == self.captures.made, "bodies differ");
        assert_eq!(self.platform.overdue(), 0, "{}", self.extension.words());
    }

    /// Waits until all captures are stored.
    pub(crate) fn until_stored(&self) {
        let began = Instant::now();
        while self.exchanges().len() < self.captures.made.len() {
            if began.elapsed() > PATIENCE {
                let missing: Vec<_> = {
                    let stored = self.stored();
                    self.captures.made.keys().filter(|id| !stored.contains_key(*id)).cloned().collect()
                };
                panic!("{missing:?} are not stored: {}", self.extension.words());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.assert_stored();
    }

    /// Ends the environment, and checks that all is stored.
    pub(crate) fn finish(mut self) {
        self.platform.idle();
        self.shut_down("spindown");
        self.assert_stored();
    }

    /// Ends the extension as Lambda does: it has two seconds, and is killed then. It must not come to that.
    pub(crate) fn shut_down(&mut self, reason: &str) {
        self.platform.shut_down(reason);
        let ended = self.extension.ended_within(SHUTDOWN);
        let status = ended.unwrap_or_else(|| panic!("it was killed at the shutdown's end: {}", self.extension.words()));
        assert!(status.success(), "{status}: {}", self.extension.words());
    }
}

/// The extension: `REASSEMBLE_TEST_EXTENSION`, such as the layer's own binary, or that of this build.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("REASSEMBLE_TEST_EXTENSION") {
        Some(named) => std::fs::canonicalize(named).unwrap(),
        None => env!("CARGO_BIN_EXE_reassemble-extension").into(),
    })
}

/// Gives flushes all the time that they may need on a busy machine.
pub(crate) fn patient(command: &mut Command) {
    command.env("REASSEMBLE_FLUSH_TIMEOUT", "30s");
}

fn start(platform: &Platform, gate: &Gate, dir: &TempDir, configure: impl FnOnce(&mut Command)) -> Process {
    platform.start_extension(binary(), dir.path(), |command| {
        command
            .env("REASSEMBLE_TO", "s3://bucket/captures")
            .env("REASSEMBLE_S3_ENDPOINT", gate.url())
            .env("REASSEMBLE_S3_PATH_STYLE", "true")
            .env("REASSEMBLE_STATE", dir.path().join("reassemble"))
            .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")]);
        configure(command);
    })
}
