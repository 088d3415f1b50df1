//! The end of files: rotated ones that fell silent, deleted ones, and what became of files that are not where they were.

use std::path::Path;
use std::time::Instant;

use super::discover::siblings;
use super::identity::bytes_at;
use super::input::{Input, Stage};
use super::names::is_archive_name;
use super::scan::Beginning;
use super::{Notice, Tail};
use crate::InputId;
use crate::error::shown;

/// Where letting go could cost something, files are kept so many times longer: those that end in half a line, and those to which the
/// descriptor is the only way.
const LONG_PATIENCE: u32 = 10;

impl Tail {
    /// Lets go of rotated and deleted files that have been silent for long enough.
    pub(super) fn retire(&mut self, now: Instant) {
        let quiet = self.config.rotated_quiet;
        let silent: Vec<InputId> = self
            .inputs
            .values()
            .filter(|input| {
                !input.queued && !input.closed && input.stage == Stage::Following && input.failure.is_none()
            })
            .filter(|input| input.file.is_some() || input.deleted)
            .filter(|input| {
                let since = input.rotated.map(|rotated| rotated.max(input.active));
                // A deleted file's space on the disk is free only when it is let go.
                let long = !input.deleted && (input.holds_partial() || input.out_of_sight);
                let patience = if long { quiet * LONG_PATIENCE } else { quiet };
                since.is_some_and(|since| now.saturating_duration_since(since) >= patience)
            })
            .map(|input| input.id)
            .collect();
        for id in silent {
            self.let_go(id);
        }
    }

    fn let_go(&mut self, id: InputId) {
        let Some(input) = self.inputs.get(&id) else { return };
        let deleted = input.deleted;
        if deleted && self.has_undecided_archives() {
            // One of them may be what this file became.
            return;
        }
        let complete = !input.holds_partial();
        if deleted && self.become_shadow(id, complete) {
            return;
        }
        self.finish_last_line(id);
        self.detach(id);
        let Some(input) = self.inputs.get_mut(&id) else { return };
        input.closed = true;
        self.changed.insert(id);
        self.close(id);
        if deleted {
            self.forget(id);
        }
    }

    /// Delivers what stands behind the last newline: nothing more will come.
    fn finish_last_line(&mut self, id: InputId) {
        let max_line_bytes = self.config.max_line_bytes;
        let Some(input) = self.inputs.get_mut(&id) else { return };
        if input.is_archive() || input.in_fill {
            return;
        }
        if input.skipping > 0 {
            let bytes = std::mem::take(&mut input.skipping);
            self.tell(id, Notice::LongLine { bytes });
            return;
        }
        let Some(file) = &input.file else { return };
        let Ok(line) = bytes_at(file, input.position, max_line_bytes) else { return };
        if line.is_empty() {
            return;
        }
        input.advance_to(input.position + line.len() as u64);
        input.anchor.advance(&line);
        self.announce(id);
        self.tell(id, Notice::LastLine(line));
    }

    /// Tells the end of an input whose beginning was told.
    pub(super) fn close(&mut self, id: InputId) {
        if let Some(input) = self.inputs.get_mut(&id)
            && std::mem::replace(&mut input.announced, false)
        {
            self.tell(id, Notice::Closed);
        }
    }

    /// Drops all that is known of an input, its record too.
    pub(super) fn forget(&mut self, id: InputId) {
        self.close(id);
        self.detach(id);
        if self.job.as_ref().is_some_and(|job| job.id() == id) {
            self.job = None;
        }
        if let Some(input) = self.inputs.remove(&id) {
            if self.by_key.get(&input.key) == Some(&id) {
                self.by_key.remove(&input.key);
            }
            if self.by_real.get(&input.real) == Some(&id) {
                self.by_real.remove(&input.real);
            }
            if !input.is_archive() {
                let until_ns = input.mtime_seen_ns.max(input.succeeded_until_ns);
                for other in self.inputs.values_mut().filter(|other| other.origin == input.origin) {
                    if other.succeeded_until_ns < until_ns {
                        other.succeeded_until_ns = until_ns;
                        self.changed.insert(other.id);
                    }
                }
            }
            self.changed.insert(id);
        }
    }

