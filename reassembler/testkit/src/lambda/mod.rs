//! A fake of Lambda, over real HTTP.
//!
//! - [`platform`] is what an extension talks to: it registers, subscribes to telemetry, and asks for events.
//! - [`runtime_api`] is what a function talks to.

pub mod platform;
pub mod runtime_api;
