//! One half of a capture, request or response, on the side of the app: counts and cuts what passes, and makes sure that the half ends.
//!
//! Invariants: a half that has begun is ended exactly once, on drop at the latest; once a piece was left out, none follows it.

use std::sync::Arc;

use bytes::Bytes;
use reassemble_formats::write::MAX_ERROR_BYTES;

#[cfg(feature = "_http")]
use crate::http::content_type;
use crate::{
    live::{CLOSING_BYTES, Live},
    message::{CaptureStatus, HalfTag, Headers, PartEnd, ResponseStart, Step},
};

/// Pieces up to this size are copied: a shared one would keep its whole buffer, often many times larger, alive in the queue.
const COPIED_BYTES: usize = 4096;

/// Why a body is no longer captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// The body limit, or a content type that is left out.
    Setting,
    /// The queue was full.
    Queue,
}

/// One half of a capture. Without a [`Live`] it does nothing.
#[derive(Debug)]
pub(crate) struct Half {
    live: Option<Arc<Live>>,
    tag: HalfTag,
    begun: bool,
    /// Bytes of the body that passed, and that were captured.
    seen: u64,
    taken: u64,
    expected: Option<u64>,
    cut: Option<Cut>,
    status: Option<CaptureStatus>,
    /// What is said where the half is dropped before its end: the first while nothing has passed.
    dropped: [&'static str; 2],
}

impl Half {
    /// The request's half, which has begun with the capture.
    pub(crate) fn request(live: Arc<Live>) -> Half {
        Half::new(live, HalfTag::Request, true, ["body not read", "body not read to its end"])
    }

    /// The response's half, which begins with [`Half::respond`].
    pub(crate) fn response(live: Arc<Live>) -> Half {
        Half::new(live, HalfTag::Response, false, ["cancelled", "body dropped before its end"])
    }

    fn new(live: Arc<Live>, tag: HalfTag, begun: bool, dropped: [&'static str; 2]) -> Half {
        Half { live: Some(live), tag, begun, seen: 0, taken: 0, expected: None, cut: None, status: None, dropped }
    }

    /// Begins the response. Where the queue has no room for its headers it begins without them, and its body is left out.
    pub(crate) fn respond(&mut self, status: Option<&CaptureStatus>, headers: Headers<'_>) {
        self.begin_response(status, headers, false);
    }

    fn begin_response(&mut self, status: Option<&CaptureStatus>, headers: Headers<'_>, failed: bool) {
        let Some(live) = &self.live else { return };
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        self.dropped[0] = self.dropped[1];
        let us = live.elapsed_us();
        let ts_us = live.ts_us.saturating_add_unsigned(us);
        let mut start = ResponseStart { ts_us, us: Some(us), status, headers };
        if live.respond(&start, failed).is_err() {
            start.headers = Headers::None;
            live.push_reserved(Step::Respond(&start));
            self.cut = Some(Cut::Queue);
        }
    }

    /// How long the body will be, where that is known: a half that is dropped after so many bytes is whole.
    #[cfg(feature = "_http")]
    pub(crate) fn expect(&mut self, len: Option<u64>) {
        self.expected = len;
    }

    /// Leaves the body out where bodies of its content type are; its length is still counted.
    #[cfg(feature = "_http")]
    pub(crate) fn filter_body(&mut self, headers: &http::HeaderMap) {
        if let Some(live) = &self.live
            && !live.shared.settings.body_types.is_open()
            && !live.shared.settings.body_types.lets_content_type(content_type(headers))
        {
            self.cut.get_or_insert(Cut::Setting);
        }
    }

    /// Sets the status that only the end tells.
    #[cfg(feature = "_http")]
    pub(crate) fn end_status(&mut self, status: CaptureStatus) {
        self.status = Some(status);
    }

    /// Takes the next piece of the body.
    pub(crate) fn body(&mut self, bytes: &Bytes) {
        self.take(bytes, |kept| bytes.slice(..kept));
    }

    /// Takes a whole body that stays with its owner: what is captured of it is copied.
    #[cfg(feature = "reqwest")]
    pub(crate) fn body_slice(&mut self, bytes: &[u8]) {
        self.take(bytes, |kept| Bytes::copy_from_slice(&bytes[..kept]));
    }

    /// Takes a piece; `share` gives as many bytes of its start as are too many to copy.
    fn take(&mut self, bytes: &[u8], share: impl FnOnce(usize) -> Bytes) {
        let Some(live) = &self.live else { return };
        self.seen += bytes.len() as u64;
        if bytes.is_empty() || self.cut.is_some() {
            return;
        }
        let room = usize::try_from(live.body_limit().saturating_sub(self.taken)).unwrap_or(usize::MAX);
        let kept = room.min(bytes.len());
        if kept < bytes.len() {
            self.cut = Some(Cut::Setting);
        }
        if kept == 0 {
            return;
        }
        let step = match kept <= COPIED_BYTES {
            true => Step::Copied(self.tag, &bytes[..kept]),
            false => Step::Shared(self.tag, share(kept)),
        };
        match live.push(step) {
            Ok(()) => self.taken += kept as u64,
            Err(_) => self.cut = Some(Cut::Queue),
        }
    }

    /// Whether all that was expected has passed.
    pub(crate) fn is_whole(&self) -> bool {
        self.expected == Some(self.seen)
    }

    /// Whether [`Half::end`] is still to come.
    #[cfg(feature = "_http")]
    pub(crate) fn is_open(&self) -> bool {
        self.live.is_some()
    }

    /// Ends the half, with trailers where there were any.
    pub(crate) fn end(&mut self, trailers: Headers<'_>) {
        self.close("", trailers, Some(self.seen));
    }

    /// Ends the half before its time.
    pub(crate) fn fail(&mut self, error: &str) {
        self.close(error, Headers::None, self.expected);
    }

    fn close(&mut self, error: &str, trailers: Headers<'_>, full_len: Option<u64>) {
        if !self.begun {
            self.begin_response(None, Headers::None, true);
        }
        let Some(live) = self.live.take() else { return };
        let left_out = match self.cut {
            Some(Cut::Queue) => true,
            Some(Cut::Setting) => self.seen > self.taken,
            None => false,
        };
        let truncated = !error.is_empty() || left_out;
        let status = self.status.take();
        let mut end = PartEnd {
            us: Some(live.elapsed_us()),
            status: status.as_ref(),
            trailers,
            error: if self.cut == Some(Cut::Queue) { "queue" } else { error },
            truncated,
            full_len: full_len.filter(|_| truncated),
        };
        if end.trailers.cost() + end.error.len() <= CLOSING_BYTES / 4 {
            live.push_reserved(Step::End(self.tag, &end));
            return;
        }
        end.error = &end.error[..end.error.floor_char_boundary(MAX_ERROR_BYTES)];
        if live.push(Step::End(self.tag, &end)).is_err() {
            let end = PartEnd { trailers: Headers::None, error: "queue", truncated: true, full_len, ..end };
            live.push_reserved(Step::End(self.tag, &end));
        }
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        if self.live.is_none() {
            return;
        }
        if self.begun && self.is_whole() {
            self.end(Headers::None);
        } else {
            let error = self.dropped[usize::from(self.seen > 0)];
            self.fail(error);
        }
    }
}
