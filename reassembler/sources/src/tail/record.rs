//! The position record of one input, as the caller stores it.
//!
//! JSON with a version, so that a newer program reads what an older one left, and an older one refuses what it does not know.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::identity::{Anchor, Digest, FileKey};
use super::input::{Input, Kind, Stage};
use crate::{InputId, SourceError};

/// The newest record format known here.
const VERSION: u32 = 1;

/// Everything needed to go on where an earlier run stopped.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    v: u32,
    dev: u64,
    ino: u64,
    born_ns: i64,
    /// Where a pattern found the file, or where it was rotated to.
    path: PathText,
    /// The same with every symbolic link followed.
    real: PathText,
    /// The real path under which it was first followed: its rotated siblings are named after this one.
    origin: PathText,
    kind: KindText,
    /// The first byte of the first line not delivered; decompressed bytes for an archive.
    position: u64,
    /// Bytes before `position` that belong to an over-long line which has not ended.
    skipping: u64,
    fingerprint: DigestText,
    anchor: DigestText,
    /// How often the file was found rewritten in place.
    generation: u32,
    /// Size when last seen to agree with what was read, and modification time when last seen.
    size: u64,
    mtime_ns: i64,
    /// The newest modification time of files of the same origin that were followed and are forgotten.
    succeeded_until_ns: i64,
    /// Not at its origin any more.
    rotated: bool,
    /// Read to its end and let go; kept so that the file is not read again.
    closed: bool,
    /// The input whose lines this one continues, until that was told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    follows: Option<u64>,
    /// For an archive that no pattern matches: it is of use only where it was modified after this, or proves to hold what was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    newer_than_ns: Option<i64>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindText {
    Unknown,
    Plain,
    Archive,
}

/// A path is text where it can be, else bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum PathText {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&Path> for PathText {
    fn from(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => PathText::Text(text.to_owned()),
            None => PathText::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
    }
}

impl From<PathText> for PathBuf {
    fn from(text: PathText) -> Self {
        match text {
            PathText::Text(text) => text.into(),
            PathText::Bytes(bytes) => OsString::from_vec(bytes).into(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct DigestText {
    len: u32,
    /// The first 16 bytes of the SHA-256, in hex.
    sha256: String,
}

impl From<Digest> for DigestText {
    fn from(digest: Digest) -> Self {
        DigestText { len: digest.len, sha256: digest.hash.iter().map(|byte| format!("{byte:02x}")).collect() }
    }
}

impl DigestText {
    fn digest(&self) -> Option<Digest> {
        let mut hash = [0; 16];
        if self.sha256.len() != 32 || !self.sha256.is_ascii() {
            return None;
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&self.sha256[2 * at..2 * at + 2], 16).ok()?;
        }
        // Nothing that is ever written covers more; a record must not size memory.
        (self.len <= 4096).then_some(Digest { len: self.len, hash })
    }
}

/// The bytes to store for an input.
pub(super) fn encode(input: &Input) -> Vec<u8> {
    let record = Record {
        v: VERSION,
        dev: input.key.dev,
        ino: input.key.ino,
        born_ns: input.key.born_ns,
        path: input.path.as_path().into(),
        real: input.real.as_path().into(),
        origin: input.origin.as_path().into(),
        kind: match input.kind {
            // Whether it is a copy is to be looked into again.
            Kind::Plain if matches!(input.stage, Stage::Suspect { .. }) => KindText::Unknown,
            Kind::Unknown => KindText::Unknown,
            Kind::Plain => KindText::Plain,
            Kind::Archive(_) => KindText::Archive,
        },
        position: input.position,
        skipping: input.skipping,
        fingerprint: input.fingerprint.into(),
        anchor: input.anchor.digest().into(),
        generation: input.generation,
        size: input.confirmed_size,
        mtime_ns: input.mtime_seen_ns,
        succeeded_until_ns: input.succeeded_until_ns,
        rotated: input.rotated.is_some(),
        closed: input.closed,
        follows: input.follows.map(|id| id.0),
        newer_than_ns: input.newer_than_ns.filter(|_| input.is_unidentified()),
    };
    // Numbers and text in a struct always have a JSON form.
    serde_json::to_vec(&record).unwrap_or_default()
}

/// What an earlier run stored, as an input without a descriptor.
pub(super) fn decode(id: InputId, bytes: &[u8], now: std::time::Instant) -> Result<Input, SourceError> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let unreadable = |why: String| SourceError::Record { input: id.0, why };
    let version: Version = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
    if version.v != VERSION {
        return Err(SourceError::RecordVersion { input: id.0, found: version.v, known: VERSION });
    }
    let record: Record = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
    let no_digest = || unreadable("a digest in it is not 32 hex digits".to_owned());
    let fingerprint = record.fingerprint.digest().ok_or_else(no_digest)?;
    let anchor = record.anchor.digest().ok_or_else(no_digest)?;
    let key = FileKey { dev: record.dev, ino: record.ino, born_ns: record.born_ns };
    let mut input = Input::new(id, key, record.path.into(), record.real.into(), now);
    input.origin = record.origin.into();
    input.kind = match record.kind {
        KindText::Unknown => Kind::Unknown,
        KindText::Plain => Kind::Plain,
        KindText::Archive => Kind::Archive(None),
    };
    input.position = record.position;
    input.scanned = record.position;
    input.skipping = record.skipping;
    input.fingerprint = fingerprint;
    input.anchor = Anchor::Digest(anchor);
    input.generation = record.generation;
    input.confirmed_size = record.size;
    input.size_seen = record.size;
    input.mtime_seen_ns = record.mtime_ns;
    input.succeeded_until_ns = record.succeeded_until_ns;
    input.rotated = record.rotated.then_some(now);
    input.closed = record.closed;
    input.identified = input.is_archive() && (input.position > 0 || input.closed);
    input.follows = record.follows.map(InputId);
    input.newer_than_ns = record.newer_than_ns;
    input.may_be_copy = input.kind == Kind::Unknown && input.follows.is_none();
    Ok(input)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_also_with_a_path_that_is_not_text() {
        let path = PathBuf::from(OsString::from_vec(b"/logs/\xff.log".to_vec()));
        let mut input =
            Input::new(InputId(7), FileKey { dev: 1, ino: 2, born_ns: 3 }, path.clone(), path.clone(), Instant::now());
        input.kind = Kind::Plain;
        input.position = 1 << 40;
        input.fingerprint = Digest::of(b"begin");
        input.anchor = Anchor::Bytes(b"before".to_vec());
        input.follows = Some(InputId(6));
        let back = decode(InputId(7), &encode(&input), Instant::now()).unwrap();
        assert_eq!((back.path, back.position, back.fingerprint), (path, 1 << 40, Digest::of(b"begin")));
        assert_eq!((back.anchor.digest(), back.follows), (Digest::of(b"before"), Some(InputId(6))));
    }

    #[test]
    fn what_cannot_be_a_record_is_an_error_that_says_so() {
        let now = Instant::now();
        assert!(matches!(decode(InputId(1), b"", now), Err(SourceError::Record { input: 1, .. })));
        assert!(matches!(decode(InputId(1), br#"{"v":1}"#, now), Err(SourceError::Record { .. })));
        assert!(matches!(
            decode(InputId(1), br#"{"v":2,"x":0}"#, now),
            Err(SourceError::RecordVersion { found: 2, .. })
        ));
    }
}
