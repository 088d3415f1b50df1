//! Outages from the run's point of view: what it shows while the destination refuses, that it stops and dies well meanwhile, and that it goes
//! on by itself afterwards.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reassemble_testkit::faults::{Fault, Rule};
use reassemble_testkit::process::wait_for;

use crate::fault_rig::{EXCHANGES, Rig, Running, assert_exchanges, assert_said, expected, lines, settings};
use crate::programs::reassemble;
use crate::stored;

#[test]
fn one_poisoned_object_is_told_and_blocks_no_other() {
    let rig = Rig::new();
    let all = expected();
    let poisoned: Vec<_> = all.keys().filter(|key| key.extension().is_some_and(|ext| ext == "bin")).take(4).collect();
    assert_eq!(poisoned.len(), 4, "as many as there are places");
    let name = |key: &PathBuf| key.file_name().unwrap().to_string_lossy().into_owned();
    rig.faults.script(poisoned.iter().map(|key| Rule::puts(Fault::Answer(500, "", "InternalError")).key(name(key))));
    let mut running = Running::start(rig.command(false));
    running.wait_for_metric("reassemble_stored_objects_total", (all.len() - 4) as u64);
    wait_for("a fault", || (running.metric("reassemble_destination_failing") == 1).then_some(()));
    assert_said(&running.said(), "HTTP 500 InternalError");
    rig.faults.script([]);
    assert_eq!(running.child.wait().unwrap().code(), Some(0), "{}", running.said());
    assert_said(&running.said(), "the destination takes objects again");
    rig.assert_delivered();
}

#[test]
fn credentials_that_expire_are_looked_up_again_when_somebody_renewed_them() {
    let rig = Rig::new();
    let file = rig.dir.path().join("credentials");
    let write = |key: &str, secret: &str| {
        let text = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
        fs::write(rig.dir.path().join("new"), text).unwrap();
        fs::rename(rig.dir.path().join("new"), &file).unwrap();
    };
    write("key", "secret");
    for (code, words) in
        [("ExpiredToken", "have expired"), ("InvalidToken", "refuses the credentials"), ("AccessDenied", "is denied")]
    {
        write("key", "secret");
        fs::remove_dir_all(rig.root()).ok();
        fs::remove_dir_all(rig.dir.path().join("state")).ok();
        rig.faults.script([Rule::all(Fault::Answer(403, "", code)).signed_by("key")]);
        let mut command = rig.command(true);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.env("AWS_SHARED_CREDENTIALS_FILE", &file).env("AWS_CONFIG_FILE", "/dev/null");
        let mut running = Running::start(command);
        running.wait_until_said(words);
        wait_for("a fault", || (running.metric("reassemble_destination_failing") == 1).then_some(()));
        assert_eq!(running.metric("reassemble_stored_objects_total"), 0);
        write("renewed", "renewed-secret");
        running.wait_until_said("the destination takes objects again");
        running.wait_for_metric("reassemble_destination_failing", 0);
        // The batches that are still open are stored at the end, or by the next run.
        running.stop();
        let mut running = Running::start(rig.command(true));
        running.wait_for_metric("reassemble_stored_exchanges_total", EXCHANGES as u64);
        running.stop();
        rig.assert_delivered();
    }
}

