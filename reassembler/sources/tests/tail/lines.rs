//! What lines may hold.

use std::time::Instant;

use crate::rig::{Rig, lines_of, numbered};

#[test]
fn crlf_and_bytes_that_are_not_utf8_stay_as_they_are() {
    let mut rig = Rig::new(&["app.log"]);
    rig.write("app.log", b"a\r\n\xff\xfe\n\nb\n");
    rig.start();
    rig.expect(&["a\r", "\u{fffd}\u{fffd}", "", "b"]);
}

#[test]
fn an_empty_file_is_opened_and_grows() {
    let mut rig = Rig::following("app.log", "app.log", "");
    assert_eq!(rig.seen.opened.len(), 1);
    rig.append("app.log", "one\n");
    rig.expect(&["one"]);
    assert_eq!(rig.seen.opened.len(), 1);
}

#[test]
fn nul_bytes_between_lines_are_skipped() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    rig.append("app.log", [b"\0\0\0two\n".to_vec(), vec![0; 5000], b"three\n\0\0".to_vec()].concat());
    rig.expect(&["one", "two", "three"]);
    rig.append("app.log", "four\n");
    rig.expect(&["four"]);
}

#[test]
fn a_line_longer_than_the_limit_is_skipped_and_the_next_is_read() {
    let mut rig = Rig::new(&["app.log"]);
    let long = "x".repeat(1024 * 1024);
    let fits = "y".repeat(1024 * 1024 - 1);
    rig.write("app.log", format!("one\n{long}\n{fits}\ntwo\n"));
    rig.start();
    rig.expect(&["one", &fits, "two"]);
    assert_eq!(rig.seen.long, [1024 * 1024 + 1]);
}

#[test]
fn a_small_limit_holds_within_a_block_too() {
    let mut rig = Rig::new(&["app.log"]);
    rig.config.max_line_bytes = 8;
    rig.write("app.log", "1234567\n12345678\nok\n123456789012345678901234567890\nok\n");
    rig.start();
    rig.expect(&["1234567", "ok", "ok"]);
    assert_eq!(rig.seen.long, [9, 31]);
}

#[test]
fn a_partial_line_that_grows_byte_by_byte_is_not_read_again_each_time() {
    let mut rig = Rig::following("app.log", "app.log", "one\n");
    let line = "z".repeat(900_000);
    let mut read = 0;
    for piece in line.as_bytes().chunks(1000) {
        rig.append("app.log", piece);
        rig.pass(std::time::Duration::from_secs(1));
        read += rig.read(1 << 20).bytes;
    }
    rig.append("app.log", "\n");
    assert!(read < 3 * line.len(), "{read} bytes were read for a line of {}", line.len());
    rig.expect(&["one", &line]);
}

#[test]
fn many_lines_come_in_blocks() {
    let mut rig = Rig::new(&["app.log"]);
    let all = numbered("block", 300_000);
    rig.write("app.log", &all);
    rig.start();
    let began = Instant::now();
    rig.expect(&lines_of(&all));
    assert!(began.elapsed().as_secs() < 20);
}
