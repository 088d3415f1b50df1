//! What else the objects hold whose pieces were joined: written again, unchanged and in order, an object for each.

use reassemble_formats::exchange::StoredLine;
use reassemble_store::BatchFile;

use super::journal::Journal;
use super::read::{BatchRead, Line};
use super::survey::Survey;
use super::{MergeError, Merger};
use crate::objects::Key;

impl Merger<'_> {
    /// Stores what is kept, and gives the objects that everything of is stored elsewhere.
    pub(super) fn keep_the_rest(&mut self, survey: &Survey, journal: &Journal) -> Result<Vec<String>, MergeError> {
        let mut replaced = Vec::new();
        for key in survey.sources() {
            let (Key::Batch { encoding, hash, .. }, Some((folder, name))) = (Key::parse(key), key.rsplit_once('/'))
            else {
                continue;
            };
            let path = journal.rest_file();
            let failed = |error| MergeError::state("write", &path)(error);
            let mut file = BatchFile::create(&path, encoding).map_err(failed)?;
            let (mut kept, mut joined) = (0, 0);
            let read = self.read_batch(key, &mut |line| {
                let is_joined = matches!(line, Line::Whole(line) if is_joined(line, survey));
                if is_joined {
                    joined += 1;
                    return Ok(());
                }
                kept += u64::from(line.bytes().ends_with(b"\n"));
                file.append(line.bytes()).map_err(|error| MergeError::state("write", &path)(error))
            })?;
            if !matches!(read, BatchRead::Whole { .. }) {
                return Err(MergeError::Changed { key: key.to_owned() });
            }
            if joined == 0 {
                continue;
            }
            if kept > 0 {
                // What the name begins with, its time, is as good for the rest.
                let begin = hash
                    .and_then(|hash| name.split_once(hash))
                    .map_or("rest", |(begin, _)| begin.trim_end_matches('-'));
                let object =
                    file.finish(folder, begin, kept).map_err(|error| MergeError::state("write", &path)(error))?;
                journal.note(&object.key)?;
                self.runtime.block_on(self.destination.put(&object))?;
                self.outcome.objects_written += 1;
            }
            replaced.push(key.to_owned());
        }
        Ok(replaced)
    }
}

fn is_joined(line: &[u8], survey: &Survey) -> bool {
    match StoredLine::parse(line) {
        Some(StoredLine { id, piece: Some(Ok(_)) }) => survey.joins(&id).is_some(),
        _ => false,
    }
}
