//! A queue between two threads, bounded by the weight of what it holds (bytes, usually), so that neither many small things nor a few
//! large ones can grow it.
//!
//! Waking a thread costs more than most items do. So nobody is woken who does not wait, and a receiver that waits is left alone until it
//! finds some work: an item without weight, a share of the limit, or a sender that needs room. Until then it finds what came when its
//! patience ends.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Items that weigh one in so many of the limit are work enough to wake the receiver for.
const WAKING_SHARE: usize = 4;
/// Senders that wait for room are woken when no more than one in so many of the limit is left: woken for each item that goes, they would put one in
/// and wait again.
const ROOM_SHARE: usize = 2;

/// How long a sender waits for room before it looks again by itself.
const LONG: Duration = Duration::from_secs(1);

/// What [`Receiver::pop`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Popped<T> {
    /// The next item.
    Item(T),
    /// Nothing came in time.
    Empty,
    /// Nothing will come any more.
    Closed,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    /// Something came, or one side left.
    filled: Condvar,
    /// Something went, or one side left.
    emptied: Condvar,
    limit: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    weight: usize,
    senders: usize,
    senders_waiting: usize,
    receiver_waits: bool,
    receiver_left: bool,
    /// The receiver is to look at something else.
    woken: bool,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as a sender, until something went or for so long.
    fn wait_for_room<'a>(&self, mut state: MutexGuard<'a, State<T>>, patience: Duration) -> MutexGuard<'a, State<T>> {
        if std::mem::take(&mut state.receiver_waits) {
            self.filled.notify_one();
        }
        state.senders_waiting += 1;
        let mut state = self.emptied.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        state.senders_waiting -= 1;
        state
    }
}

/// A queue that holds items up to `limit` in weight; one item is always let in.
pub(crate) fn queue<T>(limit: usize) -> (Sender<T>, Receiver<T>) {
    let state = State {
        items: VecDeque::new(),
        weight: 0,
        senders: 1,
        senders_waiting: 0,
        receiver_waits: false,
        receiver_left: false,
        woken: false,
    };
    let shared = Arc::new(Shared { state: Mutex::new(state), filled: Condvar::new(), emptied: Condvar::new(), limit });
    (Sender(shared.clone()), Receiver(shared))
}

/// Puts items in.
#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Puts an item in, waiting for room. False where nobody will take it out.
    pub(crate) fn push(&self, item: T, weight: usize) -> bool {
        let mut state = self.0.state();
        while state.weight + weight > self.0.limit && !state.items.is_empty() && !state.receiver_left {
            state = self.0.wait_for_room(state, LONG);
        }
        self.put(state, item, weight)
    }

    /// Puts an item in at once, whatever the queue holds: for the few that must not wait.
    pub(crate) fn push_now(&self, item: T) -> bool {
        self.push_over(item, 0)
    }

    /// The same for an item that counts: for senders which look at [`fill`](Self::fill) before they make it.
    pub(crate) fn push_over(&self, item: T, weight: usize) -> bool {
        self.put(self.0.state(), item, weight)
    }

    fn put(&self, mut state: MutexGuard<'_, State<T>>, item: T, weight: usize) -> bool {
        if state.receiver_left {
            return false;
        }
        state.weight += weight;
        state.items.push_back((item, weight));
        let work = weight == 0 || state.weight >= self.0.limit / WAKING_SHARE;
        let wakes = work && std::mem::take(&mut state.receiver_waits);
        // Whoever is woken wants the lock.
        drop(state);
        if wakes {
            self.0.filled.notify_one();
        }
        true
    }

    /// Waits until the queue holds less than a share of its limit, for at most `patience`. False where it still holds as much.
    pub(crate) fn wait_below(&self, share: f64, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.0.state();
        while state.weight as f64 >= share * self.0.limit as f64 && !state.receiver_left {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.0.wait_for_room(state, left);
        }
        true
    }

    /// The weight held now, as a share of the limit.
    pub(crate) fn fill(&self) -> f64 {
        self.0.state().weight as f64 / self.0.limit as f64
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state().senders += 1;
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.state().senders -= 1;
        self.0.filled.notify_all();
    }
}

/// Takes items out.
#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

