//! The key file: read once, at the start.
//!
//! What is wrong with it is told by line, never by what stands there.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use reassemble_pipeline::config::KeyRing;

/// Largest key file in bytes: what as many keys as there may be need, with long lists of services.
const MOST_BYTES: u64 = 1 << 20;
/// The mode bits that let everyone read or write.
const EVERYONE: u32 = 0o006;

/// Reads the keys of a file, and warns where everyone on the machine may read or write it. The error is a fragment.
pub(super) fn read(path: &Path) -> Result<KeyRing, String> {
    let (text, mode) = text_and_mode(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => "it is no text".to_owned(),
        io::ErrorKind::FileTooLarge => "it is no key file: larger than 1MiB".to_owned(),
        _ => error.to_string(),
    })?;
    let keys = KeyRing::parse(&text).map_err(|error| error.to_string())?;
    if mode & EVERYONE != 0 {
        tracing::warn!(
            "everyone on this machine may read or change the keys in {path}: chmod 600 {path}",
            path = path.display()
        );
    }
    Ok(keys)
}

fn text_and_mode(path: &Path) -> io::Result<(String, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut text = String::new();
    let read = file.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MOST_BYTES { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok((text, mode)) }
}
