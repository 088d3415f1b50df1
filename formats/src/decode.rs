//! One record's JSON object to a [`Record`].
//!
//! One pass, for any spelling: keys in any order, white space, escapes, unknown keys. Lines as emitters write them are read by [`quick`] before
//! that.
//!
//! On a line with `sig` the keys `head` and `tail` are unknown ones (L-8.2), and what would be wrong with them is no fault. As `sig` mostly
//! stands last, such faults are kept until the line's end.

mod quick;

use crate::id::CaptureId;
use crate::json::{JsonError, Member, Members, Said, StringSpan, integer, say, skip_string, skip_value, unescape};
use crate::piece::Piece;
use crate::record::{BadReason, Chunk, MAX_SEQ, Meta, Part, Record, Section};
use crate::sign::SIGNATURE_BYTES;
use crate::sum::Sum;
use crate::write::escape_json;

/// Decodes the record whose object starts at `at`; gives it with the offset behind the object. `scratch` is where pieces are decoded: what it holds
/// does not matter, and its memory is used again.
///
/// # Errors
/// A [`BadReason`]; where the object is not whole, always [`BadReason::Torn`] or [`BadReason::TooDeep`].
#[inline]
pub(crate) fn decode(
    text: &[u8],
    at: usize,
    scratch: &mut Vec<u8>,
) -> Result<(Record, usize), (BadReason, Option<usize>)> {
    match quick::chunk(text, at, scratch) {
        Some((chunk, end)) => Ok((Record::Chunk(chunk), end)),
        None => decode_any(text, at, scratch),
    }
}

/// What [`decode`] does, for any spelling.
fn decode_any(text: &[u8], at: usize, scratch: &mut Vec<u8>) -> Result<(Record, usize), (BadReason, Option<usize>)> {
    let mut fields = Fields::default();
    let mut bad = None;
    let whole = (|| {
        let mut members = Members::new(text, at, 0)?;
        while let Some(member) = members.next_member()? {
            let end = match fields.take(text, member, scratch)? {
                Ok(end) => end,
                Err(reason) => {
                    // The first fault names the record; the rest is walked to learn where, and whether, it ends.
                    bad.get_or_insert(reason);
                    skip_value(text, member.value, 1)?
                }
            };
            members.seek(end);
        }
        Ok(members.at)
    })();
    match (whole, bad) {
        (Err(JsonError::Broken), _) => Err((BadReason::Torn, None)),
        (Err(JsonError::TooDeep), _) => Err((BadReason::TooDeep, None)),
        (Ok(end), bad) => match (fields.check_bytes(text, at, end), bad) {
            (Err(BadReason::Torn), _) => Err((BadReason::Torn, None)),
            (Err(reason), _) | (Ok(()), Some(reason)) => Err((reason, Some(end))),
            (Ok(()), None) => {
                fields.finish(text, scratch).map(|record| (record, end)).map_err(|reason| (reason, Some(end)))
            }
        },
    }
}

/// Most of what is not a piece is ASCII, which is told faster.
fn is_utf8(text: &[u8]) -> bool {
    text.is_ascii() || std::str::from_utf8(text).is_ok()
}

/// Whether control characters stand in a text. Blocks, so that it is looked at many bytes at a time.
fn holds_controls(text: &[u8]) -> bool {
    text.chunks(64).any(|block| block.iter().fold(false, |any, byte| any | (*byte < b' ')))
}

/// Largest `at` in microseconds: up to here every integer has a double of its own.
const MAX_AT_US: u64 = (1 << 53) - 1;

/// A record's key and its bit in [`Fields::seen`].
#[derive(Clone, Copy)]
enum Key {
    Cap1 = 1,
    Part = 2,
    Seq = 4,
    Head = 8,
    Headf = 16,
    At = 32,
    Text = 64,
    B64 = 128,
    Crc = 256,
    Of = 512,
    Tail = 1024,
    Tailf = 2048,
    Sig = 4096,
}

impl Key {
    fn parse(key: &[u8]) -> Option<Key> {
        Some(match key {
            b"cap1" => Key::Cap1,
            b"part" => Key::Part,
            b"seq" => Key::Seq,
            b"head" => Key::Head,
            b"headf" => Key::Headf,
            b"at" => Key::At,
            b"text" => Key::Text,
            b"b64" => Key::B64,
            b"crc" => Key::Crc,
            b"of" => Key::Of,
            b"tail" => Key::Tail,
            b"tailf" => Key::Tailf,
            b"sig" => Key::Sig,
            _ => return None,
        })
    }
}

