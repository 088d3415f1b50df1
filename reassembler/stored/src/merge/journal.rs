//! What a merge has set out to do, and how far it is, in its own folder:
//!
//! - `lock`: held with flock while a merge runs.
//! - `plan`: behind a line with the format's number the class of pieces, whether complete exchanges that are stored twice are looked for, and the keys
//!   of the objects that hold something of captures with several, a line each. While it is there, the merge is not at its end.
//! - `run/`: the state of the run that stores what is joined.
//! - `written`: the keys of what this merge stores, each noted before it is. Equal bytes have equal keys, so one of the plan's own objects may be
//!   among them: it is not deleted.
//! - `stored`: the objects that can go, for everything of them is stored elsewhere. While it is there, only they remain to be deleted.
//! - `rest.part`: what is kept of an object, on its way.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use reassemble_formats::layout::RetentionClass;
use reassemble_pipeline::Noter;

use super::MergeError;

/// The format of the folder.
const FORMAT: &str = "reassemble merge 2";
/// Stands behind the class of pieces where complete exchanges that are stored twice are looked for.
const REPEATED: &str = " repeated";
/// Modes of the folder and the files in it: names of services stand in keys.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// How far a merge is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing was begun.
    Nothing,
    /// This is being done.
    Begun(Plan),
    /// All is stored; these objects remain to be deleted.
    Stored {
        /// Their keys.
        replaced: Vec<String>,
    },
}

/// What a merge has set out to do. What it does depends on this and on what is stored under these keys, and on nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Where pieces lie.
    pub(super) class: RetentionClass,
    /// Whether complete exchanges that are stored twice are looked for.
    pub(super) repeated: bool,
    /// The keys of objects that hold something of captures with several.
    pub(super) sources: Vec<String>,
}

/// The folder of a merge, held for as long as this lives.
pub(super) struct Journal {
    dir: PathBuf,
    phase: Phase,
    /// The objects of the plan.
    sources: Vec<String>,
    written: Arc<Mutex<Written>>,
    _lock: File,
}

/// The keys that were noted, and where.
struct Written {
    path: PathBuf,
    file: Option<File>,
    keys: HashSet<String>,
}

