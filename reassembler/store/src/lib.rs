//! Where exchanges go: a durable spool on the local disk, and from there a directory or an S3 bucket.
//!
//! ```text
//! append ─► open batches ─► roll ─► sealed objects ─► commit ─► upload ─► mark_stored ─► commit
//!           (blocks in spool files,  (final key: a hash of      (Destination)           (row and file go)
//!            the rest in the state)   the stored bytes)
//! ```
//!
//! Invariants:
//! - What a [`Spool::commit`] returned for survives a crash; what came after the last one is as if it had never been.
//! - An object is uploaded only after the commit that sealed it, and forgotten only after its store has answered. Its key holds
//!   the hash of its bytes, so doing it again writes the same object.
//! - Memory and descriptors are bounded by [`SpoolConfig`], however many partitions, exchanges or sealed objects there are.
//!
//! The spool is blocking and belongs to one thread; destinations, the uploader and `lifecycle::apply` are async. AWS stops here,
//! but for inputs that are AWS's, which call it through [`aws`].

pub mod aws;
mod batch_file;
mod checksum;
mod destination;
mod error;
pub mod lifecycle;
mod object;
mod spool;
mod upload;

pub use aws::trust_only;
pub use batch_file::BatchFile;
pub use checksum::ContentHash;
pub use destination::{
    CheckReport, Destination, DirConfig, DirStore, Doing, KmsKey, ListedObject, Listing, ObjectBody, PutOutcome,
    S3Config, S3Store,
};
pub use error::{Damage, DamagedFile, FaultKind, StateError, StoreError};
pub use object::{BodyRef, ObjectKind, SealedObject};
pub use spool::{
    BodyWriter, Changes, Compression, KnownId, OpenRows, Restored, Spool, SpoolConfig, StateReader, is_opening_state,
};
pub use upload::{SealedQueue, UploadConfig, UploadEvent, Uploader};
