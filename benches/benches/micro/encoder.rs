//! Exchanges to lines, and lines to blocks in the spool.

use divan::Bencher;
use divan::counter::BytesCount;
use reassemble_assembler::Assembled;
use reassemble_formats::layout::{Partition, RetentionClass};
use reassemble_store::{Changes, Compression, Spool, SpoolConfig};

use crate::assembler::assembled;
use crate::sample::{Text, capture, chunks, id};

/// Exchanges that an iteration writes: with bodies of 8 KB more than a block's 256 KiB several times over.
const EXCHANGES: usize = 256;
const BODY_BYTES: usize = 8_000;
const TS_US: i64 = 1_795_323_600_000_000;

/// An exchange as a line of NDJSON.
#[divan::bench(args = [Text::Json, Text::Escapes, Text::Binary])]
fn exchange_to_line(bencher: Bencher<'_, '_>, text: Text) {
    let exchanges = exchanges(text);
    let mut out = Vec::new();
    exchanges.iter().for_each(|each| each.exchange().0.write_line(&mut out));
    bencher.counter(BytesCount::new(out.len())).bench_local(|| {
        out.clear();
        exchanges.iter().for_each(|each| each.exchange().0.write_line(&mut out));
        out.len()
    });
}

/// How the spool compresses, at the levels that stand for speed and for the library's own choice.
const COMPRESSIONS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip { level: 1 },
    Compression::Gzip { level: 6 },
    Compression::Zstd { level: 1 },
    Compression::Zstd { level: 3 },
];

/// Lines into the spool, one batch, and a commit with its syncs at the end; in `TMPDIR`.
#[divan::bench(args = COMPRESSIONS, sample_count = 20, sample_size = 1)]
fn spool(bencher: Bencher<'_, '_>, compression: Compression) {
    let lines: Vec<Vec<u8>> = exchanges(Text::Json)
        .iter()
        .map(|each| {
            let mut line = Vec::new();
            each.exchange().0.write_line(&mut line);
            line
        })
        .collect();
    let class: RetentionClass = "30d".parse().expect("it is a class");
    let partition = Partition::new(class, Some("checkout"), TS_US);
    let bytes: usize = lines.iter().map(Vec::len).sum();
    bencher
        .counter(BytesCount::new(bytes))
        .with_inputs(|| {
            let dir = tempfile::tempdir().expect("the system has a folder for it");
            let (spool, _) =
                Spool::open(SpoolConfig { compression, ..SpoolConfig::new(dir.path()) }).expect("the folder is new");
            (spool, dir)
        })
        .bench_local_values(|(mut spool, dir)| {
            lines.iter().for_each(|line| spool.append(&partition, line, TS_US).expect("there is room"));
            spool.commit(&Changes::default()).expect("there is room");
            // Given back, so that closing and removing are not measured.
            (spool, dir)
        });
}

fn exchanges(text: Text) -> Vec<Assembled> {
    let body = text.bytes(BODY_BYTES);
    let lines: Vec<u8> = (0..EXCHANGES).flat_map(|number| capture(&id(number), &body)).collect();
    let exchanges = assembled(chunks(&lines));
    assert_eq!(exchanges.len(), EXCHANGES);
    exchanges
}
