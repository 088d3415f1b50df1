//! Compressed files among the followed ones.

use std::fs::OpenOptions;
use std::time::{Duration, SystemTime};

use crate::rig::{Rig, gzip, lines_of, numbered};

#[test]
fn a_rotated_file_that_becomes_gz_is_not_read_twice() {
    let mut rig = Rig::following("app.log*", "app.log", "one\ntwo\n");
    rig.rename("app.log", "app.log.1");
    rig.write("app.log", "three\n");
    rig.drain();
    rig.gzip("app.log.1", "app.log.1.gz");
    rig.drain();
    rig.remove("app.log.1");
    rig.drain();
    rig.pass(rig.config.rotated_quiet);
    rig.drain();
    rig.restart();
    rig.drain();
    rig.rename("app.log.1.gz", "app.log.2.gz");
    rig.expect(&["one", "two", "three"]);
    assert!(rig.seen.failed.is_empty() && rig.seen.truncated.is_empty());
}

#[test]
fn a_file_compressed_at_once_is_read_to_its_end_and_not_twice() {
    let mut rig = Rig::following("app.log*", "app.log", "one\n");
    rig.append("app.log", "two\nthree");
    rig.gzip("app.log", "app.log.1.gz");
    rig.remove("app.log");
    rig.write("app.log", "four\n");
    rig.drain();
    rig.pass(rig.config.rotated_quiet);
    rig.drain();
    rig.drain();
    rig.seen.lines.sort();
    assert_eq!(rig.seen.lines, ["four", "one", "three", "two"]);
}

#[test]
fn what_was_compressed_before_it_was_read_is_read_from_the_archive() {
    for pattern in ["app.log", "app.log*"] {
        let mut rig = Rig::new(&[pattern]);
        let all = numbered("compressed", 60_000);
        rig.write("app.log", &all);
        rig.start();
        rig.read(1000);
        assert!(rig.seen.bytes < all.len() / 2);
        rig.stop();
        rig.gzip("app.log", "app.log.1.gz");
        rig.remove("app.log");
        rig.write("app.log", "new\n");
        rig.start();
        let mut expected = lines_of(&all);
        expected.push("new");
        rig.expect(&expected);
        assert!(rig.seen.truncated.is_empty());
        rig.restart();
        rig.expect(&[]);
    }
}

#[test]
fn an_archive_matched_by_the_glob_is_read_whole_once() {
    let mut rig = Rig::new(&["*.gz"]);
    let first = numbered("first", 20_000);
    rig.write("a.gz", [gzip(first.as_bytes()), gzip(b""), gzip(b"second\nlast without newline")].concat());
    rig.start();
    let mut expected = lines_of(&first);
    expected.extend(["second", "last without newline"]);
    rig.expect(&expected);
    assert_eq!(rig.seen.closed.len(), 1);
    rig.restart();
    rig.expect(&[]);
}

#[test]
fn an_archive_half_read_is_continued_after_a_restart() {
    let mut rig = Rig::new(&["*.gz"]);
    let all = numbered("archive", 60_000);
    rig.write("a.gz", gzip(all.as_bytes()));
    rig.start();
    rig.pass(Duration::from_secs(11));
    let mut restarts = 0;
    for _ in 0..1000 {
        rig.pass(Duration::from_secs(3));
        rig.read(300_000);
        if rig.seen.closed.len() == 1 {
            break;
        }
        if rig.seen.lines.len() > restarts * 10_000 {
            rig.restart();
            restarts += 1;
        }
    }
    assert!(restarts > 2);
    assert_eq!(rig.seen.lines, lines_of(&all));
}

#[test]
fn a_backlog_of_archives_is_read_one_after_another() {
    let mut rig = Rig::new(&["*.gz"]);
    for number in 0..20 {
        rig.write(&format!("{number}.gz"), gzip(numbered(&format!("file {number}"), 2000).as_bytes()));
    }
    rig.start();
    rig.drain();
    assert_eq!(rig.seen.lines.len(), 40_000);
    assert_eq!(rig.seen.closed.len(), 20);
}

#[test]
fn zstd_is_known_by_its_first_bytes() {
    let mut rig = Rig::new(&["*"]);
    let all = numbered("zstd", 1000);
    rig.write("named-like-a.log", zstd::encode_all(all.as_bytes(), 1).unwrap());
    rig.start();
    rig.expect(&lines_of(&all));
}

#[test]
fn archives_that_begin_alike_are_told_apart() {
    let banner = "the same banner in every file, longer than any fingerprint\n".repeat(30);
    let mut rig = Rig::new(&["app.log*"]);
    rig.write("app.log", format!("{banner}live\n"));
    rig.write("app.log.3.gz", gzip(format!("{banner}three, and a little more of it\n").as_bytes()));
    rig.start();
    rig.drain();
    assert_eq!(rig.seen.lines.iter().filter(|line| !line.starts_with("the same")).count(), 2);
}

#[test]
fn an_archive_that_is_being_written_is_waited_for() {
    let mut rig = Rig::new(&["*.gz"]);
    let all = numbered("slow", 5000);
    let bytes = gzip(all.as_bytes());
    rig.write("a.gz", &bytes[..bytes.len() / 2]);
    rig.start();
    rig.drain();
    rig.append("a.gz", &bytes[bytes.len() / 2..]);
    rig.expect(&lines_of(&all));
    assert!(rig.seen.failed.is_empty());
}

#[test]
fn a_damaged_archive_delivers_what_can_be_read_and_says_so_once() {
    let mut rig = Rig::new(&["*.gz"]);
    let bytes = gzip(numbered("damaged", 50_000).as_bytes());
    rig.write("a.gz", &bytes[..bytes.len() / 2]);
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    OpenOptions::new().write(true).open(rig.path("a.gz")).unwrap().set_modified(hour_ago).unwrap();
    rig.start();
    rig.drain();
    rig.restart();
    rig.drain();
    assert!(rig.seen.lines.len() > 1000);
    assert_eq!(rig.seen.failed.len(), 1, "{:?}", rig.seen.failed);
    assert!(rig.seen.failed[0].contains("ends too early"));
}
