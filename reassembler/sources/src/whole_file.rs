//! A file, or something like one, read once from its start to its end.
//!
//! It may be plain, gzip (several members too) or zstd, and hold lines or a [payload](crate::payload) of CloudWatch Logs; its first bytes tell,
//! not its name. What can be read of something damaged is delivered before the failure is told.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::compression::{Codec, MAGIC_BYTES, counted, decompress};
use crate::error::shown;
use crate::lines::{LineSplitter, deliver};
use crate::payload::{Documents, Found, is_payload};
use crate::{InputEvent, InputId, LineSink, SourceError};

/// Lines are read in blocks of this size.
const BLOCK_BYTES: usize = 128 * 1024;
/// So many places of a payload that cannot be read are told one by one.
const TOLD_FAILURES: u64 = 10;

/// A bounded input. Delivers [`InputEvent::Opened`] first, [`InputEvent::Closed`] last, and [`InputEvent::Failed`] before that where
/// it could not be read to its end, or not all of a payload.
pub struct WholeFile {
    id: InputId,
    /// What people know the input by.
    name: String,
    /// What it is called where reading it fails.
    place: String,
    reading: Reading,
    codec: Codec,
    content: Content,
    consumed: Arc<AtomicU64>,
    total_bytes: u64,
    splitter: LineSplitter,
    /// Empty before the first read and after the last.
    block: Vec<u8>,
    opened: bool,
}

/// Where the bytes come from.
enum Reading {
    /// Its first bytes are to tell how it is compressed; once more where it was, for Firehose compresses again what CloudWatch Logs has
    /// compressed, unless it is told not to.
    Start {
        source: Box<dyn Read + Send>,
        first: Vec<u8>,
        again: bool,
    },
    Decompressed(Box<dyn Read + Send>),
    Done,
}

/// What the decompressed bytes are.
enum Content {
    /// They are to tell themselves; those that came so far.
    Unknown(Vec<u8>),
    Lines,
    Payload(Documents),
}

/// How far a file is read. Bytes are those of the file as it is stored (compressed bytes for an archive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeProgress {
    /// Bytes of the file consumed so far.
    pub consumed_bytes: u64,
    /// The file's size when it was opened.
    pub total_bytes: u64,
    /// Nothing more will come.
    pub done: bool,
}

impl WholeFile {
    /// Opens the file. Lines longer than `max_line_bytes` are skipped and reported.
    ///
    /// # Errors
    /// [`SourceError::Open`] where it is missing or may not be read, [`SourceError::Directory`] where it is a directory.
    pub fn open(id: InputId, path: impl AsRef<Path>, max_line_bytes: usize) -> Result<Self, SourceError> {
        let path = path.as_ref();
        let open = || -> io::Result<_> {
            let file = File::open(path)?;
            let meta = file.metadata()?;
            Ok((file, meta))
        };
        let (file, meta) = open().map_err(|source| SourceError::Open { path: path.to_owned(), source })?;
        if meta.is_dir() {
            return Err(SourceError::Directory { path: path.to_owned() });
        }
        let total_bytes = if meta.is_file() { meta.len() } else { 0 };
        let place = shown(path);
        Ok(Self { name: format!("file:{place}"), ..Self::from_reader(id, &place, total_bytes, file, max_line_bytes) })
    }

    /// Reads what is no file of this machine. `name` is what people know it by, free of control characters; `total_bytes` is its length. A
    /// reader that has nothing yet answers [`io::ErrorKind::WouldBlock`] and is asked again at the next [`read`](Self::read).
    pub fn from_reader(
        id: InputId,
        name: &str,
        total_bytes: u64,
        reader: impl Read + Send + 'static,
        max_line_bytes: usize,
    ) -> Self {
        let (source, consumed) = counted(reader);
        Self {
            id,
            name: name.to_owned(),
            place: name.to_owned(),
            reading: Reading::Start { source, first: Vec::new(), again: false },
            codec: Codec::Plain,
            content: Content::Unknown(Vec::new()),
            consumed,
            total_bytes,
            splitter: LineSplitter::new(max_line_bytes),
            block: Vec::new(),
            opened: false,
        }
    }

    /// The input's id.
    pub fn id(&self) -> InputId {
        self.id
    }

    /// How far the file is read.
    pub fn progress(&self) -> WholeProgress {
        let consumed_bytes = self.consumed.load(Ordering::Relaxed);
        WholeProgress { consumed_bytes, total_bytes: self.total_bytes, done: matches!(self.reading, Reading::Done) }
    }

