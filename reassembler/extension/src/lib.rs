//! The Lambda extension: reads what a function prints through the Telemetry API, rebuilds exchanges and stores them in S3.
//!
//! ```text
//! function ─► Lambda ─► listener ─► feeder ─► pipeline (core, spool, uploader) ─► S3
//!                                     ▲
//!               Extensions API ─► lifecycle: flush at the end of an invocation, the end within two seconds
//! ```
//!
//! It registers and subscribes first, and opens its spool and the S3 client while the function starts. Nothing that befalls storing fails
//! the function; a configuration that cannot be used does, at the start, with a sentence.

pub mod config;
pub mod extensions_api;
mod feeder;
mod lifecycle;
mod log;
pub mod telemetry;
mod trust;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use reassemble_pipeline::memory::hold_little;
use reassemble_pipeline::run::StatusBoard;
use tracing::level_filters::LevelFilter;

use crate::config::{Config, ConfigError};
use crate::extensions_api::{ApiError, Event, ExtensionsApi};
use crate::feeder::Feeder;
use crate::lifecycle::Lifecycle;
use crate::telemetry::listener;

/// Blocks from this size on go back to the system when they are freed: the function pays for what its extensions hold.
const MAPPED_BYTES: i32 = 128 << 10;

/// Why the extension ended before its environment.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(
        "this is an extension of AWS Lambda, which sets AWS_LAMBDA_RUNTIME_API; put it into a layer under extensions/"
    )]
    NotInLambda,
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Runs the extension to the end of its environment.
pub fn main() -> ExitCode {
    hold_little(1, Some(MAPPED_BYTES));
    let config = Config::from_environment();
    log::open(config.as_ref().map_or(LevelFilter::INFO, |config| config.log_level.0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    match runtime.map_err(Failure::Start).and_then(|runtime| runtime.block_on(run(config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Result<Config, ConfigError>) -> Result<(), Failure> {
    let host = std::env::var("AWS_LAMBDA_RUNTIME_API").map_err(|_| Failure::NotInLambda)?;
    // Lambda knows an extension by its file's name.
    let program = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let bound = listener::bind().await;
    let api = ExtensionsApi::register(&host, &name).await?;
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            api.init_error("Extension.Configuration", &error.to_string()).await?;
            return Err(error.into());
        }
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let board = Arc::new(StatusBoard::default());
    let (flush_timeout, policy) = (config.flush_timeout, config.flush);
    let (socket, port) = match bound {
        Ok(bound) => bound,
        Err(error) => return idle(&api, &format!("cannot listen: {error}")).await,
    };
    let (feeder, ended) = match Feeder::start(config.pipeline, board.clone()) {
        Ok(started) => started,
        Err(error) => return idle(&api, &format!("cannot start a thread: {error}")).await,
    };
    tokio::spawn(listener::serve(socket, feeder.clone()));
    if let Err(error) = api.subscribe(port).await {
        return idle(&api, &error.to_string()).await;
    }
    let done = Lifecycle { api: api.clone(), feeder, ended, board, policy, flush_timeout }.run().await;
    if let Err(error) = &done {
        // What is told last may be refused too; it is in the log.
        api.exit_error("Extension.Events", &error.to_string()).await.ok();
    }
    Ok(done?)
}

/// Goes from event to event without capturing anything: the function is not to fail for it.
async fn idle(api: &ExtensionsApi, why: &str) -> Result<(), Failure> {
    tracing::error!("nothing is captured, the function runs without: {why}");
    while matches!(api.next().await?, Event::Invoke { .. }) {}
    Ok(())
}
