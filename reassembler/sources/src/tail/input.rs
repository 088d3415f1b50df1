//! One followed stream of lines and all that is known of the file that holds it.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use super::identity::{Anchor, Digest, FileKey, Stat};
use crate::InputId;
use crate::compression::Codec;

/// What a file holds, known once it has bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing was read yet.
    Unknown,
    /// Lines, appended to.
    Plain,
    /// Compressed lines, complete once the file does not change any more. The codec is known once it was opened.
    Archive(Option<Codec>),
}

/// What an input waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// For more data only.
    Following,
    /// It begins as `of` does: perhaps a copy that is being made before `of` is truncated. Decided when `of` is cut, when the two differ,
    /// or when nothing happened for a while since `since`.
    Suspect { of: InputId, since: Instant, size: u64 },
    /// An archive that may still be written.
    Settling { since: Instant, size: u64, mtime_ns: i64 },
    /// An archive of what `of` reads through its own descriptor.
    Shadow { of: InputId },
    /// Its file is gone from where it was; archives that may hold the rest are being looked at.
    Missing,
}

/// A followed stream. Invariants: `position <= scanned`; `fingerprint` and `anchor` cover only bytes before `position`; nothing at or
/// past `position` was delivered, everything before it was delivered or reported.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) id: InputId,
    pub(super) key: FileKey,
    /// Where a pattern found it, or where it was rotated to.
    pub(super) path: PathBuf,
    /// The same with every symbolic link followed.
    pub(super) real: PathBuf,
    /// The first `real`.
    pub(super) origin: PathBuf,
    /// A pattern matches `path`.
    pub(super) in_patterns: bool,
    pub(super) file: Option<File>,
    pub(super) kind: Kind,
    pub(super) stage: Stage,
    /// The start of the first line not delivered.
    pub(super) position: u64,
    /// From `position` to here there is no newline (or, `in_fill`, nothing but NUL).
    pub(super) scanned: u64,
    /// What stands at `position` is NUL fill, which may yet turn into data.
    pub(super) in_fill: bool,
    /// Bytes before `position` that belong to an over-long line which has not ended.
    pub(super) skipping: u64,
    pub(super) fingerprint: Digest,
    pub(super) anchor: Anchor,
    /// When the fingerprint was last compared with the file.
    pub(super) compared: Option<Instant>,
    pub(super) generation: u32,
    /// The size when the file was last seen to agree with what was read: what lay between `position` and here is lost by a truncation.
    pub(super) confirmed_size: u64,
    pub(super) size_seen: u64,
    pub(super) mtime_seen_ns: i64,
    pub(super) ctime_seen_ns: i64,
    /// Up to when files of the same origin were followed that are forgotten by now: modification times.
    pub(super) succeeded_until_ns: i64,
    /// When it last changed or was read.
    pub(super) active: Instant,
    /// Since when it has not been at its origin.
    pub(super) rotated: Option<Instant>,
    /// No name leads to it any more.
    pub(super) deleted: bool,
    /// It was moved to where nobody looks: its descriptor is the only way to it.
    pub(super) out_of_sight: bool,
    /// `Opened` was told in this run and `Closed` was not since.
    pub(super) announced: bool,
    /// Let go.
    pub(super) closed: bool,
    /// Events tell of changes in its directory.
    pub(super) watched: bool,
    /// In the queue of those to be read.
    pub(super) queued: bool,
    /// The reason told last.
    pub(super) failure: Option<String>,
    /// The input that is to be drained before this one is begun.
    pub(super) after: Option<InputId>,
    /// The input whose lines this one continues, until that was told.
    pub(super) follows: Option<InputId>,
    /// Whether an archive holds what another input has read was looked into.
    pub(super) identified: bool,
    /// It came while others were followed, and may be a copy of one of them.
    pub(super) may_be_copy: bool,
    /// For a file that no pattern matches and that is read only where it proves to belong to a followed one: it is dropped unless it was
    /// modified after this (nanoseconds), or, with `i64::MAX`, unless it holds the rest of a missing one.
    pub(super) newer_than_ns: Option<i64>,
}

impl Input {
    pub(super) fn new(id: InputId, key: FileKey, path: PathBuf, real: PathBuf, now: Instant) -> Self {
        Self {
            id,
            key,
            path,
            origin: real.clone(),
            real,
            in_patterns: true,
            file: None,
            kind: Kind::Unknown,
            stage: Stage::Following,
            position: 0,
            scanned: 0,
            in_fill: false,
            skipping: 0,
            fingerprint: Digest::default(),
            anchor: Anchor::none(),
            compared: None,
            generation: 0,
            confirmed_size: 0,
            size_seen: 0,
            mtime_seen_ns: 0,
            ctime_seen_ns: 0,
            succeeded_until_ns: i64::MIN,
            active: now,
            rotated: None,
            deleted: false,
            out_of_sight: false,
            announced: false,
            closed: false,
            watched: false,
            queued: false,
            failure: None,
            after: None,
            follows: None,
            identified: false,
            may_be_copy: false,
            newer_than_ns: None,
        }
    }

    /// Takes note of the file's metadata; true where its content may have changed.
    pub(super) fn see(&mut self, stat: &Stat, now: Instant) -> bool {
        let changed = (self.size_seen, self.mtime_seen_ns) != (stat.size, stat.mtime_ns);
        self.size_seen = stat.size;
        self.mtime_seen_ns = stat.mtime_ns;
        self.ctime_seen_ns = stat.ctime_ns;
        if changed {
            self.active = now;
        }
        changed
    }

    /// Everything that was seen is delivered, but for a line that has no end yet.
    pub(super) fn holds_partial(&self) -> bool {
        !self.is_archive() && self.size_seen > self.position
    }

    /// How many bytes were seen and never read.
    pub(super) fn unread_bytes(&self) -> u64 {
        match self.kind {
            Kind::Archive(_) => 0,
            _ => self.confirmed_size.saturating_sub(self.position),
        }
    }

    /// Starts again at the file's first byte.
    pub(super) fn rewind(&mut self) {
        self.position = 0;
        self.scanned = 0;
        self.in_fill = false;
        self.skipping = 0;
        self.fingerprint = Digest::default();
        self.anchor = Anchor::none();
        self.confirmed_size = 0;
        self.identified = false;
        self.kind = Kind::Unknown;
        self.stage = Stage::Following;
        self.generation = self.generation.saturating_add(1);
    }

    /// Moves the position to `scanned`'s new place behind consumed bytes.
    pub(super) fn advance_to(&mut self, position: u64) {
        self.position = position;
        self.scanned = position;
        self.in_fill = false;
    }

    /// What the file holds is not known yet, or, for an archive, whether another input has read it.
    pub(super) fn is_unidentified(&self) -> bool {
        self.kind == Kind::Unknown || (self.is_archive() && !self.identified)
    }

    pub(super) fn is_archive(&self) -> bool {
        matches!(self.kind, Kind::Archive(_))
    }
}
