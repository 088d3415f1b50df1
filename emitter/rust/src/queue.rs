//! The queue between requests' threads and the writer: bounded in bytes, and never waited for by who puts something in.
//!
//! Invariants: `bytes` counts what is queued, what the writer holds of open parts, and the room that is kept for each open capture's end;
//! only ends, for which room was kept, and orders to the writer pass `limit`. The lock is held for the copy of one step, or to hand a batch over.
//!
//! Waking a thread costs more than all else here. So the writer looks again every few milliseconds for a while before it
//! sleeps until it is woken: under load nobody wakes it, and only a queue that fills quickly cuts these milliseconds short.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use crate::{
    batch::{Batch, Message},
    message::{RequestStart, Step},
};

/// How long the writer lets messages gather.
const LINGER: Duration = Duration::from_millis(4);
/// How often it looks again in vain before it sleeps: a fifth of a second in all.
const LINGER_ROUNDS: usize = 50;
/// So many empty batches are kept to be filled again: what a burst of a hundred captures fills, at most a MiB.
const SPARE_BATCHES: usize = 8;

/// The writer works; it looks again by itself.
const AWAKE: u8 = 0;
/// The writer lingers; only a filling queue wakes it.
const LINGERS: u8 = 1;
/// The writer sleeps; any message wakes it.
const SLEEPS: u8 = 2;

/// What was refused, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

#[derive(Debug, Default)]
struct Batches {
    full: VecDeque<Batch>,
    filling: Batch,
    spare: Vec<Batch>,
}

impl Batches {
    fn is_empty(&self) -> bool {
        self.full.is_empty() && self.filling.is_empty()
    }

    fn put(&mut self, n: u64, step: Step<'_>, cost: usize) {
        self.filling.put(n, step, cost);
        if self.filling.is_full() {
            let empty = self.spare.pop().unwrap_or_default();
            self.full.push_back(mem::replace(&mut self.filling, empty));
        }
    }
}

#[derive(Debug)]
pub(crate) struct Queue {
    batches: Mutex<Batches>,
    bytes: AtomicUsize,
    limit: usize,
    writer: OnceLock<Thread>,
    writer_is: AtomicU8,
    closed: AtomicBool,
    admitted: AtomicU64,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Queue {
        Queue {
            batches: Mutex::default(),
            bytes: AtomicUsize::new(0),
            limit,
            writer: OnceLock::new(),
            writer_is: AtomicU8::new(AWAKE),
            closed: AtomicBool::new(false),
            admitted: AtomicU64::new(0),
        }
    }

    /// Admits a capture, with `room` bytes kept for its end, and numbers it: numbers have no gaps and are queued in their order.
    pub(crate) fn admit(&self, start: &RequestStart<'_>, room: usize) -> Result<u64, QueueFull> {
        let step = Step::Begin(start);
        let cost = step.cost();
        self.take_room(cost + room)?;
        let number = {
            let mut batches = self.lock();
            let number = self.admitted.load(Ordering::Relaxed) + 1;
            self.admitted.store(number, Ordering::Relaxed);
            batches.put(number, step, cost);
            number
        };
        self.wake_if_due();
        Ok(number)
    }

    /// Admits a capture that was held: the steps so far, for which room was taken ([`take_room`](Self::take_room)).
    pub(crate) fn admit_held(&self, mut steps: Batch) -> u64 {
        let number = {
            let mut batches = self.lock();
            let number = self.admitted.load(Ordering::Relaxed) + 1;
            self.admitted.store(number, Ordering::Relaxed);
            steps.renumber(number);
            let before = mem::take(&mut batches.filling);
            batches.full.extend([before, steps].into_iter().filter(|batch| !batch.is_empty()));
            number
        };
        self.wake_if_due();
        number
    }

    /// How many captures were admitted.
    pub(crate) fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Puts a step of the capture `n` in, or refuses it where that passes the limit.
    pub(crate) fn push(&self, n: u64, step: Step<'_>) -> Result<(), QueueFull> {
        let cost = step.cost();
        self.take_room(cost)?;
        self.put(n, step, cost);
        Ok(())
    }

