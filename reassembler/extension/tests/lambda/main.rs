//! The real extension in a fake of Lambda, into a real S3 server: every capture once and whole, whatever the platform does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damaged;
mod delivery;
mod environment;
mod golden;
mod outages;
mod scene;
