//! Strings read 64 bytes at a time: where quotes and backslashes stand as bits of a word, so that the walk goes from bit to bit and never
//! waits for the byte before. The steps are simdjson's (Langdale and Lemire, 2019).

use wide::{u8x16, u8x64};

use super::{JsonError, Result, StringSpan, unescape_unicode};

/// Bytes looked at in one step.
pub(super) const BLOCK: usize = 64;
/// Bytes copied in one step: a run between two escapes is nearly always shorter.
const COPY: usize = 32;
/// Bytes within reach of a step. A copy may begin at any of twice a block's places (so that a mask shows the compiler that it stays inside), and
/// runs past what it is for.
const REACH: usize = 2 * BLOCK + COPY;

/// What stands where in a block: bit n for byte n.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Marks {
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
    /// Control characters.
    pub(super) controls: u64,
    /// These and what is not ASCII.
    pub(super) odd: u64,
}

#[inline]
pub(super) fn marks(block: &[u8; BLOCK]) -> Marks {
    #[cfg(target_arch = "x86_64")]
    if let Some(marks) = super::vbmi2::marks(block) {
        return marks;
    }
    marks_in_words(block)
}

/// The same by instructions that every processor has.
pub(super) fn marks_in_words(block: &[u8; BLOCK]) -> Marks {
    let bytes = u8x64::from(*block);
    let controls = bytes.simd_lt(u8x64::splat(b' '));
    Marks {
        quotes: bytes.simd_eq(u8x64::splat(b'"')).to_bitmask(),
        backslashes: bytes.simd_eq(u8x64::splat(b'\\')).to_bitmask(),
        controls: controls.to_bitmask(),
        // The highest bit of each byte: set where it is not ASCII, and where the comparison says so.
        odd: (bytes | controls).to_bitmask(),
    }
}

/// The closing quote of the string whose first byte is at `start`, where it stands among the next 16 bytes and no backslash before it: keys and most
/// values are short.
#[inline(always)]
pub(crate) fn near_end(text: &[u8], start: usize) -> Option<usize> {
    let bytes = u8x16::from(*text.get(start..)?.first_chunk()?);
    let hits = (bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'))).to_bitmask();
    let end = start + hits.trailing_zeros() as usize;
    (hits != 0 && text[end] == b'"').then_some(end)
}

/// Finds the end of the string whose first byte is at `start`, as far as whole blocks go: its closing quote, or where to look on byte by byte, which is
/// never behind a backslash.
pub(super) fn find_end(text: &[u8], start: usize) -> (StringSpan, bool) {
    let mut span = StringSpan { start, end: start, escaped: false };
    // Whether the next block's first byte is escaped.
    let mut carry = 0;
    while let Some(block) = text[span.end..].first_chunk() {
        let marks = marks(block);
        let escaped = escaped_bytes(marks.backslashes, &mut carry);
        let quotes = marks.quotes & !escaped;
        if quotes != 0 {
            let quote = quotes.trailing_zeros();
            span.escaped |= marks.backslashes & ((1 << quote) - 1) != 0;
            span.end += quote as usize;
            return (span, true);
        }
        span.escaped |= marks.backslashes != 0;
        span.end += BLOCK;
    }
    span.end += carry as usize;
    (span, false)
}

/// The bytes that stand behind a backslash which is not itself behind one. simdjson's: a run of backslashes that begins at an even place ends an
/// escape at an odd one, and adding carries along the whole run at once.
pub(super) fn escaped_bytes(backslashes: u64, carry: &mut u64) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    let before = *carry;
    if backslashes == 0 {
        *carry = 0;
        return before;
    }
    let potential = backslashes & !before;
    let ends = ((potential << 1) | ODD).wrapping_sub(potential) ^ ODD;
    *carry = (ends & backslashes) >> 63;
    ends ^ (backslashes | before)
}

/// What a string says, and how it was spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// The string: up to its closing quote, or to the text's end.
    pub(crate) span: StringSpan,
    /// Whether there is a closing quote.
    pub(crate) closed: bool,
    /// Whether what is escaped is escaped as emitters do: nothing that need not be, and each in its short form.
    pub(crate) canonical: bool,
    /// Whether a control character or something that is not ASCII may stand in it as it is.
    pub(crate) odd: bool,
}

/// What a short escape stands for; 0 where it is none that emitters write.
pub(super) const SHORT: [u8; 256] = {
    let mut short = [0; 256];
    let pairs = [(b'"', b'"'), (b'\\', b'\\'), (b'b', 8), (b'f', 12), (b'n', 10), (b'r', 13), (b't', 9)];
    let mut n = 0;
    while n < pairs.len() {
        short[pairs[n].0 as usize] = pairs[n].1;
        n += 1;
    }
    short
};

