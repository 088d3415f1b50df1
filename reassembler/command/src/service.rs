//! Settings of programs that have no command line, such as Lambda functions: the same variables, the same file, the same checks.

use std::ffi::OsString;
use std::path::PathBuf;

use reassemble_pipeline::config::Config;

use crate::failure::Failure;
use crate::options::config::{self, Inputs};
use crate::options::environment;
use crate::options::file;
use crate::report::log;
use crate::report::screen::Screen;

/// Opens the log on standard error and gives the config of the `REASSEMBLE_…` variables, and of the file that `REASSEMBLE_CONFIG` names. It reads
/// nothing: its inputs are the program's own.
///
/// # Errors
/// What is wrong with a setting, in a sentence.
pub fn service_config(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Config, String> {
    read(variables).map_err(|failure| failure.to_string())
}

fn read(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Config, Failure> {
    let environment = environment::read(variables);
    environment.layer.check()?;
    let file = file::load(environment.config.map(PathBuf::from))?;
    let resolved = environment.layer.or(file).resolve()?;
    let settings = &resolved.settings;
    log::open(&Screen::new(), settings.log.log_format, &settings.log.log_level, settings.report.quiet);
    for warning in environment.warnings {
        tracing::warn!("{warning}");
    }
    config::config(&resolved, &Inputs::Command)
}
