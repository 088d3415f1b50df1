//! Rotation by rename, replacement and deletion.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::rig::{Rig, lines_of, numbered};

#[test]
fn the_app_goes_on_writing_to_the_renamed_file() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    let mut old = rig.writer("app.log");
    rig.rename("app.log", "app.log.1");
    old.write_all(b"two\n").unwrap();
    rig.write("app.log", "four\n");
    rig.expect(&["one", "two", "four"]);
    old.write_all(b"three\n").unwrap();
    rig.expect(&["three"]);
}

#[test]
fn what_the_old_file_holds_comes_before_the_new_file() {
    let mut rig = Rig::following("app.log", "app.log", "");
    let backlog = numbered("old", 60_000);
    rig.append("app.log", &backlog);
    rig.rename("app.log", "app.log.1");
    rig.write("app.log", "new\n");
    let mut expected = lines_of(&backlog);
    expected.push("new");
    rig.expect(&expected);
    let (old, new) = (rig.seen.opened[0].0, rig.seen.opened[1].0);
    assert_eq!(rig.seen.follows, [(new, old)]);
}

#[test]
fn the_renamed_file_leaves_the_glob_with_half_a_line_whose_rest_comes_later() {
    let mut rig = Rig::following("*.log", "app.log", "one\ntw");
    let mut old = rig.writer("app.log");
    rig.rename("app.log", "app.log.1");
    rig.write("app.log", "three\n");
    rig.expect(&["one", "three"]);
    old.write_all(b"o\n").unwrap();
    rig.expect(&["two"]);
}

#[test]
fn half_a_line_in_a_rotated_file_is_kept_over_a_restart() {
    let mut rig = Rig::following("*.log", "app.log", "one\ntw");
    rig.rename("app.log", "app.log.1");
    rig.write("app.log", "three\n");
    rig.expect(&["one", "three"]);
    rig.restart();
    rig.append("app.log.1", "o\n");
    rig.expect(&["two"]);
}

#[test]
fn rotation_with_no_new_file_yet() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    rig.rename("app.log", "app.log.1");
    rig.append("app.log.1", "two\n");
    rig.expect(&["one", "two"]);
    rig.append("app.log.1", "three\n");
    rig.write("app.log", "four\n");
    rig.expect(&["three", "four"]);
}

#[test]
fn rotation_within_the_glob_reads_nothing_twice() {
    let mut rig = Rig::following("app.log*", "app.log", "one\n");
    for (number, line) in ["two", "three", "four"].iter().enumerate() {
        for older in (1..=number).rev() {
            rig.rename(&format!("app.log.{older}"), &format!("app.log.{}", older + 1));
        }
        rig.rename("app.log", "app.log.1");
        rig.write("app.log", format!("{line}\n"));
        rig.drain();
    }
    rig.restart();
    rig.expect(&["one", "two", "three", "four"]);
}

#[test]
fn two_rotations_between_two_looks() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    rig.append("app.log", "two\n");
    rig.rename("app.log", "app.log.2");
    std::thread::sleep(Duration::from_millis(10));
    rig.write("app.log.1", "three\n");
    rig.write("app.log", "four\n");
    rig.expect(&["one", "two", "three", "four"]);
}

#[test]
fn old_siblings_that_were_there_before_are_never_read() {
    let mut rig = Rig::new(&["app.log"]);
    rig.write("app.log.1", "ancient\n");
    rig.write("app.error.log", "another\n");
    std::thread::sleep(Duration::from_millis(10));
    rig.write("app.log", "one\n");
    rig.start();
    rig.drain();
    rig.append("app.error.log", "another\n");
    rig.rename("app.log.1", "app.log.2");
    rig.rename("app.log", "app.log.1");
    rig.write("app.log", "two\n");
    rig.drain();
    rig.restart();
    rig.expect(&["one", "two"]);
}

#[test]
fn atomic_replacement_by_rename() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    rig.append("app.log", "two\n");
    rig.write("new", "three\n");
    rig.rename("new", "app.log");
    rig.expect(&["one", "two", "three"]);
}

