//! The key file: read once, at the start.
//!
//! What is wrong with it is told by line, never by what stands there.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use reassemble_pipeline::config::KeyRing;

use crate::{BadValue, bad};

/// Largest key file in bytes: what as many keys as there may be need, with long lists of services.
const MOST_BYTES: u64 = 1 << 20;
/// The mode bits that let everyone read or write.
const EVERYONE: u32 = 0o006;

/// What a key file holds.
#[derive(Debug)]
pub struct KeyFile {
    /// The keys.
    pub keys: KeyRing,
    /// Whether everyone on the machine may read or change it.
    pub is_everyones: bool,
}

impl KeyFile {
    /// Reads the keys of a file.
    ///
    /// # Errors
    /// A file that cannot be read or is no key file, with the line that is wrong.
    pub fn read(path: &Path) -> Result<KeyFile, BadValue> {
        let (text, mode) = match text_and_mode(path) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return bad("it is no text"),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return bad("it is no key file: larger than 1MiB");
            }
            Err(error) => return bad(error.to_string()),
        };
        match KeyRing::parse(&text) {
            Ok(keys) => Ok(KeyFile { keys, is_everyones: mode & EVERYONE != 0 }),
            Err(error) => bad(error.to_string()),
        }
    }
}

fn text_and_mode(path: &Path) -> io::Result<(String, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut text = String::new();
    let read = file.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MOST_BYTES { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok((text, mode)) }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn tells_whether_everyone_can_read_the_keys() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "2026-11 8d0f3c2e9a7b465180d2b6f4c1e3a597 checkout\n").unwrap();
        for (mode, is_everyones) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
            std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            let read = KeyFile::read(file.path()).unwrap();
            assert_eq!(read.is_everyones, is_everyones, "{mode:o}");
            assert!(read.keys.find("2026-11").is_some());
        }
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (content, why) in [
            (vec![0xff], "it is no text"),
            (vec![b'#'; 2 << 20], "it is no key file: larger than 1MiB"),
            (Vec::new(), "there is no key in it"),
        ] {
            std::fs::write(file.path(), content).unwrap();
            let said = KeyFile::read(file.path()).unwrap_err().to_string();
            assert!(said.starts_with(why), "{said}");
        }
        assert!(KeyFile::read(Path::new("/no/such")).unwrap_err().to_string().starts_with("No such file"));
    }
}
