//! The spool, and the patience of the one who writes to it: what a full disk refuses is tried again until there is room. Meanwhile the queue
//! before it fills, and reading stops by itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reassemble_store::{Spool, StateError};

use crate::run::StatusBoard;
use crate::store_thread::StoreGauges;

/// How often a full disk is looked at again.
const DISK_RETRY: Duration = Duration::from_millis(250);

/// A spool that is waited for.
pub(crate) struct PatientSpool {
    pub(crate) spool: Spool,
    pub(crate) gauges: Arc<StoreGauges>,
    pub(crate) board: Arc<StatusBoard>,
}

impl PatientSpool {
    /// Does what a full disk may refuse, again and again until there is room or somebody says stop.
    pub(crate) fn patiently<T>(
        &mut self,
        mut act: impl FnMut(&mut Spool) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut told = false;
        loop {
            match act(&mut self.spool) {
                Err(error) if error.is_retryable() && !self.gauges.hurry.load(Ordering::Relaxed) => {
                    if !told {
                        tracing::error!("{error}");
                        self.board.update(|status| status.destination_failing = Some(error.to_string()));
                        told = true;
                    }
                    std::thread::sleep(DISK_RETRY);
                }
                result => {
                    if told && result.is_ok() {
                        tracing::info!("the disk has room again");
                        self.board.update(|status| status.destination_failing = None);
                    }
                    return result;
                }
            }
        }
    }
}
