//! Opening a state directory: the lock, the database, and the files beside it.
//!
//! In this order: lock, database, format, rows, files. Until the lock is held nothing is touched. A new database is made under another
//! name and renamed, so an empty or half-made `state.redb` is never one that this program left behind.
//!
//! What is done to files: a batch's file that is longer than committed is cut; a file that no row names is removed (an append, or the
//! removal after an upload, that a crash cut short); a file that is missing, short, or (where it is read) changed is damage.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Builder, Database, DatabaseError, StorageError};

use super::batch::OpenBatch;
use super::compressors::Compressors;
use super::files::{Disk, SpoolFiles, part_name, sync_dir};
use super::rows::{BatchRow, FORMAT, SealedRow};
use super::state::{Loaded, State, failed, format_of, initialise};
use super::{Spool, SpoolConfig};
use crate::checksum::crc32;
use crate::error::{Damage, DamagedFile, StateError};

/// What the last commit held. Open captures' rows are read with [`StateReader`](super::StateReader), and so are sealed objects: there
/// may be more of either than memory holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Positions of inputs.
    pub inputs: Vec<(u64, Vec<u8>)>,
    /// The loss ledger; empty where none was kept.
    pub ledger: Vec<u8>,
    /// Sealed objects that are not known to be stored.
    pub sealed_objects: usize,
    /// Batches still open.
    pub open_batches: usize,
    /// What was set aside because of [`SpoolConfig::accept_damage`].
    pub quarantined: Vec<DamagedFile>,
}

thread_local! {
    static OPENING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is opening a state directory: a panic is told as an error then, and a panic hook need not tell it.
pub fn is_opening_state() -> bool {
    OPENING.get()
}

/// redb panics at some of what it finds in a damaged file, be it while it opens or while it closes what turned out to be damaged; that too is
/// damage, and to be told in words.
pub(super) fn open(config: SpoolConfig) -> Result<(Spool, Restored), StateError> {
    let path = config.state_dir.join("state.redb");
    OPENING.set(true);
    // What was being built is dropped by the panic, and nobody sees it.
    let opened = panic::catch_unwind(AssertUnwindSafe(|| open_locked(config)));
    OPENING.set(false);
    opened.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(StateError::Torn { path, detail: said.unwrap_or("it cannot be read").to_owned() })
    })
}

fn open_locked(config: SpoolConfig) -> Result<(Spool, Restored), StateError> {
    let spool_dir = config.state_dir.join("spool");
    make_dir(&config.state_dir, config.folder_mode)?;
    let lock = take_lock(&config.state_dir, config.file_mode)?;
    make_dir(&spool_dir, config.folder_mode)?;
    let db_path = config.state_dir.join("state.redb");
    let db = open_database(&config, &db_path, &spool_dir)?;
    let mut files = SpoolFiles::new(Disk::new(&config.state_dir, config.min_free_bytes), config.file_mode)?;
    let mut state = State::new(Arc::new(db), db_path, config.seen_per_generation)?;
    let loaded = state.load()?;

    let Loaded { counters, ledger, inputs, mut batches, mut sealed } = loaded;
    let mut quarantined = Vec::new();
    let damaged = find_damage(&spool_dir, &batches, &sealed, config.accept_damage)?;
    if !damaged.is_empty() {
        if !config.accept_damage {
            return Err(StateError::Damaged { files: damaged.into_iter().map(|(_, file)| file).collect() });
        }
        set_aside(&config, &mut state, &damaged)?;
        state.begin_commit(counters, files.take_touched(), Box::new(|| ()))?;
        state.await_commit()?;
        let gone: HashSet<Owner> = damaged.iter().map(|(owner, _)| *owner).collect();
        batches.retain(|(file_no, _)| !gone.contains(&Owner::Batch(*file_no)));
        sealed.retain(|(object_no, _)| !gone.contains(&Owner::Object(*object_no)));
        quarantined = damaged.into_iter().map(|(_, file)| file).collect();
    }
    cut_to_committed(&spool_dir, &batches)?;
    sweep(&spool_dir, &batches, &sealed)?;

    let restored = Restored { inputs, ledger, sealed_objects: sealed.len(), open_batches: batches.len(), quarantined };
    let compressors = Compressors::new(config.compression, config.compressor_threads);
    let drawn = getrandom::u64().map_err(|error| io::Error::other(error.to_string()));
    let run = drawn.map_err(StateError::unusable("draw a number for", &config.state_dir))?;
    let mut spool = Spool {
        config,
        state,
        files,
        compressors,
        flights: Default::default(),
        batches: Default::default(),
        by_partition: Default::default(),
        recent: Default::default(),
        resident: Default::default(),
        held_bytes: 0,
        counters,
        hashes: 0,
        debts: Vec::new(),
        refused: false,
        sealed: Vec::new(),
        stored: Vec::new(),
        committing: None,
        spool_bytes: sealed.iter().map(|(_, row)| row.bytes).sum(),
        stopped: false,
        run,
        spares: Vec::new(),
        _lock: lock,
    };
    for (file_no, row) in &batches {
        let batch = OpenBatch::restore(*file_no, row).ok_or_else(|| StateError::Torn {
            path: spool.state.path().to_owned(),
            detail: format!("batch {file_no} has no partition"),
        })?;
        spool.spool_bytes += row.stored_bytes + row.tail_bytes;
        spool.by_partition.insert(batch.partition.clone(), *file_no);
        spool.recent.add(batch.touch, *file_no);
        spool.batches.insert(*file_no, batch);
        if spool.is_due(*file_no) {
            // A full disk kept it from being compressed before the commit; where that would have been is where blocks end.
            spool.debts.push(*file_no);
        }
    }
    Ok((spool, restored))
}

