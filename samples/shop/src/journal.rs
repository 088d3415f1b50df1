//! The shop's ordinary log lines, on the same output as its capture lines: a time, and what was said.
//!
//! Invariant: each line is one write, so that it never falls within a capture line.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// A handle to the log; clones write to the same.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    path: Option<PathBuf>,
    file: Arc<Mutex<File>>,
}

impl Journal {
    /// Opens a file for appending, or standard output.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Journal> {
        let file = match path {
            Some(path) => append(path)?,
            None => File::from(io::stdout().as_fd().try_clone_to_owned()?),
        };
        Ok(Journal { path: path.map(Path::to_owned), file: Arc::new(Mutex::new(file)) })
    }

    /// Writes one line. A log that can't be written is no reason to serve nobody.
    pub(crate) fn line(&self, text: &str) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let line = format!("{}.{:06} INFO {text}\n", since.as_secs(), since.subsec_micros());
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).ok();
    }

    /// Opens the path again, after the file there was renamed away.
    pub(crate) fn reopen(&self) {
        if let Some(Ok(file)) = self.path.as_deref().map(append) {
            *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}
