//! The wrapper around the shop and around commands that misbehave; and pass-through.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reassemble_testkit::process::signal;
use serde_json::Value;
use tempfile::tempdir;

use crate::load;
use crate::programs::{dropped_in, reassemble, shop_binary, url_in};
use crate::stored;

/// A request's and a response's line of a capture.
fn pair(id: &str) -> String {
    let head = r#""head":{"ts":"2026-11-01T10:00:00.000000Z","service":"s"}"#;
    format!(
        "{{\"cap1\":\"{id}\",\"part\":\"req\",\"seq\":0,{head},\"of\":1}}\n{{\"cap1\":\"{id}\",\"part\":\"res\",\"seq\":0,\"head\":{{\"status\":200}},\"of\":1}}\n"
    )
}

#[test]
fn a_wrapped_shop_under_load_is_stored_whole_and_its_other_lines_go_on() {
    let dir = tempdir().unwrap();
    let captures = dir.path().join("captures");
    let mut command = reassemble(["exec", "--to"]);
    command.arg(&captures).args(["--summary", "none", "--batch-age", "1s", "--"]).arg(shop_binary());
    command.args(["--listen", "127.0.0.1:0"]);
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut stdout = child.stdout.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    let url = loop {
        let mut line = String::new();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "the shop did not start");
        if line.starts_with("listening on ") {
            break url_in(&mut line.as_bytes());
        }
    };
    let load = load::run(&url, 2_000);
    signal(&child, Signal::SIGTERM);
    let status = child.wait().unwrap();
    let mut words = String::new();
    stderr.read_to_string(&mut words).unwrap();
    assert_eq!((status.code(), dropped_in(&words)), (Some(0), 0), "{words}");
    stored::assert_holds(&captures, &load);
    let output = reading.join().unwrap();
    assert!(!output.contains("\"cap1\":\"0"), "a capture line went on");
    // The shop logs a line for every request it serves, those it makes of itself included.
    assert_eq!(output.lines().count(), load.exchanges.len() + load.outbound, "{}", &output[..output.len().min(2_000)]);
}

#[test]
fn the_exit_code_and_the_signal_of_the_command_come_through() {
    let dir = tempdir().unwrap();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + 15), ("exit 255", 255)] {
        let mut command = reassemble(["exec", "--summary", "none", "--to"]);
        command.arg(dir.path().join("captures")).args(["--", "sh", "-c", script]);
        assert_eq!(command.output().unwrap().status.code(), Some(code), "{script}");
    }
}

#[test]
fn signals_are_passed_on() {
    let dir = tempdir().unwrap();
    let mut command = reassemble(["exec", "--summary", "none", "--to"]);
    let script =
        "trap 'echo got usr1' USR1; trap 'echo got term; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    command.arg(dir.path().join("captures")).args(["--", "sh", "-c", script]);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    for (sent, said) in [(Signal::SIGUSR1, "got usr1"), (Signal::SIGTERM, "got term")] {
        signal(&child, sent);
        assert_eq!(lines.next().unwrap().unwrap(), said);
    }
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn output_goes_on_byte_for_byte_on_both_streams() {
    let dir = tempdir().unwrap();
    let mut stdout: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    stdout.extend_from_slice(b"\xff\xfe no newline at the end");
    std::fs::write(dir.path().join("out"), &stdout).unwrap();
    let mut command = reassemble(["exec", "--summary", "none", "--log-level", "error", "--to"]);
    command.arg(dir.path().join("captures")).args(["--", "sh", "-c", "cat out; printf 'err\\r\\n\\nend' >&2"]);
    let output = command.current_dir(dir.path()).output().unwrap();
    assert!(output.stdout == stdout, "{} of {} bytes", output.stdout.len(), stdout.len());
    assert_eq!(output.stderr, b"err\r\n\nend");
}

#[test]
fn a_command_runs_on_where_nothing_can_be_stored() {
    let dir = tempdir().unwrap();
    let blocked = dir.path().join("file");
    std::fs::write(&blocked, "in the way").unwrap();
    let mut command = reassemble(["exec", "--summary", "none", "--state"]);
    command.arg(blocked.join("state")).arg("--to").arg(dir.path().join("captures"));
    command.args(["--", "sh", "-c", &format!("printf '%s' '{}'; echo ordinary; exit 4", pair("a"))]);
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(4), &b"ordinary\n"[..]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("captures are not stored"));
}

#[test]
fn a_full_spool_sheds_whole_captures_and_never_blocks_the_command() {
    let dir = tempdir().unwrap();
    // A destination that never takes anything: nobody listens there.
    let mut command = reassemble([
        "exec",
        "--summary",
        "json",
        "--log-level",
        "error",
        "--spool-limit",
        "1MiB",
        "--batch-bytes",
        "1MiB",
    ]);
    command.args([
        "--commit-interval",
        "20ms",
        "--to",
        "s3://bucket/x",
        "--s3-endpoint",
        "http://127.0.0.1:9",
        "--s3-path-style",
    ]);
    command.args(["--s3-region", "us-east-1", "--compression", "none", "--state"]).arg(dir.path().join("state"));
    command.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s");
    let body = format!(r#""text":"{}","of":1}}"#, "x".repeat(2_000));
    for part in 0..10 {
        let pairs: String =
            (0..300).map(|number| pair(&format!("p{part}-{number}")).replace(r#""of":1}"#, &body)).collect();
        std::fs::write(dir.path().join(format!("part{part}")), pairs).unwrap();
    }
    let script = "for part in 0 1 2 3 4 5 6 7 8 9; do cat part$part; sleep 0.2; done; echo done";
    command.args(["--", "sh", "-c", script]).current_dir(dir.path());
    let began = Instant::now();
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"done\n"[..]));
    let said = String::from_utf8_lossy(&output.stderr);
    let summary: Value = said.lines().find_map(|line| serde_json::from_str(line).ok()).expect("a summary");
    let run = &summary["run"];
    let shed = run["shed_captures"].as_u64().unwrap();
    let kept = run["exchanges_complete"].as_u64().unwrap();
    assert!(shed > 0 && kept > 0, "{run}");
    assert_eq!(
        (shed + kept, run["exchanges_incomplete"].as_u64(), run["records"]["shed"].as_u64()),
        (3_000, Some(0), Some(2 * shed))
    );
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn pass_through_gives_standard_input_the_same() {
    let dir = tempdir().unwrap();
    let captures = dir.path().join("captures");
    let mut command = reassemble(["--passthrough", "--summary", "none", "--to"]);
    let mut child = command.arg(&captures).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\nprompt> ").unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut got = [0; 12];
    stdout.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"one\nprompt> ");
    stdin.write_all(format!("\n{}two\n", pair("a")).as_bytes()).unwrap();
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("\ntwo\n", Some(0)));
    assert_eq!(stored::exchanges(&captures).len(), 1);
}

#[test]
fn stored_captures_are_for_their_owner_alone() {
    let dir = tempdir().unwrap();
    let captures = dir.path().join("captures");
    let mut command = reassemble(["exec", "--summary", "none", "--to"]);
    std::fs::write(dir.path().join("pair"), pair("a")).unwrap();
    command.arg(&captures).args(["--", "cat", "pair"]).current_dir(dir.path());
    assert!(command.status().unwrap().success());
    let mut seen = 0;
    for file in stored::files(&captures) {
        seen += 1;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
        assert_eq!(file.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
    assert_eq!(seen, 1);
}
