//! Commits: what is of one instant is gathered by the spool's thread, and made durable beside it ([`committer`](super::committer)).
//!
//! Between the two lines may be appended, blocks written and batches sealed; they belong to the next commit, for the rows of this one say up
//! to which length each file counts.

use std::path::PathBuf;

use super::{Changes, Spool};
use crate::error::StateError;
use crate::object::SealedObject;

/// What follows from a commit once it is durable.
pub(super) struct Committing {
    /// Objects that may be uploaded.
    sealed: Vec<SealedObject>,
    /// Files that no row names any more, with their lengths.
    stored: Vec<(PathBuf, u64)>,
}

impl Spool {
    /// Makes everything so far durable in one instant, and returns the objects that may now be uploaded. Does nothing where nothing
    /// has changed.
    ///
    /// # Errors
    /// On [`StateError::DiskFull`] nothing was committed; call again with the same changes.
    pub fn commit(&mut self, changes: &Changes) -> Result<Vec<SealedObject>, StateError> {
        self.begin_commit(changes, || ())?;
        self.end_commit()
    }

    /// Begins a commit of everything so far; what is done from here on belongs to the next. `ended` is called, on another thread, when
    /// [`end_commit`](Self::end_commit) need not wait any more; not where there was nothing to commit. A commit that is under way
    /// is waited for, and its objects are returned with this one's.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn begin_commit(&mut self, changes: &Changes, ended: impl FnOnce() + Send + 'static) -> Result<(), StateError> {
        let sealed = self.end_commit()?;
        self.sealed.splice(..0, sealed);
        self.guarded(|spool| {
            let changed = spool.batches.values().any(|batch| batch.changed);
            let mut stored = Vec::new();
            if !changes.is_empty() || changed || spool.state.has_changes() {
                // A commit needs less room than a block, and may be what makes room.
                spool.files.disk.check_free(2)?;
                spool.put_changes(changes)?;
                spool.put_batches()?;
                let files = spool.files.take_touched();
                spool.state.begin_commit(spool.counters, files, Box::new(ended))?;
                stored.append(&mut spool.stored);
            }
            spool.committing = Some(Committing { sealed: std::mem::take(&mut spool.sealed), stored });
            Ok(())
        })
    }

    /// Whether [`end_commit`](Self::end_commit) would not have to wait.
    pub fn commit_has_ended(&mut self) -> bool {
        self.state.commit_has_ended()
    }

    /// Waits for the commit under way, where there is one, and returns the objects that may now be uploaded.
    ///
    /// # Errors
    /// Where it could not be made durable. It cannot be tried again.
    pub fn end_commit(&mut self) -> Result<Vec<SealedObject>, StateError> {
        self.guarded(|spool| {
            spool.state.await_commit()?;
            let Some(Committing { sealed, stored }) = spool.committing.take() else { return Ok(Vec::new()) };
            for (path, bytes) in stored {
                spool.spool_bytes = spool.spool_bytes.saturating_sub(bytes);
                if let Err(error) = std::fs::remove_file(&path) {
                    // No row names it any more, so the next start sweeps it.
                    tracing::warn!(path = %path.display(), %error, "cannot remove a spool file that is stored");
                }
            }
            Ok(sealed)
        })
    }

    /// Comes before the blocks are waited for: compressors work meanwhile.
    fn put_changes(&mut self, changes: &Changes) -> Result<(), StateError> {
        if !changes.inputs.is_empty() {
            self.state.put_inputs(&changes.inputs)?;
        }
        if !changes.open.is_empty() {
            self.state.put_open(&changes.open)?;
        }
        if !changes.seen.is_empty() {
            self.state.put_seen(&changes.seen, self.config.seen_per_generation)?;
        }
        if !changes.ledger.is_empty() {
            self.state.put_ledger(&changes.ledger)?;
        }
        Ok(())
    }

    /// Writes what is under way to the files, the rest of the lines to the database, and the rows of the batches.
    fn put_batches(&mut self) -> Result<(), StateError> {
        match self.settle().and_then(|()| self.write_plain()).and_then(|()| self.land(0)) {
            // The lines go to the database as they are.
            Err(error) if error.is_retryable() => self.put_back()?,
            other => other?,
        }
        let mut rows = Vec::new();
        for batch in self.batches.values_mut().filter(|batch| batch.changed) {
            batch.save(&mut self.state)?;
            rows.push((batch.file_no, batch.to_row()));
            batch.changed = false;
        }
        self.state.put_batches(&rows)
    }
}
