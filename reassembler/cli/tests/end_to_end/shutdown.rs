//! The end of a daemon, under load and during an outage, and its next beginning: what was accepted is durable within two seconds of the signal,
//! and the next run stores it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reassemble_testkit::process::{Process, signal};

use crate::broken_disk::SmallDisk;
use crate::intact;
use crate::scene::{GRACE, Scene, refused};
use crate::stored;
use crate::written::{Captures, Pace, Writer};

/// A follower under load gets a signal, then another follower goes on.
fn ends_under_load(by: Signal, outage: bool) {
    let scene = Scene { commit_interval: "10s", ..Scene::new() };
    fs::remove_file(scene.log_path()).unwrap();
    let writer = Writer::start(&scene.log_path(), 11, Pace { bytes_per_s: 6_000_000, largest_body: 1_000_000 });
    let start = |outage: bool| {
        let command = if outage { scene.refused_follower() } else { scene.follower() };
        Process::start(command, scene.dir.path())
    };
    for _ in 0..3 {
        let mut daemon = start(outage);
        daemon.says("ready");
        std::thread::sleep(Duration::from_millis(700));
        let (status, took) = daemon.end_by(by);
        assert_eq!(status.code(), Some(0), "{}", daemon.words());
        assert!(took < GRACE, "{took:?}");
    }
    let expected = writer.finish();
    let mut daemon = start(false);
    daemon.until("everything to be stored", || stored::exchanges(&scene.to).len() >= expected.len());
    daemon.end_by(Signal::SIGTERM);
    intact::assert_intact(&scene.to, &expected);
    intact::assert_drained(&scene.state);
}

#[test]
fn sigterm_under_load_ends_a_follower_in_time_and_loses_nothing() {
    ends_under_load(Signal::SIGTERM, false);
}

#[test]
fn sigint_under_load_and_during_an_outage_ends_a_follower_in_time_and_loses_nothing() {
    ends_under_load(Signal::SIGINT, true);
}

