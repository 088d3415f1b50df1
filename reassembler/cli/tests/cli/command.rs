//! Black-box tests of the command: what it says, refuses and prints before any run begins.

use crate::program::Program;

#[test]
fn short_help_teaches_by_example() {
    insta::assert_snapshot!(Program::new().args(["-h"]).succeeds());
}

#[test]
fn long_help_tells_everything() {
    insta::assert_snapshot!(Program::new().args(["--help"]).succeeds());
}

#[test]
fn help_of_exec() {
    let help = Program::new().args(["exec", "-h"]).succeeds();
    assert!(help.contains("reassemble exec -- node server.js") && !help.contains("--follow"), "{help}");
}

#[test]
fn help_of_lifecycle() {
    insta::assert_snapshot!(Program::new().args(["lifecycle", "-h"]).succeeds());
}

#[test]
fn help_of_verify() {
    insta::assert_snapshot!(Program::new().args(["verify", "-h"]).succeeds());
}

#[test]
fn help_of_merge() {
    insta::assert_snapshot!(Program::new().args(["merge", "-h"]).succeeds());
}

#[test]
fn merge_takes_one_destination_and_refuses_what_means_nothing_to_it() {
    let said = Program::new().args(["merge", "a", "--to", "b"]).fails(64);
    assert!(said.contains("cannot be used with"), "{said}");
    let said = Program::new().args(["merge", "a", "--batch-age", "5s"]).fails(64);
    assert_eq!(said, "error: --batch-age means nothing to merge, which ends by itself\n");
    for more in ["--dry-run", "--json"] {
        let said = Program::new().args(["merge", "no/such/place", more]).fails(1);
        assert!(said.contains("cannot list") && said.contains("no/such/place"), "{said}");
    }
}

#[test]
fn verify_refuses_what_means_nothing_to_it() {
    let said = Program::new().args(["verify", "--timeout", "5s", "a.log"]).fails(64);
    assert_eq!(said, "error: --timeout means nothing to verify, which stores nothing\n");
    let said = Program::new().args(["verify"]).fails(64);
    assert!(said.contains("<LOG>..."), "{said}");
}

