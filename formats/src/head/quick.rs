//! Heads and tails as emitters write them, taken apart without a copy: no white space, no escapes, known keys alone, each once and with a value
//! of its type. Whatever else there is goes the long way, and what this gives is what that would give.

use std::borrow::Cow;

use serde_json::{Number, Value};

use super::{Known, Place};
use crate::exchange::{Headers, Text};
use crate::json::Quotes;
use crate::record::Part;

/// Longest run of digits that is exact as a double, whatever the digits.
const EXACT_DIGITS: usize = 15;

/// Takes a text apart; false, whatever is in `known` then, where it is spelled otherwise.
pub(super) fn read_known<'t>(part: Part, place: Place, text: &'t str, known: &mut Known<'t>) -> bool {
    each_member(text, |key, cursor| take(part, place, key, known, cursor)).is_some()
}

/// A tail's `len` and `crc` alone.
pub(super) fn claims(part: Part, text: &str) -> Option<(Option<u64>, Option<u32>)> {
    let (mut len, mut crc, mut us, mut full_len, mut error, mut status) = (None, None, None, None, None, None);
    each_member(text, |key, cursor| match key {
        "len" => set(&mut len, cursor.count()?),
        "crc" => set(&mut crc, cursor.crc()?),
        "us" => set(&mut us, cursor.count()?),
        "full_len" => set(&mut full_len, cursor.count()?),
        "error" => set(&mut error, cursor.string()?),
        "status" if part == Part::Response => set(&mut status, cursor.status()?),
        _ => None,
    })?;
    Some((len, crc))
}

/// Shows each key, with the cursor at its value; `None` where the text is spelled otherwise, or `take` says so.
#[inline]
fn each_member<'t>(text: &'t str, mut take: impl FnMut(&'t str, &mut Cursor<'t>) -> Option<()>) -> Option<()> {
    let mut cursor = Cursor { text, at: 0, quotes: Quotes::new(text.as_bytes(), 0) };
    cursor.expect(b'{')?;
    if cursor.peek() == Some(b'}') {
        return (text.len() == 2).then_some(());
    }
    loop {
        let key = cursor.string()?;
        cursor.expect(b':')?;
        take(key, &mut cursor)?;
        match cursor.next()? {
            b',' => (),
            b'}' if cursor.at == text.len() => return Some(()),
            _ => return None,
        }
    }
}

fn take<'t>(part: Part, place: Place, key: &str, known: &mut Known<'t>, cursor: &mut Cursor<'t>) -> Option<()> {
    use Part::{Request, Response};
    use Place::{Head, Tail};
    match (place, part, key) {
        (Head, _, "ts") => set(&mut known.ts, cursor.text()?),
        (Head, Request, "service") => set(&mut known.service, cursor.text()?),
        (Head, Request, "host") => set(&mut known.host, cursor.text()?),
        (Head, Request, "inst") => set(&mut known.inst, cursor.text()?),
        (Head, Request, "n") => set(&mut known.n, cursor.count()?),
        (Head, Request, "dir") => set(&mut known.dir, cursor.text().filter(|dir| dir == "in" || dir == "out")?),
        (Head, Request, "proto") => set(&mut known.proto, cursor.text()?),
        (Head, Request, "method") => set(&mut known.method, cursor.text()?),
        (Head, Request, "url") => set(&mut known.url, cursor.text()?),
        (Head, _, "headers") => set(&mut known.headers, cursor.pairs()?),
        (Head, Request, "peer") => set(&mut known.peer, cursor.text()?),
        (Head, Request, "trace") => set(&mut known.trace, cursor.text()?),
        (Head, Request, "parent") => set(&mut known.parent, cursor.text()?),
        (Head, Request, "rate") => set(&mut known.rate, cursor.share()?),
        (Head, Request, "why") => set(&mut known.why, cursor.text()?),
        (Head, _, "body_enc") => set(&mut known.body_enc, cursor.text()?),
        (Head, Response, "us") | (Tail, _, "us") => set(&mut known.us, cursor.count()?),
        (_, Response, "status") => set(&mut known.status, cursor.status()?),
        (Tail, _, "len") => set(&mut known.len, cursor.count()?),
        (Tail, _, "crc") => set(&mut known.crc, cursor.crc()?),
        (Tail, _, "error") => set(&mut known.error, cursor.text()?),
        (Tail, _, "full_len") => set(&mut known.full_len, cursor.count()?),
        _ => None,
    }
}

/// Sets a field; `None` where it was set before.
fn set<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

/// Where the reading stands in a text without escapes.
struct Cursor<'t> {
    text: &'t str,
    at: usize,
    /// Those at or behind `at`.
    quotes: Quotes<'t>,
}

