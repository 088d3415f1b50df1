//! Logs by someone who means harm: whatever a field says, it stays a field. Nothing it holds names a file, reaches the program's own words or
//! metrics, or costs more than its bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reassemble_testkit::process::{PATIENCE, wait_for};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::programs::{Follower, reassemble, run};
use crate::stored;

/// Stands in every hostile field; the program's own words and metrics must not hold it.
const MARKER: &str = "MARKER-4711";

fn record(id: &str, part: &str, seq: u64, more: &str) -> String {
    format!("{{\"cap1\":{},\"part\":\"{part}\",\"seq\":{seq}{more}}}\n", json!(id))
}

/// A request and its response with these heads and bodies.
fn pair(id: &str, request: &Value, response: &Value, bodies: [&[u8]; 2]) -> String {
    let part = |part: &str, head: &Value, body: &[u8]| {
        record(id, part, 0, &format!(",\"head\":{head},\"b64\":\"{}\",\"of\":1", STANDARD.encode(body)))
    };
    part("req", request, bodies[0]) + &part("res", response, bodies[1])
}

struct Outcome {
    dir: TempDir,
    counts: Value,
}

impl Outcome {
    fn count(&self, name: &str) -> u64 {
        self.counts[name].as_u64().unwrap()
    }

    fn records(&self, end: &str) -> u64 {
        self.counts["records"][end].as_u64().unwrap()
    }

    fn bad(&self, reason: &str) -> u64 {
        self.counts["records"]["bad"][reason].as_u64().unwrap_or(0)
    }

    /// The stored exchanges by their ids; each has an id of its own in these tests.
    fn exchanges(&self) -> BTreeMap<String, Value> {
        let all = stored::exchanges(&self.dir.path().join("captures"));
        let count = all.len();
        let by_id: BTreeMap<_, _> =
            all.into_iter().map(|exchange| (exchange["id"].as_str().unwrap().to_owned(), exchange)).collect();
        assert_eq!(by_id.len(), count);
        assert_eq!(count as u64, self.count("exchanges_complete") + self.count("exchanges_incomplete"));
        by_id
    }
}

/// Runs over one log, within two gibibytes of address space, and checks what holds of every run.
fn outcome(log: &[u8]) -> Outcome {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("log"), log).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 2097152 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_reassemble")]);
    command.args(["--to", "captures", "--log-level", "debug", "log"]).current_dir(dir.path());
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    let (code, summary, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
    assert_harmless(&said);
    assert_harmless(&summary.to_string());
    assert_names_are_safe(&dir.path().join("captures"));
    let mut around = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    around.sort();
    assert_eq!(around, ["captures", "log"]);
    let counts = summary["run"].clone();
    assert_eq!(counts["bytes_read"].as_u64(), Some(log.len() as u64));
    assert_eq!(counts["lines_read"].as_u64(), Some(log.iter().filter(|byte| **byte == b'\n').count() as u64));
    assert_eq!((counts["open_captures"].as_u64(), counts["records"]["shed"].as_u64()), (Some(0), Some(0)));
    Outcome { dir, counts }
}

/// The program's words hold nothing captured, and nothing that steers a terminal.
fn assert_harmless(said: &str) {
    assert!(!said.contains(MARKER) && !said.contains("panicked"), "{said}");
    let steers =
        |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!said.chars().any(steers), "{said:?}");
}

/// Every name below a destination's root is of the layout's letters and fits any file system.
fn assert_names_are_safe(root: &Path) {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name == ".reassemble" {
                continue;
            }
            let is_folder = entry.file_type().unwrap().is_dir();
            let allowed =
                |byte: u8| byte.is_ascii_alphanumeric() || b"_-%=".contains(&byte) || (!is_folder && byte == b'.');
            assert!(name.len() <= 255 && name.bytes().all(allowed) && !name.starts_with('.'), "{name}");
            if is_folder {
                folders.push(entry.path());
            }
        }
    }
}

