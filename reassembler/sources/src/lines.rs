//! Cutting bytes into whole lines, within a bound.
//!
//! Blocks of many whole lines are handed on as they are: only a block's end is searched for a newline. What is held back is one
//! line's beginning, at most `max_line_bytes`. A line longer than that (its newline counted) is skipped and its length reported.
//! NUL bytes before a line's first byte are fill, not content (a writer without O_APPEND leaves a hole when its file is truncated
//! beneath it) and are skipped; NUL bytes within a line are the line's own.
//!
//! Invariant: the bytes of all [`Piece::Lines`] and [`Piece::Skipped`], in order, are the bytes that went in.

use memchr::{memchr, memmem, memrchr};

use crate::{InputEvent, InputId, LineSink};

/// A part of an input, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Whole lines with their newlines; at the end of the input, the last line may lack it.
    Lines(&'a [u8]),
    /// Bytes that belong to no line that is delivered: NUL fill, or part of a line that is too long.
    Skipped(&'a [u8]),
    /// A line that was too long has ended.
    LongLine {
        /// Its length in bytes, newline included.
        bytes: u64,
    },
}

/// The partial line's buffer is given back to the allocator where a long line made it larger than this.
const KEPT_PARTIAL_BYTES: usize = 64 * 1024;

/// Takes an input's bytes as they come and hands on whole lines. Holds at most one line's beginning.
#[derive(Debug)]
pub struct LineSplitter {
    max_line_bytes: usize,
    /// The beginning of a line whose newline has not come; shorter than `max_line_bytes`.
    partial: Vec<u8>,
    /// How much of an over-long line has been skipped; 0 while none is.
    skipping: u64,
}

impl LineSplitter {
    /// A splitter for lines of at most `max_line_bytes`, newline included.
    pub fn new(max_line_bytes: usize) -> Self {
        Self::resume(max_line_bytes, 0)
    }

    /// A splitter that begins within an over-long line of which `skipping` bytes went by.
    pub(crate) fn resume(max_line_bytes: usize, skipping: u64) -> Self {
        Self { max_line_bytes: max_line_bytes.max(1), partial: Vec::new(), skipping }
    }

    /// Takes the next bytes and hands on every line that they complete.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut dyn FnMut(Piece<'_>)) {
        if self.skipping > 0 {
            let Some(end) = memchr(b'\n', bytes) else {
                self.skip(bytes, out);
                return;
            };
            out(Piece::Skipped(&bytes[..=end]));
            out(Piece::LongLine { bytes: self.skipping + end as u64 + 1 });
            self.skipping = 0;
            bytes = &bytes[end + 1..];
        }
        if !self.partial.is_empty() {
            let Some(end) = memchr(b'\n', bytes) else {
                self.hold(bytes, out);
                return;
            };
            self.complete(&bytes[..=end], out);
            bytes = &bytes[end + 1..];
        }
        if let Some(end) = memrchr(b'\n', bytes) {
            split_whole_lines(&bytes[..=end], self.max_line_bytes, out);
            bytes = &bytes[end + 1..];
        }
        let fill = leading_nuls(bytes);
        if fill > 0 {
            out(Piece::Skipped(&bytes[..fill]));
        }
        self.hold(&bytes[fill..], out);
    }

    /// The input has ended: hands on its last line where that has no newline.
    pub fn finish(&mut self, out: &mut dyn FnMut(Piece<'_>)) {
        if self.skipping > 0 {
            out(Piece::LongLine { bytes: std::mem::take(&mut self.skipping) });
        } else if !self.partial.is_empty() {
            out(Piece::Lines(&self.partial));
            self.forget_partial();
        }
    }

    /// What is held back: the beginning of a line whose newline has not come.
    pub fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// How many bytes of an over-long line went by so far; 0 while there is none.
    pub(crate) fn skipping(&self) -> u64 {
        self.skipping
    }

    fn complete(&mut self, rest: &[u8], out: &mut dyn FnMut(Piece<'_>)) {
        let len = self.partial.len() + rest.len();
        if len > self.max_line_bytes {
            out(Piece::Skipped(&self.partial));
            out(Piece::Skipped(rest));
            out(Piece::LongLine { bytes: len as u64 });
        } else {
            self.partial.extend_from_slice(rest);
            out(Piece::Lines(&self.partial));
        }
        self.forget_partial();
    }

    fn hold(&mut self, bytes: &[u8], out: &mut dyn FnMut(Piece<'_>)) {
        if self.partial.len() + bytes.len() < self.max_line_bytes {
            self.partial.extend_from_slice(bytes);
            return;
        }
        if !self.partial.is_empty() {
            self.skipping = self.partial.len() as u64;
            out(Piece::Skipped(&self.partial));
            self.forget_partial();
        }
        self.skip(bytes, out);
    }

    fn skip(&mut self, bytes: &[u8], out: &mut dyn FnMut(Piece<'_>)) {
        if !bytes.is_empty() {
            self.skipping += bytes.len() as u64;
            out(Piece::Skipped(bytes));
        }
    }

    fn forget_partial(&mut self) {
        if self.partial.capacity() > KEPT_PARTIAL_BYTES {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
        }
    }
}

/// How many NUL bytes stand at the start.
pub(crate) fn leading_nuls(bytes: &[u8]) -> usize {
    if bytes.first() != Some(&0) {
        return 0;
    }
    bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len())
}

/// Hands on a block that begins at a line's start and ends with a newline, as a whole where nothing in it must be skipped.
pub(crate) fn split_whole_lines(mut block: &[u8], max_line_bytes: usize, out: &mut dyn FnMut(Piece<'_>)) {
    if memchr(0, block).is_none() {
        split_by_length(block, max_line_bytes, out);
        return;
    }
    let finder = memmem::Finder::new(b"\n\0");
    while !block.is_empty() {
        let fill = leading_nuls(block);
        if fill > 0 {
            out(Piece::Skipped(&block[..fill]));
            block = &block[fill..];
        }
        let end = finder.find(block).map_or(block.len(), |newline| newline + 1);
        split_by_length(&block[..end], max_line_bytes, out);
        block = &block[end..];
    }
}

/// Hands on whole lines in runs no longer than the limit, so that a line that is longer shows by itself.
fn split_by_length(mut block: &[u8], max_line_bytes: usize, out: &mut dyn FnMut(Piece<'_>)) {
    if block.len() <= max_line_bytes {
        if !block.is_empty() {
            out(Piece::Lines(block));
        }
        return;
    }
    let mut run = 0;
    while block.len() - run > max_line_bytes {
        if let Some(end) = memrchr(b'\n', &block[run..run + max_line_bytes]) {
            run += end + 1;
            continue;
        }
        if run > 0 {
            out(Piece::Lines(&block[..run]));
        }
        block = &block[run..];
        let end = memchr(b'\n', block).map_or(block.len(), |newline| newline + 1);
        out(Piece::Skipped(&block[..end]));
        out(Piece::LongLine { bytes: end as u64 });
        block = &block[end..];
        run = 0;
    }
    if !block.is_empty() {
        out(Piece::Lines(block));
    }
}

/// Passes a piece on to a sink.
pub(crate) fn deliver(sink: &mut dyn LineSink, input: InputId, piece: Piece<'_>) {
    match piece {
        Piece::Lines(block) => sink.lines(input, block),
        Piece::LongLine { bytes } => sink.event(input, InputEvent::LongLine { bytes }),
        Piece::Skipped(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What came out, and the bytes of lines and skipped parts joined.
    #[derive(Default, Debug, PartialEq)]
    struct Seen {
        lines: Vec<Vec<u8>>,
        long: Vec<u64>,
        all: Vec<u8>,
        largest_block: usize,
    }

    impl Seen {
        fn take(&mut self, piece: Piece<'_>) {
            match piece {
                Piece::Lines(block) => {
                    self.lines.extend(block.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec));
                    self.all.extend_from_slice(block);
                    self.largest_block = self.largest_block.max(block.len());
                }
                Piece::Skipped(bytes) => self.all.extend_from_slice(bytes),
                Piece::LongLine { bytes } => self.long.push(bytes),
            }
        }
    }

    fn split(chunks: &[&[u8]], max_line_bytes: usize) -> Seen {
        let mut seen = Seen::default();
        let mut splitter = LineSplitter::new(max_line_bytes);
        for chunk in chunks {
            splitter.push(chunk, &mut |piece| seen.take(piece));
            assert!(splitter.partial().len() < max_line_bytes);
        }
        splitter.finish(&mut |piece| seen.take(piece));
        seen
    }

    #[test]
    fn a_block_of_whole_lines_is_handed_on_as_one() {
        let mut blocks = 0;
        LineSplitter::new(100).push(b"a\nbb\r\n\nccc\n", &mut |piece| {
            assert_eq!(piece, Piece::Lines(b"a\nbb\r\n\nccc\n"));
            blocks += 1;
        });
        assert_eq!(blocks, 1);
    }

    #[test]
    fn a_line_in_pieces_is_joined_and_the_last_may_lack_its_newline() {
        let seen = split(&[b"on", b"e", b"\ntw", b"o\nthree"], 100);
        assert_eq!(seen.lines, [&b"one\n"[..], b"two\n", b"three"]);
    }

    #[test]
    fn a_line_of_exactly_the_limit_passes_and_one_byte_more_is_skipped() {
        let seen = split(&[b"1234567\n12345678\nok\n"], 8);
        assert_eq!(seen.lines, [&b"1234567\n"[..], b"ok\n"]);
        assert_eq!(seen.long, [9]);
        for cut in 1..19 {
            let bytes = b"1234567\n12345678\nok\n";
            assert_eq!(split(&[&bytes[..cut], &bytes[cut..]], 8).lines, seen.lines, "cut at {cut}");
            assert_eq!(split(&[&bytes[..cut], &bytes[cut..]], 8).long, [9], "cut at {cut}");
        }
    }

    #[test]
    fn an_over_long_last_line_is_reported_at_the_end() {
        let seen = split(&[b"0123456789", b"0123456789"], 8);
        assert!(seen.lines.is_empty());
        assert_eq!(seen.long, [20]);
    }

    #[test]
    fn nul_fill_before_lines_is_skipped_and_nul_within_a_line_stays() {
        let seen = split(&[b"\0\0a\n\0\0\0b\0c\n\0", b"\0d\n\0\0"], 100);
        assert_eq!(seen.lines, [&b"a\n"[..], b"b\0c\n", b"d\n"]);
    }

    /// The plainest thing that could be right: line by line, byte by byte.
    fn model(bytes: &[u8], max_line_bytes: usize) -> (Vec<Vec<u8>>, Vec<u64>) {
        let (mut lines, mut long) = (Vec::new(), Vec::new());
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = &line[leading_nuls(line)..];
            // An unfinished line of the limit's length could only become too long.
            let fits = line.len() <= max_line_bytes && (line.ends_with(b"\n") || line.len() < max_line_bytes);
            match fits {
                _ if line.is_empty() => {}
                true => lines.push(line.to_vec()),
                false => long.push(line.len() as u64),
            }
        }
        (lines, long)
    }

    proptest! {
        #[test]
        fn any_cut_of_any_bytes_gives_the_lines_of_the_model(
            bytes in proptest::collection::vec(prop_oneof![3 => Just(b'\n'), 3 => Just(0u8), 10 => any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..6),
            max in 1usize..24,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.push(0);
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let seen = split(&chunks, max);
            let (lines, long) = model(&bytes, max);
            prop_assert_eq!(seen.lines, lines);
            prop_assert_eq!(seen.long, long);
            prop_assert_eq!(seen.all, bytes);
        }
    }
}