/// Captures one after the other, so that what was accepted is the first so many.
fn in_order(count: usize) -> (Vec<u8>, Vec<String>) {
    let (mut log, mut ids) = (Vec::new(), Vec::new());
    for number in 0..count {
        let id = format!("order-{number}");
        let (head, text) = (r#""head":{"ts":"2025-11-01T10:00:00.000000Z","service":"s"}"#, "x".repeat(1_500));
        log.extend_from_slice(format!("{{\"cap1\":\"{id}\",\"part\":\"req\",\"seq\":0,{head},\"of\":1}}\n").as_bytes());
        let response = format!("{{\"cap1\":\"{id}\",\"part\":\"res\",\"seq\":0,\"text\":\"{text}\",\"of\":1}}\n");
        log.extend_from_slice(response.as_bytes());
        ids.push(id);
    }
    (log, ids)
}

/// What a run left on the state is stored by the next, which has nothing to read.
fn stored_by_the_next(scene: &Scene) -> Vec<String> {
    let mut command = scene.command();
    command.arg("--to").arg(&scene.to).stdin(Stdio::null());
    let mut daemon = Process::start(command, scene.dir.path());
    assert_eq!(daemon.ended().code(), Some(0), "{}", daemon.words());
    intact::assert_drained(&scene.state);
    let exchanges = stored::exchanges(&scene.to);
    let ids: HashSet<_> = exchanges.iter().map(|exchange| exchange["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), exchanges.len(), "something is stored twice");
    let complete = exchanges.iter().filter(|exchange| exchange["complete"] == true);
    complete.map(|exchange| exchange["id"].as_str().unwrap().to_owned()).collect()
}

/// Without a gap: where one is stored, all before it are.
fn assert_first(stored: &[String], ids: &[String], at_least: usize) {
    let set: HashSet<&String> = stored.iter().collect();
    assert!(ids[..stored.len()].iter().all(|id| set.contains(id)), "{} of {} with a gap", stored.len(), ids.len());
    assert!(stored.len() >= at_least, "{} stored of {at_least}", stored.len());
}

#[test]
fn a_signal_to_a_pipes_reader_during_an_outage_keeps_all_that_was_accepted() {
    for by in [Signal::SIGTERM, Signal::SIGINT] {
        let scene = Scene { commit_interval: "10s", ..Scene::new() };
        let mut command = scene.command();
        refused(&mut command);
        command.stdin(Stdio::piped());
        let mut daemon = Process::start(command, scene.dir.path());
        let mut stdin = daemon.child().stdin.take().unwrap();
        let (log, ids) = in_order(20_000);
        let half = log.len() / 2;
        stdin.write_all(&log[..half]).unwrap();
        // The rest is under way while the signal comes; what is not taken stays in the pipe.
        let rest = std::thread::spawn(move || drop(stdin.write_all(&log[half..])));
        let (_, took) = daemon.end_by(by);
        rest.join().unwrap();
        assert!(took < GRACE, "{by}: {took:?}, {}", daemon.words());
        // What is in the pipe, and in the queue behind it, nobody has accepted: a bit over 1 MiB.
        let accepted = ids.len() / 2 - (2 << 20) / 1_500;
        assert_first(&stored_by_the_next(&scene), &ids, accepted);
    }
}

#[test]
fn what_came_before_standard_input_was_closed_is_durable_in_two_seconds() {
    let scene = Scene { commit_interval: "10s", ..Scene::new() };
    let mut command = scene.command();
    refused(&mut command);
    command.stdin(Stdio::piped());
    let mut daemon = Process::start(command, scene.dir.path());
    let (log, ids) = in_order(5_000);
    daemon.child().stdin.take().unwrap().write_all(&log).unwrap();
    std::thread::sleep(GRACE);
    daemon.child().kill().unwrap();
    drop(daemon);
    assert_first(&stored_by_the_next(&scene), &ids, ids.len());
}

/// Whatever was taken out of the pipe when the signal came, and not only what was committed.
#[test]
fn what_was_read_of_a_pipe_before_a_signal_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let mut command = crate::programs::reassemble(["--summary", "json", "--no-progress", "--to"]);
    command.arg(dir.path().join("captures")).stdin(reader.try_clone().unwrap()).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    // Its end of the pipe must be the program's alone.
    drop(command);
    let (log, _) = in_order(60_000);
    writer.write_all(&log).unwrap();
    signal(&child, Signal::SIGTERM);
    let output = child.wait_with_output().unwrap();
    drop(writer);
    let mut left = Vec::new();
    reader.read_to_end(&mut left).unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let taken = &log[..log.len() - left.len()];
    let whole_lines = taken.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    assert_eq!(summary["run"]["bytes_read"].as_u64(), Some(whole_lines as u64));
}

fn wrapper(scene: &Scene, configure: impl Fn(&mut Command), script: &str) -> Process {
    let mut command = crate::programs::reassemble(["exec", "--commit-interval", "50ms", "--state"]);
    command.arg(&scene.state);
    configure(&mut command);
    command.args(["--", "sh", "-c", script]).current_dir(scene.dir.path());
    Process::start(command, scene.dir.path())
}

#[test]
fn sigterm_to_a_wrapper_during_an_outage_keeps_all_that_was_accepted() {
    let scene = Scene::new();
    let (log, ids) = in_order(5_000);
    fs::write(scene.dir.path().join("lines"), log).unwrap();
    let mut daemon = wrapper(&scene, refused, "cat lines; touch printed; exec sleep 1000");
    let printed = scene.dir.path().join("printed");
    daemon.until("the lines", || printed.exists());
    signal(daemon.child(), Signal::SIGTERM);
    // An impatient supervisor.
    std::thread::sleep(GRACE);
    drop(daemon.child().kill());
    drop(daemon);
    assert_first(&stored_by_the_next(&scene), &ids, ids.len());
}

#[test]
fn a_wrapper_on_a_full_disk_ends_with_its_command() {
    let Some(disk) = SmallDisk::mount("32m") else { return };
    let mut scene = Scene::new();
    scene.state = disk.path().join("state");
    let (log, _) = in_order(500);
    fs::write(scene.dir.path().join("lines"), log).unwrap();
    let mut daemon =
        wrapper(&scene, refused, "touch begun; while ! test -e go; do sleep 0.05; done; cat lines; exit 5");
    let begun = scene.dir.path().join("begun");
    daemon.until("the command", || begun.exists());
    disk.fill(0);
    let began = Instant::now();
    File::create(scene.dir.path().join("go")).unwrap();
    assert_eq!(daemon.ended().code(), Some(5), "{}", daemon.words());
    assert!(began.elapsed() < GRACE * 2, "{:?}: {}", began.elapsed(), daemon.words());
}

/// More than a thousand objects in the spool, and a database that was not closed.
#[test]
fn a_restart_with_a_large_spool_is_ready_soon() {
    let mut scene = Scene { batch_bytes: "16KiB", batch_age: "1h", ..Scene::new() };
    let mut captures = Captures::new(3, 3_000);
    let mut log = Vec::new();
    while let Some(line) = captures.line(log.len() < 24_000_000) {
        log.extend(line);
    }
    fs::write(scene.log_path(), log).unwrap();
    scene.captures = captures;
    let mut daemon = Process::start(scene.refused_follower(), scene.dir.path());
    daemon.until("a large spool", || parts(&scene.state) >= 1_000);
    daemon.child().kill().unwrap();
    drop(daemon);
    scene.batch_age = "300ms";
    let began = Instant::now();
    let mut daemon = scene.start();
    daemon.says("ready");
    let took = began.elapsed();
    eprintln!("ready after {took:?} with {} files", parts(&scene.state));
    assert!(took < GRACE, "{took:?}");
    scene.complete(daemon);
}

fn parts(state: &Path) -> usize {
    fs::read_dir(state.join("spool")).map_or(0, Iterator::count)
}
