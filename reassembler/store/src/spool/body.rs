//! Large bodies: written to a spool file of their own as they come, and an object from the commit on.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use reassemble_formats::layout::Partition;
use sha2::{Digest, Sha256};

use super::files::Disk;
use crate::error::StateError;

/// Bytes between two looks at the free space.
const CHECK_BYTES: u64 = 1 << 20;

/// A body being written; several may be under way beside each other and beside appends. Dropping one discards it;
/// [`Spool::finish_body`](super::Spool::finish_body) keeps it.
pub struct BodyWriter {
    pub(crate) file_no: u64,
    pub(crate) partition: Partition,
    pub(crate) path: PathBuf,
    file: Option<File>,
    disk: Disk,
    sha256: Sha256,
    crc32: crc32fast::Hasher,
    bytes: u64,
    checked: u64,
}

impl std::fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyWriter").field("path", &self.path).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// A body that is written: its file, and what is known of its bytes.
pub(crate) struct FinishedBody {
    pub(crate) file: File,
    pub(crate) bytes: u64,
    pub(crate) sha256: [u8; 32],
    pub(crate) crc32: u32,
}

impl BodyWriter {
    pub(crate) fn new(file_no: u64, partition: Partition, path: PathBuf, file: File, disk: Disk) -> Self {
        Self {
            file_no,
            partition,
            path,
            file: Some(file),
            disk,
            sha256: Sha256::new(),
            crc32: crc32fast::Hasher::new(),
            bytes: 0,
            checked: 0,
        }
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a piece.
    ///
    /// # Errors
    /// [`StateError::DiskFull`] where there is no room: the piece was not taken and may be offered again. Otherwise the body is lost.
    pub(crate) fn write(&mut self, piece: &[u8]) -> Result<(), StateError> {
        if self.bytes == 0 || self.bytes - self.checked >= CHECK_BYTES || piece.len() as u64 >= CHECK_BYTES {
            self.disk.check_free(1)?;
            self.checked = self.bytes;
        }
        let file = self.file.as_ref().ok_or(StateError::Stopped)?;
        file.write_all_at(piece, self.bytes).map_err(|source| self.disk.classify("write", &self.path, source))?;
        self.sha256.update(piece);
        self.crc32.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<FinishedBody, StateError> {
        let file = self.file.take().ok_or(StateError::Stopped)?;
        // A retried write may have left more behind the end than was taken.
        file.set_len(self.bytes).map_err(StateError::write("cut", &self.path))?;
        let sha256 = std::mem::take(&mut self.sha256).finalize().into();
        Ok(FinishedBody { file, bytes: self.bytes, sha256, crc32: std::mem::take(&mut self.crc32).finalize() })
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        if self.file.is_some()
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            // The next start sweeps it.
            tracing::debug!(path = %self.path.display(), %error, "cannot remove an unfinished body");
        }
    }
}
