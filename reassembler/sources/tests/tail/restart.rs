//! Going on after a restart from position records.

use std::fs;
use std::time::Duration;

use reassemble_sources::{InputId, SourceError, Tail};

use crate::rig::{Rig, lines_of, numbered};

#[test]
fn reading_goes_on_where_it_stopped() {
    let mut rig = Rig::new(&["app.log"]);
    let all = numbered("restart", 30_000);
    rig.write("app.log", &all);
    rig.start();
    let mut restarts = 0;
    while !rig.read(1).caught_up {
        rig.restart();
        restarts += 1;
        rig.pass(Duration::from_secs(1));
    }
    assert!(restarts > 3);
    assert_eq!(rig.seen.lines, lines_of(&all));
}

#[test]
fn without_a_checkpoint_reading_is_repeated_from_the_last_one() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    rig.checkpoint();
    rig.append("app.log", "two\n");
    rig.expect(&["one", "two"]);
    // As after SIGKILL: what was read since is read again.
    rig.tail = None;
    rig.start();
    rig.expect(&["two"]);
}

#[test]
fn records_tell_nothing_of_the_content_and_only_changes() {
    let mut rig = Rig::following("app.log", "app.log", "secret content\n");
    rig.checkpoint();
    let record = String::from_utf8(rig.records.values().next().unwrap().clone()).unwrap();
    assert!(record.contains("\"position\":15") && !record.contains("secret"), "{record}");
    rig.drain();
    assert!(rig.tail.as_mut().unwrap().changed_records().is_empty());
}

#[test]
fn rotation_while_down() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    rig.stop();
    rig.append("app.log", "two\n");
    rig.rename("app.log", "app.log.1");
    rig.write("app.log", "three\n");
    rig.start();
    rig.expect(&["one", "two", "three"]);
    assert_eq!(rig.seen.follows.len(), 1);
}

#[test]
fn rotation_while_down_with_no_new_file_yet() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    rig.stop();
    rig.append("app.log", "two\n");
    rig.rename("app.log", "app.log.1");
    rig.start();
    rig.expect(&["one", "two"]);
    rig.write("app.log", "three\n");
    rig.expect(&["three"]);
}

#[test]
fn two_rotations_while_down_are_read_oldest_first() {
    for pattern in ["app.log", "app.log*"] {
        let mut rig = Rig::following(pattern, "app.log", "one\n");
        rig.stop();
        rig.append("app.log", "two\n");
        rig.rename("app.log", "app.log.2");
        std::thread::sleep(Duration::from_millis(10));
        rig.write("app.log.1", "three\n");
        std::thread::sleep(Duration::from_millis(10));
        rig.write("app.log", "four\n");
        rig.start();
        rig.expect(&["one", "two", "three", "four"]);
        rig.restart();
        rig.expect(&[]);
    }
}

#[test]
fn two_rotations_while_down_with_compression() {
    for pattern in ["app.log", "app.log*"] {
        let mut rig = Rig::following(pattern, "app.log", "one\n");
        rig.stop();
        rig.append("app.log", "two\n");
        rig.gzip("app.log", "app.log.2.gz");
        rig.remove("app.log");
        std::thread::sleep(Duration::from_millis(10));
        rig.write("app.log.1", "three\n");
        rig.gzip("app.log.1", "app.log.1.gz");
        rig.remove("app.log.1");
        std::thread::sleep(Duration::from_millis(10));
        rig.write("app.log", "four\n");
        rig.start();
        rig.expect(&["one", "two", "three", "four"]);
        rig.restart();
        rig.expect(&[]);
    }
}

#[test]
fn an_inode_number_used_again_by_a_smaller_file() {
    let mut rig = Rig::following("app.log", "app.log", "one\ntwo\nthree\n");
    rig.stop();
    let inode = |rig: &Rig| std::os::unix::fs::MetadataExt::ino(&fs::metadata(rig.path("app.log")).unwrap());
    let old = inode(&rig);
    rig.remove("app.log");
    rig.write("app.log", "x\n");
    // As it looks when the number was given away again.
    rig.edit_records("ino", old, inode(&rig));
    rig.start();
    rig.expect(&["one", "two", "three", "x"]);
    assert!(rig.seen.truncated.is_empty());
}

