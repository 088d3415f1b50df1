//! A spool file, or a part of one, as the body of a request: read in large pieces, into buffers that go round.
//!
//! It is read by the runtime's own thread. What was written a moment ago is in the page cache still, and to hand each piece to another
//! thread and back takes longer than to copy it from there; where the disk has to be asked, uploading has to wait for it either way.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Bytes of a piece, and pieces on their way to the network: the client would read ahead of it by as many as it can get.
const PIECE_BYTES: usize = 128 << 10;
const MOST_PIECES: usize = 2;

/// `length` bytes of a file from `offset` on, as often as the request is tried.
pub(super) fn file_body(file: File, offset: u64, length: u64) -> SdkBody {
    let file = Arc::new(file);
    SdkBody::retryable(move || {
        let (file, buffers) = (Arc::clone(&file), Arc::default());
        SdkBody::from_body_1_x(FileBody { file, at: offset, left: length, buffers })
    })
}

#[derive(Default)]
struct Buffers {
    /// Those that nobody reads from.
    free: Vec<Vec<u8>>,
    /// How many others there are.
    lent: usize,
    /// Who waits for one.
    waits: Option<Waker>,
}

type Shared = Mutex<Buffers>;

fn lock(buffers: &Shared) -> MutexGuard<'_, Buffers> {
    buffers.lock().unwrap_or_else(PoisonError::into_inner)
}

struct FileBody {
    file: Arc<File>,
    at: u64,
    left: u64,
    buffers: Arc<Shared>,
}

impl FileBody {
    /// A buffer, or nothing where all are on their way; then the task is woken when one comes back.
    fn lend(&self, context: &Context<'_>) -> Option<Vec<u8>> {
        let mut buffers = lock(&self.buffers);
        if buffers.lent == MOST_PIECES {
            buffers.waits = Some(context.waker().clone());
            return None;
        }
        buffers.lent += 1;
        buffers.free.pop().or_else(|| Some(vec![0; PIECE_BYTES]))
    }

    fn read(&mut self, bytes: Vec<u8>) -> io::Result<Bytes> {
        let length = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let mut piece = Piece { bytes, length, home: Arc::clone(&self.buffers) };
        self.file.read_exact_at(&mut piece.bytes[..length], self.at)?;
        self.at += length as u64;
        self.left -= length as u64;
        Ok(Bytes::from_owner(piece))
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let body = self.get_mut();
        if body.left == 0 {
            return Poll::Ready(None);
        }
        match body.lend(context) {
            Some(bytes) => Poll::Ready(Some(body.read(bytes).map(Frame::data))),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// What was read, on its way to the network.
struct Piece {
    bytes: Vec<u8>,
    length: usize,
    home: Arc<Shared>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut buffers = lock(&self.home);
        buffers.free.push(std::mem::take(&mut self.bytes));
        buffers.lent -= 1;
        let waits = buffers.waits.take();
        // Whoever is woken wants the lock.
        drop(buffers);
        if let Some(waits) = waits {
            waits.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    type Polled = Poll<Option<Result<Bytes, ()>>>;

    fn poll(body: &mut SdkBody) -> Polled {
        let frame = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.into_data().unwrap()).map_err(|_| ())))
    }

    #[test]
    fn each_try_gives_the_bytes_that_were_asked_for_and_reads_no_further_than_they_are_taken() {
        let content: Vec<u8> = (0..700_001u32).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        let first = file_body(file, 1000, 600_001);
        for mut body in [first.try_clone().unwrap(), first] {
            assert_eq!(body.size_hint().exact(), Some(600_001));
            let (mut found, mut held) = (Vec::new(), VecDeque::new());
            loop {
                match poll(&mut body) {
                    Poll::Ready(Some(piece)) => held.push_back(piece.unwrap()),
                    Poll::Pending => {
                        assert_eq!(held.len(), MOST_PIECES);
                        found.extend_from_slice(&held.pop_front().unwrap());
                    }
                    Poll::Ready(None) => break,
                }
            }
            held.iter().for_each(|piece| found.extend_from_slice(piece));
            assert!(found == content[1000..601_001]);
        }
    }

    #[test]
    fn a_body_that_waits_is_woken_by_the_first_piece_that_is_gone() {
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![1; 4 * PIECE_BYTES]).unwrap();
        let mut body = file_body(file, 0, 4 * PIECE_BYTES as u64);
        let mut pieces: Vec<_> = (0..MOST_PIECES).map(|_| poll(&mut body)).collect();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        assert!(Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        pieces.clear();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(poll(&mut body).is_ready());
    }

    #[test]
    fn a_file_that_was_cut_is_an_error_and_no_end() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 5000]).unwrap();
        let mut body = file_body(file, 0, 5001);
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Err(())))));
    }
}
