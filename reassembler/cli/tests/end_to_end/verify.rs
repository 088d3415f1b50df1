//! `reassemble verify` over what the real binary stored: clean as it is, and each harm done to it is named.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use reassemble_testkit::s3::S3;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::programs::{reassemble, run};
use crate::stored;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/logs").join(name)
}

/// Stores a log with options; gives the destination's folder.
fn store(logs: &[&Path], options: &[&str]) -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let captures = dir.path().join("captures");
    store_into(&captures, logs, options);
    (dir, captures)
}

fn store_into(captures: &Path, logs: &[&Path], options: &[&str]) {
    let mut command = reassemble(options);
    command.arg("--to").arg(captures).args(logs);
    let (code, _, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
}

fn verify_command(logs: &[&Path], to: &str, options: &[&str]) -> Command {
    let mut command = reassemble(["verify", "--to", to]);
    command.args(logs).args(options);
    command
}

/// The exit code, the findings and the counts.
fn findings(mut command: Command) -> (Option<i32>, Vec<Value>, Value) {
    let Output { status, stdout, stderr } = command.arg("--json").output().unwrap();
    let mut lines: Vec<Value> =
        String::from_utf8(stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let counts = lines.pop().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&stderr)));
    (status.code(), lines, counts)
}

/// The same for a directory, findings as `verdict what` in order, each once.
fn verdicts(log: &Path, captures: &Path) -> (Option<i32>, Vec<String>) {
    let (code, found, _) = findings(verify_command(&[log], captures.to_str().unwrap(), &["--allow-incomplete"]));
    (code, told(&found))
}

fn told(found: &[Value]) -> Vec<String> {
    let mut told: Vec<String> = found
        .iter()
        .filter(|finding| finding["fault"] != "log")
        .map(|finding| {
            let what: Vec<_> = finding["what"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            format!("{} {}", finding["finding"].as_str().unwrap(), what.join(" ")).trim_end().to_owned()
        })
        .collect();
    told.sort();
    told.dedup();
    told
}

#[test]
fn what_was_stored_is_clean_from_every_envelope() {
    let (_dir, captures) = store(&[&sample("shop.plain.log")], &["--inline-body", "2KiB", "--batch-bytes", "20KiB"]);
    for name in ["shop.plain.log", "shop.docker.log", "shop.cri.log", "shop.json-string.log", "shop.nested.log"] {
        let command = verify_command(&[&sample(name)], captures.to_str().unwrap(), &["--allow-incomplete"]);
        let (code, found, counts) = findings(command);
        assert_eq!(code, Some(0), "{name}: {found:?}");
        assert_eq!(
            (&counts["good"], &counts["incomplete_in_log"], &counts["clean"]),
            (&48.into(), &1.into(), &true.into())
        );
        assert!(counts["bodies"].as_u64() > Some(0), "{counts}");
        assert_eq!((found.len(), &found[0]["fault"]), (1, &"log".into()));
    }
    // All of them together say the same as each.
    let logs = [sample("shop.plain.log"), sample("shop.*.log")];
    let logs: Vec<&Path> = logs.iter().map(PathBuf::as_path).collect();
    let (code, _, counts) =
        findings(verify_command(&logs, captures.to_str().unwrap(), &["--allow-incomplete", "--strict"]));
    assert_eq!((code, &counts["good"]), (Some(0), &48.into()));
    assert!(counts["repeated_records"].as_u64() > Some(300), "{counts}");
}

#[test]
fn whatever_the_options_were_it_is_clean() {
    let log = sample("shop.plain.log");
    for options in [
        &["--compression", "zstd", "--no-decode", "--retention", "1y", "--retention-incomplete", "2d"][..],
        &["--compression", "none", "--redact-header", "content-type", "--redact-query", "q"],
        &["--no-redact", "--inline-body", "0", "--batch-bytes", "1"],
    ] {
        let (_dir, captures) = store(&[&log], options);
        let (code, found) = verdicts(&log, &captures);
        assert_eq!((code, found), (Some(0), vec![]), "{options:?}");
    }
}

/// The specification's own logs: torn, conflicting, signed, in pieces and out of order.
#[test]
fn every_vector_of_the_specification_is_clean() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../formats/spec/vectors/read");
    let logs: Vec<_> =
        stored::files(&vectors).into_iter().filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    assert!(logs.len() > 80);
    for log in logs {
        let (_dir, captures) = store(&[&log], &["--inline-body", "0"]);
        fs::create_dir_all(&captures).unwrap();
        let command = verify_command(&[&log], captures.to_str().unwrap(), &["--allow-incomplete", "--strict"]);
        let (code, found, counts) = findings(command);
        assert_eq!(code, Some(0), "{}: {found:?}", log.display());
        let logged = |key: &str| counts[key].as_u64().unwrap();
        assert_eq!(logged("logged_complete"), logged("good") - logged("more_than_logged"), "{}", log.display());
        assert_eq!(logged("logged_incomplete"), logged("incomplete_in_log") + logged("more_than_logged"));
    }
}

