//! A directory as destination.
//!
//! Where the spool is on the same file system, an object's key becomes a hard link to its spool file, which is durable already: nothing
//! is written twice, and the link is made whole or not at all. Elsewhere the file is copied to `.<name>.tmp` beside its key, fsynced and
//! renamed. Either way the folders are fsynced before the object counts as stored.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use reassemble_formats::layout::hex;

use super::{CheckReport, PutOutcome, blocking, verify};
use crate::checksum::{ContentHash, checksum};
use crate::error::StoreError;
use crate::object::SealedObject;
use crate::spool::sync_dir;

/// Which directory, and how its files are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirConfig {
    /// The root; made at the first put.
    pub root: PathBuf,
    /// Mode of files, 0600 by default.
    pub file_mode: u32,
    /// Mode of folders, 0700 by default.
    pub folder_mode: u32,
}

impl DirConfig {
    /// A root with the default modes.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), file_mode: 0o600, folder_mode: 0o700 }
    }
}

/// A directory as destination: hard links where it shares the spool's file system, fsynced copies elsewhere.
#[derive(Debug, Clone)]
pub struct DirStore {
    config: DirConfig,
}

impl DirStore {
    /// Nothing is touched yet.
    pub fn new(config: DirConfig) -> Self {
        Self { config }
    }

    pub(super) fn with_modes(mut self, file_mode: u32, folder_mode: u32) -> Self {
        (self.config.file_mode, self.config.folder_mode) = (file_mode, folder_mode);
        self
    }

    pub(super) fn describe(&self) -> String {
        self.config.root.display().to_string()
    }

    pub(super) fn root(&self) -> &Path {
        &self.config.root
    }

    /// The file of a key.
    pub(super) fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        place(&self.config, key).map(|(_, path)| path)
    }

    pub(super) async fn put(&self, object: &SealedObject) -> Result<PutOutcome, StoreError> {
        let (config, object) = (self.config.clone(), object.clone());
        blocking(move || put(&config, &object)).await
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let (folder, path) = place(&self.config, key)?;
        blocking(move || match fs::remove_file(&path) {
            Ok(()) => sync_dir(&folder).map_err(StoreError::file("fsync", &folder)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::file("delete", &path)(error)),
        })
        .await
    }

    pub(super) async fn check(&self) -> Result<CheckReport, StoreError> {
        let config = self.config.clone();
        blocking(move || check(&config)).await
    }
}

fn put(config: &DirConfig, object: &SealedObject) -> Result<PutOutcome, StoreError> {
    verify(object)?;
    let (folder, path) = place(config, &object.key)?;
    make_folders(config, &folder)?;
    // Before the link, which is never to be seen with another mode.
    set_mode(&object.path, config.file_mode)?;
    let outcome = match fs::hard_link(&object.path, &path) {
        Ok(()) => PutOutcome::Stored,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => compare(object, &path)?,
        // Another file system, or one without links: whatever the reason, a copy tells whether the destination is good.
        Err(_) => copy(config, object, &folder, &path)?,
    };
    // After `AlreadyStored` too: the put before may have died ahead of its fsync.
    sync_dir(&folder).map_err(|source| {
        if outcome == PutOutcome::Stored {
            // An fsync that failed may succeed the next time without having written anything: the entry has to be made anew.
            drop(fs::remove_file(&path));
        }
        StoreError::file("fsync", &folder)(source)
    })?;
    Ok(outcome)
}

/// The folder and file of a key. Keys are made by `formats::layout`; this holds even if one were not.
fn place(config: &DirConfig, key: &str) -> Result<(PathBuf, PathBuf), StoreError> {
    let good = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'%' | b'=' | b'.'))
    };
    if !key.split('/').all(good) {
        return Err(StoreError::Config(format!("the key {key:?} is not one of this layout")));
    }
    let path = config.root.join(key);
    let folder = path.parent().unwrap_or(&config.root).to_owned();
    Ok((folder, path))
}

/// Makes the missing folders, and every one that was made durable in its parent.
fn make_folders(config: &DirConfig, folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_folders(config, parent)?;
    }
    match DirBuilder::new().mode(config.folder_mode).create(folder) {
        Ok(()) => {
            // The umask may have taken bits that were asked for.
            set_mode(folder, config.folder_mode)?;
            let parent = match folder.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            sync_dir(parent).map_err(StoreError::file("fsync", parent))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(StoreError::file("create", folder)(io::Error::new(ErrorKind::NotADirectory, "a file is in its place")))
        }
        Err(error) => Err(StoreError::file("create", folder)(error)),
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), StoreError> {
    let now = fs::metadata(path).map_err(StoreError::file("look at", path))?.mode() & 0o7777;
    if now != mode {
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(StoreError::file("set the mode of", path))?;
    }
    Ok(())
}

