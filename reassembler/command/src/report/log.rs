//! The program's own log: tracing events on standard error, plain or JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::screen::Screen;
use crate::options::values::{LogFormat, LogLevel};

/// Other people's crates, whose lines below an error help nobody who did not ask for them: what comes of their troubles is told by
/// this program in a sentence.
const NOISY: [&str; 8] = [
    "aws_config",
    "aws_credential_types",
    "aws_runtime",
    "aws_sdk_s3",
    "aws_smithy_runtime",
    "hyper",
    "hyper_util",
    "rustls",
];

/// Which events are logged.
fn filter(level: &LogLevel, quiet: bool) -> Targets {
    // The level was parsed when it was read; were it not good, the default of the flag would hold.
    let mut targets: Targets = level.0.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let is_filter = level.0.contains(['=', ',']);
    let default = targets.default_level().unwrap_or(LevelFilter::OFF);
    if quiet && default > LevelFilter::WARN {
        targets = targets.with_default(LevelFilter::WARN);
    }
    if !is_filter && default <= LevelFilter::INFO {
        targets = targets.with_targets(NOISY.map(|name| (name, default.min(LevelFilter::ERROR))));
    }
    targets
}

/// Opens the log. Called once.
pub(crate) fn open(screen: &Screen, format: LogFormat, level: &LogLevel, quiet: bool) {
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer().with_writer(screen.clone()).log_internal_errors(false);
    let lines = match format {
        LogFormat::Plain => lines.with_ansi(colours).with_target(false).boxed(),
        LogFormat::Json => lines.with_ansi(false).json().flatten_event(true).boxed(),
    };
    // It fails only where a log is open already.
    tracing_subscriber::registry().with(lines.with_filter(filter(level, quiet))).try_init().ok();
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn other_crates_are_quiet_unless_asked_for() {
        let level = |text: &str| LogLevel(text.to_owned());
        let info = filter(&level("info"), false);
        assert!(info.would_enable("reassemble_store::spool", &Level::INFO));
        assert!(!info.would_enable("aws_config::imds", &Level::WARN));
        assert!(info.would_enable("aws_config::imds", &Level::ERROR));
        assert!(!filter(&level("off"), false).would_enable("aws_config::imds", &Level::ERROR));
        assert!(filter(&level("debug"), false).would_enable("hyper", &Level::DEBUG));
        let chosen = filter(&level("warn,hyper=trace"), false);
        assert!(chosen.would_enable("hyper", &Level::TRACE) && !chosen.would_enable("reassemble", &Level::INFO));
        let quiet = filter(&level("info"), true);
        assert!(!quiet.would_enable("reassemble", &Level::INFO) && quiet.would_enable("reassemble", &Level::WARN));
    }
}
