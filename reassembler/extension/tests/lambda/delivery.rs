//! What the function prints, in all the ways in which Lambda hands it over.

use reassemble_testkit::lambda::platform::Options;
use serde_json::{Value, json};

use crate::scene::{LIMIT, Scene, patient};

#[test]
fn it_subscribes_before_it_asks_for_events() {
    let scene = Scene::start();
    scene.platform.idle();
    let (name, events) = scene.platform.registered();
    assert_eq!((name.as_str(), events), ("reassemble-extension", vec!["INVOKE".to_owned(), "SHUTDOWN".to_owned()]));
    let subscriptions = scene.platform.subscriptions();
    assert_eq!(subscriptions.len(), 1);
    assert_eq!(subscriptions[0]["schemaVersion"], "2025-01-29");
    assert_eq!(subscriptions[0]["types"], json!(["platform", "function"]));
    assert_eq!(subscriptions[0]["buffering"], json!({"maxBytes": 1_048_576, "maxItems": 10_000, "timeoutMs": 25}));
    scene.finish();
}

#[test]
fn captures_are_stored_at_the_end_of_their_invocation() {
    let mut scene = Scene::start();
    for count in [1, 40, 3] {
        let lines = scene.captures.lines(count);
        scene.invocation(&lines);
        scene.assert_stored();
    }
    scene.finish();
}

#[test]
fn every_form_of_record_is_read() {
    let mut scene = Scene::start();
    let prefixed = |line: &String| format!("2026-11-28T00:00:00Z 8f0e INFO {line}\n");
    let mut records: Vec<Value> = scene.captures.lines(3).iter().map(prefixed).map(Value::from).collect();
    // A framed message of several lines.
    records.push(format!("[INFO] all at once:\n{}\n", scene.captures.lines(30).join("\n")).into());
    // The JSON format: the line in a string, or merged with the logger's own keys.
    let nested = |line: &String| json!({"timestamp": "t", "level": "INFO", "message": line});
    records.extend(scene.captures.lines(3).iter().map(nested));
    records.extend(scene.captures.lines(3).iter().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    records.push(Value::Null);
    records.push("START of nothing {\"cap".into());
    scene.invocation(&records);
    scene.finish();
}

#[test]
fn lines_that_a_runtime_cut_are_joined() {
    let mut scene = Scene::start();
    let capture = scene.captures.one(200_000);
    let text = format!("{}\n", capture.lines().join("\n"));
    let bytes = text.as_bytes();
    // Raw writes are cut at multiples of 64 KiB, here within characters' edges.
    let mut records = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let mut end = bytes.len().min(at + 65_536);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        records.push(text[at..end].to_owned());
        at = end;
    }
    assert!(records.len() > 3);
    scene.invocation(&records);
    scene.finish();
}

#[test]
fn records_that_are_cut_over_posts_are_joined() {
    let mut scene = Scene::start();
    let id = scene.invoke();
    for (number, form) in [(0, true), (1, false), (2, true)] {
        let lines = scene.captures.lines(12).join("\n");
        let record = if form { Value::from(lines) } else { json!({"level": "INFO", "message": lines}) };
        let before = scene.captures.lines(1);
        let (before, cut) = (scene.platform.printed(&before).join(","), scene.platform.element("function", &record));
        let envelope = cut.find("\"record\":").unwrap() + 9;
        // In mid-value; once within a character.
        let at = cut.as_bytes().iter().position(|byte| *byte >= 0x80).map_or(envelope + 900, |at| at + number % 2 + 1);
        let last = scene.captures.lines(1);
        let last = scene.platform.printed(&last).join(",");
        let start = [b"[", before.as_bytes(), b",", &cut.as_bytes()[..at]].concat();
        let rest = [b"[", &cut.as_bytes()[..envelope], &cut.as_bytes()[at..], b",", last.as_bytes(), b"]"].concat();
        for post in [start, rest] {
            assert_eq!(scene.platform.post(post.clone()), 200);
            assert_eq!(scene.platform.post(post), 200);
        }
    }
    scene.platform.push(&[scene.platform.runtime_done(&id)]);
    scene.finish();
}

#[test]
fn posts_come_more_than_once_and_many_at_once() {
    let mut scene = Scene::start();
    let id = scene.invoke();
    let lines = scene.captures.lines(150);
    let posts: Vec<_> = lines.chunks(6).map(|lines| format!("[{}]", scene.platform.printed(lines).join(","))).collect();
    assert!(posts.len() >= 50);
    scene.platform.post_at_once(posts.iter().chain(&posts).cloned().collect());
    scene.platform.push(&[scene.platform.runtime_done(&id)]);
    scene.platform.idle();
    scene.assert_stored();
    scene.finish();
}

#[test]
fn captures_span_invocations_and_lines_come_late() {
    let mut scene = Scene::start();
    let (one, two, three) = (scene.captures.one(9_000), scene.captures.one(100), scene.captures.one(5_000));
    scene.invocation(&one.request);
    scene.invocation(&[one.response, two.request].concat());
    // Lines that come after the invocation's end go with the next, and after the shutdown's event at the end.
    scene.platform.push(&scene.platform.printed(&two.response));
    scene.invocation(&three.request);
    scene.platform.shut_down("spindown");
    scene.platform.push(&scene.platform.printed(&three.response));
    assert!(scene.extension.ended().success());
    scene.assert_stored();
}

#[test]
fn a_request_that_comes_again_is_waited_for_again() {
    let mut scene = Scene::start();
    for _ in 0..3 {
        let lines = scene.captures.lines(2);
        scene.platform.idle();
        scene.platform.invoke("the same", LIMIT);
        scene.platform.push(&scene.platform.printed(&lines));
        scene.platform.push(&[scene.platform.runtime_done("the same")]);
        scene.platform.idle();
        scene.assert_stored();
    }
    scene.finish();
}

#[test]
fn older_schemas_do() {
    for refused in [&["2025-01-29"][..], &["2025-01-29", "2022-12-13"]] {
        let mut scene = Scene::start_with(Options { refused_schemas: refused, ..Options::default() }, patient);
        let lines = scene.captures.lines(2);
        scene.invocation(&lines);
        assert_eq!(scene.platform.subscriptions().len(), refused.len() + 1);
        scene.finish();
    }
}

#[test]
fn managed_instances_flush_by_themselves() {
    let mut scene = Scene::start_with(Options { is_managed: true, ..Options::default() }, |command| {
        command.env("REASSEMBLE_FLUSH", "periodic:1");
    });
    scene.platform.idle();
    assert_eq!(scene.platform.registered().1, ["SHUTDOWN"]);
    for _ in 0..2 {
        let lines = scene.captures.lines(3);
        scene.platform.push(&scene.platform.printed(&lines));
        scene.until_stored();
    }
    let lines = scene.captures.lines(3);
    scene.platform.push(&scene.platform.printed(&lines));
    scene.finish();
}
