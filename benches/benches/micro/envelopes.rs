//! The generator's log through each envelope, in blocks of 64 KB as sources hand them over.

use divan::Bencher;
use divan::counter::BytesCount;
use reassemble_benches::generate::Envelope;
use reassemble_formats::EnvelopeReader;

use crate::sample::{Reader, blocks, log};

/// Bytes of log that an iteration reads, about.
const BYTES: u64 = 4 << 20;
const BLOCK_BYTES: usize = 64 << 10;
const MAX_LINE_BYTES: usize = 1 << 20;

/// The mix of captures and ordinary lines; the envelope is recognised from the lines.
#[divan::bench(args = [Envelope::Plain, Envelope::Docker, Envelope::Cri, Envelope::JsonString, Envelope::Nested])]
fn mix(bencher: Bencher<'_, '_>, envelope: Envelope) {
    read(bencher, &log(envelope, true, BYTES));
}

/// Ordinary lines alone.
#[divan::bench(args = [Envelope::Plain, Envelope::Docker, Envelope::Cri, Envelope::JsonString])]
fn ordinary_lines(bencher: Bencher<'_, '_>, envelope: Envelope) {
    read(bencher, &log(envelope, false, BYTES));
}

fn read(bencher: Bencher<'_, '_>, log: &[u8]) {
    let blocks = blocks(log, BLOCK_BYTES);
    bencher.counter(BytesCount::new(log.len())).bench_local(|| {
        let mut reader = EnvelopeReader::new(reassemble_formats::Envelope::Auto, MAX_LINE_BYTES);
        let mut sink = Reader::default();
        for block in &blocks {
            reader.block(block, &mut sink);
        }
        sink.records
    });
}
