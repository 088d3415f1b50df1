//! Exchanges that are stored in pieces: an incomplete one and its supplements, put together and held against what the logs have.

use std::collections::BTreeMap;

use super::prints::Run;
use super::stored::Extent;

/// What one stored exchange holds of a part.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// The body; nothing where it could not be read.
    pub(super) body: Option<Run>,
    pub(super) extent: Extent,
    /// What lies behind a gap.
    pub(super) fragments: Vec<(u32, Run)>,
}

/// What the logs hold of a part.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) of: Option<u32>,
    /// How many chunks the contiguous start has.
    pub(super) next: u32,
    /// The body up to there.
    pub(super) run: Run,
    /// What lies behind a gap.
    pub(super) behind_gap: Vec<(u32, Run)>,
}

/// What came of holding one against the other.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Some chunk is stored more than once.
    pub(super) twice: bool,
    /// The bytes are others.
    pub(super) differs: bool,
    /// Chunks that the logs have and the pieces have not, first and last.
    pub(super) lacks: Vec<(u32, u32)>,
}

impl Held {
    fn lack(&mut self, seq: u32) {
        match self.lacks.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(seq) => *last = seq,
            _ => self.lacks.push((seq, seq)),
        }
    }
}

/// Holds the pieces of a part against what the logs have of it.
pub(super) fn hold(wanted: &Wanted, pieces: &[&Piece]) -> Held {
    let mut held = Held::default();
    let mut fragments = BTreeMap::new();
    for (seq, run) in pieces.iter().flat_map(|piece| &piece.fragments) {
        held.twice |= fragments.insert(*seq, *run).is_some();
    }
    let mut starts = pieces.iter().filter(|piece| piece.extent != Extent::Chunks(0));
    let start = starts.next();
    held.twice |= starts.next().is_some();
    let (mut chunks, mut body) = match start {
        None => (0, Some(Run::default())),
        Some(start) => (chunks_of(start, wanted, &fragments), start.body),
    };
    held.twice |= fragments.range(..chunks).next().is_some();
    while let Some(run) = fragments.remove(&chunks) {
        body = body.map(|body| body.then(run));
        chunks = chunks.saturating_add(1);
    }
    if chunks == wanted.next {
        held.differs = body.is_some_and(|body| body != wanted.run);
    } else if chunks > wanted.next && wanted.of == Some(wanted.next) {
        // More than there are.
        held.differs = true;
    }
    // Where the pieces go farther than the logs, other logs have the rest: nothing can be said of it.
    for seq in chunks..wanted.next {
        if !fragments.contains_key(&seq) {
            held.lack(seq);
        }
        if held.lacks.len() > MAX_LACKS {
            break;
        }
    }
    for (seq, run) in wanted.behind_gap.iter().filter(|(seq, _)| *seq >= chunks) {
        match fragments.get(seq) {
            Some(stored) => held.differs |= stored != run,
            None => held.lack(*seq),
        }
    }
    held
}

/// Gaps that are named; the rest is as missing.
const MAX_LACKS: usize = 1_000;