/// The record's fields as far as they are read: offsets into the text, so that nothing is copied for a record that turns out bad.
#[derive(Default)]
struct Fields {
    seen: u16,
    id: Option<StringSpan>,
    part: Option<StringSpan>,
    seq: Option<u32>,
    head: Sides,
    tail: Sides,
    at: Option<u64>,
    text: Option<Text>,
    b64: Option<StringSpan>,
    crc: Option<StringSpan>,
    of: Option<u32>,
    sig: Option<StringSpan>,
    /// What is wrong with `head` or `tail`, unless the line is signed.
    unsigned_fault: Option<BadReason>,
}

/// A piece of text, read to its end.
struct Text {
    said: Said,
    /// The sum of what it says; nothing where it holds an escape that JSON does not know.
    sum: Option<Sum>,
    /// The piece in its canonical spelling, where the line has another.
    respelled: Option<Box<[u8]>>,
}

/// Where a head or a tail stands: `head` from its first byte to behind its last, and `headf`.
#[derive(Default)]
struct Sides {
    whole: Option<(usize, usize)>,
    fragment: Option<StringSpan>,
}

impl Fields {
    /// Takes one member; gives the offset behind its value, or why the record is bad.
    fn take(
        &mut self,
        text: &[u8],
        member: Member,
        scratch: &mut Vec<u8>,
    ) -> Result<Result<usize, BadReason>, JsonError> {
        let mut plain = Vec::new();
        let name = if member.key.escaped {
            unescape(member.key.raw(text), &mut plain)?;
            plain.as_slice()
        } else {
            member.key.raw(text)
        };
        // The record's own key is compared as it stands: spelled with escapes it is another.
        let Some(key) = Key::parse(name).filter(|key| !(matches!(key, Key::Cap1) && member.key.escaped)) else {
            return Ok(Ok(skip_value(text, member.value, 1)?));
        };
        if self.seen & key as u16 != 0 {
            if matches!(key, Key::Head | Key::Tail) {
                self.unsigned_fault.get_or_insert(BadReason::DuplicateKey);
                return Ok(Ok(skip_value(text, member.value, 1)?));
            }
            return Ok(Err(BadReason::DuplicateKey));
        }
        self.seen |= key as u16;
        Ok(match key {
            Key::Cap1 => self.string(text, member, BadReason::BadId, |fields, span| fields.id = Some(span)),
            Key::Part => self.string(text, member, BadReason::BadPart, |fields, span| fields.part = Some(span)),
            Key::Text => self.text(text, member, scratch),
            Key::B64 => self.string(text, member, BadReason::BadType, |fields, span| fields.b64 = Some(span)),
            Key::Crc => self.string(text, member, BadReason::BadCrc, |fields, span| fields.crc = Some(span)),
            Key::Sig => self.string(text, member, BadReason::BadType, |fields, span| fields.sig = Some(span)),
            Key::Headf => {
                self.string(text, member, BadReason::BadType, |fields, span| fields.head.fragment = Some(span))
            }
            Key::Tailf => {
                self.string(text, member, BadReason::BadType, |fields, span| fields.tail.fragment = Some(span))
            }
            Key::Head | Key::Tail => {
                let end = skip_value(text, member.value, 1)?;
                if text.get(member.value) != Some(&b'{') {
                    self.unsigned_fault.get_or_insert(BadReason::BadType);
                }
                let side = if matches!(key, Key::Head) { &mut self.head } else { &mut self.tail };
                side.whole = Some((member.value, end));
                Ok(end)
            }
            Key::Seq => self.number(text, member, BadReason::BadSeq, |fields, value| {
                fields.seq = u32::try_from(value).ok().filter(|seq| *seq <= MAX_SEQ);
                fields.seq.is_some()
            })?,
            Key::Of => self.number(text, member, BadReason::BadOf, |fields, value| {
                fields.of = u32::try_from(value).ok().filter(|of| (1..=MAX_SEQ + 1).contains(of));
                fields.of.is_some()
            })?,
            Key::At => self.number(text, member, BadReason::BadType, |fields, value| {
                fields.at = Some(value).filter(|at| *at <= MAX_AT_US);
                fields.at.is_some()
            })?,
        })
    }

    fn string(
        &mut self,
        text: &[u8],
        member: Member,
        otherwise: BadReason,
        set: impl FnOnce(&mut Self, StringSpan),
    ) -> Result<usize, BadReason> {
        // A string that has no end is found again, as torn, by the walk that follows a bad field.
        let span = skip_string(text, member.value).map_err(|_| otherwise)?;
        set(self, span);
        Ok(span.end + 1)
    }

