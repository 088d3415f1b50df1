//! Compression of blocks: one block is one gzip member or one zstd frame, so a batch is the blocks one after another.
//!
//! The output depends on the block, the encoding and the level alone (no time, no name), so that replayed appends give equal bytes.

use flate2::{Compress, Compression as Level, FlushCompress, Status};
use reassemble_formats::layout::BatchEncoding;

use super::config::Compression;

/// magic, deflate, no flags, no time, no extra flags, unknown system
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The compressors, kept between blocks because making one costs as much as a small block.
pub(crate) struct Encoder {
    gzip_level: u32,
    zstd_level: i32,
    deflate: Option<Compress>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("gzip_level", &self.gzip_level).field("zstd_level", &self.zstd_level).finish()
    }
}

impl Encoder {
    /// An encoder for the configured compression; a batch of another encoding (opened before the configuration changed) gets that
    /// encoding's usual level.
    pub(crate) fn new(compression: Compression) -> Self {
        let mut encoder = Self { gzip_level: 6, zstd_level: 3, deflate: None, zstd: None };
        match compression {
            Compression::Gzip { level } => encoder.gzip_level = level.min(9),
            Compression::Zstd { level } => encoder.zstd_level = level,
            Compression::None => {}
        }
        encoder
    }

    /// Appends the encoded block to `out`.
    pub(crate) fn encode(&mut self, encoding: BatchEncoding, block: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        match encoding {
            BatchEncoding::Plain => {
                out.extend_from_slice(block);
                Ok(())
            }
            BatchEncoding::Gzip => self.gzip(block, out),
            BatchEncoding::Zstd => self.zstd(block, out),
        }
    }

    fn gzip(&mut self, block: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        let level = Level::new(self.gzip_level);
        let deflate = self.deflate.get_or_insert_with(|| Compress::new(level, false));
        deflate.reset();
        out.extend_from_slice(&GZIP_HEADER);
        out.reserve(block.len() / 4 + 64);
        loop {
            // A block is far below 4 GiB, so the cast holds on every platform.
            let taken = usize::try_from(deflate.total_in()).map_err(std::io::Error::other)?;
            match deflate.compress_vec(&block[taken..], out, FlushCompress::Finish)? {
                Status::StreamEnd => break,
                Status::Ok | Status::BufError => out.reserve(block.len() / 4 + 64),
            }
        }
        out.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
        // The trailer's length is modulo 2^32 by definition.
        out.extend_from_slice(&((block.len() as u64 & 0xffff_ffff) as u32).to_le_bytes());
        Ok(())
    }

    fn zstd(&mut self, block: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        let compressor = match &mut self.zstd {
            Some(compressor) => compressor,
            none => {
                let mut compressor = zstd::bulk::Compressor::new(self.zstd_level)?;
                compressor.include_checksum(true)?;
                none.insert(compressor)
            }
        };
        out.extend_from_slice(&compressor.compress(block)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn members_and_frames_join_into_one_stream() {
        let blocks: Vec<Vec<u8>> =
            vec![b"one\n".to_vec(), Vec::new(), (0..600_000u32).flat_map(u32::to_le_bytes).collect()];
        let mut encoder = Encoder::new(Compression::Gzip { level: 6 });
        let mut gzip = Vec::new();
        let mut zst = Vec::new();
        for block in &blocks {
            encoder.encode(BatchEncoding::Gzip, block, &mut gzip).unwrap();
            encoder.encode(BatchEncoding::Zstd, block, &mut zst).unwrap();
        }
        let mut out = Vec::new();
        flate2::read::MultiGzDecoder::new(&gzip[..]).read_to_end(&mut out).unwrap();
        assert_eq!(out, blocks.concat());
        assert_eq!(zstd::stream::decode_all(&zst[..]).unwrap(), blocks.concat());
    }

    #[test]
    fn equal_blocks_give_equal_bytes_whatever_came_before() {
        let mut used = Encoder::new(Compression::Gzip { level: 6 });
        let mut fresh = Encoder::new(Compression::Gzip { level: 6 });
        for encoding in [BatchEncoding::Gzip, BatchEncoding::Zstd] {
            used.encode(encoding, &[7; 100_000], &mut Vec::new()).unwrap();
            let (mut a, mut b) = (Vec::new(), Vec::new());
            used.encode(encoding, b"the same block", &mut a).unwrap();
            fresh.encode(encoding, b"the same block", &mut b).unwrap();
            assert_eq!(a, b);
        }
    }
}