/// Strings that mean something to a file system, a terminal, a log, a header or a store.
fn hostile_strings() -> Vec<String> {
    let mut strings: Vec<String> = [
        "../../../../etc/passwd",
        "/absolute",
        ".",
        "..",
        "",
        "a/b\\c",
        "nul\0nul",
        "two\nlines\r\nthree",
        "\u{1b}]0;title\u{7}\u{1b}[2J\u{1b}[31mred",
        "\u{9b}31m",
        "a=b/retention=1d/service=other",
        "%2e%2e%2f%00%",
        "\u{202e}txt.exe\u{2066}",
        "\u{feff}\u{200b}\u{2028}",
        "&$@=;:+ ,?{}^`[]\"'<>~#|*",
        "CON",
        "-rf",
        "$(reboot)`reboot`",
        "%s%n{}{0}",
        "é日本😀",
        "\u{fffd}\u{10ffff}",
        "\"}\n{\"cap1\":\"evil\",\"part\":\"req\",\"seq\":0,\"of\":1}",
        "HTTP/1.1 200\r\nSet-Cookie: a=b",
    ]
    .map(str::to_owned)
    .to_vec();
    strings.push("y".repeat(10_000));
    strings.push("\u{1f600}".repeat(2_500));
    strings.push("../".repeat(3_000));
    strings
}

#[test]
fn no_field_reaches_a_path_or_the_programs_words() {
    let strings: Vec<String> = hostile_strings().into_iter().map(|text| text + MARKER).collect();
    let mut log = String::new();
    for (number, text) in strings.iter().enumerate() {
        let request = json!({
            "ts": "2026-05-01T10:00:00.000000Z", "service": text, "host": text, "inst": text, "dir": "in", "proto": text, "method": text, "url": text,
            "headers": [["Host", text], [text, text], ["Content-Type", text], ["Content-Encoding", text]], "peer": text, "trace": text, "parent": text,
            "tags": {text: text}, "why": text, "body_enc": text, text: text,
        });
        let response = json!({"ts": text, "status": text, "headers": [[text, text], ["Content-Encoding", text]], "body_enc": text});
        log += &pair(&format!("good-{number}"), &request, &response, [text.as_bytes(), text.as_bytes()]);
        // As an id, as a part, and with types that are not theirs.
        log += &record(text, "req", 0, "");
        log += &record("odd", &json!(text).to_string().replace('"', ""), 0, "");
        let mistyped = json!({"ts": text, "service": [text], "headers": {text: text}, "url": 1, "status": {text: text}, text: text});
        log += &record(&format!("mistyped-{number}"), "req", 0, &format!(",\"head\":{mistyped},\"of\":1"));
    }
    let outcome = outcome(log.as_bytes());
    let exchanges = outcome.exchanges();
    for (number, text) in strings.iter().enumerate() {
        let exchange = &exchanges[&format!("good-{number}")];
        let said = |key: &str| exchange[key].as_str();
        assert_eq!((said("service"), said("host"), said("trace")), (Some(&**text), Some(&**text), Some(&**text)));
        assert_eq!(stored::body(outcome.dir.path(), &exchange["request"]["body"]), text.as_bytes());
        assert_eq!(exchange["tags"], json!({text: text}));
        assert_eq!(exchanges[&format!("mistyped-{number}")]["more"]["request"]["service"], json!([text]));
    }
    // Five of the strings are good ids: those requests lack their response. A part that is none of JSON's is torn.
    let count = strings.len() as u64;
    assert_eq!(exchanges.len() as u64, 2 * count + 5);
    assert_eq!((outcome.count("exchanges_complete"), outcome.bad("bad_id")), (count, count - 5));
    assert_eq!(outcome.bad("bad_part") + outcome.bad("torn"), count);
    assert_eq!(outcome.records("read"), 5 * count);
}