    /// Reads a piece of text: once, for where it ends, what it says and its sum.
    fn text(&mut self, text: &[u8], member: Member, scratch: &mut Vec<u8>) -> Result<usize, BadReason> {
        if text.get(member.value) != Some(&b'"') {
            return Err(BadReason::BadType);
        }
        scratch.clear();
        match say(text, member.value + 1, scratch) {
            Ok(said) if said.closed => {
                let respelled = (!said.canonical).then(|| {
                    let mut raw = Vec::new();
                    // Where it is not UTF-8 the record is bad, and this is not used.
                    escape_json(&String::from_utf8_lossy(scratch), &mut raw);
                    raw.into()
                });
                self.text = Some(Text { said, sum: Some(Sum::of(scratch)), respelled });
                Ok(said.span.end + 1)
            }
            Ok(_) => Err(BadReason::BadType),
            Err(_) => {
                let span = skip_string(text, member.value).map_err(|_| BadReason::BadType)?;
                let said = Said { span, closed: true, canonical: false, odd: true };
                self.text = Some(Text { said, sum: None, respelled: None });
                Ok(span.end + 1)
            }
        }
    }

    /// Whether the record's bytes, from `at` to `end`, are UTF-8 without control characters that JSON wants escaped: with one this is no JSON, and
    /// something was torn. A piece that was seen to be plain ASCII is not looked at again.
    fn check_bytes(&self, text: &[u8], at: usize, end: usize) -> Result<(), BadReason> {
        let (before, behind) = match &self.text {
            Some(piece) if !piece.said.odd => (&text[at..piece.said.span.start], &text[piece.said.span.end..end]),
            _ => (&text[at..end], &[][..]),
        };
        if (holds_controls(before) || holds_controls(behind))
            && serde_json::from_slice::<serde::de::IgnoredAny>(&text[at..end]).is_err()
        {
            return Err(BadReason::Torn);
        }
        // What is left out goes from quote to quote, so no character lies across its edges.
        if is_utf8(before) && is_utf8(behind) { Ok(()) } else { Err(BadReason::NotUtf8) }
    }

    fn number(
        &mut self,
        text: &[u8],
        member: Member,
        otherwise: BadReason,
        set: impl FnOnce(&mut Self, u64) -> bool,
    ) -> Result<Result<usize, BadReason>, JsonError> {
        let end = skip_value(text, member.value, 1)?;
        let value = integer(&text[member.value..end]);
        Ok(if value.is_some_and(|value| set(self, value)) { Ok(end) } else { Err(otherwise) })
    }

    /// Judges the whole and copies what it keeps.
    fn finish(mut self, text: &[u8], scratch: &mut Vec<u8>) -> Result<Record, BadReason> {
        let both = |one: Key, other: Key| self.seen & one as u16 != 0 && self.seen & other as u16 != 0;
        if both(Key::Text, Key::B64) {
            return Err(BadReason::TextAndB64);
        }
        let is_signed = self.sig.is_some();
        if !is_signed && let Some(fault) = self.unsigned_fault {
            return Err(fault);
        }
        if !is_signed && (both(Key::Head, Key::Headf) || both(Key::Tail, Key::Tailf)) {
            return Err(BadReason::DuplicateKey);
        }
        let id = said(text, self.id.ok_or(BadReason::BadId)?).map_err(|_| BadReason::BadId)?;
        let id = CaptureId::parse(&id).ok_or(BadReason::BadId)?;
        let part = said(text, self.part.ok_or(BadReason::BadPart)?).map_err(|_| BadReason::BadPart)?;
        let part = match part.as_ref() {
            b"req" => Part::Request,
            b"res" => Part::Response,
            b"meta" => {
                let head = section(text, &self.head, is_signed)?;
                return Ok(Record::Meta(Meta {
                    id,
                    seq: self.seq,
                    of: self.of,
                    head,
                    sig: signature(text, self.sig)?,
                }));
            }
            _ => return Err(BadReason::BadPart),
        };
        let seq = self.seq.ok_or(BadReason::BadSeq)?;
        let piece = self.piece(text, scratch)?;
        if let Some(span) = self.crc {
            let claimed = hex_bytes::<4>(&said(text, span)?).ok_or(BadReason::BadCrc)?;
            if piece.as_ref().is_some_and(|piece| piece.sum().crc.to_be_bytes() != claimed) {
                return Err(BadReason::BadCrc);
            }
        }
        Ok(Record::Chunk(Chunk {
            id,
            part,
            seq,
            head: section(text, &self.head, is_signed)?,
            at: self.at,
            // A signature does not tell an empty piece from none.
            piece: piece.filter(|piece| !is_signed || piece.sum().len > 0),
            of: self.of,
            tail: section(text, &self.tail, is_signed)?,
            sig: signature(text, self.sig)?,
        }))
    }

