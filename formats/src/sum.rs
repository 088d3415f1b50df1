//! Length and CRC-32 of bytes that come in pieces: sums of neighbours are joined without their bytes.

/// The CRC-32 of zlib, gzip and PNG, its polynomial's bits mirrored.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// The length and CRC-32 of some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many bytes.
    pub len: u64,
    /// Their CRC-32.
    pub crc: u32,
}

impl Sum {
    /// The sum of these bytes.
    pub fn of(bytes: &[u8]) -> Sum {
        Sum { len: bytes.len() as u64, crc: crc32fast::hash(bytes) }
    }

    /// The sum of these bytes and those of `next` behind them.
    #[must_use]
    pub fn then(self, next: Sum) -> Sum {
        if self.len == 0 {
            return next;
        }
        Sum { len: self.len.wrapping_add(next.len), crc: behind(self.crc, next.len) ^ next.crc }
    }
}

/// What a CRC becomes behind so many zero bytes: its product with x to the power of their bits, modulo the polynomial. As zlib's `crc32_combine`, six
/// bits of the length at a time.
fn behind(crc: u32, bytes: u64) -> u32 {
    let digits = POWERS.iter().enumerate().map(|(n, powers)| powers[(bytes >> (6 * n) & 63) as usize]);
    digits.fold(crc, |crc, power| if power == ONE { crc } else { product(power, crc) })
}

/// x to the power of 0.
const ONE: u32 = 1 << 31;

/// The product of two polynomials modulo the CRC's.
const fn product(a: u32, mut b: u32) -> u32 {
    let (mut bit, mut sum) = (ONE, 0);
    while bit != 0 {
        sum ^= b & 0u32.wrapping_sub((a & bit != 0) as u32);
        b = (b >> 1) ^ (POLYNOMIAL & 0u32.wrapping_sub(b & 1));
        bit >>= 1;
    }
    sum
}

/// `POWERS[n][digit]`: x to the power of the bits in `digit * 64^n` bytes.
const POWERS: [[u32; 64]; 11] = {
    let mut powers = [[ONE; 64]; 11];
    // x to the power of the bits in 64^n bytes.
    let mut unit = ONE >> 8;
    let mut n = 0;
    while n < powers.len() {
        let mut digit = 1;
        while digit < 64 {
            powers[n][digit] = product(powers[n][digit - 1], unit);
            digit += 1;
        }
        unit = product(powers[n][63], unit);
        n += 1;
    }
    powers
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sums_join_to_that_of_the_whole(one in proptest::collection::vec(any::<u8>(), 0..300), other in proptest::collection::vec(any::<u8>(), 0..9000)) {
            prop_assert_eq!(Sum::of(&one).then(Sum::of(&other)), Sum::of(&[one, other].concat()));
        }

        #[test]
        fn long_sums_join_as_crc32fast_joins_them(crcs in any::<(u32, u32)>(), len in any::<u64>()) {
            let mut joined = crc32fast::Hasher::new_with_initial_len(crcs.0, 1);
            joined.combine(&crc32fast::Hasher::new_with_initial_len(crcs.1, len));
            prop_assert_eq!(Sum { len: 1, crc: crcs.0 }.then(Sum { len, crc: crcs.1 }).crc, joined.finalize());
        }
    }
}