#[test]
fn a_person_is_told_and_exit_codes_say_it_too() {
    let log = sample("shop.plain.log");
    let (_dir, captures) = store(&[&log], &[]);
    let to = captures.to_str().unwrap();
    let said = |options: &[&str]| {
        let output = verify_command(&[&log], to, options).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = said(&[]);
    assert_eq!(code, Some(1));
    assert!(text.ends_with("NOT clean: 1 incomplete.\n") && text.contains("the log's fault"), "{text}");
    let (code, text) = said(&["--allow-incomplete"]);
    assert_eq!(code, Some(0));
    assert!(text.ends_with("Clean.\n"), "{text}");
    assert_eq!(said(&["--allow-incomplete", "--quiet"]), (Some(0), String::new()));
    fs::remove_dir_all(&captures).unwrap();
    fs::create_dir(&captures).unwrap();
    let (code, text) = said(&["--examples", "3"]);
    assert_eq!((code, text.matches("\nmissing   ").count()), (Some(1), 4), "{text}");
    assert!(text.contains("… and 46 more"), "{text}");
    // The sample's times are old, so grace changes nothing; a grace of ten years does.
    assert_eq!(said(&["--grace", "1h"]).0, Some(1));
    let (code, text) = said(&["--grace", "3000d"]);
    assert!(code == Some(0) && text.contains("too young to judge"), "{text}");
    let failed = |logs: &[&Path], to: &str| {
        let output = verify_command(logs, to, &[]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(failed(&[], to).0, Some(64));
    let (code, text) = failed(&[Path::new("/no/such.log")], to);
    assert!(code == Some(1) && text.contains("cannot read /no/such.log"), "{text}");
    let (code, text) = failed(&[&log], "/no/such/captures");
    assert!(code == Some(1) && text.contains("cannot list /no/such/captures"), "{text}");
    let (code, text) = failed(&[&log], "s3:/x");
    assert!(code == Some(64), "{text}");
}

/// Does one harm after another to what lies in a folder of the destination, and hands the folder to `check` with what must be found.
fn harm(folder: &Path, mut check: impl FnMut(&str, &[&str])) {
    let batches = || {
        stored::files(folder).into_iter().filter(|path| path.to_string_lossy().ends_with(".ndjson")).collect::<Vec<_>>()
    };
    // The batch with most exchanges, none of them incomplete.
    let victim = batches()
        .into_iter()
        .filter(|path| !path.to_string_lossy().contains("retention=7d"))
        .max_by_key(|path| fs::read_to_string(path).unwrap().lines().count())
        .unwrap();
    let good = fs::read_to_string(&victim).unwrap();
    assert!(good.lines().count() > 2);
    let restore = || fs::write(&victim, &good).unwrap();

    fs::remove_file(&victim).unwrap();
    check("an object is deleted", &["missing"]);
    restore();

    let copy = victim.with_file_name("copy.ndjson");
    fs::copy(&victim, &copy).unwrap();
    check("an object is copied", &["twice"]);
    fs::remove_file(copy).unwrap();

    let at = good.find("\"method\":\"").unwrap() + 10;
    let mut flipped = good.clone().into_bytes();
    flipped[at] ^= 1;
    fs::write(&victim, flipped).unwrap();
    check("a bit is flipped", &["damaged hash", "different request.method"]);

    // Someone who knows how names are made.
    let rename = |text: &str| {
        fs::remove_file(&victim).unwrap();
        let hash: String =
            blake3::hash(text.as_bytes()).as_bytes()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let name = victim.file_name().unwrap().to_string_lossy().into_owned();
        let (time, _) = name.split_once('-').unwrap();
        let renamed = victim.with_file_name(format!("{time}-{hash}.ndjson"));
        fs::write(&renamed, text).unwrap();
        renamed
    };
    let renamed = rename(&good.replacen("\"text\":\"{", "\"text\":\"[", 1));
    check("a body is edited", &["different response.body"]);
    fs::remove_file(renamed).unwrap();
    restore();

    let dropped: String = good.split_inclusive('\n').skip(1).collect();
    let renamed = rename(&dropped);
    check("a line is dropped", &["missing"]);
    fs::remove_file(renamed).unwrap();
    restore();

    let body = stored::files(folder).into_iter().find(|path| path.to_string_lossy().ends_with(".bin")).unwrap();
    let bytes = fs::read(&body).unwrap();
    fs::write(&body, &bytes[1..]).unwrap();
    check("a body apart is cut", &["damaged hash"]);
    fs::remove_file(&body).unwrap();
    check("a body apart is deleted", &["damaged ref"]);
    fs::write(&body, bytes).unwrap();
    check("all is as it was", &[]);
}

const HARMED: [&str; 4] = ["--compression", "none", "--inline-body", "8KiB"];

#[test]
fn each_harm_to_a_directory_is_named() {
    let log = sample("shop.plain.log");
    let (_dir, captures) = store(&[&log], &HARMED);
    harm(&captures, |harm, expected| {
        let (code, found) = verdicts(&log, &captures);
        assert_eq!(found, expected, "{harm}");
        assert_eq!(code, Some(i32::from(!expected.is_empty())), "{harm}");
    });
}

#[test]
fn each_harm_to_a_bucket_is_named() {
    let s3 = S3::start();
    let dir = tempdir().unwrap();
    let log = sample("shop.plain.log");
    let mut command = reassemble(HARMED);
    command.args(["--to", "s3://bucket/a/prefix", "--state"]).arg(dir.path()).arg(&log);
    s3.configure(&mut command, "secret");
    let (code, _, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
    // Another prefix that begins alike is none of it.
    fs::create_dir_all(s3.bucket().join("a/prefix2")).unwrap();
    fs::write(s3.bucket().join("a/prefix2/x.ndjson"), b"x").unwrap();
    let verify = |secret: &str| {
        let mut command = verify_command(&[&log], "s3://bucket/a/prefix", &["--allow-incomplete"]);
        s3.configure(&mut command, secret);
        command
    };
    harm(&s3.bucket().join("a/prefix"), |harm, expected| {
        let (code, found, counts) = findings(verify("secret"));
        assert_eq!(told(&found), expected, "{harm}");
        assert_eq!((code, &counts["foreign_objects"]), (Some(i32::from(!expected.is_empty())), &0.into()), "{harm}");
    });
    let refused = verify("wrong").output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("refuses the credentials"), "{said}");
}

/// A capture with these bodies, in chunks of 1,000 bytes.
fn capture(id: &str, head: &str, body: &[u8]) -> Vec<String> {
    let pieces: Vec<&[u8]> = body.chunks(1_000).collect();
    let mut lines = Vec::new();
    for part in ["req", "res"] {
        for (seq, piece) in pieces.iter().enumerate() {
            let piece = base64::engine::general_purpose::STANDARD.encode(piece);
            let head = if seq == 0 { format!(r#""head":{head},"#) } else { String::new() };
            let end = if seq + 1 == pieces.len() {
                format!(r#","of":{},"tail":{{"len":{}}}"#, pieces.len(), body.len())
            } else {
                String::new()
            };
            lines.push(format!(
                "{{\"cap1\":\"{id}\",\"part\":\"{part}\",\"seq\":{seq},{head}\"b64\":\"{piece}\"{end}}}\n"
            ));
        }
    }
    lines
}

const TS: &str = r#""ts":"2026-11-01T10:00:00.000000Z""#;

#[test]
fn packed_and_large_bodies_are_clean() {
    let dir = tempdir().unwrap();
    let log = dir.path().join("a.log");
    let text: String = (0..300_000).map(|n| format!("{n} ")).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    let lines = [
        capture("packed", &format!(r#"{{{TS},"headers":[["Content-Encoding","gzip"]]}}"#), &packed),
        capture("by-the-emitter", &format!(r#"{{{TS},"body_enc":"gzip"}}"#), &packed),
        capture("not-really", &format!(r#"{{{TS},"headers":[["Content-Encoding","gzip"]]}}"#), b"plain"),
        capture("large", &format!("{{{TS}}}"), text.as_bytes()),
    ]
    .concat();
    fs::write(&log, lines.concat()).unwrap();
    for options in [&[][..], &["--no-decode"], &["--inline-body", "100B"]] {
        let (_dir, captures) = store(&[&log], options);
        let (code, found, counts) = findings(verify_command(&[&log], captures.to_str().unwrap(), &["--strict"]));
        assert_eq!((code, &counts["good"]), (Some(0), &4.into()), "{options:?}: {found:?}");
    }
}

#[test]
fn what_was_stored_in_pieces_is_put_together() {
    let dir = tempdir().unwrap();
    let body: Vec<u8> = (0..5_500_u32).map(|n| n.to_le_bytes()[0]).collect();
    let lines: Vec<String> =
        ["a", "b", "c", "d"].iter().flat_map(|id| capture(id, &format!("{{{TS}}}"), &body)).collect();
    let per_capture = lines.len() / 4;
    // Each log has other lines of each capture; `d` is never whole.
    let (mut first, mut second) = (String::new(), String::new());
    for (at, line) in lines.iter().enumerate() {
        let (capture, chunk) = (at / per_capture, at % per_capture);
        match capture {
            0 if chunk < 4 => first.push_str(line),
            1 if chunk % 2 == 0 => first.push_str(line),
            2 if chunk > 2 => first.push_str(line),
            3 if chunk == 3 => {}
            3 if chunk % 3 == 0 => first.push_str(line),
            _ => second.push_str(line),
        }
    }
    let logs = [dir.path().join("1.log"), dir.path().join("2.log")];
    fs::write(&logs[0], first).unwrap();
    fs::write(&logs[1], second).unwrap();
    let captures = dir.path().join("captures");
    // Two runs on one state: what the first stores as incomplete, the second supplements.
    store_into(&captures, &[&logs[0]], &["--compression", "none"]);
    store_into(&captures, &[&logs[1]], &["--compression", "none"]);
    let supplements = stored::exchanges(&captures)
        .iter()
        .filter(|exchange| exchange["problems"].as_array().unwrap().contains(&"continues".into()))
        .count();
    assert_eq!(supplements, 4);
    let to = captures.to_str().unwrap();
    let both: Vec<&Path> = logs.iter().map(PathBuf::as_path).collect();
    let (code, found, counts) = findings(verify_command(&both, to, &["--allow-incomplete", "--strict"]));
    assert_eq!((code, &counts["good"], &counts["in_pieces"]), (Some(0), &3.into(), &3.into()), "{found:?}");
    assert_eq!((found.len(), &found[0]["id"], &found[0]["fault"]), (1, &"d".into(), &"log".into()));
    // Without the supplements all four lack something, and it is the store's fault.
    for path in stored::files(&captures) {
        let text = fs::read_to_string(&path).unwrap();
        let kept: String = text.split_inclusive('\n').filter(|line| !line.contains("\"continues\"")).collect();
        fs::write(path.with_extension("kept.ndjson"), kept).unwrap();
        fs::remove_file(path).unwrap();
    }
    let (code, found, _) = findings(verify_command(&both, to, &["--allow-incomplete"]));
    let faults: Vec<_> = found.iter().map(|finding| (&finding["finding"], &finding["fault"])).collect();
    assert_eq!((code, faults), (Some(1), vec![(&"incomplete".into(), &"store".into()); 4]), "{found:?}");
}
