//! Blocks compressed beside the thread that owns the spool.
//!
//! A few threads take blocks from a queue. The spool's thread compresses only what is not worth a thread, and everything where there is none:
//! while it compressed, those who fill its inbox would wait for it. Who compressed a block changes no byte of it
//! ([`encoder`](super::encoder)), and each [`Flight`] is an answer of its own, so the order in which they end decides nothing.
//!
//! The first thread is started with the first block, another where blocks wait for one ([`Compressors::reinforce`]): a spool that stores plain
//! lines, or nothing, has none, and one that stores little has one. They end with the pool.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use reassemble_formats::layout::BatchEncoding;

use super::config::Compression;
use super::encoder::{Encoder, Stored};

/// How long a block is waited for before it is looked at whether there still is a thread that may take it.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Blocks in a row that wait for a thread before there is another.
const PATIENT_BLOCKS: u32 = 4;

/// A block with its compressed bytes.
pub(crate) struct Encoded {
    /// The block itself: it is written as it is where the disk refuses its compressed bytes.
    pub(crate) plain: Vec<u8>,
    pub(crate) stored: io::Result<Stored>,
}

/// A block on its way through the compressors.
pub(crate) enum Flight {
    UnderWay(Receiver<Encoded>),
    Landed(Encoded),
}

