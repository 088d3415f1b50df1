//! What the function prints: requests and responses in turn, each of them one line.

use anyhow::{Result, ensure};
use reassemble_formats::write::{PartTag, RequestHead, ResponseHead, Status};
use reassemble_testkit::captures;

use crate::emitter::json_body;

/// Length of a request's body in bytes, and of a response's.
const BODY_BYTES: [usize; 2] = [40, 600];

/// Prints captures one after another; a request's response is the next line.
#[derive(Debug)]
pub struct Printer {
    body: Vec<u8>,
    printed: u64,
}

impl Default for Printer {
    fn default() -> Printer {
        Printer { body: json_body(), printed: 0 }
    }
}

impl Printer {
    /// The next lines, without line breaks.
    ///
    /// # Errors
    /// Where one cannot be written, or is none alone.
    pub fn lines(&mut self, count: usize) -> Result<Vec<String>> {
        (0..count).map(|_| self.line()).collect()
    }

    /// Captures that were printed whole.
    pub fn captures(&self) -> u64 {
        self.printed / 2
    }

    /// Whether the last line left its capture open.
    pub fn is_open(&self) -> bool {
        !self.printed.is_multiple_of(2)
    }

    fn line(&mut self) -> Result<String> {
        let id = format!("0192f0c1-a2b3-7c3e-8d5e-{:012x}", self.captures());
        let (part, head, bytes) = if self.is_open() {
            let head = ResponseHead { status: Some(Status::Code(200)), ..ResponseHead::default() };
            (PartTag::Res, head.to_json(), BODY_BYTES[1])
        } else {
            let head = RequestHead {
                ts_us: Some(1_795_824_000_000_000),
                service: "shop".into(),
                method: "POST".into(),
                url: "/orders".into(),
                ..RequestHead::default()
            };
            (PartTag::Req, head.to_json(), BODY_BYTES[0])
        };
        let line = String::from_utf8(captures::part(&id, part, head, &self.body[..bytes]))?;
        self.printed += 1;
        ensure!(line.trim_end().lines().count() == 1, "a part takes several lines");
        Ok(line.trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_line_ends_a_capture() {
        let mut printer = Printer::default();
        let lines = printer.lines(3).unwrap();
        assert!(lines[0].contains("\"req\"") && lines[1].contains("\"res\"") && lines[2].contains("\"req\""));
        let id = |line: &str| line[..50].to_owned();
        assert!(id(&lines[0]) == id(&lines[1]) && id(&lines[1]) != id(&lines[2]));
        assert_eq!((printer.captures(), printer.is_open()), (1, true));
    }
}
