//! While a run goes on, on a terminal: a bar for files that are read to their end, one status line for what does not end.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressDrawTarget, ProgressStyle};
use reassemble_pipeline::config::InputConfig;
use reassemble_pipeline::run::{Status, StatusBoard};

use super::printable::{HumanBytes, counted, printable};
use super::screen::Screen;

/// How often what is shown is drawn again.
const REDRAW_EVERY: Duration = Duration::from_millis(200);

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A bar: the end is known.
    Bar,
    /// A line: it is not.
    Line,
}

/// Redraws on a thread of its own until it is dropped, and then leaves the terminal clean.
#[derive(Debug)]
pub(crate) struct Progress {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Shows a run's progress, if standard error is a terminal on which it does not stand in the way.
    pub(crate) fn show(screen: &Screen, input: &InputConfig, board: &Arc<StatusBoard>) -> Option<Progress> {
        // Where the app's own lines go through, nothing may be drawn between them.
        if input.passthrough || !std::io::stderr().is_terminal() {
            return None;
        }
        let shape = if input.follow.is_empty() && !input.stdin && input.cloudwatch.is_none() {
            Shape::Bar
        } else {
            Shape::Line
        };
        let (end, ended) = channel();
        let (screen, board) = (screen.clone(), Arc::clone(board));
        let thread = std::thread::Builder::new()
            .name("progress".into())
            .spawn(move || draw(&screen, &board, shape, &ended))
            .ok()?;
        Some(Progress { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic while drawing takes nothing from the run.
            thread.join().ok();
        }
    }
}

fn draw(screen: &Screen, board: &StatusBoard, shape: Shape, ended: &Receiver<()>) {
    let bar = screen.bar();
    let template = match shape {
        Shape::Bar => "{bar:20} {percent}% of {total_bytes}, {bytes_per_sec}, {eta} left, {wide_msg}",
        Shape::Line => "{spinner} {wide_msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_draw_target(ProgressDrawTarget::stderr());
    loop {
        let status = board.snapshot();
        if shape == Shape::Bar {
            bar.set_length(status.files_total_bytes);
            bar.set_position(status.files_read_bytes);
        }
        bar.set_message(message(&status, shape));
        bar.tick();
        if ended.recv_timeout(REDRAW_EVERY) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    bar.finish_and_clear();
    bar.set_draw_target(ProgressDrawTarget::hidden());
}

/// What is said beside the bar, or in the line.
fn message(status: &Status, shape: Shape) -> String {
    let run = &status.run;
    let exchanges = counted(run.exchanges_complete + run.exchanges_incomplete, "exchange");
    let mut parts = vec![exchanges];
    if shape == Shape::Line {
        if status.followed_files > 0 {
            parts.insert(0, counted(status.followed_files, "file"));
        }
        parts.insert(parts.len() - 1, format!("{} read", HumanBytes(run.bytes_read)));
        parts.push(format!("{} open", run.open_captures));
    }
    parts.push(format!("{} stored", counted(run.objects_stored, "object")));
    if status.objects_waiting > 0 {
        parts.push(format!("{} waiting", status.objects_waiting));
    }
    let lost = run.records.bad.values().sum::<u64>() + run.long_lines + run.shed_captures;
    if lost > 0 {
        parts.push(format!("{lost} bad"));
    }
    if let Some(why) = &status.destination_failing {
        parts.push(format!("destination fails: {}", printable(why)));
    } else if status.spool_full {
        parts.push("spool full".to_owned());
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use reassemble_pipeline::ledger::Ledger;

    use super::*;

    #[test]
    fn the_line_says_what_matters_now() {
        let mut status = Status { followed_files: 2, ..Status::default() };
        status.run = Ledger {
            bytes_read: 3 << 20,
            exchanges_complete: 1_200,
            open_captures: 3,
            objects_stored: 1,
            ..Ledger::default()
        };
        assert_eq!(message(&status, Shape::Line), "2 files, 3.0 MiB read, 1,200 exchanges, 3 open, 1 object stored");
        assert_eq!(message(&status, Shape::Bar), "1,200 exchanges, 1 object stored");
        status.objects_waiting = 4;
        status.destination_failing = Some("403\u{1b}[2J".to_owned());
        assert!(message(&status, Shape::Line).ends_with("4 waiting, destination fails: 403\\u{1b}[2J"));
    }
}
