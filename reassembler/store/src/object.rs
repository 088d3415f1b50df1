//! Objects: what a destination is asked to keep.

use std::path::PathBuf;

/// What an object holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// Exchanges, a line each.
    Batch,
    /// One large body, which a batch with a higher object number refers to.
    Body,
}

/// A finished file of the spool that may be uploaded: its bytes never change again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedObject {
    /// Counts up in the order of sealing; a body's is lower than that of every batch that refers to it.
    pub object_no: u64,
    /// What it holds.
    pub kind: ObjectKind,
    /// The key, relative to the destination's root. Made by `formats::layout`, so it is safe as a path.
    pub key: String,
    /// The spool file.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Exchanges in it; none in a body.
    pub lines: u64,
    /// Hash of its bytes, which its key holds too: of a batch BLAKE3, of a body SHA-256.
    pub hash: [u8; 32],
    /// CRC-32 of its bytes: the cheap look that tells a damaged spool file before it is uploaded.
    pub crc32: u32,
    /// When the file was written last (seconds and nanoseconds of its time of modification), where this process has written it: while that
    /// stays it need not be read again before it is uploaded.
    pub written: Option<(i64, i64)>,
}

/// Where a large body will be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyRef {
    /// The key, relative to the destination's root.
    pub key: String,
    /// SHA-256 of the body, as lowercase hex.
    pub sha256: String,
    /// Length of the body.
    pub bytes: u64,
}
