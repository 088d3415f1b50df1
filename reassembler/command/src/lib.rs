//! What the `reassemble` command does: a thin shell over the pipeline.
//!
//! [`options`] reads what it is told, [`run`] starts a run and waits for it, [`report`] and [`metrics`] show what is happening and what
//! became of everything. Exit codes are in [`failure`].

mod check;
#[cfg(test)]
mod docs;
mod failure;
mod lifecycle;
mod merge;
mod metrics;
mod options;
mod report;
mod run;
mod service;
mod shell;
mod signals;
mod verify;

pub use service::service_config;
pub use shell::main;
