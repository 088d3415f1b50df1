//! Signatures of capture lines (capture-line specification, L-8): what is signed, and the key that signs it.
//!
//! A signature is the first [`SIGNATURE_BYTES`] bytes of HMAC-SHA256 over what a line says once decoded, so that it survives every envelope
//! and any other spelling of the line. A key's inner and outer state are computed once; a line's pieces are hashed where they lie.
//!
//! Invariants: a secret never leaves a [`SigningKey`], not through `Debug` either; signatures are compared in constant time.

#[cfg(feature = "read")]
mod ring;

use std::fmt::{self, Write as _};
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

#[cfg(feature = "read")]
pub use self::ring::{KeyFileError, KeyIndex, KeyRing, MAX_KEYS};

/// Length of a signature in bytes; lines have it as twice as many hex digits.
pub const SIGNATURE_BYTES: usize = 16;
/// Shortest secret in bytes: what `openssl rand -hex 16` prints, 128 bits drawn at random.
pub const MIN_SECRET_BYTES: usize = 32;
/// Longest secret in bytes: beyond, somebody named the wrong file.
pub const MAX_SECRET_BYTES: usize = 1024;

/// Why a text is no secret. What it says never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SecretError {
    /// Too short.
    #[error(
        "the secret is {bytes} bytes long, and {MIN_SECRET_BYTES} are the least: take what `openssl rand -hex 32` prints"
    )]
    Short {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Too long.
    #[error("the secret is {bytes} bytes long, and {MAX_SECRET_BYTES} are the most")]
    Long {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It holds white space or what is not printable ASCII.
    #[error("the secret holds white space, or a character that is not printable ASCII")]
    Character,
}

/// What signs lines. Clones share one key.
#[derive(Clone)]
pub struct SigningKey(Arc<Hmac<Sha256>>);

impl SigningKey {
    /// The key of a secret: its bytes as they stand, so that every language takes the same text alike.
    ///
    /// # Errors
    /// [`SecretError`] where the text is too short or long, or is not printable ASCII without white space.
    pub fn new(secret: &str) -> Result<SigningKey, SecretError> {
        let bytes = secret.len();
        if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretError::Character);
        }
        if bytes < MIN_SECRET_BYTES {
            return Err(SecretError::Short { bytes });
        }
        // HMAC takes keys of any length, so its own refusal never comes.
        let state = Hmac::new_from_slice(secret.as_bytes()).ok().filter(|_| bytes <= MAX_SECRET_BYTES);
        state.map(|state| SigningKey(Arc::new(state))).ok_or(SecretError::Long { bytes })
    }

    /// The signature of a line.
    pub fn sign(&self, line: &SignedLine<'_>) -> [u8; SIGNATURE_BYTES] {
        let code: [u8; 32] = self.state_of(line).finalize().into_bytes().into();
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(&code[..SIGNATURE_BYTES]);
        signature
    }

    /// Whether the signature is this key's for the line, in time that does not depend on where they differ.
    pub fn fits(&self, line: &SignedLine<'_>, signature: &[u8; SIGNATURE_BYTES]) -> bool {
        self.state_of(line).verify_truncated_left(signature).is_ok()
    }

    fn state_of(&self, line: &SignedLine<'_>) -> Hmac<Sha256> {
        let mut state = Hmac::clone(&self.0);
        state.update(line.prelude().as_bytes());
        for part in [line.headf, line.piece, line.tailf] {
            state.update(part);
        }
        state
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// What of a line is signed. Texts and bytes are empty where the line has none.
#[derive(Clone, Copy)]
pub struct SignedLine<'a> {
    /// The capture's id.
    pub id: &'a dyn fmt::Display,
    /// `req`, `res` or `meta`.
    pub part: &'a str,
    /// The chunk's number.
    pub seq: u64,
    /// How many chunks the part has.
    pub of: Option<u64>,
    /// Microseconds since the part began when the piece passed.
    pub at: Option<u64>,
    /// The fragment of the head's text, in UTF-8.
    pub headf: &'a [u8],
    /// The piece, decoded.
    pub piece: &'a [u8],
    /// The fragment of the tail's text, in UTF-8.
    pub tailf: &'a [u8],
}

