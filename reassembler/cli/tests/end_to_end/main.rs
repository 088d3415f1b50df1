//! The whole way, with real parts: the shop app under load, real files, rotations, signals and pipes, the real binary, a real S3 server over
//! HTTP and HTTPS, and the tools that people read captures with.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod any_log;
mod bad_input;
mod broken_disk;
mod cloudwatch;
mod damaged;
mod disk;
mod elsewhere;
mod envelopes;
mod exec;
mod fault_rig;

mod faults;
mod follow;
mod hostile;
mod hostile_fields;
mod intact;
mod kills;
mod lifecycle;
mod load;
mod merge;
mod objects;
mod outages;
mod payloads;
mod programs;
mod scene;
mod shutdown;
mod stored;
mod tls;
mod verify;
mod written;
