//! The cut of one part into lines: the rules of [`crate::write`], one method a rule.
//!
//! Invariants: the open line is what stands in `line` from `at` on, never longer than the limit; while lines are made `line` is the caller's buffer, in which they are
//! written where they will stay, and between calls it is the writer's own, with `at` 0; `pending` is body that the open line will hold,
//! at most one byte more than one line's window; a line is given out only when something must follow it, or at the end; `signing` holds
//! what the open line says, in its order, and nothing of an earlier one.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    LineLimit, PartTag, Tail, WriteError,
    json::{crc_hex, escape_json, escape_within, push_number},
};
use crate::layout::hex;
use crate::sign::{SIGNATURE_BYTES, SignedLine, SigningKey};

/// `}` and the newline.
const CLOSE_BYTES: usize = 2;
/// `,"sig":"` and `"`, and the hex digits between.
const SIG_BYTES: usize = 9 + 2 * SIGNATURE_BYTES;
/// `,"text":"` and `"`, and `,"crc":"00000000"`.
const PIECE_BYTES: usize = 10 + 17;
/// `,"headf":"` or `,"tailf":"`, and `"`.
const FRAGMENT_BYTES: usize = 11;
/// The longest escape of one character: below this much room a line takes no piece.
const MIN_ROOM_BYTES: usize = 6;

/// Cuts one part of one capture into lines.
///
/// ```
/// use reassemble_formats::write::{LineLimit, PartTag, PartWriter, Tail};
///
/// # fn main() -> Result<(), reassemble_formats::write::WriteError> {
/// let mut lines = Vec::new();
/// let mut part = PartWriter::new("c-1", PartTag::Res, r#"{"status":200}"#.to_owned(), LineLimit::DEFAULT)?;
/// part.body(b"hello, ", &mut lines);
/// part.body(b"world", &mut lines);
/// assert!(lines.is_empty());
/// part.finish(&Tail::default(), &mut lines);
/// let line = concat!(
///     r#"{"cap1":"c-1","part":"res","seq":0,"head":{"status":200},"text":"hello, world","crc":"ffab723a","#,
///     r#""of":1,"tail":{"len":12,"crc":"ffab723a"}}"#,
///     "\n"
/// );
/// assert_eq!(String::from_utf8_lossy(&lines), line);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PartWriter {
    id: Box<str>,
    part: PartTag,
    /// Ends with the open line so far, which is empty until the head is written.
    line: Vec<u8>,
    /// Where the open line begins.
    at: usize,
    seq: u64,
    limit: usize,
    /// What ends every line: `}` and the newline, and the signature where there is one.
    close_bytes: usize,
    signing: Option<Signing>,
    head: Option<String>,
    /// Once true, the rest of the body is base64.
    base64: bool,
    pending: Vec<u8>,
    len: u64,
    crc: crc32fast::Hasher,
}