    fn piece(&mut self, text: &[u8], scratch: &mut Vec<u8>) -> Result<Option<Piece>, BadReason> {
        if let Some(Text { said, sum, respelled }) = self.text.take() {
            let raw = respelled.unwrap_or_else(|| said.span.raw(text).into());
            return Ok(Some(Piece::canonical(raw, sum.ok_or(BadReason::Torn)?)));
        }
        let Some(span) = self.b64 else { return Ok(None) };
        let raw = said(text, span)?;
        scratch.clear();
        base64_simd::STANDARD.decode_append(&raw, scratch).map_err(|_| BadReason::BadB64)?;
        Ok(Some(Piece::base64(raw.into(), scratch)))
    }
}

/// What a string says; borrowed where it has no escapes.
fn said(text: &[u8], span: StringSpan) -> Result<std::borrow::Cow<'_, [u8]>, BadReason> {
    if !span.escaped {
        return Ok(span.raw(text).into());
    }
    let mut out = Vec::with_capacity(span.end - span.start);
    unescape(span.raw(text), &mut out).map_err(|_| BadReason::Torn)?;
    Ok(out.into())
}

/// A head or a tail. Of a signed line only a fragment counts, and an empty one is none, as a signature does not tell the two apart.
fn section(text: &[u8], sides: &Sides, is_signed: bool) -> Result<Option<Section>, BadReason> {
    let owned = |bytes: Vec<u8>| String::from_utf8(bytes).map(String::into_boxed_str).map_err(|_| BadReason::NotUtf8);
    Ok(match (sides.whole, sides.fragment) {
        (Some((start, end)), _) if !is_signed => Some(Section::Whole(owned(text[start..end].to_vec())?)),
        (_, Some(span)) if !is_signed || span.start < span.end => {
            Some(Section::Fragment(owned(said(text, span)?.into_owned())?))
        }
        _ => None,
    })
}

fn signature(text: &[u8], sig: Option<StringSpan>) -> Result<Option<[u8; SIGNATURE_BYTES]>, BadReason> {
    let Some(span) = sig else { return Ok(None) };
    hex_bytes(&said(text, span)?).map(Some).ok_or(BadReason::BadType)
}

