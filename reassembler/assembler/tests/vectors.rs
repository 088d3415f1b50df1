//! The specification's vectors: logs to exchanges and counts (`formats/spec/vectors/README.md`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reassemble_assembler::{Arrival, Assembled, Assembler, Closed, Kept, Known};
use reassemble_formats::{BadReason, CaptureId, Chunk, Envelope, EnvelopeReader, Part, Record, RecordSink};
use serde_json::{Value, json};

/// 2026-01-01T00:00:00Z, as of which the vectors are read.
const NOW_US: i64 = 1_767_225_600_000_000;

#[derive(Default)]
struct Memory(std::collections::HashMap<CaptureId, Closed>);

impl Kept for Memory {
    fn lookup(&self, id: &CaptureId) -> Known {
        self.0.get(id).map_or(Known::Nothing, |closed| Known::Closed(closed.clone()))
    }

    fn capture(&self, _number: u64) -> Option<Vec<u8>> {
        None
    }

    fn chunk(&self, _number: u64, _part: Part, _seq: u32) -> Option<Chunk> {
        None
    }
}

struct Reader {
    assembler: Assembler,
    memory: Memory,
    exchanges: Vec<Value>,
    records: u64,
    repeated: u64,
    conflicting: u64,
    meta: u64,
    bad: BTreeMap<&'static str, u64>,
}

impl Reader {
    fn keep(&mut self, assembled: Assembled) {
        self.memory.0.insert(assembled.id.clone(), assembled.closed.clone());
        let mut line = Vec::new();
        assembled.exchange().0.write_line(&mut line);
        let mut exchange: Value = serde_json::from_slice(&line).unwrap();
        exchange.as_object_mut().unwrap().shift_remove("source");
        self.exchanges.push(exchange);
    }
}

impl RecordSink for Reader {
    fn record(&mut self, record: Record) {
        self.records += 1;
        let Record::Chunk(chunk) = record else {
            self.meta += 1;
            return;
        };
        let arrival = Arrival { source: Arc::from("file:log"), read_at_us: NOW_US, key: None };
        let pushed = self.assembler.push(chunk, &arrival, Duration::ZERO, &self.memory);
        self.repeated += u64::from(pushed.repeated);
        self.conflicting += u64::from(pushed.conflicting);
        self.conflicting += pushed.displaced.iter().map(|(_, lines)| lines).sum::<u64>();
        if let Some(assembled) = pushed.complete {
            self.keep(*assembled);
        }
    }

    fn bad(&mut self, reason: BadReason) {
        self.records += 1;
        *self.bad.entry(reason.name()).or_default() += 1;
    }

    fn long_line(&mut self, bytes: u64) {
        panic!("a line of {bytes} bytes was skipped");
    }
}

fn read(log: &[u8]) -> Value {
    let mut reader = Reader {
        assembler: Assembler::new(Duration::from_secs(60)),
        memory: Memory::default(),
        exchanges: Vec::new(),
        records: 0,
        repeated: 0,
        conflicting: 0,
        meta: 0,
        bad: BTreeMap::new(),
    };
    let mut envelope = EnvelopeReader::new(Envelope::Auto, 1 << 20);
    let lines = envelope.block(log, &mut reader);
    envelope.finish(&mut reader);
    while let Some(assembled) = reader.assembler.finish_touched(&reader.memory) {
        reader.keep(assembled);
    }
    json!({
        "exchanges": reader.exchanges,
        "counts": {
            "lines": lines, "records": reader.records, "repeated": reader.repeated, "conflicting": reader.conflicting,
            "meta": reader.meta, "bad": reader.bad,
        },
    })
}

/// Makes alike what the vectors say is alike: numbers by value, the order of problems, any time for `*`.
fn comparable(value: &mut Value, expected: Option<&Value>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(problems)) = map.get_mut("problems") {
                problems.sort_by_key(ToString::to_string);
            }
            if expected.is_some_and(|expected| expected.get("ts") == Some(&json!("*"))) {
                map.insert("ts".into(), json!("*"));
            }
            for (key, member) in map.iter_mut() {
                comparable(member, expected.and_then(|expected| expected.get(key)));
            }
        }
        Value::Array(list) => {
            for (at, element) in list.iter_mut().enumerate() {
                comparable(element, expected.and_then(|expected| expected.get(at)));
            }
        }
        Value::Number(number) => {
            if let Some(float) = number.as_f64() {
                *value = json!(float);
            }
        }
        _ => (),
    }
}

/// The keys of the objects whose order counts.
fn key_orders(exchange: &Value) -> Vec<Vec<&str>> {
    let parts = ["request", "response"].map(|part| &exchange[part]);
    parts.into_iter().flat_map(|part| [part, &part["body"]]).chain([exchange]).map(keys).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default()
}

fn vectors(folder: &str) -> Vec<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../formats/spec/vectors").join(folder);
    let mut logs: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    logs
}

#[test]
fn every_vector_is_read_as_the_specification_says() {
    let mut wrong = Vec::new();
    let mut ran = 0;
    for log in ["read/valid", "read/invalid", "envelope"].into_iter().flat_map(vectors) {
        ran += 1;
        let mut expected: Value = serde_json::from_slice(&fs::read(log.with_extension("json")).unwrap()).unwrap();
        let about = expected.as_object_mut().unwrap().shift_remove("about");
        let mut got = read(&fs::read(&log).unwrap());
        comparable(&mut got, Some(&expected.clone()));
        comparable(&mut expected, None);
        let orders = |value: &Value| {
            format!("{:?}", value["exchanges"].as_array().unwrap().iter().map(key_orders).collect::<Vec<_>>())
        };
        if got != expected || orders(&got) != orders(&expected) {
            let name = log.file_name().unwrap().to_string_lossy();
            wrong.push(format!("{name}: {}\n  expected {expected}\n  got      {got}", about.unwrap()));
        }
    }
    assert!(ran >= 60, "only {ran} vectors were found");
    assert!(wrong.is_empty(), "{} of {ran}:\n{}", wrong.len(), wrong.join("\n"));
}
