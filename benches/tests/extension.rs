//! What the extension's runner says and how it ends, where only the layer is made.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use reassemble_testkit::chance::Chance;

/// The runner on this program, with nothing started.
fn layer_alone(dir: &Path, extension: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_extension"))
        .args(["--starts", "0", "--invocations", "0", "--others", "0", "--extension"])
        .arg(extension)
        .arg("--dir")
        .arg(dir)
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn a_layer_that_is_too_large_fails_a_check_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    // What zip cannot make smaller; its own bytes come on top.
    let bytes = Chance::new(1).bytes(4_000_000);
    for (length, args, verdict, code) in [
        (3_900_000, &["--check"][..], " met", 0),
        (4_000_000, &[], "NOT MET", 0),
        (4_000_000, &["--check"], "NOT MET", 1),
    ] {
        let extension = dir.path().join("extension");
        fs::write(&extension, &bytes[..length]).unwrap();
        let output = layer_alone(dir.path(), &extension, args);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("the layer's zip file") && text.contains(verdict), "{text}");
        assert_eq!(output.status.code(), Some(code), "{text}");
    }
}

#[test]
fn an_extension_that_is_not_built_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let output = layer_alone(dir.path(), &dir.path().join("nowhere"), &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("cargo build --profile layer"), "{said}");
}
