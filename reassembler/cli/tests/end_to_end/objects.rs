//! Objects of a bucket as an input: all below a prefix, or one, from a real S3 server.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reassemble_testkit::faults::{Fault, FaultServer, Rule};
use reassemble_testkit::process::{signal, wait_for};
use reassemble_testkit::s3::S3;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::fault_rig::{EXCHANGES, assert_exchanges, lines};
use crate::payloads::{by_id, expected, samples};
use crate::programs::{reassemble, run};
use crate::stored;

/// A bucket with logs of every kind, each exchange in one place.
fn bucket() -> S3 {
    let s3 = S3::start();
    let put = |key: &str, bytes: &[u8]| {
        let path = s3.bucket().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let share = EXCHANGES / 4;
    let part = |number: usize| lines(number * share..(number + 1) * share);
    put("logs/2026/a.log", part(0).as_bytes());
    put("logs/2026/b.gz", &gzip(part(1).as_bytes()));
    put("logs/2026/c/d.zst", &zstd::encode_all(part(2).as_bytes(), 1).unwrap());
    put("logs/2026/empty", b"");
    put("logs/2026/ä b+c%20.log", part(3).as_bytes());
    put("logs/2026x.log", lines(EXCHANGES..EXCHANGES + 7).as_bytes());
    s3
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A run over objects, into a directory.
struct Reader {
    dir: TempDir,
}

impl Reader {
    fn new() -> Reader {
        Reader { dir: tempdir().unwrap() }
    }

    fn captures(&self) -> std::path::PathBuf {
        self.dir.path().join("captures")
    }

    fn command(&self, configure: impl FnOnce(&mut Command), names: &[&str]) -> Command {
        let mut command = reassemble(names);
        command.arg("--to").arg(self.captures());
        configure(&mut command);
        command
    }
}

/// Points a command at a server behind faults.
fn behind(url: &str) -> impl FnOnce(&mut Command) {
    move |command| {
        command.args(["--s3-endpoint", url, "--s3-path-style", "--s3-region", "us-east-1"]);
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
    }
}

fn count(summary: &Value, key: &str) -> u64 {
    summary["run"][key].as_u64().unwrap()
}

#[test]
fn all_objects_below_a_prefix_are_read_and_reading_them_again_stores_nothing_twice() {
    let s3 = bucket();
    let reader = Reader::new();
    let (code, summary, said) =
        run(reader.command(|command| s3.configure(command, "secret"), &["s3://bucket/logs/2026/"]));
    assert_eq!(code, Some(0), "{said}");
    assert_exchanges(&reader.captures(), EXCHANGES);
    let inputs: Vec<_> =
        said.lines().filter_map(|line| line.split_once("reading input=\"s3://bucket/logs/2026/")).collect();
    let names: Vec<_> = inputs.iter().map(|(_, name)| name.trim_end_matches('"')).collect();
    assert_eq!(names, ["a.log", "b.gz", "c/d.zst", "empty", "ä b+c%20.log"], "in the order of keys: {said}");
    assert_eq!(summary["run"]["inputs"]["s3://bucket/logs/2026/b.gz"]["read"], EXCHANGES / 2);

    let stored = stored::objects(&reader.captures());
    for name in ["s3://bucket/logs/2026", "s3://bucket/logs/2026/b.gz"] {
        let (code, summary, said) = run(reader.command(|command| s3.configure(command, "secret"), &[name]));
        assert_eq!((code, count(&summary, "exchanges_complete")), (Some(0), 0), "{said}");
        assert!(count(&summary, "bytes_read") > 10_000);
    }
    assert!(stored::objects(&reader.captures()) == stored);
}

#[test]
fn one_object_and_a_file_are_read_together_and_the_destination_may_lie_below() {
    let s3 = bucket();
    let dir = tempdir().unwrap();
    let log = dir.path().join("e.log");
    fs::write(&log, lines(0..EXCHANGES / 2)).unwrap();
    let into_s3 = |names: &[&str]| {
        let mut command = reassemble(names);
        command.args(["--to", "s3://bucket/logs/captures", "--state"]).arg(dir.path().join("state"));
        s3.configure(&mut command, "secret");
        run(command)
    };
    let names = [log.to_str().unwrap(), "s3://bucket/logs/2026/c/d.zst", "s3://bucket/logs/2026/ä b+c%20.log"];
    let (code, _, said) = into_s3(&names);
    assert_eq!(code, Some(0), "{said}");
    let captures = s3.bucket().join("logs/captures");
    assert_exchanges(&captures, EXCHANGES);

    let stored = stored::objects(&captures);
    let (code, summary, said) = into_s3(&["s3://bucket/logs"]);
    assert_eq!((code, count(&summary, "exchanges_complete")), (Some(0), 7), "{said}");
    assert!(said.contains(&format!("objects={}", stored.len())) && said.contains("passed over"), "{said}");
}

#[test]
fn objects_of_firehose_give_the_exchanges_of_the_log() {
    let s3 = S3::start();
    // Each gzip member is one document: some in one object, the rest in another.
    let object = fs::read(samples().join("cloudwatch/firehose.gz")).unwrap();
    let folder = s3.bucket().join("firehose/2026/11/22/09");
    fs::create_dir_all(&folder).unwrap();
    let members: Vec<_> =
        object.windows(3).enumerate().filter(|(_, magic)| magic == b"\x1f\x8b\x08").map(|(at, _)| at).collect();
    let middle = members[members.len() / 2];
    fs::write(folder.join("stream-1"), &object[..middle]).unwrap();
    fs::write(folder.join("stream-2"), &object[middle..]).unwrap();
    let reader = Reader::new();
    let (code, _, said) = run(reader.command(|command| s3.configure(command, "secret"), &["s3://bucket/firehose"]));
    assert_eq!(code, Some(0), "{said}");
    assert!(by_id(&reader.captures()) == expected());
}

#[test]
fn reads_that_fail_are_made_again_and_what_stays_unreadable_is_told() {
    let s3 = bucket();
    let faults = FaultServer::before(&s3);
    faults.script([
        Rule::all(Fault::Answer(503, "", "SlowDown")).method("GET").key("list-type").times(1),
        Rule::all(Fault::CutReply).method("GET").key("a.log").times(1),
        Rule::all(Fault::Answer(403, "", "AccessDenied")).method("GET").key("b.gz"),
    ]);
    let reader = Reader::new();
    let mut command = reader.command(behind(&faults.url()), &["s3://bucket/logs/2026/"]);
    command.args(["--upload-timeout", "2s"]);
    let (code, summary, said) = run(command);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot read s3://bucket/logs/2026/b.gz") && said.contains("s3:GetObject"), "{said}");
    assert_eq!(count(&summary, "input_failures"), 1, "{said}");
    assert_eq!(count(&summary, "exchanges_complete"), (EXCHANGES / 4 * 3) as u64);
    // Another run brings the rest.
    let (code, _, said) = run(reader.command(|command| s3.configure(command, "secret"), &["s3://bucket/logs/2026/"]));
    assert_eq!(code, Some(0), "{said}");
    assert_exchanges(&reader.captures(), EXCHANGES);
}

#[test]
fn what_is_not_there_is_told() {
    let s3 = bucket();
    let reader = Reader::new();
    for (name, words) in [
        ("s3://bucket/none/such", "there is no object of this key, and none below s3://bucket/none/such/"),
        ("s3://other/logs", "cannot read s3://other/logs: "),
    ] {
        let (code, _, said) = run(reader.command(|command| s3.configure(command, "secret"), &[name]));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("error") && said.contains(words), "{said}");
    }
    let mut command = reader.command(|command| s3.configure(command, "secret"), &["--check", "s3://bucket/logs/2026"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("objects s3://bucket/logs/2026: 5 objects, or more"), "{said}");
}

#[test]
fn a_stop_while_the_store_hangs_is_quick_and_another_run_reads_the_rest() {
    let s3 = bucket();
    let faults = FaultServer::before(&s3);
    faults.script([Rule::all(Fault::Hang).method("GET").key("b.gz")]);
    let reader = Reader::new();
    let mut command = reader.command(behind(&faults.url()), &["s3://bucket/logs/2026/"]);
    command.args(["--upload-timeout", "60s"]);
    let mut child = command.spawn().unwrap();
    wait_for("the request", || (faults.faults() > 0).then_some(()));
    signal(&child, nix::sys::signal::Signal::SIGTERM);
    let began = std::time::Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(1), "not all was read");
    assert!(began.elapsed() < Duration::from_secs(8));
    let (code, _, said) = run(reader.command(|command| s3.configure(command, "secret"), &["s3://bucket/logs/2026/"]));
    assert_eq!(code, Some(0), "{said}");
    assert_exchanges(&reader.captures(), EXCHANGES);
}

#[test]
fn a_state_that_was_given_is_the_destinations_own_otherwise() {
    let s3 = bucket();
    let reader = Reader::new();
    let (code, _, said) =
        run(reader.command(|command| s3.configure(command, "secret"), &["s3://bucket/logs/2026/a.log"]));
    assert_eq!(code, Some(0), "{said}");
    assert!(reader.captures().join(".reassemble/main").is_dir());
    assert!(!Path::new(&reader.captures()).join(".reassemble/pipe-1").exists());
}
