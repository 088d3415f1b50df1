//! What people read: the log, the progress bar or status line, and the summary at the end.
//!
//! All of it goes to standard error (a JSON summary goes to standard output where that is free). Nothing that came from a log
//! reaches a terminal unescaped.

pub(crate) mod log;
pub(crate) mod printable;
pub(crate) mod progress;
pub(crate) mod screen;
pub(crate) mod summary;
