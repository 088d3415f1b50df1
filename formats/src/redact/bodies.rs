//! Bodies that hold secrets: values under listed names in JSON and in forms (emitter specification, C-3.3).

use std::borrow::Cow;

use memchr::memmem;

use super::{REDACTED, Redactor};
use crate::write::escape_json;

/// Arrays and objects within one another; a body that nests deeper is not looked through.
const MAX_NESTING: usize = 128;
/// Texts that are JSON themselves, within one another: a queue's event that brings a topic's message has two.
const MAX_TEXTS: usize = 4;

/// What of a body is looked at for names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// One JSON value, or several with white space or nothing between them.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
}

impl BodyKind {
    /// What a body of this content type is; nothing where it is not looked at. Parameters are left aside.
    pub fn of(content_type: &str) -> Option<BodyKind> {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match &*essence {
            "application/json" | "application/x-ndjson" => Some(BodyKind::Json),
            "application/x-www-form-urlencoded" => Some(BodyKind::Form),
            other => other.ends_with("+json").then_some(BodyKind::Json),
        }
    }
}

impl Redactor {
    /// A whole body as it may be captured; nothing where it is none of its kind.
    pub fn body<'a>(&self, kind: BodyKind, body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let text = std::str::from_utf8(body).ok()?;
        match kind {
            BodyKind::Json => self.json(text, 0),
            BodyKind::Form => Some(match self.parameters(text, |name| self.is_secret_field(name)) {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }),
        }
    }
}

impl Redactor {
    /// JSON text that stands in `texts` others, as it may be captured; nothing where it is none.
    fn json<'a>(&self, text: &'a str, texts: usize) -> Option<Cow<'a, [u8]>> {
        let text = text.as_bytes();
        if !self.may_stand_in(text) {
            return Some(Cow::Borrowed(text));
        }
        let mut walk = Walk { redactor: self, text, texts, at: 0, copied: 0, out: Vec::new() };
        walk.space();
        while walk.at < walk.text.len() {
            walk.value(0)?;
            walk.space();
        }
        Some(walk.done())
    }

    /// Whether a listed name may stand in JSON text. Where none of their texts occurs and no character is spelled by its number, none does,
    /// however the text is read; and to look for them costs a third of reading it.
    fn may_stand_in(&self, body: &[u8]) -> bool {
        let plain = body.to_ascii_lowercase();
        memmem::find(&plain, b"\\u").is_some()
            || self.names.iter().any(|name| memmem::find(&plain, name.text.as_bytes()).is_some())
    }
}

/// A walk through JSON text, which gives nothing where it is none.
struct Walk<'r, 't> {
    redactor: &'r Redactor,
    text: &'t [u8],
    /// In how many texts this one stands.
    texts: usize,
    at: usize,
    /// Up to where the text is in `out`, as it may be captured.
    copied: usize,
    out: Vec<u8>,
}

