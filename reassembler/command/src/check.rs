//! `--check`: whether configuration, inputs and destination are good, before anything runs.
//!
//! Wrong configuration never comes this far: it has exit code 64. What is wrong with inputs and destination has 1.

use std::fmt::Write as _;

use reassemble_pipeline::config::Config;
use reassemble_pipeline::{Check, check};

use crate::failure::{EXIT_FAILURE, Failure};
use crate::report::printable::printable;
use crate::shell::print;

/// Checks, prints a line for each thing, and returns the exit code.
pub(crate) fn perform(config: &Config) -> Result<u8, Failure> {
    let checks = check(config);
    print(&render(&checks))?;
    Ok(if checks.iter().all(|check| check.result.is_ok()) { 0 } else { EXIT_FAILURE })
}

fn render(checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { what, result } in checks {
        let (mark, said) = match result {
            Ok(said) => ("ok   ", said),
            Err(wrong) => ("WRONG", wrong),
        };
        let colon = if said.is_empty() { "" } else { ": " };
        // Writing to a String does not fail.
        writeln!(text, "{mark}  {}{colon}{}", printable(what), printable(said)).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_each() {
        let checks = [
            Check { what: "input app.log".to_owned(), result: Ok("12 bytes".to_owned()) },
            Check {
                what: "destination s3://logs".to_owned(),
                result: Err("no such bucket\u{7}; create it".to_owned()),
            },
        ];
        assert_eq!(
            render(&checks),
            "ok     input app.log: 12 bytes\nWRONG  destination s3://logs: no such bucket\\u{7}; create it\n"
        );
    }
}
