//! Which file is which.
//!
//! While a descriptor is open, device and inode number are certain. Without one (after a restart, or where descriptors were short)
//! numbers are a hint only: an inode may have been used again (which its time of birth tells, where there is one), a file rewritten. Then two digests of what was read decide: the
//! *fingerprint*, of the file's first bytes, and the *anchor*, of the bytes right before the position. Both cover only bytes that
//! were consumed, so a file that merely grows always agrees with them.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

/// A fingerprint covers at most this many bytes.
pub(super) const FINGERPRINT_BYTES: usize = 1024;

/// An anchor covers at most this many bytes: enough to hold a line's timestamp, few enough to be read with every block.
pub(super) const ANCHOR_BYTES: usize = 256;

/// Device and inode number, and the time of birth, which tells an inode that was used again; 0 where the file system keeps none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileKey {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) born_ns: i64,
}

/// What of a file's metadata tells that it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) key: FileKey,
    pub(super) size: u64,
    pub(super) mtime_ns: i64,
    pub(super) ctime_ns: i64,
    pub(super) links: u64,
    pub(super) regular: bool,
}

impl From<&Metadata> for Stat {
    fn from(meta: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, fraction: i64| seconds.saturating_mul(1_000_000_000).saturating_add(fraction);
        let born = meta.created().ok().and_then(|born| born.duration_since(SystemTime::UNIX_EPOCH).ok());
        let born_ns = born.and_then(|born| i64::try_from(born.as_nanos()).ok()).unwrap_or(0);
        Self {
            key: FileKey { dev: meta.dev(), ino: meta.ino(), born_ns },
            size: meta.len(),
            mtime_ns: nanoseconds(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: nanoseconds(meta.ctime(), meta.ctime_nsec()),
            links: meta.nlink(),
            regular: meta.is_file(),
        }
    }
}

/// The length of some bytes and half of their SHA-256. Of log content, so nothing of it can be read from a stored position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) len: u32,
    pub(super) hash: [u8; 16],
}

impl Digest {
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        let mut hash = [0; 16];
        for (short, long) in hash.iter_mut().zip(Sha256::digest(bytes)) {
            *short = long;
        }
        Self { len: u32::try_from(bytes.len()).unwrap_or(u32::MAX), hash }
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }
}

/// The bytes right before a position: themselves where the file was looked at, their digest where only an earlier run did.
#[derive(Clone, Debug)]
pub(super) enum Anchor {
    Bytes(Vec<u8>),
    Digest(Digest),
}

impl Anchor {
    pub(super) fn none() -> Self {
        Anchor::Bytes(Vec::new())
    }

    pub(super) fn digest(&self) -> Digest {
        match self {
            Anchor::Bytes(bytes) => Digest::of(bytes),
            Anchor::Digest(digest) => *digest,
        }
    }

    /// The anchor behind the last of `bytes`, which follow this one's.
    pub(super) fn advance(&mut self, bytes: &[u8]) {
        let Anchor::Bytes(kept) = self else {
            *self = Anchor::Bytes(bytes[bytes.len().saturating_sub(ANCHOR_BYTES)..].to_vec());
            return;
        };
        if bytes.len() >= ANCHOR_BYTES {
            kept.clear();
        } else {
            let surplus = (kept.len() + bytes.len()).saturating_sub(ANCHOR_BYTES);
            kept.drain(..surplus);
        }
        kept.extend_from_slice(&bytes[bytes.len().saturating_sub(ANCHOR_BYTES)..]);
    }
}

/// Fills `buf` from `offset` as far as the file goes; returns how much there was.
pub(super) fn read_at(file: &File, mut buf: &mut [u8], mut offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while !buf.is_empty() {
        match file.read_at(buf, offset) {
            Ok(0) => break,
            Ok(read) => {
                filled += read;
                offset += read as u64;
                buf = &mut buf[read..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Up to `len` bytes from `offset`.
pub(super) fn bytes_at(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let read = read_at(file, &mut bytes, offset)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The bytes that anchor `position`.
pub(super) fn anchor_at(file: &File, position: u64) -> io::Result<Vec<u8>> {
    let len = position.min(ANCHOR_BYTES as u64);
    bytes_at(file, position - len, len as usize)
}

/// The fingerprint of a file that was consumed up to `position`.
pub(super) fn fingerprint_at(file: &File, position: u64) -> io::Result<Digest> {
    Ok(Digest::of(&bytes_at(file, 0, position.min(FINGERPRINT_BYTES as u64) as usize)?))
}

/// Whether the file still begins with what the fingerprint covers.
pub(super) fn begins_alike(file: &File, fingerprint: &Digest) -> io::Result<bool> {
    Ok(Digest::of(&bytes_at(file, 0, fingerprint.len())?) == *fingerprint)
}

/// Whether the file holds, up to `position`, what was read: by size, fingerprint and anchor.
pub(super) fn agrees(file: &File, position: u64, fingerprint: &Digest, anchor: &Digest) -> io::Result<bool> {
    if file.metadata()?.len() < position || u64::from(anchor.len) > position {
        return Ok(false);
    }
    let before = bytes_at(file, position - u64::from(anchor.len), anchor.len())?;
    Ok(Digest::of(&before) == *anchor && begins_alike(file, fingerprint)?)
}

/// Whether `copy` holds the first bytes of `original`, told by its first and its last ones. A copy that is still being made does.
pub(super) fn is_beginning_of(copy: &File, original: &File) -> io::Result<bool> {
    let size = copy.metadata()?.len();
    if size == 0 || size > original.metadata()?.len() {
        return Ok(false);
    }
    let same = |offset: u64, len: usize| -> io::Result<bool> {
        let of_copy = bytes_at(copy, offset, len)?;
        Ok(of_copy.len() == len && of_copy == bytes_at(original, offset, len)?)
    };
    let head = size.min(FINGERPRINT_BYTES as u64) as usize;
    let tail = size.min(4 * ANCHOR_BYTES as u64) as usize;
    Ok(same(0, head)? && same(size - tail as u64, tail)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_keeps_the_last_bytes_however_they_came() {
        let all: Vec<u8> = (0..2000u32).map(|number| (number % 251) as u8).collect();
        for step in [1, 7, 100, 255, 256, 257, 1000] {
            let mut anchor = Anchor::none();
            for chunk in all.chunks(step) {
                anchor.advance(chunk);
            }
            assert_eq!(anchor.digest(), Digest::of(&all[all.len() - ANCHOR_BYTES..]), "in steps of {step}");
        }
    }
}
