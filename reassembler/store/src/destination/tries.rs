//! Trying again what failed by itself, for whoever waits for the answer: a few times, and then it fails.

use std::time::Duration;

use crate::error::{FaultKind, StoreError};

/// How often something is tried beyond the SDK's own tries.
const TRIES: u32 = 5;
/// The wait before the second try; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// How often something failed in a row.
#[derive(Debug, Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Waits before the next try, or gives the error back where there is to be none.
    pub(super) async fn again(&mut self, error: StoreError) -> Result<(), StoreError> {
        self.0 += 1;
        if self.0 >= TRIES || error.kind() != FaultKind::Transient {
            return Err(error);
        }
        tracing::debug!(%error, "a request failed and is tried again");
        tokio::time::sleep(FIRST_WAIT * 2u32.pow(self.0 - 1)).await;
        Ok(())
    }
}
