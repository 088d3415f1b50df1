//! Crafted logs against crafted trees, a verdict each; and the expectation against a model.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reassemble_formats::Envelope;
use reassemble_formats::exchange::crc_hex;
use reassemble_formats::layout::{BatchEncoding, Partition, RetentionClass, batch_name, body_name};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;

mod model;

const TS: &str = "2026-11-22T05:15:30.000001Z";
/// The same in microseconds since the Unix epoch.
const TS_US: i64 = 1_795_324_530_000_001;

/// A log and a destination.
struct Case {
    dir: TempDir,
    config: VerifyConfig,
}

/// The four lines of a capture: the request's body is `body`, and so is the response's.
fn capture(id: &str, body: &str) -> Vec<String> {
    let (front, back) = body.split_at(body.len() / 2);
    let piece =
        |text: &str| format!(r#""text":{},"crc":"{}""#, serde_json::Value::from(text), crc_hex(text.as_bytes()));
    let tail = format!(r#""of":2,"tail":{{"len":{},"crc":"{}"}}"#, body.len(), crc_hex(body.as_bytes()));
    let head = |part: &str| match part {
        "req" => format!(
            r#"{{"ts":"{TS}","service":"shop","method":"POST","url":"http://h/a?token=t&x=1","headers":[["Host","h"],["Cookie","secret"]]}}"#
        ),
        _ => r#"{"status":201,"headers":[["Content-Type","text/plain"]]}"#.to_owned(),
    };
    ["req", "res"]
        .into_iter()
        .flat_map(|part| {
            [
                format!(r#"{{"cap1":"{id}","part":"{part}","seq":0,"head":{},{}}}"#, head(part), piece(front)),
                format!(r#"{{"cap1":"{id}","part":"{part}","seq":1,{},{tail}}}"#, piece(back)),
            ]
        })
        .collect()
}

/// The exchange of such a capture as it is stored, its secrets redacted.
fn exchange(id: &str, body: &str) -> String {
    let body = format!(r#""body":{{"len":{},"text":{}}}"#, body.len(), serde_json::Value::from(body));
    exchange_with(id, &body, &body)
}

fn exchange_with(id: &str, request_body: &str, response_body: &str) -> String {
    format!(
        r#"{{"v":1,"id":"{id}","service":"shop","ts":"{TS}","complete":true,"problems":[],"request":{{"method":"POST","url":"http://h/a?token=[redacted]&x=1","headers":[["Host","h"],["Cookie","[redacted]"]],{request_body}}},"response":{{"status":201,"headers":[["Content-Type","text/plain"]],{response_body}}}}}"#
    )
}

/// An incomplete exchange: its problems, parts and fragments are given as JSON.
fn incomplete(id: &str, problems: &str, request: &str, response: &str, fragments: &str) -> String {
    format!(
        r#"{{"v":1,"id":"{id}","service":"shop","ts":"{TS}","complete":false,"problems":[{problems}],"request":{request},"response":{response},"fragments":[{fragments}]}}"#
    )
}

impl Case {
    fn new(lines: &[String]) -> Case {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("app.log");
        fs::write(&log, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        fs::create_dir(dir.path().join("captures")).unwrap();
        let config = VerifyConfig {
            logs: vec![log],
            envelope: Envelope::Auto,
            max_line_bytes: 1 << 20,
            keys: None,
            to: DestinationConfig::Dir(dir.path().join("captures")),
            grace: Duration::ZERO,
            tell_unknown: true,
        };
        Case { dir, config }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("captures")
    }

    fn partition() -> Partition {
        Partition::new(RetentionClass::from_days(30).unwrap(), Some("shop"), TS_US)
    }

    /// Stores lines as a batch under the key that is theirs.
    fn store(&self, lines: &[String]) -> PathBuf {
        self.store_as(lines, BatchEncoding::Gzip, &Self::partition())
    }

    fn store_as(&self, lines: &[String], encoding: BatchEncoding, partition: &Partition) -> PathBuf {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let bytes = match encoding {
            BatchEncoding::Plain => text.into_bytes(),
            BatchEncoding::Zstd => zstd::encode_all(text.as_bytes(), 1).unwrap(),
            BatchEncoding::Gzip => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(text.as_bytes()).unwrap();
                gzip.finish().unwrap()
            }
        };
        self.put(&format!("{partition}{}", batch_name(TS_US, blake3::hash(&bytes).as_bytes(), encoding)), &bytes)
    }

    fn put(&self, key: &str, bytes: &[u8]) -> PathBuf {
        let path = self.root().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The outcome, and each finding as `verdict id: what`.
    fn verify(&self) -> (Outcome, Vec<String>) {
        let mut found = Vec::new();
        let outcome = verify(&self.config, &mut |_| (), &mut |finding| {
            let id = finding.id.as_deref().unwrap_or("-");
            let fault = finding.fault.map(|fault| format!(" {fault:?}")).unwrap_or_default();
            found.push(format!("{} {id}:{fault} {}", finding.verdict.name(), finding.what.join(" ")).trim().to_owned());
        });
        (outcome.unwrap(), found)
    }

    fn found(&self) -> Vec<String> {
        self.verify().1
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn what_is_stored_as_logged_is_good_in_every_compression() {
    let lines = [capture("a", "one"), capture("b", "two"), capture("c", "")].concat();
    for encoding in [BatchEncoding::Gzip, BatchEncoding::Zstd, BatchEncoding::Plain] {
        let case = Case::new(&lines);
        case.store_as(&[exchange("b", "two"), exchange("a", "one")], encoding, &Case::partition());
        case.store_as(&[exchange("c", "")], encoding, &Case::partition());
        let (outcome, found) = case.verify();
        assert_eq!(found, NOTHING);
        let counts = outcome.counts;
        assert_eq!((counts.logged_complete, counts.stored, counts.good, counts.objects), (3, 3, 3, 2));
    }
}

#[test]
fn what_is_not_stored_is_missing() {
    let lines = [capture("a", "one"), capture("b", "two"), capture("c", "x")[..2].to_vec()].concat();
    let case = Case::new(&lines);
    case.store(&[exchange("b", "two")]);
    assert_eq!(case.found(), ["missing a:", "missing c:"]);
}

#[test]
fn what_is_stored_twice_is_told_wherever_the_copies_are() {
    let case = Case::new(&capture("a", "one"));
    let path = case.store(&[exchange("a", "one")]);
    fs::copy(&path, path.with_file_name("copy.ndjson.gz")).unwrap();
    assert_eq!(case.found(), ["twice a:"]);
    let case = Case::new(&capture("a", "one"));
    case.store(&[exchange("a", "one"), exchange("a", "one")]);
    assert_eq!(case.found(), ["twice a:"]);
    // A piece of what is there complete.
    let case = Case::new(&capture("a", "one"));
    let piece = incomplete("a", r#""continues","request_missing","response_missing","timeout""#, "null", "null", "");
    case.store(&[exchange("a", "one"), piece]);
    assert_eq!(case.found(), ["twice a:"]);
}

#[test]
fn each_field_that_differs_is_named() {
    for (from, to, what) in [
        (r#""status":201"#, r#""status":200"#, "response.status"),
        (r#""status":201"#, r#""status":"201""#, "response.status"),
        (r#""method":"POST""#, r#""method":"PUT""#, "request.method"),
        (r#""method":"POST","#, "", "request.method"),
        ("&x=1", "&x=2", "request.url"),
        (r#"["Host","h"]"#, r#"["Host","i"]"#, "request.headers"),
        ("text/plain", "text/html", "response.headers"),
        (r#""ts":"2026-11-22T05:15:30.000001Z""#, r#""ts":"2026-11-22T05:15:30.000002Z""#, "ts"),
        (r#""service":"shop""#, r#""service":"shops""#, "service key"),
        (r#""len":3,"text":"one"}},"r"#, r#""len":3,"text":"onE"}},"r"#, "request.body"),
        (r#""len":3,"text":"one"}}}"#, r#""len":2,"text":"on"}}}"#, "response.body"),
        (r#""response":{"#, r#""response":null,"x":{"#, "response.headers response.status response"),
    ] {
        let line = exchange("a", "one");
        let edited = line.replacen(from, to, 1);
        assert_ne!(line, edited, "{from}");
        let case = Case::new(&capture("a", "one"));
        case.store(&[edited]);
        let mut found = case.found();
        let mut expected = vec![format!("different a: {what}")];
        // The names' order means nothing.
        for text in found.iter_mut().chain(&mut expected) {
            let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
            words.sort();
            *text = words.join(" ");
        }
        assert_eq!(found, expected, "{from}");
    }
}

#[test]
fn an_exchange_in_another_partition_is_told() {
    let case = Case::new(&capture("a", "one"));
    let class = RetentionClass::from_days(30).unwrap();
    let other = Partition::new(class, Some("shop"), TS_US + 3_600_000_000);
    case.store_as(&[exchange("a", "one")], BatchEncoding::Gzip, &other);
    assert_eq!(case.found(), ["different a: key"]);
}

#[test]
fn a_body_whose_encoding_was_undone_is_held_against_what_was_captured() {
    let (text, other) = (r#""body":{"len":3,"text":"one"}"#, crc_hex(b"two"));
    let undone = |crc: &str| {
        format!(r#""body":{{"len":9,"encoding":"gzip","captured":{{"len":3,"crc":"{crc}"}},"text":"unpacked!"}}"#)
    };
    let case = Case::new(&capture("a", "one"));
    case.store(&[exchange_with("a", text, &undone(&crc_hex(b"one")))]);
    assert_eq!(case.found(), NOTHING);
    let case = Case::new(&capture("a", "one"));
    case.store(&[exchange_with("a", text, &undone(&other))]);
    assert_eq!(case.found(), ["different a: response.body"]);
}

#[test]
fn a_body_apart_is_read_and_judged() {
    let body = "x".repeat(700_000);
    let hash: [u8; 32] = Sha256::digest(&body).into();
    let key = format!("{}{}", Case::partition(), body_name(&hash));
    let sha256 = reassemble_formats::layout::hex(&hash);
    let apart = format!(r#""body":{{"len":{},"ref":"{key}","sha256":"{sha256}"}}"#, body.len());
    let lines = capture("a", &body);
    let case = Case::new(&lines);
    case.store(&[exchange_with("a", &apart, &apart)]);
    assert_eq!(case.found(), ["damaged a: ref"], "it is not there");
    let path = case.put(&key, body.as_bytes());
    let (outcome, found) = case.verify();
    assert_eq!((found.len(), outcome.counts.good, outcome.counts.bodies), (0, 1, 1));
    fs::write(&path, body.replacen('x', "y", 1)).unwrap();
    assert_eq!(case.found(), ["damaged a: hash"]);
    // A whole body, but of another exchange.
    let other = b"other";
    let hash: [u8; 32] = Sha256::digest(other).into();
    let key = format!("{}{}", Case::partition(), body_name(&hash));
    let apart = format!(r#""body":{{"len":5,"ref":"{key}","sha256":"{}"}}"#, reassemble_formats::layout::hex(&hash));
    let case = Case::new(&lines);
    case.put(&key, other);
    case.store(&[exchange_with("a", &apart, &apart)]);
    assert_eq!(case.found(), ["different a: request.body response.body"]);
    for key in ["../../etc/passwd", "/etc/passwd", "a.bin", ""] {
        let apart = format!(r#""body":{{"len":5,"ref":"{key}","sha256":"{sha256}"}}"#);
        let case = Case::new(&lines);
        case.store(&[exchange_with("a", &apart, &apart)]);
        assert_eq!(case.found(), ["damaged a: ref", "damaged a: ref"], "{key}");
    }
}

#[test]
fn damaged_objects_are_told_and_read_as_far_as_they_go() {
    let lines = [capture("a", "one"), capture("b", "two")].concat();
    let good = || [exchange("a", "one"), exchange("b", "two")];
    // A flipped byte of a plain batch.
    let case = Case::new(&lines);
    let path = case.store_as(&good(), BatchEncoding::Plain, &Case::partition());
    fs::write(&path, fs::read_to_string(&path).unwrap().replacen(r#""one""#, r#""onE""#, 1)).unwrap();
    assert_eq!(case.found(), ["different a: request.body", "damaged -: hash"]);
    // Cut archives.
    for encoding in [BatchEncoding::Gzip, BatchEncoding::Zstd] {
        let case = Case::new(&lines);
        let path = case.store_as(&good(), encoding, &Case::partition());
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        let found = case.found();
        assert!(found.contains(&"damaged -: compression".to_owned()), "{found:?}");
        assert!(found.contains(&"damaged -: hash".to_owned()), "{found:?}");
    }
    // A line that is none, one of another format, and one that was cut.
    let case = Case::new(&lines);
    let cut = exchange("b", "two");
    case.store(&[
        exchange("a", "one"),
        "x".into(),
        exchange("c", "").replace(r#""v":1"#, r#""v":2"#),
        cut[..50].into(),
    ]);
    assert_eq!(case.found(), ["damaged -: line", "damaged -: line", "damaged -: line", "missing b:"]);
    // A batch without its last newline.
    let case = Case::new(&capture("a", "one"));
    let line = exchange("a", "one");
    let name = batch_name(TS_US, blake3::hash(line.as_bytes()).as_bytes(), BatchEncoding::Plain);
    case.put(&format!("{}{name}", Case::partition()), line.as_bytes());
    assert_eq!(case.found(), ["damaged -: line"]);
}

#[test]
fn a_line_of_many_megabytes_is_read_as_it_comes() {
    let body = "x\n".repeat(6 << 20);
    let mut case = Case::new(&[capture("a", &body), capture("b", "two")].concat());
    case.config.max_line_bytes = 64 << 20;
    let path = case.store(&[exchange("a", &body), exchange("b", "two")]);
    let (outcome, found) = case.verify();
    assert_eq!((found, outcome.counts.good), (vec![], 2));
    fs::remove_file(path).unwrap();
    let edited = format!("{}y", &body[1..]);
    let broken = exchange("c", &body).replace(r#""complete":true"#, r#""complete":1"#);
    case.store(&[broken, exchange("a", &edited), exchange("b", "two")]);
    assert_eq!(case.found(), ["damaged -: line", "different a: request.body response.body"]);
}

#[test]
fn nothing_of_a_damaged_line_is_told() {
    let case = Case::new(&capture("a", "one"));
    case.store(&[exchange("a", "one").replace(r#""complete":true"#, r#""complete":"SECRET""#)]);
    let mut told = Vec::new();
    verify(&case.config, &mut |_| (), &mut |finding| told.push(serde_json::to_string(finding).unwrap())).unwrap();
    assert!(told[0].contains("it is no stored exchange"), "{told:?}");
    assert!(!told.concat().contains("SECRET"), "{told:?}");
}

#[test]
fn what_the_logs_have_in_part_is_incomplete_by_their_fault() {
    let lines = capture("a", "onetwo");
    let case = Case::new(&[lines[0].clone(), lines[1].clone(), lines[3].clone()]);
    let body = r#"{"method":"POST","url":"http://h/a?token=[redacted]&x=1","headers":[["Host","h"],["Cookie","[redacted]"]],"body":{"len":6,"text":"onetwo"}}"#;
    let problems = r#""response_chunk_missing:0","response_head_missing","input_end""#;
    let fragment = r#"{"part":"res","seq":1,"of":2,"text":"two"}"#;
    let empty = r#"{"body":{"len":0,"text":""}}"#;
    case.store(&[incomplete("a", problems, body, empty, fragment)]);
    assert_eq!(case.found(), ["incomplete a: Log"]);
    // Stored whole, by other logs' help.
    let whole = Case::new(&[lines[0].clone(), lines[1].clone(), lines[3].clone()]);
    whole.store(&[exchange("a", "onetwo")]);
    let (outcome, found) = whole.verify();
    assert_eq!((found.len(), outcome.counts.good, outcome.counts.more_than_logged), (0, 1, 1));
    // Stored without what lies behind the gap, and with other bytes there.
    let case = Case::new(&[lines[0].clone(), lines[1].clone(), lines[3].clone()]);
    case.store(&[incomplete("a", r#""response_missing","input_end""#, body, "null", "")]);
    assert_eq!(case.found(), ["incomplete a: Store response.chunk:1"]);
    let case = Case::new(&[lines[0].clone(), lines[1].clone(), lines[3].clone()]);
    case.store(&[incomplete("a", problems, body, empty, &fragment.replace("two", "TWO"))]);
    assert_eq!(case.found(), ["different a: response.body"]);
    let case = Case::new(&[lines[0].clone(), lines[1].clone(), lines[3].clone()]);
    case.store(&[incomplete("a", problems, &body.replace("POST", "PUT"), empty, fragment)]);
    assert_eq!(case.found(), ["different a: request.method"]);
}

#[test]
fn pieces_are_put_together_and_the_store_is_blamed_for_what_lacks() {
    let body = r#""method":"POST","url":"http://h/a?token=[redacted]&x=1","headers":[["Host","h"],["Cookie","[redacted]"]],"body""#;
    let first = incomplete(
        "a",
        r#""request_end_missing","response_missing","timeout""#,
        &format!(r#"{{{body}:{{"len":3,"text":"one"}}}}"#),
        "null",
        "",
    );
    let rest = incomplete(
        "a",
        r#""continues","request_chunk_missing:0","request_head_missing","timeout""#,
        r#"{"body":{"len":0,"text":""}}"#,
        r#"{"status":201,"headers":[["Content-Type","text/plain"]],"body":{"len":6,"text":"onetwo"}}"#,
        r#"{"part":"req","seq":1,"of":2,"text":"two"}"#,
    );
    let run = |stored: &[&String]| {
        let case = Case::new(&capture("a", "onetwo"));
        for line in stored {
            case.store(&[(*line).clone()]);
        }
        case.verify()
    };
    let (outcome, found) = run(&[&first, &rest]);
    assert_eq!(found, NOTHING);
    assert_eq!((outcome.counts.good, outcome.counts.in_pieces), (1, 1));
    assert_eq!(run(&[&first]).1, ["incomplete a: Store request.chunk:1 response.chunk:0-1"]);
    assert_eq!(run(&[&rest]).1, ["incomplete a: Store request.chunk:0"]);
    assert_eq!(run(&[&first, &rest, &rest.replace("201", "201 ")]).1, ["twice a: request response"]);
    assert_eq!(run(&[&first, &rest.replace(r#""text":"two""#, r#""text":"TWO""#)]).1, ["different a: request.body"]);
    // All of it in one exchange, which nevertheless says that it is incomplete.
    let whole = exchange("a", "onetwo")
        .replace(r#""complete":true,"problems":[]"#, r#""complete":false,"problems":["timeout"]"#);
    assert_eq!(run(&[&whole]).1, ["incomplete a: Store"]);
}

#[test]
fn what_is_not_in_the_logs_is_counted_and_told_where_asked_for() {
    let mut case = Case::new(&capture("a", "one"));
    case.store(&[exchange("a", "one"), exchange("b", "two")]);
    case.put("elsewhere/x.ndjson", b"rubbish");
    case.put("retention=30d/notes.txt", b"rubbish");
    assert_eq!(case.found(), ["unknown b:"]);
    case.config.tell_unknown = false;
    let (outcome, found) = case.verify();
    assert_eq!((found.len(), outcome.counts.unknown, outcome.counts.foreign_objects), (0, 1, 2));
}

#[test]
fn young_captures_are_pending() {
    let now = reassemble_formats::timestamp::rfc3339_us(
        i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap(),
    );
    let young = capture("young", "x").iter().map(|line| line.replace(TS, &now)).collect::<Vec<_>>();
    let undated = capture("undated", "x").iter().map(|line| line.replace(TS, "?")).collect::<Vec<_>>();
    let mut case = Case::new(
        &[young, undated, capture("old", "x").iter().map(|line| line.replace("2026-", "2016-")).collect()].concat(),
    );
    case.config.grace = Duration::from_secs(3_600);
    let (outcome, found) = case.verify();
    assert_eq!(found, ["missing old:", "missing undated:"]);
    assert_eq!(outcome.counts.pending, 1);
    case.config.grace = Duration::ZERO;
    assert_eq!(case.found().len(), 3);
}

#[test]
fn one_way_requests_and_times_of_reading_are_good() {
    let head = r#"{"ts":"when?","service":"shop","oneway":true}"#;
    let line = format!(r#"{{"cap1":"a","part":"req","seq":0,"head":{head},"text":"x","of":1,"tail":{{"us":7}}}}"#);
    let case = Case::new(&[line]);
    case.store(&[format!(
        r#"{{"v":1,"id":"a","service":"shop","ts":"{TS}","duration_us":7,"complete":true,"problems":["ts_unusable"],"request":{{"us":7,"body":{{"len":1,"text":"x"}}}},"response":null,"oneway":true,"more":{{"request":{{"ts":"when?"}}}}}}"#
    )]);
    assert_eq!(case.found(), NOTHING);
}

#[test]
fn rotated_and_compressed_logs_are_one() {
    let lines = [capture("a", "one"), capture("b", "two")].concat();
    let case = Case::new(&[]);
    let write = |name: &str, lines: &[String]| {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let path = case.dir.path().join(name);
        match Path::new(name).extension().unwrap().to_str().unwrap() {
            "zst" => fs::write(path, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap(),
            _ => fs::write(path, text).unwrap(),
        }
    };
    write("rotated.log.2.zst", &lines[..3]);
    write("rotated.log.1", &lines[2..6]);
    write("rotated.log", &lines[6..]);
    case.store(&[exchange("a", "one"), exchange("b", "two")]);
    let config = VerifyConfig { logs: vec![case.dir.path().join("rotated.log*")], ..case.config.clone() };
    let outcome = verify(&config, &mut |_| (), &mut |finding| panic!("{finding:?}")).unwrap();
    assert_eq!((outcome.counts.good, outcome.counts.repeated_records, outcome.counts.log_lines), (2, 1, 9));
}

#[test]
fn what_cannot_be_read_is_no_verdict() {
    let case = Case::new(&capture("a", "one"));
    let fails = |change: &dyn Fn(&mut VerifyConfig)| {
        let mut config = case.config.clone();
        change(&mut config);
        verify(&config, &mut |_| (), &mut |finding| panic!("{finding:?}")).unwrap_err()
    };
    let missing = fails(&|config| config.logs.push("/does/not/exist".into()));
    assert!(matches!(missing, VerifyError::Source(SourceError::Open { .. })) && !missing.is_usage());
    assert!(matches!(
        fails(&|config| config.logs = vec!["/does/not/*.log".into()]),
        VerifyError::NothingMatches { .. }
    ));
    let nowhere = fails(&|config| config.to = DestinationConfig::Dir("/does/not/exist".into()));
    assert!(matches!(nowhere, VerifyError::Destination(StoreError::File { .. })), "{nowhere}");
    // A damaged archive is read as far as it goes, and told.
    let path = case.dir.path().join("cut.log.zst");
    fs::write(&path, &zstd::encode_all(&b"x"[..], 1).unwrap()[..8]).unwrap();
    let config = VerifyConfig { logs: vec![path], ..case.config.clone() };
    let outcome = verify(&config, &mut |_| (), &mut |_| ()).unwrap();
    assert!(outcome.unread[0].contains("cut.log.zst"), "{:?}", outcome.unread);
}
