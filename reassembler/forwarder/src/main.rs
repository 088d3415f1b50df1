//! `reassemble-forwarder`: a Lambda function that rebuilds the exchanges in what it is handed, and stores them in S3.
//!
//! It is triggered by a subscription filter of CloudWatch Logs, by a Kinesis stream that a subscription feeds, or as the transformation of a
//! Firehose stream ([`event`]). It keeps nothing between invocations: each is one bounded run of the pipeline ([`forwarder`]), and what a batch
//! leaves open is stored as incomplete. The answer comes when everything is stored; a failure to store fails the invocation, so that Lambda
//! brings the batch again.
//!
//! Settings are those of the `reassemble` command, as environment variables; `REASSEMBLE_TO` must be set. One is the forwarder's own:
//! `REASSEMBLE_FIREHOSE_RESULT`, what becomes of records that Firehose wants transformed: `Ok` hands them on unchanged (the default), `Dropped`
//! lets none go on.

mod event;
mod forwarder;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;

use crate::event::FirehoseResult;
use crate::forwarder::Forwarder;

/// The forwarder's own setting.
const FIREHOSE_RESULT: &str = "REASSEMBLE_FIREHOSE_RESULT";

fn main() -> ExitCode {
    match perform() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Lambda shows what a function that does not begin says on standard error.
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn perform() -> Result<(), Error> {
    let result: FirehoseResult = std::env::var(FIREHOSE_RESULT).unwrap_or_default().parse()?;
    let variables = std::env::vars_os().filter(|(name, _)| name != FIREHOSE_RESULT);
    let config = reassemble_command::service_config(variables)?;
    let forwarder = Arc::new(Forwarder::new(config, result)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(lambda_runtime::run(service_fn(move |event| invoke(Arc::clone(&forwarder), event))))
}

async fn invoke(forwarder: Arc<Forwarder>, event: LambdaEvent<Box<RawValue>>) -> Result<Box<RawValue>, Error> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = Duration::from_millis(event.context.deadline).saturating_sub(since_epoch);
    // The pipeline blocks, and has a runtime of its own.
    let handled = tokio::task::spawn_blocking(move || forwarder.handle(event.payload.get(), left)).await?;
    handled.map_err(|error| {
        tracing::error!("the invocation fails: {error}");
        Error::from(error)
    })
}
