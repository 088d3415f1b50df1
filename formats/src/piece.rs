//! A piece of a body, as it stands in its line: escaped text or base64. A stored exchange spells bodies the same way, so nothing is encoded
//! twice; what was decoded to check the piece's CRC-32 leaves its length and its sum.

use std::borrow::Cow;

use base64_simd::STANDARD;

use crate::json::unescape;
use crate::sum::Sum;
use crate::write::escape_json;

/// A piece of a body. Two are equal where their bytes are.
#[derive(Clone, Debug)]
pub struct Piece {
    /// What stands between the quotes, in its only canonical spelling.
    raw: Box<[u8]>,
    spelling: Spelling,
    sum: Sum,
}

/// How a piece's bytes are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// UTF-8, escaped as emitters escape it.
    Text,
    /// Standard base64 with padding.
    Base64 {
        /// Whether no body with these bytes in it is UTF-8, whatever stands around them.
        never_text: bool,
    },
}

impl Piece {
    /// A piece of these bytes.
    pub fn new(bytes: &[u8]) -> Piece {
        match std::str::from_utf8(bytes) {
            Ok(text) => Piece::escaped(text, Sum::of(bytes)),
            Err(_) => Piece::base64(STANDARD.encode_type::<Vec<u8>>(bytes).into(), bytes),
        }
    }

    /// A piece of text, with its sum.
    pub(crate) fn escaped(text: &str, sum: Sum) -> Piece {
        let mut raw = Vec::with_capacity(text.len());
        escape_json(text, &mut raw);
        Piece::canonical(raw.into(), sum)
    }

    /// Text that is escaped already, canonically, with the sum of what it says.
    pub(crate) fn canonical(raw: Box<[u8]>, sum: Sum) -> Piece {
        Piece { raw, spelling: Spelling::Text, sum }
    }

    /// Base64, and what it stands for.
    pub(crate) fn base64(raw: Box<[u8]>, bytes: &[u8]) -> Piece {
        Piece { raw, spelling: Spelling::Base64 { never_text: is_never_text(bytes) }, sum: Sum::of(bytes) }
    }

    /// How it is spelled.
    pub fn spelling(&self) -> Spelling {
        self.spelling
    }

    /// The inside of the JSON string that spells it.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Length and CRC-32 of its bytes.
    pub fn sum(&self) -> Sum {
        self.sum
    }

    /// Appends its bytes.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        // A piece is made of what was decoded before, so neither can fail.
        match self.spelling {
            Spelling::Text => unescape(&self.raw, out).unwrap_or_default(),
            Spelling::Base64 { .. } => {
                STANDARD.decode_append(&self.raw, out).unwrap_or_default();
            }
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        if self.spelling == Spelling::Text && self.raw.len() as u64 == self.sum.len {
            return Cow::Borrowed(&self.raw);
        }
        let mut out = Vec::with_capacity(self.raw.len());
        self.append_to(&mut out);
        Cow::Owned(out)
    }
}

impl PartialEq for Piece {
    fn eq(&self, other: &Piece) -> bool {
        let same_spelling = matches!(self.spelling, Spelling::Text) == matches!(other.spelling, Spelling::Text);
        self.sum == other.sum && if same_spelling { self.raw == other.raw } else { self.bytes() == other.bytes() }
    }
}

impl Eq for Piece {}

/// Whether bytes break UTF-8 wherever they stand: a character that begins before them may end with up to three of them, and their last one may
/// end behind them.
fn is_never_text(bytes: &[u8]) -> bool {
    let continued = bytes.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
    std::str::from_utf8(&bytes[continued..]).is_err_and(|error| error.error_len().is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_piece_keeps_its_bytes(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'x')], 0..400), cut in 0usize..400) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let piece = Piece::new(bytes);
                prop_assert_eq!(&*piece.bytes(), bytes);
                prop_assert_eq!(piece.sum(), Sum::of(bytes));
                let spelled_otherwise = Piece::base64(STANDARD.encode_type::<Vec<u8>>(bytes).into(), bytes);
                prop_assert_eq!(&spelled_otherwise, &piece);
                prop_assert_ne!(&Piece::new(&[bytes, b"."].concat()), &piece);
            }
            // Of a text cut anywhere no piece is taken for one that cannot be text.
            let cut = cut.min(text.len());
            prop_assert!(!is_never_text(&text.as_bytes()[..cut]) && !is_never_text(&text.as_bytes()[cut..]));
        }
    }

    #[test]
    fn what_can_never_be_text_is_known() {
        for never in [&b"a\xff"[..], b"\x80\x80\x80\x80", b"\xc3a", b"\xe2\x82a", b"\xed\xa0\x80"] {
            assert!(is_never_text(never), "{never:?}");
        }
        for maybe in [&b""[..], b"\xc3", b"\xa9", b"\x80\x80\x80", b"a\xe2\x82", "é😀".as_bytes()] {
            assert!(!is_never_text(maybe), "{maybe:?}");
        }
    }
}
