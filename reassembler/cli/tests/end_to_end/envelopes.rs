//! The shop's log in every envelope, and captures in every order.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::load::{self, Load};
use crate::programs::{Shop, reassemble, run};
use crate::stored;

/// One shop's log and the load that made it, for all tests of this file.
fn shop_log() -> (&'static str, &'static Load) {
    static LOG: OnceLock<(TempDir, String, Load)> = OnceLock::new();
    let (_, log, load) = LOG.get_or_init(|| {
        let dir = tempdir().unwrap();
        let log = dir.path().join("shop.log");
        let shop = Shop::start(&log);
        let load = load::run(&shop.url, 600);
        assert_eq!(shop.end(), 0);
        let text = fs::read_to_string(log).unwrap();
        (dir, text, load)
    });
    (log, load)
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn assert_read(log: &str, load: &Load, extra: &[&str]) -> Value {
    let dir = tempdir().unwrap();
    let (file, captures) = (dir.path().join("app.log"), dir.path().join("captures"));
    fs::write(&file, log).unwrap();
    let mut command = reassemble(extra);
    command.arg("--to").arg(&captures).arg(&file);
    let (code, summary, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
    stored::assert_holds(&captures, load);
    summary
}

#[test]
fn plain_lines_in_every_compression() {
    let (log, load) = shop_log();
    for compression in ["gzip", "zstd", "none"] {
        let summary = assert_read(log, load, &["--compression", compression]);
        assert_eq!(summary["run"]["bytes_read"].as_u64(), Some(log.len() as u64));
        assert_eq!(summary["run"]["lines_read"].as_u64(), Some(log.lines().count() as u64));
    }
}

#[test]
fn dockers_json_file() {
    let (log, load) = shop_log();
    let mut docker = String::new();
    for line in log.split_inclusive('\n') {
        for piece in line.as_bytes().chunks(16 * 1024) {
            let piece = std::str::from_utf8(piece).unwrap();
            docker.push_str(&format!(
                "{{\"log\":{},\"stream\":\"stdout\",\"time\":\"2026-11-22T05:00:00.1Z\"}}\n",
                quoted(piece)
            ));
        }
    }
    assert_read(&docker, load, &[]);
    assert_read(&docker, load, &["--envelope", "docker"]);
}

#[test]
fn cri_with_the_other_stream_between() {
    let (log, load) = shop_log();
    let mut cri = String::new();
    for (number, line) in log.lines().enumerate() {
        // Pieces shorter than any runtime makes them, so that every line has some; cut at a character's edge as text is all this test makes.
        let mut rest = line;
        while !rest.is_empty() {
            let mut end = rest.len().min(1_500);
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            let tag = if end == rest.len() { "F" } else { "P" };
            cri.push_str(&format!("2026-11-22T05:00:00.123456789Z stdout {tag} {}\n", &rest[..end]));
            cri.push_str(&format!(
                "2026-11-22T05:00:00.123456789Z stderr {} noise {number}\n",
                if number % 2 == 0 { "P" } else { "F" }
            ));
            rest = &rest[end..];
        }
    }
    assert_read(&cri, load, &[]);
}

#[test]
fn json_loggers_with_a_string_or_an_object() {
    let (log, load) = shop_log();
    let wrap = |each: fn(&str) -> String| log.lines().map(each).collect::<String>();
    let strings = wrap(|line| format!("{{\"level\":\"info\",\"msg\":{}}}\n", quoted(line)));
    assert_read(&strings, load, &[]);
    let twice = wrap(|line| format!("{{\"log\":{}}}\n", quoted(&format!("{{\"message\":{}}}", quoted(line)))));
    assert_read(&twice, load, &["--envelope", "json"]);
    let nested = wrap(|line| match line.starts_with('{') {
        true => format!("{{\"level\":\"info\",\"payload\":{{\"record\":{line}}}}}\n"),
        false => format!("{{\"msg\":{}}}\n", quoted(line)),
    });
    assert_read(&nested, load, &[]);
}

#[test]
fn standard_input() {
    let (log, load) = shop_log();
    let dir = tempdir().unwrap();
    let (file, captures) = (dir.path().join("log"), dir.path().join("captures"));
    fs::write(&file, log).unwrap();
    let mut command = reassemble(["--to"]);
    command.arg(&captures).stdin(Stdio::from(fs::File::open(&file).unwrap()));
    let (code, _, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
    stored::assert_holds(&captures, load);
}

#[test]
fn archives_are_read_and_reading_again_stores_nothing_twice() {
    let (log, load) = shop_log();
    let dir = tempdir().unwrap();
    let captures = dir.path().join("captures");
    let log = log.as_bytes();
    let half = log[..log.len() / 2].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(dir.path().join("a.gz"), [gzip(&log[..half / 2]), gzip(&log[half / 2..half])].concat()).unwrap();
    fs::write(dir.path().join("b.zst"), zstd::encode_all(&log[half..], 1).unwrap()).unwrap();
    let read = |names: &[&str]| {
        let mut command = reassemble(["--to"]);
        command.arg(&captures).args(names).current_dir(dir.path());
        run(command)
    };
    let (code, _, said) = read(&["a.gz", "b.zst"]);
    assert_eq!(code, Some(0), "{said}");
    stored::assert_holds(&captures, load);
    let files = stored::files(&captures);
    for names in [&["a.gz", "b.zst"][..], &["b.zst"]] {
        let (code, summary, said) = read(names);
        assert_eq!((code, summary["run"]["exchanges_complete"].as_u64()), (Some(0), Some(0)), "{said}");
        assert_eq!(summary["run"]["exchanges_incomplete"].as_u64(), Some(0));
    }
    assert_eq!(stored::files(&captures), files);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Ten thousand captures of four lines each, all open at once, shuffled, with every third line twice, over two files.
#[test]
fn ten_thousand_captures_interleaved_out_of_order_and_repeated() {
    const CAPTURES: usize = 10_000;
    let dir = tempdir().unwrap();
    let captures = dir.path().join("captures");
    let mut lines = Vec::new();
    for id in 0..CAPTURES {
        for part in ["req", "res"] {
            let head = if part == "req" {
                r#"{"ts":"2026-11-01T10:00:00.000000Z","service":"s"}"#
            } else {
                r#"{"status":200}"#
            };
            lines.push(format!(
                "{{\"cap1\":\"c{id}\",\"part\":\"{part}\",\"seq\":0,\"head\":{head},\"text\":\"a{id}\"}}\n"
            ));
            lines.push(format!("{{\"cap1\":\"c{id}\",\"part\":\"{part}\",\"seq\":1,\"text\":\"b{id}\",\"of\":2}}\n"));
        }
    }
    let repeats: Vec<_> = lines.iter().step_by(3).cloned().collect();
    let repeated = repeats.len();
    lines.extend(repeats);
    // A fixed shuffle (Fisher and Yates with a linear congruence).
    let mut state = 1_u64;
    for at in (1..lines.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        lines.swap(at, usize::try_from(state >> 33).unwrap() % (at + 1));
    }
    let half = lines.len() / 2;
    fs::write(dir.path().join("1.log"), lines[..half].concat()).unwrap();
    fs::write(dir.path().join("2.log"), lines[half..].concat()).unwrap();
    let mut command = reassemble(["--to"]);
    command.arg(&captures).args(["1.log", "2.log"]).current_dir(dir.path());
    let (code, summary, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
    let counts = &summary["run"];
    assert_eq!(
        (counts["exchanges_complete"].as_u64(), counts["records"]["repeated"].as_u64()),
        (Some(CAPTURES as u64), Some(repeated as u64))
    );
    assert_bodies(&captures, CAPTURES);
}

fn assert_bodies(captures: &Path, count: usize) {
    let mut ids: Vec<String> = Vec::new();
    for exchange in stored::exchanges(captures) {
        let id = exchange["id"].as_str().unwrap().to_owned();
        let number = &id[1..];
        assert_eq!(exchange["request"]["body"]["text"], format!("a{number}b{number}"));
        assert_eq!(exchange["response"]["body"]["text"], format!("a{number}b{number}"));
        ids.push(id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}
