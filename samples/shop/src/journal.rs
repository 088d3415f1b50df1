//! The shop's ordinary log lines, on the same output as its capture lines: a time, and what was said.
//!
//! Invariants: each line is one write, so that it never falls within a capture line; what clients sent stands in a line as [`Style`] says.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use serde_json::{Value, json};

/// How a line shows what a client sent. Who sends a capture line's text can make it look like one wherever it is printed; see each style.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// In quotes and escaped, behind a time and a level: never taken for a capture line
    #[default]
    Quoted,
    /// The whole line a JSON object, as JSON loggers write: taken for one, unless capture lines are signed
    Json,
    /// As it came, with its line ends: taken for one, unless capture lines are signed
    Raw,
}

/// A handle to the log; clones write to the same.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    path: Option<PathBuf>,
    file: Arc<Mutex<File>>,
    style: Style,
}

impl Journal {
    /// Opens a file for appending, or standard output.
    pub(crate) fn open(path: Option<&Path>, style: Style) -> io::Result<Journal> {
        let file = match path {
            Some(path) => append(path)?,
            None => File::from(io::stdout().as_fd().try_clone_to_owned()?),
        };
        Ok(Journal { path: path.map(Path::to_owned), file: Arc::new(Mutex::new(file)), style })
    }

    /// Writes one line: what a client sent, and what the shop has to say of it. A log that can't be written is no reason to serve nobody.
    pub(crate) fn line(&self, sent: &str, of_it: &str) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let time = format!("{}.{:06}", since.as_secs(), since.subsec_micros());
        let line = match self.style {
            Style::Quoted => format!("{time} INFO {} {of_it}\n", Value::from(sent)),
            Style::Json => format!("{}\n", json!({"time": time, "level": "info", "msg": format!("{sent} {of_it}")})),
            Style::Raw => format!("{time} INFO {sent} {of_it}\n"),
        };
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
