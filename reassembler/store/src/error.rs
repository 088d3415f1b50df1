//! Errors: of the state on the local disk ([`StateError`]) and of the destination ([`StoreError`]).
//!
//! Both end in a sentence that says what to do. Whether to try again is decided here once, by [`StateError::is_retryable`] and
//! [`StoreError::kind`]. No text of an exchange ever stands in an error.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is wrong with a spool file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// It is not there.
    Missing,
    /// It is shorter than what was committed.
    Short {
        /// Its length.
        have: u64,
        /// The committed length.
        want: u64,
    },
    /// Its bytes are not those that were written.
    Changed,
}

/// A spool file that does not hold what was committed, and what is lost with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFile {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub damage: Damage,
    /// Where its content would have gone: a key, or the folder of a batch that was still open.
    pub key: String,
    /// Exchanges that it held; zero for a large body.
    pub lines: u64,
}

impl fmt::Display for DamagedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.damage {
            Damage::Missing => write!(f, "{path} is missing")?,
            Damage::Short { have, want } => write!(f, "{path} has {have} of {want} bytes")?,
            Damage::Changed => write!(f, "{path} was changed")?,
        }
        match self.lines {
            0 => write!(f, " (a body for {})", self.key),
            n => write!(f, " ({n} exchanges for {})", self.key),
        }
    }
}

/// What can go wrong with the state directory. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process runs on the same directory.
    #[error(
        "state directory {dir} is in use by another instance ({holder}): stop it, or give this one a directory of its own with --state",
        dir = dir.display()
    )]
    Held {
        /// The state directory.
        dir: PathBuf,
        /// `process 123`, or `unknown process`.
        holder: String,
    },
    /// The directory or a file in it cannot be made, read or written.
    #[error("cannot {action} {path}: {source}; check the owner, the mode and the mount, or choose another directory with --state", path = path.display())]
    Unusable {
        /// What was tried, as in `create`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database is cut, empty or overwritten.
    #[error(
        "the state database {path} is torn ({detail}): restore it from a copy, or move the whole state directory aside and start anew; \
         the exchanges in its spool folder are then not uploaded (the files stay readable with zcat or zstdcat), and inputs are read \
         again from their start, so what was stored before is stored again",
        path = path.display()
    )]
    Torn {
        /// The database.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// There are spool files, but no database that knows them.
    #[error(
        "{dir} has spool files but no state.redb: restore state.redb, or move the spool folder aside (its files stay readable with \
         zcat or zstdcat) and start anew; inputs are then read again from their start",
        dir = dir.display()
    )]
    NoDatabase {
        /// The state directory.
        dir: PathBuf,
    },
    /// Written by a later version of this program.
    #[error(
        "the state in {path} has format {found}, this version knows {known}: run the newer version that wrote it, or choose another \
         directory with --state",
        path = path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The format of this version.
        known: u64,
    },
    /// Written by an earlier version of this program.
    #[error(
        "the state in {path} has the older format {found}, this version knows {known}: let the version that wrote it upload what it \
         holds and stop, then start this one with a new --state directory",
        path = path.display()
    )]
    Older {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The format of this version.
        known: u64,
    },
    /// Spool files do not hold what was committed.
    #[error("{n} spool files are damaged: {list}; put them back from a copy, or start once with --accept-damage, which moves them to \
             quarantine/ in the state directory, loses the exchanges listed here and keeps all others",
        n = files.len(), list = Listed(files))]
    Damaged {
        /// Which, and what each held.
        files: Vec<DamagedFile>,
    },
    /// Too little room; nothing was changed, and the call may be made again.
    #[error("the disk of {path} has {free_bytes} bytes free, fewer than the {need_bytes} that are kept free: make room, and it goes on by itself", path = path.display())]
    DiskFull {
        /// The state directory.
        path: PathBuf,
        /// Bytes free.
        free_bytes: u64,
        /// Bytes that have to be free.
        need_bytes: u64,
    },
    /// A write or an fsync failed, so nothing written since the last commit can be trusted.
    #[error("cannot {action} {path}: {source}; nothing after the last commit is trusted: put the disk right and start again", path = path.display())]
    Write {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database refused.
    #[error("the state database {path} failed: {source}; nothing after the last commit is trusted: put the disk right and start again", path = path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// An earlier error ended this spool.
    #[error("the spool stopped at an earlier error; start again")]
    Stopped,
}

impl StateError {
    /// True where nothing was changed and the same call may succeed later; after any other error the spool has to be opened anew.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }

    pub(crate) fn unusable(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Unusable { action, path, source }
    }

    pub(crate) fn write(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { action, path, source }
    }
}

/// The first few of a list that may have thousands.
struct Listed<'a>(&'a [DamagedFile]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 20;
        for (i, file) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{file}", if i == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

