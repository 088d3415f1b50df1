//! Log groups of CloudWatch Logs, from moto: followed through SIGKILL at any instant, and read back between two times.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reassemble_testkit::chance::Chance;
use reassemble_testkit::moto::Moto;
use reassemble_testkit::process::PATIENCE;
use tempfile::tempdir;

use crate::intact;
use crate::programs::{Follower, reassemble, run};
use crate::stored;
use crate::written::Captures;

/// Bytes of log, and the largest body.
const LOG_BYTES: usize = 3_000_000;
const LARGEST_BODY: usize = 400_000;
/// SIGKILLs.
const KILLS: usize = 25;

/// Puts a file's lines into two groups of two streams each, in turns, so that a capture's lines lie in several; some are late.
const WRITER: &str = "
import sys, time
groups = ['/app/one', '/app/two']
lines = open(sys.argv[1], newline='\\n').read().split('\\n')[:-1]
for at in range(0, len(lines), 40):
    for number in range(4):
        part = lines[at:at + 40][number::4]
        now = int(time.time() * 1000)
        events = sorted([{'timestamp': now - (at * 7919 % 200000), 'message': line} for line in part], key=lambda event: event['timestamp'])
        if events:
            logs.put_log_events(logGroupName=groups[number % 2], logStreamName=f's{number // 2}', logEvents=events)
    time.sleep(0.05)
";

const GROUPS: &str = "
for group in ['/app/one', '/app/two']:
    logs.create_log_group(logGroupName=group)
    for stream in ['s0', 's1']:
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
";

/// A log of that size; gives what it holds.
fn write_log(path: &Path, seed: u64) -> Captures {
    let mut captures = Captures::new(seed, LARGEST_BODY);
    let mut log = Vec::new();
    while log.len() < LOG_BYTES {
        log.extend(captures.line(true).unwrap());
    }
    while let Some(line) = captures.line(false) {
        log.extend(line);
    }
    fs::write(path, log).unwrap();
    captures
}

fn command(moto: &Moto, dir: &Path) -> Command {
    let mut command = reassemble(["--cloudwatch", "/app/*", "--cloudwatch-interval", "100ms", "--since", "1h"]);
    command.args(["--commit-interval", "20ms", "--batch-age", "200ms", "--batch-bytes", "256KiB"]);
    command.args(["--inline-body", "128KiB", "--no-progress", "--log-level", "warn"]);
    command.arg("--to").arg(dir.join("captures")).arg("--state").arg(dir.join("state"));
    moto.configure_logs(&mut command);
    command
}

#[test]
fn groups_that_are_followed_through_kills_give_each_exchange_once() {
    let (dir, moto, seed) = (tempdir().unwrap(), Moto::start(), Chance::seed());
    let (log, said, root) = (dir.path().join("log"), dir.path().join("stderr"), dir.path().join("captures"));
    let captures = write_log(&log, seed);
    moto.python(GROUPS);
    let mut writer = moto.script(WRITER).arg(&log).spawn().unwrap();
    let mut chance = Chance::new(seed);
    for _ in 0..KILLS {
        let said = File::options().create(true).append(true).open(&said).unwrap();
        let mut child = command(&moto, dir.path()).stdout(Stdio::null()).stderr(said).spawn().unwrap();
        std::thread::sleep(if chance.below(3) == 0 { chance.ms(0, 300) } else { chance.ms(300, 2500) });
        assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(writer.wait().unwrap().success());
    let follower = Follower::start(command(&moto, dir.path()));
    let began = Instant::now();
    while stored::exchanges(&root).len() < captures.exchanges.len() {
        assert!(began.elapsed() < PATIENCE, "not all is stored: {}", fs::read_to_string(&said).unwrap());
        std::thread::sleep(Duration::from_millis(300));
    }
    let (summary, words) = follower.stop();
    assert_eq!(summary["undelivered_objects"], 0, "{summary} {words}");
    eprintln!("{KILLS} kills, {} exchanges; {}", captures.exchanges.len(), summary["total"]);
    intact::assert_intact(&root, &captures.exchanges);
    intact::assert_drained(&dir.path().join("state"));
}

#[test]
fn a_group_is_read_back_to_its_end_and_a_second_time_gives_nothing() {
    let (dir, moto) = (tempdir().unwrap(), Moto::start());
    let log = dir.path().join("log");
    let captures = write_log(&log, 5);
    moto.python(GROUPS);
    assert!(moto.script(WRITER).arg(&log).status().unwrap().success());
    // All of it is visible: late events need not be waited for.
    let back_fill = || {
        let mut command = command(&moto, dir.path());
        command.args(["--until", "0s", "--cloudwatch-overlap", "1s"]);
        command
    };
    for _ in 0..2 {
        let (code, summary, words) = run(back_fill());
        assert_eq!(code, Some(0), "{summary} {words}");
        intact::assert_intact(&dir.path().join("captures"), &captures.exchanges);
    }
}

#[test]
fn a_group_that_is_not_there_is_named_and_fails_a_back_fill() {
    let (dir, moto) = (tempdir().unwrap(), Moto::start());
    let mut command = command(&moto, dir.path());
    command.args(["--cloudwatch", "/none", "--until", "1m"]);
    let (code, _, words) = run(command);
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("log group /none does not exist"), "{words}");
}

#[test]
fn a_check_tells_which_groups_can_be_read() {
    let (dir, moto) = (tempdir().unwrap(), Moto::start());
    moto.python(GROUPS);
    let mut command = command(&moto, dir.path());
    command.args(["--cloudwatch", "/app/one", "--cloudwatch", "/none", "--check"]);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{said}");
    for want in ["log group /app/*: fits some", "log group /app/one: can be read", "log group /none does not exist"] {
        assert!(said.contains(want), "{said}");
    }
}
