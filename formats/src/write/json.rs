//! Canonical JSON text: one way to escape a string, and an object written key by key.
//!
//! Invariant: what is written holds no raw control character, so a line's only newline is its last byte.

/// The little word in which every byte is 1.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The little word in which every byte has its highest bit alone.
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// What JSON text is written to: a `String`, or the bytes of a line.
pub(super) trait TextOut {
    fn put(&mut self, text: &str);
    /// Takes bytes that are all ASCII.
    fn put_ascii(&mut self, bytes: &[u8]);
}

impl TextOut for String {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }

    fn put_ascii(&mut self, bytes: &[u8]) {
        self.extend(bytes.iter().copied().map(char::from));
    }
}

impl TextOut for Vec<u8> {
    fn put(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }

    fn put_ascii(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Appends `text` to `out` as the inside of a JSON string, escaped canonically (rule 12 of [`crate::write`]).
pub fn escape_json(text: &str, out: &mut Vec<u8>) {
    // Most texts are short and need no escape.
    if text.len() <= BLOCK_BYTES && is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        escape_within(text, usize::MAX, out);
    }
}

/// The escape of each ASCII byte that has one.
static ESCAPES: [&str; 128] = {
    let control = [
        "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007", "\\b", "\\t", "\\n",
        "\\u000b", "\\f", "\\r", "\\u000e", "\\u000f", "\\u0010", "\\u0011", "\\u0012", "\\u0013", "\\u0014",
        "\\u0015", "\\u0016", "\\u0017", "\\u0018", "\\u0019", "\\u001a", "\\u001b", "\\u001c", "\\u001d", "\\u001e",
        "\\u001f",
    ];
    let mut all = [""; 128];
    let mut at = 0;
    while at < control.len() {
        all[at] = control[at];
        at += 1;
    }
    all[b'"' as usize] = "\\\"";
    all[b'\\' as usize] = "\\\\";
    all
};

/// Appends as many whole characters of `text` as take at most `room` bytes once escaped; returns how many bytes of `text` that is.
pub(super) fn escape_within(text: &str, room: usize, out: &mut impl TextOut) -> usize {
    let bytes = text.as_bytes();
    let mut room = room;
    let mut at = 0;
    let mut block = [0; BLOCK_BYTES];
    loop {
        // JSON within JSON has an escape every few bytes: eight bytes at once are far cheaper than each run and escape by itself, and many such
        // words at once cheaper than a copy for each.
        let mut len = 0;
        while len + ESCAPED_WORD_BYTES <= BLOCK_BYTES.min(room)
            && let Some(word) = bytes.get(at..at + 8)
            && let Some(escaped_bytes) = escape_word(word, &mut block[len..len + ESCAPED_WORD_BYTES])
        {
            len += escaped_bytes;
            at += 8;
        }
        out.put_ascii(&block[..len]);
        room -= len;
        if len + ESCAPED_WORD_BYTES > BLOCK_BYTES {
            continue;
        }
        let run = plain_run(&bytes[at..]);
        if run > room {
            let end = text.floor_char_boundary(at + room);
            out.put(&text[at..end]);
            return end;
        }
        out.put(&text[at..at + run]);
        at += run;
        room -= run;
        let Some(&byte) = bytes.get(at) else { return at };
        let escape = ESCAPES[usize::from(byte & 0x7f)];
        if escape.len() > room {
            return at;
        }
        out.put(escape);
        room -= escape.len();
        at += 1;
    }
}

/// The longest that [`escape_word`] makes of eight bytes.
const ESCAPED_WORD_BYTES: usize = 8 * 2;
/// So much is escaped before it is copied.
const BLOCK_BYTES: usize = 256;

/// Of each ASCII byte whether it has a two-byte escape (1 or 0), and the last byte of what is written for it; 2 for what takes six.
static SHORT: [(u8, u8); 128] = {
    let mut all = [(0, 0); 128];
    let mut at = 0;
    while at < all.len() {
        let escape = ESCAPES[at].as_bytes();
        all[at] = match escape.len() {
            0 => (0, at as u8),
            2 => (1, escape[1]),
            _ => (2, 0),
        };
        at += 1;
    }
    all
};

/// Escapes eight ASCII bytes, of which one at least needs it and none takes six bytes, into [`ESCAPED_WORD_BYTES`]; gives how many it wrote, and `None` for any
/// others. Without a branch on each byte: where quotes fall can't be predicted.
fn escape_word(word: &[u8], escaped: &mut [u8]) -> Option<usize> {
    let packed = pack(word);
    if packed & HIGHS != 0 || marks(packed) == 0 {
        return None;
    }
    let escaped: &mut [u8; ESCAPED_WORD_BYTES] = escaped.try_into().ok()?;
    let (mut len, mut kinds) = (0, 0);
    for &byte in &word[..8] {
        let (kind, last) = SHORT[usize::from(byte & 0x7f)];
        kinds |= kind;
        // The backslash gives way to the byte itself where there is no escape.
        escaped[len % ESCAPED_WORD_BYTES] = b'\\';
        len += usize::from(kind & 1);
        escaped[len % ESCAPED_WORD_BYTES] = last;
        len += 1;
    }
    (kinds < 2).then_some(len)
}

/// Whether no byte needs an escape.
fn is_plain(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<8>() else {
        let mut padded = [b' '; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        return marks(u64::from_le_bytes(padded)) == 0;
    };
    // The last word overlaps the one before it.
    let words = bytes.chunks_exact(8).map(pack).fold(0, |marked, word| marked | marks(word));
    words | marks(u64::from_le_bytes(*last)) == 0
}

/// How many bytes at the start of `bytes` need no escape.
fn plain_run(bytes: &[u8]) -> usize {
    let mut words = bytes.chunks_exact(8);
    let mut at = 0;
    for word in &mut words {
        let marked = marks(pack(word));
        if marked != 0 {
            return at + (marked.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = words.remainder();
    at + rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\').unwrap_or(rest.len())
}

/// Eight bytes as a number, the first the lowest.
fn pack(word: &[u8]) -> u64 {
    u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]])
}

/// The highest bit of each byte that needs an escape; exact up to the lowest one, above which more may be set.
fn marks(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = word ^ (ONES * u64::from(b'"'));
    let backslash = word ^ (ONES * u64::from(b'\\'));
    let marked = control | (quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash);
    marked & HIGHS
}

fn hex_digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 15)]
}

