//! What settings are, wherever they are written: the values that they take, what is told where one is wrong, what they mean together, the
//! defaults that hold everywhere, and how environment variables are named.
//!
//! Every program declares settings of its own: the command as flags with variables, a file and help, the Lambda extension as variables
//! alone, in a binary that has to stay small. Both take what they need from here, so that a setting of one name is one setting. Each value
//! parses from what a person writes and is in range once it exists. Nothing here reads flags or configuration files; `clap` is behind a feature.

pub mod defaults;
pub mod key_file;
mod nearest;
pub mod quantities;
pub mod ranges;
pub mod values;
pub mod variables;
pub mod words;

pub use nearest::nearest;

/// Why a value was refused: a lower-case fragment that reads well after "invalid value '12' for '--batch-age':", and says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(String);

/// Refuses a value.
///
/// # Errors
/// Always: the fragment as a [`BadValue`].
pub fn bad<T>(why: impl Into<String>) -> Result<T, BadValue> {
    Err(BadValue(why.into()))
}
