//! The plain API, the queue's bounds, and outputs that block, end or are shared.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod captured;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use captured::{Captured, Kept};
use reassemble_emitter::{Emitter, Output, SampleBy, SigningKey, TraceParent};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);

fn emitter(kept: &Kept) -> Emitter {
    Emitter::builder().service("test").output(kept.output()).build().unwrap()
}

#[test]
fn a_query_is_captured_with_all_that_was_said() {
    let kept = Kept::default();
    let emitter = emitter(&kept);
    let trace = TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    let mut query = emitter
        .begin("postgres", "query", "postgres://app:secret@db/shop")
        .header("application_name", b"caf\xe9".to_vec())
        .header("Authorization", "secret")
        .peer("10.0.0.1:5432")
        .trace(trace.clone())
        .tag("pool", "3")
        .start();
    query.request_body("select ");
    query.request_body("1");
    query.respond("00000");
    query.response_body("[[1]]");
    let id = query.id().unwrap().to_string();
    query.finish();
    assert!(emitter.flush(PATIENCE));

    let captured = kept.read();
    let (req, res) = (captured.exchanges[&id].req(), captured.exchanges[&id].res());
    assert_eq!((req.body.as_slice(), res.body.as_slice()), (&b"select 1"[..], &b"[[1]]"[..]));
    let head = &req.head;
    assert_eq!(req.header("Authorization"), Some("[redacted]"));
    assert_eq!(head["headers"], json!([["application_name", "café"], ["Authorization", "[redacted]"]]));
    for (key, value) in [
        ("service", json!("test")),
        ("n", json!(1)),
        ("dir", json!("out")),
        ("proto", json!("postgres")),
        ("method", json!("query")),
        ("url", json!("postgres://db/shop")),
        ("peer", json!("10.0.0.1:5432")),
        ("trace", json!(trace.as_str())),
        ("tags", json!({"pool": "3"})),
        ("rate", json!(1)),
        ("why", json!("all")),
    ] {
        assert_eq!(head[key], value, "{key}");
    }
    assert_eq!(head["inst"].as_str().unwrap().len(), 16);
    assert_eq!(res.head["status"], "00000");
    assert!(res.head["us"].as_u64() <= res.tail["us"].as_u64());
    assert_eq!((&req.tail["error"], &res.tail["truncated"]), (&json!(null), &json!(null)));
}

#[test]
fn every_line_is_signed_with_a_key() {
    let kept = Kept::default();
    let key = SigningKey::new("8d0f3c2e9a7b465180d2b6f4c1e3a597").unwrap();
    let emitter = Emitter::builder().output(kept.output()).signing_key(key).build().unwrap();
    let mut query = emitter.begin("postgres", "query", "postgres://db/shop").start();
    query.request_body("select 1");
    query.respond("00000");
    query.response_body(vec![b'x'; 10_000]);
    query.finish();
    assert!(emitter.shutdown(PATIENCE));

    // Bodies, heads and tails come back from fragments; that signatures fit is the vectors' part.
    let captured = kept.read();
    assert_eq!(captured.by_url("/shop").res().body.len(), 10_000);
    assert_eq!((captured.unsigned_lines, captured.metas.len()), (0, 1));
    assert!(captured.longest_line <= 4096);
}

#[test]
fn a_oneway_message_has_no_response() {
    let kept = Kept::default();
    let emitter = emitter(&kept);
    let mut message = emitter.begin("kafka", "produce", "kafka://broker/orders").oneway().start();
    message.request_body("event");
    message.respond(200);
    message.finish();
    assert!(emitter.flush(PATIENCE));
    let captured = kept.read();
    let exchange = captured.by_url("/orders");
    assert_eq!((&exchange.req().head["oneway"], exchange.res.is_none()), (&json!(true), true));
    assert_eq!(emitter.counts().finished, 1);
}

#[test]
fn a_failed_and_a_dropped_capture_say_so() {
    let kept = Kept::default();
    let emitter = emitter(&kept);
    let mut failed = emitter.begin("redis", "GET", "redis://cache/failed").start();
    failed.request_body("k");
    failed.error("connection reset");
    failed.finish();
    let mut dropped = emitter.begin("redis", "GET", "redis://cache/dropped").start();
    dropped.respond("OK");
    dropped.response_body("half of");
    drop(dropped);
    assert!(emitter.flush(PATIENCE));
    let captured = kept.read();
    let failed = captured.by_url("/failed");
    assert_eq!((&failed.res().tail["error"], &failed.req().tail["error"]), (&json!("connection reset"), &json!(null)));
    let tail = &captured.by_url("/dropped").res().tail;
    assert_eq!((&tail["error"], &tail["truncated"]), (&json!("body dropped before its end"), &json!(true)));
}

