//! Runs [`reassemble_fuzz::envelopes`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| reassemble_fuzz::envelopes(data));
