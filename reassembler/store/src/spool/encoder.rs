//! Compression of blocks: one block is one gzip member or one zstd frame, so a batch is the blocks one after another.
//!
//! The output depends on the block, the encoding and the level alone (no time, no name), so that replayed appends give equal bytes,
//! whichever thread compresses.

use std::io;
use std::ops::Deref;

use libdeflater::{CompressionLvl, Compressor};
use reassemble_formats::layout::BatchEncoding;
use zstd::zstd_safe::CParameter;

use super::config::Compression;

/// The level that is made for captures.
const ZSTD_TUNED: i32 = 2;
/// libdeflate's levels.
const GZIP_LEVELS: std::ops::RangeInclusive<u32> = 1..=12;

/// The compressors, kept between blocks because making one costs as much as a small block.
pub(crate) struct Encoder {
    gzip_level: u32,
    zstd_level: i32,
    gzip: Option<Compressor>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

/// A compressed block, at the start of a buffer that may be longer.
#[derive(Debug)]
pub(crate) struct Stored {
    buffer: Vec<u8>,
    len: usize,
}

impl Deref for Stored {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl Stored {
    /// The buffer, for another block.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
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
        let mut encoder = Self { gzip_level: 1, zstd_level: 2, gzip: None, zstd: None };
        match compression {
            Compression::Gzip { level } => encoder.gzip_level = level.clamp(*GZIP_LEVELS.start(), *GZIP_LEVELS.end()),
            Compression::Zstd { level } => encoder.zstd_level = level,
            Compression::None => {}
        }
        encoder
    }

    /// The encoded block, in this buffer where it is of use.
    pub(crate) fn encode(&mut self, encoding: BatchEncoding, block: &[u8], mut buffer: Vec<u8>) -> io::Result<Stored> {
        let len = match encoding {
            BatchEncoding::Plain => {
                buffer = block.to_vec();
                block.len()
            }
            BatchEncoding::Gzip => self.gzip(block, &mut buffer)?,
            BatchEncoding::Zstd => self.zstd(block, &mut buffer)?,
        };
        Ok(Stored { buffer, len })
    }

    fn gzip(&mut self, block: &[u8], buffer: &mut Vec<u8>) -> io::Result<usize> {
        let compressor = match &mut self.gzip {
            Some(compressor) => compressor,
            none => {
                let level = i32::try_from(self.gzip_level).map_err(io::Error::other)?;
                let level = CompressionLvl::new(level).map_err(|error| io::Error::other(format!("{error:?}")))?;
                none.insert(Compressor::new(level))
            }
        };
        let room = room(buffer, compressor.gzip_compress_bound(block.len()));
        compressor.gzip_compress(block, room).map_err(io::Error::other)
    }

    fn zstd(&mut self, block: &[u8], buffer: &mut Vec<u8>) -> io::Result<usize> {
        let compressor = match &mut self.zstd {
            Some(compressor) => compressor,
            none => {
                let mut compressor = zstd::bulk::Compressor::new(self.zstd_level)?;
                compressor.include_checksum(true)?;
                if self.zstd_level == ZSTD_TUNED {
                    // The table fits the nearest cache, and matches are long enough to be worth their place: of captured JSON 2 % denser
                    // than level 1 and as fast, where level 2 as it is takes 9 % longer for another percent.
                    compressor.set_parameter(CParameter::HashLog(15))?;
                    compressor.set_parameter(CParameter::MinMatch(7))?;
                }
                none.insert(compressor)
            }
        };
        compressor.compress_to_buffer(block, room(buffer, zstd::zstd_safe::compress_bound(block.len())))
    }
}

/// So many bytes of a buffer. One that a giant line made giant is not kept.
fn room(buffer: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    if !(bytes..=bytes.saturating_mul(4)).contains(&buffer.len()) {
        // Fresh zero pages instead of growing, which would write them: those that stay untouched take no memory. And room enough that no
        // block that is a little longer asks again.
        *buffer = Vec::new();
        *buffer = vec![0; bytes.next_power_of_two()];
    }
    &mut buffer[..bytes]
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn members_and_frames_join_into_one_stream() {
        let blocks: Vec<Vec<u8>> =
            vec![b"one\n".to_vec(), Vec::new(), (0..600_000u32).flat_map(u32::to_le_bytes).collect()];
        for level in [1, 6, 12] {
            let mut encoder = Encoder::new(Compression::Gzip { level });
            let mut gzip = Vec::new();
            let mut zst = Vec::new();
            for block in &blocks {
                gzip.extend_from_slice(&encoder.encode(BatchEncoding::Gzip, block, Vec::new()).unwrap());
                zst.extend_from_slice(&encoder.encode(BatchEncoding::Zstd, block, Vec::new()).unwrap());
            }
            let mut out = Vec::new();
            flate2::read::MultiGzDecoder::new(&gzip[..]).read_to_end(&mut out).unwrap();
            assert_eq!(out, blocks.concat());
            assert_eq!(zstd::stream::decode_all(&zst[..]).unwrap(), blocks.concat());
        }
    }

    #[test]
    fn what_cannot_be_compressed_fits_even_so() {
        let mut drawn: u64 = 3;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (drawn >> 56) as u8
        })
        .take(300_000)
        .collect();
        let mut encoder = Encoder::new(Compression::Gzip { level: 1 });
        let gzip = encoder.encode(BatchEncoding::Gzip, &noise, Vec::new()).unwrap();
        let mut out = Vec::new();
        flate2::read::MultiGzDecoder::new(&gzip[..]).read_to_end(&mut out).unwrap();
        assert_eq!(out, noise);
        let zst = encoder.encode(BatchEncoding::Zstd, &noise, Vec::new()).unwrap();
        assert_eq!(zstd::stream::decode_all(&zst[..]).unwrap(), noise);
    }

    #[test]
    fn equal_blocks_give_equal_bytes_whatever_came_before() {
        let mut used = Encoder::new(Compression::Gzip { level: 6 });
        let mut fresh = Encoder::new(Compression::Gzip { level: 6 });
        for encoding in [BatchEncoding::Gzip, BatchEncoding::Zstd] {
            used.encode(encoding, &[7; 100_000], Vec::new()).unwrap();
            let (a, b) = (
                used.encode(encoding, b"the same block", Vec::new()).unwrap(),
                fresh.encode(encoding, b"the same block", Vec::new()).unwrap(),
            );
            assert_eq!(*a, *b);
        }
    }
}
