//! How a document begins.

/// The longest white space within a marker.
const WHITE_BYTES: usize = 64;

/// Whether bytes begin with what only a document begins with: its message type, or its owner followed by its log group (both orders stand in
/// AWS's documentation; the services write the first).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Yes,
    No,
    /// There are too few bytes to tell.
    Cut,
}

/// What a marker is made of. Between any two of these there may be white space.
enum Token {
    Is(&'static [u8]),
    /// A string of letters and digits: an account, or the service's own name.
    Word,
}

const MARKERS: [&[Token]; 3] = [
    &[Token::Is(b"{"), Token::Is(b"\"messageType\""), Token::Is(b":"), Token::Is(b"\"DATA_MESSAGE\"")],
    &[Token::Is(b"{"), Token::Is(b"\"messageType\""), Token::Is(b":"), Token::Is(b"\"CONTROL_MESSAGE\"")],
    &[
        Token::Is(b"{"),
        Token::Is(b"\"owner\""),
        Token::Is(b":"),
        Token::Word,
        Token::Is(b","),
        Token::Is(b"\"logGroup\""),
    ],
];

impl Marker {
    /// Looks at the first bytes.
    pub(super) fn at(bytes: &[u8]) -> Marker {
        let mut answer = Marker::No;
        for marker in MARKERS {
            match begins_with(bytes, marker) {
                Marker::Yes => return Marker::Yes,
                Marker::Cut => answer = Marker::Cut,
                Marker::No => {}
            }
        }
        answer
    }
}

fn begins_with(mut bytes: &[u8], marker: &[Token]) -> Marker {
    for token in marker {
        let white = bytes.iter().take(WHITE_BYTES).take_while(|byte| byte.is_ascii_whitespace()).count();
        bytes = &bytes[white..];
        let length = match token {
            Token::Is(text) if bytes.starts_with(text) => text.len(),
            Token::Is(text) if text.starts_with(bytes) => return Marker::Cut,
            Token::Is(_) => return Marker::No,
            Token::Word => {
                let letters = bytes.iter().skip(1).take(WHITE_BYTES).take_while(|byte| byte.is_ascii_alphanumeric());
                let length = 1 + letters.count();
                match (bytes.first(), bytes.get(length)) {
                    (Some(b'"'), Some(b'"')) => length + 1,
                    (Some(b'"') | None, None) => return Marker::Cut,
                    _ => return Marker::No,
                }
            }
        };
        bytes = &bytes[length..];
    }
    Marker::Yes
}
