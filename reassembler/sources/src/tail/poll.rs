//! Noticing that files changed.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use super::Tail;
use super::descriptors::view;
use super::identity::{Stat, agrees, is_beginning_of};
use super::input::{Kind, Stage};
use crate::InputId;

/// A file that changed this recently is polled at every tick.
const RECENT: Duration = Duration::from_secs(10);

/// The other files, and directories without events, are polled at every so many ticks.
const TICKS_TO_POLL_SILENT: u32 = 4;

/// Files for which events are expected are polled at every so many ticks all the same.
const TICKS_TO_POLL_ALL: u32 = 12;

impl Tail {
    /// Takes up what events told and polls what is due.
    pub(super) fn look(&mut self, now: Instant) {
        let hints = self.watch.take();
        // What waits is looked at by ticks and walks only: events may come hundreds of times a second.
        let mut looked = false;
        self.schedule.scan_wanted |= hints.rescan;
        for path in hints.changed {
            if let Some(id) = self.by_real.get(&path) {
                self.check(*id, now);
            }
        }
        if now >= self.schedule.poll_at {
            let silent = now >= self.schedule.poll_silent_at;
            let all = now >= self.schedule.poll_all_at;
            self.poll(silent, all, now);
            self.schedule.poll_at = now + self.config.poll_interval;
            if all {
                self.schedule.poll_all_at = now + self.config.poll_interval * TICKS_TO_POLL_ALL;
            }
            if silent {
                self.schedule.poll_silent_at = now + self.config.poll_interval * TICKS_TO_POLL_SILENT;
                self.schedule.scan_wanted |= self.watch.polled_dirs_changed();
            }
            looked = true;
        }
        let wanted = self.schedule.scan_wanted && now >= self.schedule.scan_not_before;
        if wanted || now >= self.schedule.scan_at {
            self.scan(now);
            looked = true;
        }
        if looked {
            self.resolve_waits(now);
            self.retire(now);
        }
    }

    fn poll(&mut self, silent: bool, all: bool, now: Instant) {
        let due: Vec<InputId> = self
            .inputs
            .values()
            // What was let go is looked at by the walks.
            .filter(|input| !input.closed)
            .filter(|input| all || (silent && !input.watched) || now.saturating_duration_since(input.active) < RECENT)
            .map(|input| input.id)
            .collect();
        for id in due {
            self.check(id, now);
            if (silent || all) && self.inputs.get(&id).is_some_and(|input| input.failure.is_some()) {
                self.enqueue(id);
            }
        }
    }

    /// Looks at one file's metadata and gives it a turn where it changed.
    pub(super) fn check(&mut self, id: InputId, now: Instant) {
        let Some(input) = self.inputs.get_mut(&id) else { return };
        if matches!(input.stage, Stage::Missing | Stage::Shadow { .. }) {
            return;
        }
        let meta = match &input.file {
            Some(file) => file.metadata(),
            None => fs::metadata(&input.real),
        };
        let Ok(meta) = meta else {
            self.schedule.scan_wanted = true;
            return;
        };
        self.take_note(id, &Stat::from(&meta), now);
    }

    /// Takes note of one file's metadata and gives it a turn where it changed.
    pub(super) fn take_note(&mut self, id: InputId, stat: &Stat, now: Instant) {
        let Some(input) = self.inputs.get_mut(&id) else { return };
        if matches!(input.stage, Stage::Missing | Stage::Shadow { .. }) {
            return;
        }
        if stat.key != input.key {
            // Another file is at its path, and the walk finds where it went.
            self.schedule.scan_wanted = true;
            return;
        }
        if input.file.is_some() && stat.links == 0 && !input.deleted {
            input.deleted = true;
            input.rotated.get_or_insert(now);
            self.schedule.scan_wanted = true;
        }
        let renamed = stat.ctime_ns != input.ctime_seen_ns;
        // A cut is for the turn to judge, which needs to know the size before it.
        let cut = stat.size < input.size_seen;
        let changed = cut || input.see(stat, now);
        if renamed && !changed {
            self.schedule.scan_wanted = true;
        }
        if changed {
            self.changed.insert(id);
            if !matches!(input.stage, Stage::Suspect { .. } | Stage::Settling { .. }) {
                self.enqueue(id);
            }
        }
    }