/// What an upload's failure means for the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Passes by itself: an outage, throttling, a broken connection.
    Transient,
    /// Passes when credentials are renewed.
    Credentials,
    /// Stays until a person changes the configuration or the destination.
    Permanent,
    /// As [`FaultKind::Permanent`], but about this one object; others may be stored meanwhile.
    Object,
}

/// What can go wrong at a destination. Every text says what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The bucket does not exist.
    #[error("bucket {bucket} does not exist at {place}: create it, or correct --to, the region or --s3-endpoint")]
    NoSuchBucket {
        /// The bucket.
        bucket: String,
        /// Endpoint or region.
        place: String,
    },
    /// The credentials are good, but may not do this.
    #[error("access to {target} at {place} is denied ({detail}): the role or user needs {needs} there")]
    AccessDenied {
        /// `s3://bucket/prefix`.
        target: String,
        /// Endpoint or region.
        place: String,
        /// The store's own words.
        detail: String,
        /// The permissions.
        needs: &'static str,
    },
    /// The bucket lives elsewhere.
    #[error("bucket {bucket} is not in {place}{hint}: set AWS_REGION or the profile's region to the bucket's")]
    WrongRegion {
        /// The bucket.
        bucket: String,
        /// Endpoint or region asked.
        place: String,
        /// ` but in <region>`, or empty.
        hint: String,
    },
    /// The store does not know the key, or the signature is wrong.
    #[error(
        "{place} refuses the credentials ({detail}): check the access key and secret, or the profile that they come from"
    )]
    WrongCredentials {
        /// Endpoint or region.
        place: String,
        /// The store's own words.
        detail: String,
    },
    /// The credentials were good once.
    #[error("the credentials for {place} have expired ({detail}): renew them; they are loaded again at the next try")]
    ExpiredCredentials {
        /// Endpoint or region.
        place: String,
        /// The store's own words.
        detail: String,
    },
    /// No credentials were found.
    #[error(
        "no usable credentials for {place} ({detail}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or give the machine a role"
    )]
    NoCredentials {
        /// Endpoint or region.
        place: String,
        /// The chain's own words.
        detail: String,
    },
    /// This machine's clock and the store's differ by too much.
    #[error("{place} says that this machine's clock is wrong ({detail}): set the clock (NTP)")]
    SkewedClock {
        /// Endpoint or region.
        place: String,
        /// The store's own words.
        detail: String,
    },
    /// No answer, or a broken one.
    #[error("cannot reach {place} ({detail}): check the endpoint, DNS, proxy and network")]
    Unreachable {
        /// Endpoint or region.
        place: String,
        /// Why.
        detail: String,
    },
    /// The store answered that it cannot now.
    #[error("{place} cannot take it now ({detail})")]
    Busy {
        /// Endpoint or region.
        place: String,
        /// The store's own words.
        detail: String,
        /// When the store wants to be asked again, where it said so.
        retry_after: Option<Duration>,
    },
    /// Anything else that the store refuses.
    #[error(
        "{place} refuses {target} ({detail}): check the options for the bucket (storage class, encryption key, checksums)"
    )]
    Refused {
        /// Endpoint or region.
        place: String,
        /// `s3://bucket/key`.
        target: String,
        /// The store's own words.
        detail: String,
    },
    /// Something else lies under the object's key.
    #[error(
        "{target} exists already and holds something else ({detail}): look at it and move it away; this object waits"
    )]
    Conflict {
        /// Path or `s3://bucket/key`.
        target: String,
        /// What differs.
        detail: String,
    },
    /// The spool file is not what was sealed.
    #[error("{0}; put it back from a copy, or start once with --accept-damage, which moves it to quarantine/")]
    Damaged(DamagedFile),
    /// A file operation in the destination or the spool failed.
    #[error("cannot {action} {path}: {source}; check the owner, the mode, the free space and the mount", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Bad options, found before anything is sent.
    #[error("{0}")]
    Config(String),
}

impl StoreError {
    /// Whether and how to try again.
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Unreachable { .. } | Self::Busy { .. } | Self::SkewedClock { .. } => FaultKind::Transient,
            Self::ExpiredCredentials { .. } | Self::NoCredentials { .. } | Self::WrongCredentials { .. } => {
                FaultKind::Credentials
            }
            Self::Conflict { .. } | Self::Damaged(_) => FaultKind::Object,
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotADirectory => {
                    FaultKind::Permanent
                }
                _ => FaultKind::Transient,
            },
            Self::NoSuchBucket { .. }
            | Self::AccessDenied { .. }
            | Self::WrongRegion { .. }
            | Self::Refused { .. }
            | Self::Config(_) => FaultKind::Permanent,
        }
    }

    /// When the store wants to be asked again, where it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