impl<'t> Cursor<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn string(&mut self) -> Option<&'t str> {
        let end = self.quotes.string_at(self.at)?;
        let string = self.text.get(self.at + 1..end)?;
        self.at = end + 1;
        Some(string)
    }

    fn text(&mut self) -> Option<Text<'t>> {
        self.string().map(Cow::Borrowed)
    }

    fn digits(&mut self) -> &'t str {
        let rest = &self.text[self.at..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        self.at += digits;
        &rest[..digits]
    }

    fn count(&mut self) -> Option<u64> {
        let digits = self.digits();
        let fits = digits.len() <= EXACT_DIGITS && (digits.len() == 1 || !digits.starts_with('0'));
        digits.parse().ok().filter(|_| fits)
    }

    fn share(&mut self) -> Option<Number> {
        self.count().filter(|share| *share <= 1).map(Number::from)
    }

    fn status(&mut self) -> Option<Value> {
        if self.peek() == Some(b'"') { self.string().map(Value::from) } else { self.count().map(Value::from) }
    }

    fn crc(&mut self) -> Option<u32> {
        let digits = self.string()?;
        let fits = digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| fits)
    }

    fn pairs(&mut self) -> Option<Headers<'t>> {
        self.expect(b'[')?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Some(Headers::new());
        }
        let mut pairs = Headers::with_capacity(8);
        loop {
            self.expect(b'[')?;
            let name = self.text()?;
            self.expect(b',')?;
            let value = self.text()?;
            self.expect(b']')?;
            pairs.push((name, value));
            match self.next()? {
                b',' => (),
                b']' => return Some(pairs),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::head::{SortedOut, sort_out, sort_out_any};

    fn known(part: Part, place: Place, text: &str) -> Option<Known<'_>> {
        let mut known = Known::default();
        read_known(part, place, text, &mut known).then_some(known)
    }

    const KEYS: [&str; 28] = [
        "ts",
        "service",
        "host",
        "inst",
        "n",
        "dir",
        "proto",
        "method",
        "url",
        "headers",
        "peer",
        "trace",
        "parent",
        "tags",
        "rate",
        "why",
        "body_enc",
        "oneway",
        "us",
        "status",
        "len",
        "crc",
        "trailers",
        "error",
        "truncated",
        "full_len",
        "zone",
        "",
    ];
    const VALUES: [&str; 24] = [
        r#""text""#,
        r#""in""#,
        r#""""#,
        "0",
        "1",
        "7",
        "123456789012345",
        "9007199254740991",
        "9007199254740992",
        "01",
        "-1",
        "0.5",
        "1.0",
        "true",
        "null",
        r#""0000abCD""#,
        r#"[["a","b"],["é","="]]"#,
        "[]",
        r#"[["a"]]"#,
        r#"{"k":"v"}"#,
        r#""a\nb""#,
        "[[\"a\",\"b\"],]",
        "\"open",
        "5}",
    ];

    proptest! {
        #[test]
        fn the_short_way_gives_what_the_long_way_gives(
            members in proptest::collection::vec((0..KEYS.len(), 0..VALUES.len()), 0..6),
            space in 0usize..9,
            end in 0usize..9,
        ) {
            let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{}\":{}", KEYS[*key], VALUES[*value])).collect();
            let space = if space == 0 { " " } else { "" };
            let end = ["}", "", "}}", "} "].get(end).unwrap_or(&"}");
            let text = format!("{{{}{end}", members.join(&format!(",{space}")));
            for (part, place) in [(Part::Request, Place::Head), (Part::Request, Place::Tail), (Part::Response, Place::Head), (Part::Response, Place::Tail)] {
                let any = sort_out_any(part, place, &text);
                if let (Place::Tail, Some(claims)) = (place, claims(part, &text)) {
                    prop_assert_eq!(Some(claims), any.as_ref().map(|any| (any.known.len, any.known.crc)));
                }
                if let Some(known) = known(part, place, &text) {
                    prop_assert_eq!(Some(SortedOut { known, ..SortedOut::default() }), any);
                } else {
                    prop_assert_eq!(sort_out(part, place, &text), any);
                }
            }
        }
    }

    #[test]
    fn what_emitters_write_goes_the_short_way() {
        let request = r#"{"ts":"2026-11-22T05:00:00.000001Z","service":"shop","host":"h","inst":"i","n":3,"dir":"in","proto":"http/1.1","method":"GET","url":"/x","headers":[["a","b"]],"peer":"p","trace":"t","rate":1,"why":"all"}"#;
        let response = r#"{"ts":"2026-11-22T05:00:00.000001Z","us":15,"status":200,"headers":[]}"#;
        assert!(known(Part::Request, Place::Head, request).is_some_and(|known| known.n == Some(3)));
        assert!(known(Part::Response, Place::Head, response).is_some_and(|known| known.us == Some(15)));
        let tail = r#"{"len":5,"crc":"0000000a","us":7}"#;
        assert!(known(Part::Response, Place::Tail, tail).is_some_and(|known| known.crc == Some(10)));
    }
}
