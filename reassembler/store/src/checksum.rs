//! Reading a file once for what its bytes are.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::Damage;

const BUFFER_BYTES: usize = 64 << 10;

/// What a file's bytes are.
pub(crate) struct Checksum {
    pub(crate) bytes: u64,
    pub(crate) crc32: u32,
    pub(crate) sha256: [u8; 32],
}

impl Checksum {
    /// How a file that should have had `want` bytes, and has not these, is damaged.
    pub(crate) fn damage(&self, want: u64) -> Damage {
        if self.bytes < want { Damage::Short { have: self.bytes, want } } else { Damage::Changed }
    }
}

/// Length, CRC-32 and SHA-256 of a file.
pub(crate) fn checksum(path: &Path) -> io::Result<Checksum> {
    let (mut sha256, mut crc32) = (Sha256::new(), crc32fast::Hasher::new());
    let bytes = read(path, |piece| {
        sha256.update(piece);
        crc32.update(piece);
    })?;
    Ok(Checksum { bytes, crc32: crc32.finalize(), sha256: sha256.finalize().into() })
}

/// Length and CRC-32 of a file: a small part of the cost of its SHA-256.
pub(crate) fn crc32(path: &Path) -> io::Result<(u64, u32)> {
    let mut crc32 = crc32fast::Hasher::new();
    let bytes = read(path, |piece| crc32.update(piece))?;
    Ok((bytes, crc32.finalize()))
}

fn read(path: &Path, mut see: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(n) => {
                see(&buffer[..n]);
                bytes += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