impl<'t> Walk<'_, 't> {
    fn done(mut self) -> Cow<'t, [u8]> {
        if self.copied == 0 {
            return Cow::Borrowed(self.text);
        }
        self.out.extend_from_slice(&self.text[self.copied..]);
        Cow::Owned(self.out)
    }

    fn next(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.next(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Steps over one byte, where it stands here.
    fn skip(&mut self, byte: u8) -> bool {
        let is_here = self.next() == Some(byte);
        self.at += usize::from(is_here);
        is_here
    }

    fn value(&mut self, nesting: usize) -> Option<()> {
        match self.next()? {
            b'{' => self.members(b'}', nesting),
            b'[' => self.members(b']', nesting),
            b'"' => self.text_value(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    /// What stands in an object or array that `end` closes.
    fn members(&mut self, end: u8, nesting: usize) -> Option<()> {
        if nesting == MAX_NESTING {
            return None;
        }
        self.at += 1;
        self.space();
        if self.skip(end) {
            return Some(());
        }
        loop {
            let mut is_secret = false;
            if end == b'}' {
                is_secret = self.name()?;
                self.space();
                self.skip(b':').then_some(())?;
                self.space();
            }
            let (start, copied, written) = (self.at, self.copied, self.out.len());
            self.value(nesting + 1)?;
            if is_secret {
                // Secrets within it go with it.
                self.out.truncate(written);
                self.out.extend_from_slice(&self.text[copied..start]);
                self.out.push(b'"');
                self.out.extend_from_slice(REDACTED.as_bytes());
                self.out.push(b'"');
                self.copied = self.at;
            }
            self.space();
            if self.skip(end) {
                return Some(());
            }
            self.skip(b',').then_some(())?;
            self.space();
        }
    }

    /// Steps over a string that is a value; what is secret in JSON that it holds is left out.
    fn text_value(&mut self) -> Option<()> {
        let start = self.at;
        let (raw, escaped) = self.string()?;
        // JSON that has names has quotes, and those have escapes here.
        if escaped && let Some(kept) = self.within(raw) {
            self.out.extend_from_slice(&self.text[self.copied..start]);
            self.out.push(b'"');
            escape_json(&kept, &mut self.out);
            self.out.push(b'"');
            self.copied = self.at;
        }
        Some(())
    }

    /// What a string says without its secrets; nothing where it is no JSON or has none.
    fn within(&self, raw: &[u8]) -> Option<String> {
        if self.texts == MAX_TEXTS || !matches!(raw.first()?, b'{' | b'[' | b' ' | b'\\') {
            return None;
        }
        let said = unescaped(std::str::from_utf8(raw).ok()?);
        if !said.trim_start_matches([' ', '\t', '\n', '\r']).starts_with(['{', '[']) {
            return None;
        }
        match self.redactor.json(&said, self.texts + 1)? {
            Cow::Borrowed(_) => None,
            Cow::Owned(kept) => String::from_utf8(kept).ok(),
        }
    }

    /// Steps over a member's name. True where it is a secret's.
    fn name(&mut self) -> Option<bool> {
        let (raw, escaped) = self.string()?;
        Some(match escaped {
            false => self.redactor.is_secret(raw, &self.redactor.names),
            // Quotes are no part of a character, and the whole is UTF-8.
            true => self.redactor.is_secret_name(&unescaped(std::str::from_utf8(raw).ok()?)),
        })
    }

    /// Steps over a string. What stands between its quotes, and whether there are escapes.
    fn string(&mut self) -> Option<(&'t [u8], bool)> {
        self.skip(b'"').then_some(())?;
        let (start, mut escaped) = (self.at, false);
        loop {
            self.at += plain_bytes(&self.text[self.at..]);
            self.at += 1;
            match self.text.get(self.at - 1)? {
                b'"' => return Some((&self.text[start..self.at - 1], escaped)),
                b'\\' => {}
                _ => return None,
            }
            escaped = true;
            self.at += 1;
            match self.text.get(self.at - 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                b'u' => {
                    let digits = self.text.get(self.at..self.at + 4)?;
                    digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                    self.at += 4;
                }
                _ => return None,
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text[self.at..].starts_with(word).then_some(())?;
        self.at += word.len();
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        self.skip(b'-');
        if !self.skip(b'0') {
            self.digits()?;
        }
        if self.skip(b'.') {
            self.digits()?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            let _ = self.skip(b'+') || self.skip(b'-');
            self.digits()?;
        }
        // Two values that nothing separates must not join to one: `01`, `1true`.
        let ends = !self.next().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+'));
        ends.then_some(())
    }

    fn digits(&mut self) -> Option<()> {
        let count = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(())
    }
}

/// How many bytes stand before the first that is a quote, a backslash or a control character: eight at a time, because most strings are short.
fn plain_bytes(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    /// Where a byte is zero its highest bit is set; below the first of those no other is.
    fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let mut at = 0;
    while let Some(word) = text[at..].first_chunk() {
        let word = u64::from_le_bytes(*word);
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let found =
            (controls | zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')))) & HIGH;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + text[at..].iter().take_while(|byte| !matches!(byte, ..0x20 | b'"' | b'\\')).count()
}

/// A valid JSON string's characters; a lone surrogate is U+FFFD.
fn unescaped(raw: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        units.extend(rest[..at].encode_utf16());
        let escape = &rest[at + 1..];
        let (unit, length) = match escape.as_bytes().first() {
            Some(b'u') => (escape.get(1..5).and_then(|hex| u16::from_str_radix(hex, 16).ok()).unwrap_or(0xfffd), 5),
            Some(b'b') => (8, 1),
            Some(b'f') => (12, 1),
            Some(b'n') => (10, 1),
            Some(b'r') => (13, 1),
            Some(b't') => (9, 1),
            Some(other) => (u16::from(*other), 1),
            None => break,
        };
        units.push(unit);
        rest = escape.get(length..).unwrap_or_default();
    }
    units.extend(rest.encode_utf16());
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    #[test]
    fn content_types_tell_what_is_looked_at() {
        for (content_type, kind) in [
            ("application/json", Some(BodyKind::Json)),
            ("Application/JSON; charset=utf-8", Some(BodyKind::Json)),
            ("application/problem+json", Some(BodyKind::Json)),
            ("application/x-ndjson", Some(BodyKind::Json)),
            ("application/x-www-form-urlencoded", Some(BodyKind::Form)),
            ("application/jsonp", None),
            ("text/plain", None),
            ("", None),
        ] {
            assert_eq!(BodyKind::of(content_type), kind, "{content_type}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
            "[a-z\"\\\\\u{1}é😀]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let names = prop_oneof!["[a-c\"\\\\é]{0,3}", Just("pwd".to_owned()), Just("my\tToken".to_owned())];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((names, inner.clone()), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
                inner.prop_map(|value| value.to_string().into()),
            ]
        })
    }

    fn redacted(value: Value) -> Value {
        match value {
            Value::String(text) if text.starts_with(['{', '[']) => match serde_json::from_str(&text) {
                Ok(value) => redacted(value).to_string().into(),
                Err(_) => text.into(),
            },
            Value::Array(values) => values.into_iter().map(redacted).collect(),
            Value::Object(members) => Value::Object(
                members
                    .into_iter()
                    .map(|(name, value)| match Redactor::default().is_secret_name(&name) {
                        true => (name, REDACTED.into()),
                        false => (name, redacted(value)),
                    })
                    .collect::<Map<_, _>>(),
            ),
            other => other,
        }
    }

    proptest! {
        #[test]
        fn plain_bytes_end_where_a_walk_would(text in proptest::collection::vec(prop_oneof![4 => 0x20u8..=0xff, 1 => any::<u8>()], 0..40)) {
            let walked = text.iter().take_while(|byte| **byte >= 0x20 && !b"\"\\".contains(byte)).count();
            prop_assert_eq!(plain_bytes(&text), walked);
        }

        #[test]
        fn a_body_is_redacted_as_its_value_would_be(value in values(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let redactor = Redactor::default();
            let once = redactor.body(BodyKind::Json, text.as_bytes()).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Value>(&once).unwrap(), redacted(value));
            prop_assert_eq!(redactor.body(BodyKind::Json, &once).unwrap(), once.clone());
        }

        #[test]
        fn what_is_taken_for_json_is_json(text in "[\\[\\]{}\",:\\\\utrefalsn0-9.eE+ -]{0,24}") {
            let is_json = serde_json::Deserializer::from_str(&text).into_iter::<serde::de::IgnoredAny>().all(|value| value.is_ok());
            // Every text may hold this name, so every text is read.
            let taken = Redactor::empty().name("*").body(BodyKind::Json, text.as_bytes()).is_some();
            // Numbers and words that nothing separates are left out, and so are escapes that serde_json lets pass unread.
            prop_assert!(is_json || !taken, "{text}");
        }
    }
}
