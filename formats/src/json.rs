//! The little of JSON that the scanner needs: where a value ends, what a string says, what a number is.
//!
//! Works on bytes, never allocates for structure, and never looks at a byte twice within one call. Strings may hold unescaped control
//! characters and bytes that are not UTF-8: what encloses a record need not be clean for the record to be good.

mod blocks;
mod quotes;
#[cfg(target_arch = "x86_64")]
mod vbmi2;

use std::borrow::Cow;

use memchr::memchr2;

pub(crate) use self::blocks::{Said, near_end, say, say_into, say_room};
pub(crate) use self::quotes::{Quotes, skip_plain_object};

/// Deepest nesting of objects and arrays that is followed; deeper is an error, so that no input can exhaust the stack.
pub(crate) const MAX_DEPTH: usize = 64;

/// Why no value ends where one was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// Not JSON, or cut before its end.
    Broken,
    /// Deeper than [`MAX_DEPTH`].
    TooDeep,
}

type Result<T> = std::result::Result<T, JsonError>;

/// The offset of the first byte at or after `at` that is no JSON white space.
#[inline(always)]
pub(crate) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = text.get(at) {
        at += 1;
    }
    at
}

/// The offset behind the value that starts at `at`.
pub(crate) fn skip_value(text: &[u8], at: usize, depth: usize) -> Result<usize> {
    match text.get(at) {
        Some(b'"') => Ok(skip_string(text, at)?.end + 1),
        Some(b'{') => {
            let mut members = Members::new(text, at, depth)?;
            while let Some(member) = members.next_member()? {
                members.seek(skip_value(text, member.value, depth + 1)?);
            }
            Ok(members.at)
        }
        Some(b'[') => skip_array(text, at, depth, |_| ()),
        Some(b't') => skip_word(text, at, b"true"),
        Some(b'f') => skip_word(text, at, b"false"),
        Some(b'n') => skip_word(text, at, b"null"),
        Some(b'-' | b'0'..=b'9') => skip_number(text, at),
        _ => Err(JsonError::Broken),
    }
}

/// The offset behind the array that starts at `at`; `element` is told where each element starts.
pub(crate) fn skip_array(text: &[u8], at: usize, depth: usize, mut element: impl FnMut(usize)) -> Result<usize> {
    if depth >= MAX_DEPTH {
        return Err(JsonError::TooDeep);
    }
    let mut at = skip_space(text, at + 1);
    if text.get(at) == Some(&b']') {
        return Ok(at + 1);
    }
    loop {
        element(at);
        at = skip_space(text, skip_value(text, at, depth + 1)?);
        match text.get(at) {
            Some(b',') => at = skip_space(text, at + 1),
            Some(b']') => return Ok(at + 1),
            _ => return Err(JsonError::Broken),
        }
    }
}

fn skip_word(text: &[u8], at: usize, word: &[u8]) -> Result<usize> {
    if text[at..].starts_with(word) { Ok(at + word.len()) } else { Err(JsonError::Broken) }
}

fn skip_number(text: &[u8], at: usize) -> Result<usize> {
    let digits = |at: usize| at + text[at.min(text.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = at + usize::from(text[at] == b'-');
    let whole = digits(end);
    if whole == end || (text[end] == b'0' && whole > end + 1) {
        return Err(JsonError::Broken);
    }
    end = whole;
    if text.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if fraction == end + 1 {
            return Err(JsonError::Broken);
        }
        end = fraction;
    }
    if let Some(b'e' | b'E') = text.get(end) {
        let start = end + 1 + usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(start);
        if exponent == start {
            return Err(JsonError::Broken);
        }
        end = exponent;
    }
    Ok(end)
}

/// A string within a text: the offsets of its first byte and of its closing quote, and whether it holds escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StringSpan {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) escaped: bool,
}

impl StringSpan {
    /// The bytes between the quotes, as they stand.
    pub(crate) fn raw<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        &text[self.start..self.end]
    }
}