impl PartWriter {
    /// Begins a part. `head` is the text of a JSON object as [`super::RequestHead::to_json`] and its like give it: canonical, without a newline.
    ///
    /// # Errors
    /// [`WriteError::Id`] where `id` is no capture id.
    pub fn new(id: &str, part: PartTag, head: String, limit: LineLimit) -> Result<PartWriter, WriteError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if id.is_empty() || id.len() > 64 || !id.bytes().all(good) {
            return Err(WriteError::Id { id: id.chars().take(64).collect() });
        }
        Ok(PartWriter {
            id: id.into(),
            part,
            line: Vec::new(),
            at: 0,
            seq: 0,
            limit: limit.bytes(),
            close_bytes: CLOSE_BYTES,
            signing: None,
            head: Some(head),
            base64: false,
            pending: Vec::new(),
            len: 0,
            crc: crc32fast::Hasher::new(),
        })
    }

    /// Signs every line of the part (rule 14), where a key is given. To be called before anything else.
    #[must_use]
    pub fn signed(mut self, key: Option<&SigningKey>) -> PartWriter {
        if let Some(key) = key {
            self.close_bytes = SIG_BYTES + CLOSE_BYTES;
            self.signing =
                Some(Signing { key: key.clone(), said: Vec::new(), headf_bytes: 0, piece_bytes: 0, of: None });
        }
        self
    }

    /// Takes the next bytes of the body, any number of them, and appends to `out` each line that they complete.
    ///
    /// `out` grows by about as much as came in (4/3 of it for base64, and the lines' keys); who bounds memory bounds `bytes`.
    pub fn body(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        self.len += bytes.len() as u64;
        self.crc.update(bytes);
        if self.pending.len() + bytes.len() <= self.window_ahead() {
            self.pending.extend_from_slice(bytes);
            return;
        }
        let own = self.enter(out);
        self.cut(bytes);
        self.leave(own, out);
    }

    /// Cuts what is pending and these bytes into lines, up to what the open line may still hold.
    fn cut(&mut self, bytes: &[u8]) {
        self.begin();
        let mut bytes = bytes;
        loop {
            let Some(window) = self.window() else {
                self.end_line();
                continue;
            };
            // One byte more than the window shows that the body goes on behind it.
            let take = (window + 1).saturating_sub(self.pending.len()).min(bytes.len());
            if self.pending.len() + take <= window {
                self.pending.extend_from_slice(bytes);
                return;
            }
            if self.pending.is_empty() {
                let used = self.put_piece(&bytes[..window], true);
                bytes = &bytes[used..];
            } else {
                self.pending.extend_from_slice(&bytes[..take]);
                let mut pending = std::mem::take(&mut self.pending);
                let used = self.put_piece(&pending[..window], true);
                let left = pending.len() - used;
                if left <= take {
                    // All that is left came in with this call: read it from there, without copies.
                    bytes = &bytes[take - left..];
                    pending.clear();
                } else {
                    bytes = &bytes[take..];
                    pending.drain(..used);
                }
                self.pending = pending;
            }
            self.end_line();
        }
    }

    /// Ends the part: appends what is left, with `of` and the tail. Returns how many lines the part has.
    pub fn finish(mut self, tail: &Tail<'_>, out: &mut Vec<u8>) -> u64 {
        let own = self.enter(out);
        self.finish_body();
        let text = tail.to_json(self.len, self.crc.clone().finalize());
        if !self.put_end(Some(&text)) {
            self.end_line();
            if !self.put_end(Some(&text)) {
                self.put_tail_fragments(&text);
            }
        }
        self.leave(own, out);
        self.seq + 1
    }

    /// Goes on with the open line at the end of `out`; gives the memory that it lay in.
    fn enter(&mut self, out: &mut Vec<u8>) -> Vec<u8> {
        let own = std::mem::replace(&mut self.line, std::mem::take(out));
        self.at = self.line.len();
        self.line.extend_from_slice(&own);
        own
    }

    /// Puts the open line back into memory of its own, and leaves to `out` what stands before it.
    fn leave(&mut self, mut own: Vec<u8>, out: &mut Vec<u8>) {
        own.clear();
        own.extend_from_slice(&self.line[self.at..]);
        self.line.truncate(self.at);
        *out = std::mem::replace(&mut self.line, own);
        self.at = 0;
    }

    /// How long the open line is so far.
    fn line_len(&self) -> usize {
        self.line.len() - self.at
    }

    /// How much memory the writer holds for body bytes that no line has taken yet, and for what the open line's signature is over.
    pub fn held_bytes(&self) -> usize {
        self.pending.capacity() + self.signing.as_ref().map_or(0, |signing| signing.said.capacity())
    }

    /// How many bytes of the body have come so far.
    pub fn body_len(&self) -> u64 {
        self.len
    }

    /// Rule 2: opens the first line with the head, or writes its fragments up to the last.
    fn begin(&mut self) {
        let Some(head) = self.head.take() else { return };
        self.open_line();
        if self.signing.is_none() && self.line_len() + br#","head":"#.len() + head.len() + CLOSE_BYTES <= self.limit {
            self.line.extend_from_slice(br#","head":"#);
            self.line.extend_from_slice(head.as_bytes());
            return;
        }
        let mut rest = head.as_str();
        loop {
            let room = self.limit - self.line_len() - FRAGMENT_BYTES - self.close_bytes;
            self.line.extend_from_slice(br#","headf":""#);
            let used = escape_within(rest, room, &mut self.line);
            self.line.push(b'"');
            if let Some(signing) = &mut self.signing {
                signing.said.extend_from_slice(&rest.as_bytes()[..used]);
                signing.headf_bytes = used;
            }
            rest = &rest[used..];
            if rest.is_empty() {
                return;
            }
            self.end_line();
        }
    }

    /// How much of the body may wait without more ado: the open line's window; where that is not open yet, what a head that stands in it whole will leave.
    fn window_ahead(&self) -> usize {
        let Some(head) = &self.head else { return self.window().unwrap_or(0) };
        if self.signing.is_some() {
            return 0;
        }
        let start: usize = self.line_start().iter().map(|text| text.len()).sum();
        let taken = start + 1 + br#","head":"#.len() + head.len() + PIECE_BYTES + CLOSE_BYTES;
        self.limit.checked_sub(taken).filter(|room| *room >= MIN_ROOM_BYTES).unwrap_or(0)
    }

    /// Rules 3 and 4: how many bytes the next piece may be chosen from; `None` where the open line takes no piece.
    fn window(&self) -> Option<usize> {
        let room = self.room();
        let window = if self.base64 { base64_piece_bytes(room) } else { room };
        (room >= MIN_ROOM_BYTES).then_some(window)
    }

    fn room(&self) -> usize {
        self.limit.saturating_sub(self.line_len() + PIECE_BYTES + self.close_bytes)
    }

    /// Rules 5 to 7: writes a piece from the start of `window` onto the open line; returns how many bytes it took.
    fn put_piece(&mut self, window: &[u8], body_goes_on: bool) -> usize {
        let used = self.put_text(window, body_goes_on).unwrap_or_else(|| self.put_base64(window));
        let crc = crc32fast::hash(&window[..used]);
        self.line.extend_from_slice(br#"","crc":""#);
        self.line.extend_from_slice(&crc_hex(crc));
        self.line.push(b'"');
        if let Some(signing) = &mut self.signing {
            signing.said.extend_from_slice(&window[..used]);
            signing.piece_bytes = used;
        }
        used
    }

    fn put_text(&mut self, window: &[u8], body_goes_on: bool) -> Option<usize> {
        if self.base64 {
            return None;
        }
        let text = match std::str::from_utf8(window) {
            Ok(text) => text,
            Err(fault) if body_goes_on && fault.error_len().is_none() => {
                std::str::from_utf8(&window[..fault.valid_up_to()]).ok()?
            }
            Err(_) => return None,
        };
        let room = self.room();
        let before = self.line.len();
        self.line.extend_from_slice(br#","text":""#);
        let start = self.line.len();
        let used = escape_within(text, room, &mut self.line);
        if self.line.len() - start <= used.div_ceil(3) * 4 {
            return Some(used);
        }
        self.line.truncate(before);
        None
    }

    fn put_base64(&mut self, window: &[u8]) -> usize {
        self.base64 = true;
        let used = window.len().min(base64_piece_bytes(self.room()));
        self.line.extend_from_slice(br#","b64":""#);
        let start = self.line.len();
        self.line.resize(start + used.div_ceil(3) * 4, 0);
        // The buffer has exactly the length of the encoded piece, so encoding can't fail.
        let written = STANDARD.encode_slice(&window[..used], &mut self.line[start..]).unwrap_or(0);
        self.line.truncate(start + written);
        used
    }

    /// Rule 8: what is left of the body, up to its last piece, whose line stays open.
    fn finish_body(&mut self) {
        self.begin();
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        while !rest.is_empty() {
            let Some(window) = self.window() else {
                self.end_line();
                continue;
            };
            let window = window.min(rest.len());
            let used = self.put_piece(&rest[..window], window < rest.len());
            rest = &rest[used..];
            if !rest.is_empty() {
                self.end_line();
            }
        }
    }

    /// Rule 9: `of` and the tail onto the open line, which ends the part; false where they do not fit.
    fn put_end(&mut self, tail: Option<&str>) -> bool {
        let before = self.line.len();
        self.put_of();
        match tail {
            Some(tail) if self.signing.is_some() => {
                self.line.extend_from_slice(br#","tailf":""#);
                escape_json(tail, &mut self.line);
                self.line.push(b'"');
            }
            Some(tail) => {
                self.line.extend_from_slice(br#","tail":"#);
                self.line.extend_from_slice(tail.as_bytes());
            }
            None => (),
        }
        if self.line_len() + self.close_bytes > self.limit {
            self.line.truncate(before);
            return false;
        }
        self.sign_end(tail.unwrap_or_default(), true);
        self.close_line();
        true
    }

    /// Rule 10.
    fn put_tail_fragments(&mut self, tail: &str) {
        let mut rest = tail;
        loop {
            let before = self.line.len();
            self.put_of();
            let room = self.limit - self.line_len() - FRAGMENT_BYTES - self.close_bytes;
            let mut fragment = Vec::with_capacity(room);
            let used = escape_within(rest, room, &mut fragment);
            self.sign_end(&rest[..used], used == rest.len());
            rest = &rest[used..];
            if !rest.is_empty() {
                self.line.truncate(before);
            }
            self.line.extend_from_slice(br#","tailf":""#);
            self.line.extend_from_slice(&fragment);
            self.line.push(b'"');
            if rest.is_empty() {
                self.close_line();
                return;
            }
            self.end_line();
        }
    }

    fn put_of(&mut self) {
        self.line.extend_from_slice(br#","of":"#);
        push_number(self.seq + 1, &mut self.line);
    }

    /// Notes for the signature what stands at the open line's end.
    fn sign_end(&mut self, tailf: &str, is_last: bool) {
        if let Some(signing) = &mut self.signing {
            signing.said.extend_from_slice(tailf.as_bytes());
            signing.of = is_last.then_some(self.seq + 1);
        }
    }

    /// What every line begins with, up to the number.
    fn line_start(&self) -> [&str; 5] {
        [r#"{"cap1":""#, &self.id, r#"","part":""#, self.part.as_str(), r#"","seq":"#]
    }

    fn open_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        self.line_start().into_iter().for_each(|text| line.extend_from_slice(text.as_bytes()));
        push_number(self.seq, &mut line);
        self.line = line;
    }

    /// The one place where a line is completed and given out.
    fn close_line(&mut self) {
        if let Some(signing) = &mut self.signing {
            let signature = signing.sign(&self.id, self.part, self.seq);
            self.line.extend_from_slice(br#","sig":""#);
            self.line.extend_from_slice(hex(&signature).as_bytes());
            self.line.push(b'"');
        }
        self.line.extend_from_slice(b"}\n");
        debug_assert!(self.line_len() <= self.limit, "a line of {} bytes", self.line_len());
        self.at = self.line.len();
    }

    fn end_line(&mut self) {
        self.close_line();
        self.seq += 1;
        self.open_line();
    }
}

/// What the signature of the open line is over, as far as it is known.
#[derive(Debug)]
struct Signing {
    key: SigningKey,
    /// The line's fragment of the head, its piece, and its fragment of the tail, one behind the other.
    said: Vec<u8>,
    headf_bytes: usize,
    piece_bytes: usize,
    of: Option<u64>,
}

impl Signing {
    /// Signs the open line, and forgets it.
    fn sign(&mut self, id: &str, part: PartTag, seq: u64) -> [u8; SIGNATURE_BYTES] {
        let (headf, rest) = self.said.split_at(self.headf_bytes);
        let (piece, tailf) = rest.split_at(self.piece_bytes);
        let line = SignedLine { id: &id, part: part.as_str(), seq, of: self.of, at: None, headf, piece, tailf };
        let signature = self.key.sign(&line);
        self.said.clear();
        (self.headf_bytes, self.piece_bytes, self.of) = (0, 0, None);
        signature
    }
}

/// How many bytes of a body fill `room` as base64.
fn base64_piece_bytes(room: usize) -> usize {
    (room + 1) / 4 * 3
}

/// Writes a `meta` record (rule 13), signed where a key is given: `head` is [`super::MetaHead::to_json`]'s text.
///
/// # Errors
/// [`WriteError::Id`] where `id` is no capture id.
pub fn write_meta(
    id: &str,
    head: String,
    limit: LineLimit,
    key: Option<&SigningKey>,
    out: &mut Vec<u8>,
) -> Result<(), WriteError> {
    let mut part = PartWriter::new(id, PartTag::Meta, head, limit)?.signed(key);
    let own = part.enter(out);
    part.begin();
    if !part.put_end(None) {
        part.end_line();
        part.put_end(None);
    }
    part.leave(own, out);
    Ok(())
}
