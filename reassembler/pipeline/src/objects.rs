//! Objects of a bucket as an input: fetched by a task of the runtime, a few pieces ahead of the core, which reads each as a whole file.
//!
//! The task lists a page at a time and opens one object after another, in the order in which the store lists them (S3: by key). What it
//! fetched comes through one bounded channel: an object, its pieces, its end, the next. So memory is bounded, and where the core does not read,
//! nothing more is fetched. The core never waits long for the network: a reader that has nothing yet says so ([`io::ErrorKind::WouldBlock`]).
//!
//! Objects that hold stored exchanges, by their keys, are passed over: a destination may lie below what is read.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reassemble_formats::layout::Partition;
use reassemble_sources::printable;
use reassemble_store::{Destination, ListedObject, Listing, ObjectBody, StoreError};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::mpsc;

use crate::builder::connect;
use crate::config::ObjectsConfig;
use crate::run::RunError;

/// Messages that may wait for the core: pieces of an object are a read from the network, 8 to some 400 KiB.
const AHEAD: usize = 8;
/// How long the core waits for the next message before it looks at its other work.
const TURN: Duration = Duration::from_millis(20);

/// What the task tells.
enum Fetched {
    /// A page was listed: the bytes of its objects.
    Page(u64),
    Object {
        key: String,
        bytes: u64,
    },
    Piece(Bytes),
    /// The object ends; with why, where not all of it could be read.
    EndOfObject(Option<String>),
    /// Something other than an object's content could not be read.
    Failed(String),
    /// Objects that hold stored exchanges, before the end.
    Skipped(u64),
}

/// What an input names, in words; nothing is read of it.
///
/// # Errors
/// What keeps it from being read, in a sentence.
pub(crate) fn look(config: &ObjectsConfig) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start a runtime: {error}"))?;
    let found = runtime.block_on(async {
        let bucket = connect(&config.place()).await?;
        First::find(&bucket, &config.key).await
    });
    match found.map_err(|error| error.to_string())? {
        First::One { body, .. } => Ok(format!("{} bytes", body.total_bytes())),
        First::Page { objects, skipped: 0, .. } if objects.is_empty() => Err("there is no such object".to_owned()),
        First::Page { objects, .. } if objects.is_empty() => Ok("stored exchanges alone, which are passed over".into()),
        First::Page { objects, .. } if objects.len() == 1 => Ok("1 object".into()),
        First::Page { objects, .. } => Ok(format!("{} objects, or more", objects.len())),
    }
}

/// The objects that one input names.
pub(crate) struct Objects {
    /// `s3://bucket/key`, as people see it.
    place: String,
    bucket: String,
    fetched: Inbox,
    listed_bytes: u64,
    opened_bytes: u64,
}

/// What comes next.
pub(crate) enum Next {
    /// It is not here yet.
    NotYet,
    /// An object, to be read to its end first.
    Object {
        /// What people know it by.
        name: String,
        /// Its length.
        bytes: u64,
        /// Its bytes as they are stored.
        reader: ObjectReader,
    },
    /// Something could not be read, in a sentence.
    Failed(String),
    /// Nothing more will come.
    End,
}

impl Objects {
    /// Finds out what is there, and begins to fetch it.
    ///
    /// # Errors
    /// What keeps the bucket from being read at all.
    pub(crate) fn open(config: &ObjectsConfig, runtime: &Runtime) -> Result<Self, RunError> {
        let place = printable(&config.to_string());
        let found = runtime.block_on(async {
            let bucket = connect(&config.place()).await?;
            let first = First::find(&bucket, &config.key).await?;
            Ok((bucket, first))
        });
        let (bucket, first) = found.map_err(|source| RunError::Objects { place: place.clone(), source })?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let mut objects = Objects {
            place: place.clone(),
            bucket: config.bucket.clone(),
            fetched: Inbox { receiver: Arc::new(Mutex::new(receiver)), runtime: runtime.handle().clone() },
            listed_bytes: 0,
            opened_bytes: 0,
        };
        objects.listed_bytes = match &first {
            First::One { body, .. } => body.total_bytes(),
            First::Page { objects, .. } => sum(objects),
        };
        // It ends where nobody receives any more: nothing is lost by it.
        runtime.spawn(async move { Task { bucket, sender }.run(first, &place).await.unwrap_or(()) });
        Ok(objects)
    }

