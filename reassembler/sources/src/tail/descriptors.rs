//! Keeping the number of open descriptors within bounds.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::debug;

use super::Tail;
use super::identity::{Anchor, Stat};
use super::input::Input;
use crate::InputId;

/// More descriptors than this are never held unless asked for.
const DEFAULT_MAX: u64 = 4096;

/// Fewer make no sense, whatever the system's limit.
const MIN: u64 = 2;

/// The number of descriptors to hold, after raising the soft limit to twice that where the hard one allows.
pub(super) fn limit(wanted: Option<usize>) -> usize {
    let wanted = wanted.map_or(DEFAULT_MAX, |wanted| wanted as u64).max(MIN);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted.min(256) as usize };
    let mut allowed = soft;
    let enough = wanted.saturating_mul(2).min(hard);
    if soft < enough {
        match setrlimit(Resource::RLIMIT_NOFILE, enough, hard) {
            Ok(()) => allowed = enough,
            Err(error) => debug!(%error, soft, "the limit of open files could not be raised"),
        }
    }
    wanted.min(allowed / 2).max(MIN) as usize
}

/// Opens a file for reading. Never waits for the other end of a named pipe.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits()).open(path)
}

/// A descriptor of the input's file: its own, or, where that was closed, a new one, if the file is still where it was.
pub(super) fn view(input: &Input) -> io::Result<File> {
    if let Some(file) = &input.file {
        return file.try_clone();
    }
    let file = open(&input.real)?;
    match Stat::from(&file.metadata()?).key == input.key {
        true => Ok(file),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

impl Tail {
    /// Gives an input its descriptor, closing another's where there are too many.
    pub(super) fn attach(&mut self, id: InputId, file: File) {
        self.detach(id);
        while self.open_files >= self.max_open_files {
            if !self.park_one(id) {
                break;
            }
        }
        if let Some(input) = self.inputs.get_mut(&id) {
            input.file = Some(file);
            self.open_files += 1;
        }
    }

    /// Closes an input's descriptor, if it has one.
    pub(super) fn detach(&mut self, id: InputId) {
        if let Some(input) = self.inputs.get_mut(&id)
            && input.file.take().is_some()
        {
            self.open_files -= 1;
            input.anchor = Anchor::Digest(input.anchor.digest());
        }
    }

    /// Closes the descriptor of the file that was silent longest, of those already rotated first. Files to which the descriptor is the only
    /// way keep it. False where there is none to close.
    fn park_one(&mut self, but: InputId) -> bool {
        let silent = self
            .inputs
            .values()
            .filter(|input| input.file.is_some() && !input.deleted && !input.out_of_sight && input.id != but)
            .min_by_key(|input| (input.queued, input.rotated.is_none(), input.active));
        let Some(id) = silent.map(|input| input.id) else { return false };
        self.detach(id);
        true
    }
}
