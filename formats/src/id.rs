//! The id of a capture: 1 to 64 of `A-Z a-z 0-9 . _ : -` (capture-line specification).

use std::fmt;
use std::hash::{Hash, Hasher};

/// Longest id in bytes.
pub const MAX_ID_BYTES: usize = 64;

/// A capture's id. A UUID in its usual spelling, as every emitter draws, takes 16 bytes and no allocation.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CaptureId(Repr);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Repr {
    /// Exactly the ids spelled `8-4-4-4-12` in lowercase hex: the spelling is recovered from the bytes, first to last in big-endian words. Words
    /// because an id is moved for every line, and bytes at an odd place, right behind a tag, are read sooner than they are written.
    Uuid([u64; 2]),
    Text(Box<str>),
}

/// By the bytes alone: ids are looked up for every line.
impl Hash for Repr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Repr::Uuid(words) => words.iter().for_each(|word| state.write_u64(*word)),
            Repr::Text(text) => state.write(text.as_bytes()),
        }
    }
}

impl CaptureId {
    /// Reads an id; `None` where it is empty, too long or holds another character.
    pub fn parse(text: &[u8]) -> Option<CaptureId> {
        if let Some(uuid) = parse_uuid(text) {
            let [first, last] = uuid.as_chunks::<8>().0 else { return None };
            return Some(CaptureId(Repr::Uuid([first, last].map(|word| u64::from_be_bytes(*word)))));
        }
        if text.is_empty() || text.len() > MAX_ID_BYTES || !text.iter().all(|b| is_id_byte(*b)) {
            return None;
        }
        Some(CaptureId(Repr::Text(std::str::from_utf8(text).ok()?.into())))
    }

    /// A compact key for databases, the same for the same id and different for different ids: a tag and 16 bytes for a UUID, a tag
    /// and the text for any other.
    pub fn key(&self) -> Vec<u8> {
        match &self.0 {
            Repr::Uuid([first, last]) => [&[1][..], &first.to_be_bytes(), &last.to_be_bytes()].concat(),
            Repr::Text(text) => [&[0], text.as_bytes()].concat(),
        }
    }
}

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-')
}

/// Where the hyphens of a UUID stand.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Where each byte's two digits begin in a UUID's text.
const DIGITS_AT: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// The value of each lowercase hex digit; 0xff for any other byte.
const LOWER_HEX: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    values
};

fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; 36] = text.try_into().ok()?;
    let mut fits = HYPHENS.iter().all(|at| text[*at] == b'-');
    let mut uuid = [0u8; 16];
    for (byte, at) in uuid.iter_mut().zip(DIGITS_AT) {
        let (high, low) = (LOWER_HEX[usize::from(text[at])], LOWER_HEX[usize::from(text[at + 1])]);
        fits &= (high | low) < 16;
        *byte = high << 4 | low;
    }
    fits.then_some(uuid)
}

impl CaptureId {
    /// Appends the id's text.
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Repr::Text(text) => out.extend_from_slice(text.as_bytes()),
            Repr::Uuid(words) => out.extend_from_slice(&uuid_text(words)),
        }
    }
}

/// A UUID in its usual spelling: ASCII.
fn uuid_text(words: &[u64; 2]) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    for (byte, at) in words.iter().flat_map(|word| word.to_be_bytes()).zip(DIGITS_AT) {
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

impl fmt::Display for CaptureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Text(text) => f.write_str(text),
            Repr::Uuid(words) => f.write_str(std::str::from_utf8(&uuid_text(words)).map_err(|_| fmt::Error)?),
        }
    }
}

impl fmt::Debug for CaptureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_comes_back_as_it_was() {
        for text in ["0192f0c1-a2b3-7c3e-8d5e-6f708192a3b4", "0192F0C1-A2B3-7C3E-8D5E-6F708192A3B4", "a", "x.y_z:1-2"] {
            assert_eq!(CaptureId::parse(text.as_bytes()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn keys_tell_ids_apart() {
        let uuid = CaptureId::parse(b"0192f0c1-a2b3-7c3e-8d5e-6f708192a3b4").unwrap();
        let upper = CaptureId::parse(b"0192F0C1-A2B3-7C3E-8D5E-6F708192A3B4").unwrap();
        assert_ne!(uuid.key(), upper.key());
        assert_eq!(uuid.key().len(), 17);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "a b", "a/b", "../x", "é", &"a".repeat(65)] {
            assert!(CaptureId::parse(text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(CaptureId::parse("a".repeat(64).as_bytes()).is_some());
    }
}
