//! The real binary: what it serves, what it logs among its captures, and how it follows a rotation and ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

struct Shop {
    child: Child,
    url: String,
    stderr: BufReader<ChildStderr>,
}

impl Shop {
    fn start(log: &Path) -> Shop {
        let mut child = Command::new(env!("CARGO_BIN_EXE_shop"))
            .args(["--listen", "127.0.0.1:0", "--log"])
            .arg(log)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("the address").to_owned();
        Shop { child, url, stderr }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Ends the shop; returns its last words.
    fn end(mut self) -> String {
        self.signal(Signal::SIGTERM);
        assert!(self.child.wait().unwrap().success());
        let mut words = String::new();
        self.stderr.read_to_string(&mut words).unwrap();
        words
    }
}

#[tokio::test]
async fn every_request_is_logged_and_captured_over_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let (log, old) = (folder.path().join("shop.log"), folder.path().join("shop.log.1"));
    let shop = Shop::start(&log);
    let client = reqwest::Client::new();
    let get = async |path: &str| client.get(format!("{}{path}", shop.url)).send().await.unwrap();

    assert_eq!(get("/items").await.status(), 200);
    let placed = client
        .post(format!("{}/orders", shop.url))
        .header("content-type", "application/json")
        .body(r#"{"item":"tea","qty":2}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (placed.status().as_u16(), placed.text().await.unwrap().as_str()),
        (201, r#"{"item":"tea","qty":2,"total":700}"#)
    );
    assert_eq!(client.delete(format!("{}/items/tea", shop.url)).send().await.unwrap().status(), 204);
    assert!(get("/image").await.bytes().await.unwrap().starts_with(b"\x89PNG"));
    std::fs::rename(&log, &old).unwrap();
    shop.signal(Signal::SIGHUP);
    // The rotation is seen in the log itself: what is logged from some request on is in the new file.
    let deadline = Instant::now() + Duration::from_secs(20);
    while !std::fs::read_to_string(&log).unwrap_or_default().contains("GET /health") {
        assert!(Instant::now() < deadline, "the log was not opened again");
        get("/health").await;
    }
    assert_eq!(get("/stream?pieces=3&size=5").await.text().await.unwrap(), "   0\n   1\n   2\n");
    let blob = get("/blob?size=100000&seed=7").await.bytes().await.unwrap();
    assert_eq!(blob.len(), 100_000);
    let echo =
        client.post(format!("{}/echo", shop.url)).body(blob.clone()).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(echo, blob);
    let upload = client.post(format!("{}/upload", shop.url)).body("abc").send().await.unwrap().text().await.unwrap();
    assert_eq!(upload, r#"{"len":3,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}"#);
    assert_eq!((get("/error").await.status().as_u16(), get("/none").await.status().as_u16()), (500, 404));
    let words = shop.end();
    assert!(words.contains("finished=12 dropped=0"), "{words}");

    let (mut opened, mut closed, mut plain) = (BTreeSet::new(), BTreeSet::new(), 0);
    for file in [&old, &log] {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            if !line.starts_with('{') {
                plain += usize::from(line.contains(" INFO "));
                continue;
            }
            let record: Value = serde_json::from_str(line).unwrap();
            let part = (record["cap1"].to_string(), record["part"].to_string());
            if record["seq"] == json!(0) && record["part"] != "meta" {
                opened.insert(part.clone());
            }
            if record["tail"]["truncated"] == json!(null) && record["of"].is_u64() && record["part"] != "meta" {
                closed.insert(part);
            }
        }
    }
    assert_eq!((opened.len(), &opened), (24, &closed));
    assert!(plain > 11);
}
