//! What else the objects hold of which something goes: written again, unchanged and in order, an object for each.

use std::collections::HashSet;

use reassemble_store::BatchFile;

use super::journal::Journal;
use super::read::{BatchRead, Line};
use super::survey::Survey;
use super::{MergeError, Merger};
use crate::objects::Key;

impl Merger<'_> {
    /// Stores what is kept, and gives the objects that everything of is stored elsewhere.
    pub(super) fn keep_the_rest(&mut self, survey: &Survey, journal: &Journal) -> Result<Vec<String>, MergeError> {
        let (mut replaced, has_repeated) = (Vec::new(), survey.has_repeated());
        for (object, key) in survey.sources() {
            if !survey.is_of_pieces(object) && !has_repeated {
                continue;
            }
            let (Key::Batch { encoding, hash, .. }, Some((folder, name))) = (Key::parse(key), key.rsplit_once('/'))
            else {
                continue;
            };
            let path = journal.rest_file();
            let failed = |error| MergeError::state("write", &path)(error);
            let mut file = BatchFile::create(&path, encoding).map_err(failed)?;
            let (mut kept, mut gone, mut kept_for_others) = (0, 0, HashSet::new());
            let read = self.read_batch(key, &mut |line| {
                if matches!(line, Line::Whole(line) if survey.goes(object, line, &mut kept_for_others)) {
                    gone += 1;
                    return Ok(());
                }
                kept += u64::from(line.bytes().ends_with(b"\n"));
                file.append(line.bytes()).map_err(failed)
            })?;
            if !matches!(read, BatchRead::Whole { .. }) {
                return Err(MergeError::Changed { key: key.to_owned() });
            }
            if gone == 0 {
                continue;
            }
            if kept > 0 {
                // What the name begins with, its time, is as good for the rest.
                let begin = hash
                    .and_then(|hash| name.split_once(hash))
                    .map_or("rest", |(begin, _)| begin.trim_end_matches('-'));
                let rest = file.finish(folder, begin, kept).map_err(failed)?;
                journal.note(&rest.key)?;
                self.runtime.block_on(self.destination.put(&rest))?;
                self.outcome.objects_written += 1;
            }
            replaced.push(key.to_owned());
        }
        Ok(replaced)
    }
}