/// Reads the string whose first byte is at `start` up to its closing quote, or to the text's end where it has none, and appends to `out` what it
/// says: escapes undone, a lone surrogate as U+FFFD.
pub(crate) fn say(text: &[u8], start: usize, out: &mut Vec<u8>) -> Result<Said> {
    let before = out.len();
    out.resize(before + say_room(text, start), 0);
    let said = say_into(text, start, &mut out[before..]);
    out.truncate(before + said.as_ref().map_or(0, |(_, bytes)| *bytes));
    said.map(|(said, _)| said)
}

/// The room that [`say_into`] takes in bytes: what a string says is never longer than its text, and copies run past its end.
pub(crate) fn say_room(text: &[u8], start: usize) -> usize {
    text.len() - start + REACH
}

/// The same into a buffer of [`say_room`]; gives how many bytes of it the string says.
pub(crate) fn say_into(text: &[u8], start: usize, out: &mut [u8]) -> Result<(Said, usize)> {
    #[cfg(target_arch = "x86_64")]
    if let Some(said) = super::vbmi2::say_into(text, start, out) {
        return said;
    }
    say_in_words(text, start, out)
}

/// The same by instructions that every processor has.
pub(super) fn say_in_words(text: &[u8], start: usize, out: &mut [u8]) -> Result<(Said, usize)> {
    let mut said =
        Said { span: StringSpan { start, end: start, escaped: false }, closed: false, canonical: true, odd: false };
    let mut to = 0;
    let mut at = start;
    // Whether the next block's first byte is escaped: then it was written with the block before.
    let mut carry = 0;
    'blocks: while !said.closed && at < text.len() {
        let padded;
        let within: &[u8; REACH] = match text[at..].first_chunk() {
            Some(within) => within,
            None => {
                padded = padded_end(&text[at..]);
                &padded
            }
        };
        let mut copied = carry as usize;
        let left = (text.len() - at).min(BLOCK);
        let marks = within.first_chunk().map_or(Marks::default(), marks_in_words);
        let escaped = escaped_bytes(marks.backslashes, &mut carry);
        let quotes = marks.quotes & !escaped;
        let end = left.min(quotes.trailing_zeros() as usize);
        let before = if end == BLOCK { u64::MAX } else { (1 << end) - 1 };
        let mut escapes = marks.backslashes & !escaped & before;
        said.closed = quotes != 0;
        said.odd |= marks.odd & before != 0;
        said.span.escaped |= escapes != 0;
        let Some(block_out) = out[to..].first_chunk_mut::<REACH>() else { return Err(JsonError::Broken) };
        let mut written = 0;
        while escapes != 0 {
            let escape = escapes.trailing_zeros() as usize;
            escapes &= escapes - 1;
            copy(within, copied, block_out, written, escape - copied);
            written += escape - copied;
            let byte = SHORT[usize::from(within[escape + 1])];
            if byte == 0 {
                to += written;
                at = say_other(text, at + escape, out, &mut to, &mut said)?;
                (said.closed, carry) = (false, 0);
                continue 'blocks;
            }
            block_out[written & (2 * BLOCK - 1)] = byte;
            written += 1;
            copied = escape + 2;
        }
        // An escape may end behind the block.
        let rest = end.saturating_sub(copied);
        copy(within, end - rest, block_out, written, rest);
        to += written + rest;
        at += end;
    }
    said.span.end = at;
    Ok((said, to))
}

/// The last bytes of a text, and zeros.
#[inline(never)]
fn padded_end(end: &[u8]) -> [u8; REACH] {
    let mut padded = [0; REACH];
    padded[..end.len()].copy_from_slice(end);
    padded
}

/// Copies `bytes` bytes, at most a block, and up to [`COPY`] more, which the next step overwrites.
#[inline(always)]
fn copy(from: &[u8; REACH], at: usize, to: &mut [u8; REACH], to_at: usize, bytes: usize) {
    let mut step = |done: usize| {
        let (at, to_at) = ((at + done) & (2 * BLOCK - 1), (to_at + done) & (2 * BLOCK - 1));
        to[to_at..to_at + COPY].copy_from_slice(&from[at..at + COPY]);
    };
    step(0);
    if bytes > COPY {
        step(COPY);
    }
}

