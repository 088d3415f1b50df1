//! The whole way, with real parts: the shop app under load, real files, rotations, signals and pipes, the real binary, a real S3 server over
//! HTTP, and the tools that people read captures with.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod chance;
mod daemon;
mod damaged;
mod disk;
mod elsewhere;
mod envelopes;
mod exec;
mod faults;
mod follow;
mod intact;
mod kills;
mod lifecycle;
mod load;
mod moto;
mod programs;
mod s3;
mod scene;
mod shutdown;
mod stored;
mod written;
