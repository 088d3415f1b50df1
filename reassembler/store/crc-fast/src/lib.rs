//! The checksums of S3's flexible checksums, behind the names by which the AWS SDK (`aws-smithy-checksums`) calls them.
//!
//! The crate that this stands for knows a hundred CRCs and holds tables of 680 KB for machines without carry-less multiplication; a
//! linker cannot tell which of them are never asked for. Of the three here CRC-32 matters: every upload carries it, and `crc32fast`
//! computes it. The two others are only ever asked for to check an answer whose object somebody else has put, and are computed a byte at
//! a time. Should the SDK ask for more, it does not compile.

/// A checksum, by the name that the catalogue of CRCs gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrcAlgorithm {
    /// CRC-32, as in gzip.
    Crc32IsoHdlc,
    /// CRC-32C.
    Crc32Iscsi,
    /// CRC-64/NVME.
    Crc64Nvme,
}

/// A checksum on its way.
#[derive(Debug, Clone)]
pub struct Digest(State);

#[derive(Debug, Clone)]
enum State {
    Crc32(crc32fast::Hasher),
    /// The register, and what a byte at its low end turns it by.
    Table(u64, &'static [u64; 256], Width),
}

#[derive(Debug, Clone, Copy)]
enum Width {
    Bits32,
    Bits64,
}

static CRC32C: [u64; 256] = table(0x82f6_3b78);
static CRC64_NVME: [u64; 256] = table(0x9a6c_9329_ac4b_c9b5);

/// The table of a polynomial whose bits are written in reverse.
const fn table(polynomial: u64) -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut register = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            register = (register >> 1) ^ if register & 1 == 1 { polynomial } else { 0 };
            bit += 1;
        }
        table[byte] = register;
        byte += 1;
    }
    table
}

impl Digest {
    /// The checksum of nothing yet.
    pub fn new(algorithm: CrcAlgorithm) -> Self {
        Self(match algorithm {
            CrcAlgorithm::Crc32IsoHdlc => State::Crc32(crc32fast::Hasher::new()),
            CrcAlgorithm::Crc32Iscsi => State::Table(u64::from(u32::MAX), &CRC32C, Width::Bits32),
            CrcAlgorithm::Crc64Nvme => State::Table(u64::MAX, &CRC64_NVME, Width::Bits64),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Crc32(hasher) => hasher.update(bytes),
            State::Table(register, table, _) => {
                *register = bytes.iter().fold(*register, |register, byte| {
                    (register >> 8) ^ table[usize::from(register.to_le_bytes()[0] ^ byte)]
                });
            }
        }
    }

    /// The checksum of all that was added.
    pub fn finalize(self) -> u64 {
        match self.0 {
            State::Crc32(hasher) => hasher.finalize().into(),
            State::Table(register, _, Width::Bits32) => register ^ u64::from(u32::MAX),
            State::Table(register, _, Width::Bits64) => !register,
        }
    }
}

/// The checksum of bytes.
pub fn checksum(algorithm: CrcAlgorithm, bytes: &[u8]) -> u64 {
    let mut digest = Digest::new(algorithm);
    digest.update(bytes);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The catalogue's check values, of the digits one to nine.
    const CHECKS: [(CrcAlgorithm, u64); 3] = [
        (CrcAlgorithm::Crc32IsoHdlc, 0xcbf4_3926),
        (CrcAlgorithm::Crc32Iscsi, 0xe306_9283),
        (CrcAlgorithm::Crc64Nvme, 0xae8b_1486_0a79_9888),
    ];

    #[test]
    fn each_gives_its_check_value() {
        for (algorithm, check) in CHECKS {
            assert_eq!(checksum(algorithm, b"123456789"), check, "{algorithm:?}");
        }
    }

    #[test]
    fn bytes_may_come_in_pieces() {
        for (algorithm, check) in CHECKS {
            let mut digest = Digest::new(algorithm);
            for piece in [&b"12"[..], b"", b"34567", b"89"] {
                digest.update(piece);
            }
            assert_eq!(digest.finalize(), check, "{algorithm:?}");
        }
    }
}
