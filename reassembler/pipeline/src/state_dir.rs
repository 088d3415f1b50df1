//! Where state lives when nobody says where.
//!
//! The state belongs to the destination: for a directory it lies within it (`.reassemble/`), so that who deletes the captures deletes what
//! is remembered of them; for a bucket under `/var/lib/reassemble` or the user's state folder, by bucket and prefix.
//!
//! Files are positions and must find the same state again: `main/`. Pipes have none, so several may run at once, each taking the first of
//! `pipe-1/`, `pipe-2/`, … that is free, and with it what a crash left there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use reassemble_formats::layout::{encode_value, hex};
use sha2::{Digest, Sha256};

use crate::config::DestinationConfig;

/// The folder in a destination directory.
const IN_DESTINATION: &str = ".reassemble";
/// Where a system service keeps state (Filesystem Hierarchy Standard, 5.8).
const SYSTEM: &str = "/var/lib/reassemble";
/// How many pipes may run at once on one default state.
pub(crate) const PIPE_SLOTS: u32 = 64;

/// The folder of all state for a destination, where nobody names one.
pub fn root(to: &DestinationConfig) -> PathBuf {
    match to {
        DestinationConfig::Dir(path) => path.join(IN_DESTINATION),
        DestinationConfig::S3 { bucket, prefix, .. } => base().join(bucket_folder(bucket, prefix)),
    }
}

/// The folder for files, which are found again by position.
pub(crate) fn for_files(to: &DestinationConfig) -> PathBuf {
    root(to).join("main")
}

/// The folder of one pipe, counted from 1.
pub(crate) fn for_pipe(to: &DestinationConfig, slot: u32) -> PathBuf {
    root(to).join(format!("pipe-{slot}"))
}

/// A name that people recognise, and a hash that no two destinations share.
fn bucket_folder(bucket: &str, prefix: &str) -> String {
    let hash = hex(&Sha256::digest(format!("{bucket}\n{prefix}").as_bytes())[..4]);
    format!("s3-{}-{hash}", encode_value(bucket))
}

fn base() -> PathBuf {
    let system = Path::new(SYSTEM);
    if nix::unistd::geteuid().is_root() || is_writable(system) {
        return system.to_owned();
    }
    let named = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    named("XDG_STATE_HOME")
        .or_else(|| named("HOME").map(|home| home.join(".local/state")))
        .map_or_else(|| system.to_owned(), |state| state.join("reassemble"))
}

fn is_writable(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|metadata| metadata.is_dir())
        && nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_belongs_to_its_destination() {
        let dir = DestinationConfig::Dir("captures".into());
        assert_eq!(for_files(&dir), Path::new("captures/.reassemble/main"));
        assert_eq!(for_pipe(&dir, 2), Path::new("captures/.reassemble/pipe-2"));
        assert_ne!(bucket_folder("b", "x"), bucket_folder("b", "y"));
        assert_ne!(bucket_folder("a/b", "c"), bucket_folder("a", "b/c"));
        assert!(!bucket_folder("../x", "").contains('/'));
    }
}