impl<T> Receiver<T> {
    /// Takes the next item, waiting for at most `patience`.
    pub(crate) fn pop(&self, patience: Duration) -> Popped<T> {
        let deadline = Instant::now() + patience;
        let mut state = self.0.state();
        loop {
            if let Some((item, weight)) = state.items.pop_front() {
                state.weight -= weight;
                let wakes = state.senders_waiting > 0 && state.weight <= self.0.limit / ROOM_SHARE;
                drop(state);
                if wakes {
                    self.0.emptied.notify_all();
                }
                return Popped::Item(item);
            }
            if state.senders == 0 {
                return Popped::Closed;
            }
            if std::mem::take(&mut state.woken) {
                return Popped::Empty;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Popped::Empty;
            }
            state.receiver_waits = true;
            state = self.0.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.receiver_waits = false;
        }
    }
}

impl<T: Send + 'static> Receiver<T> {
    /// What ends a [`pop`](Self::pop) that waits, or the next that would, with nothing.
    pub(crate) fn waker(&self) -> impl FnOnce() + Send + use<T> {
        let shared = self.0.clone();
        move || {
            shared.state().woken = true;
            shared.filled.notify_one();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let items = {
            let mut state = self.0.state();
            state.receiver_left = true;
            std::mem::take(&mut state.items)
        };
        drop(items); // Outside the lock: an item may hold a sender of this very queue.
        self.0.emptied.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[test]
    fn a_full_queue_holds_the_sender_back_until_there_is_room() {
        let (sender, receiver) = queue(10);
        assert!(sender.push(1, 8));
        let waiting = std::thread::spawn(move || {
            let began = Instant::now();
            assert!(sender.push(2, 8));
            began.elapsed()
        });
        std::thread::sleep(SOON * 2);
        assert_eq!(receiver.pop(SOON), Popped::Item(1));
        assert!(waiting.join().unwrap() >= SOON);
        assert_eq!(receiver.pop(SOON), Popped::Item(2));
        assert_eq!(receiver.pop(SOON), Popped::Closed);
    }

    #[test]
    fn a_waker_ends_one_wait_and_takes_nothing_out() {
        let (sender, receiver) = queue(10);
        (receiver.waker())();
        assert_eq!(receiver.pop(Duration::from_secs(60)), Popped::Empty);
        let waker = receiver.waker();
        let waiting = std::thread::spawn(move || (receiver.pop(Duration::from_secs(60)), receiver));
        std::thread::sleep(Duration::from_millis(20));
        waker();
        let (popped, receiver) = waiting.join().unwrap();
        assert_eq!(popped, Popped::Empty);
        (receiver.waker())();
        sender.push(1, 1);
        assert_eq!(receiver.pop(Duration::ZERO), Popped::Item(1));
    }

    #[test]
    fn a_receiver_that_waits_is_woken_by_enough_work_a_message_or_a_sender_that_waits() {
        let long = Duration::from_secs(60);
        let wakes: [fn(&Sender<u32>); 3] = [
            |sender| assert!(sender.push(2, 7)),
            |sender| assert!(sender.push_now(2)),
            |sender| assert!(sender.push(2, 160)),
        ];
        for wake in wakes {
            let (sender, receiver) = queue(160);
            let waiting = std::thread::spawn(move || [receiver.pop(long), receiver.pop(long)]);
            std::thread::sleep(SOON);
            assert!(sender.push(1, 3));
            std::thread::sleep(SOON);
            assert!(!waiting.is_finished(), "three of 160 wake nobody");
            wake(&sender);
            assert_eq!(waiting.join().unwrap(), [Popped::Item(1), Popped::Item(2)]);
        }
    }

    #[test]
    fn what_wakes_nobody_is_found_when_patience_ends() {
        let (sender, receiver) = queue(160);
        let waiting = std::thread::spawn(move || receiver.pop(SOON * 3));
        std::thread::sleep(SOON);
        assert!(sender.push(1, 3));
        assert_eq!(waiting.join().unwrap(), Popped::Item(1));
    }

    #[test]
    fn one_item_over_the_limit_is_let_in_and_urgent_ones_always_are() {
        let (sender, receiver) = queue(10);
        assert!(sender.push(1, 100) && sender.push_now(2));
        assert!(sender.fill() > 1.0);
        assert_eq!((receiver.pop(SOON), receiver.pop(SOON)), (Popped::Item(1), Popped::Item(2)));
        assert_eq!(receiver.pop(SOON), Popped::Empty);
        drop(receiver);
        assert!(!sender.push(3, 1));
    }
}
