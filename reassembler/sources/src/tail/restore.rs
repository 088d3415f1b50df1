//! Going on after a restart: finding each record's file again.
//!
//! First every record looks for its inode, at its path and among that path's siblings, and is content only where size, fingerprint and
//! anchor agree. The records that are left look for their content under other inodes: a copy, made before the file was cut, or the same file
//! on a device with another number. What is left then was cut in place, or is gone; archives may still hold it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Tail;
use super::descriptors;
use super::discover::{Walk, siblings};
use super::identity::{FileKey, Stat, agrees};
use super::input::{Input, Kind, Stage};
use super::names::is_copy_name;
use super::rewrite::Copy;
use crate::InputId;

/// A file that a record may stand for.
struct Place {
    path: PathBuf,
    real: PathBuf,
    stat: Stat,
    in_patterns: bool,
}

impl Tail {
    /// Takes up the records of an earlier run.
    pub(super) fn restore(&mut self, records: Vec<Input>, now: Instant) {
        if records.is_empty() {
            return;
        }
        let mut records: BTreeMap<InputId, Input> = records.into_iter().map(|input| (input.id, input)).collect();
        let walk = Walk::of(&self.patterns);
        let places = self.places(&walk, records.values());
        let mut rest = Vec::new();
        while let Some((id, input)) = records.pop_first() {
            match places.get(&input.key).filter(|place| !self.by_key.contains_key(&place.stat.key)) {
                Some(place) if self.still_holds(&input, place) => self.place(input, place, now),
                _ => rest.push((id, input)),
            }
        }
        let mut cut = Vec::new();
        for (id, input) in rest {
            let copy = places.values().find(|place| {
                !self.by_key.contains_key(&place.stat.key)
                    && place.stat.key != input.key
                    && matches!(input.kind, Kind::Plain)
                    && input.position > 0
                    && (place.in_patterns || is_copy_name(&input.origin, &place.real))
                    && holds_content(&input, place)
            });
            match copy {
                Some(place) => self.place_in_copy(input, place, &places, now),
                None => cut.push((id, input)),
            }
        }
        for (id, input) in cut {
            let in_place = places.get(&input.key).filter(|place| {
                place.path == input.path && !self.by_key.contains_key(&place.stat.key) && !input.is_archive()
            });
            match in_place {
                Some(place) => {
                    self.place(input, place, now);
                    // Its turn finds out that it was cut.
                }
                None => self.inputs.extend([(id, gone(input))]),
            }
        }
        self.restore_order(&walk, now);
    }

