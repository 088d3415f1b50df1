//! What is captured and what is left out: rate limits, errors that are always captured, method filters; and bodies that hold secrets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod captured;

use std::time::Duration;

use captured::{Captured, Kept};
use reassemble_emitter::{Builder, Capture, Emitter, Errors};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);

struct Run {
    kept: Kept,
    emitter: Emitter,
}

impl Run {
    fn new(set: impl FnOnce(Builder) -> Builder) -> Run {
        let kept = Kept::default();
        let emitter = set(Emitter::builder().output(kept.output())).build().unwrap();
        Run { kept, emitter }
    }

    fn begin(&self, url: &str) -> Capture {
        self.emitter.begin("http/1.1", "POST", url).header("content-type", "application/json").start()
    }

    fn exchange(&self, url: &str, request: &str, status: u16, response: &str) {
        let mut capture = self.begin(url);
        capture.request_body(request.to_owned());
        capture.respond_with(status, [("Content-Type", "application/json; charset=utf-8")]);
        capture.response_body(response.to_owned());
        capture.finish();
    }

    fn end(self) -> Captured {
        assert!(self.emitter.shutdown(PATIENCE));
        self.kept.read()
    }
}

#[test]
fn an_endpoint_is_captured_at_its_rate() {
    let run = Run::new(|builder| builder.rate_limit(0.001));
    for n in 0..5 {
        run.exchange(&format!("http://shop/orders/{n}"), "", 200, "");
        run.exchange("http://shop/health", "", 200, "");
    }
    assert_eq!((run.emitter.counts().begun, run.emitter.counts().sampled_out), (2, 8));
    let captured = run.end();
    assert_eq!(captured.by_url("/orders/0").req().head["why"], "limit");
    assert_eq!(captured.by_url("/health").req().head["why"], "limit");
    assert_eq!(captured.metas.last().unwrap()["sampled_out"], 8);
}

