//! Runs [`reassemble_fuzz::codec`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reassemble_fuzz::codec(data));
