//! A body that is captured as it passes.
//!
//! Invariant: frames, errors, size hints and the end are the inner body's, in its order and at its pace.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{content_length, grpc_status};
use crate::{
    context::{CaptureContext, within},
    half::Half,
    message::Headers,
};

pin_project! {
    /// A request's or response's body on its way through a capture. It yields the inner body's frames, as [`Bytes`].
    #[derive(Debug)]
    pub struct CaptureBody<B> {
        #[pin]
        inner: B,
        half: Option<Half>,
        context: Option<CaptureContext>,
    }
}

impl<B: Body> CaptureBody<B> {
    /// A body that passes by uncaptured.
    pub(crate) fn plain(inner: B, context: Option<CaptureContext>) -> CaptureBody<B> {
        CaptureBody { inner, half: None, context }
    }

    /// A body whose half ends with it. Its headers may declare its length.
    pub(crate) fn captured(
        inner: B,
        mut half: Half,
        headers: &HeaderMap,
        context: Option<CaptureContext>,
    ) -> CaptureBody<B> {
        half.expect(inner.size_hint().exact().or_else(|| content_length(headers)));
        if inner.is_end_stream() {
            half.end(Headers::None);
        }
        CaptureBody { inner, half: Some(half), context }
    }

    /// A body of a message that has none on the wire, whatever its headers declare.
    pub(crate) fn bodyless(inner: B, mut half: Half, context: Option<CaptureContext>) -> CaptureBody<B> {
        half.end(Headers::None);
        CaptureBody::plain(inner, context)
    }
}

impl<B> Body for CaptureBody<B>
where
    B: Body,
    B::Error: std::fmt::Display,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let polled = within(this.context.as_ref(), || this.inner.as_mut().poll_frame(cx));
        // A frame that already is `Bytes` is shared, not copied.
        let frame = ready!(polled)
            .map(|frame| frame.map(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))));
        let Some(half) = this.half.as_mut().filter(|half| half.is_open()) else { return Poll::Ready(frame) };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    half.body(data);
                    if this.inner.is_end_stream() {
                        half.end(Headers::None);
                    }
                } else if let Some(trailers) = frame.trailers_ref() {
                    end_with(half, trailers);
                }
            }
            Some(Err(error)) => half.fail(&error.to_string()),
            None => half.end(Headers::None),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn end_with(half: &mut Half, trailers: &HeaderMap) {
    if let Some(status) = grpc_status(trailers) {
        half.end_status(status);
    }
    half.end(Headers::Map(trailers));
}

impl<B: Body + Default> Default for CaptureBody<B> {
    fn default() -> Self {
        CaptureBody::plain(B::default(), None)
    }
}
