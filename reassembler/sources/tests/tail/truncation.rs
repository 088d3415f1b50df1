//! Files that are cut or rewritten in place, and copies of them.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::rig::{Rig, lines_of, numbered};

#[test]
fn truncation_starts_again_and_is_always_told() {
    let mut rig = Rig::following("app.log", "app.log", "one\ntwo\n");
    rig.cut("app.log", 0);
    rig.append("app.log", "x\n");
    rig.expect(&["one", "two", "x"]);
    assert_eq!(rig.seen.truncated, [0]);
}

#[test]
fn a_shorter_rewrite() {
    let mut rig = Rig::following("app.log", "app.log", "one\ntwo\nthree\n");
    rig.write("app.log", "four\n");
    rig.expect(&["one", "two", "three", "four"]);
    assert_eq!(rig.seen.truncated, [0]);
}

#[test]
fn a_rewrite_that_has_grown_past_the_position() {
    let mut rig = Rig::following("app.log", "app.log", "one\ntwo\n");
    let all = numbered("rewritten", 100);
    rig.write("app.log", &all);
    let mut expected = vec!["one", "two"];
    expected.extend(lines_of(&all));
    rig.expect(&expected);
    assert_eq!(rig.seen.truncated, [0]);
}

#[test]
fn a_rewrite_of_the_same_size() {
    let mut rig = Rig::following("app.log", "app.log", "one\ntwo\n");
    std::thread::sleep(Duration::from_millis(10));
    rig.write("app.log", "six\nten\n");
    rig.expect(&["one", "two", "six", "ten"]);
}

#[test]
fn truncation_while_down() {
    for content in ["new\n", "this is longer than what was there before\n"] {
        let mut rig = Rig::following("app.log", "app.log", "one\ntwo\n");
        rig.stop();
        rig.write("app.log", content);
        rig.start();
        rig.expect(&["one", "two", content.trim_end()]);
        assert_eq!(rig.seen.truncated, [0]);
    }
}

#[test]
fn what_was_cut_unread_is_counted() {
    let mut rig = Rig::new(&["app.log"]);
    rig.write("app.log", numbered("lost", 40_000));
    let size = std::fs::metadata(rig.path("app.log")).unwrap().len();
    rig.start();
    rig.read(1000);
    let read = rig.seen.bytes as u64;
    assert!(read < size / 2);
    rig.cut("app.log", 0);
    rig.drain();
    assert_eq!(rig.seen.truncated, [size - read]);
}

#[test]
fn what_was_cut_unread_while_down_is_counted() {
    let mut rig = Rig::new(&["app.log"]);
    rig.write("app.log", numbered("lost", 40_000));
    let size = std::fs::metadata(rig.path("app.log")).unwrap().len();
    rig.start();
    rig.read(1000);
    let read = rig.seen.bytes as u64;
    rig.stop();
    rig.cut("app.log", 0);
    rig.start();
    rig.drain();
    assert_eq!(rig.seen.truncated, [size - read]);
}

#[test]
fn a_cut_within_an_unfinished_line_goes_on_behind_what_was_read() {
    let mut rig = Rig::following("app.log", "app.log", "one\nunfinished");
    rig.cut("app.log", 6);
    rig.append("app.log", "til\n");
    rig.expect(&["one", "until"]);
    // What is gone of the unfinished line cannot be told from what replaced it, but for its length.
    assert!(rig.seen.truncated.iter().sum::<u64>() <= 8);
}

#[test]
fn copytruncate_with_the_copy_inside_the_glob() {
    let mut rig = Rig::following("app.log*", "app.log", "one\n");
    for round in 0..3 {
        rig.append("app.log", format!("two {round}\n"));
        if round > 0 {
            rig.rename("app.log.1", &format!("app.log.{}", round + 1));
        }
        rig.copytruncate("app.log", "app.log.1");
        rig.append("app.log", format!("three {round}\n"));
        rig.drain();
    }
    rig.restart();
    rig.expect(&["one", "two 0", "three 0", "two 1", "three 1", "two 2", "three 2"]);
    assert_eq!(rig.seen.truncated, [0, 0, 0]);
}

#[test]
fn copytruncate_after_all_was_read_with_the_copy_inside_the_glob() {
    let mut rig = Rig::following("app.log*", "app.log", "one\n");
    rig.copytruncate("app.log", "app.log.1");
    rig.drain();
    rig.append("app.log", "two\n");
    rig.expect(&["one", "two"]);
    rig.restart();
    rig.expect(&[]);
}