#[test]
fn what_goes_wrong_is_captured_though_sampling_leaves_it_out() {
    let run = Run::new(|builder| builder.sample_rate(0.0).errors(Errors::Always));
    run.exchange("/good", "{}", 200, "{}");
    run.exchange("/refused", "{}", 404, "{}");
    run.exchange("/broken", r#"{"a":1}"#, 500, r#"{"b":2}"#);
    let mut silent = run.begin("/silent");
    silent.request_body(r#"{"c":3}"#);
    silent.error("connection reset");
    silent.finish();
    drop(run.begin("/dropped"));
    run.exchange("/later", "", 503, "");
    let counts = run.emitter.counts();
    assert_eq!((counts.begun, counts.sampled_out, counts.dropped), (4, 2, 0));

    let captured = run.end();
    assert_eq!(captured.numbers(), [1, 2, 3, 4]);
    let broken = captured.by_url("/broken");
    assert_eq!((&*broken.req().body, &*broken.res().body), (&br#"{"a":1}"#[..], &br#"{"b":2}"#[..]));
    assert_eq!((&broken.req().head["why"], &broken.req().head["rate"]), (&json!("error"), &json!(0)));
    assert_eq!(broken.res().head["status"], 500);
    let silent = captured.by_url("/silent");
    assert_eq!((&*silent.req().body, &silent.res().tail["error"]), (&br#"{"c":3}"#[..], &json!("connection reset")));
    assert_eq!(captured.by_url("/dropped").res().tail["error"], "cancelled");
}

#[test]
fn a_request_that_waits_for_its_response_is_held_within_bounds() {
    let run =
        Run::new(|builder| builder.sample_rate(0.0).errors(Errors::Always).queue_limit(400_000).redact_buffer(None));
    // Each holds 64 KiB and what its end takes, so the seventh finds no room.
    let mut open: Vec<Capture> = (0..8).map(|n| run.begin(&format!("/{n}"))).collect();
    for capture in &mut open {
        for _ in 0..100 {
            capture.request_body(vec![b'x'; 2048]);
        }
    }
    for mut capture in open {
        capture.respond(500);
        capture.finish();
    }
    let captured = run.end();
    let first = captured.by_url("/0").req();
    assert_eq!((first.body.len(), &first.tail["truncated"]), (64 << 10, &json!(true)));
    assert_eq!((&first.tail["full_len"], &first.tail["error"]), (&json!(204_800), &json!(null)));
    let last = captured.by_url("/7").req();
    assert!(last.body.len() < 64 << 10);
    assert_eq!(last.tail["error"], "queue");
}

#[test]
fn a_capture_that_finds_no_room_to_be_held_is_dropped() {
    let run = Run::new(|builder| builder.sample_rate(0.0).errors(Errors::Always).queue_limit(10_000));
    let open: Vec<Capture> = (0..20).map(|n| run.begin(&format!("/{n}"))).collect();
    let dropped = run.emitter.counts().dropped;
    assert!(0 < dropped && dropped < 20);
    for mut capture in open {
        capture.respond(200);
        capture.finish();
    }
    let counts = run.emitter.counts();
    assert_eq!((counts.begun, counts.dropped, counts.sampled_out), (0, dropped, 20 - dropped));
}

#[test]
fn room_that_held_captures_took_is_given_back() {
    let run = Run::new(|builder| builder.sample_rate(0.0).errors(Errors::Always).queue_limit(100_000));
    for _ in 0..200 {
        run.exchange("/good", &"1".repeat(20_000), 200, "{}");
    }
    for _ in 0..20 {
        drop(run.emitter.begin("kafka", "produce", "/oneway").oneway().start());
        run.exchange("/broken", "{}", 500, "{}");
        assert!(run.emitter.flush(PATIENCE));
    }
    let counts = run.emitter.counts();
    assert_eq!((counts.begun, counts.finished, counts.dropped, counts.sampled_out), (20, 20, 0, 220));
}

#[test]
fn secrets_in_bodies_stay_in() {
    let run = Run::new(|builder| builder);
    run.exchange("/login", r#"{"user": "ann", "password": "s3cret"}"#, 200, r#"{"access_token":"s3cret","ttl":60}"#);
    run.exchange("/broken", r#"{"password": "s3cret""#, 200, "");
    let mut form = run.emitter.begin("http/1.1", "POST", "/form");
    form = form.header("Content-Type", "application/x-www-form-urlencoded");
    let mut form = form.start();
    form.request_body("user=ann&pass");
    form.request_body("word=s3cret");
    form.respond_with(200, [("content-type", "application/json"), ("content-encoding", "gzip")]);
    form.response_body("not looked at");
    form.finish();
    let mut early = run.begin("/early");
    early.request_body(r#"{"password": "s3cret", "#);
    early.respond(200);
    drop(early);
    let captured = run.end();
    let login = captured.by_url("/login");
    assert_eq!(login.req().header("content-type"), Some("application/json"));
    assert_eq!(login.req().body, br#"{"user": "ann", "password": "[redacted]"}"#);
    assert_eq!(login.res().body, br#"{"access_token":"[redacted]","ttl":60}"#);
    let broken = captured.by_url("/broken").req();
    assert_eq!((broken.body.len(), &broken.tail["error"]), (0, &json!("redact_syntax")));
    assert_eq!((&broken.tail["truncated"], &broken.tail["full_len"]), (&json!(true), &json!(21)));
    assert_eq!(captured.by_url("/form").req().body, b"user=ann&password=[redacted]");
    assert_eq!(captured.by_url("/form").res().body, b"not looked at");
    let early = captured.by_url("/early").req();
    assert_eq!((early.body.len(), &early.tail["error"]), (0, &json!("body not read to its end")));
}

#[test]
fn a_body_that_is_too_long_to_be_looked_through_is_left_out_and_says_so() {
    let long = format!(r#"{{"a":"{}","password":"s3cret"}}"#, "x".repeat(5000));
    let run = Run::new(|builder| builder.redact_buffer(Some(4096)));
    run.exchange("/long", &long, 200, "{}");
    let captured = run.end();
    let req = captured.by_url("/long").req();
    assert_eq!((req.body.len(), &req.tail["error"]), (0, &json!("redact_buffer")));
    assert_eq!(req.tail["full_len"], long.len());

    let run = Run::new(|builder| builder.redact_buffer(None));
    run.exchange("/long", &long, 200, "{}");
    assert_eq!(run.end().by_url("/long").req().body, long.as_bytes());
}
