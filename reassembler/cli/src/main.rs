//! The `reassemble` command. What it does is in `reassemble-command`, apart from it so that Cargo can build that for size.

use std::process::ExitCode;

fn main() -> ExitCode {
    reassemble_command::main(std::env::args_os())
}
