//! Runs [`reassemble_fuzz::writer`].
#![no_main]

libfuzzer_sys::fuzz_target!(|written: reassemble_fuzz::Written<'_>| reassemble_fuzz::writer(&written));
