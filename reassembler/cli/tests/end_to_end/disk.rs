//! Disks that are full, read-only, slow or broken: what the daemon does and says, and that nothing is lost and nothing stored twice.

use std::time::Duration;

use nix::libc::{EIO, ENOSPC, EROFS};
use nix::sys::signal::Signal;

use crate::broken_disk::{Faults, SmallDisk};
use crate::scene::{GRACE, Scene};

#[test]
fn a_full_state_disk_stops_reading_says_so_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("48m") else { return };
    let mut scene = Scene::new();
    scene.state = disk.path().join("state");
    let mut daemon = scene.start();
    scene.log(2_000_000);
    daemon.until("the first to be stored", || scene.stored() > 0);
    for leave in [5 << 20, 0] {
        disk.fill(leave);
        scene.log(2_000_000);
        daemon.says("make room, and it goes on by itself");
        std::thread::sleep(Duration::from_millis(800));
        let before = scene.stored();
        std::thread::sleep(Duration::from_millis(800));
        assert_eq!(scene.stored(), before, "it goes on without room");
        disk.empty();
        daemon.says("the disk has room again");
        let all = scene.captures.exchanges.len() - 40;
        daemon.until("the rest to be stored", || scene.stored() > all);
    }
    scene.complete(daemon);
}

#[test]
fn sigterm_while_the_state_disk_is_full_ends_within_the_grace_and_the_next_run_goes_on() {
    let Some(disk) = SmallDisk::mount("48m") else { return };
    let mut scene = Scene::new();
    scene.state = disk.path().join("state");
    let mut daemon = scene.start();
    scene.log(1_000_000);
    daemon.until("the first to be stored", || scene.stored() > 0);
    disk.fill(0);
    scene.log(1_000_000);
    daemon.says("make room, and it goes on by itself");
    let (status, took) = daemon.end_by(Signal::SIGTERM);
    assert_eq!(status.code(), Some(1), "{}", daemon.words());
    assert!(took < GRACE, "{took:?}");
    // It starts on a full disk too, and waits for room.
    let mut daemon = scene.start();
    daemon.says("make room, and it goes on by itself");
    disk.empty();
    scene.complete(daemon);
}

#[test]
fn a_disk_that_fills_while_it_is_killed_loses_nothing() {
    let Some(disk) = SmallDisk::mount("48m") else { return };
    let mut scene = Scene::new();
    scene.state = disk.path().join("state");
    for _ in 0..6 {
        let mut daemon = scene.start();
        scene.log(600_000);
        disk.fill(0);
        std::thread::sleep(Duration::from_millis(150));
        drop(daemon.child().kill());
        drop(daemon);
        let mut daemon = scene.start();
        daemon.says("ready");
        disk.empty();
        std::thread::sleep(Duration::from_millis(150));
    }
    let daemon = scene.start();
    scene.complete(daemon);
}

#[test]
fn a_full_destination_is_waited_for() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    let mut scene = Scene::new();
    scene.to = disk.path().join("captures");
    let mut daemon = scene.start();
    scene.log(1_000_000);
    daemon.until("the first to be stored", || scene.stored() > 0);
    disk.fill(0);
    scene.log(1_000_000);
    daemon.says("the destination refuses, nothing is lost");
    daemon.says("No space left on device");
    disk.empty();
    daemon.says("the destination takes objects again");
    scene.complete(daemon);
}

#[test]
fn a_destination_that_is_read_only_for_a_while_is_waited_for() {
    let Some(mut disk) = SmallDisk::mount("32m") else { return };
    let mut scene = Scene::new();
    scene.to = disk.path().join("captures");
    let mut daemon = scene.start();
    scene.log(1_000_000);
    daemon.until("the first to be stored", || scene.stored() > 0);
    disk.remount("ro");
    scene.log(1_000_000);
    daemon.says("the destination refuses, nothing is lost");
    daemon.says("Read-only file system");
    disk.remount("rw");
    daemon.says("the destination takes objects again");
    scene.complete(daemon);
}

#[test]
fn a_read_only_state_is_refused_with_what_to_do() {
    let Some(mut disk) = SmallDisk::mount("32m") else { return };
    let mut scene = Scene::new();
    scene.state = disk.path().join("state");
    scene.log(300_000);
    disk.remount("ro");
    let refused = |scene: &Scene| {
        let mut daemon = scene.start();
        assert_eq!(daemon.ended().code(), Some(1));
        let words = daemon.words();
        assert!(
            words.contains("Read-only file system") && words.contains("choose another directory with --state"),
            "{words}"
        );
    };
    refused(&scene);
    disk.remount("rw");
    let mut daemon = scene.start();
    daemon.until("the first to be stored", || scene.stored() > 0);
    daemon.end_by(Signal::SIGTERM);
    disk.remount("ro");
    refused(&scene);
    disk.remount("rw");
    let daemon = scene.start();
    scene.complete(daemon);
}

