//! The client and the poller against servers over real sockets: moto, and one that answers by a script.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod moto;
mod reading;
mod rig;
mod server;
