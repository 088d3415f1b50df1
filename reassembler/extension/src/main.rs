//! The Lambda extension's binary. What it does is in the library, so that tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    reassemble_extension::main()
}