    /// Takes so many bytes of the limit, which [`release`](Self::release) gives back.
    pub(crate) fn take_room(&self, cost: usize) -> Result<(), QueueFull> {
        let before = self.bytes.fetch_add(cost, Ordering::Relaxed);
        if before.saturating_add(cost) > self.limit || self.is_closed() {
            self.bytes.fetch_sub(cost, Ordering::Relaxed);
            return Err(QueueFull);
        }
        Ok(())
    }

    /// Puts a step in for which room was kept, whatever the queue holds.
    pub(crate) fn push_reserved(&self, n: u64, step: Step<'_>) {
        let cost = step.cost();
        self.take_reserved(cost);
        self.put(n, step, cost);
    }

    /// Takes bytes for which room was kept.
    pub(crate) fn take_reserved(&self, cost: usize) {
        self.bytes.fetch_add(cost, Ordering::Relaxed);
    }

    /// Puts an order to the writer in, and wakes it.
    pub(crate) fn order(&self, order: Message) {
        self.lock().filling.order(order);
        self.wake();
    }

    fn put(&self, n: u64, step: Step<'_>, cost: usize) {
        self.lock().put(n, step, cost);
        self.wake_if_due();
    }

    fn wake_if_due(&self) {
        let wake = match self.writer_is.load(Ordering::SeqCst) {
            AWAKE => false,
            LINGERS => self.bytes.load(Ordering::Relaxed) > self.limit / 4,
            _ => true,
        };
        if wake {
            self.wake();
        }
    }

