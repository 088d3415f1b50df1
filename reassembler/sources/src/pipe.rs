//! An input that cannot be read again: standard input, or what a child prints.
//!
//! A thread reads blocks, cuts them into whole lines and queues them; the core takes them out. The queue is bounded by bytes: where
//! the core does not come, the thread waits, then the pipe fills, then whoever writes to it waits. What was taken out of the pipe
//! but not yet made durable is what a crash can cost: at most the queue and one partial line.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::lines::{LineSplitter, Piece};
use crate::{InputEvent, InputId, LineSink, SourceError};

/// A pipe of Linux holds 64 KiB unless it was made larger; what is more is read in further turns.
const BLOCK_BYTES: usize = 128 * 1024;

/// What a pipe may hold.
#[derive(Clone, Copy, Debug)]
pub struct PipeConfig {
    /// Lines longer than this are skipped and reported.
    pub max_line_bytes: usize,
    /// Bytes of whole lines that may wait to be taken out. One block (of at most 128 KiB or one line) is always let in.
    pub queue_bytes: usize,
}

/// What [`Pipe::try_next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeState {
    /// Lines or an event were handed on; there may be more.
    Delivered {
        /// Bytes of lines handed on.
        bytes: usize,
    },
    /// Nothing waits at the moment.
    Empty,
    /// The pipe has ended, and [`InputEvent::Closed`] was handed on (once).
    Closed,
}

enum Item {
    Lines(Vec<u8>),
    LongLine(u64),
    Failed(String),
    Closed,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Bytes of the lines in `items`.
    bytes: usize,
    /// The core has gone: reading has no purpose any more.
    abandoned: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    room: Condvar,
    queue_bytes: usize,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room and queues. False where nobody will take it out.
    fn push(&self, item: Item) -> bool {
        let size = if let Item::Lines(block) = &item { block.len() } else { 0 };
        let mut queue = self.lock();
        while !queue.abandoned && queue.bytes > 0 && queue.bytes + size > self.queue_bytes {
            queue = self.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.abandoned {
            return false;
        }
        let was_empty = queue.items.is_empty();
        queue.bytes += size;
        queue.items.push_back(item);
        drop(queue);
        if was_empty {
            (self.wake)();
        }
        true
    }
}

/// The core's end of a pipe. Dropping it ends the reading thread at its next block.
pub struct Pipe {
    id: InputId,
    name: String,
    shared: Arc<Shared>,
    opened: bool,
    closed: bool,
}

impl Pipe {
    /// Starts the thread that reads `reader` to its end. `name` is what people know the input by (`stdin`); `wake` is called from that
    /// thread when there is something to take out where there was nothing.
    ///
    /// # Errors
    /// [`SourceError::Thread`] where no thread can be started.
    pub fn spawn(
        id: InputId,
        name: &str,
        reader: impl Read + Send + 'static,
        config: PipeConfig,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, SourceError> {
        let queue = Mutex::new(Queue::default());
        let shared = Arc::new(Shared { queue, room: Condvar::new(), queue_bytes: config.queue_bytes, wake });
        let thread_shared = Arc::clone(&shared);
        thread::Builder::new()
            .name(format!("read {name}"))
            .spawn(move || read_to_end(reader, config.max_line_bytes, &thread_shared))
            .map_err(|source| SourceError::Thread { name: name.to_owned(), source })?;
        Ok(Self { id, name: name.to_owned(), shared, opened: false, closed: false })
    }

    /// The input's id.
    pub fn id(&self) -> InputId {
        self.id
    }

    /// Hands on the next block or event, if one waits. Never blocks.
    pub fn try_next(&mut self, sink: &mut dyn LineSink) -> PipeState {
        if !self.opened {
            self.opened = true;
            sink.event(self.id, InputEvent::Opened { name: &self.name, position: 0 });
        }
        if self.closed {
            return PipeState::Closed;
        }
        let mut queue = self.shared.lock();
        let Some(item) = queue.items.pop_front() else { return PipeState::Empty };
        if let Item::Lines(block) = &item {
            queue.bytes -= block.len();
            self.shared.room.notify_one();
        }
        drop(queue);
        match item {
            Item::Lines(block) => {
                sink.lines(self.id, &block);
                PipeState::Delivered { bytes: block.len() }
            }
            Item::LongLine(bytes) => {
                sink.event(self.id, InputEvent::LongLine { bytes });
                PipeState::Delivered { bytes: 0 }
            }
            Item::Failed(why) => {
                sink.event(self.id, InputEvent::Failed { why: &why });
                PipeState::Delivered { bytes: 0 }
            }
            Item::Closed => {
                self.closed = true;
                sink.event(self.id, InputEvent::Closed);
                PipeState::Closed
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.shared.lock().abandoned = true;
        self.shared.room.notify_one();
    }
}

fn read_to_end(mut reader: impl Read, max_line_bytes: usize, shared: &Shared) {
    let mut splitter = LineSplitter::new(max_line_bytes);
    let mut block = vec![0; BLOCK_BYTES];
    // Lines that were completed by one read travel together.
    let mut lines = Vec::new();
    let failure = loop {
        let read = match reader.read(&mut block) {
            Ok(0) => break None,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => break Some(format!("reading failed: {error}")),
        };
        let mut alive = true;
        splitter.push(&block[..read], &mut |piece| alive &= queue_piece(piece, &mut lines, shared));
        if !lines.is_empty() {
            alive &= shared.push(Item::Lines(std::mem::take(&mut lines)));
        }
        if !alive {
            return;
        }
    };
    let mut alive = true;
    splitter.finish(&mut |piece| alive &= queue_piece(piece, &mut lines, shared));
    if !lines.is_empty() {
        alive &= shared.push(Item::Lines(lines));
    }
    let ending = failure.map(Item::Failed).into_iter().chain([Item::Closed]);
    for item in ending {
        alive = alive && shared.push(item);
    }
}

/// Gathers lines; an over-long line is queued behind the lines before it. False where nobody will take it out.
fn queue_piece(piece: Piece<'_>, lines: &mut Vec<u8>, shared: &Shared) -> bool {
    match piece {
        Piece::Lines(whole) => {
            lines.extend_from_slice(whole);
            true
        }
        Piece::Skipped(_) => true,
        Piece::LongLine { bytes } => {
            let before = lines.is_empty() || shared.push(Item::Lines(std::mem::take(lines)));
            before && shared.push(Item::LongLine(bytes))
        }
    }
}
