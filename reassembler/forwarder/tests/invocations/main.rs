//! The real function, invoked through a Runtime API with events as AWS documents them, storing in a real S3 server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::collections::BTreeMap;
use std::io::Write;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::rig::{Rig, command, sample};

/// A subscription's event of one document.
fn awslogs(messages: &[&str]) -> String {
    json!({ "awslogs": { "data": packed(&document(messages)) } }).to_string()
}

fn document(messages: &[&str]) -> String {
    let event = |message| json!({ "id": "37", "timestamp": 1_793_000_000_000_u64, "message": message });
    let events: Vec<_> = messages.iter().map(event).collect();
    // The order of keys is AWS's.
    format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"/shop","logStream":"a","subscriptionFilters":["f"],"logEvents":{}}}"#,
        json!(events)
    )
}

fn packed(text: &str) -> String {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    BASE64_STANDARD.encode(encoder.finish().unwrap())
}

/// How many bytes of each part's body are stored of a capture, over all that is stored of it.
fn body_bytes(exchanges: &[Value]) -> [u64; 2] {
    ["request", "response"].map(|part| {
        let fragments = exchanges.iter().flat_map(|exchange| exchange["fragments"].as_array().into_iter().flatten());
        let short = if part == "request" { "req" } else { "res" };
        let behind_gaps: usize = fragments
            .filter(|fragment| fragment["part"] == short)
            .map(|fragment| match (fragment["text"].as_str(), fragment["b64"].as_str()) {
                (Some(text), _) => text.len(),
                (_, Some(base64)) => BASE64_STANDARD.decode(base64).unwrap().len(),
                _ => 0,
            })
            .sum();
        let bodies: u64 = exchanges.iter().filter_map(|exchange| exchange[part]["body"]["len"].as_u64()).sum();
        bodies + behind_gaps as u64
    })
}

fn sizes(stored: &BTreeMap<String, Vec<Value>>) -> BTreeMap<&str, [u64; 2]> {
    stored.iter().map(|(id, exchanges)| (id.as_str(), body_bytes(exchanges))).collect()
}

#[test]
fn every_kind_of_event_gives_the_exchanges_of_the_log() {
    for (name, answer) in [
        ("awslogs.event.json", json!({ "complete": 48, "incomplete": 1, "failures": 0 })),
        ("kinesis.event.json", json!({ "batchItemFailures": [] })),
    ] {
        let rig = Rig::start(&[]);
        assert_eq!(rig.invoke(&sample(name)), Ok(answer), "{name}");
        let stored = rig.stored();
        assert_eq!((stored.len(), stored.values().flatten().count()), (49, 49), "{name}");
        assert_eq!(stored.values().flatten().filter(|exchange| exchange["complete"] == true).count(), 48);
        let source = stored.values().next().unwrap()[0]["source"].as_str().unwrap();
        assert!(source.starts_with("cloudwatch:/ecs/shop:shop/"), "{source}");
    }
}

#[test]
fn firehose_gets_its_records_back_or_none_of_them() {
    for (variables, result) in [(&[][..], "Ok"), (&[("REASSEMBLE_FIREHOSE_RESULT", "Dropped")], "Dropped")] {
        let rig = Rig::start(variables);
        let mut event: Value = serde_json::from_str(&sample("firehose.event.json")).unwrap();
        // One cannot be decompressed, and one is lines that Firehose took out of its documents.
        let records = event["records"].as_array_mut().unwrap();
        let document = packed("half of a document");
        records.push(json!({ "recordId": "broken", "data": &document[..24] }));
        let lines = r#"{"cap1":"plain","part":"req","seq":0,"head":{"ts":"2026-11-22T09:00:00Z"},"of":1}"#;
        records.push(json!({ "recordId": "lines", "data": BASE64_STANDARD.encode(lines) }));
        let answer = rig.invoke(&event.to_string()).unwrap();
        let answered = answer["records"].as_array().unwrap();
        let asked = event["records"].as_array().unwrap();
        assert_eq!(answered.len(), asked.len());
        for (answered, asked) in answered.iter().zip(asked) {
            assert_eq!((&answered["recordId"], &answered["data"]), (&asked["recordId"], &asked["data"]));
            let failed = result == "Dropped" && asked["recordId"] == "broken";
            assert_eq!(answered["result"], if failed { "ProcessingFailed" } else { result });
        }
        let stored = rig.stored();
        assert_eq!(stored.len(), 50);
        assert_eq!(stored["plain"][0]["source"], "firehose");
    }
}

