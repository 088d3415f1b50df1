//! Which files are found, and what cannot be read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use reassemble_sources::SourceError;

use crate::rig::{Rig, lines_of, numbered};

#[test]
fn a_directory_created_after_the_start() {
    let mut rig = Rig::new(&["logs/*/app.log"]);
    rig.start();
    rig.drain();
    fs::create_dir_all(rig.path("logs/one")).unwrap();
    rig.write("logs/one/app.log", "one\n");
    rig.expect(&["one"]);
}

#[test]
fn a_glob_that_matches_nothing_yet() {
    let mut rig = Rig::new(&["*.log"]);
    rig.start();
    rig.expect(&[]);
    rig.write("a.log", "a\n");
    rig.expect(&["a"]);
}

#[test]
fn one_file_by_two_globs_and_two_hard_links_is_read_once() {
    let mut rig = Rig::new(&["*.log", "a*"]);
    rig.write("a.log", "one\n");
    fs::hard_link(rig.path("a.log"), rig.path("b.log")).unwrap();
    rig.start();
    rig.drain();
    rig.append("b.log", "two\n");
    rig.drain();
    rig.remove("a.log");
    rig.append("b.log", "three\n");
    rig.expect(&["one", "two", "three"]);
    rig.restart();
    rig.expect(&[]);
}

#[test]
fn of_a_thousand_files_a_hot_one_starves_none() {
    let mut rig = Rig::new(&["*.log"]);
    for number in 0..1000 {
        rig.write(&format!("{number}.log"), format!("file {number}\n"));
    }
    rig.start();
    rig.drain();
    assert_eq!(rig.seen.lines.len(), 1000);
    rig.write("hot.log", numbered("hot", 200_000));
    rig.append("7.log", "cold\n");
    rig.pass(Duration::from_secs(11));
    while !rig.seen.lines.contains(&"cold".to_owned()) {
        assert!(rig.seen.bytes < 2_000_000, "the cold file waits for the hot one");
        rig.read(300_000);
    }
}

#[test]
fn from_end_reads_only_what_comes_later() {
    let mut rig = Rig::new(&["*.log"]);
    rig.config.from_end = true;
    rig.write("a.log", "old\nunfin");
    rig.start();
    rig.drain();
    rig.append("a.log", "ished\nnew\n");
    rig.write("b.log", "from the start\n");
    rig.drain();
    rig.restart();
    rig.write("c.log", "while running\n");
    rig.drain();
    rig.seen.lines.sort();
    assert_eq!(rig.seen.lines, ["from the start", "new", "unfinished", "while running"]);
}

#[test]
fn descriptors_are_bounded_and_nothing_is_missed() {
    let mut rig = Rig::new(&["*.log"]);
    rig.config.max_open_files = Some(5);
    for number in 0..40 {
        rig.write(&format!("{number}.log"), format!("{number}\n"));
    }
    rig.start();
    rig.drain();
    let held = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let held = held.filter(|fd| fs::read_link(fd.path()).is_ok_and(|path| path.starts_with(&rig.root))).count();
    assert!(held <= 5, "{held} descriptors");
    rig.seen.lines.clear();
    for number in 0..40 {
        rig.append(&format!("{number}.log"), format!("{number} again\n"));
    }
    rig.rename("3.log", "3.log.1");
    rig.write("3.log", "3 anew\n");
    rig.drain();
    assert_eq!(rig.seen.lines.len(), 41);
    rig.restart();
    rig.seen.lines.clear();
    rig.expect(&[]);
}

#[test]
fn a_file_without_permission_is_told_once_and_read_when_it_may_be() {
    let mut rig = Rig::new(&["*.log"]);
    rig.write("a.log", "one\n");
    fs::set_permissions(rig.path("a.log"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(rig.path("a.log")).is_ok() {
        // Root may read everything: a link that leads nowhere but to itself is refused to root, too.
        fs::rename(rig.path("a.log"), rig.path("kept")).unwrap();
        std::os::unix::fs::symlink("a.log", rig.path("a.log")).unwrap();
    }
    rig.start();
    rig.drain();
    rig.drain();
    assert_eq!(rig.seen.failed.len(), 1, "{:?}", rig.seen.failed);
    assert!(rig.seen.failed[0].contains("a.log"));
    if rig.path("kept").exists() {
        fs::rename(rig.path("kept"), rig.path("a.log")).unwrap();
    }
    fs::set_permissions(rig.path("a.log"), fs::Permissions::from_mode(0o600)).unwrap();
    rig.expect(&["one"]);
}

#[test]
fn a_directory_for_a_file_is_told_once_and_a_file_in_its_place_is_read() {
    let mut rig = Rig::new(&["app.log"]);
    fs::create_dir(rig.path("app.log")).unwrap();
    rig.start();
    rig.drain();
    rig.drain();
    assert_eq!(rig.seen.failed.len(), 1);
    assert!(rig.seen.failed[0].contains("is a directory"), "{:?}", rig.seen.failed);
    fs::remove_dir(rig.path("app.log")).unwrap();
    rig.write("app.log", "one\n");
    rig.expect(&["one"]);
}

#[test]
fn a_named_pipe_in_the_way_blocks_nothing() {
    let mut rig = Rig::new(&["*.log", "named.pipe"]);
    for name in ["x.log", "named.pipe"] {
        nix::unistd::mkfifo(&rig.path(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    rig.write("a.log", "one\n");
    rig.start();
    rig.expect(&["one"]);
    assert_eq!(rig.seen.failed.len(), 1);
    assert!(rig.seen.failed[0].contains("not a regular file"));
}

#[test]
fn a_file_name_with_control_characters_is_shown_without_them() {
    let mut rig = Rig::new(&["*.log"]);
    rig.write("a\u{1b}[2J.log", "one\n");
    rig.start();
    rig.expect(&["one"]);
    assert!(rig.seen.opened[0].1.ends_with("a\\u{1b}[2J.log"));
}

#[test]
fn a_pattern_that_is_none_is_an_error() {
    let mut rig = Rig::new(&["[.log"]);
    let open = |rig: &Rig| {
        let next = || reassemble_sources::InputId(1);
        reassemble_sources::Tail::open(rig.config.clone(), Vec::new(), next, std::sync::Arc::new(|| {}), rig.clock)
    };
    assert!(matches!(open(&rig), Err(SourceError::Pattern { .. })));
    // A file of that very name is no pattern.
    rig.write("[.log", numbered("odd", 2));
    rig.start();
    rig.expect(&lines_of(&numbered("odd", 2)));
}

#[test]
fn a_caller_that_has_caught_up_may_sleep_until_the_next_poll() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    let wake = rig.tail.as_ref().unwrap().next_wake(rig.clock);
    assert!(wake > Duration::ZERO && wake <= rig.config.poll_interval);
    rig.append("app.log", numbered("more", 100_000));
    rig.pass(Duration::from_secs(1));
    assert!(!rig.read(1).caught_up);
    assert_eq!(rig.tail.as_ref().unwrap().next_wake(rig.clock), Duration::ZERO);
}
