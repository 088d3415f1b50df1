//! The address at which the Telemetry API pushes.
//!
//! It answers 200 to whatever came whole, also where that makes no sense: the platform would send it again for ever. The answer comes
//! once what was sent is in this process's queue; where the queue is full the platform waits, and drops and tells what it cannot hold.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::MAX_BYTES;

/// Longest POST in bytes: twice what is asked for is seen, and its envelope.
const MOST_POST_BYTES: usize = 2 * MAX_BYTES + (64 << 10);
/// By how much the room for a POST grows as it comes, in bytes.
const GROWTH_BYTES: usize = 128 << 10;
/// POSTs that are held in memory at once; others wait in their sockets.
const HELD_POSTS: usize = 2;
/// How long a sender may be silent within a POST.
const SILENCE: Duration = Duration::from_secs(5);
/// How long to wait where no connection can be taken, as for want of descriptors.
const AFTER_A_FAULT: Duration = Duration::from_millis(10);

/// A POST that came whole.
pub(crate) struct Post {
    /// Its body, as far as it is no longer than any may be.
    pub(crate) body: Vec<u8>,
    /// Bytes that were not kept.
    pub(crate) beyond_bytes: usize,
    _held: OwnedSemaphorePermit,
}

/// Where POSTs go; the sender has its answer once that is done.
pub(crate) trait Taker: Clone + Send + Sync + 'static {
    /// Takes a POST.
    fn take(&self, post: Post) -> impl Future<Output = ()> + Send;
}

/// Listens on a port of the system's choice, on all addresses, as the platform reaches the extension through its network.
///
/// # Errors
/// What the system says.
pub(crate) async fn bind() -> io::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Takes POSTs for as long as the program runs.
pub(crate) async fn serve(listener: TcpListener, taker: impl Taker) {
    let room = Arc::new(Semaphore::new(HELD_POSTS));
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(AFTER_A_FAULT).await;
            continue;
        };
        let (taker, room) = (taker.clone(), room.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, taker.clone(), room.clone()));
            // A connection that breaks is the sender's to make again.
            http1::Builder::new().serve_connection(TokioIo::new(socket), service).await.ok();
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    taker: impl Taker,
    room: Arc<Semaphore>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut response = Response::new(Empty::new());
    // The semaphore is never closed.
    let Ok(held) = room.acquire_owned().await else { return Ok(response) };
    match read(request.into_body(), held).await {
        Some(post) => taker.take(post).await,
        None => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    Ok(response)
}

/// A body, if it comes to its end. What a sender says of its length sizes nothing.
async fn read(mut incoming: Incoming, held: OwnedSemaphorePermit) -> Option<Post> {
    let (mut body, mut beyond_bytes) = (Vec::new(), 0);
    while let Some(frame) = tokio::time::timeout(SILENCE, incoming.frame()).await.ok()? {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        let fits = data.len().min(MOST_POST_BYTES - body.len());
        if body.capacity() - body.len() < fits {
            body.reserve_exact(fits.max(GROWTH_BYTES));
        }
        body.extend_from_slice(&data[..fits]);
        beyond_bytes += data.len() - fits;
    }
    Some(Post { body, beyond_bytes, _held: held })
}
