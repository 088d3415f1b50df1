//! The Telemetry API: what the platform and the function say, pushed to this program over HTTP.
//!
//! [`listener`] takes POSTs, [`events`] says what is in them, [`lines`] makes of what the function printed the lines that the pipeline reads.
//! Delivery is at least once: chunks that come again are known again below.

mod cut;
pub mod events;
pub mod lines;
pub(crate) mod listener;

pub use cut::Cut;

/// Largest POST that is asked for, in bytes: the API's most, so that few records are cut.
pub const MAX_BYTES: usize = 1 << 20;
/// Records in a POST: the API's most.
pub const MAX_ITEMS: usize = 10_000;
/// How long the platform gathers before a POST, in milliseconds: the API's least.
pub const TIMEOUT_MS: u64 = 25;
