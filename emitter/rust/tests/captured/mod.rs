//! What tests share: an output that keeps what it got, and a strict reader of it.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use reassemble_emitter::Output;
use serde_json::Value;

/// An output in memory. Each write must be one whole line.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    pub(crate) fn output(&self) -> Output {
        Output::Writer(Box::new(self.clone()))
    }

    pub(crate) fn read(&self) -> Captured {
        Captured::read(&self.0.lock().unwrap())
    }
}

impl Write for Kept {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        assert!(line.ends_with(b"\n") && !line[..line.len() - 1].contains(&b'\n'), "one line a write");
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One part, joined and checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) head: Value,
    pub(crate) body: Vec<u8>,
    pub(crate) tail: Value,
    chunks: u64,
    heads: String,
    tails: String,
}

impl Part {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head["headers"].as_array()?;
        headers.iter().find(|pair| pair[0] == name).and_then(|pair| pair[1].as_str())
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) req: Option<Part>,
    pub(crate) res: Option<Part>,
}

impl Exchange {
    pub(crate) fn req(&self) -> &Part {
        self.req.as_ref().expect("a request")
    }

    pub(crate) fn res(&self) -> &Part {
        self.res.as_ref().expect("a response")
    }
}

/// All captures of a log, by id, and its meta heads.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    pub(crate) exchanges: BTreeMap<String, Exchange>,
    pub(crate) metas: Vec<Value>,
    pub(crate) longest_line: usize,
    /// Lines without a signature, or with a head or tail that is not signed.
    pub(crate) unsigned_lines: usize,
}

impl Captured {
    /// Reads a log of which every line must be whole and right.
    pub(crate) fn read(log: &[u8]) -> Captured {
        let mut captured = Captured::default();
        for line in log.split_inclusive(|byte| *byte == b'\n') {
            captured.longest_line = captured.longest_line.max(line.len());
            let line = std::str::from_utf8(line).expect("lines are UTF-8");
            let record: Value = serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}"));
            captured.unsigned_lines +=
                usize::from(record["sig"].is_null() || record["head"].is_object() || record["tail"].is_object());
            captured.add(&record);
        }
        for (id, exchange) in &captured.exchanges {
            for part in [&exchange.req, &exchange.res].into_iter().flatten() {
                assert_eq!(part.tail["len"], part.body.len() as u64, "{id} is whole");
                assert_eq!(part.tail["crc"], format!("{:08x}", crc32fast::hash(&part.body)), "{id} is whole");
            }
        }
        captured
    }

    fn add(&mut self, record: &Value) {
        if record["part"] == "meta" {
            let head = || serde_json::from_str(record["headf"].as_str().unwrap()).unwrap();
            self.metas.push(if record["head"].is_object() { record["head"].clone() } else { head() });
            return;
        }
        let exchange = self.exchanges.entry(record["cap1"].as_str().unwrap().to_owned()).or_default();
        let part = if record["part"] == "req" { &mut exchange.req } else { &mut exchange.res };
        let part = part.get_or_insert_default();
        assert_eq!(record["seq"], part.chunks, "chunks come in their order");
        part.chunks += 1;
        match (&record["text"], &record["b64"]) {
            (Value::String(text), _) => part.body.extend_from_slice(text.as_bytes()),
            (_, Value::String(b64)) => part.body.extend(STANDARD.decode(b64).unwrap()),
            _ => {}
        }
        part.heads.push_str(record["headf"].as_str().unwrap_or_default());
        part.tails.push_str(record["tailf"].as_str().unwrap_or_default());
        if record["head"].is_object() {
            part.head = record["head"].clone();
        }
        if record["of"].is_u64() {
            assert_eq!(record["of"], part.chunks);
            part.tail = match record["tail"].is_object() {
                true => record["tail"].clone(),
                false => serde_json::from_str(&part.tails).unwrap(),
            };
            if part.head.is_null() {
                part.head = serde_json::from_str(&part.heads).unwrap();
            }
        }
    }

    /// The exchange whose request's URL ends so.
    pub(crate) fn by_url(&self, end: &str) -> &Exchange {
        let fits = |exchange: &&Exchange| {
            exchange.req.as_ref().is_some_and(|req| req.head["url"].as_str().unwrap_or_default().ends_with(end))
        };
        self.exchanges.values().find(fits).unwrap_or_else(|| panic!("no capture of {end}"))
    }

    /// The numbers `n`, sorted.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> =
            self.exchanges.values().map(|exchange| exchange.req().head["n"].as_u64().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    }
}
