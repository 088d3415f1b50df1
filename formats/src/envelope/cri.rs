//! The log format of the Kubernetes container runtime interface: `TIME STREAM TAGS CONTENT`, where the first tag is `P` for a piece with
//! more to come and `F` for the last.

use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::one_of;
use nom::combinator::{opt, recognize, verify};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser, branch::alt};

use super::{Content, Piece, stream_slot};

/// Takes a line apart; `None` where it is none of this format's.
pub(super) fn piece(line: &[u8]) -> Option<Piece<'_>> {
    // Nearly every line of another format is told apart by its first byte.
    if !line.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let (content, header) = header(line).ok()?;
    Some(Piece { stream: header.stream, partial: header.partial, content: Content::Plain(content) })
}

struct Header {
    stream: usize,
    partial: bool,
}

fn header(line: &[u8]) -> IResult<&[u8], Header> {
    (
        terminated(timestamp, tag(&b" "[..])),
        terminated(alt((tag(&b"stdout"[..]), tag(&b"stderr"[..]))), tag(&b" "[..])),
        terminated(tags, opt(tag(&b" "[..]))),
    )
        .map(|(_, stream, partial)| Header { stream: stream_slot(stream), partial })
        .parse(line)
}

/// RFC 3339 as Go prints it, by its alphabet and shape: `2026-11-22T05:00:00.123456789Z` or with an offset.
fn timestamp(line: &[u8]) -> IResult<&[u8], &[u8]> {
    let characters = take_while1(|byte: u8| byte.is_ascii_digit() || b"-:.TZ+".contains(&byte));
    verify(characters, |time: &[u8]| time.len() >= 20 && time[4] == b'-' && time[10] == b'T').parse(line)
}

/// `F` or `P`, and tags behind colons that no runtime writes yet; gives whether the line goes on.
fn tags(line: &[u8]) -> IResult<&[u8], bool> {
    let more = recognize(opt(preceded(tag(&b":"[..]), take_while1(|byte: u8| byte != b' '))));
    terminated(one_of("PF").map(|tag| tag == 'P'), more).parse(line)
}
