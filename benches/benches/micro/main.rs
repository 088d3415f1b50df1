//! Micro-benchmarks of the parts that a log passes through, by their public interfaces: `cargo bench -p reassemble-benches`, with a part's
//! name behind `--` for that part alone. Throughput is of the bytes that each part reads: of log for codec, envelopes and assembler, of
//! bodies for the emitter, of exchanges as they are stored for the encoder.

mod assembler;
mod codec;
mod emitter;
mod encoder;
mod envelopes;
mod sample;

fn main() {
    divan::main();
}