/// How many chunks a stored start was joined from. It does not say so where all that had come was joined: then the pieces that came later begin
/// behind it, or it holds what the logs hold.
fn chunks_of(start: &Piece, wanted: &Wanted, fragments: &BTreeMap<u32, Run>) -> u32 {
    match (start.extent, fragments.first_key_value()) {
        (Extent::Chunks(chunks), _) => chunks,
        (Extent::All { ended: true }, _) => wanted.of.unwrap_or(u32::MAX),
        (Extent::All { ended: false }, Some((first, _))) => *first,
        // Whoever stored it never saw the end, and the logs did: at least the last chunk is missing.
        (Extent::All { ended: false }, None) if wanted.of == Some(wanted.next) => wanted.next.saturating_sub(1),
        (Extent::All { ended: false }, None) => match start.body {
            Some(body) if body.len > wanted.run.len => u32::MAX,
            // A chunk may be without bytes, so the last one is said to be missing rather than a certain number.
            Some(body) if body.len < wanted.run.len => wanted.next.saturating_sub(1),
            _ => wanted.next,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[&str] = &["ab", "", "cde", "f"];

    fn run(range: std::ops::Range<usize>) -> Run {
        Run::of(TEXT[range].concat().as_bytes())
    }

    /// The logs have chunks up to `next` and those in `behind`.
    fn wanted(next: usize, of: Option<u32>, behind: &[usize]) -> Wanted {
        let behind_gap = behind.iter().map(|seq| (u32::try_from(*seq).unwrap(), run(*seq..*seq + 1))).collect();
        Wanted { of, next: u32::try_from(next).unwrap(), run: run(0..next), behind_gap }
    }

    /// A stored exchange with the first chunks, and fragments.
    fn piece(start: usize, extent: Extent, fragments: &[usize]) -> Piece {
        let fragments = fragments.iter().map(|seq| (u32::try_from(*seq).unwrap(), run(*seq..*seq + 1))).collect();
        Piece { body: Some(run(0..start)), extent, fragments }
    }

    const ENDED: Extent = Extent::All { ended: true };
    const OPEN: Extent = Extent::All { ended: false };

    #[test]
    fn pieces_that_make_the_whole_are_whole() {
        let all = wanted(4, Some(4), &[]);
        for pieces in [
            vec![piece(4, ENDED, &[])],
            vec![piece(2, OPEN, &[]), piece(0, Extent::Chunks(0), &[2, 3])],
            vec![
                piece(1, Extent::Chunks(1), &[2]),
                piece(0, Extent::Chunks(0), &[3]),
                piece(0, Extent::Chunks(0), &[1]),
            ],
            vec![piece(0, Extent::Chunks(0), &[1, 2, 3]), piece(1, OPEN, &[])],
            vec![piece(0, Extent::Chunks(0), &[3, 2, 1, 0])],
        ] {
            assert_eq!(hold(&all, &pieces.iter().collect::<Vec<_>>()), Held::default(), "{pieces:?}");
        }
        // What the logs have in parts is there in the same parts, or in more.
        let parts = wanted(2, None, &[3]);
        for pieces in [
            vec![piece(2, Extent::Chunks(2), &[3])],
            vec![piece(4, ENDED, &[])],
            vec![piece(2, OPEN, &[]), piece(0, Extent::Chunks(0), &[2, 3])],
        ] {
            assert_eq!(hold(&parts, &pieces.iter().collect::<Vec<_>>()), Held::default(), "{pieces:?}");
        }
        assert_eq!(hold(&Wanted::default(), &[]), Held::default());
        assert_eq!(hold(&wanted(2, None, &[]), &[&piece(2, OPEN, &[])]), Held::default());
    }

    #[test]
    fn what_is_not_there_is_named() {
        let lacks = |wanted: &Wanted, pieces: &[Piece]| {
            let held = hold(wanted, &pieces.iter().collect::<Vec<_>>());
            assert!(!held.twice && !held.differs, "{held:?}");
            held.lacks
        };
        let all = wanted(4, Some(4), &[]);
        assert_eq!(lacks(&all, &[]), [(0, 3)]);
        assert_eq!(lacks(&all, &[piece(1, Extent::Chunks(1), &[3])]), [(1, 2)]);
        assert_eq!(lacks(&all, &[piece(0, Extent::Chunks(0), &[1, 3])]), [(0, 0), (2, 2)]);
        assert_eq!(lacks(&all, &[piece(3, OPEN, &[])]), [(3, 3)]);
        assert_eq!(lacks(&wanted(2, None, &[3]), &[piece(2, OPEN, &[])]), [(3, 3)]);
        assert_eq!(lacks(&wanted(3, None, &[]), &[piece(2, OPEN, &[])]), [(2, 2)]);
    }

    #[test]
    fn what_is_there_twice_is_seen() {
        let all = wanted(4, Some(4), &[]);
        for pieces in [
            vec![piece(4, ENDED, &[]), piece(4, ENDED, &[])],
            vec![piece(4, ENDED, &[]), piece(0, Extent::Chunks(0), &[3])],
            vec![piece(2, Extent::Chunks(2), &[3]), piece(0, Extent::Chunks(0), &[2, 3])],
            vec![piece(2, Extent::Chunks(2), &[3]), piece(0, Extent::Chunks(0), &[1, 2])],
        ] {
            assert!(hold(&all, &pieces.iter().collect::<Vec<_>>()).twice, "{pieces:?}");
        }
    }

    #[test]
    fn other_bytes_are_seen() {
        let all = wanted(4, Some(4), &[]);
        let mut other = piece(4, ENDED, &[]);
        other.body = Some(Run::of(b"abcdeF"));
        assert!(hold(&all, &[&other]).differs);
        let mut behind = piece(1, Extent::Chunks(1), &[2, 3]);
        behind.fragments[1].1 = Run::of(b"F");
        assert!(hold(&wanted(1, None, &[2, 3]), &[&behind]).differs);
        assert!(hold(&all, &[&piece(1, OPEN, &[]), &piece(0, Extent::Chunks(0), &[1, 2]), &behind]).differs);
        // A number that no chunk has.
        let mut last = piece(0, Extent::Chunks(u32::MAX), &[]);
        last.fragments.push((u32::MAX, run(0..1)));
        assert!(hold(&all, &[&last]).differs);
        // More chunks than there are.
        let mut more = piece(4, Extent::Chunks(4), &[]);
        more.fragments.push((4, Run::of(b"g")));
        assert!(hold(&all, &[&more]).differs);
    }
}
