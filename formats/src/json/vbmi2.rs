//! What a string says, by instructions that take bytes out of a register wherever they stand (AVX-512 VBMI2: Intel since Ice Lake, AMD since
//! Zen 4): each block takes the same few steps, however many escapes it holds.
//!
//! Unsafe code stands here alone. It loads from and stores to arrays of a block's length, which always are as long as what is read or written, and
//! calls functions for such processors where this one was asked for every feature that they are compiled for. `.ci/test` runs the tests of this crate's strings
//! under AddressSanitizer too.
#![expect(
    unsafe_code,
    reason = "loads, stores and the call of code for one kind of processor; see the module's comment"
)]

use std::arch::x86_64::{
    __m512i, _mm512_cmpeq_epi8_mask, _mm512_cmplt_epi8_mask, _mm512_cmplt_epu8_mask, _mm512_loadu_epi8,
    _mm512_mask_mov_epi8, _mm512_maskz_compress_epi8, _mm512_permutex2var_epi8, _mm512_set1_epi8, _mm512_storeu_epi8,
    _mm512_test_epi8_mask,
};

use std::sync::OnceLock;

use super::blocks::{BLOCK, Marks, SHORT, Said, escaped_bytes, say_other};
use super::{JsonError, Result, StringSpan};

/// Whether this processor has every feature that the functions here are compiled for.
#[inline]
fn is_there() -> bool {
    static IS_THERE: OnceLock<bool> = OnceLock::new();
    *IS_THERE.get_or_init(|| {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt")
    })
}

/// Does what [`marks`](super::blocks::marks) does, where this processor can.
#[inline]
pub(super) fn marks(block: &[u8; BLOCK]) -> Option<Marks> {
    // SAFETY: the processor has every feature that the function is compiled for.
    is_there().then(|| unsafe { mark(block) })
}

#[target_feature(enable = "avx512f,avx512bw")]
fn mark(block: &[u8; BLOCK]) -> Marks {
    let bytes = load(block);
    Marks {
        quotes: _mm512_cmpeq_epi8_mask(bytes, splat(b'"')),
        backslashes: _mm512_cmpeq_epi8_mask(bytes, splat(b'\\')),
        controls: _mm512_cmplt_epu8_mask(bytes, splat(b' ')),
        // What is not ASCII is below zero here.
        odd: _mm512_cmplt_epi8_mask(bytes, splat(b' ')),
    }
}

/// Does what [`say_into`](super::say_into) does, where this processor can.
pub(super) fn say_into(text: &[u8], start: usize, out: &mut [u8]) -> Option<Result<(Said, usize)>> {
    // SAFETY: the processor has every feature that the function is compiled for.
    is_there().then(|| unsafe { say(text, start, out) })
}

