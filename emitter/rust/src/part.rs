//! A part whose lines are being cut, and its body where that may hold secrets: such a body is held until it is whole, and redacted then.

use std::borrow::Cow;

use reassemble_formats::{
    redact::{BodyKind, Redactor},
    write::{PartWriter, Tail},
};

/// Why a body is left out: it was longer than what is held, or ended early.
const TOO_LONG: &str = "redact_buffer";
/// It is none of its type.
const NO_SUCH_TYPE: &str = "redact_syntax";

/// A part that is open.
pub(crate) struct OpenPart {
    lines: PartWriter,
    held: Option<HeldBody>,
}

struct HeldBody {
    kind: BodyKind,
    limit: usize,
    bytes: Vec<u8>,
    /// Bytes that came, held or not.
    len: u64,
}

impl HeldBody {
    fn take(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if self.is_too_long() {
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn is_too_long(&self) -> bool {
        self.len > self.limit as u64
    }

    /// What may be captured, or why nothing may.
    fn redacted(&self, redactor: &Redactor, truncated: bool) -> Result<Cow<'_, [u8]>, &'static str> {
        if self.is_too_long() || truncated && self.len > 0 {
            return Err(TOO_LONG);
        }
        redactor.body(self.kind, &self.bytes).ok_or(NO_SUCH_TYPE)
    }
}

impl OpenPart {
    /// A part whose body, if it is of a kind that may hold secrets, is held up to `limit` bytes.
    pub(crate) fn new(lines: PartWriter, kind: Option<BodyKind>, limit: usize) -> OpenPart {
        OpenPart { lines, held: kind.map(|kind| HeldBody { kind, limit, bytes: Vec::new(), len: 0 }) }
    }

    /// Memory that it takes for bytes that no line has taken.
    pub(crate) fn held_bytes(&self) -> usize {
        self.lines.held_bytes() + self.held.as_ref().map_or(0, |held| held.bytes.capacity())
    }

    /// Takes the next piece of the body.
    pub(crate) fn body(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.held {
            Some(held) => held.take(bytes),
            None => self.lines.body(bytes, out),
        }
    }

    /// Ends the part.
    pub(crate) fn finish(mut self, mut tail: Tail<'_>, redactor: &Redactor, out: &mut Vec<u8>) {
        if let Some(held) = &self.held {
            match held.redacted(redactor, tail.truncated) {
                Ok(body) => self.lines.body(&body, out),
                Err(why) => {
                    if tail.error.is_empty() {
                        tail.error = why.into();
                    }
                    tail.full_len = tail.full_len.or((!tail.truncated).then_some(held.len));
                    tail.truncated = true;
                }
            }
        }
        self.lines.finish(&tail, out);
    }
}

/// The kind of the body that these headers announce, where it may hold secrets and can be looked through.
pub(crate) fn body_kind(headers: Option<&[(Cow<'_, str>, Cow<'_, str>)]>) -> Option<BodyKind> {
    let headers = headers?;
    let value = |name: &str| {
        headers.iter().find(|(listed, _)| listed.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let encoding = value("content-encoding").unwrap_or_default();
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
        return None;
    }
    BodyKind::of(value("content-type")?)
}
