//! How the program can end without success: the sentence that is shown and the exit code.

/// Exit code of a failure while running.
pub(crate) const EXIT_FAILURE: u8 = 1;
/// Exit code of wrong usage or configuration (`EX_USAGE` of sysexits.h).
pub(crate) const EXIT_USAGE: u8 = 64;

/// Why the program ends without success. Texts are lower-case and read well after "error:".
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line, environment or configuration file is wrong.
    #[error("{0}")]
    Usage(String),
    /// Something failed while running.
    #[error("{0}")]
    Running(String),
    /// Wrong usage that the parser has shown already.
    #[error("wrong usage")]
    Shown,
}

impl Failure {
    /// The exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) | Failure::Shown => EXIT_USAGE,
            Failure::Running(_) => EXIT_FAILURE,
        }
    }
}
