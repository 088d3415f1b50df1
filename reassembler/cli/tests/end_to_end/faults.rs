//! An object store that fails in every way that is known of them, under the real command and a real log: in the end every exchange is
//! stored exactly once, in the objects that a run without faults makes, and the command said what was wrong.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use reassemble_testkit::faults::{Fault, Rule};

use crate::fault_rig::{Rig, Running, assert_said, delivered_through, expected};
use crate::programs::run;
use crate::stored;

/// Requests that fail: more than the SDK tries by itself at all places, so that the uploader has to wait.
const MANY: u32 = 20;
/// The same for what the SDK does not try again.
const SOME: u32 = 8;

#[test]
fn a_503_storm_is_waited_out() {
    let storm = Fault::Answer(503, "retry-after: 1\r\n", "SlowDown");
    let (_, _, said) = delivered_through([Rule::all(storm).times(MANY)]);
    assert_said(&said, "cannot take it now (HTTP 503 SlowDown: by the script)");
    assert_said(&said, "the destination takes objects again");
}

#[test]
fn a_store_that_refuses_two_of_three_requests_gets_everything() {
    delivered_through([
        Rule::puts(Fault::Answer(503, "", "SlowDown")).one_of(3),
        Rule::puts(Fault::Answer(500, "", "InternalError")).one_of(2),
    ]);
}

#[test]
fn a_500_is_tried_again() {
    let (_, _, said) = delivered_through([Rule::puts(Fault::Answer(500, "", "InternalError")).times(MANY)]);
    assert_said(&said, "HTTP 500 InternalError");
}

#[test]
fn a_denial_is_told_and_ends_when_the_policy_does() {
    let (_, _, said) = delivered_through([Rule::puts(Fault::Answer(403, "", "AccessDenied")).times(SOME)]);
    assert_said(&said, "is denied (HTTP 403 AccessDenied");
    assert_said(&said, "needs s3:PutObject");
}

#[test]
fn a_missing_bucket_is_named_and_waited_for() {
    let (_, _, said) = delivered_through([Rule::puts(Fault::Answer(404, "", "NoSuchBucket")).times(SOME)]);
    assert_said(&said, "bucket bucket does not exist");
}

#[test]
fn a_redirect_says_where_the_bucket_is() {
    let elsewhere = Fault::Answer(301, "x-amz-bucket-region: eu-west-1\r\n", "PermanentRedirect");
    let (_, _, said) = delivered_through([Rule::puts(elsewhere).times(SOME)]);
    assert_said(&said, "but in eu-west-1");
    let elsewhere = Fault::Answer(307, "location: http://127.0.0.1:9/\r\n", "TemporaryRedirect");
    delivered_through([Rule::puts(elsewhere).times(SOME)]);
}

#[test]
fn a_skewed_clock_is_told() {
    let (_, _, said) = delivered_through([Rule::puts(Fault::Answer(403, "", "RequestTimeTooSkewed")).times(SOME)]);
    assert_said(&said, "clock is wrong");
}

#[test]
fn requests_reset_before_they_are_stored_are_sent_again() {
    let (_, counts, said) = delivered_through([Rule::puts(Fault::ResetBefore).times(MANY)]);
    assert_said(&said, "cannot reach");
    assert_eq!(counts["objects_already_stored"], 0, "{counts}");
}

#[test]
fn objects_whose_replies_are_lost_count_once() {
    for fault in [Fault::ResetAfter, Fault::CutReply] {
        let (rig, counts, _) = delivered_through([Rule::puts(fault).times(6)]);
        // Each was found there by a try that followed.
        let seen = rig.faults.seen();
        let lost: BTreeSet<_> = seen.iter().filter(|seen| seen.faulty).map(|seen| &seen.target).collect();
        assert_eq!(counts["objects_already_stored"], lost.len(), "{counts}");
    }
}

#[test]
fn requests_that_hang_are_given_up_and_sent_again() {
    for fault in [Fault::Hang, Fault::Stall] {
        let (_, _, said) = delivered_through([Rule::puts(fault).times(16)]);
        assert_said(&said, "no answer in time");
    }
}

#[test]
fn a_slow_store_is_used_several_times_at_once_and_not_more() {
    let (rig, _, _) = delivered_through([Rule::puts(Fault::Delay(Duration::from_millis(100)))]);
    assert_eq!(rig.faults.most_at_once(), 4);
}

