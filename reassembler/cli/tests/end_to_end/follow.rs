//! Following the shop's log while it is rotated.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reassemble_testkit::process::wait_for;
use reassemble_testkit::s3::S3;
use serde_json::Value;
use tempfile::tempdir;

use crate::load::{self, Load};
use crate::programs::{Follower, Shop, reassemble};
use crate::stored;

const REQUESTS: usize = 2_500;

/// Puts a shop under load while `rotate` is called again and again; gives the load and how many captures the shop dropped.
fn load_with_rotation(log: &Path, requests: usize, rotate: impl Fn(&Shop, usize) + Sync) -> (Load, u64) {
    let shop = Shop::start(log);
    let done = AtomicBool::new(false);
    let load = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = 0;
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(250));
                turn += 1;
                rotate(&shop, turn);
            }
        });
        let load = load::run(&shop.url, requests);
        done.store(true, Ordering::Relaxed);
        load
    });
    (load, shop.end())
}

fn follower(dir: &Path, to: &str) -> Command {
    let mut command = reassemble(["--follow"]);
    command.arg(dir.join("shop.log")).args(["--to", to, "--batch-age", "1s", "--state"]).arg(dir.join("state"));
    command
}

fn rotate_by_rename(dir: &Path) -> impl Fn(&Shop, usize) + Sync {
    let dir = dir.to_owned();
    move |shop, turn| {
        fs::rename(dir.join("shop.log"), dir.join(format!("shop.log.{turn}"))).unwrap();
        shop.reopen_log();
        wait_for("the new log", || dir.join("shop.log").exists().then_some(()));
    }
}

fn wait_until_stored(root: &Path, load: &Load) {
    wait_for("everything to be stored", || {
        let stored = stored::read(root);
        (stored.tested.len() + stored.outbound + stored.supplies >= load.exchanges.len() + 2 * load.outbound)
            .then_some(())
    });
}

#[test]
fn a_log_rotated_by_rename_is_stored_whole_in_a_directory() {
    let dir = tempdir().unwrap();
    let captures = dir.path().join("captures");
    let follower = Follower::start(follower(dir.path(), captures.to_str().unwrap()));
    let (load, dropped) = load_with_rotation(&dir.path().join("shop.log"), REQUESTS, rotate_by_rename(dir.path()));
    assert_eq!(dropped, 0);
    wait_until_stored(&captures, &load);
    let (summary, said) = follower.stop();
    stored::assert_holds(&captures, &load);
    assert_eq!(summary["run"]["lost_bytes_at_least"], 0, "{said}");
    assert_eq!(summary["run"]["truncations"], 0, "{said}");
    assert_eq!(summary["run"]["records"]["bad"], Value::Object(Default::default()), "{said}");
}

#[test]
fn a_log_rotated_by_rename_is_stored_whole_in_s3() {
    let dir = tempdir().unwrap();
    let s3 = S3::start();
    let mut command = follower(dir.path(), "s3://bucket/some/captures");
    s3.configure(&mut command, "secret");
    let follower = Follower::start(command);
    let (load, dropped) = load_with_rotation(&dir.path().join("shop.log"), REQUESTS, rotate_by_rename(dir.path()));
    assert_eq!(dropped, 0);
    let root = s3.bucket().join("some/captures");
    wait_until_stored(&root, &load);
    follower.stop();
    stored::assert_holds(&root, &load);
}

#[test]
fn restarts_in_the_middle_lose_nothing_and_store_nothing_twice() {
    let dir = tempdir().unwrap();
    let captures = dir.path().join("captures");
    let start = || Follower::start(follower(dir.path(), captures.to_str().unwrap()));
    let running = std::sync::Mutex::new(Some(start()));
    let (load, _) = load_with_rotation(&dir.path().join("shop.log"), REQUESTS / 2, |shop, turn| {
        let mut running = running.lock().unwrap();
        if let Some(follower) = running.take() {
            follower.stop();
        }
        // Twice while nobody reads: the file between is found by its name alone.
        for number in [2 * turn, 2 * turn + 1] {
            fs::rename(dir.path().join("shop.log"), dir.path().join(format!("shop.log.{number}"))).unwrap();
            shop.reopen_log();
            wait_for("the new log", || dir.path().join("shop.log").exists().then_some(()));
        }
        *running = Some(start());
    });
    wait_until_stored(&captures, &load);
    running.into_inner().unwrap().unwrap().stop();
    stored::assert_holds(&captures, &load);
}

