//! Reading a file once for what its bytes are, and the hash by which objects are named and told apart.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::Damage;
use crate::object::ObjectKind;

const BUFFER_BYTES: usize = 64 << 10;

/// The hash of an object's bytes: of a batch BLAKE3, which costs a fifth of SHA-256; of a large body SHA-256, which stands in the exchange that
/// refers to it.
#[derive(Debug)]
pub struct ContentHash(Hasher);

#[derive(Debug)]
enum Hasher {
    Blake3(Box<blake3::Hasher>),
    Sha256(Box<Sha256>),
}

impl ContentHash {
    /// The hash of an object of this kind, before its first byte.
    pub fn of(kind: ObjectKind) -> Self {
        Self(match kind {
            ObjectKind::Batch => Hasher::Blake3(Box::default()),
            ObjectKind::Body => Hasher::Sha256(Box::default()),
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, piece: &[u8]) {
        match &mut self.0 {
            Hasher::Blake3(hash) => {
                hash.update(piece);
            }
            Hasher::Sha256(hash) => hash.update(piece),
        }
    }

    /// The hash of all bytes.
    pub fn finish(self) -> [u8; 32] {
        match self.0 {
            Hasher::Blake3(hash) => *hash.finalize().as_bytes(),
            Hasher::Sha256(hash) => hash.finalize().into(),
        }
    }
}

/// What a file's bytes are.
pub(crate) struct Checksum {
    pub(crate) bytes: u64,
    pub(crate) crc32: u32,
    pub(crate) hash: [u8; 32],
}

impl Checksum {
    /// How a file that should have had `want` bytes, and has not these, is damaged.
    pub(crate) fn damage(&self, want: u64) -> Damage {
        if self.bytes < want { Damage::Short { have: self.bytes, want } } else { Damage::Changed }
    }
}

/// Length, CRC-32 and hash of a file.
pub(crate) fn checksum(path: &Path, mut hash: ContentHash) -> io::Result<Checksum> {
    let mut crc32 = crc32fast::Hasher::new();
    let bytes = read(path, |piece| {
        hash.update(piece);
        crc32.update(piece);
    })?;
    Ok(Checksum { bytes, crc32: crc32.finalize(), hash: hash.finish() })
}

/// Length and CRC-32 of a file.
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