#[test]
fn version_is_printed() {
    assert_eq!(Program::new().args(["--version"]).succeeds(), concat!("reassemble ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn wrong_usage_exits_64_and_says_what_to_do() {
    let cases: [&[&str]; 17] = [
        &["--batch-byte", "1MiB", "a.log"],
        &["--batch-bytes", "64M", "a.log"],
        &["--batch-age", "60", "a.log"],
        &["--retention", "12h", "a.log"],
        &["--compression", "brotli", "a.log"],
        &["--to", "s3:/logs", "a.log"],
        &["--to", "gs://logs", "a.log"],
        &["--metrics", "9464", "a.log"],
        &["--passthrough", "a.log"],
        &["--s3-region", "eu-west-1", "a.log"],
        &["--to", "x", "exec"],
        &["exec", "node", "server.js"],
        &["exec"],
        &["lifecycle"],
        &["lifecycle", "--to", "s3://logs", "--follow", "x"],
        &["completions", "tcsh"],
        &["--config", "/does/not/exist.toml", "a.log"],
    ];
    let mut said = String::new();
    for case in cases {
        said.push_str(&format!("$ reassemble {}\n{}\n", case.join(" "), Program::new().args(case).fails(64)));
    }
    insta::assert_snapshot!(said);
}

const SECRET: &str = "8d0f3c2e9a7b465180d2b6f4c1e3a597";

#[test]
fn a_wrong_key_file_is_refused_with_its_line_and_without_a_secret() {
    let files = [
        "",
        "2026-11 hunter2 *\n",
        &format!("# keys\n2026-11 {SECRET}\n"),
        &format!("{SECRET} 2026-11 *\n"),
        &format!("a {SECRET} *\na {SECRET}x shop\n"),
        &format!("a {SECRET} *\nb {SECRET} shop\n"),
        &format!("a {SECRET} shop, *\n"),
        &"x".repeat(2 << 20),
    ];
    let mut said = String::new();
    for file in files {
        said.push_str(&Program::new().file("keys", file).args(["--key-file", "keys", "a.log"]).fails(64));
    }
    said.push_str(&Program::new().args(["--key-file", "keys", "a.log"]).fails(64));
    said.push_str(&Program::new().args(["--key-file", ".", "a.log"]).fails(64));
    said.push_str(&Program::new().args(["--sig-max-age", "1h", "a.log"]).fails(64));
    assert!(!said.contains(SECRET) && !said.contains("hunter2"), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn keys_that_everyone_may_read_are_warned_of_and_never_shown() {
    use std::os::unix::fs::PermissionsExt as _;
    for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o644, 1), (0o602, 1)] {
        let program = Program::new().file("keys", &format!("2026-11 {SECRET} *\n")).file("a.log", "");
        program.mode("keys", std::fs::Permissions::from_mode(mode));
        let run = program.args(["--key-file", "keys", "a.log", "--log-level", "trace"]).output();
        let said = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned();
        assert_eq!((run.status.code(), said.matches("chmod 600 keys").count()), (Some(0), warnings), "{said}");
        assert!(!said.contains(SECRET), "{said}");
    }
}

#[test]
fn flags_stand_over_environment_over_file_over_defaults() {
    let program = Program::new()
        .file("r.toml", "timeout = \"1s\"\nbatch-age = \"1s\"\nretention = \"1d\"\nfollow = [\"/a\"]\n")
        .env("REASSEMBLE_CONFIG", "r.toml")
        .env("REASSEMBLE_BATCH_AGE", "2s")
        .env("REASSEMBLE_RETENTION", "2d")
        .args(["--print-config", "--retention", "3d"]);
    let shown = program.succeeds();
    let set: Vec<&str> = shown.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        set,
        [
            "follow = [\"/a\"]  # r.toml, line 4",
            "timeout = \"1s\"  # r.toml, line 1",
            "batch-age = \"2s\"  # REASSEMBLE_BATCH_AGE",
            "retention = \"3d\"  # --retention",
        ]
    );
    assert!(shown.contains("\n# batch-bytes = \"64MiB\"\n"), "{shown}");
}

#[test]
fn what_is_shown_can_be_used_as_the_file() {
    let first = Program::new()
        .args(["--print-config", "--to", "s3://logs/a", "--redact-header", "x-a", "--no-decode"])
        .succeeds();
    let second =
        Program::new().file("shown.toml", &first).args(["--print-config", "--config", "shown.toml"]).succeeds();
    let settings =
        |text: &str| text.lines().filter_map(|line| Some(line.split_once("  # ")?.0.to_owned())).collect::<Vec<_>>();
    assert_eq!(settings(&first), ["to = \"s3://logs/a\"", "redact-header = [\"x-a\"]", "no-decode = true"]);
    assert_eq!(settings(&first), settings(&second));
}

#[test]
fn the_flag_for_the_file_stands_over_the_variable() {
    let program = Program::new().file("good.toml", "").env("REASSEMBLE_CONFIG", "/does/not/exist.toml");
    program.args(["--print-config", "--config", "good.toml"]).succeeds();
}

#[test]
fn a_wrong_file_is_refused_with_its_line() {
    let said =
        Program::new().file("r.toml", "# mine\nbatch-byte = 1\n").args(["--config", "r.toml", "a.log"]).fails(64);
    assert_eq!(said, "error: r.toml, line 2: unknown key 'batch-byte'; did you mean 'batch-bytes'?\n");
}

#[test]
fn a_wrong_variable_is_refused_even_where_a_flag_stands_over_it() {
    let said = Program::new().env("REASSEMBLE_TIMEOUT", "soon").args(["--timeout", "5s", "--print-config"]).fails(64);
    assert!(said.starts_with("error: invalid value 'soon' for REASSEMBLE_TIMEOUT: "), "{said}");
}

#[test]
fn unknown_variables_are_warned_of_and_those_of_kubernetes_are_not() {
    let said = Program::new()
        .env("REASSEMBLE_BATCH_BYTE", "1")
        .env("REASSEMBLE_SERVICE_HOST", "10.0.0.1")
        .env("REASSEMBLE_PORT", "tcp://10.0.0.1:9464")
        .args(["--passthrough", "a.log"])
        .fails(64);
    assert_eq!(said.matches("is no setting").count(), 1, "{said}");
    assert!(
        said.contains("REASSEMBLE_BATCH_BYTE is no setting of this program; did you mean REASSEMBLE_BATCH_BYTES?"),
        "{said}"
    );
}

#[test]
fn completions_name_flags_and_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = Program::new().args(["completions", shell]).succeeds();
        assert!(script.contains("batch-bytes") && script.contains("lifecycle"), "{shell}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    // The script is longer than a pipe holds, and its reader is gone before it is written.
    let code = Program::new().args(["completions", "zsh"]).with_closed_stdout();
    assert_eq!(code, Some(0));
}

#[test]
fn lifecycle_prints_a_rule_for_each_class_and_one_for_uploads() {
    let program = || Program::new().args(["lifecycle", "--to", "s3://logs/captures", "--retention", "45d"]);
    let json: serde_json::Value = serde_json::from_str(&program().succeeds()).expect("JSON");
    let rules = json["Rules"].as_array().expect("rules");
    let days: Vec<_> = rules.iter().filter_map(|rule| rule["Expiration"]["Days"].as_u64()).collect();
    assert_eq!(days, [7, 45, 90]);
    assert!(rules.iter().any(|rule| rule["AbortIncompleteMultipartUpload"].is_object()), "{json}");
    for rule in rules {
        let prefix = rule["Filter"]["Prefix"].as_str().expect("by prefix");
        assert!(prefix.starts_with("captures/"), "{prefix}");
    }
    let terraform = program().args(["--format", "terraform"]).succeeds();
    assert!(
        terraform.contains("resource \"aws_s3_bucket_lifecycle_configuration\"")
            && terraform.contains("retention=45d/"),
        "{terraform}"
    );
}