/// `N` bytes from twice as many hex digits.
fn hex_bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &str) -> Result<Chunk, BadReason> {
        match decode(text.as_bytes(), 0, &mut Vec::new()) {
            Ok((Record::Chunk(chunk), end)) => {
                assert_eq!(end, text.trim_end().len());
                Ok(chunk)
            }
            Ok((other, _)) => panic!("{other:?}"),
            Err((reason, _)) => Err(reason),
        }
    }

    #[test]
    fn an_emitters_line_is_read() {
        // The CRC-32 of "a\nb" is python3's zlib.crc32(b"a\nb").
        let chunk =
            chunk(r#"{"cap1":"x","part":"res","seq":2,"at":7,"text":"a\nb","crc":"ef0790fb","of":3,"tail":{"len":3}}"#)
                .unwrap();
        assert_eq!((chunk.part, chunk.seq, chunk.at, chunk.of), (Part::Response, 2, Some(7), Some(3)));
        assert_eq!(chunk.piece, Some(Piece::new(b"a\nb")));
        assert_eq!(chunk.tail, Some(Section::Whole(r#"{"len":3}"#.into())));
    }

    #[test]
    fn any_spelling_is_read_alike() {
        let plain = chunk(r#"{"cap1":"x","part":"req","seq":0,"headf":"{\"a\":","b64":"AAE="}"#).unwrap();
        let odd = chunk(
            "{ \"b64\" :\t\"A\\u0041E=\",\"zzz\":[{}],\"headf\":\"{\\u0022a\\\":\", \"seq\":0.0,\"p\\u0061rt\":\"r\\u0065q\" ,\"cap1\":\"x\" }",
        );
        assert_eq!(odd.unwrap(), plain);
    }

    #[test]
    fn of_a_signed_line_no_whole_head_or_tail_is_taken_and_none_is_a_fault() {
        const SIG: &str = r#""sig":"00112233445566778899AABBCCDDEEFF""#;
        let signed = |more: &str| {
            chunk(&format!(r#"{{"cap1":"x","part":"req","seq":0,"headf":"{{}}",{more}{SIG},"of":1}}"#)).unwrap()
        };
        let plain = signed("");
        assert_eq!(plain.sig.map(|sig| sig[15]), Some(0xff));
        for more in [
            r#""head":{"service":"x"},"#,
            r#""head":7,"head":[],"#,
            r#""tail":{},"tail":"","#,
            r#""tailf":"","text":"","crc":"00000000","#,
        ] {
            assert_eq!(signed(more), plain, "{more}");
        }
        let whole = format!(r#"{{"head":{{}},"cap1":"x","part":"res","seq":0,{SIG}}}"#);
        assert_eq!(chunk(&whole).unwrap().head, None);
        assert_eq!(chunk(&whole.replace("AABB", "AAB")), Err(BadReason::BadType));
        assert_eq!(chunk(&whole.replace(r#""sig":"#, r#""gis":"#)).map(|chunk| chunk.head.is_some()), Ok(true));
    }

    #[test]
    fn counters_are_read_with_what_their_signature_needs() {
        let meta = |text: &str| match decode(text.as_bytes(), 0, &mut Vec::new()) {
            Ok((Record::Meta(meta), _)) => meta,
            other => panic!("{other:?}"),
        };
        let whole = meta(r#"{"cap1":"m","part":"meta","head":{"n":1}}"#);
        assert_eq!((whole.text(), whole.seq, whole.sig), (r#"{"n":1}"#, None, None));
        let signed = meta(
            r#"{"cap1":"m","part":"meta","seq":0,"head":{"n":2},"headf":"{\"n\":1}","of":1,"sig":"00112233445566778899aabbccddeeff"}"#,
        );
        assert_eq!(
            (signed.text(), signed.seq, signed.of, signed.sig.is_some()),
            (r#"{"n":1}"#, Some(0), Some(1), true)
        );
    }

    #[test]
    fn the_first_fault_names_a_whole_record_and_a_cut_one_is_torn() {
        assert_eq!(chunk(r#"{"cap1":"x","part":"req","seq":-1}"#), Err(BadReason::BadSeq));
        assert_eq!(chunk(r#"{"cap1":"x","part":"req","seq":-1"#), Err(BadReason::Torn));
        assert_eq!(chunk(r#"{"cap1":"x","part":"req","seq":0,"text":"a"#), Err(BadReason::Torn));
        assert_eq!(chunk(r#"{"cap1":"x","part":"req","seq":0,"text":"a\q"}"#), Err(BadReason::Torn));
    }

    #[test]
    fn base64_is_taken_in_its_only_spelling() {
        let piece = |b64: &str| {
            chunk(&format!(r#"{{"cap1":"x","part":"req","seq":0,"b64":"{b64}"}}"#)).map(|chunk| chunk.piece)
        };
        assert_eq!(piece("/+8="), Ok(Some(Piece::new(&[0xff, 0xef]))));
        assert_eq!(piece(""), Ok(Some(Piece::new(b""))));
        // No padding, bits left over, another alphabet, white space, too much padding.
        for bad in ["/+8", "/+9=", "_-8=", "/+ 8=", "/+8==", "A", "====", "/+8=/+8="] {
            assert_eq!(piece(bad), Err(BadReason::BadB64), "{bad}");
        }
    }

    #[test]
    fn a_piece_of_text_is_kept_as_emitters_spell_it() {
        let raw = |text: &str| {
            let line = format!(r#"{{"cap1":"x","part":"req","seq":0,"text":"{text}","of":1}}"#);
            String::from_utf8(chunk(&line).unwrap().piece.unwrap().raw().to_vec()).unwrap()
        };
        for (text, kept) in [
            (r#"a\"\\\n\u0001é😀"#, r#"a\"\\\n\u0001é😀"#),
            (r"\/\u0041\u000a\u001F\ud83d\ude00\ud800", "/A\\n\\u001f😀\u{fffd}"),
        ] {
            assert_eq!(raw(text), kept);
            let padding = "x".repeat(200);
            assert_eq!(raw(&format!("{padding}{text}{padding}")), format!("{padding}{kept}{padding}"));
        }
    }

    #[test]
    fn the_records_own_key_is_known_by_its_spelling() {
        let chunk = chunk(r#"{"cap1":"x","c\u0061p1":7,"part":"req","seq":0}"#).unwrap();
        assert_eq!(chunk.id, CaptureId::parse(b"x").unwrap());
    }

    #[test]
    fn a_piece_passes_within_what_a_double_counts_exactly() {
        let at = |at: &str| chunk(&format!(r#"{{"cap1":"x","part":"req","seq":0,"at":{at}}}"#)).map(|chunk| chunk.at);
        assert_eq!(at("9007199254740991"), Ok(Some(9_007_199_254_740_991)));
        for past in ["9007199254740992", "9007199254740992.0", "123456789012345678", "1e308"] {
            assert_eq!(at(past), Err(BadReason::BadType), "{past}");
        }
    }
}
