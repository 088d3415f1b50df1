//! Runs [`reassemble_fuzz::assembler`].
#![no_main]

libfuzzer_sys::fuzz_target!(|steps: Vec<reassemble_fuzz::Step>| reassemble_fuzz::assembler(&steps));