#[test]
fn what_a_copytruncate_takes_is_reported() {
    let dir = tempdir().unwrap();
    let captures = dir.path().join("captures");
    let log = dir.path().join("shop.log");
    let follower = Follower::start(follower(dir.path(), captures.to_str().unwrap()));
    let (load, dropped) = load_with_rotation(&log, REQUESTS, |_, turn| {
        // Where the copy goes, nobody reads; what is written between the two calls is lost to everyone.
        fs::copy(&log, dir.path().join(format!("copy-{turn}"))).unwrap();
        fs::File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    });
    assert_eq!(dropped, 0);
    // What can come has come when nothing has changed for a while.
    let mut last = usize::MAX;
    wait_for("the last of it", || {
        let now = stored::read(&captures).all;
        std::thread::sleep(Duration::from_secs(3));
        let same = now == last;
        last = now;
        same.then_some(())
    });
    let (summary, said) = follower.stop();
    let stored = stored::read(&captures);
    let complete = stored.tested.values().filter(|found| found[0]["complete"] == true).count();
    assert!(stored.tested.values().all(|found| found.iter().filter(|one| one["complete"] == true).count() <= 1));
    for (id, found) in &stored.tested {
        if found[0]["complete"] == true {
            assert_eq!(&stored::exchanged(&captures, &found[0]), &load.exchanges[id], "{id}");
        }
    }
    let lost = load.exchanges.len() - complete;
    let truncations = summary["run"]["truncations"].as_u64().unwrap();
    assert!(truncations > 0, "{said}");
    assert!(said.contains("truncated before it was read to its end") || lost == 0, "{said}");
    eprintln!(
        "copytruncate: {lost} of {} not complete, {} bytes reported lost at least",
        load.exchanges.len(),
        summary["run"]["lost_bytes_at_least"]
    );
}

#[test]
fn a_full_spool_stops_reading_and_all_is_delivered_once_the_destination_takes_it() {
    const CAPTURES: usize = 4_000;
    let dir = tempdir().unwrap();
    let mut log = String::new();
    for number in 0..CAPTURES {
        let head = r#""head":{"ts":"2026-11-01T10:00:00.000000Z","service":"s"}"#;
        log.push_str(&format!("{{\"cap1\":\"c{number}\",\"part\":\"req\",\"seq\":0,{head},\"of\":1}}\n"));
        let text = "x".repeat(2_000);
        log.push_str(&format!("{{\"cap1\":\"c{number}\",\"part\":\"res\",\"seq\":0,\"text\":\"{text}\",\"of\":1}}\n"));
    }
    fs::write(dir.path().join("shop.log"), &log).unwrap();
    let follow = |configure: &dyn Fn(&mut Command)| {
        let mut command = follower(dir.path(), "s3://bucket/captures");
        command.args([
            "--spool-limit",
            "2MiB",
            "--batch-bytes",
            "1MiB",
            "--compression",
            "none",
            "--commit-interval",
            "50ms",
        ]);
        configure(&mut command);
        Follower::start(command)
    };
    // Nobody listens there.
    let refused = follow(&|command| {
        command.args(["--s3-endpoint", "http://127.0.0.1:9", "--s3-path-style", "--s3-region", "us-east-1"]);
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
    });
    std::thread::sleep(Duration::from_secs(4));
    let (summary, said) = refused.stop();
    let read = summary["run"]["bytes_read"].as_u64().unwrap();
    assert!(said.contains("the spool is full"), "{said}");
    assert!(read > 1 << 20 && read < log.len() as u64, "{read} of {} bytes were read", log.len());
    let s3 = S3::start();
    let taken = follow(&|command| s3.configure(command, "secret"));
    let root = s3.bucket().join("captures");
    wait_for("everything to be stored", || (stored::exchanges(&root).len() >= CAPTURES).then_some(()));
    taken.stop();
    let mut ids: Vec<_> = stored::exchanges(&root).iter().map(|exchange| exchange["id"].to_string()).collect();
    assert_eq!(ids.len(), CAPTURES);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), CAPTURES);
}