#[test]
fn a_body_is_cut_at_the_limit_and_its_length_told() {
    let kept = Kept::default();
    let emitter = Emitter::builder().body_limit(10_000).output(kept.output()).build().unwrap();
    for (url, pieces) in [("x:/over", vec![6000, 4001, 5]), ("x:/exact", vec![6000, 4000])] {
        let mut capture = emitter.begin("x", "put", url).start();
        for len in pieces {
            capture.request_body(vec![b'a'; len]);
        }
        capture.respond(204);
        capture.finish();
    }
    assert!(emitter.flush(PATIENCE));
    let captured = kept.read();
    let over = captured.by_url("over").req();
    assert_eq!(
        (over.body.len(), &over.tail["truncated"], &over.tail["full_len"]),
        (10_000, &json!(true), &json!(10_006))
    );
    let exact = captured.by_url("exact").req();
    assert_eq!(
        (exact.body.len(), &exact.tail["truncated"], &exact.tail["full_len"]),
        (10_000, &json!(null), &json!(null))
    );
}

#[test]
fn dropping_the_last_handle_writes_what_is_open_and_the_counters() {
    let kept = Kept::default();
    let emitter = emitter(&kept);
    let mut open = emitter.begin("x", "get", "x:/open").start();
    open.request_body("asked");
    drop(emitter);
    let captured = kept.read();
    let exchange = captured.by_url("/open");
    assert_eq!(exchange.req().body, b"asked");
    for part in [exchange.req(), exchange.res()] {
        assert_eq!((&part.tail["error"], &part.tail["truncated"]), (&json!("shutdown"), &json!(true)));
    }
    let meta = captured.metas.last().unwrap();
    assert_eq!((&meta["begun"], &meta["finished"], &meta["dropped"]), (&json!(1), &json!(1), &json!(0)));
    open.finish();
}

#[test]
fn counters_are_told_while_there_is_something_to_tell_and_not_else() {
    let kept = Kept::default();
    let emitter = Emitter::builder().meta_every(Duration::from_millis(50)).output(kept.output()).build().unwrap();
    thread::sleep(Duration::from_millis(200));
    assert_eq!(kept.read().metas.len(), 0);
    emitter.begin("x", "get", "x:/").start().finish();
    let deadline = Instant::now() + PATIENCE;
    while kept.read().metas.is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(kept.read().metas[0]["finished"], 1);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(kept.read().metas.len(), 1);
}

#[test]
fn sampling_takes_whole_traces_or_by_the_captures_own_ids() {
    let kept = Kept::default();
    let sampled = |by| Emitter::builder().sample_rate(0.5).sample_by(by).output(kept.output()).build().unwrap();
    let (by_trace, by_id) = (sampled(SampleBy::Trace), sampled(SampleBy::Id));
    let traces: Vec<TraceParent> = (1..=100u32)
        .map(|at| TraceParent::parse(&format!("00-{:032x}-00f067aa0ba902b7-01", u128::from(at))).unwrap())
        .collect();
    for trace in &traces {
        let taken = f64::from(crc32fast::hash(trace.trace_id().as_bytes())) < 0.5 * 4_294_967_296.0;
        for _ in 0..3 {
            let capture = by_trace.begin("x", "get", "x:/").trace(trace.clone()).start();
            assert_eq!(capture.id().is_some(), taken);
            capture.finish();
        }
    }
    let taken =
        (0..1000).filter(|_| by_id.begin("x", "get", "x:/").trace(traces[0].clone()).start().id().is_some()).count();
    assert!((350..650).contains(&taken), "{taken} of 1000");
    assert_eq!(by_id.counts().sampled_out, 1000 - taken as u64);
    assert!(by_trace.flush(PATIENCE) && by_id.flush(PATIENCE));
    assert!(kept.read().exchanges.values().all(|exchange| exchange.req().head["why"] == "sample"));
}

