//! The follower against real files: every way in which files are rotated, cut, compressed, replaced and found again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod archives;
mod discovery;
mod events;
mod lines;
mod model;
mod restart;
mod rig;
mod rotation;
mod truncation;
