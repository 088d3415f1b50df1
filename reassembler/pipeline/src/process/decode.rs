//! Undoing Content-Encodings (RFC 9110, 8.4.1; RFC 7932 brotli; RFC 8878 Zstandard) as a stream, within limits: a small body may claim to
//! be a huge one, or to be encoded a thousand times.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Why encodings were not undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// The decoded bytes would exceed the limit.
    OverLimit,
    /// The encoding is unknown, or the bytes are not in it, or not whole, or it is one too many.
    Undecodable,
}

/// Most encodings of one body. Nobody applies more, and each decoder takes memory.
const MAX_ENCODINGS: usize = 3;
/// Largest window that a Zstandard body may ask for, as a power of two: 8 MiB, what RFC 9659 allows in HTTP.
const ZSTD_WINDOW_LOG: u32 = 23;
/// The brotli decoder's input buffer in bytes.
const BROTLI_BUFFER: usize = 4096;

/// What `deflate` means. It is zlib's format (RFC 9110), but some servers send raw deflate for it, and clients accept both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deflate {
    /// With zlib's header.
    Zlib,
    /// Without.
    Raw,
}

/// Which encoding (by its place in the list) failed first, and how.
pub(super) type Fault = Rc<Cell<Option<(usize, DecodeError)>>>;

/// A reader of what `encodings`, in the order in which they were applied, were applied to: at most `limit` bytes of each step. Where reading fails,
/// `fault` says why; where it does not, the failure is the captured bytes' own.
pub(super) fn decoder<'r>(
    captured: Box<dyn Read + 'r>,
    encodings: &[String],
    deflate: Deflate,
    limit: u64,
    fault: &Fault,
) -> Box<dyn Read + 'r> {
    let mut reader = captured;
    for (at, encoding) in encodings.iter().enumerate().rev() {
        let refuse = |error| -> Box<dyn Read + 'r> {
            fault.set(Some((at, error)));
            Box::new(Refused)
        };
        if encodings.len() > MAX_ENCODINGS {
            return refuse(DecodeError::Undecodable);
        }
        let decoded: Box<dyn Read + 'r> = match encoding.as_str() {
            "gzip" | "x-gzip" => Box::new(MultiGzDecoder::new(reader)),
            "deflate" if deflate == Deflate::Raw => Box::new(DeflateDecoder::new(reader)),
            "deflate" => Box::new(ZlibDecoder::new(reader)),
            "br" => Box::new(brotli_decompressor::Decompressor::new(reader, BROTLI_BUFFER)),
            "zstd" => match zstd_decoder(reader) {
                Ok(decoder) => Box::new(decoder),
                Err(_) => return refuse(DecodeError::Undecodable),
            },
            _ => return refuse(DecodeError::Undecodable),
        };
        reader = Box::new(Step { decoded, at, left: limit, fault: fault.clone() });
    }
    reader
}

fn zstd_decoder<'r>(reader: Box<dyn Read + 'r>) -> io::Result<impl Read + 'r> {
    let mut decoder = zstd::Decoder::new(reader)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

/// One encoding undone, within the limit.
struct Step<'r> {
    decoded: Box<dyn Read + 'r>,
    at: usize,
    left: u64,
    fault: Fault,
}

impl Step<'_> {
    fn failed(&self, error: DecodeError) -> io::Error {
        // The step nearest to the captured bytes fails first, and the others fail of it.
        if self.fault.get().is_none() {
            self.fault.set(Some((self.at, error)));
        }
        io::ErrorKind::InvalidData.into()
    }
}

impl Read for Step<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoded.read(buffer).map_err(|_| self.failed(DecodeError::Undecodable))?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(self.failed(DecodeError::OverLimit)),
        }
        Ok(read)
    }
}

/// What cannot be decoded at all.
struct Refused;

impl Read for Refused {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::InvalidData.into())
    }
}
