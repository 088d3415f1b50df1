//! Chance from a seed, so that what chance found can be looked for again.

use std::time::Duration;

/// The environment variable that sets the seed.
const SEED: &str = "REASSEMBLE_TEST_SEED";

/// Pseudo-random numbers: splitmix64.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The numbers that follow from a seed.
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// The seed of the environment, or one of this moment; it is printed, and shown where the test fails.
    pub fn seed() -> u64 {
        let given = std::env::var(SEED).ok().map(|text| text.parse().expect("REASSEMBLE_TEST_SEED is a number"));
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            u64::from(now.subsec_nanos())
        });
        eprintln!("{SEED}={seed}");
        seed
    }

    /// The next number, any there is.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.draw() % limit as u64).unwrap()
    }

    /// From the first number of milliseconds up to and without the second.
    pub fn ms(&mut self, from: usize, to: usize) -> Duration {
        Duration::from_millis((from + self.below(to - from)) as u64)
    }

    /// So many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.draw().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}