/// Undoes the escape at `at` that is no short one; gives the offset behind it.
#[cold]
pub(super) fn say_other(text: &[u8], at: usize, out: &mut [u8], to: &mut usize, said: &mut Said) -> Result<usize> {
    if text[at..].starts_with(b"\\/") {
        said.canonical = false;
        out[*to] = b'/';
        *to += 1;
        return Ok(at + 2);
    }
    let digits = text[at..].strip_prefix(b"\\u").ok_or(JsonError::Broken)?;
    let mut char = Vec::with_capacity(4);
    let rest = unescape_unicode(digits, &mut char)?;
    said.canonical &= is_canonical_control(&digits[..4], &char);
    out[*to..*to + char.len()].copy_from_slice(&char);
    *to += char.len();
    Ok(text.len() - rest.len())
}

/// Whether a character must be written as `\u00xx`, and is written so in lowercase.
fn is_canonical_control(digits: &[u8], char: &[u8]) -> bool {
    matches!(char, [byte] if *byte < b' ' && !matches!(byte, 8 | 9 | 10 | 12 | 13))
        && !digits.iter().any(u8::is_ascii_uppercase)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Text of which most is quotes, backslashes and what follows them.
    pub(in crate::json) fn dense() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(b'\\'), Just(b'"'), Just(b'n'), Just(b'u'), Just(b'0'), Just(b'/'), any::<u8>()];
        let dense = proptest::collection::vec(byte, 0..300);
        let sparse = proptest::collection::vec(prop_oneof![30 => 1u8..=255, 1 => Just(b'\\'), 1 => Just(b'"')], 0..600);
        prop_oneof![dense, sparse]
    }

    /// Where the string that starts at 0 ends, byte by byte.
    fn end_of(text: &[u8]) -> Option<usize> {
        let mut at = 0;
        while *text.get(at)? != b'"' {
            at += if text[at] == b'\\' { 2 } else { 1 };
        }
        Some(at)
    }

    proptest! {
        #[test]
        fn marks_are_where_the_bytes_are(bytes in proptest::collection::vec(any::<u8>(), BLOCK)) {
            let block: &[u8; BLOCK] = bytes.first_chunk().unwrap();
            let marks = marks(block);
            for (n, byte) in block.iter().enumerate() {
                let bit = |word: u64| word >> n & 1 == 1;
                prop_assert_eq!(bit(marks.quotes), *byte == b'"');
                prop_assert_eq!(bit(marks.backslashes), *byte == b'\\');
                prop_assert_eq!(bit(marks.controls), *byte < b' ');
                prop_assert_eq!(bit(marks.odd), *byte < b' ' || *byte >= 0x80);
            }
        }

        #[test]
        fn a_string_ends_where_it_does_byte_by_byte(text in dense()) {
            let quoted = [b"\"".as_slice(), &text].concat();
            let span = crate::json::skip_string(&quoted, 0).ok();
            prop_assert_eq!(span.map(|span| span.end - 1), end_of(&text));
            if let Some(span) = span {
                prop_assert_eq!(span.escaped, span.raw(&quoted).contains(&b'\\'));
            }
        }

        #[test]
        fn a_string_says_what_a_json_parser_reads(text in dense()) {
            let mut out = b"before".to_vec();
            let said = say(&text, 0, &mut out);
            if let Some(end) = end_of(&text)
                && let Ok(inner) = std::str::from_utf8(&text[..end])
                && !inner.bytes().any(|byte| byte < b' ')
            {
                let inner = crate::json::without_lone_surrogates(inner);
                let parsed = serde_json::from_str::<String>(&format!("\"{inner}\""));
                prop_assert_eq!(said.is_ok(), parsed.is_ok());
                if let (Ok(said), Ok(parsed)) = (said, parsed) {
                    prop_assert!(said.closed && said.span.end == end);
                    prop_assert_eq!(&out[..], [b"before", parsed.as_bytes()].concat());
                    prop_assert_eq!(said.canonical, serde_json::to_string(&parsed).unwrap() == format!("\"{inner}\""));
                }
            }
        }
    }

    #[test]
    fn escapes_are_undone_across_the_edges_of_blocks() {
        for offset in 0..80 {
            let text =
                format!("{}\\\\\\\"x\\n\\u00e9\\ud83d\\ude00\\u001f end\" {}", "a".repeat(offset), "b".repeat(200));
            let mut out = Vec::new();
            let said = say(text.as_bytes(), 0, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("{}\\\"x\né😀\u{1f} end", "a".repeat(offset)));
            assert!(said.closed && !said.canonical && said.span.escaped);
        }
    }

    #[test]
    fn what_is_odd_is_noticed() {
        for (text, odd) in [("plain", false), ("é", true), ("a\tb", true), ("\\t", false)] {
            for padding in [0, 100] {
                let text = format!("{text}{}\"{}", "x".repeat(padding), "}".repeat(100));
                assert_eq!(say(text.as_bytes(), 0, &mut Vec::new()).unwrap().odd, odd, "{text}");
            }
        }
    }
}
