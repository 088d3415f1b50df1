//! Writing capture lines: the same bytes in every language, whatever sizes the body arrives in.
//!
//! [`PartWriter`] cuts one part of one capture into lines. It does no I/O and holds at most about one line. [`RequestHead`],
//! [`ResponseHead`], [`Tail`] and [`MetaHead`] make the JSON text of heads and tails; [`write_meta`] writes a `meta` record.
//!
//! # The rules of the cut
//!
//! `limit` is the longest a line may be, its newline included. All lengths are in bytes.
//!
//! 1. **A line** is `{"cap1":"ID","part":"PART","seq":N`, then any of head, piece, `of`, tail in this order, then `}` and a newline.
//!    No white space stands between tokens; strings are escaped canonically (rule 12); numbers are plain decimals.
//! 2. **Head.** Where the first line with `,"head":HEAD` and its closing `}` and newline is no longer than `limit`, the head stands there
//!    whole. Otherwise its JSON text is cut into `headf` fragments, on lines of their own from `seq` 0: each holds as many characters as its
//!    line takes, and the last of them is the line that goes on with rule 3.
//! 3. **Room.** A line that so far is `P` long has `room = limit - P - 29` for a text piece: 29 is `,"text":"` and `"`, `,"crc":"00000000"`, and
//!    the closing `}` and newline. Where `room` is below 6 (the longest escape) and some of the body is left, the line ends without a piece.
//! 4. **Window.** The next `room` bytes of the body, or what is left of it, are the window.
//! 5. **Text.** The piece is text where the window is UTF-8, and where the piece's escaped form is no longer than its base64
//!    (`4 * ceil(n / 3)` for a piece of `n` bytes). A character that the window's end cuts is no fault while the body goes on behind the window;
//!    at the body's end it is one. The piece is as many whole characters of the window as fit into `room` once escaped.
//! 6. **Base64.** Otherwise this piece and all that follow are base64: `n = 3 * floor((room + 1) / 4)` bytes, or what is left (`b64` is
//!    one character shorter than `text`, hence the 1). So only the body's last piece is ever padded.
//! 7. **Every piece** has its `crc` right behind it. A body of no bytes has no piece.
//! 8. **The last piece** is cut as any other, with no regard to what must follow it.
//! 9. **Tail.** `N` is the number of lines so far, the open one included. Where `,"of":N,"tail":TAIL` fits onto the open line (that of the last
//!    piece; of the head, where there is no body), it stands there. Otherwise the line is closed and they stand on the next, with `of` one higher.
//! 10. **A tail too long** for a line of its own is cut into `tailf` fragments on lines of their own. Each has the room that is left with
//!     `,"of":N` in place, `N` being the number of lines up to its own; but `of` is written on the last of them alone.
//! 11. **The tail's first keys** are `len` and `crc`, of the body as captured. Every part has a tail, and thus both.
//! 12. **Strings**: only `"`, `\` and what is below U+0020 are escaped: `\"`, `\\`, `\b`, `\t`, `\n`, `\f`, `\r`, else `\u00xx` in lowercase hex.
//! 13. **`meta`** records are cut by rules 1 and 2; `,"of":N` follows the head where it fits, else on a line of its own. They have no tail.
//! 14. **With a key** every line ends with `,"sig":"SIGNATURE"` before its `}`: 41 bytes that all the rules above count with the closing `}`
//!     and newline. Head and tail are always fragments: rule 2 goes straight to `headf`, and in rule 9 `,"tailf":"TAIL"`, escaped, stands for
//!     `,"tail":TAIL`.
//!
//! A line is given out once it is sure not to be the part's last, and no sooner; so where lines end depends on the body alone.

mod heads;
mod json;
mod part;

use thiserror::Error;

pub use self::{
    heads::{Direction, MAX_ERROR_BYTES, MetaHead, RequestHead, ResponseHead, Status, Tail, Why, header_text},
    json::escape_json,
    part::{PartWriter, write_meta},
};

/// Why something can't be written as capture lines.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// The id is not 1 to 64 of `A-Z a-z 0-9 . _ : -`.
    #[error("not a capture id: {id:?} (1 to 64 of A-Z a-z 0-9 . _ : -)")]
    Id {
        /// The id as given.
        id: String,
    },
    /// The line limit is out of bounds.
    #[error("line limit of {bytes} bytes is not within {} to {}", LineLimit::MIN.bytes(), LineLimit::MAX.bytes())]
    LineLimit {
        /// The limit as given.
        bytes: usize,
    },
}

/// Which part of a capture a line belongs to, as lines spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartTag {
    /// `req`: what was asked.
    Req,
    /// `res`: what was answered.
    Res,
    /// `meta`: a process's counters.
    Meta,
}

impl PartTag {
    /// As lines spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            PartTag::Req => "req",
            PartTag::Res => "res",
            PartTag::Meta => "meta",
        }
    }
}

/// The longest that a line may be in bytes, its newline included.
///
/// The default, 4,096, is what POSIX systems of note write to a pipe in one piece, so that processes can share a standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineLimit(usize);

impl LineLimit {
    /// 512 bytes: the longest id and the largest numbers leave more than half of it to what a line is for.
    pub const MIN: LineLimit = LineLimit(512);
    /// 4,096 bytes: `PIPE_BUF` on Linux.
    pub const DEFAULT: LineLimit = LineLimit(4096);
    /// 262,144 bytes: the largest event of CloudWatch Logs before 2025, and the largest that all readers take.
    pub const MAX: LineLimit = LineLimit(262_144);

    /// A limit of `bytes`.
    ///
    /// # Errors
    /// [`WriteError::LineLimit`] below [`LineLimit::MIN`] and above [`LineLimit::MAX`].
    pub fn new(bytes: usize) -> Result<LineLimit, WriteError> {
        if (LineLimit::MIN.0..=LineLimit::MAX.0).contains(&bytes) {
            Ok(LineLimit(bytes))
        } else {
            Err(WriteError::LineLimit { bytes })
        }
    }

    /// The limit in bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl Default for LineLimit {
    fn default() -> Self {
        LineLimit::DEFAULT
    }
}
