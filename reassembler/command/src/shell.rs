//! From a command line to its work and an exit code.

use std::env::ArgsOs;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use reassemble_pipeline::memory::hold_little;

use crate::failure::Failure;
use crate::options::args::{self, Invocation, Work};
use crate::options::config::{self, Inputs};
use crate::options::environment;
use crate::options::file;
use crate::options::layers::Resolved;
use crate::report::log;
use crate::report::screen::Screen;
use crate::{check, lifecycle, merge, run, verify};

/// Arenas of the allocator: with one for each thread, as is the default, a twentieth more memory is held, and no thread is faster.
const ARENAS: i32 = 4;

/// Runs a command line, the program's name included, and tells its failure.
pub fn main(arguments: ArgsOs) -> ExitCode {
    hold_little(ARENAS, None);
    let screen = Screen::new();
    quiet_told_panics();
    match perform(arguments, &screen) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if !matches!(failure, Failure::Shown) {
                screen.print(&format!("error: {failure}\n"));
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Leaves out the panics of a damaged state database: the error that follows tells them in words.
fn quiet_told_panics() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !reassemble_store::is_opening_state() {
            tell(panic);
        }
    }));
}

fn perform(arguments: ArgsOs, screen: &Screen) -> Result<u8, Failure> {
    let Invocation { work, flags, config: about, only_check } = match args::parse(arguments) {
        Ok(invocation) => invocation,
        Err(error) => {
            // It goes to standard output for --help and --version, and nobody may be left to read it.
            error.print().ok();
            return if error.use_stderr() { Err(Failure::Shown) } else { Ok(0) };
        }
    };
    match &work {
        Work::Completions(shell) => return completions(*shell),
        Work::Read(files) => args::refuse_commands_as_files(files)?,
        Work::Exec(_) | Work::Lifecycle(_) | Work::Verify(_) | Work::Merge(_) => {}
    }

    let environment = environment::read(std::env::vars_os());
    environment.layer.check()?;
    let file = file::load(about.config.or(environment.config.map(PathBuf::from)))?;
    let resolved = flags.or(environment.layer).or(file).resolve()?;
    if about.print_config {
        print(&resolved.to_toml())?;
        return Ok(0);
    }
    let settings = &resolved.settings;
    log::open(screen, settings.log.log_format, &settings.log.log_level, settings.report.quiet);
    for warning in environment.warnings {
        tracing::warn!("{warning}");
    }

    match work {
        Work::Lifecycle(options) => lifecycle::perform(&resolved, &options),
        Work::Verify(options) => verify::perform(&resolved, &options, screen),
        Work::Merge(options) => merge::perform(&resolved, &options, screen),
        Work::Read(files) => {
            let inputs = Inputs::Files { files: &files, stdin_is_terminal: config::stdin_is_terminal() };
            start(&resolved, &inputs, None, only_check, screen)
        }
        Work::Exec(command) => start(&resolved, &Inputs::Command, Some(command), only_check, screen),
        // It was done above.
        Work::Completions(_) => Ok(0),
    }
}

fn start(
    resolved: &Resolved,
    inputs: &Inputs<'_>,
    command: Option<Vec<OsString>>,
    only_check: bool,
    screen: &Screen,
) -> Result<u8, Failure> {
    let config = config::config(resolved, inputs)?;
    if only_check { check::perform(&config) } else { run::perform(config, command, resolved, screen) }
}

fn completions(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "reassemble", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

/// Prints on standard output. A reader that has seen enough (`| head`) is no failure.
///
/// # Errors
/// What else keeps standard output from being written, as a full disk.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Running(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
