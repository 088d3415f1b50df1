//! Bodies to capture lines: what an emitter does for each half, beside its queue.

use divan::Bencher;
use divan::counter::BytesCount;
use reassemble_formats::write::{LineLimit, PartTag, PartWriter, Tail};

use crate::sample::{Text, id};

/// Bodies of a line and of many, which come whole.
#[divan::bench(args = [Text::Json, Text::Escapes, Text::Binary], consts = [2_000, 1_000_000])]
fn part_writer<const BYTES: usize>(bencher: Bencher<'_, '_>, text: Text) {
    write(bencher, &text.bytes(BYTES), BYTES);
}

/// A body that comes in pieces of 1,000 bytes.
#[divan::bench(args = [Text::Json, Text::Binary])]
fn part_writer_in_pieces(bencher: Bencher<'_, '_>, text: Text) {
    write(bencher, &text.bytes(1_000_000), 1_000);
}

fn write(bencher: Bencher<'_, '_>, body: &[u8], arrives_bytes: usize) {
    let id = id(1);
    let mut lines = Vec::new();
    bencher.counter(BytesCount::of_slice(body)).bench_local(|| {
        lines.clear();
        let head = r#"{"us":1510,"status":200,"headers":[["content-type","application/json"]]}"#.to_owned();
        let mut writer = PartWriter::new(&id, PartTag::Res, head, LineLimit::DEFAULT).expect("the id is one");
        body.chunks(arrives_bytes).for_each(|bytes| writer.body(bytes, &mut lines));
        writer.finish(&Tail { us: Some(1_834), ..Tail::default() }, &mut lines)
    });
}
