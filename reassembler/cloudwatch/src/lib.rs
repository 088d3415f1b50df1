//! CloudWatch Logs as an input: log groups are followed, or read back from one time to another.
//!
//! - [`LogsClient`] speaks to the service: the two calls that reading needs, signed, with errors by what they mean;
//! - [`Poller`] reads many groups in turns and hands on what is new of them, each page with the position from which a restart goes on.
//!
//! Invariants:
//! - Within one life an event is delivered once, as far as ids can be kept ([`PollerConfig::ids_kept`]); what is beyond is delivered
//!   again, and what stands above drops chunks that it has.
//! - What was delivered up to a page is covered by that page's position: a restart from it needs nothing of that again. What came after
//!   is delivered again, and perhaps some of what came before.
//! - An event is missed only where it becomes visible later than [`PollerConfig::overlap`] after its time. Where events come later than
//!   that, a warning says so.
//! - Nothing that the service says sizes memory: answers, remembered ids and groups are bounded.

mod client;
mod error;
mod pace;
mod poller;
mod position;
mod seen;
mod window;

pub use client::{ClientConfig, Event, EventPage, EventQuery, GroupPage, LogsClient};
pub use error::{Fault, LogsError};
pub use poller::{Ended, Page, Poller, PollerConfig};
pub use position::group_of;

/// This machine's time, in milliseconds since the epoch.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
