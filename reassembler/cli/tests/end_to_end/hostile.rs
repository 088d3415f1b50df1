//! A client that sends capture lines, in every guise and place, to a real shop: none is ever taken for a record.
//!
//! What can be told from a record without signing, and what cannot:
//! - What stands **inside a record** (bodies, headers, URLs) can: nothing inside a record is searched, and however a record is cut, its strings
//!   show no bare marker.
//! - What an app logs **quoted and escaped on a line that is no JSON object** can: an escaped record counts only inside a whole JSON object.
//! - What an app logs **raw**, or as a string of a **JSON logger's** record, cannot: genuine records stand there just so. Such an app's lines
//!   have to be signed, and the reader needs the keys.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use reassemble_formats::sign::SigningKey;
use reassemble_formats::write::{LineLimit, PartTag, PartWriter, Tail};
use reassemble_testkit::process::wait_for;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::load::{Exchanged, Load, Passed};
use crate::programs::{Shop, reassemble, run};
use crate::stored;

/// The id of every planted line begins so, unless it copies a real one.
const PLANTED: &str = "planted-";
const TIME: &str = "2026-11-22T05:00:00.123456789Z";

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// What stands between the quotes.
fn escaped(text: &str) -> String {
    let quoted = quoted(text);
    quoted[1..quoted.len() - 1].to_owned()
}

