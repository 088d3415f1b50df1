//! Undoing one Content-Encoding (RFC 9110, 8.4.1; RFC 7932 brotli; RFC 8878 Zstandard), within a limit: a small body may claim to be a
//! huge one.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Why an encoding was not undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// The decoded bytes would exceed the limit.
    OverLimit,
    /// The encoding is unknown, or the bytes are not in it, or not whole.
    Undecodable,
}

/// Largest window that a Zstandard body may ask for, as a power of two: 8 MiB, what RFC 9659 allows in HTTP.
const ZSTD_WINDOW_LOG: u32 = 23;
/// The brotli decoder's input buffer in bytes.
const BROTLI_BUFFER: usize = 4096;

/// The bytes that `encoding` was applied to; at most `limit` of them.
pub(super) fn decode(encoding: &str, bytes: &[u8], limit: u64) -> Result<Vec<u8>, DecodeError> {
    match encoding {
        "gzip" | "x-gzip" => read(MultiGzDecoder::new(bytes), limit),
        // Some servers send raw deflate for it, and clients accept both.
        "deflate" => match read(ZlibDecoder::new(bytes), limit) {
            Err(DecodeError::Undecodable) => read(DeflateDecoder::new(bytes), limit),
            result => result,
        },
        "br" => read(brotli_decompressor::Decompressor::new(bytes, BROTLI_BUFFER), limit),
        "zstd" => {
            let mut decoder = zstd::Decoder::with_buffer(bytes).map_err(|_| DecodeError::Undecodable)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|_| DecodeError::Undecodable)?;
            read(decoder, limit)
        }
        _ => Err(DecodeError::Undecodable),
    }
}

fn read(decoder: impl Read, limit: u64) -> Result<Vec<u8>, DecodeError> {
    let mut decoded = Vec::new();
    decoder.take(limit.saturating_add(1)).read_to_end(&mut decoded).map_err(|_| DecodeError::Undecodable)?;
    if decoded.len() as u64 > limit { Err(DecodeError::OverLimit) } else { Ok(decoded) }
}
