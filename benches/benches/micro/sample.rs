//! What the benchmarks read: bodies, and capture lines as an emitter writes them. The same bytes every time.

use reassemble_benches::generate::{Envelope, LogOptions, write_log};
use reassemble_formats::write::{LineLimit, PartTag, PartWriter, RequestHead, ResponseHead, Status, Tail};
use reassemble_formats::{BadReason, Chunk, Record, RecordSink, scan_line};

/// 2026-11-22T05:00:00Z.
const TS_US: i64 = 1_795_323_600_000_000;

/// What a body is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// JSON of words and numbers: one byte in eight is a quote.
    Json,
    /// Text in which every fifth character is escaped; from every third on an emitter writes base64.
    Escapes,
    /// Bytes that are no UTF-8, and so stand as base64.
    Binary,
}

impl Text {
    /// So many bytes of it.
    pub(crate) fn bytes(self, len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        let mut out = Vec::with_capacity(len + 128);
        while out.len() < len {
            match self {
                Text::Json => {
                    let (id, price, stock) = (next() % 1_000_000, next() % 10_000, next() % 500);
                    let item = format!(
                        r#"{{"id":{id},"name":"brunet storen {id:x}","price":{price},"stock":{stock},"note":"gorel inato per unda"}},"#
                    );
                    out.extend_from_slice(item.as_bytes());
                }
                Text::Escapes => out.extend_from_slice(match next() % 4 {
                    0 => b"foo\"bar\nab",
                    1 => b"c:\\dir\\x y",
                    2 => b"\tone\ttwo ",
                    _ => b"say \"so\"  ",
                }),
                Text::Binary => out.push(0x80 | next().to_le_bytes()[0]),
            }
        }
        out.truncate(len);
        out
    }
}

/// The lines of one capture: a request without a body, and a response with this one.
pub(crate) fn capture(id: &str, body: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(body.len() * 3 / 2 + 4096);
    let head = RequestHead {
        ts_us: Some(TS_US),
        service: "checkout".into(),
        method: "GET".into(),
        url: "http://checkout.shop.test/cart/4711?page=2".into(),
        headers: Some(vec![("Accept".into(), "application/json".into()), ("Host".into(), "checkout.shop.test".into())]),
        ..RequestHead::default()
    };
    part(id, PartTag::Req, head.to_json(), b"", &mut lines);
    let headers = Some(vec![("content-type".into(), "application/json".into())]);
    let head = ResponseHead { us: Some(1_510), status: Some(Status::Code(200)), headers, ..ResponseHead::default() };
    part(id, PartTag::Res, head.to_json(), body, &mut lines);
    lines
}

fn part(id: &str, part: PartTag, head: String, body: &[u8], lines: &mut Vec<u8>) {
    let mut writer = PartWriter::new(id, part, head, LineLimit::DEFAULT).expect("the id is one");
    writer.body(body, lines);
    writer.finish(&Tail { us: Some(1_834), ..Tail::default() }, lines);
}

/// The capture's id of this number.
pub(crate) fn id(number: usize) -> String {
    format!("0192f0c1-a2b3-7c3e-8d5e-{number:012x}")
}

/// A log of the generator's mix in this envelope, of about so many bytes, or one of ordinary lines.
pub(crate) fn log(envelope: Envelope, captures: bool, bytes: u64) -> Vec<u8> {
    let mut log = Vec::new();
    write_log(&LogOptions { bytes, envelope, captures, seed: 1 }, &mut log).expect("memory takes it");
    log
}

/// Whole lines, about so many bytes at a time.
pub(crate) fn blocks(log: &[u8], bytes: usize) -> Vec<&[u8]> {
    let mut blocks = Vec::new();
    let mut left = log;
    while !left.is_empty() {
        let rest = left.get(bytes..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(left.len(), |at| bytes + at + 1);
        let (block, others) = left.split_at(end);
        blocks.push(block);
        left = others;
    }
    blocks
}

/// The chunks of lines.
pub(crate) fn chunks(lines: &[u8]) -> Vec<Chunk> {
    let mut chunks = Chunks::default();
    lines.split_inclusive(|byte| *byte == b'\n').for_each(|line| scan_line(line, &mut chunks));
    chunks.0
}

#[derive(Default)]
struct Chunks(Vec<Chunk>);

impl RecordSink for Chunks {
    fn record(&mut self, record: Record) {
        if let Record::Chunk(chunk) = record {
            self.0.push(chunk);
        }
    }

    fn bad(&mut self, reason: BadReason) {
        panic!("a bad record: {reason}");
    }

    fn long_line(&mut self, _: u64) {}
}

/// Takes records as a reader would, and lets them go.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) records: u64,
}

impl RecordSink for Reader {
    fn record(&mut self, record: Record) {
        self.records += 1;
        divan::black_box_drop(record);
    }

    fn bad(&mut self, reason: BadReason) {
        panic!("a bad record: {reason}");
    }

    fn long_line(&mut self, _: u64) {}
}