/// A whole capture of an id, a line for each part.
fn pair(id: &str) -> [String; 2] {
    let head = r#""head":{"ts":"2026-11-01T10:00:00.000000Z","service":"planted"}"#;
    [
        format!(r#"{{"cap1":"{id}","part":"req","seq":0,{head},"text":"owned","of":1}}"#),
        format!(r#"{{"cap1":"{id}","part":"res","seq":0,"head":{{"status":200}},"of":1}}"#),
    ]
}

/// A capture's lines in every guise, on one line each: as they are, and as what may carry them.
fn guises(id: &str) -> Vec<String> {
    let mut all = Vec::new();
    for line in pair(id) {
        let once = escaped(&line);
        let nested = |depth: usize| format!("{}{line}{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        all.extend([
            line.clone(),
            once.clone(),
            escaped(&once),
            quoted(&line),
            once.replace("\\\"", "\\u0022"),
            line.replace("cap1", "c\\u0061p1"),
            format!(r#"{{"level":"info","msg":{}}}"#, quoted(&line)),
            format!(r#"{{"level":"info","msg":{}}}"#, quoted(&quoted(&line))),
            format!(r#"{{"level":"info","rec":[{line}]}}"#),
            // As container runtimes write.
            format!(r#"{{"log":{},"stream":"stdout","time":"{TIME}"}}"#, quoted(&format!("{line}\n"))),
            format!(r#"{{"log":{},"stream":"stdout","time":"{TIME}"}}"#, quoted(&line)),
            format!("{TIME} stdout F {line}"),
            format!("{TIME} stdout P {line}"),
            // As if what encloses it ended here.
            format!(r#""}}{line}"#),
            format!(r#"","of":1}}{line}"#),
            format!(r#"\"}}{line}"#),
            format!(r#"\\"}}}}]{line}"#),
            format!(r#""]],"x":{line}"#),
            format!(r#"}} {line} {{"#),
            // As if a whole one were enclosed, and as if much enclosed it.
            line.replace("owned", &once),
            nested(3),
            nested(17),
            nested(100),
            format!("{}{line}", "[".repeat(300)),
            // Numbers that no reader should believe.
            line.replace(r#""seq":0"#, r#""seq":1e400"#),
            line.replace(r#""seq":0"#, r#""seq":99999999999999999999999999"#),
            line.replace(r#""of":1"#, r#""of":2147483648"#),
            line.replace("cap1", "cap99999999999999999999"),
            line.replace(r#""part":"req""#, r#""part":"meta""#),
        ]);
    }
    all
}

/// A capture's lines cut at every place, both halves.
fn torn(id: &str) -> Vec<String> {
    let cut = |line: String| {
        (1..line.len()).flat_map(move |at| [line[..at].to_owned(), line[at..].to_owned()]).collect::<Vec<_>>()
    };
    pair(id).into_iter().flat_map(cut).collect()
}

/// Bodies that hold all of it, for these ids.
fn bodies(ids: &[String]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    for id in ids {
        let (guises, torn) = (guises(id), torn(id));
        // Separated by what may end a line somewhere.
        for separator in ["\n", "\r\n", "\r", " ", "\0", "\u{2028}", "\",\"", "\\n"] {
            bodies.push(format!("{separator}{}{separator}", guises.join(separator)).into_bytes());
        }
        bodies.push(torn.join("\n").into_bytes());
        bodies.push(torn.join(" ").into_bytes());
        // Bytes that are no text, so that the body turns to base64 within.
        bodies.push([guises.join("\n").as_bytes(), b"\n\xff\n", guises.join("\n").as_bytes()].concat());
        bodies.extend(guises.into_iter().map(String::into_bytes));
    }
    bodies
}

/// Sends requests to a shop and remembers them.
struct Client<'s> {
    shop: &'s Shop,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    load: Load,
}

impl<'s> Client<'s> {
    fn new(shop: &'s Shop) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Client { shop, http: reqwest::Client::new(), runtime, load: Load::default() }
    }

    fn next_id(&self) -> String {
        format!("h{}", self.load.exchanges.len())
    }

    fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
        let id = self.next_id();
        let mut request = self.http.post(format!("{}{path}", self.shop.url)).header("x-test-id", &id);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_vec());
        let (status, answer) = self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.bytes().await.unwrap())
        });
        let exchanged = Exchanged { request: Passed::of(body), response: Passed::of(&answer), status };
        self.load.exchanges.insert(id, exchanged);
        status
    }

    /// A request whose target stands in it as it is, which no client library would send.
    fn get_raw(&mut self, target: &str) -> u16 {
        let id = self.next_id();
        let mut stream = TcpStream::connect(self.shop.url.strip_prefix("http://").unwrap()).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nhost: x\r\nx-test-id: {id}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
        // The shop refuses some targets before it captures anything.
        if status != 400 {
            let exchanged = Exchanged { request: Passed::of(b""), response: Passed::of(&answer[end..]), status };
            self.load.exchanges.insert(id, exchanged);
        }
        status
    }

    /// Sends all of it to every place that takes it.
    fn attack(&mut self, ids: &[String]) {
        for body in bodies(ids) {
            self.post("/echo", &[("content-type", "text/plain")], &body);
            self.post("/upload", &[], &body);
            if let Ok(text) = std::str::from_utf8(&body) {
                assert_eq!(self.post("/note", &[], text.as_bytes()), 204);
            }
        }
        let mut taken = 0;
        for text in ids.iter().flat_map(|id| guises(id)) {
            self.post("/echo", &[("x-note", &text), ("content-type", &text), ("traceparent", &text)], text.as_bytes());
            self.post(&format!("/none?q={}", text.replace('%', "%25").replace('#', "%23")), &[], b"");
            let target = text.replace(' ', "%20");
            for target in [format!("/{target}"), format!("/items?q={target}")] {
                taken += usize::from(self.get_raw(&target) != 400);
            }
        }
        assert!(taken > ids.len() * 20, "the shop took only {taken} raw targets");
    }
}

/// A shop's log after two attacks, one with ids of its own and one with ids copied from the log; and what was sent.
fn attacked(configure: impl FnOnce(&mut std::process::Command)) -> (String, Load) {
    let dir = tempdir().unwrap();
    let log = dir.path().join("shop.log");
    let shop = Shop::start_as(&log, configure);
    let mut client = Client::new(&shop);
    client.attack(&[format!("{PLANTED}1"), format!("{PLANTED}{}", "x".repeat(56))]);
    let ids = ids_in(&fs::read_to_string(&log).unwrap());
    assert!(ids.len() > 100);
    client.attack(&ids.into_iter().take(2).collect::<Vec<_>>());
    let load = client.load;
    assert_eq!(shop.end(), 0);
    (fs::read_to_string(&log).unwrap(), load)
}

/// The shop's own lines: each is one write, and nothing else in its quoted log begins so.
fn capture_lines(log: &str) -> impl Iterator<Item = &str> {
    log.split_terminator('\n').filter(|line| line.starts_with(r#"{"cap1":""#))
}

/// The ids of a log's captures, in their order.
fn ids_in(log: &str) -> Vec<String> {
    let mut ids: Vec<String> = capture_lines(log).map(|line| line.split('"').nth(3).unwrap().to_owned()).collect();
    ids.dedup();
    ids
}

fn plain(line: &str) -> String {
    format!("{line}\n")
}

fn docker(line: &str) -> String {
    format!("{{\"log\":{},\"stream\":\"stdout\",\"time\":\"{TIME}\"}}\n", quoted(&format!("{line}\n")))
}

fn cri(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    loop {
        let cut = rest.floor_char_boundary(1_500);
        let tag = if cut == rest.len() { "F" } else { "P" };
        text.push_str(&format!("{TIME} stdout {tag} {}\n", &rest[..cut]));
        rest = &rest[cut..];
        if rest.is_empty() {
            return text;
        }
    }
}

/// Wraps a line, and ends it.
type Wrap = fn(&str) -> String;

const ENVELOPES: [(&str, Wrap); 3] = [("plain", plain), ("docker", docker), ("cri", cri)];

fn wrapped<'l>(lines: impl Iterator<Item = &'l str>, wrap: Wrap) -> String {
    lines.map(wrap).collect()
}

/// Reads a log; gives the run's counts, and the folder of what was stored.
fn read(log: &str, args: &[&str]) -> (Value, tempfile::TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let (file, captures) = (dir.path().join("app.log"), dir.path().join("captures"));
    fs::write(&file, log).unwrap();
    let mut command = reassemble(args);
    command.arg("--to").arg(&captures).arg(&file);
    let (code, summary, said) = run(command);
    assert_eq!(code, Some(0), "{said}");
    (summary["run"].clone(), dir, captures)
}

fn stored_ids(captures: &Path) -> BTreeSet<String> {
    stored::exchanges(captures).iter().map(|exchange| exchange["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn nothing_that_a_client_sends_is_taken_for_a_record() {
    let (log, load) = attacked(|_| ());
    assert!(log.contains(PLANTED));
    let own = capture_lines(&log).count();
    let ids: BTreeSet<String> = ids_in(&log).into_iter().collect();
    for (name, wrap) in ENVELOPES {
        let log = wrapped(log.split_terminator('\n'), wrap);
        for envelope in ["auto", name] {
            let (counts, _dir, captures) = read(&log, &["--envelope", envelope]);
            stored::assert_holds(&captures, &load);
            assert!(stored_ids(&captures).is_subset(&ids), "{name}");
            // No planted line was even counted: not as a good record, not as a bad, repeated or conflicting one.
            let count = |key: &str| counts["records"][key].as_u64().unwrap();
            assert_eq!(
                (count("read"), &counts["records"]["bad"]),
                (own as u64, &json!({})),
                "{name} read as {envelope}"
            );
            assert_eq!(
                (count("repeated"), count("conflicting"), count("meta")),
                (0, 0, 1),
                "{name} read as {envelope}"
            );
        }
    }
}

#[test]
fn nothing_is_taken_out_of_a_record_that_was_cut_anywhere() {
    /// Of each chosen line so many cuts.
    const CUTS: usize = 150;
    let (log, _) = attacked(|_| ());
    let real: BTreeSet<String> = ids_in(&log).into_iter().collect();
    let hostile: Vec<&str> = capture_lines(&log).filter(|line| line.contains(PLANTED)).collect();
    let chosen: Vec<&str> = hostile.iter().step_by(hostile.len() / 40 + 1).copied().collect();
    let cuts = |line: &str| -> BTreeSet<usize> {
        (1..CUTS).map(|at| line.floor_char_boundary(line.len() * at / CUTS)).filter(|at| *at > 7).collect()
    };
    let fronts: Vec<&str> = chosen.iter().flat_map(|line| cuts(line).into_iter().map(move |at| &line[..at])).collect();
    let backs: Vec<&str> = chosen.iter().flat_map(|line| cuts(line).into_iter().map(move |at| &line[at..])).collect();
    for (name, wrap) in ENVELOPES {
        // Cut by the app, then wrapped: a front is torn, a back is nothing.
        for (halves, torn) in [(&fronts, fronts.len()), (&backs, 0)] {
            let (counts, _dir, captures) = read(&wrapped(halves.iter().copied(), wrap), &[]);
            let bad = if torn == 0 { json!({}) } else { json!({ "torn": torn }) };
            assert_eq!(
                (&counts["records"]["bad"], counts["records"]["read"].as_u64()),
                (&bad, Some(torn as u64)),
                "{name}"
            );
            assert!(stored::exchanges(&captures).is_empty(), "{name}");
        }
        // Wrapped, then cut.
        let lines: Vec<String> = chosen.iter().map(|line| wrap(line)).collect();
        let cut: String = lines
            .iter()
            .flat_map(|line| {
                cuts(line).into_iter().map(move |at| format!("{}\n{}\n", &line[..at], line[at..].trim_end()))
            })
            .collect();
        // A cut within what stands before a record leaves the record whole: those stored are real ones.
        for envelope in ["auto", "json"] {
            let (_, _dir, captures) = read(&cut, &["--envelope", envelope]);
            let unreal: Vec<_> = stored_ids(&captures).difference(&real).cloned().collect();
            assert!(unreal.is_empty(), "{name} read as {envelope}: {unreal:?}");
        }
    }
}

#[test]
fn what_an_app_logs_raw_or_in_json_cannot_be_told_from_a_record_without_signing() {
    for style in ["raw", "json", "quoted"] {
        let dir = tempdir().unwrap();
        let log = dir.path().join("shop.log");
        let shop = Shop::start_as(&log, |command| {
            command.args(["--log-style", style]);
        });
        let mut client = Client::new(&shop);
        let id = format!("{PLANTED}{style}");
        client.post("/note", &[], pair(&id).join(if style == "raw" { "\n" } else { " " }).as_bytes());
        assert_eq!(shop.end(), 0);
        let (_, _dir, captures) = read(&fs::read_to_string(&log).unwrap(), &[]);
        assert_eq!(stored_ids(&captures).contains(&id), style != "quoted", "{style}");
    }
}

const SHOP_SECRET: &str = "8d0f3c2e9a7b465180d2b6f4c1e3a597";
const OTHER_SECRET: &str = "51ab7e0c42d96f38b1e7a4c5d08f9263";

/// A key file with the shop's key and another service's.
fn key_file(folder: &Path) -> String {
    let path = folder.join("keys");
    fs::write(&path, format!("shop-1 {SHOP_SECRET} shop\nother-1 {OTHER_SECRET} other\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A capture's two lines, signed.
fn signed_pair(secret: &str, id: &str, service: &str) -> Vec<String> {
    let key = SigningKey::new(secret).unwrap();
    let mut lines = Vec::new();
    let heads = [
        (PartTag::Req, json!({"ts": "2026-11-01T10:00:00.000000Z", "service": service})),
        (PartTag::Res, json!({"status": 200})),
    ];
    for (part, head) in heads {
        let mut part = PartWriter::new(id, part, head.to_string(), LineLimit::DEFAULT).unwrap().signed(Some(&key));
        part.body(b"owned", &mut lines);
        part.finish(&Tail::default(), &mut lines);
    }
    String::from_utf8(lines).unwrap().lines().map(str::to_owned).collect()
}

/// A line of the log with changes, and without the crc that would tell on them.
fn changed(line: &str, changes: Value) -> String {
    let mut record: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
    record.remove("crc");
    record.extend(changes.as_object().unwrap().clone());
    Value::Object(record).to_string()
}

#[test]
fn with_keys_only_signed_lines_are_stored() {
    let dir = tempdir().unwrap();
    let log = dir.path().join("shop.log");
    // The careless app: whatever a client sends stands in its log as it came.
    let shop = Shop::start_as(&log, |command| {
        command.args(["--log-style", "raw"]).env("CAPTURE_SIGNING_KEY", SHOP_SECRET);
    });
    let mut client = Client::new(&shop);
    for at in 0..20 {
        client.post("/echo", &[], format!("body {at} ").repeat(600).as_bytes());
    }
    let text = wait_for("capture lines", || {
        let text = fs::read_to_string(&log).unwrap();
        (text.ends_with('\n') && capture_lines(&text).count() >= 20).then_some(text)
    });
    let own: Vec<&str> = capture_lines(&text).collect();
    let [first, second] = [own[0], own[1]];
    let id = first.split('"').nth(3).unwrap();

    let with_sig = |lines: [String; 2], sig: &str| lines.map(|line| changed(&line, json!({"sig": sig})));
    let made_up = "00112233445566778899aabbccddeeff";
    let copied: Value = serde_json::from_str(first).unwrap();
    let copied = copied["sig"].as_str().unwrap();
    let planted: Vec<String> = [
        // Unsigned, under an id of its own and a copied one.
        pair("planted-unsigned").to_vec(),
        pair(id).to_vec(),
        // Forged: signatures made up, or copied from another line.
        with_sig(pair("planted-made-up"), made_up).to_vec(),
        with_sig(pair("planted-copied"), copied).to_vec(),
        // A real line with other content, and another real line's signature.
        vec![
            changed(first, json!({"text": "owned"})),
            changed(first, json!({"headf": "{}"})),
            changed(first, json!({"tailf": "{}"})),
            changed(first, json!({"seq": 7})),
            changed(first, json!({"at": 0})),
            changed(first, json!({"of": 9})),
            changed(first, json!({"cap1": "planted-moved"})),
            changed(second, json!({"sig": copied})),
        ],
        // Signed by nobody's key, and by a key that may not sign for this service.
        signed_pair("a-secret-that-is-in-no-key-file-", "planted-stranger", "shop"),
        signed_pair(OTHER_SECRET, "planted-wrong-service", "shop"),
    ]
    .concat();
    // Another service's lines under the id of an exchange that is stored by then: rejected, or taken for repeats.
    let late = signed_pair(OTHER_SECRET, id, "other");
    for line in planted.iter().chain(&late) {
        client.post("/note", &[], format!("\n{line}\n").as_bytes());
    }
    // Copies of real lines are repeats of themselves.
    let copies = own.iter().take(5).map(|line| format!("{line}\n")).collect::<String>();
    client.post("/note", &[], format!("\n{copies}").as_bytes());
    // And one that is rightly signed, for its own service.
    client.post("/note", &[], format!("\n{}\n", signed_pair(OTHER_SECRET, "other-own", "other").join("\n")).as_bytes());
    let load = std::mem::take(&mut client.load);
    assert_eq!(shop.end(), 0);

    let keys = key_file(dir.path());
    let log = fs::read_to_string(&log).unwrap();
    for (name, wrap) in ENVELOPES {
        let (counts, dir, captures) = read(&wrapped(log.split_terminator('\n'), wrap), &["--key-file", &keys]);
        let count = |counted: &Value| usize::try_from(counted.as_u64().unwrap()).unwrap();
        let (bad_sig, repeated) = (count(&counts["records"]["bad"]["bad_sig"]), count(&counts["records"]["repeated"]));
        assert_eq!(counts["records"]["bad"], json!({"bad_sig": bad_sig}), "{name}");
        assert!(bad_sig >= planted.len() && repeated >= 5, "{name}: {counts}");
        assert_eq!(bad_sig + repeated, planted.len() + late.len() + 5, "{name}");
        assert_eq!(count(&counts["records"]["conflicting"]), 0, "{name}");
        let mut verify = reassemble(["verify", "--strict", "--key-file", &keys, "--to"]);
        let verified = verify.arg(&captures).arg(dir.path().join("app.log")).output().unwrap();
        assert!(verified.status.success(), "{name}: {}", String::from_utf8_lossy(&verified.stdout));
        let all = stored::read(&captures);
        assert_eq!((all.incomplete, all.all), (0, load.exchanges.len() + 1), "{name}");
        for (id, exchanged) in &load.exchanges {
            assert_eq!(all.tested[id].len(), 1, "{name}");
            assert_eq!(&stored::exchanged(&captures, &all.tested[id][0]), exchanged, "{name}");
        }
        let foreign: Vec<String> = stored_ids(&captures).into_iter().filter(|id| !id.starts_with('0')).collect();
        assert_eq!(foreign, ["other-own"], "{name}");
        assert_eq!(counts["records"]["meta"].as_u64(), Some(1), "{name}");
    }
}

#[test]
fn signed_vectors_are_read_as_the_specification_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../formats/spec/vectors/signed");
    let mut ran = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let keys = path.with_extension("keys");
        let expected: Value = serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
        let (counts, _dir, captures) =
            read(&fs::read_to_string(&path).unwrap(), &["--key-file", keys.to_str().unwrap()]);
        let records = &counts["records"];
        assert_eq!(records["read"], expected["counts"]["records"], "{}", path.display());
        for key in ["repeated", "conflicting", "meta", "bad"] {
            assert_eq!(records[key], expected["counts"][key], "{key} of {}", path.display());
        }
        let by_id = |exchanges: Vec<Value>| -> BTreeMap<String, Value> {
            let without_source = exchanges.into_iter().map(|mut exchange| {
                exchange.as_object_mut().unwrap().remove("source");
                (exchange["id"].as_str().unwrap().to_owned(), exchange)
            });
            without_source.collect()
        };
        let wanted = by_id(expected["exchanges"].as_array().unwrap().clone());
        assert_eq!(by_id(stored::exchanges(&captures)), wanted, "{}", path.display());
        ran += 1;
    }
    assert!(ran >= 15, "only {ran} vectors were found");
}
