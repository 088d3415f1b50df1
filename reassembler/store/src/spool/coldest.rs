//! Which batch was appended to least recently, asked seldom and changed with every append.
//!
//! An append only sets the batch's own number ([`OpenBatch::touch`](super::batch::OpenBatch)); the order is put right when somebody asks.
//! So a batch has one entry here, which may be out of date, and a sealed one's goes when it is met.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Entries beyond twice what lives, at which those of what is gone are thrown out.
const SLACK: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Coldest {
    /// Number of the append when the entry was made, and the batch's file number.
    heap: BinaryHeap<Reverse<(u64, u64)>>,
}

impl Coldest {
    pub(crate) fn add(&mut self, touch: u64, file_no: u64) {
        self.heap.push(Reverse((touch, file_no)));
    }

    /// Takes the coldest out. `touch_of` gives the number of a batch's last append, and nothing where it is gone.
    pub(crate) fn pop(&mut self, touch_of: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        while let Some(Reverse((touch, file_no))) = self.heap.pop() {
            match touch_of(file_no) {
                Some(now) if now == touch => return Some(file_no),
                Some(now) => self.add(now, file_no),
                None => {}
            }
        }
        None
    }

    /// Throws out the entries of what is gone, where there are many beside so many that live.
    pub(crate) fn prune(&mut self, living: usize, is_alive: impl Fn(u64) -> bool) {
        if self.heap.len() > living * 2 + SLACK {
            self.heap.retain(|Reverse((_, file_no))| is_alive(*file_no));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_coldest_comes_first_whatever_was_touched_since() {
        let mut touches: HashMap<u64, u64> = (0..5).map(|n| (n, n + 10)).collect();
        let mut coldest = Coldest::default();
        for (file_no, touch) in &touches {
            coldest.add(*touch, *file_no);
        }
        touches.insert(0, 20);
        touches.insert(1, 16);
        touches.remove(&3);
        let order: Vec<u64> = std::iter::from_fn(|| coldest.pop(|file_no| touches.get(&file_no).copied())).collect();
        assert_eq!(order, [2, 4, 1, 0]);
    }

    #[test]
    fn what_is_gone_does_not_pile_up() {
        let mut coldest = Coldest::default();
        for file_no in 0..10_000 {
            coldest.add(file_no, file_no);
            coldest.prune(1, |living| living == file_no);
            assert!(coldest.heap.len() <= 2 + SLACK, "{}", coldest.heap.len());
        }
    }
}
