//! What tests of several packages share. Everything is real but the clouds: sockets, files, processes, signals.
//!
//! - [`s3`] is an S3 server over HTTP or HTTPS whose objects are files, [`tls`] its certificate. Before it may stand a [`gate`], which cuts it off, or
//!   a proxy with [`faults`] by a script.
//! - [`moto`] is an S3 with lifecycle rules and a CloudWatch Logs.
//! - [`lambda`] is a fake of Lambda, for extensions and for functions.
//! - [`process`] runs a program and watches it.
//! - [`captures`] makes captures with a memory of what they hold; [`stored`] reads back what became of them.
//! - [`chance`] draws from a seed.
//!
//! Only tests and benchmarks depend on it. It panics where anything goes wrong: with it the test fails.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod captures;
pub mod chance;
pub mod faults;
pub mod gate;
pub mod lambda;
pub mod moto;
pub mod process;
pub mod s3;
pub mod stored;
pub mod tls;
