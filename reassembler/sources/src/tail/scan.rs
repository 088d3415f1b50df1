//! Walking the patterns and taking up what came, moved or went.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::discover::{Found, Sibling, Walk, siblings};
use super::identity::{FileKey, Stat, anchor_at, bytes_at, fingerprint_at};
use super::input::{Input, Kind, Stage};
use super::names::is_rotated_name;
use super::{Notice, Tail, descriptors};
use crate::InputId;
use crate::error::shown;

/// Walks take at most this share of the time.
const SCAN_SHARE: u32 = 20;

/// Where events are expected of all directories, they are walked so many times as seldom.
const SELDOM_SCANS: u32 = 3;

/// New directories are watched, then walked again, at most so often in a row.
const REPEATS: usize = 3;

/// How a new file is to be begun.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beginning {
    /// At its end, rather than at its start.
    pub(super) at_end: bool,
    /// After this input was drained.
    pub(super) after: Option<InputId>,
    /// See [`Input::newer_than_ns`]; set for files that no pattern matches.
    pub(super) newer_than_ns: Option<i64>,
}

impl Tail {
    /// The first walk, after positions were restored.
    pub(super) fn scan_first(&mut self, first_start: bool, now: Instant) {
        self.scan_for(first_start && self.config.from_end, now);
        let all: Vec<InputId> = self.inputs.keys().copied().collect();
        let mut order: Vec<(i64, InputId)> =
            all.iter().filter_map(|id| Some((self.inputs.get(id)?.mtime_seen_ns, *id))).collect();
        order.sort_unstable();
        self.queue.clear();
        for (_, id) in order {
            let Some(input) = self.inputs.get_mut(&id) else { continue };
            input.queued = false;
            if !input.closed && input.stage == Stage::Following {
                self.enqueue(id);
            }
        }
    }

    /// Walks the patterns.
    pub(super) fn scan(&mut self, now: Instant) {
        self.scan_for(false, now);
    }

    fn scan_for(&mut self, at_end: bool, now: Instant) {
        let began = Instant::now();
        let mut walk = Walk::of(&self.patterns);
        for _ in 0..REPEATS {
            if !self.watch.set_dirs(&walk.dirs) {
                break;
            }
            walk = Walk::of(&self.patterns);
        }
        self.take_up(walk, at_end, now);
        self.index_paths();
        self.schedule.scan_wanted = false;
        let seldom = if self.watch.watches_all() { SELDOM_SCANS } else { 1 };
        self.schedule.scan_at = now + self.config.scan_interval * seldom;
        self.schedule.scan_not_before = now + (began.elapsed() * SCAN_SHARE).min(Duration::from_secs(5));
    }

    /// Makes events find the inputs at their present paths.
    pub(super) fn index_paths(&mut self) {
        for input in self.inputs.values_mut() {
            input.watched = input.real.parent().is_some_and(|dir| self.watch.is_watched(dir));
        }
        // Of a deleted file no event tells, and another one may be at its path.
        let at_their_paths = || self.inputs.values().filter(|input| !input.deleted);
        let indexed = |input: &Input| self.by_real.get(&input.real) == Some(&input.id);
        if at_their_paths().count() == self.by_real.len() && at_their_paths().all(indexed) {
            return;
        }
        self.by_real = at_their_paths().map(|input| (input.real.clone(), input.id)).collect();
        self.watch.set_known(self.by_real.keys().cloned().collect());
    }

    fn take_up(&mut self, walk: Walk, at_end: bool, now: Instant) {
        let mut matched: HashMap<PathBuf, FileKey> = HashMap::with_capacity(walk.files.len());
        let mut present: HashSet<InputId> = HashSet::new();
        let mut fresh: Vec<&Found> = Vec::new();
        for found in &walk.files {
            matched.insert(found.path.clone(), found.stat.key);
            match self.by_key.get(&found.stat.key) {
                Some(id) => {
                    if present.insert(*id) {
                        self.reconcile(*id, found, &walk.files, now);
                    }
                }
                None => fresh.push(found),
            }
        }
        let before = std::mem::replace(&mut self.matched, matched);
        self.find_absent(&present, now);
        self.find_missed(&fresh, now);
        fresh.sort_by(|a, b| (a.stat.mtime_ns, &a.path).cmp(&(b.stat.mtime_ns, &b.path)));
        let mut failing: HashSet<PathBuf> = HashSet::new();
        for found in fresh {
            let replaced = before.get(&found.path).and_then(|key| self.by_key.get(key)).copied();
            let replaced = replaced.or_else(|| self.newest_of(&found.real));
            let after = replaced.map(|id| self.begin_missed_siblings(id, now));
            let beginning = Beginning { at_end, after, newer_than_ns: None };
            if let Err(error) = self.begin(&found.path, &found.real, beginning, now) {
                let why = format!("cannot read {}: {error}", shown(&found.path));
                self.tell_problem(&found.path, why);
                failing.insert(found.path.clone());
            }
        }
        for (path, why) in walk.problems {
            self.tell_problem(&path, why);
            failing.insert(path);
        }
        let over: Vec<PathBuf> = self.problems.keys().filter(|path| !failing.contains(*path)).cloned().collect();
        for path in over {
            if let Some((id, _)) = self.problems.remove(&path)
                && !self.inputs.contains_key(&id)
            {
                self.tell(id, Notice::Closed);
            }
        }
    }

