//! Chunks to exchanges, in memory: nothing is committed and nothing put away.

use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use divan::counter::BytesCount;
use reassemble_assembler::{Arrival, Assembled, Assembler, Kept, Known};
use reassemble_formats::{CaptureId, Chunk, Part};

use crate::sample::{Text, capture, chunks, id};

/// Body bytes of a chunk: what fits into a line beside its keys, so that bodies fill as many lines as they are meant to.
const PIECE_BYTES: usize = 3_200;
/// Chunks with a body that an iteration pushes, about.
const CHUNKS: usize = 512;

/// Knows of nothing beside what is in memory.
pub(crate) struct Nothing;

impl Kept for Nothing {
    fn lookup(&self, _: &CaptureId) -> Known {
        Known::Nothing
    }

    fn capture(&self, _: u64) -> Option<Vec<u8>> {
        None
    }

    fn chunk(&self, _: u64, _: Part, _: u32) -> Option<Chunk> {
        None
    }
}

/// Captures one after the other, whose responses have so many chunks.
#[divan::bench(args = [1, 4, 64])]
fn in_order(bencher: Bencher<'_, '_>, chunks_each: usize) {
    let captures = captures(CHUNKS / chunks_each, chunks_each);
    assemble(bencher, &captures.concat());
}

/// 64 captures at a time, a line of each in turn.
#[divan::bench(args = [1, 4, 64])]
fn of_64_in_turn(bencher: Bencher<'_, '_>, chunks_each: usize) {
    let mut captures: Vec<_> = captures(64, chunks_each)
        .into_iter()
        .map(|lines| lines.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter())
        .collect();
    let mut lines = Vec::new();
    loop {
        let before = lines.len();
        captures.iter_mut().for_each(|capture| lines.extend(capture.next().unwrap_or_default()));
        if lines.len() == before {
            break;
        }
    }
    assemble(bencher, &lines);
}

fn captures(count: usize, chunks_each: usize) -> Vec<Vec<u8>> {
    let body = Text::Json.bytes(PIECE_BYTES * chunks_each);
    (0..count).map(|number| capture(&id(number), &body)).collect()
}

fn assemble(bencher: Bencher<'_, '_>, lines: &[u8]) {
    let chunks = chunks(lines);
    bencher.counter(BytesCount::new(lines.len())).with_inputs(|| chunks.clone()).bench_local_values(assembled);
}

/// All exchanges of these chunks.
pub(crate) fn assembled(chunks: Vec<Chunk>) -> Vec<Assembled> {
    let mut assembler = Assembler::new(Duration::from_secs(60));
    let arrival = Arrival { source: Arc::from("file:/var/log/app.log"), read_at_us: 1_795_323_600_000_000, key: None };
    let pushed = chunks.into_iter().map(|chunk| assembler.push(chunk, &arrival, Duration::ZERO, &Nothing));
    pushed.filter_map(|pushed| pushed.complete).map(|complete| *complete).collect()
}
