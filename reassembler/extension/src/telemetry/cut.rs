//! A record of which only the start has come, until the next POST brings its rest.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Deserializer;
use serde_json::value::RawValue;

/// What may wait of a cut record, in bytes of its JSON text: twice what a POST may hold.
const MOST_BYTES: usize = 2 << 20;

/// A record's start, where the last POST ended within one.
#[derive(Debug, Default)]
pub struct Cut(Option<Piece>);

/// The start of a record: its envelope up to `"record":`, and what came of its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    envelope: Vec<u8>,
    kind: String,
    value: Vec<u8>,
    /// Hash of the POST that left it.
    post: u64,
}

/// What became of a cut record with the next POST.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rejoined {
    /// None was cut.
    Nothing,
    /// It is whole, and the POST's first element was its rest, of so many bytes.
    Whole { kind: String, value: Vec<u8>, consumed: usize },
    /// The whole POST belongs to it, and it goes on.
    Longer,
    /// The POST does not go on with it, or it is too long.
    Lost(Piece),
}

impl Piece {
    pub(super) fn len(&self) -> usize {
        self.value.len()
    }

    /// The inside of a string that the function printed, as far as it came.
    pub(super) fn of_string(self) -> Option<Vec<u8>> {
        let mut value = self.value;
        if self.kind != "function" || value.first() != Some(&b'"') {
            return None;
        }
        value.remove(0);
        Some(value)
    }
}

impl Cut {
    /// Whether this is the POST that left what waits: the platform sends again what it had no answer for.
    pub(super) fn was_left_by(&self, post: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|piece| piece.post == hash(post))
    }

    /// Keeps the start of an element that a POST's end cuts within its value. False where it is cut before, or too long.
    pub(super) fn keep(&mut self, post: &[u8], at: usize) -> bool {
        let element = &post[at..];
        let Some((kind, at)) = envelope(element) else { return false };
        if element.len() - at > MOST_BYTES {
            return false;
        }
        self.0 =
            Some(Piece { envelope: element[..at].to_vec(), kind, value: element[at..].to_vec(), post: hash(post) });
        true
    }

    /// What came of a string that the function printed, once its rest can no longer come.
    pub fn give_up(&mut self) -> Option<Vec<u8>> {
        self.0.take()?.of_string()
    }

    /// Joins what waits with the first element of the next POST, which begins at `at`.
    pub(super) fn rejoin(&mut self, post: &[u8], at: usize) -> Rejoined {
        let elements = &post[at..];
        let Some(mut piece) = self.0.take() else { return Rejoined::Nothing };
        let Some(rest) = elements.strip_prefix(piece.envelope.as_slice()) else { return Rejoined::Lost(piece) };
        let before = piece.value.len();
        // A string's rest may come behind a quote of its own, but not where the cut is within an escape.
        let quoted =
            piece.value.first() == Some(&b'"') && rest.first() == Some(&b'"') && !Walk::behind(&piece.value).escaped;
        for skipped in 0..=usize::from(quoted) {
            // The rest of the POST is looked at where it lies but for this record, which has to lie in one piece.
            let Some(end) = end_of_element(&piece.value, &rest[skipped..]) else { continue };
            piece.value.extend_from_slice(&rest[skipped..skipped + end]);
            if serde_json::from_slice::<&RawValue>(&piece.value).is_ok() {
                let consumed = piece.envelope.len() + skipped + end + 1;
                return Rejoined::Whole { kind: piece.kind, value: piece.value, consumed };
            }
            piece.value.truncate(before);
        }
        let skipped = usize::from(quoted);
        if before + rest.len() <= MOST_BYTES && ends_within(&piece.value, &rest[skipped..]) {
            piece.value.extend_from_slice(&rest[skipped..]);
            piece.post = hash(post);
            self.0 = Some(piece);
            return Rejoined::Longer;
        }
        Rejoined::Lost(piece)
    }
}

fn hash(post: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    post.hash(&mut hasher);
    hasher.finish()
}

/// Where a reader of JSON stands within a value.
#[derive(Clone, Copy, Default)]
struct Walk {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Walk {
    /// Takes a byte. False where it stands behind the value.
    fn step(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => (),
            }
            return true;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' | b',' if self.depth == 0 => return false,
            b'}' | b']' => self.depth -= 1,
            _ => (),
        }
        true
    }

    fn behind(value: &[u8]) -> Walk {
        let mut walk = Walk::default();
        for byte in value {
            walk.step(*byte);
        }
        walk
    }
}

/// How much of `rest` belongs to a value that begins with `start`, where its element ends there as elements do.
fn end_of_element(start: &[u8], rest: &[u8]) -> Option<usize> {
    let mut walk = Walk::behind(start);
    let end = rest.iter().position(|byte| !walk.step(*byte))?;
    let next = rest.get(end + 1..)?.iter().find(|byte| !byte.is_ascii_whitespace());
    (rest[end] == b'}' && matches!(next, None | Some(b',' | b']'))).then_some(end)
}

/// Whether a value that begins with `start` does not end in `rest`.
fn ends_within(start: &[u8], rest: &[u8]) -> bool {
    let mut walk = Walk::behind(start);
    rest.iter().all(|byte| walk.step(*byte))
}

/// An element's type and where its record's value begins; `None` where it has no such beginning.
fn envelope(element: &[u8]) -> Option<(String, usize)> {
    let (mut at, mut kind) = (0, None);
    let mut expect = b'{';
    loop {
        if element.get(at) != Some(&expect) {
            return None;
        }
        let (key, behind) = string(element, at + 1)?;
        if element.get(behind) != Some(&b':') {
            return None;
        }
        if key == "record" {
            return Some((kind?, behind + 1));
        }
        let (value, behind) = string(element, behind + 1)?;
        if key == "type" {
            kind = Some(value);
        }
        (at, expect) = (behind, b',');
    }
}

/// The string at `at`, and what stands behind it.
fn string(text: &[u8], at: usize) -> Option<(String, usize)> {
    let mut strings = Deserializer::from_slice(text.get(at..)?).into_iter::<String>();
    let string = strings.next()?.ok()?;
    Some((string, at + strings.byte_offset()))
}

/// Where an element holds what is left of a string behind its cut: the inside of it, up to its closing quote.
pub(super) fn rest_of_string(element: &[u8]) -> Option<&[u8]> {
    let (kind, at) = envelope(element)?;
    let rest = &element[at..];
    let end = end_of_element(b"\"", rest)?;
    let quote = rest[..end].iter().rposition(|byte| *byte == b'"')?;
    (kind == "function").then(|| &rest[..quote])
}
