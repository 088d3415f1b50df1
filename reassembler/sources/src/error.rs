//! What can be wrong with an input before anything is read, or with what an earlier run left.

use std::io;
use std::path::PathBuf;

/// Why an input could not be set up. None of these is cured by trying again at once: they are for people.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be opened or looked at.
    #[error("cannot read {}: {source}", crate::error::shown(path))]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A directory stands where a file was asked for.
    #[error(
        "cannot read {}: it is a directory; name a file, or a pattern such as {}/*.log",
        crate::error::shown(path),
        crate::error::shown(path)
    )]
    Directory {
        /// Which directory.
        path: PathBuf,
    },
    /// A pattern is not a valid glob.
    #[error("cannot follow `{pattern}`: {why}")]
    Pattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// The position that an earlier run kept for an input cannot be understood.
    #[error("cannot continue input {input}: its stored position is unreadable ({why})")]
    Record {
        /// The input's number.
        input: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The position was stored by a version of this program that this one does not know.
    #[error(
        "cannot continue input {input}: its position was stored in format {found}, this program knows up to {known}"
    )]
    RecordVersion {
        /// The input's number.
        input: u64,
        /// The record's format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// No thread could be started for a pipe.
    #[error("cannot start a thread to read {name}: {source}")]
    Thread {
        /// The input's name.
        name: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// A path as people may see it: see [`printable`].
pub(crate) fn shown(path: &std::path::Path) -> String {
    printable(&path.to_string_lossy())
}

/// Text that somebody else chose as people may see it: whatever it holds, no control character reaches a terminal or a log.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_drive_a_terminal() {
        assert_eq!(shown(std::path::Path::new("/a/\u{1b}[31mb\n.log")), "/a/\\u{1b}[31mb\\n.log");
        assert_eq!(shown(std::path::Path::new("/ä/b c.log")), "/ä/b c.log");
    }
}
