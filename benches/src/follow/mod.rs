//! What following costs: CPU and memory at a steady rate and at rest, and how soon what was written is durable.
//!
//! The real binary follows files that this process writes. Its CPU time is what the system counts for the process and all its threads
//! between two instants, so that its start and its end are left out; the writer's is not counted.
//!
//! - [`daemon`] starts the program, reads what it costs from `/proc`, and ends it.
//! - [`writer`] writes a log at a steady rate, a line a write, as apps do.
//! - [`steady`] measures a steady flow, and many files at rest.
//! - [`latency`] measures from a write to the object that holds the exchange.

pub mod daemon;
pub mod latency;
pub mod steady;
pub mod writer;
