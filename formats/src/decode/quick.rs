//! Chunks as emitters write them: keys in the specification's order, no white space, no key that is unknown. Whatever else there is, and all
//! that is bad, goes the long way; what this gives is what that would give.
//!
//! Signed lines and fragments of long heads go the long way too.

use super::hex_bytes;
use crate::id::CaptureId;
use crate::json::{near_end, say_into, say_room, skip_plain_object, skip_string, skip_value};
use crate::piece::Piece;
use crate::record::{Chunk, MAX_SEQ, Part, Section};
use crate::sum::Sum;

/// Longest number that is read, in digits: below what overflows.
const MAX_DIGITS: usize = 15;

/// Reads the chunk whose object starts at `at`; gives it with the offset behind the object, or nothing where it is spelled otherwise.
pub(super) fn chunk(text: &[u8], at: usize, scratch: &mut Vec<u8>) -> Option<(Chunk, usize)> {
    let mut cursor = Cursor { text, at };
    cursor.expect(b"{\"cap1\":\"")?;
    let id = CaptureId::parse(cursor.rest_of_string()?)?;
    cursor.expect(b",\"part\":\"re")?;
    let part = match cursor.next_two()? {
        b"q\"" => Part::Request,
        b"s\"" => Part::Response,
        _ => return None,
    };
    cursor.expect(b",\"seq\":")?;
    let seq = u32::try_from(cursor.number()?).ok().filter(|seq| *seq <= MAX_SEQ)?;
    let head = cursor.section(b",\"head\":")?;
    let at = if cursor.skip(b",\"at\":") { Some(cursor.number()?) } else { None };
    let piece = if cursor.skip(b",\"text\":\"") {
        Some(cursor.text_piece(scratch)?)
    } else if cursor.skip(b",\"b64\":") {
        Some(cursor.base64_piece(scratch)?)
    } else {
        None
    };
    if cursor.skip(b",\"crc\":\"") {
        let crc = u32::from_be_bytes(hex_bytes(cursor.rest_of_string()?)?);
        if piece.as_ref().is_some_and(|piece| piece.sum().crc != crc) {
            return None;
        }
    }
    let of = match cursor.skip(b",\"of\":") {
        true => Some(u32::try_from(cursor.number()?).ok().filter(|of| (1..=MAX_SEQ + 1).contains(of))?),
        false => None,
    };
    let tail = cursor.section(b",\"tail\":")?;
    cursor.expect(b"}")?;
    Some((Chunk { id, part, seq, head, at, piece, of, tail, sig: None }, cursor.at))
}

