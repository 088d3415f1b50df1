//! Destinations: where sealed objects end up.
//!
//! Both kinds keep three promises. An object appears under its key whole or not at all. Putting it again is harmless: the same bytes
//! are [`PutOutcome::AlreadyStored`], other bytes under its key are an error and stay untouched. And a spool file that is not what was
//! sealed is not stored.

mod dir;
mod read;
mod s3;
mod s3_body;
mod s3_compare;
mod s3_config;
#[cfg(test)]
mod s3_fault_tests;
mod s3_faults;
mod s3_send;
#[cfg(test)]
mod s3_tests;
mod tries;

pub use self::dir::{DirConfig, DirStore};
pub use self::read::{ListedObject, Listing, ObjectBody};
pub use self::s3::S3Store;
pub use self::s3_config::{KmsKey, S3Config};

use std::os::unix::fs::MetadataExt;
use std::pin::Pin;

use crate::checksum::crc32;
use crate::error::{Damage, DamagedFile, StoreError};
use crate::object::SealedObject;

/// Something that a destination does for another crate.
///
/// It is boxed for the binary's size: an `async fn` is compiled again in every crate that awaits it, and so is all of the SDK's below it.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What a put did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object was written.
    Stored,
    /// It was there, with the same bytes.
    AlreadyStored,
}

/// A destination that passed its check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// What the check could not take away again, in words; `None` where nothing was left.
    pub left_behind: Option<String>,
}

/// A directory or a bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Destination {
    /// A directory.
    Dir(DirStore),
    /// A bucket, or a prefix in one.
    S3(S3Store),
}

impl Destination {
    /// The same with other modes of files and folders, where it makes any.
    #[must_use]
    pub fn with_modes(self, file_mode: u32, folder_mode: u32) -> Self {
        match self {
            Self::Dir(store) => Self::Dir(store.with_modes(file_mode, folder_mode)),
            Self::S3(_) => self,
        }
    }

    /// Stores one object.
    ///
    /// # Errors
    /// See [`StoreError::kind`] for whether to try again.
    pub fn put<'a>(&'a self, object: &'a SealedObject) -> Doing<'a, PutOutcome> {
        Box::pin(async move {
            match self {
                Self::Dir(store) => store.put(object).await,
                Self::S3(store) => store.put(object).await,
            }
        })
    }

    /// Takes an object away, durably. One that is not there is as good as taken away.
    ///
    /// # Errors
    /// What keeps it from being taken away, after a few tries, and a key that no destination has.
    pub fn delete<'a>(&'a self, key: &'a str) -> Doing<'a, ()> {
        Box::pin(async move {
            match self {
                Self::Dir(store) => store.delete(key).await,
                Self::S3(store) => store.delete(key).await,
            }
        })
    }

    /// Says whether objects could be stored now, by trying, and takes away what the trial made.
    ///
    /// # Errors
    /// What a put would meet.
    pub fn check(&self) -> Doing<'_, CheckReport> {
        Box::pin(async move {
            match self {
                Self::Dir(store) => store.check().await,
                Self::S3(store) => store.check().await,
            }
        })
    }

    /// The destination for people: a path, or `s3://bucket/prefix`.
    pub fn describe(&self) -> String {
        match self {
            Self::Dir(store) => store.describe(),
            Self::S3(store) => store.describe(),
        }
    }
}

/// Compares the spool file with what was sealed: reads it, but where this process has written it and nothing has since. Blocking.
fn verify(object: &SealedObject) -> Result<(), StoreError> {
    let damaged = |damage| {
        let (path, key, lines) = (object.path.clone(), object.key.clone(), object.lines);
        StoreError::Damaged(DamagedFile { path, damage, key, lines })
    };
    if let (Some(written), Ok(metadata)) = (object.written, std::fs::metadata(&object.path))
        && (metadata.len(), (metadata.mtime(), metadata.mtime_nsec())) == (object.bytes, written)
    {
        return Ok(());
    }
    match crc32(&object.path) {
        Ok((have, _)) if have < object.bytes => Err(damaged(Damage::Short { have, want: object.bytes })),
        Ok(found) if found != (object.bytes, object.crc32) => Err(damaged(Damage::Changed)),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(damaged(Damage::Missing)),
        Err(error) => Err(StoreError::file("read", &object.path)(error)),
    }
}

/// Runs blocking file work beside the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(StoreError::Config(format!("a task of the destination failed: {error}"))),
    }
}
