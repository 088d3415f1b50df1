//! What the program is told: from flags, environment and file to one validated [`Config`](reassemble_pipeline::config::Config).
//!
//! Three steps, each of which can only fail with a sentence for its user:
//!
//! 1. [`args`] reads the command line into an [`Invocation`](args::Invocation);
//! 2. [`layers`] lays flags over environment over file over defaults, and parses what is on top into typed
//!    [`Settings`](settings::Settings);
//! 3. [`config`] checks what settings mean together, and makes the `Config`.
//!
//! Settings are declared in [`settings`] alone: what a flag accepts, its variable and its key in the file accept too. What values are, and what
//! they mean together for any program, is [`reassemble_settings`]'s.

pub(crate) mod args;
pub(crate) mod config;
pub(crate) mod environment;
pub(crate) mod file;
pub(crate) mod layers;
pub(crate) mod merge;
pub(crate) mod moment;
pub(crate) mod settings;
pub(crate) mod values;
pub(crate) mod verify;