    /// Every file that a record may stand for.
    fn places<'a>(&self, walk: &Walk, records: impl Iterator<Item = &'a Input>) -> HashMap<FileKey, Place> {
        let mut places = HashMap::new();
        for found in &walk.files {
            let (path, real) = (found.path.clone(), found.real.clone());
            places.entry(found.stat.key).or_insert(Place { path, real, stat: found.stat, in_patterns: true });
        }
        let mut listed: BTreeMap<PathBuf, Vec<(PathBuf, FileKey)>> = BTreeMap::new();
        for record in records {
            for real in [&record.real, &record.origin] {
                if let Some(dir) = real.parent() {
                    listed.entry(dir.to_path_buf()).or_default().push((record.origin.clone(), record.key));
                }
            }
        }
        for (dir, wanted) in listed {
            for sibling in siblings(&dir, |_| true) {
                let fits = |(origin, key): &(PathBuf, FileKey)| {
                    key.ino == sibling.stat.key.ino || is_copy_name(origin, &sibling.path)
                };
                if wanted.iter().any(fits) {
                    let (path, real, stat) = (sibling.path.clone(), sibling.path, sibling.stat);
                    places.entry(stat.key).or_insert(Place { path, real, stat, in_patterns: false });
                }
            }
        }
        places
    }

    /// Whether the file under the record's inode number is still the record's file. Where it cannot be opened, it is taken to be; that is
    /// checked when it can be.
    fn still_holds(&self, input: &Input, place: &Place) -> bool {
        if input.is_archive() {
            return place.stat.mtime_ns == input.mtime_seen_ns || !input.closed;
        }
        let Ok(file) = descriptors::open(&place.real) else { return true };
        agrees(&file, input.position, &input.fingerprint, &input.anchor.digest()).unwrap_or(true)
    }

    /// Ties a record to a file.
    fn place(&mut self, mut input: Input, place: &Place, now: Instant) {
        let id = input.id;
        if input.path != place.path && !(place.in_patterns && self.is_same_file(&input.path, place.stat.key)) {
            input.path.clone_from(&place.path);
            input.real.clone_from(&place.real);
        }
        input.in_patterns = place.in_patterns;
        input.key = place.stat.key;
        input.rotated = (input.real != input.origin).then_some(now);
        let reopen = input.closed && !input.is_archive() && place.stat.size > input.position;
        if reopen {
            input.closed = false;
        }
        input.size_seen = place.stat.size;
        let closed = input.closed;
        self.by_key.insert(input.key, id);
        self.inputs.insert(id, input);
        self.changed.insert(id);
        if closed {
            return;
        }
        let is_archive = self.inputs.get(&id).is_some_and(Input::is_archive);
        if !is_archive
            && let Some(input) = self.inputs.get(&id)
            && let Ok(file) = descriptors::open(&input.real)
            && file.metadata().is_ok_and(|meta| Stat::from(&meta).key == input.key)
        {
            let anchor = super::identity::anchor_at(&file, input.position);
            let whole = agrees(&file, input.position, &input.fingerprint, &input.anchor.digest()).unwrap_or(false);
            if whole && let Ok(anchor) = anchor {
                self.attach(id, file);
                if let Some(input) = self.inputs.get_mut(&id) {
                    input.anchor = super::identity::Anchor::Bytes(anchor);
                }
            }
        }
        if is_archive {
            self.settle(id, now);
        } else {
            self.announce(id);
            self.enqueue(id);
        }
    }

    fn is_same_file(&self, path: &Path, key: FileKey) -> bool {
        std::fs::metadata(path).is_ok_and(|meta| Stat::from(&meta).key == key)
    }

    /// A record's content is in another file than its own.
    fn place_in_copy(&mut self, input: Input, place: &Place, places: &HashMap<FileKey, Place>, now: Instant) {
        let id = input.id;
        let was_cut = places.get(&input.key).is_some_and(|own| own.path == input.path);
        if !was_cut || input.rotated.is_some() {
            return self.place(input, place, now);
        }
        let Ok(file) = descriptors::open(&place.real) else { return self.place(input, place, now) };
        let (path, real) = (place.path.clone(), place.real.clone());
        let copy = Copy { file, key: place.stat.key, path, real, in_patterns: place.in_patterns, input: None };
        self.inputs.insert(id, input);
        self.take_over(id, copy, now);
    }

    /// Files that came while nobody looked: siblings that rotation made go before the file that is at the path now.
    fn restore_order(&mut self, walk: &Walk, now: Instant) {
        let mut newest: BTreeMap<PathBuf, (i64, InputId)> = BTreeMap::new();
        for input in self.inputs.values().filter(|input| !input.is_archive()) {
            let newest = newest.entry(input.origin.clone()).or_insert((i64::MIN, input.id));
            *newest = (*newest).max((input.mtime_seen_ns, input.id));
        }
        for (origin, (_, id)) in newest {
            let found = walk.files.iter().find(|found| found.real == origin);
            let replaced = found.is_none_or(|found| self.by_key.get(&found.stat.key) != Some(&id));
            if !replaced {
                continue;
            }
            let last = self.begin_missed_siblings(id, now);
            if let Some(found) = found
                && !self.by_key.contains_key(&found.stat.key)
            {
                let beginning = super::scan::Beginning { after: Some(last), ..Default::default() };
                if let Err(error) = self.begin(&found.path, &found.real, beginning, now) {
                    // The first walk tells it.
                    tracing::debug!(%error, "cannot read the new file at a path yet");
                }
            }
        }
        let missing: Vec<InputId> =
            self.inputs.values().filter(|input| input.stage == Stage::Missing).map(|input| input.id).collect();
        for id in missing {
            self.missing(id, now);
        }
    }
}

fn holds_content(input: &Input, place: &Place) -> bool {
    descriptors::open(&place.real)
        .is_ok_and(|file| agrees(&file, input.position, &input.fingerprint, &input.anchor.digest()).unwrap_or(false))
}

fn gone(mut input: Input) -> Input {
    input.stage = Stage::Missing;
    input
}