fn compare(object: &SealedObject, path: &Path) -> Result<PutOutcome, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Conflict { target: path.display().to_string(), detail: "it is no file".into() });
    }
    let sum = checksum(path, ContentHash::of(object.kind)).map_err(StoreError::file("read", path))?;
    if sum.hash == object.hash {
        return Ok(PutOutcome::AlreadyStored);
    }
    let detail = format!("{} bytes with hash {}, not {}", sum.bytes, hex(&sum.hash), hex(&object.hash));
    Err(StoreError::Conflict { target: path.display().to_string(), detail })
}

fn copy(config: &DirConfig, object: &SealedObject, folder: &Path, path: &Path) -> Result<PutOutcome, StoreError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.tmp"));
    if path.exists() {
        let outcome = compare(object, path)?;
        // What a copy left that was killed, where no other instance has it in hand.
        if temporary.exists() && lock_temporary(&temporary, config.file_mode).is_ok() {
            drop(fs::remove_file(&temporary));
        }
        return Ok(outcome);
    }
    let mut out = lock_temporary(&temporary, config.file_mode)?;
    let written = (|| {
        out.set_len(0)?;
        io::copy(&mut File::open(&object.path)?, &mut out)?;
        out.sync_all()
    })();
    if let Err(source) = written {
        // Frees the room; where even this fails the next try writes over it.
        drop(fs::remove_file(&temporary));
        return Err(StoreError::file("write", &temporary)(source));
    }
    set_mode(&temporary, config.file_mode)?;
    fs::rename(&temporary, path).map_err(StoreError::file("create", path))?;
    Ok(PutOutcome::Stored)
}

/// Opens the temporary file for this process alone. Another instance may store the same object at the same time; and while we waited
/// for its lock the file may have become the object, which must not be written to.
fn lock_temporary(temporary: &Path, mode: u32) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(mode)
        .open(temporary)
        .map_err(StoreError::file("create", temporary))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let place = temporary.display().to_string();
            return Err(StoreError::Busy {
                place,
                detail: "another instance is writing the same object".into(),
                retry_after: None,
            });
        }
        Err(TryLockError::Error(source)) => return Err(StoreError::file("lock", temporary)(source)),
    }
    let ours = file.metadata().map_err(StoreError::file("look at", temporary))?.ino();
    match fs::metadata(temporary) {
        Ok(named) if named.ino() == ours => Ok(file),
        _ => {
            let place = temporary.display().to_string();
            Err(StoreError::Busy {
                place,
                detail: "another instance has just written the same object".into(),
                retry_after: None,
            })
        }
    }
}

/// Makes, writes, fsyncs and removes a file where objects would go; a root that does not exist yet is made and removed too.
fn check(config: &DirConfig) -> Result<CheckReport, StoreError> {
    let mut made = Vec::new();
    let mut folder = config.root.as_path();
    while !folder.exists() {
        made.push(folder.to_owned());
        match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => folder = parent,
            _ => break,
        }
    }
    make_folders(config, &config.root)?;
    let probe = config.root.join(format!(".reassemble-check-{}", std::process::id()));
    let written =
        OpenOptions::new().write(true).create(true).truncate(true).mode(config.file_mode).open(&probe).and_then(
            |mut file| {
                io::Write::write_all(&mut file, b"check")?;
                file.sync_all()
            },
        );
    let mut left = Vec::new();
    if probe.exists() && fs::remove_file(&probe).is_err() {
        left.push(probe.clone());
    }
    for folder in made {
        if fs::remove_dir(&folder).is_err() {
            left.push(folder);
        }
    }
    written.map_err(StoreError::file("write", &probe))?;
    let left_behind =
        (!left.is_empty()).then(|| left.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "));
    Ok(CheckReport { left_behind })
}

#[cfg(test)]
mod tests {
    use reassemble_formats::layout::{BatchEncoding, Partition, RetentionClass, batch_name};

    use super::*;
    use crate::error::{Damage, FaultKind};
    use crate::object::ObjectKind;

