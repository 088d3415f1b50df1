//! A part's chunks in memory, by their numbers. Nearly all come in order, so those from 0 on stand in a row; what came before its turn waits
//! beside it.
//!
//! Invariant: a chunk stands in the row at the place of its number, or its number is above the row's length.

use std::collections::BTreeMap;

use reassemble_formats::Chunk;

/// Chunks by number.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Chunks {
    row: Vec<Chunk>,
    others: BTreeMap<u32, Chunk>,
}

impl Chunks {
    pub(crate) fn is_empty(&self) -> bool {
        self.row.is_empty() && self.others.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.row.len() + self.others.len()
    }

    /// How many stand in the row: chunks 0 to one below this are there.
    pub(crate) fn row_len(&self) -> u32 {
        // A chunk's number is a `u32`.
        self.row.len() as u32
    }

    pub(crate) fn get(&self, seq: u32) -> Option<&Chunk> {
        self.row.get(seq as usize).or_else(|| self.others.get(&seq))
    }

    pub(crate) fn get_mut(&mut self, seq: u32) -> Option<&mut Chunk> {
        match self.row.get_mut(seq as usize) {
            None => self.others.get_mut(&seq),
            found => found,
        }
    }

    pub(crate) fn contains(&self, seq: u32) -> bool {
        self.get(seq).is_some()
    }

    /// Adds a chunk whose number is not there yet.
    pub(crate) fn insert(&mut self, chunk: Chunk) {
        debug_assert!(!self.contains(chunk.seq), "chunk {} is there", chunk.seq);
        if chunk.seq != self.row_len() {
            self.others.insert(chunk.seq, chunk);
            return;
        }
        self.row.push(chunk);
        while let Some(next) = self.others.first_entry().filter(|next| *next.key() == self.row.len() as u32) {
            self.row.push(next.remove());
        }
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Chunk> {
        self.row.iter().chain(self.others.values())
    }

    /// Those below `end`, in order.
    pub(crate) fn iter_mut_to(&mut self, end: u32) -> impl DoubleEndedIterator<Item = &mut Chunk> {
        let row = self.row.len().min(end as usize);
        self.row[..row].iter_mut().chain(self.others.range_mut(..end).map(|(_, chunk)| chunk))
    }

    /// Splits those from `seq` on off.
    pub(crate) fn split_off(&mut self, seq: u32) -> Chunks {
        if seq == 0 {
            return std::mem::take(self);
        }
        let mut others = self.others.split_off(&seq);
        if seq < self.row_len() {
            others.extend(self.row.split_off(seq as usize).into_iter().map(|chunk| (chunk.seq, chunk)));
        }
        Chunks { row: Vec::new(), others }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reassemble_formats::Chunk;

    use super::*;

    fn chunk(seq: u32) -> Chunk {
        Chunk::from_line(format!(r#"{{"cap1":"a","part":"req","seq":{seq}}}"#).as_bytes()).unwrap()
    }

    proptest! {
        #[test]
        fn chunks_in_any_order_are_a_map_by_number(seqs in proptest::collection::hash_set(0u32..30, 0..30), end in 0u32..31) {
            let mut chunks = Chunks::default();
            let mut model = BTreeMap::new();
            for seq in seqs {
                chunks.insert(chunk(seq));
                model.insert(seq, chunk(seq));
                prop_assert!(chunks.iter().eq(model.values()));
                prop_assert!((0..chunks.row_len()).all(|seq| model.contains_key(&seq)));
                prop_assert!(!model.contains_key(&chunks.row_len()));
            }
            prop_assert!(chunks.iter_mut_to(end).map(|chunk| chunk.seq).eq(model.range(..end).map(|(seq, _)| *seq)));
            let split = chunks.split_off(end);
            let model_split = model.split_off(&end);
            for (chunks, model) in [(&chunks, &model), (&split, &model_split)] {
                prop_assert!(chunks.iter().eq(model.values()));
                prop_assert_eq!((chunks.len(), chunks.is_empty()), (model.len(), model.is_empty()));
                prop_assert!((0..32).all(|seq| chunks.get(seq) == model.get(&seq)));
            }
        }
    }
}
