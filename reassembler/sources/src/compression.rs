//! Compressed inputs, recognised by their first bytes, never by their name alone.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a file's bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Plain,
    Gzip,
    Zstd,
}

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// How many first bytes tell every codec apart.
pub(crate) const MAGIC_BYTES: usize = 4;

/// Compressed bytes are read in pieces of this size.
const INPUT_BYTES: usize = 64 * 1024;

impl Codec {
    /// The codec that a file's first bytes show; None where they are too few to tell.
    pub(crate) fn detect(first: &[u8]) -> Option<Codec> {
        for (magic, codec) in [(GZIP_MAGIC, Codec::Gzip), (ZSTD_MAGIC, Codec::Zstd)] {
            if first.starts_with(magic) {
                return Some(codec);
            }
            if magic.starts_with(first) {
                return None;
            }
        }
        Some(Codec::Plain)
    }

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Codec::Plain => "plain",
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
        }
    }
}

/// Counts the bytes that pass, for progress.
struct Counted {
    inner: Box<dyn Read + Send>,
    count: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The same reader, and the count of bytes taken from it.
pub(crate) fn counted(source: impl Read + Send + 'static) -> (Box<dyn Read + Send>, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    (Box::new(Counted { inner: Box::new(source), count: Arc::clone(&count) }), count)
}

/// A reader of what `source` holds once decompressed. gzip files of several members and zstd files of several frames are read to the end of
/// the last.
pub(crate) fn decompress(source: Box<dyn Read + Send>, codec: Codec) -> io::Result<Box<dyn Read + Send>> {
    Ok(match codec {
        Codec::Plain => source,
        Codec::Gzip => Box::new(Members::new(source)),
        Codec::Zstd => Box::new(zstd::stream::read::Decoder::new(source)?),
    })
}

/// gzip members one after another. Zero bytes behind the last one are padding, as they are for gzip itself. A source that has nothing yet
/// (`WouldBlock`) is asked again at the same place.
struct Members<R: Read>(Place<R>);

enum Place<R: Read> {
    Member(Box<flate2::bufread::GzDecoder<BufReader<R>>>),
    /// Behind a member.
    Between(BufReader<R>),
    End,
}

impl<R: Read> Members<R> {
    fn new(source: R) -> Self {
        let source = BufReader::with_capacity(INPUT_BYTES, source);
        Self(Place::Member(Box::new(flate2::bufread::GzDecoder::new(source))))
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.0 {
                Place::End => return Ok(0),
                Place::Member(decoder) => {
                    let read = decoder.read(buf)?;
                    if read > 0 || buf.is_empty() {
                        return Ok(read);
                    }
                }
                Place::Between(source) => {
                    let ahead = source.fill_buf()?;
                    if ahead.is_empty() {
                        self.0 = Place::End;
                        continue;
                    }
                    let all = ahead.len();
                    let padding = ahead.iter().take_while(|byte| **byte == 0).count();
                    source.consume(padding);
                    if padding == all {
                        continue;
                    }
                }
            }
            self.0 = match std::mem::replace(&mut self.0, Place::End) {
                Place::Member(decoder) => Place::Between(decoder.into_inner()),
                Place::Between(source) => Place::Member(Box::new(flate2::bufread::GzDecoder::new(source))),
                Place::End => Place::End,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_codec_is_told_by_the_first_bytes_and_never_too_early() {
        assert_eq!(Codec::detect(b""), None);
        assert_eq!(Codec::detect(b"\x1f"), None);
        assert_eq!(Codec::detect(b"\x28\xb5\x2f"), None);
        assert_eq!(Codec::detect(b"\x1f\x8b"), Some(Codec::Gzip));
        assert_eq!(Codec::detect(b"\x28\xb5\x2f\xfd..."), Some(Codec::Zstd));
        assert_eq!(Codec::detect(b"(\n"), Some(Codec::Plain));
        assert_eq!(Codec::detect(b"{"), Some(Codec::Plain));
    }

    #[test]
    fn members_and_padding_are_read_to_the_end() {
        let mut file = gzip(b"one\n");
        file.extend(gzip(b""));
        file.extend(gzip(b"two\n"));
        file.extend([0; 512]);
        let length = file.len() as u64;
        let (source, count) = counted(io::Cursor::new(file));
        let mut reader = decompress(source, Codec::Gzip).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
        assert_eq!(count.load(Ordering::Relaxed), length);
    }

    #[test]
    fn a_member_that_is_cut_or_followed_by_rubbish_is_an_error_after_what_could_be_read() {
        for broken in
            [[gzip(b"one\n"), gzip(b"two\n")[..12].to_vec()].concat(), [gzip(b"one\n"), b"rubbish".to_vec()].concat()]
        {
            let mut reader = decompress(Box::new(io::Cursor::new(broken)), Codec::Gzip).unwrap();
            let mut bytes = Vec::new();
            assert!(reader.read_to_end(&mut bytes).is_err());
            assert!(bytes.starts_with(b"one\n"));
        }
    }

    /// Gives one byte at a time, and nothing yet before each.
    struct Slow(io::Cursor<Vec<u8>>, bool);

    impl Read for Slow {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(&mut buf[..1]) }
        }
    }

    #[test]
    fn a_source_that_has_nothing_yet_is_asked_again() {
        let text = "one\ntwo\n".repeat(100);
        let (head, tail) = text.as_bytes().split_at(77);
        let gzip = [gzip(head), vec![0; 3], gzip(tail), vec![0; 3]].concat();
        for (codec, bytes) in [(Codec::Gzip, gzip), (Codec::Zstd, zstd::encode_all(text.as_bytes(), 1).unwrap())] {
            let mut reader = decompress(Box::new(Slow(io::Cursor::new(bytes), false)), codec).unwrap();
            let (mut read, mut buffer) = (Vec::new(), [0; 64]);
            loop {
                match reader.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => read.extend_from_slice(&buffer[..count]),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
                }
            }
            assert!(read == text.as_bytes(), "{codec:?}");
        }
    }
}
