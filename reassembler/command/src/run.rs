//! The one place where a run of the pipeline starts: it is watched, shown, stopped by signals, waited for, and summed up.

use std::ffi::OsString;
use std::sync::Arc;

use reassemble_pipeline::config::{Config, InputConfig};
use reassemble_pipeline::run::{self as pipeline, Outcome, Run, StatusBoard, Stopper};

use crate::failure::{EXIT_FAILURE, Failure};
use crate::metrics::server;
use crate::options::layers::Resolved;
use crate::options::settings::ReportArgs;
use crate::options::values::SummaryFormat;
use crate::report::progress::Progress;
use crate::report::screen::Screen;
use crate::report::summary::Summary;
use crate::shell::print;
use crate::signals::{Caught, Stopped};

/// Runs to the end, to a signal, or to a failure. With a command it is run and its output read; without one the inputs of the
/// config are.
pub(crate) fn perform(
    config: Config,
    command: Option<Vec<OsString>>,
    resolved: &Resolved,
    screen: &Screen,
) -> Result<u8, Failure> {
    let report = &resolved.settings.report;
    let input = config.input.clone();
    let board = Arc::new(StatusBoard::default());
    serve_metrics(report, &board)?;

    let is_exec = command.is_some();
    let (run, stopped) = match command {
        // The command gets the signals, and its end is the end.
        Some(command) => (pipeline::exec(config, &command, Arc::clone(&board)).map_err(failure)?, Stopped::default()),
        None => {
            let caught = Caught::begin().map_err(|error| Failure::Running(format!("cannot catch signals: {error}")))?;
            let run = pipeline::start(config, Arc::clone(&board)).map_err(failure)?;
            let stopped = stop_by_signal(&run, caught, screen)?;
            (run, stopped)
        }
    };

    let hide = is_exec || report.quiet || report.no_progress;
    let progress = if hide { None } else { Progress::show(screen, &input, &board) };
    let ended = run.wait();
    drop(progress);

    let status = ended.as_ref().map_or_else(|_| board.snapshot(), |outcome| outcome.status.clone());
    let destination = resolved.settings.destination.to.to_string();
    let summary = Summary {
        status: &status,
        destination: &destination,
        undelivered_objects: ended.as_ref().map_or(status.objects_waiting, |outcome| outcome.undelivered_objects),
        command_exit: ended.as_ref().ok().and_then(|outcome| outcome.child_exit),
    };
    let stdout_is_the_apps = is_exec || input.passthrough;
    match report.summary {
        SummaryFormat::Text if !report.quiet => screen.print(&summary.text()),
        SummaryFormat::Json if stdout_is_the_apps => screen.print(&summary.json()),
        SummaryFormat::Json => print(&summary.json())?,
        SummaryFormat::Text | SummaryFormat::None => {}
    }
    exit_code(&ended.map_err(failure)?, &input, &stopped)
}

fn serve_metrics(report: &ReportArgs, board: &Arc<StatusBoard>) -> Result<(), Failure> {
    let Some(address) = &report.metrics else { return Ok(()) };
    let local = server::start(&address.0, board)
        .map_err(|error| Failure::Running(format!("cannot serve metrics at {}: {error}", address.0)))?;
    tracing::info!("metrics at http://{local}/metrics");
    Ok(())
}

/// Lets the first signal stop the run in order, and the second end it.
fn stop_by_signal(run: &Run, caught: Caught, screen: &Screen) -> Result<Stopped, Failure> {
    let stopper = run.stopper();
    let screen = screen.clone();
    let first = move || stopper.iter().for_each(Stopper::stop);
    let second = move || {
        screen.print("warning: ended at once by a second signal; what was committed is kept, the rest is read again\n");
        std::process::exit(i32::from(EXIT_FAILURE));
    };
    caught.watch(first, second).map_err(|error| Failure::Running(format!("cannot watch for signals: {error}")))
}

fn failure(error: pipeline::RunError) -> Failure {
    if error.is_usage() { Failure::Usage(error.to_string()) } else { Failure::Running(error.to_string()) }
}

/// What a run that ended in order is worth: the command's own code; else 0 where everything that was asked for is done, or a
/// signal ended what has no end of its own.
fn exit_code(outcome: &Outcome, input: &InputConfig, stopped: &Stopped) -> Result<u8, Failure> {
    if let Some(code) = outcome.child_exit {
        return Ok(u8::try_from(code & 0xff).unwrap_or(EXIT_FAILURE));
    }
    let status = &outcome.status;
    let endless = input.is_endless();
    if stopped.by_signal() {
        let unread = status.files_read_bytes < status.files_total_bytes;
        if unread && !endless {
            return Err(Failure::Running(
                "stopped before the files were read to their end; the next run goes on from there".to_owned(),
            ));
        }
        return Ok(0);
    }
    if outcome.undelivered_objects > 0 {
        let why = status.destination_failing.as_deref().unwrap_or("it did not answer in time");
        return Err(Failure::Running(format!("the destination does not have everything yet: {why}")));
    }
    if status.run.input_failures > 0 && !endless {
        return Err(Failure::Running("not all inputs could be read to their end, see above".to_owned()));
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(change: impl FnOnce(&mut Outcome), input: &InputConfig, by_signal: bool) -> u8 {
        let status = pipeline::Status { files_read_bytes: 9, files_total_bytes: 9, ..pipeline::Status::default() };
        let mut outcome = Outcome { status, child_exit: None, undelivered_objects: 0 };
        change(&mut outcome);
        exit_code(&outcome, input, &Stopped::new(by_signal)).unwrap_or_else(|failure| failure.exit_code())
    }

    #[test]
    fn a_bounded_run_succeeds_only_where_everything_is_done() {
        let files = InputConfig { files: vec!["a.log".into()], ..InputConfig::default() };
        assert_eq!(code(|_| (), &files, false), 0);
        assert_eq!(code(|outcome| outcome.undelivered_objects = 1, &files, false), 1);
        assert_eq!(code(|outcome| outcome.status.run.input_failures = 1, &files, false), 1);
        assert_eq!(code(|outcome| outcome.status.files_read_bytes = 8, &files, true), 1);
    }

    #[test]
    fn a_signal_ends_what_has_no_end_in_order() {
        let follow = InputConfig { follow: vec!["a.log".to_owned()], ..InputConfig::default() };
        // What waits is kept for the next run, and files that come and go are no failure of following.
        assert_eq!(code(|outcome| outcome.undelivered_objects = 1, &follow, true), 0);
        assert_eq!(code(|outcome| outcome.status.run.input_failures = 1, &follow, true), 0);
        let stdin = InputConfig { stdin: true, ..InputConfig::default() };
        assert_eq!(code(|_| (), &stdin, true), 0);
    }

    #[test]
    fn the_commands_code_stands_over_what_befell_storing() {
        let fails = |outcome: &mut Outcome| {
            outcome.child_exit = Some(143);
            outcome.undelivered_objects = 3;
        };
        assert_eq!(code(fails, &InputConfig::default(), false), 143);
    }
}
