//! The spool's files: `spool/<n>.part` for batches, `spool/<n>.body` for large bodies.
//!
//! Writes go to a known offset, so a write that failed half way is simply made again. A handle is kept from a file's first write until
//! it is fsynced through that same handle (an error of writing back is then not missed), at most [`MAX_TOUCHED`] of them, and as many of
//! the commit before while that is under way. Where a commit has touched more files than that, one syncfs takes the place of thousands of
//! fsyncs; its handle is as old as the spool, so it too is told of every error since.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::StateError;

/// Handles of files written since the last fsync.
const MAX_TOUCHED: usize = 64;

/// The disk that the spool lies on.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    state_dir: PathBuf,
    min_free_bytes: u64,
}

impl Disk {
    pub(crate) fn new(state_dir: &Path, min_free_bytes: u64) -> Self {
        Self { state_dir: state_dir.to_owned(), min_free_bytes }
    }

    /// An error where less is free than `min_free_bytes / divisor`.
    pub(crate) fn check_free(&self, divisor: u64) -> Result<(), StateError> {
        let need_bytes = self.min_free_bytes / divisor;
        if need_bytes == 0 {
            return Ok(());
        }
        let free_bytes = free_bytes(&self.state_dir).map_err(StateError::write("look at", &self.state_dir))?;
        if free_bytes < need_bytes {
            return Err(StateError::DiskFull { path: self.state_dir.clone(), free_bytes, need_bytes });
        }
        Ok(())
    }

    /// A full disk (or quota) can be waited out, because the same bytes go to the same place again; nothing else can.
    pub(crate) fn classify(&self, action: &'static str, path: &Path, source: io::Error) -> StateError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StateError::DiskFull {
                path: self.state_dir.clone(),
                free_bytes: free_bytes(&self.state_dir).unwrap_or(0),
                need_bytes: self.min_free_bytes,
            },
            _ => StateError::write(action, path)(source),
        }
    }
}

pub(crate) struct SpoolFiles {
    pub(crate) disk: Disk,
    dir: PathBuf,
    file_mode: u32,
    touched: Touched,
}

/// What has to be made durable: the files that were written since the last commit, and the folder.
pub(crate) struct Touched {
    files: HashMap<PathBuf, File>,
    /// More files were touched than there are handles.
    #[cfg(target_os = "linux")]
    overflowed: bool,
    /// Files were created.
    created: bool,
    /// The folder.
    dir: PathBuf,
    handle: Arc<File>,
}

impl SpoolFiles {
    pub(crate) fn new(disk: Disk, file_mode: u32) -> Result<Self, StateError> {
        let dir = disk.state_dir.join("spool");
        let handle = File::open(&dir).map_err(StateError::unusable("open", &dir))?;
        let touched = Touched::new(dir.clone(), Arc::new(handle));
        Ok(Self { disk, dir, file_mode, touched })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn part(&self, file_no: u64) -> PathBuf {
        self.dir.join(part_name(file_no))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Creates a file; an earlier one of that name is a leftover of an append that was never committed.
    pub(crate) fn create(&mut self, path: &Path) -> Result<File, StateError> {
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(self.file_mode).open(path);
        self.touched.created = true;
        opened.map_err(|source| self.disk.classify("create", path, source))
    }

    /// Writes a block of a batch at `offset`; the file is created where `offset` is 0.
    pub(crate) fn write_block(&mut self, file_no: u64, offset: u64, bytes: &[u8]) -> Result<(), StateError> {
        self.disk.check_free(1)?;
        let path = self.part(file_no);
        if !self.touched.files.contains_key(&path) {
            let file = if offset == 0 {
                self.create(&path)?
            } else {
                OpenOptions::new().write(true).open(&path).map_err(StateError::write("open", &path))?
            };
            self.touch(path.clone(), file)?;
        }
        match self.touched.files.get(&path) {
            Some(file) => file.write_all_at(bytes, offset).map_err(|source| self.disk.classify("write", &path, source)),
            None => Err(StateError::Stopped),
        }
    }

    /// Takes over a file that somebody else has written, to be fsynced with the rest.
    pub(crate) fn touch(&mut self, path: PathBuf, file: File) -> Result<(), StateError> {
        if self.touched.files.len() >= MAX_TOUCHED {
            self.touched.overflow()?;
        }
        self.touched.files.insert(path, file);
        Ok(())
    }

    /// Hands over what was written since the last call, to be made durable; what is written from now on is not among it.
    pub(crate) fn take_touched(&mut self) -> Touched {
        let fresh = Touched::new(self.dir.clone(), Arc::clone(&self.touched.handle));
        std::mem::replace(&mut self.touched, fresh)
    }
}

impl Touched {
    fn new(dir: PathBuf, handle: Arc<File>) -> Self {
        Self {
            files: HashMap::new(),
            #[cfg(target_os = "linux")]
            overflowed: false,
            created: false,
            dir,
            handle,
        }
    }

    /// Makes every file durable, and the folder where files were created.
    pub(crate) fn sync(mut self) -> Result<(), StateError> {
        #[cfg(target_os = "linux")]
        if self.overflowed {
            let synced = nix::unistd::syncfs(&*self.handle).map_err(std::io::Error::from);
            return synced.map_err(StateError::write("syncfs", &self.dir));
        }
        self.sync_each()?;
        if self.created {
            self.handle.sync_all().map_err(StateError::write("fsync", &self.dir))?;
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn overflow(&mut self) -> Result<(), StateError> {
        self.files.clear();
        self.overflowed = true;
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn overflow(&mut self) -> Result<(), StateError> {
        self.sync_each()
    }

    fn sync_each(&mut self) -> Result<(), StateError> {
        for (path, file) in self.files.drain() {
            file.sync_data().map_err(StateError::write("fsync", &path))?;
        }
        Ok(())
    }
}

pub(crate) fn part_name(file_no: u64) -> String {
    format!("{file_no}.part")
}

pub(crate) fn body_name(file_no: u64) -> String {
    format!("{file_no}.body")
}

/// Makes renames, creations and removals in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn free_bytes(dir: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(dir)?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}