struct Job {
    encoding: BatchEncoding,
    plain: Vec<u8>,
    answer: SyncSender<Encoded>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Buffers that held compressed blocks; as many as were needed at once.
    buffers: Vec<Vec<u8>>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Shared {
    /// Nothing that holds the lock can leave the queue half changed, so a panic elsewhere is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads, and the encoder of the thread that owns them.
pub(crate) struct Compressors {
    compression: Compression,
    most_threads: usize,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Blocks that waited for a thread since there was none in flight.
    pressed: u32,
    own: Encoder,
}

impl Compressors {
    pub(crate) fn new(compression: Compression, most_threads: usize) -> Self {
        let (shared, own) = (Arc::default(), Encoder::new(compression));
        Self { compression, most_threads, shared, threads: Vec::new(), pressed: 0, own }
    }

    /// Blocks that may be in flight: one for each thread.
    pub(crate) fn depth(&self) -> usize {
        self.most_threads
    }

    /// Leaves a block to the threads.
    pub(crate) fn start(&mut self, encoding: BatchEncoding, plain: Vec<u8>) -> Flight {
        if self.threads.is_empty() && self.most_threads > 0 {
            self.spawn();
        }
        let (answer, landed) = sync_channel(1);
        self.shared.lock().jobs.push_back(Job { encoding, plain, answer });
        self.shared.changed.notify_one();
        Flight::UnderWay(landed)
    }

    /// Compresses a block on this thread.
    pub(crate) fn encode(&mut self, encoding: BatchEncoding, plain: Vec<u8>) -> Encoded {
        let buffer = self.shared.lock().buffers.pop().unwrap_or_default();
        let stored = self.own.encode(encoding, &plain, buffer);
        Encoded { plain, stored }
    }

    /// Takes a compressed block back that is written, for its buffer.
    pub(crate) fn take_back(&self, stored: Stored) {
        self.shared.lock().buffers.push(stored.into_buffer());
    }

    /// The block of a flight, where it has landed already. An error where its thread ended.
    pub(crate) fn poll(&self, flight: Flight) -> io::Result<Flight> {
        match flight {
            Flight::UnderWay(receiver) => match receiver.try_recv() {
                Ok(encoded) => Ok(Flight::Landed(encoded)),
                Err(TryRecvError::Empty) => Ok(Flight::UnderWay(receiver)),
                Err(TryRecvError::Disconnected) => Err(thread_ended()),
            },
            landed => Ok(landed),
        }
    }

    /// Waits for a flight; where there is no thread (any more) to compress it, this one does.
    pub(crate) fn wait(&mut self, flight: Flight) -> io::Result<Encoded> {
        let receiver = match flight {
            Flight::Landed(encoded) => return Ok(encoded),
            Flight::UnderWay(receiver) => receiver,
        };
        loop {
            if self.threads.iter().all(JoinHandle::is_finished) {
                let job = self.shared.lock().jobs.pop_front();
                job.into_iter().for_each(|job| run(&mut self.own, job, Vec::new()));
            }
            match receiver.recv_timeout(LOOK_AGAIN) {
                Ok(encoded) => return Ok(encoded),
                Err(RecvTimeoutError::Disconnected) => return Err(thread_ended()),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Says that nothing is in flight.
    pub(crate) fn at_rest(&mut self) {
        self.pressed = 0;
    }

    /// Says that a block waits for a thread. Where that goes on, there will be one more: a few that come together get done by those there are,
    /// and each takes memory.
    pub(crate) fn reinforce(&mut self) {
        self.pressed += 1;
        if self.pressed > PATIENT_BLOCKS && self.threads.len() < self.most_threads {
            self.pressed = 0;
            self.spawn();
        }
    }

    /// Where no thread can be started the spool's own does it all.
    fn spawn(&mut self) {
        let (shared, encoder) = (Arc::clone(&self.shared), Encoder::new(self.compression));
        match thread::Builder::new().name("compress".into()).spawn(move || work(&shared, encoder)) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                tracing::warn!(%error, "cannot start a thread; blocks are compressed on fewer");
                self.most_threads = self.threads.len();
            }
        }
    }
}

impl Drop for Compressors {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        queue.jobs.clear();
        drop(queue);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // It ends with its block. A panic of its was told when its block was missed.
            drop(thread.join());
        }
    }
}

fn work(shared: &Shared, mut encoder: Encoder) {
    let mut queue = shared.lock();
    loop {
        if let Some(job) = queue.jobs.pop_front() {
            let buffer = queue.buffers.pop().unwrap_or_default();
            drop(queue);
            run(&mut encoder, job, buffer);
            queue = shared.lock();
        } else if queue.closed {
            return;
        } else {
            queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn run(encoder: &mut Encoder, job: Job, buffer: Vec<u8>) {
    let stored = encoder.encode(job.encoding, &job.plain, buffer);
    // Nobody waits for it where the spool is gone.
    drop(job.answer.send(Encoded { plain: job.plain, stored }));
}

fn thread_ended() -> io::Error {
    io::Error::other("the thread that compressed a block has ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks() -> Vec<Vec<u8>> {
        (0..40usize).map(|n| format!("line {n} ").repeat(1 + n * 50).into_bytes()).collect()
    }

    #[test]
    fn threads_give_the_bytes_that_one_gives() {
        for encoding in [BatchEncoding::Gzip, BatchEncoding::Zstd] {
            let mut own = Encoder::new(Compression::Gzip { level: 1 });
            let mut pool = Compressors::new(Compression::Gzip { level: 1 }, 3);
            let flights: Vec<_> = blocks().into_iter().map(|block| pool.start(encoding, block)).collect();
            // The last first: what is waited for does not depend on the order.
            for (flight, block) in flights.into_iter().zip(blocks()).rev() {
                let encoded = pool.wait(flight).unwrap();
                assert_eq!(encoded.plain, block);
                let stored = encoded.stored.unwrap();
                assert_eq!(*stored, *own.encode(encoding, &block, Vec::new()).unwrap());
                pool.take_back(stored);
            }
        }
    }

    #[test]
    fn a_thread_that_ended_is_an_error_and_no_wait_without_end() {
        let mut pool = Compressors::new(Compression::Gzip { level: 1 }, 0);
        for polled in [true, false] {
            let (answer, receiver) = sync_channel(1);
            drop(answer);
            let flight = Flight::UnderWay(receiver);
            let outcome = if polled { pool.poll(flight).map(drop) } else { pool.wait(flight).map(drop) };
            assert!(outcome.unwrap_err().to_string().contains("has ended"));
        }
    }

    #[test]
    fn without_threads_whoever_waits_does_the_work() {
        let mut pool = Compressors::new(Compression::Zstd { level: 1 }, 0);
        let flights: Vec<_> = blocks().into_iter().map(|block| pool.start(BatchEncoding::Zstd, block)).collect();
        for (flight, block) in flights.into_iter().zip(blocks()) {
            let stored = pool.wait(flight).unwrap().stored.unwrap();
            assert_eq!(zstd::stream::decode_all(&stored[..]).unwrap(), block);
        }
    }

    #[test]
    fn where_every_thread_has_ended_whoever_waits_does_the_work() {
        let mut pool = Compressors::new(Compression::Zstd { level: 1 }, 1);
        let first = pool.start(BatchEncoding::Zstd, b"first".to_vec());
        assert_eq!(pool.wait(first).unwrap().plain, b"first");
        pool.shared.lock().closed = true;
        pool.shared.changed.notify_all();
        while !pool.threads[0].is_finished() {
            thread::yield_now();
        }
        let flight = pool.start(BatchEncoding::Zstd, b"block".to_vec());
        let stored = pool.wait(flight).unwrap().stored.unwrap();
        assert_eq!(zstd::stream::decode_all(&stored[..]).unwrap(), b"block");
    }

    #[test]
    fn a_pool_that_goes_with_blocks_under_way_ends_its_threads() {
        let mut pool = Compressors::new(Compression::Gzip { level: 9 }, 2);
        let flights: Vec<_> = blocks().into_iter().map(|block| pool.start(BatchEncoding::Gzip, block)).collect();
        let shared = Arc::downgrade(&pool.shared);
        drop(pool);
        assert!(shared.upgrade().is_none(), "a thread lives on");
        drop(flights);
    }
}
