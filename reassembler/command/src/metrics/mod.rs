//! What machines read: Prometheus metrics and health, served by a small HTTP server on a thread of its own.
//!
//! [`defs`] names every metric, [`exposition`] writes them, [`health`] decides what is well, [`server`] answers. Nothing captured is
//! served: labels hold reasons from a fixed vocabulary alone.

pub(crate) mod defs;
pub(crate) mod exposition;
pub(crate) mod health;
pub(crate) mod server;