#[test]
fn a_file_deleted_while_it_is_being_read_is_read_to_its_end() {
    let mut rig = Rig::new(&["app.log"]);
    let all = numbered("deleted", 50_000);
    rig.write("app.log", &all);
    rig.start();
    rig.read(1000);
    let mut writer = rig.writer("app.log");
    rig.remove("app.log");
    writer.write_all(b"after deletion\nunfinished").unwrap();
    let mut expected = lines_of(&all);
    expected.push("after deletion");
    rig.expect(&expected);
    assert!(rig.seen.closed.is_empty());
    rig.pass(rig.config.rotated_quiet);
    rig.expect(&["unfinished"]);
    assert_eq!(rig.seen.closed.len(), 1);
    rig.checkpoint();
    assert!(rig.records.is_empty());
}

#[test]
fn a_chain_of_symbolic_links_as_kubernetes_makes_it() {
    let mut rig = Rig::new(&["containers/*.log"]);
    for dir in ["containers", "pods/shop_1/app", "docker/abc"] {
        std::fs::create_dir_all(rig.path(dir)).unwrap();
    }
    rig.write("docker/abc/abc-json.log", "one\n");
    symlink(rig.path("docker/abc/abc-json.log"), rig.path("pods/shop_1/app/0.log")).unwrap();
    symlink("../pods/shop_1/app/0.log", rig.path("containers/shop.log")).unwrap();
    rig.start();
    rig.drain();
    // Docker rotates the file at the chain's end; nothing in the matched directory changes.
    rig.append("docker/abc/abc-json.log", "two\n");
    rig.rename("docker/abc/abc-json.log", "docker/abc/abc-json.log.1");
    rig.write("docker/abc/abc-json.log", "three\n");
    rig.expect(&["one", "two", "three"]);
    // The container restarts: the chain leads to another file.
    rig.write("pods/shop_1/app/1.log", "four\n");
    std::fs::remove_file(rig.path("containers/shop.log")).unwrap();
    symlink("../pods/shop_1/app/1.log", rig.path("containers/shop.log")).unwrap();
    rig.append("docker/abc/abc-json.log", "three and a half\n");
    rig.expect(&["three and a half", "four"]);
    rig.restart();
    rig.append("pods/shop_1/app/1.log", "five\n");
    rig.expect(&["five"]);
}

#[test]
fn rotation_behind_a_symbolic_link_while_down() {
    let mut rig = Rig::new(&["containers/*.log"]);
    std::fs::create_dir(rig.path("containers")).unwrap();
    std::fs::create_dir(rig.path("pod")).unwrap();
    rig.write("pod/0.log", "one\n");
    symlink("../pod/0.log", rig.path("containers/shop.log")).unwrap();
    rig.start();
    rig.expect(&["one"]);
    rig.stop();
    rig.append("pod/0.log", "two\n");
    rig.rename("pod/0.log", "pod/0.log.20260131-101010");
    rig.write("pod/0.log", "three\n");
    rig.start();
    rig.expect(&["two", "three"]);
}

#[test]
fn a_silent_rotated_file_is_let_go_and_taken_up_again_when_it_grows() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    rig.rename("app.log", "app.log.1");
    rig.write("app.log", "two\n");
    rig.expect(&["one", "two"]);
    rig.pass(rig.config.rotated_quiet);
    rig.drain();
    assert_eq!(rig.seen.closed, [rig.seen.opened[0].0]);
    rig.append("app.log.1", "late\n");
    rig.expect(&["late"]);
    rig.pass(rig.config.rotated_quiet);
    rig.drain();
    rig.restart();
    rig.expect(&[]);
    rig.append("app.log.1", "later\n");
    rig.expect(&["later"]);
}

#[test]
fn nothing_is_lost_when_nobody_reads_for_an_hour() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    let mut old = rig.writer("app.log");
    rig.append("app.log", "two\n");
    rig.rename("app.log", "app.log.1");
    old.write_all(b"three\n").unwrap();
    rig.remove("app.log.1");
    rig.write("app.log", "four\n");
    rig.pass(Duration::from_secs(3600));
    rig.expect(&["one", "two", "three", "four"]);
}
