//! Values without an escape in any string, as nearly all heads and tails are: there quotes alone tell where strings begin and end, and they are
//! found 64 bytes at a time.

use super::blocks::{BLOCK, marks};
use super::{MAX_DEPTH, skip_number, skip_word};

/// The quotes of a text, one after the other.
pub(crate) struct Quotes<'t> {
    text: &'t [u8],
    /// Where the block begins that the bits are of.
    block: usize,
    /// Quotes that were not given yet.
    quotes: u64,
    /// Backslashes and control characters.
    odd: u64,
    /// Where the next block begins.
    next: usize,
}

impl<'t> Quotes<'t> {
    /// From `at` on.
    #[inline]
    pub(crate) fn new(text: &'t [u8], at: usize) -> Self {
        Quotes { text, block: at, quotes: 0, odd: 0, next: at }
    }

    /// Where the next quote is; nothing where there is none, or something odd stands before it.
    #[inline]
    pub(crate) fn next_quote(&mut self) -> Option<usize> {
        while self.quotes == 0 {
            if self.odd != 0 || self.next >= self.text.len() {
                return None;
            }
            self.look();
        }
        let quote = self.quotes.trailing_zeros();
        self.quotes &= self.quotes - 1;
        let before = (1 << quote) - 1;
        (self.odd & before == 0).then_some(self.block + quote as usize)
    }

    /// Looks at the next block.
    fn look(&mut self) {
        let rest = &self.text[self.next..];
        let marks = match rest.first_chunk() {
            Some(block) => marks(block),
            None => {
                // Spaces are nothing that is looked for.
                let mut padded = [b' '; BLOCK];
                padded[..rest.len()].copy_from_slice(rest);
                marks(&padded)
            }
        };
        self.block = self.next;
        self.next += BLOCK;
        (self.quotes, self.odd) = (marks.quotes, marks.controls | marks.backslashes);
    }

    /// The string whose opening quote is at `at`, which must be the next; gives the offset of its closing quote.
    #[inline]
    pub(crate) fn string_at(&mut self, at: usize) -> Option<usize> {
        if self.next_quote()? == at { self.next_quote() } else { None }
    }
}

/// The offset behind the object that starts at `at`; nothing where it holds white space between its tokens, an escape or a control character, or is no
/// JSON. `depth` is that of what encloses it.
pub(crate) fn skip_plain_object(text: &[u8], at: usize, depth: usize) -> Option<usize> {
    let mut walk = Walk { text, quotes: Quotes::new(text, at) };
    if text.get(at) == Some(&b'{') { walk.value(at, depth) } else { None }
}

struct Walk<'t> {
    text: &'t [u8],
    quotes: Quotes<'t>,
}

impl Walk<'_> {
    fn value(&mut self, at: usize, depth: usize) -> Option<usize> {
        match self.text.get(at)? {
            b'"' => Some(self.quotes.string_at(at)? + 1),
            b'{' if depth < MAX_DEPTH => self.values(at, depth, b'}'),
            b'[' if depth < MAX_DEPTH => self.values(at, depth, b']'),
            b'-' | b'0'..=b'9' => skip_number(self.text, at).ok(),
            b't' => skip_word(self.text, at, b"true").ok(),
            b'f' => skip_word(self.text, at, b"false").ok(),
            b'n' => skip_word(self.text, at, b"null").ok(),
            _ => None,
        }
    }

    /// The members of an object or the elements of an array, up to what closes it.
    fn values(&mut self, at: usize, depth: usize, close: u8) -> Option<usize> {
        let mut at = at + 1;
        if self.text.get(at) == Some(&close) {
            return Some(at + 1);
        }
        loop {
            if close == b'}' {
                at = self.quotes.string_at(at)? + 1;
                if self.text.get(at) != Some(&b':') {
                    return None;
                }
                at += 1;
            }
            at = self.value(at, depth + 1)?;
            match self.text.get(at)? {
                b',' => at += 1,
                end if *end == close => return Some(at + 1),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::skip_value;

    proptest! {
        #[test]
        fn the_short_walk_ends_where_the_long_one_does(
            tokens in proptest::collection::vec(prop_oneof![
                Just("{".to_owned()), Just("}".to_owned()), Just("[".to_owned()), Just("]".to_owned()), Just(",".to_owned()), Just(":".to_owned()),
                Just("\"a\":".to_owned()), Just("\"\"".to_owned()), Just("7".to_owned()), Just("-0.5e3".to_owned()), Just("01".to_owned()),
                Just("true".to_owned()), Just("null".to_owned()), Just("nul".to_owned()), Just(" ".to_owned()), Just("\\\"".to_owned()),
                (0usize..90).prop_map(|long| format!("\"{}é\"", "x".repeat(long))), Just("\"\u{1}\"".to_owned()),
            ], 0..12),
            before in 0usize..3,
        ) {
            let text = format!("{}{{{}", "\"".repeat(before), tokens.concat());
            if let Some(end) = skip_plain_object(text.as_bytes(), before, 0) {
                prop_assert_eq!(skip_value(text.as_bytes(), before, 0), Ok(end));
                prop_assert!(text.as_bytes()[before..end].iter().all(|byte| *byte >= b' '));
            }
        }
    }

    #[test]
    fn what_emitters_write_goes_the_short_way() {
        let head = format!(
            r#"{{"ts":"{}","n":12,"headers":[["a","b"],["c","{}"]],"x":{{}},"y":[],"z":[true,null,-1.5]}}"#,
            "t".repeat(27),
            "v".repeat(200)
        );
        let line = format!("..{head},\"text\":\"\\n\"}}");
        assert_eq!(skip_plain_object(line.as_bytes(), 2, 1), Some(2 + head.len()));
    }

    #[test]
    fn depth_is_bounded_as_in_the_long_walk() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(skip_plain_object(nested(MAX_DEPTH).as_bytes(), 0, 0).is_some());
        assert_eq!(skip_plain_object(nested(MAX_DEPTH + 1).as_bytes(), 0, 0), None);
    }

    #[test]
    fn something_odd_hides_the_quotes_behind_it() {
        for (text, quotes) in [("\"a\"é\"", 3), ("\"\\\"", 1), ("a\"\t\"", 1), ("\"\"\"", 3)] {
            for padding in [0, 60, 61, 62, 63, 64, 130] {
                let text = format!("{}{text}", "x".repeat(padding));
                let mut found = Quotes::new(text.as_bytes(), 0);
                let count = std::iter::from_fn(|| found.next_quote()).count();
                assert_eq!(count, quotes, "{text}");
            }
        }
    }
}
