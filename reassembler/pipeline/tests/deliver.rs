//! Lines that code delivers, flushed into a directory and against a destination that is not there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reassemble_pipeline::config::{
    Compression, Config, DestinationConfig, Envelope, InputConfig, ProcessConfig, Retention, S3Options, StoreConfig,
};
use reassemble_pipeline::run::StatusBoard;
use reassemble_pipeline::{Deliverer, deliver};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

fn config(to: DestinationConfig, state: &Path) -> Config {
    Config {
        input: InputConfig { envelope: Envelope::Auto, max_line_bytes: 1 << 20, ..InputConfig::default() },
        timeout: Duration::from_secs(60),
        signing: None,
        process: ProcessConfig {
            redact: true,
            redact_headers: Vec::new(),
            redact_query: Vec::new(),
            decode: true,
            decode_incomplete: true,
            decode_limit_bytes: 1 << 20,
        },
        store: StoreConfig {
            to,
            state: Some(state.to_owned()),
            batch_bytes: 1 << 30,
            batch_age: Duration::from_secs(3600),
            compression: Compression::None,
            compression_level: None,
            spool_limit_bytes: 1 << 30,
            memory_bytes: 4 << 20,
            inline_body_bytes: 1 << 20,
            retention: Retention { normal_days: 30, errors_days: 90, incomplete_days: 7 },
            commit_interval: Duration::from_secs(3600),
            retry_max_delay: Duration::from_secs(3600),
            file_mode: 0o644,
            folder_mode: 0o755,
            accept_damage: false,
        },
    }
}

fn request(id: &str) -> String {
    let head = r#"{"ts":"2026-01-02T03:04:05.000000Z","service":"shop","method":"GET","url":"/"}"#;
    format!("{{\"cap1\":\"{id}\",\"part\":\"req\",\"seq\":0,\"head\":{head},\"of\":1}}\n")
}

fn response(id: &str) -> String {
    format!("{{\"cap1\":\"{id}\",\"part\":\"res\",\"seq\":0,\"head\":{{\"status\":200}},\"of\":1}}\n")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "ndjson"))
        .collect()
}

/// Id and whether it is complete, of all that is stored, sorted.
fn stored(dir: &Path) -> Vec<(String, bool)> {
    let lines = files(dir).into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect::<String>();
    let exchange = |line| serde_json::from_str::<Value>(line).unwrap();
    let mut found: Vec<(String, bool)> = lines
        .lines()
        .map(exchange)
        .map(|it| (it["id"].as_str().unwrap().to_owned(), it["complete"].as_bool().unwrap()))
        .collect();
    found.sort();
    found
}

#[test]
fn a_flush_stores_what_is_complete_and_keeps_what_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let (to, board) = (dir.path().join("captures"), Arc::new(StatusBoard::default()));
    let (run, deliverer) =
        deliver(config(DestinationConfig::Dir(to.clone()), &dir.path().join("state")), board).unwrap();
    let input = deliverer.open("lambda:shop");
    assert!(deliverer.deliver(input, (request("a") + &response("a") + &request("b")).into_bytes()));
    let flushed = deliverer.flush(PATIENCE);
    assert_eq!((flushed.stored, flushed.waiting_objects, flushed.open_captures), (true, 0, 1));
    assert_eq!(stored(&to), [("a".to_owned(), true)]);

    assert!(deliverer.deliver(input, (response("b") + &request("c")).into_bytes()));
    deliverer.count_lost(input, 3, 300);
    let clones: Vec<Deliverer> = vec![deliverer.clone(); 3];
    let flushes: Vec<_> = clones.into_iter().map(|it| std::thread::spawn(move || it.flush(PATIENCE))).collect();
    assert!(flushes.into_iter().all(|flush| flush.join().unwrap().stored));
    assert_eq!(stored(&to), [("a".to_owned(), true), ("b".to_owned(), true)]);

    drop(deliverer);
    let outcome = run.wait().unwrap();
    assert_eq!(stored(&to), [("a".to_owned(), true), ("b".to_owned(), true), ("c".to_owned(), false)]);
    let ledger = outcome.status.run;
    assert_eq!((ledger.records.read, ledger.records.unaccounted()), (5, 0));
    assert_eq!((ledger.source_lost_records, ledger.source_lost_bytes), (3, 300));
    assert!(ledger.inputs.contains_key("lambda:shop"));
}

#[test]
fn what_a_flush_could_not_store_goes_out_with_a_later_run() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    // Nobody listens at this port.
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let options = S3Options {
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        region: Some("eu-west-1".to_owned()),
        path_style: true,
        ..S3Options::default()
    };
    let to = DestinationConfig::S3 { bucket: "captures".to_owned(), prefix: String::new(), options };
    let (run, deliverer) = deliver(config(to, &state), Arc::default()).unwrap();
    let input = deliverer.open("lambda:shop");
    deliverer.deliver(input, (request("a") + &response("a")).into_bytes());
    let flushed = deliverer.flush(Duration::from_secs(2));
    assert_eq!((flushed.stored, flushed.waiting_objects), (false, 1));
    assert!(flushed.failing.is_some());
    let stopper = run.stopper().unwrap();
    stopper.stop();
    drop(deliverer);
    assert_eq!(run.wait().unwrap().undelivered_objects, 1);

    let to = dir.path().join("captures");
    let (run, deliverer) = deliver(config(DestinationConfig::Dir(to.clone()), &state), Arc::default()).unwrap();
    assert!(deliverer.flush(PATIENCE).stored);
    assert_eq!(stored(&to), [("a".to_owned(), true)]);
    drop(deliverer);
    run.wait().unwrap();
}
