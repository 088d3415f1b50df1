//! SIGKILL at any instant: of a follower while its log is written and rotated, and of a run over a file. What is stored in the end is what was
//! logged, each exchange once.
//!
//! `REASSEMBLE_TEST_SEED` sets the seed of a run that is to be looked at again: the log is then the same, and the kills come after the same delays.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reassemble_testkit::chance::Chance;
use reassemble_testkit::process::{PATIENCE, signal};
use reassemble_testkit::s3::S3;
use tempfile::{TempDir, tempdir};

use crate::intact;
use crate::programs::{Follower, reassemble, run};
use crate::stored;
use crate::written::{Captures, Exchanges, Pace, Writer};

/// SIGKILLs of each test that follows.
const KILLS: usize = 60;
/// Of so many kills one is followed by two rotations that nobody sees.
const LONG_ABSENCE: usize = 12;

/// A follower that is to be killed, and where everything is.
struct Victim<'a> {
    dir: TempDir,
    state: PathBuf,
    /// Where an object's key is a path.
    root: PathBuf,
    to: String,
    configure: Box<dyn Fn(&mut Command) + 'a>,
}

impl<'a> Victim<'a> {
    /// Commits, batches and bodies are small, so that kills fall into all that is done with them.
    fn new(dir: TempDir, to: &str, state: PathBuf, root: PathBuf, configure: impl Fn(&mut Command) + 'a) -> Victim<'a> {
        Victim { dir, state, root, to: to.to_owned(), configure: Box::new(configure) }
    }

    fn command(&self) -> Command {
        let mut command = reassemble(["--commit-interval", "20ms", "--batch-age", "200ms", "--batch-bytes", "256KiB"]);
        command.args(["--inline-body", "128KiB", "--poll-interval", "50ms", "--no-progress", "--log-level", "warn"]);
        command.arg("--follow").arg(self.dir.path().join("app.log"));
        command.args(["--to", &self.to, "--state"]).arg(&self.state);
        (self.configure)(&mut command);
        command
    }

    fn start(&self, said: &Path) -> Child {
        let said = File::options().create(true).append(true).open(said).unwrap();
        self.command().args(["--summary", "none"]).stdout(Stdio::null()).stderr(said).spawn().unwrap()
    }

    /// Kills it again and again while its log is written; then lets it finish, and gives what was logged.
    fn kill_again_and_again(&self, seed: u64) -> Exchanges {
        let said = self.dir.path().join("stderr");
        let mut chance = Chance::new(seed);
        let pace = Pace { bytes_per_s: 2_000_000, largest_body: 3_000_000 };
        let writer = Writer::start(&self.dir.path().join("app.log"), seed, pace);
        for kill in 1..=KILLS {
            let mut child = self.start(&said);
            match chance.below(4) {
                // While it goes back to the last commit, again and again.
                0 | 1 => std::thread::sleep(chance.ms(0, 50)),
                2 => std::thread::sleep(chance.ms(50, 700)),
                _ => {
                    std::thread::sleep(chance.ms(60, 500));
                    assert_eq!(child.try_wait().unwrap(), None, "{}", words(&said));
                    signal(&child, Signal::SIGTERM);
                    std::thread::sleep(chance.ms(0, 150));
                }
            }
            if let Some(status) = child.try_wait().unwrap() {
                // It was told to, and did so in order (or had not begun to catch signals).
                assert!(matches!(status.code(), Some(0) | None), "{status}: {}", words(&said));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            if kill % LONG_ABSENCE == 0 {
                writer.rotated(2);
            }
        }
        let expected = writer.finish();
        let follower = Follower::start(self.command());
        let began = Instant::now();
        while stored::exchanges(&self.root).len() < expected.len() {
            assert!(began.elapsed() < PATIENCE, "not all is stored: {}", words(&said));
            std::thread::sleep(Duration::from_millis(300));
        }
        let (summary, words) = follower.stop();
        assert_eq!(summary["undelivered_objects"], 0, "{summary} {words}");
        eprintln!("{KILLS} kills, {} exchanges; {}", expected.len(), summary["total"]);
        expected
    }

    fn check(&self, expected: &Exchanges) {
        intact::assert_intact(&self.root, expected);
        intact::assert_drained(&self.state);
        let mut verify = reassemble(["verify", "--strict", "--to", &self.to]);
        (self.configure)(&mut verify);
        let verified = verify.arg(self.dir.path().join("app.log*")).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stdout);
        assert!(verified.status.success(), "{said} {}", String::from_utf8_lossy(&verified.stderr));
    }
}

fn words(said: &Path) -> String {
    fs::read_to_string(said).unwrap_or_default()
}

#[test]
fn a_follower_that_is_killed_at_any_instant_stores_each_exchange_once_in_a_directory() {
    let dir = tempdir().unwrap();
    let root = dir.path().join("captures");
    // Where objects become hard links to spool files.
    let state = root.join(".reassemble/main");
    let victim = Victim::new(dir, root.to_str().unwrap(), state, root.clone(), |_| ());
    let expected = victim.kill_again_and_again(Chance::seed());
    victim.check(&expected);
    intact::assert_no_leftovers(&root);
}

#[test]
fn a_follower_that_is_killed_at_any_instant_stores_each_exchange_once_on_another_file_system() {
    let elsewhere = tempfile::Builder::new().prefix("reassemble-test-").tempdir_in("/dev/shm").unwrap();
    let dir = tempdir().unwrap();
    let root = dir.path().join("captures");
    let state = elsewhere.path().join("state");
    let victim = Victim::new(dir, root.to_str().unwrap(), state, root.clone(), |_| ());
    let expected = victim.kill_again_and_again(Chance::seed());
    victim.check(&expected);
    intact::assert_no_leftovers(&root);
}

#[test]
fn a_follower_that_is_killed_at_any_instant_stores_each_exchange_once_in_s3() {
    let dir = tempdir().unwrap();
    let s3 = S3::start();
    let (state, root) = (dir.path().join("state"), s3.bucket().join("some/captures"));
    let configure = |command: &mut Command| s3.configure(command, "secret");
    let victim = Victim::new(dir, "s3://bucket/some/captures", state, root, configure);
    let expected = victim.kill_again_and_again(Chance::seed());
    victim.check(&expected);
}

/// A log of some captures, with lines that come twice, contradict others, or never come.
fn awkward_log(seed: u64) -> Vec<u8> {
    let mut chance = Chance::new(!seed);
    let mut captures = Captures::new(seed, 600_000);
    let mut log = Vec::new();
    let mut lines = 0;
    while let Some(line) = captures.line(log.len() < 24_000_000) {
        lines += 1;
        // A head that is lost takes its time with it, and the time of reading is another in each run.
        let awkward = if line.windows(7).any(|bytes| bytes == b"\"head\":") { usize::MAX } else { chance.below(400) };
        match awkward {
            0 => {}
            1 => log.extend(line.repeat(2)),
            2 => {
                let text = String::from_utf8(line.clone()).unwrap();
                log.extend_from_slice(&line);
                log.extend_from_slice(text.replace("\"cap1\":\"c", "\"at\":77,\"cap1\":\"c").as_bytes());
            }
            3 => {
                log.extend_from_slice(&line[..line.len() / 2]);
                log.push(b'\n');
            }
            _ => log.extend_from_slice(&line),
        }
    }
    assert!(lines > 4_000, "{lines}");
    log
}

#[test]
fn kills_change_no_byte_of_what_is_stored() {
    const KILLS: usize = 40;
    let seed = Chance::seed();
    let dir = tempdir().unwrap();
    let log = dir.path().join("app.log");
    fs::write(&log, awkward_log(seed)).unwrap();
    let command = |name: &str| {
        let mut command =
            reassemble(["--commit-interval", "10ms", "--batch-bytes", "300KiB", "--inline-body", "128KiB"]);
        command.args(["--no-progress", "--to"]).arg(dir.path().join(name)).arg(&log);
        command
    };
    let began = Instant::now();
    let (code, summary, said) = run(command("undisturbed"));
    let whole = usize::try_from(began.elapsed().as_millis()).unwrap();
    assert_eq!(code, Some(0), "{said}");
    let mut chance = Chance::new(seed);
    for _ in 0..KILLS {
        let mut child = command("killed").stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let most = if chance.below(2) == 0 { 50 } else { whole };
        std::thread::sleep(chance.ms(0, most));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (code, _, said) = run(command("killed"));
    assert_eq!(code, Some(0), "{said}");
    let (undisturbed, killed) =
        (intact::tree(&dir.path().join("undisturbed")), intact::tree(&dir.path().join("killed")));
    assert!(undisturbed.len() > 20, "{} objects", undisturbed.len());
    assert!(summary["run"]["exchanges_incomplete"].as_u64().unwrap() > 10, "{summary}");
    let only = |these: &[(String, String)], those: &[(String, String)]| {
        these.iter().filter(|entry| !those.contains(entry)).map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    assert_eq!((only(&undisturbed, &killed), only(&killed, &undisturbed)), (Vec::new(), Vec::new()));
    intact::assert_no_leftovers(&dir.path().join("killed"));
}
