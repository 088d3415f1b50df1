//! Logs of three services as a capture pipeline meets them.
//!
//! Bodies have log-normal sizes with a median of 1.5 KB and a sigma of 1.3; 80 % are JSON of words and numbers, 5 % other text, 15 % random
//! bytes. Half the requests have a body. 64 captures are open at any time, their lines interleaved; an ordinary line of about 80 bytes
//! stands before 30 % of the capture lines. Lines are at most 4,096 bytes. Everything comes from one seed.

mod bodies;
mod capture;
mod envelope;
mod log;
mod random;

pub use self::envelope::Envelope;
pub use self::log::{LogOptions, Summary, write_log};
pub(crate) use self::random::Random;
