//! Files that were cut or rewritten in place.
//!
//! copytruncate copies a file, then cuts it. What was not read of it yet is in the copy, so the input goes on there, at its position,
//! and what the cut file holds from now on is a new input that follows. Where no copy is found, the input starts again in the same file and
//! what is known to be lost is told.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::discover::siblings;
use super::identity::{Anchor, FINGERPRINT_BYTES, FileKey, Stat, agrees, anchor_at, begins_alike, fingerprint_at};
use super::input::{Input, Kind, Stage};
use super::names::is_copy_name;
use super::poll::age;
use super::{Notice, Tail, descriptors};
use crate::InputId;

/// A copy older than this has nothing to do with a cut that is noticed now.
const RECENT_COPY: Duration = Duration::from_secs(60);

/// A file that holds what an input has read.
pub(super) struct Copy {
    pub(super) file: File,
    pub(super) key: FileKey,
    pub(super) path: PathBuf,
    pub(super) real: PathBuf,
    pub(super) in_patterns: bool,
    /// The input that the copy was taken for, if it was discovered already.
    pub(super) input: Option<InputId>,
}

impl Tail {
    /// The file of this input does not hold any more what was read of it.
    pub(super) fn rewritten(&mut self, id: InputId, now: Instant) {
        // The copy may have been made a moment ago.
        self.scan(now);
        if let Some(copy) = self.copy_of(id) {
            self.move_to_copy(id, copy, now);
            return;
        }
        let Some(input) = self.inputs.get_mut(&id) else { return };
        let lost_at_least_bytes = input.unread_bytes();
        input.rewind();
        if let Some(stat) = input.file.as_ref().and_then(|file| file.metadata().ok()) {
            input.see(&Stat::from(&stat), now);
            input.confirmed_size = input.size_seen;
        }
        self.changed.insert(id);
        self.announce(id);
        self.tell(id, Notice::Truncated { lost_at_least_bytes });
        self.enqueue(id);
    }

    fn copy_of(&self, id: InputId) -> Option<Copy> {
        let original = self.inputs.get(&id)?;
        let digest = original.anchor.digest();
        let holds = |file: &File| {
            original.position > 0 && agrees(file, original.position, &original.fingerprint, &digest).unwrap_or(false)
        };
        let is_copy = |input: &Input, file: &File| {
            // It was seen to be the original's beginning up to its present size. What the app wrote between copy and cut is not in it, and
            // may have been read.
            let suspected =
                matches!(input.stage, Stage::Suspect { of, size, .. } if of == id && size == input.size_seen);
            suspected || holds(file) || is_recent_part(original, input, file)
        };
        let unread = |input: &&Input| input.id != id && input.position == 0 && !input.is_archive();
        let found = self.inputs.values().filter(unread).find_map(|input| {
            let file = descriptors::view(input).ok()?;
            is_copy(input, &file).then_some((input, file))
        });
        if let Some((input, file)) = found {
            return Some(Copy {
                file,
                key: input.key,
                path: input.path.clone(),
                real: input.real.clone(),
                in_patterns: input.in_patterns,
                input: Some(input.id),
            });
        }
        // A copy that no pattern matches is of use only where it holds something that was not read.
        siblings(original.real.parent()?, |name| is_copy_name(&original.real, Path::new(name))).into_iter().find_map(
            |sibling| {
                if self.by_key.contains_key(&sibling.stat.key) || sibling.stat.size <= original.position {
                    return None;
                }
                let file = descriptors::open(&sibling.path).ok().filter(holds)?;
                let (path, real) = (sibling.path.clone(), sibling.path);
                Some(Copy { file, key: sibling.stat.key, path, real, in_patterns: false, input: None })
            },
        )
    }

    /// Inputs that waited for one wait for another.
    pub(super) fn redirect(&mut self, from: InputId, to: InputId) {
        for input in self.inputs.values_mut().filter(|input| input.id != to) {
            for waited in [&mut input.after, &mut input.follows].into_iter().filter(|waited| **waited == Some(from)) {
                *waited = Some(to);
            }
        }
    }

    /// The input goes on in the copy; the cut file becomes a new input behind it.
    fn move_to_copy(&mut self, id: InputId, copy: Copy, now: Instant) {
        let Some(input) = self.inputs.get(&id) else { return };
        let (key, path, real, origin) = (input.key, input.path.clone(), input.real.clone(), input.origin.clone());
        let (deleted, in_patterns) = (input.deleted, input.in_patterns);
        let cut = input.file.as_ref().and_then(|file| file.try_clone().ok());
        self.take_over(id, copy, now);

        let successor = self.fresh_id();
        let mut input = Input::new(successor, key, path, real, now);
        input.origin = origin;
        input.deleted = deleted;
        input.rotated = deleted.then_some(now);
        input.in_patterns = in_patterns;
        input.generation = 1;
        input.after = Some(id);
        input.follows = Some(id);
        self.inputs.insert(successor, input);
        self.by_key.insert(key, successor);
        self.changed.insert(successor);
        if let Some(file) = cut {
            self.attach(successor, file);
        }
        self.enqueue(id);
        self.enqueue(successor);
        self.check(successor, now);
        self.index_paths();
    }

    /// Ties an input to the copy of its file, and tells what of the original the copy does not have.
    pub(super) fn take_over(&mut self, id: InputId, copy: Copy, now: Instant) {
        if let Some(taken) = copy.input {
            self.redirect(taken, id);
            self.forget(taken);
        }
        let stat = copy.file.metadata().ok().map(|meta| Stat::from(&meta));
        self.attach(id, copy.file);
        let Some(input) = self.inputs.get_mut(&id) else { return };
        let size = stat.map_or(input.position, |stat| stat.size);
        let lost_at_least_bytes = input.confirmed_size.saturating_sub(size.max(input.position));
        if self.by_key.get(&input.key) == Some(&id) {
            self.by_key.remove(&input.key);
        }
        input.key = copy.key;
        input.path = copy.path;
        input.real = copy.real;
        input.in_patterns = copy.in_patterns;
        input.kind = Kind::Plain;
        input.stage = Stage::Following;
        input.rotated = Some(now);
        input.deleted = false;
        // What was read beyond the copy's end is in no file any more.
        input.advance_to(input.position.min(size));
        input.confirmed_size = size;
        if let Some(stat) = stat {
            input.see(&stat, now);
        }
        if let Some(file) = &input.file
            && let (Ok(anchor), Ok(print)) = (anchor_at(file, input.position), fingerprint_at(file, input.position))
        {
            input.anchor = Anchor::Bytes(anchor);
            input.fingerprint = print;
        }
        self.by_key.insert(copy.key, id);
        self.changed.insert(id);
        self.announce(id);
        self.tell(id, Notice::Truncated { lost_at_least_bytes });
        self.enqueue(id);
    }
}

/// Whether a file that came a moment ago bears a name that a copy could bear, begins as the original did, and holds no more than was read of
/// it: a copy that was made, and its original cut, before anybody looked.
fn is_recent_part(original: &Input, copy: &Input, file: &File) -> bool {
    copy.size_seen <= original.position
        && original.fingerprint.len() == FINGERPRINT_BYTES
        && copy.size_seen >= FINGERPRINT_BYTES as u64
        && age(copy.mtime_seen_ns) < RECENT_COPY
        && (is_copy_name(&original.real, &copy.real) || is_copy_name(&original.path, &copy.path))
        && begins_alike(file, &original.fingerprint).unwrap_or(false)
}
