//! Input and destinations that are not as they should be: a clear error or a counted, named problem, and the rest is stored.

use std::fs;
use std::process::Command;

use reassemble_testkit::moto::Moto;
use reassemble_testkit::s3::S3;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::programs::{reassemble, run};
use crate::stored;

fn line(id: &str, part: &str, more: &str) -> String {
    let head =
        if part == "req" { r#"{"ts":"2026-11-01T10:00:00.000000Z","service":"s"}"# } else { r#"{"status":200}"# };
    format!(r#"{{"cap1":"{id}","part":"{part}","seq":0,"head":{head}{more},"of":1}}"#)
}

fn good(id: &str) -> String {
    format!("{}\n{}\n", line(id, "req", ""), line(id, "res", ""))
}

/// Runs over one log; gives the counts and the number of exchanges.
fn counts(log: &[u8], args: &[&str]) -> (Value, usize) {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("log"), log).unwrap();
    let mut command = reassemble(args);
    command.args(["--to", "captures", "log"]).current_dir(dir.path());
    let (code, summary, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
    (summary["run"].clone(), stored::exchanges(&dir.path().join("captures")).len())
}

#[test]
fn bad_records_are_counted_by_name_and_the_rest_is_stored() {
    let bad = [
        ("torn", line("x", "req", "")[..40].to_owned()),
        ("bad_crc", line("x", "req", r#","text":"a","crc":"00000000""#)),
        ("bad_type", line("x", "req", r#","text":7"#)),
        ("bad_part", line("x", "both", "")),
        ("bad_id", line("no spaces", "req", "")),
        ("bad_seq", line("x", "req", "").replace("\"seq\":0", "\"seq\":0.5")),
        ("bad_of", line("x", "req", "").replace("\"of\":1", "\"of\":0")),
        ("bad_b64", line("x", "req", r#","b64":"?""#)),
        ("text_and_b64", line("x", "req", r#","text":"a","b64":"YQ==""#)),
        ("duplicate_key", line("x", "req", r#","seq":0"#)),
        ("unknown_version", line("x", "req", "").replace("cap1", "cap2")),
    ];
    let mut log = good("first").into_bytes();
    for (_, line) in &bad {
        log.extend_from_slice(line.as_bytes());
        log.push(b'\n');
    }
    log.extend_from_slice(
        &[b"{\"cap1\":\"x\",\"part\":\"req\",\"seq\":0,\"text\":\"".as_slice(), &[0xff], b"\",\"of\":1}\n"].concat(),
    );
    // Half a character: the first byte of two.
    log.extend_from_slice(
        &[b"{\"cap1\":\"x\",\"part\":\"req\",\"seq\":0,\"text\":\"".as_slice(), &[0xc3], b"\",\"of\":1}\n"].concat(),
    );
    log.extend_from_slice(good("last").as_bytes());
    let (counts, stored) = counts(&log, &[]);
    let mut expected: serde_json::Map<_, _> = bad.iter().map(|(name, _)| ((*name).to_owned(), json!(1))).collect();
    expected.insert("not_utf8".into(), json!(2));
    assert_eq!(counts["records"]["bad"], Value::Object(expected));
    assert_eq!((stored, counts["exchanges_complete"].as_u64()), (2, Some(2)));
    assert_eq!(counts["records"]["read"].as_u64(), Some(4 + 13));
}

#[test]
fn lines_over_the_limit_are_skipped_and_counted() {
    let long = format!("{}\n", line("long", "req", &format!(r#","text":"{}""#, "x".repeat(100_000))));
    let log = [good("a").as_str(), &long, "{\"log\":\"", &"y".repeat(3_000_000), "\n", &good("b")].concat();
    let (counts, stored) = counts(log.as_bytes(), &["--max-line", "64KiB"]);
    assert_eq!((counts["long_lines"].as_u64(), stored), (Some(2), 2));
    assert_eq!(counts["long_line_bytes"].as_u64(), Some(long.len() as u64 + 3_000_009));
}

#[test]
fn one_file_that_cannot_be_read_does_not_keep_the_others() {
    let dir = tempdir().unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    fs::write(dir.path().join("good"), good("a")).unwrap();
    fs::write(dir.path().join("cut.gz"), b"\x1f\x8b\x08\0\0\0\0\0\0\xff nonsense").unwrap();
    let mut command = reassemble(["--to", "captures", "folder", "missing", "cut.gz", "good"]);
    command.current_dir(dir.path());
    let (code, summary, said) = run(command);
    assert_eq!((code, summary["run"]["input_failures"].as_u64()), (Some(1), Some(3)), "{said}");
    for sentence in ["folder: it is a directory", "missing: No such file", "cut.gz"] {
        assert!(said.contains(sentence), "{sentence} in {said}");
    }
    assert_eq!(stored::exchanges(&dir.path().join("captures")).len(), 1);
}

#[test]
fn a_file_without_permission_is_named() {
    if nix::unistd::geteuid().is_root() {
        // Root reads everything: there a file that cannot be opened for another reason stands in for it.
        let dir = tempdir().unwrap();
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
        let mut command = reassemble(["--to", "captures", "loop"]);
        let (code, _, said) = run({
            command.current_dir(dir.path());
            command
        });
        assert!(code == Some(1) && said.contains("cannot read loop"), "{said}");
        return;
    }
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("secret"), "x").unwrap();
    fs::set_permissions(dir.path().join("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let mut command = reassemble(["--to", "captures", "secret"]);
    command.current_dir(dir.path());
    let (code, _, said) = run(command);
    assert!(code == Some(1) && said.contains("Permission denied"), "{said}");
}

/// Points a command at a server.
type Configure<'a> = &'a dyn Fn(&mut Command);

#[test]
fn a_destination_that_refuses_is_told_and_the_next_run_delivers() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("log"), good("a")).unwrap();
    let (s3, moto) = (S3::start(), Moto::start());
    let to = |bucket: &str, configure: Configure<'_>| {
        let mut command = reassemble(["--to", &format!("s3://{bucket}/p"), "--state", "state", "log"]);
        configure(&mut command);
        command.current_dir(dir.path());
        run(command)
    };
    let refusals: [(&str, Configure<'_>, &str); 2] = [
        ("nowhere", &|command| moto.configure(command), "bucket nowhere does not exist"),
        ("bucket", &|command| s3.configure(command, "wrong"), "credentials"),
    ];
    for (bucket, configure, sentence) in refusals {
        let (code, summary, said) = to(bucket, configure);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.to_lowercase().contains(sentence), "{sentence} in {said}");
        assert_eq!(summary["run"]["objects_stored"].as_u64(), Some(0));
    }
    // What the first run accepted lies in the spool; reading the log again adds nothing.
    let (code, summary, said) = to("bucket", &|command| s3.configure(command, "secret"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        (summary["run"]["objects_stored"].as_u64(), summary["run"]["records"]["repeated"].as_u64()),
        (Some(1), Some(2))
    );
    assert_eq!(stored::exchanges(&s3.bucket()).len(), 1);
}

#[test]
fn check_tells_before_anything_runs() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("log"), good("a")).unwrap();
    let s3 = S3::start();
    let check = |bucket: &str, file: &str| {
        let mut command = reassemble(["--check", "--to", &format!("s3://{bucket}/p"), "--state", "state", file]);
        s3.configure(&mut command, "secret");
        let output = command.current_dir(dir.path()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, said) = check("bucket", "log");
    assert_eq!(code, Some(0), "{said}");
    assert!(stored::files(&s3.bucket()).is_empty(), "the check left something");
    for (bucket, file, sentence) in [("nowhere", "log", "does not exist"), ("bucket", "missing", "No such file")] {
        let (code, said) = check(bucket, file);
        assert!(code == Some(1) && said.contains(sentence), "{code:?} {said}");
    }
}