/// A CRC-32 as lines spell it: 8 lowercase hex digits.
pub(super) fn crc_hex(crc: u32) -> [u8; 8] {
    std::array::from_fn(|at| hex_digit((crc >> (28 - 4 * at)) as u8))
}

/// Appends a number in decimal.
pub(super) fn push_number(number: u64, out: &mut impl TextOut) {
    out.put(itoa::Buffer::new().format(number));
}

/// Appends a quoted string.
pub(super) fn push_string(text: &str, out: &mut String) {
    out.push('"');
    escape_within(text, usize::MAX, out);
    out.push('"');
}

/// Writes one object, key by key in the order of the calls.
pub(super) struct ObjectWriter<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> ObjectWriter<'a> {
    pub(super) fn new(out: &'a mut String) -> ObjectWriter<'a> {
        out.push('{');
        ObjectWriter { out, first: true }
    }

    /// Writes a key and gives out where its value goes.
    pub(super) fn key(&mut self, key: &str) -> &mut String {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
        push_string(key, self.out);
        self.out.push(':');
        self.out
    }

    pub(super) fn string(&mut self, key: &str, value: &str) {
        push_string(value, self.key(key));
    }

    pub(super) fn number(&mut self, key: &str, value: u64) {
        push_number(value, self.key(key));
    }

    /// A flag is written where it is true, and left out where it is not.
    pub(super) fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.key(key).push_str("true");
        }
    }

    pub(super) fn pairs<N: AsRef<str>, V: AsRef<str>>(&mut self, key: &str, pairs: &[(N, V)]) {
        let out = self.key(key);
        out.push('[');
        for (at, (name, value)) in pairs.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            out.push('[');
            push_string(name.as_ref(), out);
            out.push(',');
            push_string(value.as_ref(), out);
            out.push(']');
        }
        out.push(']');
    }

    pub(super) fn end(self) {
        self.out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        escape_json(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_what_must_be_is_escaped() {
        assert_eq!(
            escaped("a\"\\/\u{8}\t\n\u{c}\r\u{0}\u{1b}\u{1f} <>&'\u{7f}\u{2028}\u{2029}é😀"),
            "a\\\"\\\\/\\b\\t\\n\\f\\r\\u0000\\u001b\\u001f <>&'\u{7f}\u{2028}\u{2029}é😀"
        );
    }

    #[test]
    fn a_cut_falls_between_characters_and_never_within_an_escape() {
        let mut out = Vec::new();
        assert_eq!(escape_within("aé", 2, &mut out), 1);
        assert_eq!(escape_within("\u{1}x", 5, &mut out), 0);
        assert_eq!(escape_within("\n\"x", 4, &mut out), 2);
        assert_eq!(out, br#"a\n\""#);
    }

    proptest! {
        #[test]
        fn any_string_comes_back(text in any::<String>()) {
            let quoted = format!("\"{}\"", escaped(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        }

        #[test]
        fn dense_escapes_come_back_and_fill_their_room(text in "[a-c\"\\\\\n\u{1}é]{0,80}", room in 0usize..120) {
            let quoted = format!("\"{}\"", escaped(&text));
            prop_assert_eq!(&serde_json::from_str::<String>(&quoted).unwrap(), &text);
            let mut out = Vec::new();
            let used = escape_within(&text, room, &mut out);
            prop_assert_eq!(String::from_utf8(out.clone()).unwrap(), escaped(&text[..used]));
            prop_assert!(out.len() <= room);
            if let Some(next) = text[used..].chars().next() {
                prop_assert!(out.len() + escaped(&next.to_string()).len() > room);
            }
        }

        #[test]
        fn every_byte_that_needs_an_escape_is_found(text in "[a\"\\\\\u{1f}\u{20}\u{7f}éÿ]{0,40}") {
            let slow = text.bytes().position(|b| b < 0x20 || b == b'"' || b == b'\\').unwrap_or(text.len());
            prop_assert_eq!(plain_run(text.as_bytes()), slow);
            prop_assert_eq!(is_plain(text.as_bytes()), slow == text.len());
        }
    }
}
