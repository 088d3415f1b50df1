//! What the fuzz targets check: each target is one call of a function here, and the function panics where something does not hold.
//!
//! - [`codec`]: bytes as one record, judged by the decoder and by [`judge`], which knows the specification and serde_json alone.
//! - [`writer`]: captures as an emitter writes them, in every envelope, read back; cut, nothing but themselves is found.
//! - [`envelopes`]: bytes as a log, read at once, in blocks and over restarts.
//! - [`assembler`]: chunks in any order, with time-outs and restarts, against a model.

mod assembler;
mod codec;
mod envelopes;
mod found;
mod judge;
mod writer;

pub use crate::{
    assembler::{Step, assembler},
    codec::codec,
    envelopes::envelopes,
    writer::{Written, writer},
};
