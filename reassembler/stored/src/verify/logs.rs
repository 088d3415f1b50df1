//! Reading logs to their end, for what they hold of captures.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use reassemble_formats::{BadReason, Envelope, EnvelopeReader, Record, RecordSink};
use reassemble_sources::{InputEvent, InputId, LineSink, SourceError, WholeFile, matches};

use super::expected::Expectations;
use super::finding::Counts;
use super::{Progress, VerifyError};

/// Bytes of lines between two looks at the progress.
const STEP_BYTES: usize = 1 << 20;

/// The files that are meant: each as it is named, and where no file has the name, those that it matches as a glob, the one that was written to
/// longest ago first.
///
/// # Errors
/// A name that is neither, and a bad glob.
pub(super) fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, VerifyError> {
    let mut files = Vec::new();
    for name in named {
        let pattern = name.to_str().filter(|text| text.contains(['*', '?', '[', '{']));
        match pattern.filter(|_| !name.exists()) {
            None => files.push(name.clone()),
            Some(pattern) => {
                let mut found = matches(pattern)?;
                if found.is_empty() {
                    return Err(VerifyError::NothingMatches { pattern: pattern.to_owned() });
                }
                found.sort_by_cached_key(|path| (written_at(path), path.clone()));
                files.append(&mut found);
            }
        }
    }
    Ok(files)
}

fn written_at(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|meta| meta.modified()).ok()
}

/// Reads the files one after another; gives a sentence for each that could not be read to its end.
///
/// # Errors
/// A file that cannot be opened.
pub(super) fn read(
    files: &[PathBuf],
    envelope: Envelope,
    max_line_bytes: usize,
    expectations: &mut Expectations,
    counts: &mut Counts,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Vec<String>, VerifyError> {
    // All are opened before the first is read, so that a slip of the pen is told at once; and closed, for there may be thousands.
    let open = |number: usize, path: &PathBuf| WholeFile::open(InputId(number as u64), path, max_line_bytes);
    let mut total_bytes = 0;
    for (number, path) in files.iter().enumerate() {
        total_bytes += open(number, path)?.progress().total_bytes;
    }
    let mut work = Work { expectations, counts };
    let (mut unread, mut read_bytes) = (Vec::new(), 0);
    for (number, path) in files.iter().enumerate() {
        let mut file = open(number, path)?;
        let reader = EnvelopeReader::new(envelope, max_line_bytes);
        let mut lines = Lines { reader, work: &mut work, unread: &mut unread };
        loop {
            let at = file.read(STEP_BYTES, &mut lines);
            progress(&Progress::Logs { read_bytes: read_bytes + at.consumed_bytes, total_bytes });
            if at.done {
                break;
            }
        }
        read_bytes += file.progress().total_bytes;
    }
    let repeated = work.expectations.repeated;
    counts.repeated_records = repeated;
    Ok(unread)
}

/// One file's lines on their way to the expectations.
struct Lines<'w, 'e> {
    reader: EnvelopeReader,
    work: &'w mut Work<'e>,
    unread: &'w mut Vec<String>,
}

impl LineSink for Lines<'_, '_> {
    fn lines(&mut self, _input: InputId, block: &[u8]) {
        let lines = self.reader.block(block, self.work);
        self.work.counts.log_lines += lines;
        self.work.counts.log_bytes += block.len() as u64;
    }

    fn event(&mut self, _input: InputId, event: InputEvent<'_>) {
        match event {
            InputEvent::LongLine { .. } => self.work.counts.long_lines += 1,
            InputEvent::Failed { why } => self.unread.push(why.to_owned()),
            InputEvent::Closed => self.reader.finish(self.work),
            InputEvent::Opened { .. }
            | InputEvent::Follows { .. }
            | InputEvent::Truncated { .. }
            | InputEvent::Lost { .. } => {}
        }
    }
}

struct Work<'e> {
    expectations: &'e mut Expectations,
    counts: &'e mut Counts,
}

impl RecordSink for Work<'_> {
    fn record(&mut self, record: Record) {
        if let Record::Chunk(chunk) = record {
            self.expectations.take(chunk);
        }
    }

    fn bad(&mut self, _reason: BadReason) {
        self.counts.bad_records += 1;
    }

    fn long_line(&mut self, _bytes: u64) {
        self.counts.long_lines += 1;
    }
}

impl From<SourceError> for VerifyError {
    fn from(error: SourceError) -> Self {
        VerifyError::Source(error)
    }
}
