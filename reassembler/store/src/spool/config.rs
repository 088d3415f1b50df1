//! What a spool is told: folders, sizes and limits.

use std::path::PathBuf;
use std::time::Duration;

use reassemble_formats::layout::BatchEncoding;

/// How batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip at a level from 1 to 12.
    Gzip {
        /// libdeflate's level; 1 compresses better than gzip's own 1, in a fraction of its time.
        level: u32,
    },
    /// Zstandard.
    Zstd {
        /// zstd's level.
        level: i32,
    },
    /// None: plain lines.
    None,
}

impl Compression {
    pub(crate) fn encoding(self) -> BatchEncoding {
        match self {
            Self::Gzip { .. } => BatchEncoding::Gzip,
            Self::Zstd { .. } => BatchEncoding::Zstd,
            Self::None => BatchEncoding::Plain,
        }
    }
}

/// Configuration of a [`Spool`](super::Spool). [`SpoolConfig::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct SpoolConfig {
    /// The state directory; made if it is missing. One daemon each.
    pub state_dir: PathBuf,
    /// Uncompressed bytes at which a batch is sealed.
    pub batch_bytes: u64,
    /// Age at which a batch is sealed, counted from the first [`roll_due`](super::Spool::roll_due) that saw it.
    pub batch_age: Duration,
    /// How new batches are compressed; batches that are open already keep theirs.
    pub compression: Compression,
    /// Uncompressed bytes at which a block is compressed and appended to its spool file. A block ends after the line that reaches
    /// this, so blocks depend on the lines alone.
    pub block_bytes: usize,
    /// Threads that compress, beside the one that owns the spool; none where nothing is compressed. Each holds a block.
    pub compressor_threads: usize,
    /// Bytes of unfinished blocks held in memory over all batches; beyond it the coldest batches' go to the database.
    pub pending_bytes: usize,
    /// Batches open at once; one more seals the batch that was appended to least recently.
    pub max_open_batches: usize,
    /// Stored ids a generation holds; a full one replaces the older. So between one and two times as many are known.
    pub seen_per_generation: u64,
    /// The database's page cache.
    pub cache_bytes: usize,
    /// Appends stop below this much free disk, commits below half of it, so that the database never meets a full disk.
    pub min_free_bytes: u64,
    /// Mode of files.
    pub file_mode: u32,
    /// Mode of folders.
    pub folder_mode: u32,
    /// Set once, by a person who read [`StateError::Damaged`](crate::StateError::Damaged): every spool file is checked against its
    /// checksum, and damaged ones are moved to `quarantine/` and forgotten.
    pub accept_damage: bool,
}

/// Lines that are not compressed are written in pieces of this much, in bytes: small enough to be in the processor's cache still.
const PLAIN_BYTES: usize = 256 << 10;

impl SpoolConfig {
    /// Bytes at which a batch's block is full.
    pub(crate) fn full_block_bytes(&self, encoding: BatchEncoding) -> usize {
        match encoding {
            BatchEncoding::Plain => self.block_bytes.min(PLAIN_BYTES),
            BatchEncoding::Gzip | BatchEncoding::Zstd => self.block_bytes,
        }
    }

    /// The defaults, for a state directory.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            batch_bytes: 64 << 20,
            batch_age: Duration::from_secs(60),
            compression: Compression::Gzip { level: 1 },
            block_bytes: 768 << 10,
            compressor_threads: compressor_threads(),
            pending_bytes: 4 << 20,
            max_open_batches: 10_000,
            seen_per_generation: 1_000_000,
            cache_bytes: 4 << 20,
            min_free_bytes: 8 << 20,
            file_mode: 0o600,
            folder_mode: 0o700,
            accept_damage: false,
        }
    }
}

/// Threads that compress: as many as there are processors, for those that feed them wait where all are busy, and never many, because each
/// takes memory.
fn compressor_threads() -> usize {
    const MOST: usize = 4;
    std::thread::available_parallelism().map_or(1, |processors| processors.get().min(MOST))
}
