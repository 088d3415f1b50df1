//! Answers questions of `emitter/conformance.py` for the Rust emitter, whose lines and redaction are this crate's: one JSON line for each on
//! standard input.

#![expect(clippy::unwrap_used, reason = "a wrong question ends it")]

#[path = "../tests/vectors/emit.rs"]
mod emit;
#[expect(dead_code, reason = "whoever asks knows the right answer")]
#[path = "../tests/vectors/redact.rs"]
mod redact;

use std::io::{self, BufRead, Write};

use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Question {
    emit: Option<emit::Vector>,
    #[serde(default)]
    feed: String,
    redact: Option<redact::Case>,
}

impl Question {
    fn answer(&self) -> serde_json::Value {
        if let Some(case) = &self.redact {
            return json!({ "output": case.redacted() });
        }
        let vector = self.emit.as_ref().unwrap();
        let arrivals = vector.arrivals();
        let body = arrivals.concat();
        let lines = match &*self.feed {
            "given" => vector.lines(&arrivals.iter().map(Vec::as_slice).collect::<Vec<_>>()),
            "whole" => vector.lines(&[&body]),
            _ => vector.lines(&body.chunks(1).collect::<Vec<_>>()),
        };
        json!({ "lines": String::from_utf8(lines).unwrap() })
    }
}

fn main() {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let question: Question = serde_json::from_str(&line.unwrap()).unwrap();
        writeln!(out, "{}", question.answer()).unwrap();
    }
}