/// Where the reading stands.
struct Cursor<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Cursor<'t> {
    fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Steps over `bytes`, where they stand here.
    #[inline(always)]
    fn skip<const N: usize>(&mut self, bytes: &[u8; N]) -> bool {
        let is_here = self.rest().first_chunk() == Some(bytes);
        self.at += if is_here { N } else { 0 };
        is_here
    }

    #[inline(always)]
    fn expect<const N: usize>(&mut self, bytes: &[u8; N]) -> Option<()> {
        self.skip(bytes).then_some(())
    }

    fn next_two(&mut self) -> Option<&'t [u8; 2]> {
        let two = self.rest().first_chunk()?;
        self.at += 2;
        Some(two)
    }

    /// What stands before the closing quote of a short string without escapes, which began before here; who takes it judges its bytes.
    fn rest_of_string(&mut self) -> Option<&'t [u8]> {
        let start = self.at;
        let end = match near_end(self.text, start) {
            Some(end) => end,
            None => start + memchr::memchr(b'"', self.rest())?,
        };
        self.at = end + 1;
        self.text.get(start..end)
    }

    fn number(&mut self) -> Option<u64> {
        let digits = self.rest().iter().take(MAX_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
        let number = &self.rest()[..digits];
        self.at += digits;
        let fits = (1..=MAX_DIGITS).contains(&digits) && (digits == 1 || number[0] != b'0');
        // Behind digits there is the next key or the end, or it is a number of another spelling.
        let ends = matches!(self.rest().first(), Some(b',' | b'}'));
        (fits && ends).then(|| number.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
    }

    /// An object under this key, where it is here; nothing at all where it is no clean one.
    #[inline(always)]
    fn section<const N: usize>(&mut self, key: &[u8; N]) -> Option<Option<Section>> {
        if !self.skip(key) {
            return Some(None);
        }
        if self.rest().first() != Some(&b'{') {
            return None;
        }
        let start = self.at;
        let object = match skip_plain_object(self.text, start, 1) {
            Some(end) => {
                self.at = end;
                std::str::from_utf8(&self.text[start..end]).ok()?
            }
            None => {
                self.at = skip_value(self.text, start, 1).ok()?;
                clean(&self.text[start..self.at])?
            }
        };
        Some(Some(Section::Whole(object.into())))
    }

    fn text_piece(&mut self, scratch: &mut Vec<u8>) -> Option<Piece> {
        let room = say_room(self.text, self.at);
        if scratch.len() < room {
            scratch.resize(room, 0);
        }
        let (said, bytes) = say_into(self.text, self.at, scratch).ok()?;
        if !said.closed || !said.canonical {
            return None;
        }
        let raw = said.span.raw(self.text);
        if said.odd {
            clean(raw)?;
        }
        self.at = said.span.end + 1;
        Some(Piece::canonical(raw.into(), Sum::of(&scratch[..bytes])))
    }

    fn base64_piece(&mut self, scratch: &mut Vec<u8>) -> Option<Piece> {
        let span = skip_string(self.text, self.at).ok().filter(|span| !span.escaped)?;
        self.at = span.end + 1;
        scratch.clear();
        base64_simd::STANDARD.decode_append(span.raw(self.text), scratch).ok()?;
        Some(Piece::base64(span.raw(self.text).into(), scratch))
    }
}

/// UTF-8 without control characters.
fn clean(text: &[u8]) -> Option<&str> {
    if super::holds_controls(text) { None } else { std::str::from_utf8(text).ok() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::decode_any;
    use crate::record::Record;

    const MEMBERS: [&str; 26] = [
        r#""head":{"ts":"t","headers":[["a","b"]]}"#,
        r#""head":{"a":"é"}"#,
        r#""head":[]"#,
        "\"head\":{\"a\":\"\t\"}",
        r#""headf":"{}""#,
        r#""at":7"#,
        r#""at":9007199254740992"#,
        r#""at":1.0"#,
        r#""text":"a\"b\n\u0001é""#,
        r#""text":"a\/""#,
        r#""text":"a\q""#,
        "\"text\":\"a\tb\"",
        r#""text":"","crc":"00000000""#,
        r#""text":"a","crc":"e8b7be43""#,
        r#""text":"a","crc":"E8B7BE43""#,
        r#""text":"b","crc":"e8b7be43""#,
        r#""b64":"/+8=""#,
        r#""b64":"/+9=""#,
        r#""crc":"0000000x""#,
        r#""of":1"#,
        r#""of":0"#,
        r#""of":01"#,
        r#""tail":{"len":3,"us":1}"#,
        r#""tail":{"len":}"#,
        r#""tailf":"}""#,
        r#""x":1"#,
    ];

    proptest! {
        #[test]
        fn the_short_way_gives_what_the_long_way_gives(
            start in 0usize..8,
            seq in prop_oneof![Just("0"), Just("17"), Just("01"), Just("2147483648"), Just("-1"), Just("99999999999999999999")],
            members in proptest::collection::vec(0..MEMBERS.len(), 0..6),
            sorted in any::<bool>(),
            end in prop_oneof![8 => Just("}"), 1 => Just(""), 1 => Just(" }"), 1 => Just("}}")],
        ) {
            let start = [
                r#""cap1":"0192f0c1-a2b3-7c3e-8d5e-6f708192a3b4","part":"req""#, r#""cap1":"x","part":"res""#, r#""cap1":"","part":"req""#,
                r#""cap1":"a b","part":"req""#, r#""cap1":"x","part":"meta""#, r#""cap1":"x", "part":"req""#, r#""part":"req","cap1":"x""#,
                r#""cap1":"x\u0041","part":"req""#,
            ][start];
            let mut members = members;
            if sorted {
                members.sort_unstable();
                members.dedup();
            }
            let members: String = members.iter().map(|member| format!(",{}", MEMBERS[*member])).collect();
            let line = format!("..{{{start},\"seq\":{seq}{members}{end}");
            let (mut scratch, mut other) = (Vec::new(), vec![7; 9]);
            if let Some((chunk, end)) = chunk(line.as_bytes(), 2, &mut scratch) {
                prop_assert_eq!(decode_any(line.as_bytes(), 2, &mut other), Ok((Record::Chunk(chunk), end)));
            }
        }
    }

    #[test]
    fn what_emitters_write_goes_the_short_way() {
        for line in [
            r#"{"cap1":"0192f0c1-a2b3-7c3e-8d5e-6f708192a3b4","part":"req","seq":0,"head":{"ts":"t"},"at":3,"text":"{\"a\":\"é\"}","crc":"3f6f2a3c","of":2,"tail":{"len":0}}"#,
            r#"{"cap1":"x","part":"res","seq":12,"b64":"/+8=","of":1}"#,
            r#"{"cap1":"x","part":"req","seq":0,"head":{},"of":1}"#,
        ] {
            let line = match line.find("3f6f2a3c") {
                Some(_) => line.replace("3f6f2a3c", &format!("{:08x}", crc32fast::hash("{\"a\":\"é\"}".as_bytes()))),
                None => line.to_owned(),
            };
            let (_, end) = chunk(line.as_bytes(), 0, &mut Vec::new()).unwrap();
            assert_eq!(end, line.len());
        }
    }
}