/// Runs into a fault at its start, and then in full work: the daemon has to end with 1, and say that nothing after the last commit is
/// trusted, or at the start what it cannot use. Then another goes on with the same state.
fn stops_and_begins_anew(fault: &str) {
    let mut scene = Scene::new();
    let faults = Faults::new(scene.dir.path());
    let once = fault.starts_with("once");
    for at_start in [true, false] {
        if at_start {
            faults.set(fault);
        }
        scene.log(1_500_000);
        let mut daemon = scene.start_with(&faults);
        if !at_start {
            daemon.until("the first to be stored", || scene.stored() > 0);
            faults.set(fault);
        }
        let status = daemon.ended_while(|| {
            scene.log(300_000);
            // The database writes pages before their commit where its cache is full, keeps those whose write failed, and writes them
            // again with the commit: such a fault does no harm and ends nothing, so another has to come.
            if once && faults.came() {
                faults.set(fault);
            }
        });
        let words = daemon.words();
        assert_eq!(status.code(), Some(1), "{fault}: {words}");
        let unusable = at_start && words.contains("or choose another directory with --state");
        let untrusted = words.contains("nothing after the last commit is trusted: put the disk right and start again");
        assert!(unusable || untrusted, "{fault}: {words}");
        if !faults.came() {
            faults.clear();
        }
    }
    let daemon = scene.start();
    scene.complete(daemon);
}

#[test]
fn after_an_fsync_of_the_database_fails_no_write_is_trusted() {
    stops_and_begins_anew(&format!("once sync state.redb {EIO}"));
}

#[test]
fn after_an_fsync_of_a_batch_fails_no_write_is_trusted() {
    stops_and_begins_anew(&format!("once sync .part {EIO}"));
}

#[test]
fn after_an_fsync_of_a_body_fails_no_write_is_trusted() {
    stops_and_begins_anew(&format!("once sync .body {EIO}"));
}

#[test]
fn after_a_write_to_the_database_fails_nothing_is_built_on_it() {
    stops_and_begins_anew(&format!("once write state.redb {EIO}"));
}

#[test]
fn after_a_write_to_a_batch_fails_nothing_is_built_on_it() {
    stops_and_begins_anew(&format!("once write .part {EIO}"));
}

#[test]
fn a_database_that_finds_the_disk_full_in_the_middle_of_a_commit_goes_back_to_the_last_one() {
    stops_and_begins_anew(&format!("once write state.redb {ENOSPC}"));
}

#[test]
fn a_disk_that_turns_read_only_under_the_daemon_ends_it() {
    stops_and_begins_anew(&format!("all write /state/ {EROFS}"));
}

#[test]
fn a_disk_whose_every_fsync_fails_ends_the_daemon() {
    stops_and_begins_anew(&format!("all sync /state/ {EIO}"));
}

#[test]
fn an_fsync_that_fails_in_the_destination_is_made_again() {
    let mut scene = Scene::new();
    let faults = Faults::new(scene.dir.path());
    let mut daemon = scene.start_with(&faults);
    for _ in 0..3 {
        faults.set(&format!("once sync /captures/ {EIO}"));
        scene.log(1_000_000);
        daemon.until("the fault", || faults.came());
    }
    daemon.says("the destination refuses, nothing is lost");
    daemon.says("the destination takes objects again");
    scene.complete(daemon);
}

#[test]
fn a_slow_disk_loses_nothing_and_takes_no_more_memory() {
    const MOST_BYTES: u64 = 256 << 20;
    let mut scene = Scene::new();
    let faults = Faults::new(scene.dir.path());
    faults.set("slow sync / 500");
    let mut daemon = scene.start_with(&faults);
    for _ in 0..20 {
        scene.log(1_000_000);
        std::thread::sleep(Duration::from_millis(150));
    }
    daemon.until("the first to be stored", || scene.stored() > 0);
    faults.clear();
    let (all, peak) = (scene.captures.exchanges.len() - 40, daemon.memory().peak_bytes);
    daemon.until("the rest to be stored", || scene.stored() > all);
    assert!(peak < MOST_BYTES, "{peak}");
    scene.complete(daemon);
}
