//! What the Lambda extension costs a function: the layer's own binary in a fake of Lambda, into an S3 server that is a process of its own.
//!
//! - [`layer`] makes the layer's zip file.
//! - [`start`] times it from the start of its process until it is registered and subscribed.
//! - [`environment`] is an environment of Lambda with the extension in it, and times what each invocation costs.
//! - [`printer`] makes what the function prints.
//! - [`verdict`] makes bars of what came out.
//!
//! # What the times are
//!
//! An invocation's lines are handed over in POSTs of the largest size, and `platform.runtimeDone` right behind them, without the pauses that Lambda has
//! between: so what reading them takes is in the added time too, as far as it was not done before. The added time ends where the extension asks for the
//! next event. Lambda sends the response before that, when the runtime is done: what is added keeps the environment from its next request alone.

pub mod environment;
pub mod layer;
pub mod printer;
pub mod start;
pub mod verdict;

use std::fmt;

/// When the extension stores, as `REASSEMBLE_FLUSH` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// At the end of each invocation.
    End,
    /// At the end of the first invocation after a second.
    Periodic,
    /// When the environment ends.
    Shutdown,
}

impl Flush {
    /// All of them, the default first.
    pub const ALL: [Flush; 3] = [Flush::End, Flush::Periodic, Flush::Shutdown];
}

impl fmt::Display for Flush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flush::End => "end",
            Flush::Periodic => "periodic:1",
            Flush::Shutdown => "shutdown",
        })
    }
}