/// The first 128 of [`SHORT`], in two registers' worth.
const SHORT_OF_ASCII: [[u8; BLOCK]; 2] = {
    let mut short = [[0; BLOCK]; 2];
    let mut at = 0;
    while at < 2 * BLOCK {
        short[at / BLOCK][at % BLOCK] = SHORT[at];
        at += 1;
    }
    short
};

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
fn say(text: &[u8], start: usize, out: &mut [u8]) -> Result<(Said, usize)> {
    let mut said =
        Said { span: StringSpan { start, end: start, escaped: false }, closed: false, canonical: true, odd: false };
    let [low, high] = [load(&SHORT_OF_ASCII[0]), load(&SHORT_OF_ASCII[1])];
    let (mut at, mut to) = (start, 0);
    // Whether the next block's first byte is escaped, and whether the text ends with a backslash, if it ends here.
    let (mut carry, mut ends_open) = (0, false);
    while !said.closed && at < text.len() {
        let (bytes, left) = match text[at..].first_chunk() {
            Some(block) => (load(block), BLOCK),
            None => {
                let end = &text[at..];
                let mut padded = [0; BLOCK];
                padded[..end.len()].copy_from_slice(end);
                (load(&padded), end.len())
            }
        };
        let backslashes = _mm512_cmpeq_epi8_mask(bytes, splat(b'\\'));
        let escaped = escaped_bytes(backslashes, &mut carry);
        let quotes = _mm512_cmpeq_epi8_mask(bytes, splat(b'"')) & !escaped;
        let end = left.min(quotes.trailing_zeros() as usize);
        let within = below(end);
        let escapes = backslashes & !escaped & within;
        let escaped = escaped & within;
        said.closed = quotes & below(left) != 0;
        ends_open = escapes & !below(left - 1) != 0;
        said.span.escaped |= escapes != 0;
        // Bytes that are not ASCII are below zero here.
        said.odd |= _mm512_cmplt_epi8_mask(bytes, splat(b' ')) & within != 0;
        let short = _mm512_permutex2var_epi8(low, bytes, high);
        // What has no short escape, or is not ASCII, of which the table's index knows seven bits alone.
        let known = _mm512_test_epi8_mask(short, short) & !_mm512_cmplt_epi8_mask(bytes, splat(0));
        let others = escaped & !known;
        let taken = below(others.trailing_zeros() as usize);
        let kept = within & !escapes & taken;
        let says = _mm512_maskz_compress_epi8(kept, _mm512_mask_mov_epi8(bytes, escaped, short));
        store(says, out.get_mut(to..).and_then(|out| out.first_chunk_mut()).ok_or(JsonError::Broken)?);
        to += kept.count_ones() as usize;
        if others == 0 {
            at += end;
            continue;
        }
        // The backslash before it, which may be the last byte of the block before.
        let escape = at + others.trailing_zeros() as usize - 1;
        at = say_other(text, escape, out, &mut to, &mut said)?;
        (said.closed, carry, ends_open) = (false, 0, false);
    }
    if ends_open {
        return Err(JsonError::Broken);
    }
    said.span.end = at;
    Ok((said, to))
}

/// The lowest `bits` bits.
#[inline(always)]
fn below(bits: usize) -> u64 {
    if bits < BLOCK { (1 << bits) - 1 } else { u64::MAX }
}

#[target_feature(enable = "avx512f")]
fn splat(byte: u8) -> __m512i {
    _mm512_set1_epi8(byte.cast_signed())
}

#[target_feature(enable = "avx512bw")]
fn load(block: &[u8; BLOCK]) -> __m512i {
    // SAFETY: 64 bytes are there to be read, wherever they begin.
    unsafe { _mm512_loadu_epi8(block.as_ptr().cast()) }
}

#[target_feature(enable = "avx512bw")]
fn store(bytes: __m512i, block: &mut [u8; BLOCK]) {
    // SAFETY: 64 bytes are there to be written, wherever they begin.
    unsafe { _mm512_storeu_epi8(block.as_mut_ptr().cast(), bytes) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::blocks::tests::dense;
    use crate::json::blocks::{marks_in_words, say_in_words};
    use crate::json::say_room;

    #[test]
    fn marks_are_the_same_by_any_instructions() {
        for first in 0..=u8::MAX {
            let block: [u8; BLOCK] = std::array::from_fn(|n| first.wrapping_add((n * n) as u8));
            if let Some(marks) = marks(&block) {
                assert_eq!(marks, marks_in_words(&block));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]
        #[test]
        fn a_string_says_what_it_says_by_any_instructions(text in dense(), start in 0usize..3) {
            let start = start.min(text.len());
            let [mut out, mut other] = [vec![0xaa; say_room(&text, start)], vec![0xbb; say_room(&text, start)]];
            if let Some(said) = say_into(&text, start, &mut out) {
                let expected = say_in_words(&text, start, &mut other);
                prop_assert_eq!(said, expected);
                if let Ok((_, bytes)) = said {
                    prop_assert_eq!(&out[..bytes], &other[..bytes]);
                }
            }
        }
    }
}
