//! The tables of the state database and their rows.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | number: `format`, `next_file`, `next_object`, `touch`, `seen_current` |
//! | `blobs` | name | `ledger` |
//! | `inputs` | input | position, opaque |
//! | `open` | capture | what an open capture is beside its chunks, opaque |
//! | `open_ids` | id | capture |
//! | `chunks` | capture, row | chunk of an open capture, opaque |
//! | `seen_0`, `seen_1` | id | value, opaque; `seen_current` says which one is filled, the other is the older generation |
//! | `batches` | file number | [`BatchRow`], JSON |
//! | `tails` | file number, row | lines of a batch's unfinished block, in order |
//! | `sealed` | object number | [`SealedRow`], JSON |

use std::path::Path;

use reassemble_formats::layout::{BatchEncoding, hex};
use redb::TableDefinition;
use serde::{Deserialize, Serialize};

use crate::object::{ObjectKind, SealedObject};

/// The format of the tables; raised with every change that an older version would misread.
pub(crate) const FORMAT: u64 = 3;

pub(crate) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(crate) const BLOBS: TableDefinition<&str, &[u8]> = TableDefinition::new("blobs");
pub(crate) const INPUTS: TableDefinition<u64, &[u8]> = TableDefinition::new("inputs");
pub(crate) const OPEN: TableDefinition<u64, &[u8]> = TableDefinition::new("open");
pub(crate) const OPEN_IDS: TableDefinition<&[u8], u64> = TableDefinition::new("open_ids");
pub(crate) const CHUNKS: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("chunks");
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
    /// In hex; of a batch BLAKE3, of a body SHA-256.
    pub(crate) hash: String,
    pub(crate) crc32: u32,
    /// Exchanges in it; none in a body.
    pub(crate) lines: u64,
    pub(crate) written: Option<Written>,
}

/// When a file was written last, and by which opening of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// A number that each opening draws.
    pub(crate) run: u64,
    /// The file's time of modification.
    pub(crate) s: i64,
    pub(crate) ns: i64,
}

impl Written {
    pub(crate) fn time(self) -> (i64, i64) {
        (self.s, self.ns)
    }
}

impl SealedRow {
    pub(crate) fn to_object(&self, object_no: u64, spool_dir: &Path, run: u64) -> Option<SealedObject> {
        Some(SealedObject {
            object_no,
            kind: if self.body { ObjectKind::Body } else { ObjectKind::Batch },
            key: self.key.clone(),
            path: spool_dir.join(&self.file),
            bytes: self.bytes,
            lines: self.lines,
            hash: unhex(&self.hash)?,
            crc32: self.crc32,
            written: self.written.filter(|written| written.run == run).map(Written::time),
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