impl Journal {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// Where another merge holds it, or it cannot be read or written.
    pub(super) fn open(dir: &Path) -> Result<Journal, MergeError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(dir)
            .map_err(MergeError::state("create", dir))?;
        let path = dir.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(FILE_MODE).open(&path);
        let lock = lock.map_err(MergeError::state("create", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(MergeError::Held { dir: dir.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(MergeError::state("lock", &path)(error)),
        }
        let path = dir.join("written");
        let mut journal = Journal {
            dir: dir.to_owned(),
            phase: Phase::Nothing,
            sources: Vec::new(),
            written: Arc::new(Mutex::new(Written { path, file: None, keys: HashSet::new() })),
            _lock: lock,
        };
        journal.phase = match journal.read("plan")? {
            Some(lines) => {
                let plan = Plan::of_lines(lines).ok_or_else(not_ours);
                let plan = plan.map_err(MergeError::state("read", &journal.dir.join("plan")))?;
                journal.sources.clone_from(&plan.sources);
                journal.read("stored")?.map_or(Phase::Begun(plan), |replaced| Phase::Stored { replaced })
            }
            // Whatever else is there is of a merge that came to its end.
            None => {
                journal.clear()?;
                Phase::Nothing
            }
        };
        journal.lock_written().read().map_err(MergeError::state("read", &journal.dir.join("written")))?;
        Ok(journal)
    }

    /// How far the merge is.
    pub(super) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Where the run has its state.
    pub(super) fn run_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// Where what is kept of an object is written first.
    pub(super) fn rest_file(&self) -> PathBuf {
        self.dir.join("rest.part")
    }

    /// Sets out to do this.
    pub(super) fn begin(&mut self, plan: Plan) -> Result<(), MergeError> {
        self.write("plan", &plan.to_lines())?;
        self.sources.clone_from(&plan.sources);
        self.phase = Phase::Begun(plan);
        Ok(())
    }

    /// What notes the keys of what is stored.
    pub(super) fn noter(&self) -> Noter {
        let written = Arc::clone(&self.written);
        Arc::new(move |key| written.lock().unwrap_or_else(PoisonError::into_inner).note(key))
    }

    /// Notes the key of what is about to be stored.
    pub(super) fn note(&self, key: &str) -> Result<(), MergeError> {
        self.lock_written().note(key).map_err(MergeError::state("write", &self.dir.join("written")))
    }

    /// All is stored: these objects can go, but for those that were stored just now. Gives those that go.
    pub(super) fn stored(&mut self, replaced: Vec<String>) -> Result<Vec<String>, MergeError> {
        let replaced: Vec<String> = {
            let written = self.lock_written();
            replaced.into_iter().filter(|key| !written.keys.contains(key)).collect()
        };
        self.write("stored", &replaced)?;
        self.phase = Phase::Stored { replaced: replaced.clone() };
        Ok(replaced)
    }

    /// The objects that hold what these do: what was stored, and what of the plan stays.
    pub(super) fn needed(&self, replaced: &[String]) -> Vec<String> {
        let replaced: HashSet<&String> = replaced.iter().collect();
        let kept = self.sources.iter().filter(|key| !replaced.contains(key)).cloned();
        kept.chain(self.lock_written().keys.iter().cloned()).collect()
    }

    /// The merge is at its end.
    pub(super) fn end(&mut self) -> Result<(), MergeError> {
        let plan = self.dir.join("plan");
        fs::remove_file(&plan).map_err(MergeError::state("delete", &plan))?;
        self.sync()?;
        self.phase = Phase::Nothing;
        self.clear()
    }

    /// Takes away what is not the plan.
    fn clear(&mut self) -> Result<(), MergeError> {
        let mut written = self.lock_written();
        written.file = None;
        written.keys.clear();
        drop(written);
        let gone = |result: io::Result<()>, path: &Path| match result {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(MergeError::state("delete", path)(error)),
            _ => Ok(()),
        };
        for name in ["stored", "written", "rest.part", "plan.new", "stored.new"] {
            let path = self.dir.join(name);
            gone(fs::remove_file(&path), &path)?;
        }
        gone(fs::remove_dir_all(self.run_dir()), &self.run_dir())
    }

    fn lock_written(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a list; nothing where there is none.
    fn read(&self, name: &str) -> Result<Option<Vec<String>>, MergeError> {
        let path = self.dir.join(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(MergeError::state("read", &path)(error)),
        };
        let mut lines = text.lines();
        if lines.next() != Some(FORMAT) {
            return Err(MergeError::state("read", &path)(not_ours()));
        }
        Ok(Some(lines.map(str::to_owned).collect()))
    }

    /// Writes a list, whole or not at all.
    fn write(&self, name: &str, keys: &[String]) -> Result<(), MergeError> {
        let (path, new) = (self.dir.join(name), self.dir.join(format!("{name}.new")));
        let write = || {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(FILE_MODE).open(&new)?;
            let mut text = String::from(FORMAT);
            for key in keys {
                text.push('\n');
                text.push_str(key);
            }
            text.push('\n');
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().map_err(MergeError::state("write", &path))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), MergeError> {
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(MergeError::state("fsync", &self.dir))
    }
}

impl Plan {
    fn to_lines(&self) -> Vec<String> {
        let repeated = if self.repeated { REPEATED } else { "" };
        std::iter::once(format!("{}{repeated}", self.class)).chain(self.sources.iter().cloned()).collect()
    }

    fn of_lines(lines: Vec<String>) -> Option<Plan> {
        let mut lines = lines.into_iter();
        let first = lines.next()?;
        let class = first.strip_suffix(REPEATED);
        Some(Plan { class: class.unwrap_or(&first).parse().ok()?, repeated: class.is_some(), sources: lines.collect() })
    }
}

fn not_ours() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "another version has written it, or it was changed")
}

impl Written {
    /// Reads the keys that were noted.
    fn read(&mut self) -> io::Result<()> {
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            text => text?,
        };
        // A line that was cut is of a key that was not stored yet, and must not be the begin of the next.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            OpenOptions::new().write(true).open(&self.path)?.set_len(whole as u64)?;
        }
        self.keys.extend(text[..whole].lines().map(str::to_owned));
        Ok(())
    }

    fn note(&mut self, key: &str) -> io::Result<()> {
        if self.keys.contains(key) {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let made = !self.path.exists();
                let file = OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(&self.path)?;
                if made && let Some(dir) = self.path.parent() {
                    File::open(dir)?.sync_all()?;
                }
                none.insert(file)
            }
        };
        file.write_all(format!("{key}\n").as_bytes())?;
        file.sync_data()?;
        self.keys.insert(key.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_found_again_until_it_is_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("merge");
        let open = || Journal::open(&state).unwrap();
        assert_eq!(*open().phase(), Phase::Nothing);
        for repeated in [true, false] {
            let class = RetentionClass::from_days(7).unwrap();
            let plan = Plan { class, repeated, sources: ["a/1", "a/2", "a/3"].map(str::to_owned).into() };
            open().begin(plan.clone()).unwrap();
            assert_eq!(*open().phase(), Phase::Begun(plan));
        }

        let journal = open();
        assert!(matches!(Journal::open(&state), Err(MergeError::Held { .. })));
        journal.noter()("a/2").unwrap();
        drop(journal);
        OpenOptions::new().append(true).open(state.join("written")).unwrap().write_all(b"a/").unwrap();
        let mut journal = open();
        journal.note("b/1").unwrap();
        drop(journal);
        journal = open();
        fs::create_dir(journal.run_dir()).unwrap();
        assert_eq!(journal.stored(vec!["a/1".to_owned(), "a/2".to_owned(), "b/1".to_owned()]).unwrap(), ["a/1"]);
        drop(journal);
        journal = open();
        let needed: HashSet<_> = journal.needed(&["a/1".to_owned()]).into_iter().collect();
        assert_eq!(needed, ["a/2", "a/3", "b/1"].map(str::to_owned).into());
        assert!(matches!(journal.phase(), Phase::Stored { replaced } if replaced == &["a/1"]));
        journal.end().unwrap();
        drop(journal);
        let left: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
        assert_eq!(*open().phase(), Phase::Nothing);
    }
}
