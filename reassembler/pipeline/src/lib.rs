//! The only wiring: sources → envelopes → assembler → processing → store, and the ledger that tells what became of every line.
//!
//! The **core** thread ([`core`](crate::core)) reads and assembles; the **store** thread ([`store_thread`](crate::store_thread)) processes,
//! compresses and commits; a small tokio runtime uploads. The wrapper and pass-through have a thread more for each stream
//! ([`forward`](crate::forward)), which never waits for the others. Lines that
//! other code has are delivered ([`deliver`]).

mod builder;
mod check;
pub mod config;
mod core;
mod deliver;
pub mod emitters;
mod exec;
mod forward;
mod index;
mod input_row;
mod intake;
pub mod ledger;
mod lines;
mod log_groups;
pub mod memory;
mod objects;
mod patient;
mod process;
mod queue;
pub mod run;
mod signatures;
mod state_dir;
mod store_thread;

pub use builder::connect;
pub use check::{Check, check};
pub use deliver::{Deliverer, Flushed, Noter, deliver, deliver_noting};
pub use state_dir::root as state_root;