impl SignedLine<'_> {
    /// What is signed before the fragments and the piece.
    fn prelude(&self) -> String {
        /// The longest id, part and six numbers of twenty digits, with what separates them.
        const ROOM: usize = 64 + 4 + 6 * 20 + 8;
        let mut text = String::with_capacity(ROOM);
        // Writing to a String does not fail.
        write!(text, "{} {}", self.id, self.part).ok();
        let lengths = [self.headf.len(), self.piece.len(), self.tailf.len()].map(|len| Some(len as u64));
        for number in [Some(self.seq), self.of, self.at].into_iter().chain(lengths) {
            text.push(' ');
            match number {
                Some(number) => text.push_str(itoa::Buffer::new().format(number)),
                None => text.push('-'),
            }
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a-secret-of-thirty-two-bytes-000";

    fn line() -> SignedLine<'static> {
        SignedLine {
            id: &"c-1",
            part: "res",
            seq: 3,
            of: Some(4),
            at: None,
            headf: "{\"a\":\"é\"}".as_bytes(),
            piece: b"\x00\xff",
            tailf: b"",
        }
    }

    #[test]
    fn a_line_is_signed_as_the_specification_says() {
        // python3: hmac.new(SECRET, 'c-1 res 3 4 - 10 2 0\n{"a":"é"}'.encode() + b"\x00\xff", "sha256").hexdigest()[:32]
        let key = SigningKey::new(SECRET).unwrap();
        let signature = key.sign(&line());
        assert_eq!(signature.map(|byte| format!("{byte:02x}")).concat(), "9ea97848bd71b08d1b9f6ea38661e066");
        assert!(key.fits(&line(), &signature));
    }

    #[test]
    fn whatever_changes_the_signature_no_longer_fits() {
        let key = SigningKey::new(SECRET).unwrap();
        let signature = key.sign(&line());
        let changed: [SignedLine<'_>; 9] = [
            SignedLine { id: &"c-2", ..line() },
            SignedLine { part: "req", ..line() },
            SignedLine { seq: 4, ..line() },
            SignedLine { of: None, ..line() },
            SignedLine { at: Some(0), ..line() },
            SignedLine { headf: b"{\"a\":\"e\"}", ..line() },
            SignedLine { piece: b"\x00", ..line() },
            SignedLine { tailf: b"{}", ..line() },
            // The same bytes in a row, cut elsewhere.
            SignedLine { headf: "{\"a\":\"é\"".as_bytes(), piece: b"}\x00\xff", ..line() },
        ];
        assert!(changed.iter().all(|line| !key.fits(line, &signature)));
        for bit in 0..8 * SIGNATURE_BYTES {
            let mut other = signature;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.fits(&line(), &other), "bit {bit}");
        }
        assert!(!SigningKey::new(&SECRET.to_uppercase()).unwrap().fits(&line(), &signature));
    }

    #[test]
    fn secrets_are_long_and_printable_and_never_shown() {
        let refused = |secret: &str| SigningKey::new(secret).unwrap_err();
        assert_eq!(refused(&SECRET[1..]), SecretError::Short { bytes: 31 });
        assert_eq!(refused(&"x".repeat(1025)), SecretError::Long { bytes: 1025 });
        for secret in [format!("{SECRET} "), format!("{SECRET}\n"), format!("{SECRET}é"), format!("{SECRET}\0")] {
            assert_eq!(refused(&secret), SecretError::Character);
        }
        assert!(SigningKey::new(&"x".repeat(1024)).is_ok());
        assert_eq!(format!("{:?}", SigningKey::new(SECRET).unwrap()), "SigningKey(..)");
    }
}