    /// A followed file was found: takes note of where.
    fn reconcile(&mut self, id: InputId, found: &Found, all: &[Found], now: Instant) {
        let Some(input) = self.inputs.get_mut(&id) else { return };
        let still_there = input.path == found.path
            || all.iter().any(|other| other.stat.key == found.stat.key && other.path == input.path);
        let moved = !still_there || (input.path == found.path && input.real != found.real);
        if moved {
            input.path.clone_from(&found.path);
            input.real.clone_from(&found.real);
            self.changed.insert(id);
        }
        input.in_patterns = true;
        input.out_of_sight = false;
        if input.real == input.origin {
            input.rotated = None;
        } else {
            input.rotated.get_or_insert(now);
        }
        let back = input.stage == Stage::Missing;
        if back {
            input.stage = Stage::Following;
        }
        if (back || moved) && !input.closed && input.stage == Stage::Following {
            self.enqueue(id);
        } else if input.closed && (found.stat.size, found.stat.mtime_ns) != (input.size_seen, input.mtime_seen_ns) {
            self.reopen_closed(id, &found.stat, now);
        }
        self.take_note(id, &found.stat, now);
    }

    /// A file that was let go changed after all.
    fn reopen_closed(&mut self, id: InputId, stat: &Stat, now: Instant) {
        let Some(input) = self.inputs.get_mut(&id) else { return };
        let grew = stat.size != input.size_seen;
        input.see(stat, now);
        self.changed.insert(id);
        if !grew {
            return;
        }
        input.announced = false;
        input.closed = false;
        match input.is_archive() {
            true => self.settle(id, now),
            false => self.enqueue(id),
        }
    }

    /// Looks after followed files that no pattern found: they were rotated out of sight, or deleted.
    fn find_absent(&mut self, present: &HashSet<InputId>, now: Instant) {
        let absent: Vec<InputId> = self.inputs.keys().filter(|id| !present.contains(id)).copied().collect();
        let mut listed: HashMap<PathBuf, HashMap<FileKey, Sibling>> = HashMap::new();
        for id in absent {
            let Some(input) = self.inputs.get_mut(&id) else { continue };
            if input.stage == Stage::Missing {
                continue;
            }
            input.in_patterns = false;
            input.rotated.get_or_insert(now);
            if let Some(file) = &input.file
                && file.metadata().is_ok_and(|meta| Stat::from(&meta).links == 0)
            {
                input.deleted = true;
                self.check(id, now);
                continue;
            }
            let Some(dir) = input.real.parent().map(Path::to_path_buf) else { continue };
            let dir = listed.entry(dir).or_insert_with_key(|dir| {
                siblings(dir, |_| true).into_iter().map(|sibling| (sibling.stat.key, sibling)).collect()
            });
            match dir.get(&input.key) {
                Some(sibling) => {
                    input.out_of_sight = false;
                    let moved = input.real != sibling.path;
                    if moved {
                        input.real.clone_from(&sibling.path);
                        input.path.clone_from(&sibling.path);
                        self.changed.insert(id);
                    }
                    if moved && !input.closed && input.stage == Stage::Following {
                        self.enqueue(id);
                        continue;
                    }
                    let Some(input) = self.inputs.get(&id) else { continue };
                    if input.closed
                        && (sibling.stat.size, sibling.stat.mtime_ns) != (input.size_seen, input.mtime_seen_ns)
                    {
                        let stat = sibling.stat;
                        self.reopen_closed(id, &stat, now);
                    }
                    self.check(id, now);
                }
                None if input.file.is_none() => self.missing(id, now),
                None => {
                    input.out_of_sight = true;
                    self.check(id, now);
                }
            }
        }
    }

    /// The input that was followed last at a path.
    fn newest_of(&self, origin: &Path) -> Option<InputId> {
        let of_origin = self.inputs.values().filter(|input| input.origin == origin && !input.is_archive());
        of_origin.max_by_key(|input| (input.mtime_seen_ns, input.id)).map(|input| input.id)
    }

    /// Looks for files that came to a path and were rotated away again before anybody looked, where no file is at that path now.
    fn find_missed(&mut self, fresh: &[&Found], now: Instant) {
        let mut newest: HashMap<&Path, &Input> = HashMap::new();
        for input in self.inputs.values().filter(|input| !input.is_archive()) {
            let known = newest.entry(&input.origin).or_insert(input);
            if known.mtime_seen_ns < input.mtime_seen_ns {
                *known = input;
            }
        }
        let absent: Vec<InputId> = newest
            .values()
            .filter(|input| input.rotated.is_some() && input.stage == Stage::Following)
            .filter(|input| !fresh.iter().any(|found| found.real == input.origin))
            .map(|input| input.id)
            .collect();
        for id in absent {
            self.begin_missed_siblings(id, now);
        }
    }

