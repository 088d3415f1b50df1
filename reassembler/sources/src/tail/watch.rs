//! File system events, as hints.
//!
//! An event only says "look sooner": whatever it says is checked against the file system, and whatever it fails to say is found by
//! polling. So events that are lost, repeated or late cost latency, nothing else. Directories are watched, not files. Where a watch
//! cannot be added (limits) or would stay silent (network and overlay file systems) the directory is polled instead.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::statfs::{FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, SMB_SUPER_MAGIC, statfs};
use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tracing::{debug, warn};

use super::identity::{FileKey, Stat};
use crate::error::shown;

/// What gathered during a rest is worked off for so long before the next one.
const WORK: Duration = Duration::from_micros(500);

/// File systems stamp directories with a granularity of up to two seconds: a directory that changed less than this before it was read
/// may have changed after it, too, without showing it.
const STAMP_GRANULARITY: Duration = Duration::from_secs(2);

/// CIFS and 9P have no constant in nix.
const CIFS_MAGIC: i64 = 0xff53_4d42;
const V9FS_MAGIC: i64 = 0x0102_1997;

#[derive(Debug, Default)]
struct Pending {
    /// The followed files' real paths: changes of other files' content are of no interest.
    known: HashSet<PathBuf>,
    changed: HashSet<PathBuf>,
    /// Names came or went.
    rescan: bool,
}

/// What events told since they were last asked for.
#[derive(Debug, Default)]
pub(super) struct Hints {
    pub(super) changed: Vec<PathBuf>,
    pub(super) rescan: bool,
}

#[derive(Debug)]
struct Dir {
    key: Option<FileKey>,
    /// Events are expected.
    watched: bool,
    mtime_ns: i64,
    /// The last walk may have come too early to see all that its `mtime` stands for.
    uncertain: bool,
}

/// The watched directories.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    pending: Arc<Mutex<Pending>>,
    dirs: HashMap<PathBuf, Dir>,
    warned: bool,
}

impl Watch {
    /// Watches nothing yet. After events the event thread takes this rest: the kernel merges a hot file's events meanwhile, so that thousands
    /// of writes a second do not become thousands of wake-ups. Without `rest`, or where the system gives no events, everything is polled.
    pub(super) fn new(rest: Option<Duration>, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        let pending = Arc::new(Mutex::new(Pending::default()));
        let mut watch = Self { watcher: None, pending: Arc::clone(&pending), dirs: HashMap::new(), warned: false };
        let Some(rest) = rest else { return watch };
        let mut rested: Option<Instant> = None;
        let handler = move |event: notify::Result<notify::Event>| {
            if note(&pending, event) {
                wake();
            }
            // Also after events of no interest: another log in the same directory may be hot.
            if rested.is_none_or(|at| at.elapsed() >= WORK) {
                thread::sleep(rest);
                rested = Some(Instant::now());
            }
        };
        match notify::recommended_watcher(handler) {
            Ok(watcher) => watch.watcher = Some(watcher),
            Err(error) => warn!(%error, "no file system events: files are polled instead"),
        }
        watch
    }

    /// Sets the directories to watch. True where some were not watched before, so that a walk made earlier may have missed something.
    pub(super) fn set_dirs(&mut self, dirs: &BTreeSet<PathBuf>) -> bool {
        let mut added = false;
        let gone: Vec<PathBuf> = self.dirs.keys().filter(|dir| !dirs.contains(*dir)).cloned().collect();
        for dir in gone {
            self.remove(&dir);
        }
        for dir in dirs {
            let stat = fs::metadata(dir).ok().map(|meta| Stat::from(&meta));
            let key = stat.map(|stat| stat.key);
            if let Some(known) = self.dirs.get_mut(dir) {
                if known.key == key {
                    known.note(stat);
                    continue;
                }
                // Another directory stands at this path now, and the old one's watch went with it.
                self.remove(dir);
            }
            let watched = self.add(dir);
            let mut entry = Dir { key, watched, mtime_ns: 0, uncertain: false };
            entry.note(stat);
            self.dirs.insert(dir.clone(), entry);
            added |= watched;
        }
        added
    }

