//! An input's row in the state: the position record of the sources, and what its envelope has half joined, as of the same instant.
//!
//! `u32` (little endian) length of the record, the record, then what the envelope carries, if anything.

/// The row's bytes.
pub(crate) fn encode(record: &[u8], carry: Option<&[u8]>) -> Vec<u8> {
    // A record is some hundred bytes; one that did not fit 32 bits could not have been held.
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), record, carry.unwrap_or_default()].concat()
}

/// The record, and what was carried; `None` where the bytes are no row.
pub(crate) fn decode(row: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let (length, rest) = row.split_first_chunk::<4>()?;
    let (record, carry) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    Some((record.to_vec(), (!carry.is_empty()).then(|| carry.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back_and_others_are_refused() {
        assert_eq!(decode(&encode(b"abc", Some(b"xy"))), Some((b"abc".to_vec(), Some(b"xy".to_vec()))));
        assert_eq!(decode(&encode(b"abc", None)), Some((b"abc".to_vec(), None)));
        assert_eq!((decode(b"ab"), decode(&[9, 0, 0, 0, 1])), (None, None));
    }
}