    /// Begins the siblings that rotation made since `id` was last seen and that nobody read: where names change faster than they are
    /// looked at, or while nobody looked. Returns the last one in order, `id` itself where there are none.
    pub(super) fn begin_missed_siblings(&mut self, id: InputId, now: Instant) -> InputId {
        let Some(input) = self.inputs.get(&id) else { return id };
        let (origin, newer_than_ns) = (input.origin.clone(), input.mtime_seen_ns.max(input.succeeded_until_ns));
        let Some(dir) = origin.parent() else { return id };
        let mut missed = siblings(dir, |name| is_rotated_name(&origin, Path::new(name)));
        missed.retain(|sibling| sibling.stat.mtime_ns > newer_than_ns && !self.by_key.contains_key(&sibling.stat.key));
        missed.sort_by(|a, b| (a.stat.mtime_ns, &a.path).cmp(&(b.stat.mtime_ns, &b.path)));
        let mut last = id;
        for sibling in missed {
            let beginning = Beginning { after: Some(last), newer_than_ns: Some(newer_than_ns), ..Beginning::default() };
            if let Ok(Some(begun)) = self.begin(&sibling.path, &sibling.path, beginning, now) {
                if let Some(input) = self.inputs.get_mut(&begun) {
                    input.origin.clone_from(&origin);
                    input.rotated = Some(now);
                }
                last = begun;
            }
        }
        last
    }

    /// Makes an input of a file and holds its descriptor from now on. None where it is followed already.
    pub(super) fn begin(
        &mut self,
        path: &Path,
        real: &Path,
        beginning: Beginning,
        now: Instant,
    ) -> std::io::Result<Option<InputId>> {
        let file = descriptors::open(real)?;
        let stat = Stat::from(&file.metadata()?);
        // Between the walk and now another file may have come to this path.
        if !stat.regular || self.by_key.contains_key(&stat.key) {
            return Ok(None);
        }
        let id = self.problems.get(path).map(|problem| problem.0);
        let id = id.unwrap_or_else(|| self.fresh_id());
        let mut input = Input::new(id, stat.key, path.to_path_buf(), real.to_path_buf(), now);
        input.see(&stat, now);
        input.confirmed_size = stat.size;
        input.after = beginning.after;
        input.follows = beginning.after;
        input.may_be_copy = self.copies_expected && beginning.after.is_none();
        input.newer_than_ns = beginning.newer_than_ns;
        input.in_patterns = beginning.newer_than_ns.is_none();
        if beginning.at_end {
            self.begin_at_end(&mut input, &file)?;
        }
        let over = input.closed;
        let quiet = input.size_seen == 0 || input.position > 0;
        self.inputs.insert(id, input);
        self.by_key.insert(stat.key, id);
        self.changed.insert(id);
        self.attach(id, file);
        if let Some(before) = beginning.after
            && self.inputs.get(&before).is_some_and(|input| !input.closed && input.stage == Stage::Following)
        {
            // It goes to its end first, as that is now.
            self.enqueue(before);
        }
        if quiet && !over && beginning.newer_than_ns.is_none() {
            self.announce(id);
        }
        if over {
            self.detach(id);
        } else {
            self.enqueue(id);
        }
        Ok(Some(id))
    }

    /// Sets the position to the start of the file's last, unfinished line.
    fn begin_at_end(&self, input: &mut Input, file: &std::fs::File) -> std::io::Result<()> {
        let first = bytes_at(file, 0, crate::compression::MAGIC_BYTES)?;
        if matches!(crate::compression::Codec::detect(&first), Some(codec) if codec != crate::compression::Codec::Plain)
        {
            // An archive has an end and no more.
            input.kind = Kind::Archive(None);
            input.identified = true;
            input.closed = true;
            return Ok(());
        }
        let window = input.size_seen.min(self.config.max_line_bytes as u64);
        let last = bytes_at(file, input.size_seen - window, window as usize)?;
        let partial = last.len() - memchr::memrchr(b'\n', &last).map_or(0, |newline| newline + 1);
        let whole_file = partial as u64 == input.size_seen;
        if partial == last.len() && !whole_file {
            // The end of a line that is too long: it is skipped to its newline.
            input.skipping = window;
            input.advance_to(input.size_seen);
        } else {
            input.advance_to(input.size_seen - partial as u64);
        }
        input.fingerprint = fingerprint_at(file, input.position)?;
        input.anchor = super::identity::Anchor::Bytes(anchor_at(file, input.position)?);
        if input.position > 0 {
            input.kind = Kind::Plain;
        }
        Ok(())
    }

    /// Tells, once per change, why a path cannot be followed.
    fn tell_problem(&mut self, path: &Path, why: String) {
        let id = match self.problems.get(path) {
            Some((_, told)) if *told == why => return,
            Some((id, _)) => *id,
            None => self.fresh_id(),
        };
        self.problems.insert(path.to_path_buf(), (id, why.clone()));
        self.tell(id, Notice::Failed { why });
    }
}