#[test]
fn the_copy_is_noticed_long_before_the_cut() {
    let mut rig = Rig::following("app.log*", "app.log", "one\ntwo\n");
    rig.config.copy_wait = Duration::from_secs(60);
    rig.restart();
    // The copy is being made.
    rig.write("app.log.1", "one\n");
    rig.drain();
    rig.append("app.log", "three\n");
    rig.drain();
    rig.write("app.log.1", "one\ntwo\nthree\n");
    rig.drain();
    rig.append("app.log", "in neither\n");
    rig.drain();
    rig.cut("app.log", 0);
    rig.append("app.log", "four\n");
    rig.expect(&["one", "two", "three", "in neither", "four"]);
}

#[test]
fn copytruncate_with_the_copy_inside_the_glob_while_down() {
    let mut rig = Rig::following("app.log*", "app.log", "one\n");
    rig.stop();
    rig.append("app.log", "two\n");
    rig.copytruncate("app.log", "app.log.1");
    rig.append("app.log", "three\n");
    rig.start();
    rig.expect(&["one", "two", "three"]);
    assert_eq!(rig.seen.truncated, [0]);
    rig.restart();
    rig.expect(&[]);
}

#[test]
fn a_copy_noticed_before_a_restart_and_cut_after_it() {
    let mut rig = Rig::new(&["app.log*"]);
    rig.config.copy_wait = Duration::from_secs(600);
    rig.write("app.log", "one\n");
    rig.start();
    rig.drain();
    std::fs::copy(rig.path("app.log"), rig.path("app.log.1")).unwrap();
    rig.drain();
    rig.restart();
    rig.drain();
    rig.stop();
    rig.cut("app.log", 0);
    rig.append("app.log", "two\n");
    rig.start();
    rig.expect(&["one", "two"]);
    rig.restart();
    rig.expect(&[]);
}

#[test]
fn copytruncate_with_the_copy_outside_the_glob_reads_the_rest_from_the_copy_beside_it() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    rig.append("app.log", "two\n");
    rig.copytruncate("app.log", "app.log.1");
    rig.append("app.log", "three\n");
    rig.expect(&["one", "two", "three"]);
    assert_eq!(rig.seen.truncated, [0]);
}

#[test]
fn copytruncate_with_the_copy_out_of_sight_tells_what_is_lost() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    std::fs::create_dir(rig.path("attic")).unwrap();
    rig.append("app.log", "seen, not read\nunfinished");
    rig.tail.as_mut().unwrap();
    rig.drain();
    rig.append("app.log", " and more");
    rig.drain();
    rig.copytruncate("app.log", "attic/app.log.1");
    rig.append("app.log", "two\n");
    rig.expect(&["one", "seen, not read", "two"]);
    assert_eq!(rig.seen.truncated, ["unfinished and more".len() as u64]);
}

#[test]
fn a_copy_made_by_hand_is_a_file_of_its_own() {
    let mut rig = Rig::following("app.log*", "app.log", "one\n");
    std::fs::copy(rig.path("app.log"), rig.path("app.log.bak")).unwrap();
    rig.drain();
    rig.pass(rig.config.copy_wait);
    rig.drain();
    rig.append("app.log.bak", "mine\n");
    rig.expect(&["one", "one", "mine"]);
    assert!(rig.seen.truncated.is_empty());
}

#[test]
fn the_hole_that_a_writer_without_append_leaves_is_passed() {
    let mut rig = Rig::following("app.log", "app.log", "one\ntwo\n");
    let writer = std::fs::OpenOptions::new().write(true).open(rig.path("app.log")).unwrap();
    let far = 6 << 30;
    rig.cut("app.log", 0);
    rig.drain();
    writer.write_all_at(b"three\nfour\n", far).unwrap();
    let before = std::time::Instant::now();
    rig.expect(&["one", "two", "three", "four"]);
    assert!(before.elapsed() < Duration::from_secs(2), "six gigabytes of nothing were read");
    rig.restart();
    writer.write_all_at(b"five\n", far + 11).unwrap();
    rig.expect(&["five"]);
}

#[test]
fn a_file_that_got_its_size_before_its_content_is_read_when_the_content_comes() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    rig.cut("app.log", 1 << 20);
    rig.drain();
    let writer = std::fs::OpenOptions::new().write(true).open(rig.path("app.log")).unwrap();
    writer.write_all_at(b"two\n", 4).unwrap();
    rig.drain();
    writer.write_all_at(b"three\n", 8).unwrap();
    rig.expect(&["one", "two", "three"]);
    assert!(rig.seen.truncated.is_empty());
}
