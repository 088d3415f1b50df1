//! The capture within which code runs, so that what it calls knows its cause.
//!
//! The context is set for the time of each poll of a request's future and bodies, by thread; it needs no runtime. A task that is spawned starts
//! without one: wrap its future in [`CaptureContext::scope`].

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::identity::{CaptureId, TraceParent};

thread_local! {
    static CURRENT: RefCell<Option<CaptureContext>> = const { RefCell::new(None) };
}

/// The inbound request within which code runs. `CaptureLayer` puts it into the request's extensions too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureContext {
    id: Option<CaptureId>,
    trace: TraceParent,
}

impl CaptureContext {
    #[cfg(any(feature = "tower", test))]
    pub(crate) fn new(id: Option<CaptureId>, trace: TraceParent) -> CaptureContext {
        CaptureContext { id, trace }
    }

    /// The context of the code that asks.
    pub fn current() -> Option<CaptureContext> {
        CURRENT.with(|current| current.borrow().clone())
    }

    /// The capture's id; `None` where this request is not captured.
    pub fn id(&self) -> Option<CaptureId> {
        self.id
    }

    /// The trace as received, or as made where none came.
    pub fn trace(&self) -> &TraceParent {
        &self.trace
    }

    /// Runs a future, a spawned task's for one, within this context.
    pub fn scope<F: Future>(self, future: F) -> Scoped<F> {
        Scoped { future, context: Some(self) }
    }
}

/// Sets the context while `work` runs, and the one before it again afterwards, even when `work` panics.
pub(crate) fn within<R>(context: Option<&CaptureContext>, work: impl FnOnce() -> R) -> R {
    struct Restore(Option<CaptureContext>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let before = self.0.take();
            CURRENT.with(|current| *current.borrow_mut() = before);
        }
    }
    let Some(context) = context else { return work() };
    let _restore = Restore(CURRENT.with(|current| current.borrow_mut().replace(context.clone())));
    work()
}

pin_project! {
    /// A future that runs within a [`CaptureContext`].
    #[derive(Debug)]
    pub struct Scoped<F> {
        #[pin]
        future: F,
        context: Option<CaptureContext>,
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        within(this.context.as_ref(), || this.future.poll(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_nest_and_are_restored() {
        let context = |byte| CaptureContext::new(None, TraceParent::new(&[byte; 24]));
        let (outer, inner) = (context(1), context(2));
        within(Some(&outer), || {
            let panicked = std::panic::catch_unwind(|| within(Some(&inner), || panic!("handler")));
            assert!(panicked.is_err());
            assert_eq!(CaptureContext::current(), Some(outer.clone()));
        });
        assert_eq!(CaptureContext::current(), None);
    }
}
