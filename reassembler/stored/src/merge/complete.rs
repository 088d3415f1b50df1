//! Where complete exchanges lie whose captures have pieces too, or that are stored more than once.
//!
//! A piece with the request's head lies under its capture's service and hour, and so does the complete exchange, of whatever class; all batches there
//! are read. A piece without one does not tell where the complete exchange is: where there is any, the batches of all services and hours
//! are read. Of a folder the keys are held, and while what is stored twice is looked for, 16 bytes for each exchange of it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use reassemble_formats::exchange::StoredLine;
use reassemble_formats::layout::Partition;

use super::read::Line;
use super::survey::{Survey, length};
use super::{MergeError, Merger};
use crate::objects::Key;

/// A batch that is looked at: its key, and its number where the survey knows it.
type Batch = (Option<u32>, String);

/// What is looked for.
struct Search {
    /// Whether what is stored twice is, too.
    repeated: bool,
    /// The services and hours of pieces; nothing where these do not tell them.
    hours: Option<HashSet<Partition>>,
    /// Batches of one folder.
    folder: Vec<Batch>,
}

impl Search {
    /// Whether a piece's complete exchange can lie here.
    fn is_of_a_piece(&self, place: &Partition, survey: &Survey) -> bool {
        self.hours.as_ref().is_none_or(|hours| hours.contains(&place.in_class(survey.class)))
    }
}

impl Merger<'_> {
    /// Counts complete exchanges: of the objects that the survey knows, and unless these are a plan's, of those of the other classes.
    pub(super) fn look_for_complete(
        &mut self,
        survey: &mut Survey,
        is_planned: bool,
        repeated: bool,
    ) -> Result<(), MergeError> {
        let mut search = Search { repeated, hours: survey.hours(), folder: Vec::new() };
        for (object, key) in survey.with_complete() {
            self.gather(survey, &mut search, (Some(object), key))?;
        }
        self.look_at(survey, &mut search)?;
        if is_planned {
            return Ok(());
        }
        let mut listing = self.destination.list();
        while let Some(page) = self.runtime.block_on(listing.next_page())? {
            for object in page {
                let Key::Batch { place, .. } = Key::parse(&object.key) else { continue };
                if place.class() == survey.class || !(repeated || search.is_of_a_piece(&place, survey)) {
                    continue;
                }
                if self.config.complete_since_ms.is_some_and(|since_ms| place.ends_ms() <= since_ms) {
                    self.outcome.objects_too_old += 1;
                    continue;
                }
                self.gather(survey, &mut search, (None, object.key))?;
            }
        }
        self.look_at(survey, &mut search)
    }

    /// Adds to the batches of a folder; where one of another folder comes, those that were gathered are looked at.
    fn gather(&mut self, survey: &mut Survey, search: &mut Search, batch: Batch) -> Result<(), MergeError> {
        let is_same = |last: &Batch| match (last.1.rsplit_once('/'), batch.1.rsplit_once('/')) {
            (Some((last, _)), Some((this, _))) => last == this,
            _ => false,
        };
        if !search.folder.last().is_some_and(is_same) {
            self.look_at(survey, search)?;
        }
        search.folder.push(batch);
        Ok(())
    }

    /// Reads the batches of one folder.
    fn look_at(&mut self, survey: &mut Survey, search: &mut Search) -> Result<(), MergeError> {
        let mut folder = std::mem::take(&mut search.folder);
        let repeated = search.repeated && folder.len() > 1;
        // The first of each capture of which no piece is known: its batch, and the length of its line.
        let mut firsts: HashMap<u64, (usize, u32)> = HashMap::new();
        for at in 0..folder.len() {
            let (object, key) = &folder[at];
            let can_matter = repeated
                || object.is_some()
                || matches!(Key::parse(key), Key::Batch { place, .. } if search.is_of_a_piece(&place, survey));
            if !can_matter {
                continue;
            }
            let mut found = Vec::new();
            let read = self.read_batch(key, &mut |line| {
                if let Line::Whole(line) = line
                    && let Some((id, true)) = StoredLine::glance(line)
                {
                    let capture = survey.hash(&id);
                    if repeated || survey.has(capture) {
                        found.push((capture, length(line)));
                    }
                }
                Ok(())
            })?;
            if !self.has_read(key, &read) {
                continue;
            }
            for (capture, line_bytes) in found {
                if !survey.has(capture) {
                    let (first, first_bytes) = match firsts.entry(capture) {
                        Entry::Occupied(first) => first.remove(),
                        Entry::Vacant(none) => {
                            none.insert((at, line_bytes));
                            continue;
                        }
                    };
                    let object = number(survey, &mut folder[first]);
                    survey.count_complete(object, capture, first_bytes);
                }
                let object = number(survey, &mut folder[at]);
                survey.count_complete(object, capture, line_bytes);
            }
        }
        Ok(())
    }
}

/// The number of a batch, by which the survey knows it from now on.
fn number(survey: &mut Survey, (object, key): &mut Batch) -> u32 {
    *object.get_or_insert_with(|| survey.add_key(key.clone()))
}