    /// A file without a descriptor is not where it was.
    pub(super) fn missing(&mut self, id: InputId, now: Instant) {
        let Some(input) = self.inputs.get_mut(&id) else { return };
        input.stage = Stage::Missing;
        let closed = input.closed;
        if self.become_shadow(id, closed) {
            return;
        }
        let Some(input) = self.inputs.get(&id) else { return };
        if input.unread_bytes() > 0 || input.holds_partial() || !input.closed {
            self.begin_sibling_archives(id, now);
        }
    }

    /// Begins archives beside a missing file that no pattern matches: they are kept only where they hold the rest of it.
    fn begin_sibling_archives(&mut self, id: InputId, now: Instant) {
        let Some(input) = self.inputs.get(&id) else { return };
        let origin = input.origin.clone();
        let Some(dir) = origin.parent() else { return };
        for sibling in siblings(dir, |name| is_archive_name(&origin, Path::new(name))) {
            let beginning = Beginning { newer_than_ns: Some(i64::MAX), ..Beginning::default() };
            if let Err(error) = self.begin(&sibling.path, &sibling.path, beginning, now) {
                tracing::debug!(path = %shown(&sibling.path), %error, "cannot look into an archive");
            }
        }
    }

    /// Gives up missing files once no archive is left that may hold them, and tells what is lost.
    pub(super) fn resolve_missing(&mut self) {
        let missing: Vec<InputId> =
            self.inputs.values().filter(|input| input.stage == Stage::Missing).map(|input| input.id).collect();
        if missing.is_empty() || self.has_undecided_archives() {
            return;
        }
        for id in missing {
            let Some(input) = self.inputs.get(&id) else { continue };
            let lost_at_least_bytes = input.unread_bytes();
            if lost_at_least_bytes > 0 || (input.is_archive() && !input.closed) {
                let path = shown(&input.path);
                self.announce(id);
                self.tell(id, Notice::Truncated { lost_at_least_bytes });
                let why = format!(
                    "{path} is gone and was not read to its end ({lost_at_least_bytes} bytes or more are lost)"
                );
                self.tell(id, Notice::Failed { why });
            }
            self.forget(id);
        }
    }

    /// Where an archive of this input's file is known, the input is tied to it, so that the archive is not read again and, unless the file
    /// was read to a `complete` end, the rest is read from it. False where there is none.
    fn become_shadow(&mut self, id: InputId, complete: bool) -> bool {
        let is_shadow = |input: &&Input| matches!(input.stage, Stage::Shadow { of } if of == id);
        let Some(archive) = self.inputs.values().find(is_shadow).map(|input| input.id) else { return false };
        self.take_over_archive(id, archive, complete);
        true
    }

    /// Ties an input to an archive that was found to hold what it has read.
    pub(super) fn take_over_archive(&mut self, id: InputId, archive: InputId, complete: bool) {
        let Some(taken) = self.inputs.get(&archive) else { return };
        let (key, path, real, in_patterns) = (taken.key, taken.path.clone(), taken.real.clone(), taken.in_patterns);
        let (kind, size_seen, mtime_ns) = (taken.kind, taken.size_seen, taken.mtime_seen_ns);
        self.redirect(archive, id);
        self.forget(archive);
        self.detach(id);
        let Some(input) = self.inputs.get_mut(&id) else { return };
        if self.by_key.get(&input.key) == Some(&id) {
            self.by_key.remove(&input.key);
        }
        input.key = key;
        input.path = path;
        input.real = real;
        input.in_patterns = in_patterns;
        input.kind = kind;
        input.stage = Stage::Following;
        input.deleted = false;
        input.identified = true;
        input.size_seen = size_seen;
        input.mtime_seen_ns = mtime_ns;
        input.confirmed_size = input.position;
        input.advance_to(input.position);
        input.closed = complete;
        self.by_key.insert(key, id);
        self.changed.insert(id);
        if complete {
            self.close(id);
        } else {
            self.enqueue(id);
        }
        self.index_paths();
    }
}
