//! A destination's objects as whoever reads them back sees them: what a key says, and an object's bytes, hashed as they pass.

use std::io::{self, BufReader, Read};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use reassemble_formats::layout::{BatchEncoding, Partition};
use reassemble_store::{ContentHash, ObjectBody, ObjectKind, StoreError};
use tokio::runtime::Runtime;

/// Decompressed bytes that are read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// What a key says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Key<'k> {
    /// Exchanges. The hash of the stored bytes is in the name of those that this program writes.
    Batch { place: Partition, encoding: BatchEncoding, hash: Option<&'k str> },
    /// A large body. The hash of its bytes is its name.
    Body { hash: &'k str },
    /// None of this layout.
    Foreign,
}

impl Key<'_> {
    /// Reads a key relative to the destination's root.
    pub(crate) fn parse(key: &str) -> Key<'_> {
        let Some((folder, name)) = key.rsplit_once('/') else { return Key::Foreign };
        let Ok(place) = format!("{folder}/").parse::<Partition>() else { return Key::Foreign };
        if let Some(hash) = name.strip_suffix(".bin").filter(|hash| is_hex(hash, 64)) {
            return Key::Body { hash };
        }
        for encoding in [BatchEncoding::Gzip, BatchEncoding::Zstd, BatchEncoding::Plain] {
            if let Some(stem) = name.strip_suffix(encoding.extension()).and_then(|stem| stem.strip_suffix('.')) {
                let hash = stem.rsplit_once('-').map(|(_, hash)| hash).filter(|hash| is_hex(hash, 32));
                return Key::Batch { place, encoding, hash };
            }
        }
        Key::Foreign
    }
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// An object's bytes as they are stored, hashed and counted as they pass.
pub(crate) struct Raw<'r> {
    runtime: &'r Runtime,
    body: ObjectBody,
    piece: Bytes,
    pub(crate) hash: ContentHash,
    pub(crate) bytes: u64,
    /// Why the store did not give the rest.
    pub(crate) failed: Option<StoreError>,
}

impl<'r> Raw<'r> {
    pub(crate) fn new(runtime: &'r Runtime, body: ObjectBody, kind: ObjectKind) -> Self {
        Raw { runtime, body, piece: Bytes::new(), hash: ContentHash::of(kind), bytes: 0, failed: None }
    }

    /// Its lines, decompressed.
    ///
    /// # Errors
    /// Where no decompressor can be made.
    pub(crate) fn decoded(&mut self, encoding: BatchEncoding) -> io::Result<BufReader<Box<dyn Read + '_>>> {
        let decoded: Box<dyn Read + '_> = match encoding {
            BatchEncoding::Gzip => Box::new(MultiGzDecoder::new(self)),
            BatchEncoding::Zstd => Box::new(zstd::Decoder::new(self)?),
            BatchEncoding::Plain => Box::new(self),
        };
        Ok(BufReader::with_capacity(BUFFER_BYTES, decoded))
    }

    /// The next bytes; nothing at the end.
    ///
    /// # Errors
    /// What keeps the rest from being read.
    pub(crate) fn next_piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        let piece = self.runtime.block_on(self.body.chunk())?;
        if let Some(piece) = &piece {
            self.hash.update(piece);
            self.bytes += piece.len() as u64;
        }
        Ok(piece)
    }
}

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            if self.failed.is_some() {
                return Err(io::Error::other("the store failed"));
            }
            match self.next_piece() {
                Ok(Some(piece)) => self.piece = piece,
                Ok(None) => return Ok(0),
                Err(error) => self.failed = Some(error),
            }
        }
        let read = self.piece.len().min(buffer.len());
        buffer[..read].copy_from_slice(&self.piece.split_to(read));
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_what_an_object_is() {
        let folder = "retention=30d/service=a/date=2026-11-22/hour=05";
        let (half, whole) = ("0123456789abcdef".repeat(2), "0123456789abcdef".repeat(4));
        let kind = |name: &str| match Key::parse(&format!("{folder}/{name}")) {
            Key::Batch { encoding, hash, .. } => format!("{} {}", encoding.extension(), hash.unwrap_or("none")),
            Key::Body { hash } => format!("body {hash}"),
            Key::Foreign => "foreign".to_owned(),
        };
        assert_eq!(kind(&format!("20261122T051530123456Z-{half}.ndjson.gz")), format!("ndjson.gz {half}"));
        assert_eq!(kind(&format!("x-{half}.ndjson")), format!("ndjson {half}"));
        assert_eq!(kind("copy.ndjson.zst"), "ndjson.zst none");
        assert_eq!(kind(&format!("{whole}.bin")), format!("body {whole}"));
        for name in ["x.bin", "x.json", "ndjson", ".ndjson.gz.tmp"] {
            assert_eq!(kind(name), "foreign", "{name}");
        }
        assert_eq!(Key::parse("a.ndjson"), Key::Foreign);
        assert_eq!(Key::parse("elsewhere/a.ndjson"), Key::Foreign);
    }
}
