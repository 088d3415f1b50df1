//! Checksums of objects, in the place of the published crate `crc-fast`, of which the AWS SDK calls what is here.
//!
//! The published crate holds tables and code for some forty algorithms, all of which come into every binary, for which one is used is a value and
//! not a type: 0.7 MB of the command's, and more than half a megabyte of the zipped Lambda layer. S3 knows three of them.

use crc::{CRC_32_ISCSI, CRC_64_NVME, Crc, Table};

static CRC32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);
static CRC64_NVME: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_NVME);

/// The algorithms of S3's checksums (S3 User Guide, "Checking object integrity").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrcAlgorithm {
    /// `CRC32`, the one of gzip.
    Crc32IsoHdlc,
    /// `CRC32C`.
    Crc32Iscsi,
    /// `CRC64NVME`.
    Crc64Nvme,
}

#[derive(Clone)]
enum State {
    Crc32(crc32fast::Hasher),
    Crc32c(crc::Digest<'static, u32, Table<16>>),
    Crc64Nvme(crc::Digest<'static, u64, Table<16>>),
}

/// A checksum that is being computed.
#[derive(Clone)]
pub struct Digest(State);

impl Digest {
    /// The checksum of nothing.
    pub fn new(algorithm: CrcAlgorithm) -> Self {
        Digest(match algorithm {
            CrcAlgorithm::Crc32IsoHdlc => State::Crc32(crc32fast::Hasher::new()),
            CrcAlgorithm::Crc32Iscsi => State::Crc32c(CRC32C.digest()),
            CrcAlgorithm::Crc64Nvme => State::Crc64Nvme(CRC64_NVME.digest()),
        })
    }

    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Crc32(hasher) => hasher.update(bytes),
            State::Crc32c(digest) => digest.update(bytes),
            State::Crc64Nvme(digest) => digest.update(bytes),
        }
    }

    /// The checksum of all that was taken in; of one of 32 bits the lower half.
    pub fn finalize(&self) -> u64 {
        match self.clone().0 {
            State::Crc32(hasher) => u64::from(hasher.finalize()),
            State::Crc32c(digest) => u64::from(digest.finalize()),
            State::Crc64Nvme(digest) => digest.finalize(),
        }
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Digest({:#x})", self.finalize())
    }
}

/// The checksum of these bytes.
pub fn checksum(algorithm: CrcAlgorithm, bytes: &[u8]) -> u64 {
    let mut digest = Digest::new(algorithm);
    digest.update(bytes);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each gives for `123456789`, in the catalogue of parametrised CRC algorithms (reveng.sourceforge.io/crc-catalogue).
    const CHECKS: [(CrcAlgorithm, u64); 3] = [
        (CrcAlgorithm::Crc32IsoHdlc, 0xcbf4_3926),
        (CrcAlgorithm::Crc32Iscsi, 0xe306_9283),
        (CrcAlgorithm::Crc64Nvme, 0xae8b_1486_0a79_9888),
    ];

    #[test]
    fn the_catalogues_values() {
        for (algorithm, value) in CHECKS {
            assert_eq!(checksum(algorithm, b"123456789"), value, "{algorithm:?}");
        }
    }

    #[test]
    fn pieces_make_what_the_whole_makes() {
        let bytes: Vec<u8> = (0..10_000u32).map(|i| (i * i % 251) as u8).collect();
        for (algorithm, value) in CHECKS {
            for size in [1, 7, 16, 4_096] {
                let mut digest = Digest::new(algorithm);
                bytes.chunks(size).for_each(|piece| digest.update(piece));
                assert_eq!(digest.finalize(), checksum(algorithm, &bytes), "{algorithm:?} by {size}");
            }
            let mut digest = Digest::new(algorithm);
            digest.update(b"1234");
            assert_eq!(format!("{digest:?}"), format!("Digest({:#x})", checksum(algorithm, b"1234")));
            digest.update(b"56789");
            assert_eq!(digest.finalize(), value, "what was looked at goes on");
        }
    }
}
