//! What the end-to-end runner says and how it ends, where nothing has to be run for it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

/// The runner in a folder, on a program of this size.
fn end_to_end(dir: &Path, binary_bytes: u64, args: &[&str]) -> Output {
    let binary = dir.join("binary");
    File::create(&binary).unwrap().set_len(binary_bytes).unwrap();
    Command::new(env!("CARGO_BIN_EXE_end_to_end"))
        .args(args)
        .arg("--reassemble")
        .arg(binary)
        .arg("--dir")
        .arg(dir.join("bench"))
        .output()
        .unwrap()
}

#[test]
fn a_bar_that_is_not_met_fails_a_check_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    for (bytes, args, verdict, code) in [
        (12_000_000, &["--only", "9", "--check"][..], " met", 0),
        (12_000_001, &["--only", "9"], "NOT MET", 0),
        (12_000_001, &["--only", "9", "--check"], "NOT MET", 1),
    ] {
        let output = end_to_end(dir.path(), bytes, args);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("size of the binary") && text.contains(verdict), "{text}");
        assert_eq!(output.status.code(), Some(code), "{text}");
    }
}

#[test]
fn the_results_page_has_the_latest_run() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("RESULTS.md");
    let args = ["--only", "9", "--write-results", page.to_str().unwrap()];
    assert!(end_to_end(dir.path(), 13_000_000, &args).status.success());
    assert!(fs::read_to_string(&page).unwrap().contains("**0 of 1 met.**"));
    fs::write(&page, fs::read_to_string(&page).unwrap() + "\n## Another\n\nIts words.\n").unwrap();
    assert!(end_to_end(dir.path(), 11_000_000, &args).status.success());
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.contains("of the bars only [9]"), "{text}");
    assert!(text.contains("**1 of 1 met.**") && !text.contains("NOT MET"), "{text}");
    assert!(text.ends_with("\n## Another\n\nIts words.\n"), "{text}");
}

#[test]
fn a_bar_that_nobody_measures_here_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let output = end_to_end(dir.path(), 1, &["--only", "1,7"]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("no bar 7"));
}

#[test]
fn a_missing_yardstick_fails_a_check_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_end_to_end"));
    let binary = dir.path().join("binary");
    fs::write(&binary, "no program").unwrap();
    command.args(["--only", "1", "--compression", "gzip", "--check", "--dir"]).arg(dir.path());
    let output = command.arg("--reassemble").arg(binary).env("PATH", dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("libdeflate-tools"), "{said}");
    assert!(!dir.path().join("run").exists());
}
