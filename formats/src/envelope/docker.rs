//! Docker's json-file driver: one JSON object a line, the app's text in `log`, which ends with a newline unless the line goes on in the
//! next record of the same stream.

use super::{Content, Piece, stream_slot};
use crate::json::{Members, StringSpan, skip_string, skip_value};

/// Takes a record apart; `None` where the line is none of this driver's.
pub(super) fn piece(line: &[u8]) -> Option<Piece<'_>> {
    let line = line.trim_ascii();
    let mut log: Option<StringSpan> = None;
    let mut stream = None;
    let mut time = false;
    let mut members = Members::new(line, 0, 0).ok()?;
    while let Some(member) = members.next_member().ok()? {
        let value = skip_string(line, member.value).ok();
        match member.key.raw(line) {
            b"log" => log = Some(value?),
            b"stream" => stream = Some(value?.raw(line)),
            b"time" => time = true,
            _ if log.is_none() => return None, // The driver writes `log` first; other loggers' records are told apart at once.
            _ => (),
        }
        members.seek(match value {
            Some(span) => span.end + 1,
            None => skip_value(line, member.value, 1).ok()?,
        });
    }
    if members.at != line.len() || !time {
        return None;
    }
    let raw = log?.raw(line);
    let whole = without_newline(raw);
    Some(Piece {
        stream: stream_slot(stream?),
        partial: whole.is_none(),
        content: Content::Escaped(whole.unwrap_or(raw)),
    })
}

/// The escaped text without the `\n` at its end, where there is one: an `n` behind an odd number of backslashes.
fn without_newline(raw: &[u8]) -> Option<&[u8]> {
    let text = raw.strip_suffix(b"n")?;
    let backslashes = text.iter().rev().take_while(|byte| **byte == b'\\').count();
    (backslashes % 2 == 1).then(|| &text[..text.len() - 1])
}