    pub(crate) fn object(dir: &Path, content: &[u8]) -> SealedObject {
        let path = dir.join("7.part");
        fs::write(&path, content).unwrap();
        let sum = checksum(&path, ContentHash::of(ObjectKind::Batch)).unwrap();
        let partition = Partition::new(RetentionClass::from_days(30).unwrap(), Some("../shop"), 0);
        SealedObject {
            object_no: 1,
            kind: ObjectKind::Batch,
            key: format!("{partition}{}", batch_name(0, &sum.hash, BatchEncoding::Plain)),
            path,
            bytes: sum.bytes,
            lines: 3,
            hash: sum.hash,
            crc32: sum.crc32,
            written: None,
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn an_object_is_stored_once_with_private_modes() {
        let dir = tempfile::tempdir().unwrap();
        let config = DirConfig::new(dir.path().join("a/b"));
        let object = object(dir.path(), b"line\n");
        assert_eq!(put(&config, &object).unwrap(), PutOutcome::Stored);
        let path = config.root.join(&object.key);
        assert_eq!(fs::read(&path).unwrap(), b"line\n");
        assert_eq!((mode(&path), mode(&config.root), mode(path.parent().unwrap())), (0o600, 0o700, 0o700));
        assert_eq!(put(&config, &object).unwrap(), PutOutcome::AlreadyStored);
        // What the spool removes stays in the destination.
        fs::remove_file(&object.path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"line\n");
        let missing = put(&config, &object).unwrap_err();
        assert!(matches!(&missing, StoreError::Damaged(file) if file.damage == Damage::Missing), "{missing}");
    }

    #[test]
    fn a_copy_leaves_nothing_but_the_object() {
        let dir = tempfile::tempdir().unwrap();
        let config = DirConfig { file_mode: 0o640, ..DirConfig::new(dir.path().join("out")) };
        let object = object(dir.path(), b"line\n");
        let (folder, path) = place(&config, &object.key).unwrap();
        make_folders(&config, &folder).unwrap();
        // A leftover of a copy that died.
        fs::write(
            folder.join(format!(".{}.tmp", path.file_name().unwrap().to_str().unwrap())),
            b"longer than the line",
        )
        .unwrap();
        assert_eq!(copy(&config, &object, &folder, &path).unwrap(), PutOutcome::Stored);
        assert_eq!(fs::read(&path).unwrap(), b"line\n");
        assert_eq!(mode(&path), 0o640);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::write(folder.join(format!(".{}.tmp", path.file_name().unwrap().to_str().unwrap())), b"li").unwrap();
        assert_eq!(copy(&config, &object, &folder, &path).unwrap(), PutOutcome::AlreadyStored);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_under_the_key_is_a_conflict_of_this_object() {
        let dir = tempfile::tempdir().unwrap();
        let config = DirConfig::new(dir.path().join("out"));
        let object = object(dir.path(), b"line\n");
        fs::create_dir_all(config.root.join(&object.key)).unwrap();
        assert_eq!(put(&config, &object).unwrap_err().kind(), FaultKind::Object);
    }

    #[test]
    fn modes_are_those_that_were_set() {
        let dir = tempfile::tempdir().unwrap();
        let config = DirConfig { file_mode: 0o644, folder_mode: 0o755, root: dir.path().join("out") };
        let object = object(dir.path(), b"line\n");
        put(&config, &object).unwrap();
        let path = config.root.join(&object.key);
        assert_eq!((mode(&path), mode(path.parent().unwrap()), mode(&config.root)), (0o644, 0o755, 0o755));
    }

    #[test]
    fn a_temporary_file_of_another_instance_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let temporary = dir.path().join(".x.tmp");
        let theirs = lock_temporary(&temporary, 0o600).unwrap();
        assert_eq!(lock_temporary(&temporary, 0o600).unwrap_err().kind(), FaultKind::Transient);
        drop(theirs);
        lock_temporary(&temporary, 0o600).unwrap();
    }

    #[test]
    fn other_bytes_under_the_key_are_a_conflict_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let config = DirConfig::new(dir.path().join("out"));
        let object = object(dir.path(), b"line\n");
        put(&config, &object).unwrap();
        let path = config.root.join(&object.key);
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"LINE\n").unwrap();
        let error = put(&config, &object).unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
        assert_eq!(error.kind(), FaultKind::Object);
        assert_eq!(fs::read(&path).unwrap(), b"LINE\n");
    }

    #[test]
    fn a_flipped_spool_file_is_not_stored() {
        let dir = tempfile::tempdir().unwrap();
        let config = DirConfig::new(dir.path().join("out"));
        let object = object(dir.path(), b"line\n");
        fs::write(&object.path, b"lime\n").unwrap();
        assert!(matches!(put(&config, &object), Err(StoreError::Damaged(file)) if file.damage == Damage::Changed));
        assert!(!config.root.exists());
    }

    #[test]
    fn keys_outside_the_layout_are_refused() {
        let config = DirConfig::new("/root");
        for key in ["../x", "a/../x", "/etc/passwd", "a//b", "", "a/.hidden", "a\0b", "a b"] {
            assert!(place(&config, key).is_err(), "{key:?}");
        }
    }

    #[tokio::test]
    async fn what_is_deleted_is_gone_and_may_be_gone_before() {
        let dir = tempfile::tempdir().unwrap();
        let store = DirStore::new(DirConfig::new(dir.path()));
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/x.ndjson"), b"line\n").unwrap();
        for _ in 0..2 {
            store.delete("a/x.ndjson").await.unwrap();
            assert!(!dir.path().join("a/x.ndjson").exists());
        }
        assert!(store.delete("../x").await.is_err());
    }

    #[test]
    fn a_check_leaves_nothing_and_names_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("x/y");
        assert_eq!(check(&DirConfig::new(&root)).unwrap(), CheckReport::default());
        assert!(!dir.path().join("x").exists());
        fs::write(dir.path().join("file"), b"").unwrap();
        let error = check(&DirConfig::new(dir.path().join("file/x"))).unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
        assert_eq!(error.kind(), FaultKind::Permanent);
    }
}