    /// Sets the files whose changes are of interest.
    pub(super) fn set_known(&self, known: HashSet<PathBuf>) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).known = known;
    }

    /// Whether events are expected of all directories.
    pub(super) fn watches_all(&self) -> bool {
        self.dirs.values().all(|dir| dir.watched)
    }

    /// Whether events are expected for the files of a directory.
    pub(super) fn is_watched(&self, dir: &Path) -> bool {
        self.dirs.get(dir).is_some_and(|dir| dir.watched)
    }

    /// What events told since the last call.
    pub(super) fn take(&self) -> Hints {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        Hints { changed: pending.changed.drain().collect(), rescan: std::mem::take(&mut pending.rescan) }
    }

    /// Whether a directory that gives no events shows a change since [`Watch::set_dirs`].
    pub(super) fn polled_dirs_changed(&self) -> bool {
        self.dirs.iter().filter(|(_, dir)| !dir.watched).any(|(path, dir)| {
            let stat = fs::metadata(path).ok().map(|meta| Stat::from(&meta));
            dir.uncertain
                || stat.map(|stat| stat.key) != dir.key
                || stat.is_some_and(|stat| stat.mtime_ns != dir.mtime_ns)
        })
    }

    fn add(&mut self, dir: &Path) -> bool {
        if is_silent(dir) {
            debug!(dir = %shown(dir), "polled: its file system does not tell every change");
            return false;
        }
        let Some(watcher) = &mut self.watcher else { return false };
        let Err(error) = watcher.watch(dir, RecursiveMode::NonRecursive) else { return true };
        if matches!(error.kind, notify::ErrorKind::PathNotFound) {
            return false;
        }
        if !std::mem::replace(&mut self.warned, true) {
            warn!(dir = %shown(dir), %error, "cannot be watched, and is polled instead (so may others be, which is not told again)");
        }
        false
    }

    fn remove(&mut self, dir: &Path) {
        if let Some(entry) = self.dirs.remove(dir)
            && entry.watched
            && let Some(watcher) = &mut self.watcher
            && let Err(error) = watcher.unwatch(dir)
        {
            debug!(dir = %shown(dir), %error, "its watch was gone already");
        }
    }
}

impl Dir {
    fn note(&mut self, stat: Option<Stat>) {
        let Some(stat) = stat else { return };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let age_ns = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX).saturating_sub(stat.mtime_ns);
        self.uncertain = (0..STAMP_GRANULARITY.as_nanos() as i64).contains(&age_ns);
        self.mtime_ns = stat.mtime_ns;
    }
}

/// Whether changes may come without events.
fn is_silent(dir: &Path) -> bool {
    let Ok(stat) = statfs(dir) else { return false };
    let kind = stat.filesystem_type();
    [FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, SMB_SUPER_MAGIC].contains(&kind)
        || [CIFS_MAGIC, V9FS_MAGIC].contains(&({ kind.0 }))
}

/// Notes what an event says. True where somebody should look.
fn note(pending: &Mutex<Pending>, event: notify::Result<notify::Event>) -> bool {
    let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
    let event = match event {
        Ok(event) => event,
        Err(error) => {
            debug!(%error, "an error among file system events: looking at everything");
            pending.rescan = true;
            return true;
        }
    };
    if event.need_rescan() {
        pending.rescan = true;
        let Pending { known, changed, .. } = &mut *pending;
        changed.extend(known.iter().cloned());
        return true;
    }
    match event.kind {
        // Opening and closing changes nothing, and walking a directory opens it.
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
            let mut interesting = false;
            for path in event.paths {
                if pending.known.contains(&path) {
                    interesting |= pending.changed.insert(path);
                }
            }
            interesting
        }
        _ => {
            let Pending { known, changed, rescan } = &mut *pending;
            changed.extend(event.paths.into_iter().filter(|path| known.contains(path)));
            *rescan = true;
            true
        }
    }
}
