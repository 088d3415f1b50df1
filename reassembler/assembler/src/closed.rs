//! What is remembered of a closed capture, so that its late chunks are known: repeats open nothing, new ones open a supplement.

use reassemble_formats::Part;
use serde::{Deserialize, Serialize};

use crate::ranges::Ranges;

/// A closed capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It was stored complete: every later chunk is a repeat.
    Complete,
    /// It was stored incomplete, with these chunks.
    Incomplete(Box<SeenChunks>),
}

impl Closed {
    /// Whether a chunk is among those stored.
    pub fn holds(&self, part: Part, seq: u32) -> bool {
        match self {
            Closed::Complete => true,
            Closed::Incomplete(seen) => seen.part(part).contains(seq),
        }
    }

    /// Whether a chunk under a key (or none) may continue it.
    pub fn fits_key(&self, key: Option<&str>) -> bool {
        match self {
            Closed::Complete => true,
            Closed::Incomplete(seen) => seen.key.as_deref() == key,
        }
    }

    /// As bytes for a database. Empty for a complete capture, as nearly all are.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Closed::Complete => Vec::new(),
            Closed::Incomplete(seen) => serde_json::to_vec(seen).unwrap_or_default(),
        }
    }

    /// Reads [`to_bytes`](Self::to_bytes). What cannot be read counts as complete: a late chunk is then dropped and counted as a repeat
    /// rather than stored twice.
    pub fn from_bytes(bytes: &[u8]) -> Closed {
        serde_json::from_slice(bytes).map_or(Closed::Complete, |seen| Closed::Incomplete(Box::new(seen)))
    }
}

/// The chunks that an incomplete exchange holds, as ranges of `seq` (first and last).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenChunks {
    req: Ranges,
    res: Ranges,
    /// The key under which they are signed: what continues them must fit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl SeenChunks {
    /// The ranges of one part, ascending.
    pub fn ranges(&self, part: Part) -> &[(u32, u32)] {
        self.part(part).as_slice()
    }

    fn part(&self, part: Part) -> &Ranges {
        match part {
            Part::Request => &self.req,
            Part::Response => &self.res,
        }
    }

    /// Nothing seen yet, under a key.
    pub(crate) fn of_key(key: Option<&str>) -> Self {
        SeenChunks { key: key.map(str::to_owned), ..SeenChunks::default() }
    }

    /// Adds chunks to a part.
    pub(crate) fn add(&mut self, part: Part, seqs: impl Iterator<Item = u32>) {
        match part {
            Part::Request => self.req.extend(seqs),
            Part::Response => self.res.extend(seqs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seen_chunks_are_ranges_that_read_back() {
        let mut seen = SeenChunks::default();
        seen.add(Part::Request, [5, 0, 1].into_iter());
        seen.add(Part::Request, [2, 7, 6].into_iter());
        assert_eq!(seen.ranges(Part::Request), [(0, 2), (5, 7)]);
        let closed = Closed::from_bytes(&Closed::Incomplete(Box::new(seen)).to_bytes());
        assert!(closed.holds(Part::Request, 6) && !closed.holds(Part::Request, 3) && !closed.holds(Part::Response, 0));
        assert_eq!(Closed::from_bytes(&Closed::Complete.to_bytes()), Closed::Complete);
    }
}