    /// Reads about `budget_bytes` (of lines, decompressed) and hands them on. Does nothing once done.
    pub fn read(&mut self, budget_bytes: usize, sink: &mut dyn LineSink) -> WholeProgress {
        if !self.opened {
            self.opened = true;
            self.block = vec![0; BLOCK_BYTES];
            sink.event(self.id, InputEvent::Opened { name: &self.name, position: 0 });
        }
        let mut budget = budget_bytes.max(1);
        while budget > 0 && !matches!(self.reading, Reading::Done) {
            let mut block = std::mem::take(&mut self.block);
            let want = budget.clamp(1, block.len()).max(MAGIC_BYTES);
            match self.fill(&mut block[..want]) {
                Ok(0) => self.end(sink, None),
                Ok(read) => {
                    budget = budget.saturating_sub(read);
                    self.take(&block[..read], false, sink);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => budget = 0,
                Err(error) => self.end(sink, Some(&error)),
            }
            self.block = block;
        }
        if matches!(self.reading, Reading::Done) {
            self.block = Vec::new();
        }
        self.progress()
    }

    /// Reads decompressed bytes; none at the end.
    fn fill(&mut self, block: &mut [u8]) -> io::Result<usize> {
        while let Reading::Start { source, first, .. } = &mut self.reading {
            let mut magic = [0; MAGIC_BYTES];
            let read = source.read(&mut magic[..MAGIC_BYTES - first.len()])?;
            first.extend_from_slice(&magic[..read]);
            if read > 0 && first.len() < MAGIC_BYTES {
                continue;
            }
            if let Reading::Start { source, first, again } = std::mem::replace(&mut self.reading, Reading::Done) {
                let codec = Codec::detect(&first).unwrap_or(Codec::Plain);
                let source = decompress(Box::new(io::Cursor::new(first).chain(source)), codec)?;
                self.reading = if codec == Codec::Gzip && !again {
                    Reading::Start { source, first: Vec::new(), again: true }
                } else {
                    Reading::Decompressed(source)
                };
                if !again {
                    self.codec = codec;
                }
            }
        }
        match &mut self.reading {
            Reading::Decompressed(reader) => reader.read(block),
            Reading::Start { .. } | Reading::Done => Ok(0),
        }
    }

    fn take(&mut self, bytes: &[u8], ended: bool, sink: &mut dyn LineSink) {
        if let Content::Unknown(head) = &mut self.content {
            head.extend_from_slice(bytes);
            let Some(is_payload) = is_payload(head, ended) else { return };
            let head = std::mem::take(head);
            self.content = if is_payload { Content::Payload(Documents::default()) } else { Content::Lines };
            return self.hand_on(&head, sink);
        }
        self.hand_on(bytes, sink);
    }

    fn hand_on(&mut self, bytes: &[u8], sink: &mut dyn LineSink) {
        let Self { id, splitter, content, place, .. } = self;
        match content {
            Content::Payload(documents) => {
                let mut told = documents.counts().failures;
                documents.push(bytes, &mut |found| found_in_payload(found, *id, place, &mut told, splitter, sink));
            }
            Content::Lines | Content::Unknown(_) => splitter.push(bytes, &mut |piece| deliver(sink, *id, piece)),
        }
    }

    fn end(&mut self, sink: &mut dyn LineSink, error: Option<&io::Error>) {
        self.reading = Reading::Done;
        // What so few bytes are is decided now.
        self.take(&[], true, sink);
        let Self { id, splitter, content, place, .. } = self;
        let id = *id;
        if let Content::Payload(documents) = content {
            let mut told = documents.counts().failures;
            documents.finish(&mut |found| found_in_payload(found, id, place, &mut told, splitter, sink));
            let counts = documents.counts();
            if counts.failures > TOLD_FAILURES {
                let why = format!("{} more places of {place} could not be read", counts.failures - TOLD_FAILURES);
                sink.event(id, InputEvent::Failed { why: &why });
            }
            tracing::info!(
                input = self.name,
                documents = counts.documents,
                events = counts.events,
                control_messages = counts.control_messages,
                "documents of a CloudWatch Logs subscription were read"
            );
        }
        self.splitter.finish(&mut |piece| deliver(sink, id, piece));
        if let Some(error) = error {
            let why = failure(&self.place, self.codec, error, self.consumed.load(Ordering::Relaxed), self.total_bytes);
            sink.event(id, InputEvent::Failed { why: &why });
        }
        sink.event(id, InputEvent::Closed);
    }
}

/// Hands on what stands in a payload; `told` counts its failures.
fn found_in_payload(
    found: Found<'_>,
    id: InputId,
    place: &str,
    told: &mut u64,
    splitter: &mut LineSplitter,
    sink: &mut dyn LineSink,
) {
    match found {
        Found::Document { lines, .. } => splitter.push(lines, &mut |piece| deliver(sink, id, piece)),
        Found::Text(text) => splitter.push(text, &mut |piece| deliver(sink, id, piece)),
        Found::Failed { at, why } => {
            *told += 1;
            if *told <= TOLD_FAILURES {
                let why = format!("in {place}, at byte {at} of what it holds: {why}");
                sink.event(id, InputEvent::Failed { why: &why });
            }
        }
    }
}

/// Says what stopped the reading of a file, so that a person knows what to do.
pub(crate) fn failure(place: &str, codec: Codec, error: &io::Error, consumed: u64, total: u64) -> String {
    match (codec, error.kind()) {
        (Codec::Plain, _) => format!("cannot read {place} beyond byte {consumed} of {total}: {error}"),
        (_, io::ErrorKind::UnexpectedEof) => {
            format!(
                "the {} data of {place} ends too early (at byte {consumed}); what stands before was read",
                codec.name()
            )
        }
        _ => format!(
            "the {} data of {place} is damaged near byte {consumed} of {total} ({error}); what stands before was read",
            codec.name()
        ),
    }
}