    /// What comes next; waits a moment for it. An object that was not read to its end is passed over.
    pub(crate) fn next(&mut self) -> Next {
        loop {
            match self.fetched.next() {
                Received::NotYet => return Next::NotYet,
                Received::Closed => return Next::End,
                Received::Some(Fetched::Page(bytes)) => self.listed_bytes += bytes,
                Received::Some(Fetched::Piece(_) | Fetched::EndOfObject(_)) => {}
                Received::Some(Fetched::Failed(why)) => {
                    return Next::Failed(format!("cannot read {}: {}", self.place, printable(&why)));
                }
                Received::Some(Fetched::Skipped(objects)) => tracing::warn!(
                    objects,
                    "objects below {} were passed over: they hold stored exchanges, not lines",
                    self.place
                ),
                Received::Some(Fetched::Object { key, bytes }) => {
                    self.opened_bytes += bytes;
                    let name = printable(&format!("s3://{}/{key}", self.bucket));
                    let reader = ObjectReader { fetched: self.fetched.clone(), piece: Bytes::new(), ended: false };
                    return Next::Object { name, bytes, reader };
                }
            }
        }
    }

    /// Bytes of the objects that are listed so far and hold lines. While any is left, there are more of them than were opened.
    pub(crate) fn listed_bytes(&self) -> u64 {
        self.listed_bytes
    }

    /// Bytes of those that were opened.
    pub(crate) fn opened_bytes(&self) -> u64 {
        self.opened_bytes.min(self.listed_bytes)
    }
}

/// The core's end of the channel. An object's reader has it while it is read, and [`Objects`] between.
#[derive(Clone)]
struct Inbox {
    receiver: Arc<Mutex<mpsc::Receiver<Fetched>>>,
    runtime: Handle,
}

enum Received {
    Some(Fetched),
    NotYet,
    Closed,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, mpsc::Receiver<Fetched>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Received {
        let mut receiver = self.lock();
        match receiver.try_recv() {
            Ok(fetched) => Received::Some(fetched),
            Err(mpsc::error::TryRecvError::Disconnected) => Received::Closed,
            Err(mpsc::error::TryRecvError::Empty) => {
                match self.runtime.block_on(async { tokio::time::timeout(TURN, receiver.recv()).await }) {
                    Ok(Some(fetched)) => Received::Some(fetched),
                    Ok(None) => Received::Closed,
                    Err(_) => Received::NotYet,
                }
            }
        }
    }
}

/// An object's bytes, as they come.
pub(crate) struct ObjectReader {
    fetched: Inbox,
    piece: Bytes,
    ended: bool,
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended {
            match self.fetched.next() {
                Received::NotYet => return Err(io::ErrorKind::WouldBlock.into()),
                Received::Some(Fetched::Piece(piece)) => self.piece = piece,
                Received::Some(Fetched::EndOfObject(None)) => self.ended = true,
                Received::Some(Fetched::EndOfObject(Some(why))) => {
                    self.ended = true;
                    return Err(io::Error::other(printable(&why)));
                }
                Received::Some(_) | Received::Closed => {
                    self.ended = true;
                    return Err(io::Error::other("what fetches it has ended"));
                }
            }
        }
        let read = self.piece.len().min(buffer.len());
        buffer[..read].copy_from_slice(&self.piece.split_to(read));
        Ok(read)
    }
}

/// What an input names.
enum First {
    /// One object.
    One { key: String, body: ObjectBody },
    /// What is below it: the first page with objects that hold lines, if there are any.
    Page { objects: Vec<ListedObject>, skipped: u64, listing: Listing },
}

impl First {
    async fn find(bucket: &Destination, key: &str) -> Result<First, StoreError> {
        // First, for stores that keep objects as files answer with an error where an object of a folder's name is asked for.
        let mut listing = bucket.list_below(key);
        let mut skipped = 0;
        let objects = page(&mut listing, &mut skipped).await?;
        if objects.is_empty()
            && skipped == 0
            && !key.is_empty()
            && let Some(body) = bucket.open(key).await?
        {
            return Ok(First::One { key: key.to_owned(), body });
        }
        Ok(First::Page { objects, skipped, listing })
    }
}

