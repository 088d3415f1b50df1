//! What is measured and how: a generator of capture logs, and a way to run programs over them and count what they cost.
//!
//! - [`bars`] holds figures against limits; [`results`] keeps the page of them.
//! - [`contest`] sets reassemble beside its yardsticks.
//! - [`follow`] measures what following files costs.
//! - [`emitter`] measures what the Rust emitter costs an app.
//! - [`extension`] measures what the Lambda extension costs a function.
//! - [`generate`] writes logs of any size from a seed: the same seed and options give the same bytes.
//! - [`logs`] keeps logs from run to run.
//! - [`measure`] runs one program and gives its CPU time, wall time and peak memory.
//! - [`soak`] kills a daemon for hours and checks what it stored.
//! - [`size`] reads sizes as people write them.
//! - [`table`] lays figures out in columns.

pub mod bars;
pub mod contest;
pub mod emitter;
pub mod extension;
pub mod follow;
pub mod generate;
pub mod logs;
pub mod measure;
pub mod results;
pub mod size;
pub mod soak;
pub mod table;