#[test]
fn two_files_with_the_same_beginning_are_two_files() {
    let banner = "the same first line, for long enough\n".repeat(60);
    let mut rig = Rig::new(&["*.log"]);
    rig.write("a.log", format!("{banner}a\n"));
    rig.write("b.log", format!("{banner}b\n"));
    rig.start();
    rig.drain();
    assert_eq!(rig.seen.lines.len(), 122);
    rig.seen.lines.clear();
    rig.stop();
    rig.append("a.log", "a again\n");
    rig.append("b.log", "b again\n");
    rig.rename("a.log", "c.log");
    rig.rename("b.log", "a.log");
    rig.rename("c.log", "b.log");
    rig.start();
    rig.drain();
    rig.seen.lines.sort();
    assert_eq!(rig.seen.lines, ["a again", "b again"]);
}

#[test]
fn short_files_with_the_same_first_line_grow_apart() {
    let mut rig = Rig::new(&["*.log"]);
    rig.write("a.log", "start\n");
    rig.write("b.log", "start\n");
    rig.start();
    rig.expect(&["start", "start"]);
    rig.append("a.log", "a\n");
    rig.append("b.log", "b\n");
    rig.drain();
    rig.restart();
    rig.append("a.log", "aa\n");
    rig.append("b.log", "bb\n");
    rig.drain();
    rig.seen.lines.sort();
    assert_eq!(rig.seen.lines, ["a", "aa", "b", "bb"]);
}

#[test]
fn a_device_number_that_changed_with_a_reboot() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    rig.stop();
    let dev = std::os::unix::fs::MetadataExt::dev(&fs::metadata(rig.path("app.log")).unwrap());
    rig.edit_records("dev", dev, dev + 7);
    rig.append("app.log", "two\n");
    rig.start();
    rig.expect(&["one", "two"]);
    assert!(rig.seen.truncated.is_empty());
}

#[test]
fn a_file_that_vanished_while_down_is_told_with_what_is_lost() {
    let mut rig = Rig::new(&["app.log"]);
    rig.write("app.log", numbered("gone", 40_000));
    let size = fs::metadata(rig.path("app.log")).unwrap().len();
    rig.start();
    rig.read(1000);
    let read = rig.seen.bytes as u64;
    rig.stop();
    rig.remove("app.log");
    rig.start();
    rig.drain();
    assert_eq!(rig.seen.truncated, [size - read]);
    assert!(rig.seen.failed[0].contains("is gone"), "{:?}", rig.seen.failed);
    rig.checkpoint();
    assert!(rig.records.is_empty());
}

#[test]
fn no_newline_at_the_end_completed_after_a_restart() {
    let mut rig = Rig::following("app.log", "app.log", "one\ntw");
    rig.expect(&["one"]);
    rig.stop();
    rig.append("app.log", "o\n");
    rig.start();
    rig.expect(&["two"]);
}

#[test]
fn an_over_long_line_is_skipped_across_a_restart_and_counted_once() {
    let mut rig = Rig::new(&["app.log"]);
    rig.config.max_line_bytes = 100;
    rig.write("app.log", [b"one\n".to_vec(), vec![b'x'; 500]].concat());
    rig.start();
    rig.drain();
    rig.stop();
    rig.append("app.log", "yyy\ntwo\n");
    rig.start();
    rig.expect(&["one", "two"]);
    assert_eq!(rig.seen.long, [504]);
}

#[test]
fn records_that_are_torn_or_of_the_future_are_errors() {
    let rig = Rig::new(&["app.log"]);
    let open = |record: &[u8]| {
        let restored = vec![(InputId(3), record.to_vec())];
        Tail::open(rig.config.clone(), restored, || InputId(9), std::sync::Arc::new(|| {}), rig.clock)
    };
    assert!(matches!(open(b"{\"v\":1,\"dev\""), Err(SourceError::Record { input: 3, .. })));
    assert!(matches!(open(b"{\"v\":99}"), Err(SourceError::RecordVersion { input: 3, found: 99, known: 1 })));
}
