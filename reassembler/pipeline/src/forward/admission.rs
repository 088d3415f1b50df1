//! Which captures are taken and which are shed, decided at a capture's first line and kept to for all of it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use reassemble_formats::CaptureId;

use crate::store_thread::StoreGauges;

/// Fill of the queue above which nothing new is admitted: the other half is kept for what was.
pub(super) const NEW_UNTIL: f64 = 0.5;
/// How many ids are remembered of either kind; between one and two times as many.
const REMEMBERED: usize = 32_768;

/// What [`Admission::ask`] says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The record goes to the core.
    Take,
    /// It is shed; `first`: with it, its capture.
    Shed { first: bool },
}

/// Shared by the forwarders of one run.
#[derive(Debug)]
pub(crate) struct Admission {
    gauges: Arc<StoreGauges>,
    closed: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    admitted: Recent,
    shed: Recent,
}

impl Admission {
    pub(crate) fn new(gauges: Arc<StoreGauges>) -> Self {
        Admission { gauges, closed: AtomicBool::new(false), known: Mutex::default() }
    }

    /// Nothing is taken any more: the core has gone.
    pub(crate) fn close(&self) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            tracing::error!("captures are shed from here on: the part that stores them has ended");
        }
    }

    /// Whether storing has come to its limit, so that waiting for it is of no use.
    pub(super) fn is_full(&self) -> bool {
        self.gauges.spool_full.load(Ordering::Relaxed) || self.closed.load(Ordering::Relaxed)
    }

    /// Whether a record of this capture is taken, with the queue this full.
    pub(crate) fn ask(&self, id: &CaptureId, fill: f64) -> Answer {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.shed.contains(id) {
            return Answer::Shed { first: false };
        }
        let limit = if known.admitted.contains(id) {
            1.0
        } else if self.gauges.spool_full.load(Ordering::Relaxed) {
            0.0
        } else {
            NEW_UNTIL
        };
        if fill >= limit || self.closed.load(Ordering::Relaxed) {
            known.shed.insert(id);
            return Answer::Shed { first: true };
        }
        known.admitted.insert(id);
        Answer::Take
    }
}

/// The latest ids, within a bound: two generations, of which the older is forgotten when the newer is full.
#[derive(Debug, Default)]
struct Recent {
    newer: HashSet<CaptureId>,
    older: HashSet<CaptureId>,
}

impl Recent {
    fn contains(&self, id: &CaptureId) -> bool {
        self.newer.contains(id) || self.older.contains(id)
    }

    fn insert(&mut self, id: &CaptureId) {
        if self.newer.len() >= REMEMBERED {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(id.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CaptureId {
        CaptureId::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn captures_are_taken_or_shed_whole() {
        let gauges = Arc::new(StoreGauges::default());
        let admission = Admission::new(gauges.clone());
        assert_eq!(admission.ask(&id("a"), 0.4), Answer::Take);
        assert_eq!(admission.ask(&id("b"), 0.6), Answer::Shed { first: true });
        assert_eq!(admission.ask(&id("a"), 0.9), Answer::Take);
        assert_eq!(admission.ask(&id("b"), 0.0), Answer::Shed { first: false });
        gauges.spool_full.store(true, Ordering::Relaxed);
        assert_eq!(admission.ask(&id("a"), 0.0), Answer::Take);
        assert_eq!(admission.ask(&id("c"), 0.0), Answer::Shed { first: true });
        assert_eq!(admission.ask(&id("a"), 1.0), Answer::Shed { first: true });
        gauges.spool_full.store(false, Ordering::Relaxed);
        assert_eq!(admission.ask(&id("d"), 0.0), Answer::Take);
        admission.close();
        assert_eq!(admission.ask(&id("d"), 0.0), Answer::Shed { first: true });
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut recent = Recent::default();
        for number in 0..3 * REMEMBERED {
            recent.insert(&id(&number.to_string()));
        }
        assert!(recent.newer.len() + recent.older.len() <= 2 * REMEMBERED);
        assert!(recent.contains(&id(&(3 * REMEMBERED - 1).to_string())));
    }
}
