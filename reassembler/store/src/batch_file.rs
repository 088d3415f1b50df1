//! A batch that is written at once, beside the spool: for lines that are at the destination already and only move to another object.
//!
//! Its bytes depend on its lines and the encoding alone, so that writing it again gives the same object.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use reassemble_formats::layout::{BatchEncoding, hex};

use crate::checksum::ContentHash;
use crate::object::{ObjectKind, SealedObject};
use crate::spool::{Compression, Encoder};

/// Uncompressed bytes of a block, which is compressed as one.
const BLOCK_BYTES: usize = 640 << 10;

/// A batch that is being written.
#[derive(Debug)]
pub struct BatchFile {
    path: PathBuf,
    file: File,
    encoding: BatchEncoding,
    encoder: Encoder,
    block: Vec<u8>,
    hash: ContentHash,
    crc32: crc32fast::Hasher,
    bytes: u64,
}

impl BatchFile {
    /// Begins a batch in a new file of this name. One that is there loses the name alone: a directory may have it as an object, by a link.
    ///
    /// # Errors
    /// Where the file cannot be made.
    pub fn create(path: &Path, encoding: BatchEncoding) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self {
            path: path.to_owned(),
            file: File::create_new(path)?,
            encoding,
            encoder: Encoder::new(Compression::Gzip { level: 1 }),
            block: Vec::new(),
            hash: ContentHash::of(ObjectKind::Batch),
            crc32: crc32fast::Hasher::new(),
            bytes: 0,
        })
    }

    /// Appends lines, or a piece of one.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn append(&mut self, mut lines: &[u8]) -> io::Result<()> {
        while !lines.is_empty() {
            let (now, later) = lines.split_at(lines.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend_from_slice(now);
            lines = later;
            if self.block.len() == BLOCK_BYTES {
                self.write_block()?;
            }
        }
        Ok(())
    }

    fn write_block(&mut self) -> io::Result<()> {
        let stored = self.encoder.encode(self.encoding, &self.block, Vec::new())?;
        self.block.clear();
        self.hash.update(&stored);
        self.crc32.update(&stored);
        self.bytes += stored.len() as u64;
        self.file.write_all(&stored)
    }

    /// Ends it, as an object in this folder of the destination whose name begins so; it holds so many lines.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn finish(mut self, folder: &str, begin: &str, lines: u64) -> io::Result<SealedObject> {
        if !self.block.is_empty() {
            self.write_block()?;
        }
        self.file.sync_all()?;
        let hash = self.hash.finish();
        Ok(SealedObject {
            object_no: 0,
            kind: ObjectKind::Batch,
            key: format!("{folder}/{begin}-{}.{}", hex(&hash[..16]), self.encoding.extension()),
            path: self.path,
            bytes: self.bytes,
            lines,
            hash,
            crc32: self.crc32.finalize(),
            written: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_same_lines_give_the_same_object_however_they_came() {
        let dir = tempfile::tempdir().unwrap();
        let lines = (0..200_000).map(|number| format!("{{\"n\":{number}}}\n")).collect::<String>();
        for encoding in [BatchEncoding::Gzip, BatchEncoding::Zstd, BatchEncoding::Plain] {
            let write = |step: usize| {
                let mut file = BatchFile::create(&dir.path().join("batch"), encoding).unwrap();
                lines.as_bytes().chunks(step).for_each(|piece| file.append(piece).unwrap());
                file.finish("retention=7d", "t", 200_000).unwrap()
            };
            let object = write(7);
            let bytes = fs::read(&object.path).unwrap();
            let link = dir.path().join(object.key.replace('/', "-"));
            fs::hard_link(&object.path, &link).unwrap();
            assert_eq!(object, write(1 << 20));
            drop(BatchFile::create(&object.path, encoding).unwrap());
            assert_eq!(fs::read(&link).unwrap(), bytes);
            assert_eq!(object.hash, *blake3::hash(&bytes).as_bytes());
            let mut read = String::new();
            match encoding {
                BatchEncoding::Gzip => flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut read).unwrap(),
                BatchEncoding::Zstd => zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut read).unwrap(),
                BatchEncoding::Plain => (&bytes[..]).read_to_string(&mut read).unwrap(),
            };
            assert_eq!(read, lines);
        }
    }
}
