//! Captures what a service is asked and answers, as capture lines on its standard output.
//!
//! ```no_run
//! # #[cfg(feature = "tower")]
//! # fn app() -> Result<axum::Router, reassemble_emitter::BuildError> {
//! use reassemble_emitter::{CaptureLayer, Emitter};
//!
//! let emitter = Emitter::builder().service("shop").build()?;
//! let app = axum::Router::new().route("/", axum::routing::get(|| async { "hello" })).layer(CaptureLayer::new(emitter));
//! # Ok(app) }
//! ```
//!
//! - `CaptureLayer` (feature `tower`; `axum` adds the peer's address) captures what a server answers.
//! - `CaptureMiddleware` (feature `reqwest`) captures what a service asks of others.
//! - [`Emitter::begin`] captures anything else: queries, messages, jobs.
//!
//! # What holds
//!
//! - **The app never waits.** A request's own thread copies texts and small pieces of bodies into a queue that is bounded in bytes, and shares large pieces with it. A
//!   thread of the emitter's own does all else: it redacts, cuts lines and writes them. Where the queue is full, whole captures are dropped and counted; one that has begun ends
//!   with an error that says so, for which room was kept. An output that is closed, full or blocked costs captures, never requests.
//! - **Bodies are captured as they stream by**, never collected: frames, errors, trailers, size hints and back-pressure pass unchanged.
//! - **Secrets stay in**: listed headers, listed query parameters and userinfo are redacted before a line is made, and so are values under listed names in bodies of
//!   JSON and forms.
//! - **Lines can be signed** ([`Builder::signing_key`]), so that nobody who can make the app log a string can make a capture.
//! - **No line is spread over two writes**, and each has at most 4,096 bytes unless set otherwise, so that processes can share a pipe. Lines that are ready together
//!   share a write where that can't mix them with what others write: to a regular file, and within 4,096 bytes to a pipe.
//!
//! A process that forks without executing a new program must build a new [`Emitter`] in the child: the parent's captures nothing there.

mod batch;
mod capture;
mod config;
mod context;
mod emitter;
mod environment;
mod filter;
mod half;
#[cfg(feature = "_http")]
mod http;
mod identity;
mod limiter;
mod live;
mod message;
#[cfg(feature = "reqwest")]
mod outbound;
mod part;
mod queue;
mod sink;
mod writer;

#[cfg(feature = "_http")]
pub use crate::http::body::CaptureBody;
#[cfg(feature = "tower")]
pub use crate::http::layer::{CaptureFuture, CaptureLayer, CaptureService};
#[cfg(feature = "reqwest")]
pub use crate::outbound::CaptureMiddleware;
pub use crate::{
    capture::{Begin, Capture},
    config::{BuildError, Builder, Errors, Output, SampleBy},
    context::{CaptureContext, Scoped},
    emitter::{Counts, Emitter},
    identity::{CaptureId, TraceParent},
    message::CaptureStatus,
};
pub use reassemble_formats::{
    redact::Redactor,
    sign::{SecretError, SigningKey},
};

#[cfg(all(doctest, feature = "axum", feature = "reqwest"))]
#[doc = include_str!("../README.md")]
struct Readme;
