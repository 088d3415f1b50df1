//! Capture lines, envelopes and stored exchanges: everything that is written and read, and nothing that does I/O.
//!
//! No file, clock, environment or socket is touched here; the specification is `formats/spec/`. With the feature `read` (on by
//! default) comes what a reader needs; emitters leave it out and keep [`write`], [`sign`] and [`redact`].

#[cfg(feature = "read")]
mod decode;
#[cfg(feature = "read")]
mod envelope;
#[cfg(feature = "read")]
pub mod exchange;
#[cfg(feature = "read")]
pub mod head;
#[cfg(feature = "read")]
mod id;
#[cfg(feature = "read")]
mod json;
pub mod layout;
#[cfg(feature = "read")]
mod piece;
#[cfg(feature = "read")]
mod record;
pub mod redact;
#[cfg(feature = "read")]
mod scan;
pub mod sign;
#[cfg(feature = "read")]
mod sum;
#[cfg(feature = "read")]
pub mod timestamp;
pub mod write;

#[cfg(feature = "read")]
pub use crate::{
    envelope::{Envelope, EnvelopeReader},
    id::{CaptureId, MAX_ID_BYTES},
    piece::{Piece, Spelling},
    record::{BadReason, Chunk, MAX_SEQ, Meta, Part, Record, RecordSink, Section},
    scan::{MAX_NESTING, scan_line},
    sum::Sum,
};