fn make_dir(dir: &Path, mode: u32) -> Result<(), StateError> {
    DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(StateError::unusable("create", dir))
}

fn take_lock(state_dir: &Path, mode: u32) -> Result<File, StateError> {
    let path = state_dir.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(mode)
        .open(&path)
        .map_err(StateError::unusable("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held(state_dir, &mut file)),
        Err(TryLockError::Error(source)) => return Err(StateError::unusable("lock", &path)(source)),
    }
    file.set_len(0)
        .and_then(|()| write!(file, "{}", std::process::id()))
        .map_err(StateError::unusable("write", &path))?;
    Ok(file)
}

fn held(state_dir: &Path, lock: &mut File) -> StateError {
    let mut id = String::new();
    let known =
        lock.take(20).read_to_string(&mut id).is_ok() && !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    let holder = if known { format!("process {id}") } else { "unknown process".to_owned() };
    StateError::Held { dir: state_dir.to_owned(), holder }
}

fn open_database(config: &SpoolConfig, path: &Path, spool_dir: &Path) -> Result<Database, StateError> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !spool_files(spool_dir)?.is_empty() {
                return Err(StateError::NoDatabase { dir: config.state_dir.clone() });
            }
            create_database(config, path)?;
            fs::metadata(path)
        }
        other => other,
    }
    .map_err(StateError::unusable("look at", path))?;
    // redb takes an empty file for a new database, and would so lose all positions without a word.
    if metadata.len() == 0 {
        return Err(StateError::Torn { path: path.to_owned(), detail: "it is empty".into() });
    }
    let db = Builder::new().set_cache_size(config.cache_bytes).open(path).map_err(|error| opening(path, error))?;
    match format_of(&db).map_err(|source| failed(path, source))? {
        Some(FORMAT) => Ok(db),
        Some(found) if found > FORMAT => Err(StateError::Newer { path: path.to_owned(), found, known: FORMAT }),
        Some(found) => Err(StateError::Older { path: path.to_owned(), found, known: FORMAT }),
        None => Err(StateError::Torn { path: path.to_owned(), detail: "it has no format".into() }),
    }
}

fn create_database(config: &SpoolConfig, path: &Path) -> Result<(), StateError> {
    let new = path.with_extension("redb.new");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(config.file_mode)
        .open(&new)
        .map_err(StateError::unusable("create", &new))?;
    let db = redb::backends::FileBackend::new(file)
        .and_then(|backend| Builder::new().set_cache_size(config.cache_bytes).create_with_backend(backend))
        .map_err(|error| opening(&new, error))?;
    initialise(&db).map_err(|source| failed(&new, source))?;
    drop(db);
    fs::rename(&new, path).map_err(StateError::unusable("create", path))?;
    sync_dir(&config.state_dir).map_err(StateError::unusable("fsync", &config.state_dir))
}

/// What redb's refusal to open means.
fn opening(path: &Path, error: DatabaseError) -> StateError {
    let torn = |detail: String| StateError::Torn { path: path.to_owned(), detail };
    match error {
        DatabaseError::DatabaseAlreadyOpen => StateError::Held {
            dir: path.parent().unwrap_or(path).to_owned(),
            holder: "a reader of its database".into(),
        },
        DatabaseError::UpgradeRequired(found) => {
            StateError::Older { path: path.to_owned(), found: u64::from(found), known: FORMAT }
        }
        DatabaseError::RepairAborted => torn("it cannot be repaired".into()),
        DatabaseError::Storage(StorageError::Corrupted(detail)) => torn(detail),
        DatabaseError::Storage(StorageError::Io(source)) => match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
                torn(source.to_string())
            }
            _ => StateError::unusable("open", path)(source),
        },
        other => failed(path, other.into()),
    }
}

/// Which row a spool file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Owner {
    Batch(u64),
    Object(u64),
}