/// Captures without end while nobody reads, then reads all: what was admitted is whole or says that it was cut.
#[test]
fn a_blocked_output_blocks_nobody_and_drops_are_whole_and_counted() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let output = Output::File(File::from(OwnedFd::from(writer)));
    let emitter = Emitter::builder().queue_limit(256 * 1024).output(output).build().unwrap();
    let began = Instant::now();
    let mut long = emitter.begin("x", "put", "x:/long").start();
    let mut admitted = 0;
    for at in 0..5000 {
        let mut capture = emitter.begin("x", "put", format!("x:/{at}")).start();
        admitted += u64::from(capture.id().is_some());
        capture.request_body(vec![b'a'; 700]);
        capture.respond(200);
        capture.response_body("done");
        capture.finish();
        long.request_body(vec![b'b'; 1000]);
    }
    long.respond_with(200, [("name", "value")]);
    long.finish();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "the app was held up for {took:?}");
    let counts = emitter.counts();
    assert!(counts.dropped > 0 && counts.begun == admitted + 1 && counts.begun + counts.dropped == 5001, "{counts:?}");
    assert!(!emitter.flush(Duration::from_millis(100)));

    let reading = thread::spawn(move || {
        let mut log = Vec::new();
        reader.read_to_end(&mut log).unwrap();
        Captured::read(&log)
    });
    drop(emitter);
    let captured = reading.join().unwrap();
    assert_eq!(captured.numbers(), (1..=counts.begun).collect::<Vec<_>>());
    let long = captured.by_url("/long");
    assert_eq!((&long.req().tail["error"], &long.req().tail["truncated"]), (&json!("queue"), &json!(true)));
    assert_eq!(long.req().tail["full_len"], 5_000_000);
    assert_eq!(long.res().head["status"], 200);
    let meta = captured.metas.last().unwrap();
    assert_eq!((&meta["dropped"], &meta["finished"]), (&json!(counts.dropped), &json!(counts.begun)));
}

#[test]
fn a_reader_that_goes_away_costs_captures_alone() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let emitter = Emitter::builder().output(Output::File(File::from(OwnedFd::from(writer)))).build().unwrap();
    emitter.begin("x", "get", "x:/").start().finish();
    assert!(emitter.flush(PATIENCE));
    let capture = emitter.begin("x", "get", "x:/").start();
    assert_eq!(capture.id(), None);
    let counts = emitter.counts();
    assert_eq!((counts.begun, counts.finished, counts.dropped), (1, 0, 1));
    assert!(counts.lost_lines >= 2);
}

#[test]
fn a_descriptor_that_does_not_block_loses_nothing() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let writer = File::from(OwnedFd::from(writer));
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
    let emitter = Emitter::builder().line_limit(20_000).output(Output::File(writer)).build().unwrap();
    for _ in 0..20 {
        let mut capture = emitter.begin("x", "put", "x:/").start();
        capture.request_body(vec![b'a'; 50_000]);
        capture.respond(200);
        capture.finish();
    }
    thread::sleep(Duration::from_millis(100));
    let reading = thread::spawn(move || {
        let mut log = Vec::new();
        reader.read_to_end(&mut log).unwrap();
        log
    });
    drop(emitter);
    let captured = Captured::read(&reading.join().unwrap());
    assert_eq!(captured.exchanges.len(), 20);
    assert!(captured.longest_line > 4096 && captured.longest_line <= 20_000);
}

/// The child's part of the next test: captures to its standard output.
#[test]
fn write_to_a_shared_pipe() {
    if std::env::var_os("SHARED_PIPE").is_none() {
        return;
    }
    let emitter = Emitter::from_env().unwrap();
    for _ in 0..500 {
        let mut capture = emitter.begin("x", "put", "x:/").start();
        capture.request_body(vec![b'a'; 9000]);
        capture.respond(200);
        capture.finish();
    }
    assert!(emitter.shutdown(PATIENCE));
    std::io::stdout().flush().unwrap();
    std::process::exit(0);
}

#[test]
fn processes_that_share_a_pipe_keep_their_lines_whole() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut children: Vec<_> = ["one", "two", "three"]
        .iter()
        .map(|service| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "write_to_a_shared_pipe", "--nocapture"])
                .envs([("SHARED_PIPE", "1"), ("CAPTURE_SERVICE", service), ("CAPTURE_OUTPUT", "stdout")])
                .stdout(Stdio::from(writer.try_clone().unwrap()))
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    drop(writer);
    let mut log = Vec::new();
    reader.read_to_end(&mut log).unwrap();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    // The test harness prints lines of its own between them.
    let lines = log.split_inclusive(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{\"cap1\""));
    let captured = Captured::read(&lines.collect::<Vec<_>>().concat());
    assert_eq!(captured.exchanges.len(), 1500);
    let instances: BTreeSet<_> =
        captured.exchanges.values().map(|exchange| exchange.req().head["inst"].as_str().unwrap().to_owned()).collect();
    assert_eq!(instances.len(), 3);
}

#[test]
fn a_disabled_emitter_takes_all_calls() {
    let emitter = Emitter::builder().output(Output::Off).build().unwrap();
    let mut capture = emitter.begin("x", "get", "x:/").start();
    capture.request_body("a");
    capture.respond(200);
    assert_eq!(capture.id(), None);
    capture.finish();
    assert!(emitter.flush(PATIENCE) && emitter.shutdown(PATIENCE));
    assert_eq!(emitter.counts(), reassemble_emitter::Counts::default());
}