#[test]
fn numbers_times_and_depths_are_claims() {
    let numbers = [
        "1e308",
        "-1e308",
        "1e-308",
        "1e999",
        "-0",
        "9223372036854775808",
        "18446744073709551616",
        "0.5",
        "4294967296",
        "-1",
    ];
    let head = r#"{"ts":"2026-05-01T10:00:00.000000Z","service":"s"}"#;
    let mut log = String::new();
    for (at, number) in numbers.iter().enumerate() {
        for key in ["seq", "of", "at"] {
            log += &format!("{{\"cap1\":\"{key}-{at}\",\"part\":\"req\",\"{key}\":{number}");
            log += if key == "seq" { "}\n" } else { ",\"seq\":0}\n" };
        }
        let head = format!("{{\"n\":{number},\"rate\":{number},\"us\":{number},\"status\":{number},\"ts\":{number}}}");
        let tail = format!("{{\"len\":{number},\"us\":{number},\"full_len\":{number},\"truncated\":true}}");
        log += &record(
            &format!("head-{at}"),
            "req",
            0,
            &format!(",\"head\":{head},\"text\":\"x\",\"tail\":{tail},\"of\":1"),
        );
        log += &record(
            &format!("head-{at}"),
            "res",
            0,
            &format!(",\"head\":{head},\"text\":\"x\",\"tail\":{tail},\"of\":1"),
        );
    }
    // What is claimed and never comes.
    log += &record("far", "req", 2_147_483_647, ",\"of\":2147483648,\"text\":\"x\"");
    let years = [
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "-000001-01-01T00:00:00Z",
        "-1",
        "1970-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2016-12-31T23:59:60Z",
        "2026-05-01T10:00:00+99:99",
        "2026-05-01T10:00:00.99999999999999999999Z",
        "١٩٧٠-01-01T00:00:00Z",
    ];
    for (at, ts) in years.iter().enumerate() {
        log += &pair(&format!("ts-{at}"), &json!({"ts": ts, "service": "s"}), &json!({"ts": ts}), [b"", b""]);
    }
    // Each known key twice; and a head whose keys come twice, of which the last stands.
    log += &record("twice", "req", 0, ",\"of\":1,\"of\":1");
    log += &record(
        "twice-within",
        "req",
        0,
        &format!(",\"head\":{{\"service\":\"a\",\"service\":\"b\"}},\"headers\":{head},\"of\":1"),
    );
    // Nesting: in a head, a tail, an unknown key, around a record; of arrays, objects, strings in strings.
    let deep = |open: &str, close: &str, levels: usize| open.repeat(levels) + "1" + &close.repeat(levels);
    for nested in [deep("[", "]", 10_000), deep("{\"a\":", "}", 10_000), deep("[", "]", 60), "[".repeat(100_000)] {
        for key in ["head\":{\"x", "tail\":{\"x", "unknown\":{\"x"] {
            log += &record(&format!("deep-{}", log.len()), "req", 0, &format!(",\"{key}\":{nested}}},\"of\":1"));
        }
        log += &format!("{{\"log\":{nested},\"x\":{}}}\n", record("within", "req", 0, "").trim_end());
    }
    let around = record("around", "req", 0, "");
    log += &deep("{\"a\":", "}", 10_000).replace('1', around.trim_end());
    log.push('\n');
    let quoted = (0..12).fold(around.trim_end().to_owned(), |text, _| json!({"m": text}).to_string());
    log += &format!("{quoted}\n");
    let outcome = outcome(log.as_bytes());
    let exchanges = outcome.exchanges();
    for at in 0..years.len() {
        let exchange = &exchanges[&format!("ts-{at}")];
        // Fractions of any length are RFC 3339.
        let is_usable = exchange["problems"] == json!([]);
        assert_eq!(is_usable, exchange["ts"] == years[at], "{exchange}");
        assert!(exchange["ts"].as_str().unwrap().starts_with("20"), "{exchange}");
    }
    assert_eq!(exchanges["twice-within"]["service"], "b");
    assert_eq!(outcome.bad("duplicate_key"), 1);
    assert!(exchanges["far"]["problems"].as_array().unwrap().contains(&json!("request_chunk_missing:0-2147483646")));
    assert!(exchanges.contains_key("head-0") && outcome.bad("too_deep") > 0 && outcome.bad("bad_seq") > 0);
    let bad: u64 =
        outcome.counts["records"]["bad"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    let told: u64 = exchanges.values().map(parts).sum();
    let accounted = bad + told + outcome.records("repeated") + outcome.records("conflicting") + outcome.records("meta");
    assert_eq!(outcome.records("read"), accounted, "{}", outcome.counts);
}

/// How many records an exchange of parts of one line each is made of.
fn parts(exchange: &Value) -> u64 {
    ["request", "response"].iter().filter(|part| !exchange[**part].is_null()).count() as u64
}

fn compressed(kind: &str, bytes: u64) -> Vec<u8> {
    let mut zeros = std::io::repeat(0).take(bytes);
    match kind {
        "gzip" => {
            let mut encoder = flate2::read::GzEncoder::new(std::io::BufReader::new(zeros), flate2::Compression::fast());
            let mut out = Vec::new();
            encoder.read_to_end(&mut out).unwrap();
            out
        }
        "deflate" => {
            let mut encoder =
                flate2::read::ZlibEncoder::new(std::io::BufReader::new(zeros), flate2::Compression::fast());
            let mut out = Vec::new();
            encoder.read_to_end(&mut out).unwrap();
            out
        }
        _ => {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            std::io::copy(&mut zeros, &mut encoder).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// A capture whose bodies are cut into records of at most half a mebibyte.
fn long_pair(id: &str, encoding: &str, body_enc: Option<&str>, body: &[u8]) -> String {
    let pieces: Vec<_> = body.chunks(256 << 10).collect();
    let mut lines = String::new();
    for part in ["req", "res"] {
        for (seq, piece) in pieces.iter().enumerate() {
            let mut more = String::new();
            if seq == 0 {
                let head = json!({"ts": "2026-05-01T10:00:00.000000Z", "headers": [["content-encoding", encoding]], "body_enc": body_enc});
                more += &format!(",\"head\":{head}");
            }
            more += &format!(",\"b64\":\"{}\",\"of\":{}", STANDARD.encode(piece), pieces.len());
            lines += &record(id, part, seq as u64, &more);
        }
    }
    lines.replace("\"body_enc\":null", "\"x\":null")
}

#[test]
fn bodies_that_unpack_to_gibibytes_stand_as_captured() {
    const GIBIBYTE: u64 = 1 << 30;
    let gzip = compressed("gzip", GIBIBYTE);
    let deflate = compressed("deflate", GIBIBYTE / 8);
    let zstd = compressed("zstd", GIBIBYTE);
    let twice = {
        let mut encoder = flate2::read::GzEncoder::new(&gzip[..], flate2::Compression::best());
        let mut out = Vec::new();
        encoder.read_to_end(&mut out).unwrap();
        out
    };
    let brotli = include_bytes!("gibibyte_of_zeros.br");
    let chain = vec!["gzip"; 1_000].join(", ");
    let cases = [
        ("gzip", "gzip", None, &gzip[..], "decode_limit:gzip"),
        ("deflate", "deflate", None, &deflate[..], "decode_limit:deflate"),
        ("zstd", "zstd", None, &zstd[..], "decode_limit:zstd"),
        ("br", "br", None, &brotli[..], "decode_limit:br"),
        ("emitter", "identity", Some("gzip"), &gzip[..], "decode_limit:gzip"),
        ("nested", "gzip, gzip", None, &twice[..], "decode_limit:gzip"),
        ("nested-emitter", "gzip", Some("gzip"), &twice[..], "decode_limit:gzip"),
        ("chain", &chain[..], None, &twice[..], "decode"),
        ("wrong", "zstd, br, gzip", None, &b"nothing of all this"[..], "decode:gzip"),
    ];
    let log: String =
        cases.iter().map(|(id, encoding, body_enc, body, _)| long_pair(id, encoding, *body_enc, body)).collect();
    let outcome = outcome(log.as_bytes());
    let exchanges = outcome.exchanges();
    for (id, _, _, body, problem) in cases {
        let exchange = &exchanges[id];
        let problems = exchange["problems"].to_string();
        assert!(problems.contains(problem), "{id}: {problems}");
        for part in ["request", "response"] {
            let body_of = &exchange[part]["body"];
            assert!(stored::body(&outcome.dir.path().join("captures"), body_of) == body, "{id}");
            assert!(body_of["encoding"].is_null(), "{id}");
        }
    }
    assert_eq!(outcome.count("exchanges_complete"), 9);
}

#[test]
fn thousands_of_contradictions_cost_a_bounded_number_of_words() {
    const EACH: u64 = 5_000;
    let mut log = String::new();
    for number in 0..EACH {
        log += &record("chunks", "req", 0, &format!(",\"text\":\"{MARKER} {number}\""));
        log += &record("seqs", "res", number, &format!(",\"text\":\"{}\"", number % 2));
        log += &record("seqs", "res", number, ",\"text\":\"other\"");
        log += &record("ofs", "req", number, &format!(",\"of\":{}", number + 1));
        log += &record("past", "req", EACH - number, ",\"text\":\"x\"");
    }
    log += &record("past", "req", 0, ",\"of\":1,\"text\":\"x\"");
    let outcome = outcome(log.as_bytes());
    let exchanges = outcome.exchanges();
    for (id, exchange) in &exchanges {
        assert!(exchange["problems"].as_array().unwrap().len() <= 40, "{id}: {}", exchange["problems"]);
    }
    assert_eq!(exchanges["chunks"]["request"]["body"]["text"], format!("{MARKER} 0"));
    // Of `ofs` the first chunk stands alone, for it claims to be the only one; so does the last of `past`.
    assert_eq!(outcome.records("conflicting"), (EACH - 1) + EACH + (EACH - 1) + EACH);
    assert_eq!(outcome.records("read"), 5 * EACH + 1);
    assert_eq!(outcome.counts["records"]["bad"], json!({}));
}

fn ask(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    Some(answer)
}

#[test]
fn twenty_thousand_services_and_endless_ids_make_no_series() {
    const SERVICES: usize = 20_000;
    const UNFINISHED: usize = 50_000;
    let dir = tempdir().unwrap();
    let mut log = String::new();
    for number in 0..SERVICES {
        let head = json!({"ts": "2026-05-01T10:00:00.000000Z", "service": format!("{MARKER}/{number}")});
        log +=
            &pair(&format!("{MARKER}.{number}"), &head, &json!({"status": format!("{MARKER}-{number}")}), [b"", b""]);
    }
    for number in 0..UNFINISHED {
        log += &record(
            &format!("{MARKER}.open.{number}"),
            "req",
            0,
            &format!(",\"{MARKER}\":\"{MARKER}\",\"tail\":{{\"{MARKER}-{number}\":1}}"),
        );
    }
    fs::write(dir.path().join("log"), &log).unwrap();
    // The port is free at this moment; the server says so if it is not.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command = reassemble([
        "--follow",
        "log",
        "--metrics",
        &address,
        "--to",
        "captures",
        "--log-level",
        "debug",
        "--timeout",
        "1h",
    ]);
    command.current_dir(dir.path());
    let follower = Follower::start(command);
    let read = format!("reassemble_records_total {}\n", 2 * SERVICES + UNFINISHED);
    let metrics = wait_for("all records", || ask(&address, "/metrics").filter(|metrics| metrics.contains(&read)));
    assert!(metrics.lines().count() < 300, "{} lines", metrics.lines().count());
    assert_harmless(&metrics.replace('\r', ""));
    for path in ["/healthz", "/readyz", "/", "/%0d%0aX: y", "/../../etc/passwd"] {
        assert_harmless(&ask(&address, path).unwrap().replace('\r', ""));
    }
    let (summary, said) = follower.stop();
    assert_harmless(&said);
    assert_harmless(&summary.to_string());
    let run = &summary["run"];
    assert_eq!(run["exchanges_complete"].as_u64(), Some(SERVICES as u64));
    assert_eq!(run["open_captures"].as_u64(), Some(UNFINISHED as u64));
    let captures = dir.path().join("captures");
    assert_names_are_safe(&captures);
    let services = fs::read_dir(captures.join("retention=30d")).unwrap().count();
    assert!(services <= SERVICES, "{services}");
}

#[test]
fn a_body_under_a_thousand_encodings_stands_as_captured() {
    let layers = 1_000;
    let body = (0..layers).fold(b"x".to_vec(), |body, _| {
        let mut encoder = flate2::read::GzEncoder::new(&body[..], flate2::Compression::none());
        let mut out = Vec::new();
        encoder.read_to_end(&mut out).unwrap();
        out
    });
    let outcome = outcome(long_pair("deep", &vec!["gzip"; layers].join(","), None, &body).as_bytes());
    let exchange = &outcome.exchanges()["deep"];
    assert_eq!(exchange["problems"], json!(["decode:gzip"]));
    assert!(stored::body(&outcome.dir.path().join("captures"), &exchange["response"]["body"]) == body);
}

#[test]
fn a_long_request_does_not_slow_down_a_long_response() {
    const CHUNKS: u64 = 60_000;
    let mut log = String::new();
    for seq in 0..CHUNKS {
        log += &record("long", "req", seq, &format!(",\"text\":\"x\",\"of\":{CHUNKS}"));
    }
    for seq in 0..CHUNKS {
        log += &record("long", "res", seq, ",\"text\":\"x\"");
    }
    let began = std::time::Instant::now();
    assert_eq!(outcome(log.as_bytes()).records("read"), 2 * CHUNKS);
    assert!(began.elapsed() < PATIENCE / 2, "it took {:?}", began.elapsed());
}
