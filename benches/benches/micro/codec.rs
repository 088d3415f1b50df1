//! Finding and decoding records, a line at a time.

use divan::Bencher;
use divan::counter::BytesCount;
use reassemble_benches::generate::Envelope;
use reassemble_formats::scan_line;
use reassemble_formats::write::{LineLimit, PartTag, PartWriter, Tail};

use crate::sample::{Reader, Text, capture, id, log};

/// Bytes of the lines that an iteration decodes, about.
const BYTES: usize = 1 << 20;

/// Lines of 4 KB: those of one long body.
#[divan::bench(args = [Text::Json, Text::Escapes, Text::Binary])]
fn lines_of_4_kb(bencher: Bencher<'_, '_>, text: Text) {
    decode(bencher, &capture(&id(1), &text.bytes(BYTES)));
}

/// Lines of about 200 bytes: a part each.
#[divan::bench]
fn lines_of_200_bytes(bencher: Bencher<'_, '_>) {
    let mut lines = Vec::new();
    for number in 0..BYTES / 200 {
        let head = r#"{"status":200}"#.to_owned();
        let mut writer = PartWriter::new(&id(number), PartTag::Res, head, LineLimit::DEFAULT).expect("the id is one");
        writer.body(br#"{"id":4711,"name":"brunet","price":12.5}"#, &mut lines);
        writer.finish(&Tail::default(), &mut lines);
    }
    decode(bencher, &lines);
}

/// Lines of about 80 bytes without a record.
#[divan::bench]
fn ordinary_lines(bencher: Bencher<'_, '_>) {
    decode(bencher, &log(Envelope::Plain, false, BYTES as u64));
}

fn decode(bencher: Bencher<'_, '_>, lines: &[u8]) {
    let lines_of_it: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    bencher.counter(BytesCount::new(lines.len())).bench_local(|| {
        let mut reader = Reader::default();
        lines_of_it.iter().for_each(|line| scan_line(line, &mut reader));
        reader.records
    });
}