#[test]
fn an_outage_fills_the_spool_to_its_limit_and_no_further_and_ends_with_everything() {
    let rig = Rig::with_log(&lines(0..EXCHANGES));
    rig.faults.script([Rule::all(Fault::Answer(503, "", "ServiceUnavailable"))]);
    let mut command = rig.command(true);
    command.args(["--spool-limit", "1MiB", "--compression", "none"]);
    let mut running = Running::start(command);
    // The log goes on meanwhile, and is soon several times the limit.
    let mut log = fs::OpenOptions::new().append(true).open(&rig.log).unwrap();
    let all = 4_000;
    for first in (EXCHANGES..all).step_by(400) {
        log.write_all(lines(first..first + 400).as_bytes()).unwrap();
    }
    assert!(log.metadata().unwrap().len() > 5 << 20);
    running.wait_for_metric("reassemble_spool_full", 1);
    running.wait_for_metric("reassemble_destination_failing", 1);
    let read = running.metric("reassemble_read_bytes_total");
    assert!(read < log.metadata().unwrap().len() / 2, "{read} bytes were read");
    let health = running.page("/healthz");
    assert!(health.starts_with("HTTP/1.1 503") && health.contains("the spool is full"), "{health}");
    assert_said(&health, "503 ServiceUnavailable");
    assert_said(&running.said(), "the spool is full (--spool-limit)");
    // Standing still is no end of anything: nothing more is read, nothing times out.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(running.metric("reassemble_read_bytes_total"), read);
    assert_eq!(running.metric("reassemble_incomplete_exchanges_total"), 0);

    rig.faults.script([]);
    running.wait_for_metric("reassemble_complete_exchanges_total", all as u64);
    running.wait_for_metric("reassemble_waiting_objects", 0);
    running.wait_for_metric("reassemble_spool_full", 0);
    running.wait_for_metric("reassemble_destination_failing", 0);
    assert!(running.page("/healthz").starts_with("HTTP/1.1 200"));
    running.stop();
    assert_said(&running.said(), "the spool has room again");
    // What the stop sealed late is delivered by the next run.
    let mut running = Running::start(rig.command(true));
    running.wait_for_metric("reassemble_stored_exchanges_total", all as u64);
    running.stop();
    assert_exchanges(&rig.root(), all);
}

#[test]
fn a_stop_during_an_outage_is_quick_and_the_next_run_delivers() {
    for fault in [Fault::Answer(503, "", "SlowDown"), Fault::Hang] {
        let rig = Rig::new();
        rig.faults.script([Rule::all(fault)]);
        let mut command = rig.command(true);
        // So that a hang is not over before the stop.
        command.args(["--upload-timeout", "60s"]);
        let mut running = Running::start(command);
        running.wait_for_metric("reassemble_complete_exchanges_total", EXCHANGES as u64);
        wait_for("requests", || (rig.faults.faults() > 3).then_some(()));
        let took = running.stop();
        assert!(took < Duration::from_secs(4), "{took:?}");
        assert!(!rig.root().exists());
        // All of it is in the state: the log is not needed any more.
        let rig = Rig { log: rig.dir.path().join("none"), ..rig };
        rig.faults.script([]);
        let mut running = Running::start(rig.command(true));
        running.wait_for_metric("reassemble_stored_exchanges_total", EXCHANGES as u64);
        running.stop();
        rig.assert_delivered();
    }
}

#[test]
fn a_kill_in_the_middle_of_uploads_changes_no_key_and_no_byte() {
    let rig = Rig::new();
    for stored in [3, 9, 15] {
        // Some are stored with their replies outstanding, others not yet: then comes the kill.
        let already = stored::objects(&rig.root()).len();
        rig.faults.script([
            Rule::puts(Fault::Delay(Duration::from_millis(20))).times(stored),
            Rule::puts(Fault::ResetAfter).times(2),
            Rule::puts(Fault::Hang),
        ]);
        let mut running = Running::start(rig.command(false));
        let want = (already + 3).min(expected().len());
        wait_for("uploads", || (stored::files(&rig.root()).len() >= want).then_some(()));
        running.child.kill().unwrap();
        running.child.wait().unwrap();
    }
    rig.faults.script([]);
    rig.run();
    rig.assert_delivered();
}

#[test]
fn a_directory_that_refuses_is_waited_for() {
    let rig = Rig::new();
    let root = rig.dir.path().join("captures");
    fs::create_dir(&root).unwrap();
    let first = expected().keys().next().unwrap().components().next().unwrap();
    let blocked = root.join(first);
    fs::write(&blocked, "in the way").unwrap();
    let mut command = reassemble(["--to"]);
    command.arg(&root).arg(&rig.log).args(["--file-mode", "0640", "--folder-mode", "0750"]);
    settings(&mut command);
    let mut running = Running::start(command);
    running.wait_until_said("a file is in its place");
    wait_for("a fault", || (running.metric("reassemble_destination_failing") == 1).then_some(()));
    fs::remove_file(&blocked).unwrap();
    assert_eq!(running.child.wait().unwrap().code(), Some(0), "{}", running.said());
    assert!(stored::objects(&root) == *expected());
    for file in stored::files(&root) {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o640, 0o750), "{}", file.display());
    }
}
