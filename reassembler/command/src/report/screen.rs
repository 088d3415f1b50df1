//! Standard error as it is shared by the log, the progress bar and the summary.
//!
//! Everything is written through one [`Screen`], which takes the bar away while other lines are printed, so that neither tears the
//! other. A closed standard error is no failure: the run goes on unseen.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressDrawTarget};
use tracing_subscriber::fmt::MakeWriter;

/// Standard error with a bar that is hidden until it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    bar: ProgressBar,
}

impl Screen {
    /// Without a bar yet.
    pub(crate) fn new() -> Self {
        Screen { bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()) }
    }

    /// The bar, for those who move it.
    pub(crate) fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// Prints text beside the bar.
    pub(crate) fn print(&self, text: &str) {
        self.bar.suspend(|| {
            let mut stderr = io::stderr().lock();
            // Nobody is left to tell.
            stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()).ok();
        });
    }
}

/// One line of the log on its way to the screen.
pub(crate) struct LogLine<'a>(&'a Screen);

impl Write for LogLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.print(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine(self)
    }
}