#[test]
fn conditions_that_conflict_are_tried_again() {
    let conflict = Fault::Answer(409, "", "ConditionalRequestConflict");
    let (_, _, said) = delivered_through([Rule::puts(conflict).conditional().times(SOME)]);
    assert_said(&said, "ConditionalRequestConflict");
}

#[test]
fn a_412_about_nothing_is_not_taken_for_stored() {
    let (_, counts, _) = delivered_through([Rule::puts(Fault::Answer(412, "", "PreconditionFailed")).conditional()]);
    assert_eq!(counts["objects_already_stored"], 0, "{counts}");
}

#[test]
fn stores_that_refuse_conditions_are_looked_at_first() {
    for (status, code) in [(501, "NotImplemented"), (400, "NotImplemented")] {
        let (rig, _, said) = delivered_through([Rule::puts(Fault::Answer(status, "", code)).conditional()]);
        assert_said(&said, "knows no conditional puts");
        assert!(rig.faults.seen().iter().filter(|seen| seen.method == "HEAD").count() >= expected().len());
    }
}

#[test]
fn stores_that_ignore_conditions_get_the_same_bytes_again() {
    let (rig, _, _) = delivered_through([Rule::puts(Fault::IgnoreCondition)]);
    // The log is read anew, and everything is put a second time.
    fs::remove_dir_all(rig.dir.path().join("state")).unwrap();
    let (counts, _) = rig.run();
    assert_eq!(counts["objects_stored"], expected().len());
    assert_eq!(counts["objects_already_stored"], 0, "{counts}");
    rig.assert_delivered();
}

#[test]
fn another_object_under_a_key_is_named_stays_and_stops_nothing_else() {
    let rig = Rig::new();
    let key = expected().keys().next().unwrap();
    let place = rig.root().join(key);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, "somebody else's").unwrap();
    let (code, summary, said) = run(rig.command(false));
    assert_eq!(code, Some(1), "{said}");
    assert_said(&said, "exists already and holds something else (15 bytes, not");
    assert_eq!(fs::read(&place).unwrap(), b"somebody else's");
    assert_eq!(summary["run"]["objects_stored"], expected().len() - 1);
    fs::remove_file(&place).unwrap();
    rig.run();
    rig.assert_delivered();
}

#[test]
fn large_bodies_survive_failing_parts_and_completions() {
    // More than goes whole: 81 mebibytes in lines of half a one.
    let piece = "0123456789abcdef".repeat(32 << 10);
    let mut log = String::new();
    let pieces = 162;
    for seq in 0..pieces {
        let head = if seq == 0 { r#""head":{"ts":"2026-11-01T10:00:00Z","service":"s"},"# } else { "" };
        let of = if seq == pieces - 1 { format!(r#","of":{pieces}"#) } else { String::new() };
        writeln!(log, r#"{{"cap1":"large","part":"req","seq":{seq},{head}"text":"{piece}"{of}}}"#).unwrap();
    }
    writeln!(log, r#"{{"cap1":"large","part":"res","seq":0,"head":{{"status":200}},"of":1}}"#).unwrap();
    let rig = Rig::with_log(&log);
    rig.faults.script([
        Rule::puts(Fault::Answer(500, "", "InternalError")).key("partNumber=2").times(4),
        Rule::puts(Fault::ResetAfter).key("partNumber=3").times(1),
        Rule::all(Fault::Answer(200, "", "InternalError")).method("POST").key("uploadId=").times(3),
        Rule::all(Fault::ResetAfter).method("POST").key("uploadId=").times(1),
    ]);
    // Followed, for a run that ends by itself waits only so long for a store that denies, as this one does an upload that it has completed.
    let mut command = rig.command(true);
    command.args(["--upload-timeout", "20s", "--batch-age", "1s"]);
    let mut running = Running::start(command);
    running.wait_for_metric("reassemble_stored_objects_total", 2);
    running.stop();
    assert_said(&running.said(), "HTTP 200 InternalError");
    let exchanges = stored::exchanges(&rig.root());
    assert_eq!(exchanges.len(), 1);
    let bytes = stored::body(&rig.root(), &exchanges[0]["request"]["body"]);
    assert!(bytes == piece.repeat(pieces).as_bytes(), "{} bytes", bytes.len());
    assert!(rig.faults.seen().iter().any(|seen| seen.method == "DELETE"), "nothing was aborted");
}
