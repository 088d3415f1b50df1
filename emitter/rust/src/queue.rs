//! The queue between requests' threads and the writer: bounded in bytes, and never waited for by who puts something in.
//!
//! Invariants: `bytes` counts what is queued, what the writer holds of open parts, and the room that is kept for each open capture's end;
//! only ends, for which room was kept, and orders to the writer pass `limit`. The lock is held for a push or a swap alone.
//!
//! Waking a thread costs more than all else here. So the writer looks again every few milliseconds for a while before it
//! sleeps until it is woken: under load nobody wakes it, and only a queue that fills quickly cuts these milliseconds short.

use std::{
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use crate::message::{Message, RequestStart};

/// How long the writer lets messages gather.
const LINGER: Duration = Duration::from_millis(4);
/// How often it looks again in vain before it sleeps: a fifth of a second in all.
const LINGER_ROUNDS: usize = 50;
/// A batch that once was longer than this gives its memory back.
const KEPT_MESSAGES: usize = 8192;

/// The writer works; it looks again by itself.
const AWAKE: u8 = 0;
/// The writer lingers; only a filling queue wakes it.
const LINGERS: u8 = 1;
/// The writer sleeps; any message wakes it.
const SLEEPS: u8 = 2;

/// What was refused, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

#[derive(Debug)]
pub(crate) struct Queue {
    messages: Mutex<Vec<Message>>,
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
            messages: Mutex::new(Vec::new()),
            bytes: AtomicUsize::new(0),
            limit,
            writer: OnceLock::new(),
            writer_is: AtomicU8::new(AWAKE),
            closed: AtomicBool::new(false),
            admitted: AtomicU64::new(0),
        }
    }

    /// Admits a capture, with `room` bytes kept for its end, and numbers it: numbers have no gaps and are queued in their order.
    pub(crate) fn admit(&self, start: Box<RequestStart>, room: usize) -> Result<u64, QueueFull> {
        let mut message = Message::Begin { n: 0, start };
        self.take_room(message.cost() + room)?;
        let number = {
            let mut messages = self.lock();
            let number = self.admitted.fetch_add(1, Ordering::Relaxed) + 1;
            if let Message::Begin { n, .. } = &mut message {
                *n = number;
            }
            messages.push(message);
            number
        };
        self.wake_if_due();
        Ok(number)
    }

    /// How many captures were admitted.
    pub(crate) fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Puts a message in, or refuses it where that passes the limit.
    pub(crate) fn push(&self, message: Message) -> Result<(), QueueFull> {
        self.take_room(message.cost())?;
        self.put(message);
        Ok(())
    }

    fn take_room(&self, cost: usize) -> Result<(), QueueFull> {
        let before = self.bytes.fetch_add(cost, Ordering::Relaxed);
        if before.saturating_add(cost) > self.limit || self.is_closed() {
            self.bytes.fetch_sub(cost, Ordering::Relaxed);
            return Err(QueueFull);
        }
        Ok(())
    }

    /// Puts a message in for which room was kept, whatever the queue holds.
    pub(crate) fn push_reserved(&self, message: Message) {
        self.bytes.fetch_add(message.cost(), Ordering::Relaxed);
        self.put(message);
    }

    fn put(&self, message: Message) {
        self.lock().push(message);
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

    /// Swaps the full batch for the empty one of the writer's. To be called by the writer's thread alone.
    pub(crate) fn take(&self, batch: &mut Vec<Message>) {
        batch.clear();
        if batch.capacity() > KEPT_MESSAGES {
            *batch = Vec::new();
        }
        std::mem::swap(batch, &mut self.lock());
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

    fn lock(&self) -> MutexGuard<'_, Vec<Message>> {
        // A push can't leave the vector half done, so a poisoned lock guards good messages.
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
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
        message::{HalfTag, Headers},
    };

    fn body(len: usize) -> Message {
        Message::Body { n: 1, half: HalfTag::Request, bytes: Bytes::from(vec![0; len]) }
    }

    fn start() -> Box<RequestStart> {
        Box::new(RequestStart {
            id: CaptureId::new(0, &[0; 10]),
            ts_us: 0,
            dir: Direction::In,
            proto: "x".into(),
            method: "x".into(),
            url: String::new(),
            headers: Headers::None,
            peer: None,
            trace: None,
            parent: None,
            tags: BTreeMap::new(),
            why: Why::All,
            oneway: false,
        })
    }

    #[test]
    fn the_limit_counts_costs_and_kept_room() {
        let queue = Queue::new(4096);
        assert_eq!(queue.admit(start(), 1000), Ok(1));
        assert_eq!(queue.push(body(3000)), Err(QueueFull));
        assert_eq!(queue.push(body(1000)), Ok(()));
        assert_eq!(queue.admit(start(), 2000), Err(QueueFull));
        queue.push_reserved(body(5000));
        assert_eq!(queue.push(body(0)), Err(QueueFull));
        let mut batch = Vec::new();
        queue.take(&mut batch);
        assert_eq!(batch.len(), 3);
        batch.iter().for_each(|message| queue.release(message.cost()));
        queue.release(1000);
        assert_eq!(queue.bytes.load(Ordering::Relaxed), 0);
        assert_eq!(queue.admit(start(), 0), Ok(2));
    }

    #[test]
    fn a_closed_queue_refuses() {
        let queue = Queue::new(4096);
        queue.close();
        assert_eq!(queue.push(body(1)), Err(QueueFull));
    }

    #[test]
    fn no_message_is_slept_through() {
        let queue = std::sync::Arc::new(Queue::new(1 << 30));
        let sent = 20_000usize;
        let writer = thread::spawn({
            let queue = queue.clone();
            move || {
                let (mut batch, mut seen) = (Vec::new(), 0);
                while seen < sent {
                    queue.take(&mut batch);
                    seen += batch.len();
                    if batch.is_empty() {
                        queue.wait(None);
                    }
                }
            }
        });
        for at in 0..sent {
            queue.push(body(0)).unwrap();
            if at % 5000 == 0 {
                thread::sleep(LINGER * 60);
            }
        }
        writer.join().unwrap();
    }
}
