//! The id of a capture: 1 to 64 of `A-Z a-z 0-9 . _ : -` (capture-line specification).

use std::fmt;

/// Longest id in bytes.
pub const MAX_ID_BYTES: usize = 64;

/// A capture's id. A UUID in its usual spelling, as every emitter draws, takes 16 bytes and no allocation.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CaptureId(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    /// Exactly the ids spelled `8-4-4-4-12` in lowercase hex: the spelling is recovered from the bytes.
    Uuid([u8; 16]),
    Text(Box<str>),
}

impl CaptureId {
    /// Reads an id; `None` where it is empty, too long or holds another character.
    pub fn parse(text: &[u8]) -> Option<CaptureId> {
        if let Some(uuid) = parse_uuid(text) {
            return Some(CaptureId(Repr::Uuid(uuid)));
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
            Repr::Uuid(bytes) => [&[1], bytes.as_slice()].concat(),
            Repr::Text(text) => [&[0], text.as_bytes()].concat(),
        }
    }
}

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-')
}

/// Where the hyphens of a UUID stand.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 36 || HYPHENS.iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut uuid = [0u8; 16];
    let mut at = 0;
    for byte in &mut uuid {
        if HYPHENS.contains(&at) {
            at += 1;
        }
        *byte = lower_hex(text[at])? << 4 | lower_hex(text[at + 1])?;
        at += 2;
    }
    Some(uuid)
}

fn lower_hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl CaptureId {
    /// Appends the id's text.
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Repr::Text(text) => out.extend_from_slice(text.as_bytes()),
            Repr::Uuid(bytes) => out.extend_from_slice(&uuid_text(bytes)),
        }
    }
}

/// A UUID in its usual spelling: ASCII.
fn uuid_text(bytes: &[u8; 16]) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for byte in bytes {
        if HYPHENS.contains(&at) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    text
}

impl fmt::Display for CaptureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Text(text) => f.write_str(text),
            Repr::Uuid(bytes) => f.write_str(std::str::from_utf8(&uuid_text(bytes)).map_err(|_| fmt::Error)?),
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
