//! The extension's own log: lines on standard error, which Lambda keeps as the extension's. They are not telemetry that is subscribed to,
//! so that it never reads itself.

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Opens the log at a level. Of other people's crates only errors are logged.
pub(crate) fn open(level: LevelFilter) {
    let targets = Targets::new().with_default(level.min(LevelFilter::ERROR)).with_target("reassemble", level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        // Lambda has the time of each line.
        .without_time()
        .log_internal_errors(false);
    // It fails only where a log is open already.
    tracing_subscriber::registry().with(lines.with_filter(targets)).try_init().ok();
}
