//! Black-box tests of runs: what the command shows, serves and returns while and after the pipeline works.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::program::Program;
use serde_json::Value;

/// A capture of two lines, between ordinary ones.
const LOG: &str = r#"starting
{"cap1":"t-1","part":"req","seq":0,"head":{"ts":"2026-11-22T05:00:00.000000Z","service":"shop","method":"GET","url":"http://shop.test/"},"of":1}
{"cap1":"t-1","part":"res","seq":0,"head":{"status":200},"of":1}
stopping
"#;

/// Longest wait for something that should come soon.
const PATIENCE: Duration = Duration::from_secs(30);

fn summary(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).expect("one JSON object")
}

#[test]
fn a_file_is_read_to_its_end_and_summed_up() {
    let run = Program::new().file("app.log", LOG).args(["app.log", "--summary", "json", "--log-level", "warn"]);
    let summary = summary(&run.succeeds());
    let ledger = &summary["run"];
    assert_eq!(summary["destination"], "./captures");
    assert_eq!((&ledger["lines_read"], &ledger["records"]["read"]), (&4.into(), &2.into()));
    assert_eq!((&ledger["exchanges_complete"], &ledger["exchanges_stored"]), (&1.into(), &1.into()));
    assert_eq!(ledger["bytes_read"], LOG.len());
    assert_eq!(summary["undelivered_objects"], 0);
}

#[test]
fn the_text_summary_goes_to_standard_error() {
    let run = Program::new().file("app.log", LOG).args(["app.log", "--log-level", "off"]).output();
    let said = String::from_utf8(run.stderr).expect("UTF-8");
    assert_eq!((run.status.code(), run.stdout.len()), (Some(0), 0), "{said}");
    assert!(
        said.starts_with("Read\n") && said.contains("complete exchanges") && said.contains("Lost or damaged"),
        "{said}"
    );
}

#[test]
fn quiet_says_nothing_where_all_is_well() {
    assert_eq!(Program::new().file("app.log", LOG).args(["app.log", "--quiet"]).succeeds(), "");
}

#[test]
fn a_file_that_is_not_there_is_a_failure_and_the_rest_is_stored() {
    let run = Program::new().file("app.log", LOG).args(["none.log", "app.log", "--summary", "json"]).output();
    let said = String::from_utf8(run.stderr).expect("UTF-8");
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(
        said.contains("none.log") && said.ends_with("error: not all inputs could be read to their end, see above\n"),
        "{said}"
    );
    let summary = summary(&String::from_utf8(run.stdout).expect("UTF-8"));
    assert_eq!((&summary["run"]["input_failures"], &summary["run"]["objects_stored"]), (&1.into(), &1.into()));
}

#[test]
fn standard_input_is_read_where_nothing_is_named() {
    let run = Program::new().stdin(LOG).args(["--summary", "json", "--log-level", "warn"]);
    assert_eq!(summary(&run.succeeds())["run"]["objects_stored"], 1);
}

#[test]
fn passthrough_leaves_standard_output_to_the_app() {
    let run = Program::new().stdin(LOG).args(["--passthrough", "--summary", "json", "--log-level", "off"]).output();
    assert_eq!((run.status.code(), String::from_utf8_lossy(&run.stdout).as_ref()), (Some(0), "starting\nstopping\n"));
    let summary = summary(&String::from_utf8(run.stderr).expect("UTF-8"));
    assert_eq!(summary["run"]["objects_stored"], 1);
}

#[test]
fn exec_returns_the_commands_code() {
    let script = "cat app.log; echo careful >&2; exit 7";
    let args = ["exec", "--summary", "none", "--log-level", "off", "--", "/bin/sh", "-c", script];
    let run = Program::new().file("app.log", LOG).args(args).output();
    assert_eq!((run.status.code(), String::from_utf8_lossy(&run.stdout).as_ref()), (Some(7), "starting\nstopping\n"));
    assert_eq!(String::from_utf8_lossy(&run.stderr), "careful\n");
    let killed = Program::new().args(["exec", "--quiet", "--", "/bin/sh", "-c", "kill -9 $$"]).output();
    assert_eq!(killed.status.code(), Some(137));
}

#[test]
fn check_looks_at_inputs_and_destination_and_stores_nothing() {
    let good = Program::new().file("app.log", LOG).args(["--check", "app.log", "--to", "out"]).succeeds();
    assert!(good.lines().all(|line| line.starts_with("ok     ")) && good.contains("destination out"), "{good}");
    let bad = Program::new().args(["--check", "none.log"]).output();
    let said = String::from_utf8(bad.stdout).expect("UTF-8");
    assert_eq!(bad.status.code(), Some(1), "{said}");
    assert!(said.lines().any(|line| line.starts_with("WRONG  file none.log: ")), "{said}");
    Program::new().args(["--check", "--batch-age", "60", "none.log"]).fails(64);
}

/// Asks the metrics server, and returns its whole answer.
fn ask(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connects");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

#[test]
fn following_serves_metrics_and_ends_in_order_at_a_signal() {
    let program = Program::new().file("app.log", LOG);
    let args = ["--follow", "app.log", "--metrics", "127.0.0.1:0", "--summary", "json", "--batch-age", "100ms"];
    let mut running = program.args(args).start();
    let mut log = BufReader::new(running.child.stderr.take().expect("piped")).lines();
    let served = log.find_map(|line| {
        let line = line.expect("UTF-8");
        Some(line.split_once("http://")?.1.strip_suffix("/metrics")?.to_owned())
    });
    let address = served.expect("the address is logged");
    // What else is logged must find a reader.
    let rest = std::thread::spawn(move || log.map_while(Result::ok).collect::<Vec<_>>().join("\n"));

    let begun = Instant::now();
    while !ask(&address, "/metrics").contains("\nreassemble_stored_objects_total 1\n") {
        assert!(begun.elapsed() < PATIENCE, "{}", ask(&address, "/metrics"));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(ask(&address, "/metrics").contains("\nreassemble_followed_files 1\n"));
    assert!(ask(&address, "/healthz").starts_with("HTTP/1.1 200 "));

    let asked = Instant::now();
    running.signal("TERM");
    let (code, stdout) = running.end();
    assert!(asked.elapsed() < Duration::from_secs(2), "it took {:?}", asked.elapsed());
    assert_eq!(code, Some(0), "{}", rest.join().expect("read"));
    assert_eq!(summary(&stdout)["run"]["objects_stored"], 1);
}

#[test]
fn a_taken_metrics_address_is_a_failure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("bound").to_string();
    let said = Program::new().file("app.log", LOG).args(["app.log", "--metrics", &address]).fails(1);
    assert!(said.starts_with(&format!("error: cannot serve metrics at {address}: ")), "{said}");
}