/// Finds the end of the string whose opening quote is at `at`. Escapes are stepped over, and judged by [`unescape`].
#[inline(always)]
pub(crate) fn skip_string(text: &[u8], at: usize) -> Result<StringSpan> {
    if text.get(at) != Some(&b'"') {
        return Err(JsonError::Broken);
    }
    let start = at + 1;
    match blocks::near_end(text, start) {
        Some(end) => Ok(StringSpan { start, end, escaped: false }),
        None => skip_long_string(text, start),
    }
}

#[inline(never)]
fn skip_long_string(text: &[u8], start: usize) -> Result<StringSpan> {
    let (mut span, closed) = blocks::find_end(text, start);
    if closed {
        return Ok(span);
    }
    loop {
        let rest = text.get(span.end..).ok_or(JsonError::Broken)?;
        span.end += memchr2(b'"', b'\\', rest).ok_or(JsonError::Broken)?;
        if text[span.end] == b'"' {
            return Ok(span);
        }
        span.escaped = true;
        span.end += 2;
    }
}

/// One member of an object: its key and the offset at which its value starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) key: StringSpan,
    pub(crate) value: usize,
}

/// Walks an object's members. After each, [`Members::seek`] must be told where the member's value ended.
#[derive(Debug)]
pub(crate) struct Members<'t> {
    text: &'t [u8],
    /// Where the walk stands; after the last member, the offset behind the object.
    pub(crate) at: usize,
    first: bool,
}

impl<'t> Members<'t> {
    /// Starts at the `{` at `at`.
    pub(crate) fn new(text: &'t [u8], at: usize, depth: usize) -> Result<Self> {
        if depth >= MAX_DEPTH {
            return Err(JsonError::TooDeep);
        }
        if text.get(at) != Some(&b'{') {
            return Err(JsonError::Broken);
        }
        Ok(Members { text, at: at + 1, first: true })
    }

    /// The next member, or `None` behind the last.
    #[inline]
    pub(crate) fn next_member(&mut self) -> Result<Option<Member>> {
        let mut at = skip_space(self.text, self.at);
        match (self.text.get(at), self.first) {
            (Some(b'}'), _) => {
                self.at = at + 1;
                return Ok(None);
            }
            (Some(b','), false) => at = skip_space(self.text, at + 1),
            (Some(_), true) => (),
            _ => return Err(JsonError::Broken),
        }
        self.first = false;
        let key = skip_string(self.text, at)?;
        at = skip_space(self.text, key.end + 1);
        if self.text.get(at) != Some(&b':') {
            return Err(JsonError::Broken);
        }
        Ok(Some(Member { key, value: skip_space(self.text, at + 1) }))
    }

    /// Goes on behind a value that ends at `end`.
    pub(crate) fn seek(&mut self, end: usize) {
        self.at = end;
    }
}

/// Appends what the inside of a string says: its escapes undone, a lone surrogate as U+FFFD.
pub(crate) fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
    if say(raw, 0, out)?.closed { Err(JsonError::Broken) } else { Ok(()) }
}

/// Undoes one `\u` escape whose digits start `rest`, with its low surrogate where one follows; gives what follows it.
fn unescape_unicode<'t>(rest: &'t [u8], out: &mut Vec<u8>) -> Result<&'t [u8]> {
    let unit = hex4(rest)?;
    let rest = &rest[4..];
    if (0xD800..0xDC00).contains(&unit)
        && let Some(low) = rest.strip_prefix(b"\\u")
    {
        let second = hex4(low)?;
        if (0xDC00..0xE000).contains(&second) {
            let code = 0x10000 + ((unit - 0xD800) << 10) + (second - 0xDC00);
            push_char(char::from_u32(code), out);
            return Ok(&low[4..]);
        }
    }
    push_char(char::from_u32(unit), out);
    Ok(rest)
}

fn push_char(char: Option<char>, out: &mut Vec<u8>) {
    let mut buffer = [0; 4];
    out.extend_from_slice(char.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut buffer).as_bytes());
}

