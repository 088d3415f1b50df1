//! The tables of the state database and their rows.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | number: `format`, `next_file`, `next_object`, `touch`, `seen_current` |
//! | `blobs` | name | `ledger` |
//! | `inputs` | input | position, opaque |
//! | `open` | capture, row | chunk of an open capture, opaque |
//! | `seen_0`, `seen_1` | packed id | value, opaque; `seen_current` says which one is filled, the other is the older generation |
//! | `batches` | file number | [`BatchRow`], JSON |
//! | `tails` | file number, row | lines of a batch's unfinished block, in order |
//! | `sealed` | object number | [`SealedRow`], JSON |

use std::path::Path;

use reassemble_formats::layout::{BatchEncoding, hex};
use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use crate::object::{ObjectKind, SealedObject};

/// The format of the tables; raised with every change that an older version would misread.
pub(crate) const FORMAT: u64 = 1;

pub(crate) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(crate) const BLOBS: TableDefinition<&str, &[u8]> = TableDefinition::new("blobs");
pub(crate) const INPUTS: TableDefinition<u64, &[u8]> = TableDefinition::new("inputs");
pub(crate) const OPEN: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("open");
pub(crate) const SEEN: [TableDefinition<&[u8], &[u8]>; 2] =
    [TableDefinition::new("seen_0"), TableDefinition::new("seen_1")];
pub(crate) const BATCHES: TableDefinition<u64, &[u8]> = TableDefinition::new("batches");
pub(crate) const TAILS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("tails");
pub(crate) const SEALED: TableDefinition<u64, &[u8]> = TableDefinition::new("sealed");

/// A batch that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BatchRow {
    /// `Display` of its partition.
    pub(crate) partition: String,
    pub(crate) encoding: EncodingName,
    pub(crate) first_ts_us: i64,
    /// Committed length of the spool file; what lies behind is cut at the next start.
    pub(crate) stored_bytes: u64,
    /// CRC-32 of these bytes.
    pub(crate) crc32: u32,
    /// Uncompressed bytes appended, those of the unfinished block included.
    pub(crate) plain_bytes: u64,
    pub(crate) lines: u64,
    pub(crate) opened_us: Option<i64>,
    /// Order of the last append among all batches.
    pub(crate) touch: u64,
    /// Rows of `tails`, and the bytes in them.
    pub(crate) tail_rows: u32,
    pub(crate) tail_bytes: u64,
}

/// [`BatchEncoding`], as it is written in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EncodingName {
    Gzip,
    Zstd,
    Plain,
}

impl From<BatchEncoding> for EncodingName {
    fn from(encoding: BatchEncoding) -> Self {
        match encoding {
            BatchEncoding::Gzip => Self::Gzip,
            BatchEncoding::Zstd => Self::Zstd,
            BatchEncoding::Plain => Self::Plain,
        }
    }
}

impl From<EncodingName> for BatchEncoding {
    fn from(name: EncodingName) -> Self {
        match name {
            EncodingName::Gzip => Self::Gzip,
            EncodingName::Zstd => Self::Zstd,
            EncodingName::Plain => Self::Plain,
        }
    }
}

/// An object that is sealed and not yet known to be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealedRow {
    /// Name within the spool folder.
    pub(crate) file: String,
    pub(crate) body: bool,
    pub(crate) key: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) crc32: u32,
    /// Exchanges in it; none in a body.
    pub(crate) lines: u64,
}

impl SealedRow {
    pub(crate) fn to_object(&self, object_no: u64, spool_dir: &Path) -> Option<SealedObject> {
        Some(SealedObject {
            object_no,
            kind: if self.body { ObjectKind::Body } else { ObjectKind::Batch },
            key: self.key.clone(),
            path: spool_dir.join(&self.file),
            bytes: self.bytes,
            sha256: unhex(&self.sha256)?,
            crc32: self.crc32,
        })
    }
}

/// Reads 64 hex digits.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    (hex(&bytes) == text).then_some(bytes)
}

/// The key of an id: a canonical lowercase UUID takes 17 bytes, anything else its own length and one.
pub(crate) fn pack_id(id: &str) -> Vec<u8> {
    const TEXT: u8 = 0;
    const UUID: u8 = 1;
    match parse_uuid(id) {
        Some(bytes) => [&[UUID][..], &bytes].concat(),
        None => [&[TEXT], id.as_bytes()].concat(),
    }
}

fn parse_uuid(id: &str) -> Option<[u8; 16]> {
    let text = id.as_bytes();
    if text.len() != 36 {
        return None;
    }
    let mut bytes = [0; 16];
    let mut digits = 0;
    for (i, &c) in text.iter().enumerate() {
        if matches!(i, 8 | 13 | 18 | 23) {
            if c != b'-' {
                return None;
            }
            continue;
        }
        let digit = match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            _ => return None,
        };
        bytes[digits / 2] = bytes[digits / 2] << 4 | digit;
        digits += 1;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_pack_without_collision() {
        let uuid = "0192f0c1-a2b3-7c3e-8d5e-6f708192a3b4";
        assert_eq!(pack_id(uuid).len(), 17);
        assert_eq!(pack_id(uuid)[..5], [1, 0x01, 0x92, 0xf0, 0xc1]);
        // Not canonical, so another id; and each stays itself.
        let others =
            ["0192F0C1-a2b3-7c3e-8d5e-6f708192a3b4", "0192f0c1a2b3-7c3e-8d5e-6f708192a3b4-", "x", "0192f0c1-a2b3"];
        for other in others {
            assert_eq!(pack_id(other)[0], 0);
            assert_eq!(&pack_id(other)[1..], other.as_bytes());
        }
    }
}
