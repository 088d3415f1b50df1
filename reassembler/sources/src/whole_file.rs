//! A file read once, from its start to its end.
//!
//! The file may be plain, gzip (several members too) or zstd; its first bytes tell, not its name. What can be read of a damaged
//! archive is delivered before the failure is told.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::compression::{Codec, MAGIC_BYTES, decompress};
use crate::error::shown;
use crate::lines::{LineSplitter, deliver};
use crate::{InputEvent, InputId, LineSink, SourceError};

/// Lines are read in blocks of this size.
const BLOCK_BYTES: usize = 128 * 1024;

/// A bounded input. Delivers [`InputEvent::Opened`] first, [`InputEvent::Closed`] last, and [`InputEvent::Failed`] before that where
/// the file could not be read to its end.
pub struct WholeFile {
    id: InputId,
    path: PathBuf,
    codec: Codec,
    reader: Box<dyn Read + Send>,
    consumed: Arc<AtomicU64>,
    total_bytes: u64,
    splitter: LineSplitter,
    /// Empty before the first read and after the last.
    block: Vec<u8>,
    opened: bool,
    done: bool,
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
        let path = path.as_ref().to_path_buf();
        let open = || -> io::Result<(File, u64, bool, Codec)> {
            let mut file = File::open(&path)?;
            let meta = file.metadata()?;
            if meta.is_dir() {
                return Ok((file, 0, true, Codec::Plain));
            }
            // A named pipe cannot be wound back, so its first bytes cannot be looked at.
            if !meta.is_file() {
                return Ok((file, 0, false, Codec::Plain));
            }
            let mut first = Vec::with_capacity(MAGIC_BYTES);
            file.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut first)?;
            file.seek(SeekFrom::Start(0))?;
            Ok((file, meta.len(), false, Codec::detect(&first).unwrap_or(Codec::Plain)))
        };
        let (file, total_bytes, directory, codec) =
            open().map_err(|source| SourceError::Open { path: path.clone(), source })?;
        if directory {
            return Err(SourceError::Directory { path });
        }
        let (reader, consumed) =
            decompress(file, codec).map_err(|source| SourceError::Open { path: path.clone(), source })?;
        let splitter = LineSplitter::new(max_line_bytes);
        Ok(Self {
            id,
            path,
            codec,
            reader,
            consumed,
            total_bytes,
            splitter,
            block: Vec::new(),
            opened: false,
            done: false,
        })
    }

    /// The input's id.
    pub fn id(&self) -> InputId {
        self.id
    }

    /// How far the file is read.
    pub fn progress(&self) -> WholeProgress {
        let consumed_bytes = self.consumed.load(Ordering::Relaxed);
        WholeProgress { consumed_bytes, total_bytes: self.total_bytes, done: self.done }
    }

    /// Reads about `budget_bytes` (of lines, decompressed) and hands them on. Does nothing once done.
    pub fn read(&mut self, budget_bytes: usize, sink: &mut dyn LineSink) -> WholeProgress {
        if self.done {
            return self.progress();
        }
        if !self.opened {
            self.opened = true;
            self.block = vec![0; BLOCK_BYTES];
            let name = format!("file:{}", shown(&self.path));
            sink.event(self.id, InputEvent::Opened { name: &name, position: 0 });
        }
        let mut budget = budget_bytes.max(1);
        while budget > 0 {
            let want = budget.clamp(1, self.block.len()).max(MAGIC_BYTES);
            match self.reader.read(&mut self.block[..want]) {
                Ok(0) => {
                    self.end(sink, None);
                    break;
                }
                Ok(read) => {
                    budget = budget.saturating_sub(read);
                    let id = self.id;
                    self.splitter.push(&self.block[..read], &mut |piece| deliver(sink, id, piece));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.end(sink, Some(&error));
                    break;
                }
            }
        }
        self.progress()
    }

    fn end(&mut self, sink: &mut dyn LineSink, error: Option<&io::Error>) {
        self.done = true;
        self.block = Vec::new();
        self.reader = Box::new(io::empty());
        let id = self.id;
        self.splitter.finish(&mut |piece| deliver(sink, id, piece));
        if let Some(error) = error {
            let why = failure(&self.path, self.codec, error, self.consumed.load(Ordering::Relaxed), self.total_bytes);
            sink.event(id, InputEvent::Failed { why: &why });
        }
        sink.event(id, InputEvent::Closed);
    }
}

/// Says what stopped the reading of a file, so that a person knows what to do.
pub(crate) fn failure(path: &Path, codec: Codec, error: &io::Error, consumed: u64, total: u64) -> String {
    let path = shown(path);
    match (codec, error.kind()) {
        (Codec::Plain, _) => format!("cannot read {path} beyond byte {consumed} of {total}: {error}"),
        (_, io::ErrorKind::UnexpectedEof) => {
            format!(
                "the {} data of {path} ends too early (at byte {consumed}); what stands before was read",
                codec.name()
            )
        }
        _ => format!(
            "the {} data of {path} is damaged near byte {consumed} of {total} ({error}); what stands before was read",
            codec.name()
        ),
    }
}