fn hex4(digits: &[u8]) -> Result<u32> {
    let digits = digits.get(..4).ok_or(JsonError::Broken)?;
    digits.iter().try_fold(0, |value, digit| {
        char::from(*digit).to_digit(16).map(|digit| value << 4 | digit).ok_or(JsonError::Broken)
    })
}

/// JSON text in which every lone surrogate escape reads U+FFFD, as strict parsers refuse it.
pub(crate) fn without_lone_surrogates(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let surrogate = |at: usize| {
        let escape = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        hex4(escape).ok().filter(|unit| (0xD800..0xE000).contains(unit))
    };
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        at += found;
        match (surrogate(at), surrogate(at + 6)) {
            (Some(0xD800..0xDC00), Some(0xDC00..)) => at += 12,
            (Some(_), _) => {
                out.push_str(&text[copied..at]);
                out.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            (None, _) => at = (at + 2).min(bytes.len()),
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// A number's value where it is integral and not negative: `5`, `5.0`, `5e0`.
pub(crate) fn integer(number: &[u8]) -> Option<u64> {
    if !number.is_empty() && number.len() < 19 && number.iter().all(u8::is_ascii_digit) {
        return Some(number.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')));
    }
    /// Up to here every integer has a double of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let value: f64 = std::str::from_utf8(number).ok()?.parse().ok()?;
    (value.fract() == 0.0 && (0.0..=EXACT).contains(&value)).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> Result<usize> {
        skip_value(text.as_bytes(), 0, 0)
    }

    #[test]
    fn values_end_where_json_says() {
        for text in [
            "{}",
            "[]",
            "\"a\\\"b\"",
            "-1.5e+3",
            "true",
            r#"{"a":[1,{"b":null}],"c":"}"}"#,
            "{ \"a\" : 1 , \"b\" : [ ] }",
        ] {
            assert_eq!(end(&format!("{text}rest")), Ok(text.len()), "{text}");
        }
    }

    #[test]
    fn broken_values_have_no_end() {
        for text in [
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{,}",
            "[1,]",
            "\"a",
            "\"a\\",
            "-",
            "1.",
            "tru",
            "{a:1}",
            "1e",
            "[01]",
            "-00",
        ] {
            assert_eq!(end(text), Err(JsonError::Broken), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(end(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(end(&nested(MAX_DEPTH + 1)), Err(JsonError::TooDeep));
        assert_eq!(end(&"{\"a\":".repeat(1 << 20)), Err(JsonError::TooDeep));
    }

    #[test]
    fn escapes_are_undone() {
        let said = |raw: &str| {
            let mut out = Vec::new();
            unescape(raw.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(said(r#"a\"\\\/\b\f\n\r\tz"#).unwrap(), "a\"\\/\u{8}\u{c}\n\r\tz");
        assert_eq!(said(r"\u00e9\ud83d\ude00").unwrap(), "é😀");
        assert_eq!(said(r"\ud83dx\ude00\ud83d\ud83d\ude00").unwrap(), "\u{fffd}x\u{fffd}\u{fffd}😀");
        assert!(said(r"\x").is_err() && said(r"\u12").is_err() && said("\\").is_err() && said(r"\u+123").is_err());
    }

    #[test]
    fn lone_surrogates_become_replacement_characters() {
        for (text, without) in [
            (r#""a\ud83d\ude00""#, r#""a\ud83d\ude00""#),
            (r#""\ud83dx\uDE00\\ud83d\né""#, r#""\ufffdx\ufffd\\ud83d\né""#),
            (r#""\ud83d\ud83d\ude00\ud8""#, r#""\ufffd\ud83d\ude00\ud8""#),
        ] {
            assert_eq!(without_lone_surrogates(text), without);
        }
    }

    #[test]
    fn integral_numbers_are_integers() {
        for (text, value) in [
            ("0", Some(0)),
            ("5.0", Some(5)),
            ("1e3", Some(1000)),
            ("1.5", None),
            ("-1", None),
            ("-0.0", Some(0)),
            ("1e300", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text}");
        }
    }
}
