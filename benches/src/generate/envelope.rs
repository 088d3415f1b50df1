//! What container runtimes and loggers wrap around a line.

use std::io::{self, Write};

use clap::ValueEnum;
use reassemble_formats::write::escape_json;

/// How lines are wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Envelope {
    /// As the app printed them.
    #[default]
    Plain,
    /// Docker's json-file driver.
    Docker,
    /// The Kubernetes container runtime interface.
    Cri,
    /// A JSON logger with the line in a string field.
    JsonString,
    /// A JSON logger that took the record for an object.
    Nested,
}

/// Microseconds of a day.
const DAY_US: u64 = 86_400_000_000;

/// Wraps lines, none of which is long enough for a runtime to cut it.
#[derive(Debug)]
pub(super) struct Wrapper {
    envelope: Envelope,
    line: Vec<u8>,
}

impl Wrapper {
    pub(super) fn new(envelope: Envelope) -> Wrapper {
        Wrapper { envelope, line: Vec::new() }
    }

    /// Writes one line, given without its newline, as printed at this microsecond of the log's day; gives how many bytes that were.
    pub(super) fn write(&mut self, text: &str, at_us: u64, out: &mut impl Write) -> io::Result<u64> {
        let line = &mut self.line;
        line.clear();
        match self.envelope {
            Envelope::Plain => line.extend_from_slice(text.as_bytes()),
            Envelope::Docker => {
                line.extend_from_slice(br#"{"log":""#);
                let from = line.len();
                escape_json(text, line);
                escape_html(line, from);
                write!(line, r#"\n","stream":"stdout","time":"{}"}}"#, Stamp(at_us))?;
            }
            Envelope::Cri => write!(line, "{} stdout F {text}", Stamp(at_us))?,
            Envelope::JsonString => {
                write!(line, r#"{{"level":"info","time":"{}","logger":"stdout","msg":""#, Stamp(at_us))?;
                escape_json(text, line);
                line.extend_from_slice(br#""}"#);
            }
            Envelope::Nested => {
                write!(line, r#"{{"level":"info","time":"{}","logger":"stdout","#, Stamp(at_us))?;
                if text.starts_with(r#"{"cap1":"#) {
                    write!(line, r#""capture":{text}}}"#)?;
                } else {
                    line.extend_from_slice(br#""msg":""#);
                    escape_json(text, line);
                    line.extend_from_slice(br#""}"#);
                }
            }
        }
        line.push(b'\n');
        out.write_all(line)?;
        Ok(line.len() as u64)
    }
}

/// `<`, `>` and `&` behind `from` as Docker's driver escapes them.
fn escape_html(line: &mut Vec<u8>, from: usize) {
    let is_html = |byte: &u8| matches!(byte, b'<' | b'>' | b'&');
    if !line[from..].iter().any(is_html) {
        return;
    }
    for byte in line.split_off(from) {
        match byte {
            b'<' => line.extend_from_slice(b"\\u003c"),
            b'>' => line.extend_from_slice(b"\\u003e"),
            b'&' => line.extend_from_slice(b"\\u0026"),
            other => line.push(other),
        }
    }
}

/// A time of the log's day as runtimes print it.
struct Stamp(u64);

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let us = self.0 % DAY_US;
        let seconds = us / 1_000_000;
        write!(
            f,
            "2026-11-20T{:02}:{:02}:{:02}.{:06}000Z",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            us % 1_000_000
        )
    }
}