#[test]
fn chunks_spread_over_batches_are_all_stored() {
    let whole = Rig::start(&[]);
    whole.invoke(&sample("awslogs.event.json")).unwrap();
    let split = Rig::start(&[]);
    let event: Value = serde_json::from_str(&sample("kinesis.event.json")).unwrap();
    for records in event["Records"].as_array().unwrap().chunks(3) {
        split.invoke(&json!({ "Records": records }).to_string()).unwrap();
    }
    let (whole, split) = (whole.stored(), split.stored());
    let pieces = split.values().flatten().filter(|exchange| exchange["complete"] == false).count();
    assert!(pieces > 10, "{pieces} pieces: few captures are spread");
    assert_eq!(sizes(&split), sizes(&whole));
}

#[test]
fn a_batch_that_comes_again_changes_nothing() {
    let rig = Rig::start(&[("REASSEMBLE_BATCH_BYTES", "16KiB"), ("REASSEMBLE_INLINE_BODY", "1KiB")]);
    let open = r#"{"cap1":"open","part":"req","seq":0,"head":{"service":"no time"},"text":"a"}"#;
    let events = [sample("awslogs.event.json"), sample("kinesis.event.json"), awslogs(&[open])];
    for event in &events {
        rig.invoke(event).unwrap();
        let once = rig.objects();
        rig.invoke(event).unwrap();
        assert!(rig.objects() == once, "other objects");
    }
    let open = &rig.stored()["open"];
    assert_eq!(open[0]["problems"].as_array().unwrap().iter().filter(|problem| *problem == "ts_unusable").count(), 1);
    assert_eq!((open.len(), &open[0]["ts"]), (1, &json!("2026-10-26T07:33:20.000000Z")), "the time of the log event");
}

#[test]
fn an_invocation_fails_where_not_everything_is_stored_and_another_stores_it() {
    let rig = Rig::start_with_secret("another", &[]);
    let said = rig.invoke(&sample("awslogs.event.json")).unwrap_err();
    assert!(said.starts_with("not everything is stored (") && said.contains("credentials"), "{said}");
    assert!(rig.objects().is_empty());
    rig.set_secret("secret");
    rig.invoke(&sample("awslogs.event.json")).unwrap();
    assert_eq!(rig.stored().len(), 49);
}

#[test]
fn what_holds_no_lines_is_told_or_passed_over() {
    let rig = Rig::start(&[]);
    let control = document(&["CWL CONTROL MESSAGE"]).replace("DATA_MESSAGE", "CONTROL_MESSAGE");
    let nothing = json!({ "complete": 0, "incomplete": 0, "failures": 0 });
    assert_eq!(rig.invoke(&json!({ "awslogs": { "data": packed(&control) } }).to_string()), Ok(nothing));
    for event in ["{}", "[1]", r#"{"Records":[{"s3":{}}]}"#, r#"{"awslogs":{"data":7}}"#] {
        let said = rig.invoke(event).unwrap_err();
        assert!(said.contains("check the function's trigger"), "{said}");
    }
    // A batch that holds something broken is not brought again for it: it would be broken again.
    let capture = r#"{"cap1":"good","part":"req","seq":0,"of":1}"#;
    let torn = document(&[capture, "second"]);
    let event = json!({ "awslogs": { "data": packed(&torn[..torn.len() - 12]) } });
    assert_eq!(rig.invoke(&event.to_string()), Ok(json!({ "complete": 0, "incomplete": 1, "failures": 1 })));
    assert_eq!(rig.stored().len(), 1);
    assert_eq!(rig.invoke(r#"{"awslogs":{"data":"!"}}"#), Ok(json!({ "complete": 0, "incomplete": 0, "failures": 1 })));
}

#[test]
fn wrong_settings_are_told_at_the_start() {
    for (name, value, words) in [
        ("REASSEMBLE_TO", "./captures", "REASSEMBLE_TO must name a bucket"),
        ("REASSEMBLE_RETENTION", "soon", "REASSEMBLE_RETENTION"),
        ("REASSEMBLE_FIREHOSE_RESULT", "ok", "is Ok or Dropped"),
    ] {
        let mut function = command();
        function.env("REASSEMBLE_TO", "s3://bucket").env(name, value).env("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9");
        let output = function.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{said}");
    }
}