/// Looks at the length of every file that a row names, and where `read` is set at its bytes too.
fn find_damage(
    spool_dir: &Path,
    batches: &[(u64, BatchRow)],
    sealed: &[(u64, SealedRow)],
    read: bool,
) -> Result<Vec<(Owner, DamagedFile)>, StateError> {
    let mut damaged = Vec::new();
    for (file_no, row) in batches {
        let path = spool_dir.join(part_name(*file_no));
        if let Some(damage) = damage_of(&path, row.stored_bytes, row.crc32, false, read)? {
            let file = DamagedFile { path, damage, key: row.partition.clone(), lines: row.lines };
            damaged.push((Owner::Batch(*file_no), file));
        }
    }
    for (object_no, row) in sealed {
        let path = spool_dir.join(&row.file);
        if let Some(damage) = damage_of(&path, row.bytes, row.crc32, true, read)? {
            damaged.push((
                Owner::Object(*object_no),
                DamagedFile { path, damage, key: row.key.clone(), lines: row.lines },
            ));
        }
    }
    Ok(damaged)
}

fn damage_of(path: &Path, want: u64, want_crc: u32, sealed: bool, read: bool) -> Result<Option<Damage>, StateError> {
    let have = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        // A batch whose blocks are all unfinished has no file yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound && want == 0 && !sealed => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Damage::Missing)),
        Err(error) => return Err(StateError::unusable("look at", path)(error)),
    };
    if have < want {
        return Ok(Some(Damage::Short { have, want }));
    }
    if sealed && have > want {
        return Ok(Some(Damage::Changed));
    }
    if read {
        if have > want {
            cut(path, want)?;
        }
        let (_, have_crc) = crc32(path).map_err(StateError::unusable("read", path))?;
        return Ok((have_crc != want_crc).then_some(Damage::Changed));
    }
    Ok(None)
}

/// Moves damaged files to `quarantine/` with the lines that only the database has, and forgets their rows (with the next commit).
fn set_aside(config: &SpoolConfig, state: &mut State, damaged: &[(Owner, DamagedFile)]) -> Result<(), StateError> {
    let dir = config.state_dir.join("quarantine");
    make_dir(&dir, config.folder_mode)?;
    for (owner, file) in damaged {
        tracing::error!(%file, "set aside in quarantine/; what it held is lost to the destination");
        if let Owner::Batch(file_no) = *owner {
            let mut lines = Vec::new();
            state.read_tail(file_no, &mut lines)?;
            if !lines.is_empty() {
                let path = dir.join(format!("{file_no}.tail.ndjson"));
                let mut out = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(config.file_mode)
                    .open(&path)
                    .map_err(StateError::unusable("create", &path))?;
                out.write_all(&lines).and_then(|()| out.sync_all()).map_err(StateError::unusable("write", &path))?;
                state.clear_tail(file_no)?;
            }
            state.remove_batch(file_no)?;
        }
        if let Owner::Object(object_no) = *owner {
            state.remove_sealed(object_no)?;
        }
        if file.damage != Damage::Missing
            && let Some(name) = file.path.file_name()
        {
            fs::rename(&file.path, dir.join(name)).map_err(StateError::unusable("move to quarantine", &file.path))?;
        }
    }
    sync_dir(&dir).map_err(StateError::unusable("fsync", &dir))
}

fn cut_to_committed(spool_dir: &Path, batches: &[(u64, BatchRow)]) -> Result<(), StateError> {
    for (file_no, row) in batches {
        let path = spool_dir.join(part_name(*file_no));
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > row.stored_bytes) {
            cut(&path, row.stored_bytes)?;
        }
    }
    Ok(())
}

fn cut(path: &Path, length: u64) -> Result<(), StateError> {
    let file = OpenOptions::new().write(true).open(path).map_err(StateError::unusable("open", path))?;
    file.set_len(length).map_err(StateError::unusable("cut", path))
}

fn sweep(spool_dir: &Path, batches: &[(u64, BatchRow)], sealed: &[(u64, SealedRow)]) -> Result<(), StateError> {
    let mut named: HashSet<String> = batches.iter().map(|(file_no, _)| part_name(*file_no)).collect();
    named.extend(sealed.iter().map(|(_, row)| row.file.clone()));
    for (name, path) in spool_files(spool_dir)? {
        if !named.contains(&name) {
            fs::remove_file(&path).map_err(StateError::unusable("remove", &path))?;
        }
    }
    Ok(())
}

/// The folder's files that bear a spool file's name; others are none of this program's.
fn spool_files(spool_dir: &Path) -> Result<Vec<(String, PathBuf)>, StateError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(spool_dir).map_err(StateError::unusable("list", spool_dir))? {
        let entry = entry.map_err(StateError::unusable("list", spool_dir))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let number = name.strip_suffix(".part").or_else(|| name.strip_suffix(".body"));
        if number.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())) {
            files.push((name, entry.path()));
        }
    }
    Ok(files)
}