    /// Decides about inputs that wait: copies in the making, archives being written, files that are gone.
    pub(super) fn resolve_waits(&mut self, now: Instant) {
        let waiting: Vec<InputId> =
            self.inputs.values().filter(|input| input.stage != Stage::Following).map(|input| input.id).collect();
        for id in waiting {
            let Some(input) = self.inputs.get(&id) else { continue };
            match input.stage {
                Stage::Suspect { of, since, size } => self.resolve_suspect(id, of, since, size, now),
                Stage::Settling { since, size, mtime_ns } => {
                    if (size, mtime_ns) != (input.size_seen, input.mtime_seen_ns) {
                        let (size, mtime_ns) = (input.size_seen, input.mtime_seen_ns);
                        self.set_stage(id, Stage::Settling { since: now, size, mtime_ns });
                    } else if now.saturating_duration_since(since) >= self.config.archive_settle {
                        self.follow(id);
                    }
                }
                Stage::Shadow { of } if !self.inputs.contains_key(&of) => self.follow(id),
                Stage::Shadow { .. } | Stage::Missing | Stage::Following => {}
            }
        }
        self.resolve_missing();
    }

    /// A file that may be a copy of another: it is when that one is cut and this one holds what was read of it; it is not when the two
    /// differ; and it is treated as a file of its own when nothing happens for long.
    fn resolve_suspect(&mut self, id: InputId, of: InputId, since: Instant, size: u64, now: Instant) {
        let (Some(copy), Some(original)) = (self.inputs.get(&id), self.inputs.get(&of)) else { return self.follow(id) };
        let (Ok(copy_file), Ok(original_file)) = (view(copy), view(original)) else { return self.follow(id) };
        let (copy_file, original_file) = (&copy_file, &original_file);
        let alike = is_beginning_of(copy_file, original_file).unwrap_or(false);
        let digest = original.anchor.digest();
        let intact = agrees(original_file, original.position, &original.fingerprint, &digest).unwrap_or(true);
        let unread_and_cut =
            original.position == 0 && original_file.metadata().is_ok_and(|meta| meta.len() < copy.size_seen);
        if !intact || unread_and_cut {
            self.rewritten(of, now);
            // Where this was the copy, the input is gone now.
            self.follow(id);
        } else if !alike || (size == copy.size_seen && now.saturating_duration_since(since) >= self.config.copy_wait) {
            self.follow(id);
        } else if size != copy.size_seen {
            let size = copy.size_seen;
            self.set_stage(id, Stage::Suspect { of, since: now, size });
        }
    }

    pub(super) fn set_stage(&mut self, id: InputId, stage: Stage) {
        if let Some(input) = self.inputs.get_mut(&id) {
            input.stage = stage;
        }
    }

    /// Ends an input's waiting.
    pub(super) fn follow(&mut self, id: InputId) {
        self.set_stage(id, Stage::Following);
        self.enqueue(id);
    }

    /// Lets an archive wait until it does not change any more; one that is old already need not.
    pub(super) fn settle(&mut self, id: InputId, now: Instant) {
        let age = self.inputs.get(&id).map(|input| age(input.mtime_seen_ns));
        if age.is_some_and(|age| age >= self.config.archive_settle) {
            return self.follow(id);
        }
        if let Some(input) = self.inputs.get_mut(&id) {
            input.stage = Stage::Settling { since: now, size: input.size_seen, mtime_ns: input.mtime_seen_ns };
        }
    }

    /// Whether some file may yet prove to be an archive of another input's file.
    pub(super) fn has_undecided_archives(&self) -> bool {
        self.inputs.values().any(|input| match input.kind {
            Kind::Unknown => input.queued,
            Kind::Archive(_) => {
                !input.identified
                    && input.failure.is_none()
                    && matches!(input.stage, Stage::Following | Stage::Settling { .. })
            }
            Kind::Plain => false,
        })
    }
}

/// How long ago a file was modified, by the system's clock; nothing for the future.
pub(super) fn age(mtime_ns: i64) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_nanos(u64::try_from(mtime_ns).unwrap_or(0)))
}