/// The next objects that hold lines; none at the end.
async fn page(listing: &mut Listing, skipped: &mut u64) -> Result<Vec<ListedObject>, StoreError> {
    while let Some(mut objects) = listing.next_page().await? {
        let all = objects.len();
        objects.retain(|object| !is_stored_exchanges(&object.key));
        *skipped += (all - objects.len()) as u64;
        if !objects.is_empty() {
            return Ok(objects);
        }
    }
    Ok(Vec::new())
}

/// Whether a key is one under which exchanges or their bodies are stored, whatever the destination's prefix.
fn is_stored_exchanges(key: &str) -> bool {
    let Some((folder, _)) = key.rsplit_once('/') else { return false };
    let inner = folder.rfind("retention=").filter(|at| *at == 0 || folder.as_bytes()[at - 1] == b'/');
    inner.is_some_and(|at| format!("{}/", &folder[at..]).parse::<Partition>().is_ok())
}

fn sum(objects: &[ListedObject]) -> u64 {
    objects.iter().map(|object| object.bytes).sum()
}

/// What fetches. Every send fails where the core is gone.
struct Task {
    bucket: Destination,
    sender: mpsc::Sender<Fetched>,
}

type Sent = Result<(), mpsc::error::SendError<Fetched>>;

impl Task {
    async fn run(self, first: First, place: &str) -> Sent {
        let (mut objects, mut skipped, mut listing) = match first {
            First::One { key, body } => {
                self.sender.send(Fetched::Object { key, bytes: body.total_bytes() }).await?;
                return self.pieces(body).await;
            }
            First::Page { objects, skipped, listing } => (objects, skipped, listing),
        };
        if objects.is_empty() && skipped == 0 {
            let why = format!("there is no object of this key, and none below {}/", place.trim_end_matches('/'));
            return self.sender.send(Fetched::Failed(why)).await;
        }
        while let Some(last) = objects.pop() {
            for object in objects {
                self.object(&object).await?;
            }
            // The next page is known before this one is done, so that what is left is never taken for nothing.
            objects = match page(&mut listing, &mut skipped).await {
                Ok(next) => next,
                Err(error) => {
                    self.sender.send(Fetched::Failed(error.to_string())).await?;
                    Vec::new()
                }
            };
            self.sender.send(Fetched::Page(sum(&objects))).await?;
            self.object(&last).await?;
        }
        if skipped > 0 {
            self.sender.send(Fetched::Skipped(skipped)).await?;
        }
        Ok(())
    }

    async fn object(&self, object: &ListedObject) -> Sent {
        let ListedObject { key, bytes } = object;
        self.sender.send(Fetched::Object { key: key.clone(), bytes: *bytes }).await?;
        match self.bucket.open(key).await {
            Ok(Some(body)) => self.pieces(body).await,
            Ok(None) => self.end(Some("it was listed, and is gone".to_owned())).await,
            Err(error) => self.end(Some(error.to_string())).await,
        }
    }

    async fn pieces(&self, mut body: ObjectBody) -> Sent {
        loop {
            match body.chunk().await {
                Ok(Some(piece)) => self.sender.send(Fetched::Piece(piece)).await?,
                Ok(None) => return self.end(None).await,
                Err(error) => return self.end(Some(error.to_string())).await,
            }
        }
    }

    async fn end(&self, why: Option<String>) -> Sent {
        self.sender.send(Fetched::EndOfObject(why)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_exchanges_are_told_by_their_keys() {
        let stored = "retention=30d/service=shop/date=2026-11-22/hour=05";
        for key in [
            format!("{stored}/x-0123.ndjson.gz"),
            format!("captures/{stored}/0123.bin"),
            format!("retention=1d/{stored}/x.ndjson"),
        ] {
            assert!(is_stored_exchanges(&key), "{key}");
        }
        for key in [
            stored.to_owned(),
            format!("my{stored}/x"),
            format!("{stored}/logs/x"),
            "retention=30d/app.log".to_owned(),
            "logs/2026/11/22/05/stream.gz".to_owned(),
        ] {
            assert!(!is_stored_exchanges(&key), "{key}");
        }
    }
}