    /// Wakes the writer, whatever it does.
    pub(crate) fn wake(&self) {
        if self.writer_is.swap(AWAKE, Ordering::SeqCst) != AWAKE
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// Gives back what a message took, or a capture kept.
    pub(crate) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts what the writer now holds more or less of open parts.
    pub(crate) fn hold(&self, before: usize, now: usize) {
        self.bytes.fetch_add(now, Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
    }

    /// Refuses all that is new from here on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Takes the next batch for one that was read; `None` where there is nothing. To be called by the writer's thread alone.
    pub(crate) fn take(&self, mut read: Batch) -> Result<Batch, Batch> {
        read.clear();
        let mut batches = self.lock();
        let batches = &mut *batches;
        if let Some(next) = batches.full.pop_front() {
            if batches.spare.len() < SPARE_BATCHES {
                batches.spare.push(read);
            }
            return Ok(next);
        }
        match batches.filling.is_empty() {
            true => Err(read),
            false => Ok(mem::replace(&mut batches.filling, read)),
        }
    }

    /// Waits for messages, at most `longest`. To be called by the writer's thread alone, with nothing left to do.
    pub(crate) fn wait(&self, longest: Option<Duration>) {
        let _ = self.writer.get_or_init(thread::current);
        let lingering = std::iter::repeat_n((LINGERS, Some(LINGER)), LINGER_ROUNDS);
        for (state, time) in lingering.chain([(SLEEPS, longest)]) {
            self.writer_is.store(state, Ordering::SeqCst);
            // What came before the state was seen has not woken this thread.
            if !self.lock().is_empty() || self.is_closed() {
                break;
            }
            match time {
                Some(time) => thread::park_timeout(time),
                None => thread::park(),
            }
            if self.writer_is.load(Ordering::SeqCst) == AWAKE {
                break;
            }
        }
        self.writer_is.store(AWAKE, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Batches> {
        // Nothing panics while it is held but for want of memory, which ends the process: a poisoned lock guards good batches.
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use reassemble_formats::write::{Direction, Why};

    use super::*;
    use crate::{
        identity::CaptureId,
        message::{HalfTag, Headers, PartEnd, Peer},
    };

    fn body(bytes: &[u8]) -> Step<'_> {
        Step::Copied(HalfTag::Request, bytes)
    }

    fn start() -> RequestStart<'static> {
        RequestStart {
            id: CaptureId::new(0, &[0; 10]),
            ts_us: 0,
            dir: Direction::In,
            proto: "x",
            method: "x",
            url: [""; 4],
            route: "",
            headers: Headers::None,
            peer: Peer::None,
            trace: None,
            parent: None,
            tags: None,
            why: Why::All,
            oneway: false,
        }
    }

    /// All batches, and how many messages they hold.
    fn taken(queue: &Queue) -> (Vec<Batch>, usize) {
        let mut batches: Vec<Batch> = std::iter::from_fn(|| queue.take(Batch::default()).ok()).collect();
        let count = batches.iter_mut().map(|batch| batch.read().0.count()).sum();
        (batches, count)
    }

    #[test]
    fn the_limit_counts_costs_and_kept_room() {
        let queue = Queue::new(4096);
        assert_eq!(queue.admit(&start(), 1000), Ok(1));
        assert_eq!(queue.push(1, body(&[0; 3000])), Err(QueueFull));
        assert_eq!(queue.push(1, body(&[0; 1000])), Ok(()));
        assert_eq!(queue.admit(&start(), 2000), Err(QueueFull));
        queue.push_reserved(1, body(&[0; 5000]));
        assert_eq!(queue.push(1, body(&[])), Err(QueueFull));
        let (batches, count) = taken(&queue);
        assert_eq!(count, 3);
        batches.iter().for_each(|batch| queue.release(batch.cost()));
        queue.release(1000);
        assert_eq!(queue.bytes.load(Ordering::Relaxed), 0);
        assert_eq!(queue.admit(&start(), 0), Ok(2));
    }

    #[test]
    fn a_closed_queue_refuses() {
        let queue = Queue::new(4096);
        queue.close();
        assert_eq!(queue.push(1, body(b"1")), Err(QueueFull));
    }

    #[test]
    fn batches_keep_the_order_of_steps_and_of_their_texts() {
        let queue = Queue::new(1 << 20);
        let tags = BTreeMap::from([("tag".into(), "1".to_owned())]);
        let pairs = [("name".into(), b"value".to_vec())];
        let start = RequestStart {
            url: ["http", "://", "host", "/path"],
            headers: Headers::Pairs(&pairs),
            peer: Peer::Text("peer"),
            tags: Some(&tags),
            ..start()
        };
        let end =
            PartEnd { us: None, status: None, trailers: Headers::None, error: "late", truncated: true, full_len: None };
        for at in 0..1000 {
            queue.admit(&start, 0).unwrap();
            queue.push(at, body(&[7; 100])).unwrap();
            queue.push(at, Step::Shared(HalfTag::Request, Bytes::from_static(b"shared"))).unwrap();
            queue.push(at, Step::End(HalfTag::Request, &end)).unwrap();
        }
        let (mut count, mut batches) = (0, 0);
        let mut next = queue.take(Batch::default());
        while let Ok(mut batch) = next {
            let (messages, mut texts) = batch.read();
            for message in messages {
                let read: Vec<&[u8]> = match &message {
                    Message::Begin { n, headers: Some(1), tags: 1, .. } if *n == count / 4 + 1 => {
                        (0..8).map(|_| texts.bytes()).collect()
                    }
                    Message::Copied { .. } => vec![texts.bytes()],
                    Message::Shared { .. } => vec![],
                    Message::End { truncated: true, .. } => vec![texts.bytes(), texts.bytes()],
                    other => panic!("{other:?}"),
                };
                let expected: &[&[u8]] = match count % 4 {
                    0 => &[b"x", b"http://host/path", b"peer", b"", b"name", b"value", b"tag", b"1"],
                    1 => &[&[7; 100]],
                    2 => &[],
                    _ => &[b"", b"late"],
                };
                assert_eq!(read, expected);
                count += 1;
            }
            batches += 1;
            next = queue.take(batch);
        }
        assert_eq!(count, 4000);
        assert!(batches > 3, "{batches} batches");
    }

    #[test]
    fn no_message_is_slept_through() {
        let queue = std::sync::Arc::new(Queue::new(1 << 30));
        let sent = 20_000usize;
        let writer = thread::spawn({
            let queue = queue.clone();
            move || {
                let (mut batch, mut seen) = (Batch::default(), 0);
                while seen < sent {
                    batch = match queue.take(batch) {
                        Ok(mut batch) => {
                            seen += batch.read().0.count();
                            batch
                        }
                        Err(batch) => {
                            queue.wait(None);
                            batch
                        }
                    };
                }
            }
        });
        for at in 0..sent {
            queue.push(1, body(&[])).unwrap();
            if at % 5000 == 0 {
                thread::sleep(LINGER * 60);
            }
        }
        writer.join().unwrap();
    }
}
