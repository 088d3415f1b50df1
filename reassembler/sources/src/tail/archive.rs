//! Compressed files among the followed ones.
//!
//! An archive is read once, when it does not change any more, one archive at a time. Before it is begun it is compared with what other
//! inputs have read: rotation compresses files that were followed, and those must not be read twice. The first bytes decide which
//! inputs come into question, the bytes before those inputs' positions decide which it is. Such an archive is left alone while the input has its
//! file; where the file is gone, the input goes on in the archive.
//!
//! Positions in an archive are those of its decompressed bytes.

use std::io::{self, Read};
use std::time::Instant;

use super::identity::{Anchor, Digest, FINGERPRINT_BYTES, Stat};
use super::input::{Kind, Stage};
use super::poll::age;
use super::turn::BLOCK_BYTES;
use super::{Tail, descriptors};
use crate::compression::{Codec, MAGIC_BYTES, counted, decompress};
use crate::error::shown;
use crate::lines::{LineSplitter, Piece, deliver};
use crate::whole_file::failure;
use crate::{InputId, LineSink};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Damage is believed once an archive has been unchanged for so many times the settling time.
const DAMAGE_PATIENCE: u32 = 10;

/// An input whose file an archive may hold.
#[derive(Debug)]
struct Candidate {
    input: InputId,
    position: u64,
    anchor: Digest,
}

enum Phase {
    /// Looking which of these (by position, ascending) the archive holds.
    Compare { candidates: Vec<Candidate>, found: Option<InputId> },
    /// Passing what was delivered, up to this position.
    Pass { until: u64 },
    /// Delivering.
    Deliver { splitter: LineSplitter },
}

/// The archive being decompressed.
pub(super) struct ArchiveJob {
    id: InputId,
    reader: Box<dyn Read + Send>,
    codec: Codec,
    stat: Stat,
    consumed: Arc<AtomicU64>,
    /// The first decompressed bytes.
    head: Vec<u8>,
    /// Of decompressed bytes, those that went by.
    offset: u64,
    /// The bytes right before `offset`, while that is not kept by the input.
    recent: Anchor,
    phase: Phase,
}

impl ArchiveJob {
    pub(super) fn id(&self) -> InputId {
        self.id
    }
}

impl Tail {
    /// One turn of an archive: decompresses a block. Returns the bytes read.
    pub(super) fn turn_archive(&mut self, id: InputId, budget: usize, now: Instant, sink: &mut dyn LineSink) -> usize {
        if let Some(other) = self.job.as_ref().map(ArchiveJob::id).filter(|other| *other != id) {
            if self.inputs.get(&other).is_some_and(|input| input.queued && input.stage == Stage::Following) {
                self.enqueue(id);
                return 0;
            }
            self.job = None;
        }
        let mut job = match self.job.take() {
            Some(job) => job,
            None => match self.start_job(id, now) {
                Ok(Some(_)) if self.is_blocked(id) && self.inputs.get(&id).is_some_and(|input| input.identified) => {
                    self.enqueue(id);
                    return 0;
                }
                Ok(Some(job)) => job,
                Ok(None) => return 0,
                Err(error) => {
                    self.archive_failed(id, Codec::Plain, &error, 0, now, None, sink);
                    return 0;
                }
            },
        };
        if self.buffer.len() < BLOCK_BYTES {
            self.buffer.resize(BLOCK_BYTES, 0);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let want = budget.clamp(FINGERPRINT_BYTES, BLOCK_BYTES);
        let result = job.reader.read(&mut buffer[..want]);
        let read = match result {
            Ok(0) => {
                self.archive_ended(job, now, sink);
                0
            }
            Ok(read) => {
                self.archive_block(job, &buffer[..read], now, sink);
                read
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.job = Some(job);
                self.enqueue(id);
                0
            }
            Err(error) => {
                let consumed = job.consumed.load(Ordering::Relaxed);
                if matches!(job.phase, Phase::Compare { .. }) && age(job.stat.mtime_ns) >= self.patience() {
                    // What can be read of it is not what another input has read.
                    self.compared(job, now);
                } else {
                    self.archive_failed(id, job.codec, &error, consumed, now, Some(job), sink);
                }
                0
            }
        };
        self.buffer = buffer;
        read
    }

    fn patience(&self) -> std::time::Duration {
        self.config.archive_settle * DAMAGE_PATIENCE
    }

    /// Opens an archive. None where it is not the file that was meant, or is not to be read.
    fn start_job(&mut self, id: InputId, now: Instant) -> io::Result<Option<ArchiveJob>> {
        let Some(input) = self.inputs.get(&id) else { return Ok(None) };
        let mut file = match &input.file {
            Some(file) => file.try_clone()?,
            None => descriptors::open(&input.real)?,
        };
        io::Seek::seek(&mut file, io::SeekFrom::Start(0))?;
        let stat = Stat::from(&file.metadata()?);
        if stat.key != input.key {
            self.schedule.scan_wanted = true;
            return Ok(None);
        }
        let mut first = Vec::with_capacity(MAGIC_BYTES);
        file.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut first)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(0))?;
        let codec = Codec::detect(&first).unwrap_or(Codec::Plain);
        let (source, consumed) = counted(file);
        let reader = decompress(source, codec)?;
        let (identified, until, threshold) = (input.identified, input.position, input.newer_than_ns);
        let mut job = ArchiveJob {
            id,
            reader,
            codec,
            stat,
            consumed,
            head: Vec::with_capacity(FINGERPRINT_BYTES),
            offset: 0,
            recent: Anchor::none(),
            phase: Phase::Pass { until },
        };
        if let Some(input) = self.inputs.get_mut(&id) {
            input.see(&stat, now);
            input.kind = Kind::Archive(Some(codec));
        }
        if identified {
            return Ok(Some(job));
        }
        // The first bytes are read ahead and then read again from memory.
        let mut head = vec![0; FINGERPRINT_BYTES];
        let mut filled = 0;
        while filled < head.len() {
            match job.reader.read(&mut head[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if filled == 0 => return Err(error),
                Err(_) => break,
            }
        }
        head.truncate(filled);
        let candidates = self.candidates(id, &head);
        job.reader = Box::new(io::Cursor::new(head).chain(job.reader));
        if !candidates.is_empty() {
            job.phase = Phase::Compare { candidates, found: None };
        } else if threshold.is_some_and(|threshold| stat.mtime_ns <= threshold) {
            self.forget(id);
            self.resolve_waits(now);
            return Ok(None);
        } else {
            if let Some(input) = self.inputs.get_mut(&id) {
                input.identified = true;
            }
            self.resolve_waits(now);
        }
        Ok(Some(job))
    }

    /// The inputs that began as this archive does.
    fn candidates(&self, id: InputId, head: &[u8]) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = self
            .inputs
            .values()
            .filter(|input| input.id != id && input.position > 0 && input.fingerprint.len > 0)
            // Another archive counts only where it is gone, as when it was moved between file systems.
            .filter(|input| !input.is_archive() || input.stage == Stage::Missing)
            .filter(|input| {
                head.get(..input.fingerprint.len()).is_some_and(|first| Digest::of(first) == input.fingerprint)
            })
            .map(|input| Candidate { input: input.id, position: input.position, anchor: input.anchor.digest() })
            .collect();
        candidates.sort_by_key(|candidate| candidate.position);
        candidates
    }

    fn archive_block(&mut self, mut job: ArchiveJob, block: &[u8], now: Instant, sink: &mut dyn LineSink) {
        let id = job.id;
        let missing = FINGERPRINT_BYTES - job.head.len();
        job.head.extend_from_slice(&block[..block.len().min(missing)]);
        match &mut job.phase {
            Phase::Compare { candidates, found } => {
                let mut rest = block;
                while let Some(candidate) = candidates.first() {
                    let ahead = candidate.position - job.offset;
                    if ahead > rest.len() as u64 {
                        break;
                    }
                    let (before, after) = rest.split_at(ahead as usize);
                    job.recent.advance(before);
                    job.offset += before.len() as u64;
                    rest = after;
                    if recent_digest(&job.recent, candidate.anchor.len()) == candidate.anchor {
                        *found = Some(candidate.input);
                    }
                    candidates.remove(0);
                }
                job.recent.advance(rest);
                job.offset += rest.len() as u64;
                if candidates.is_empty() {
                    return self.compared(job, now);
                }
            }
            Phase::Pass { until } => {
                let pass = (*until - job.offset).min(block.len() as u64) as usize;
                let until = *until;
                job.recent.advance(&block[..pass]);
                job.offset += pass as u64;
                if job.offset == until && !self.begin_delivery(&mut job) {
                    return;
                }
                if pass < block.len() {
                    self.deliver_block(&mut job, &block[pass..], sink);
                }
            }
            Phase::Deliver { .. } => self.deliver_block(&mut job, block, sink),
        }
        if let Some(input) = self.inputs.get_mut(&id) {
            input.active = now;
        }
        self.job = Some(job);
        self.enqueue(id);
    }

    /// Begins to deliver, at the input's position. False where the archive does not hold what was delivered; then it is read as new.
    fn begin_delivery(&mut self, job: &mut ArchiveJob) -> bool {
        let id = job.id;
        let Some(input) = self.inputs.get_mut(&id) else { return false };
        let anchor = input.anchor.digest();
        let same = Digest::of(&job.head[..input.fingerprint.len().min(job.head.len())]) == input.fingerprint
            && recent_digest(&job.recent, anchor.len()) == anchor;
        if !same {
            input.rewind();
            input.kind = Kind::Archive(None);
            self.announce(id);
            self.tell(id, super::Notice::Truncated { lost_at_least_bytes: 0 });
            self.changed.insert(id);
            self.enqueue(id);
            return false;
        }
        input.anchor = job.recent.clone();
        job.phase = Phase::Deliver { splitter: LineSplitter::resume(self.config.max_line_bytes, input.skipping) };
        self.announce(id);
        if let Some(predecessor) = self.inputs.get_mut(&id).and_then(|input| input.follows.take()) {
            self.tell(id, super::Notice::Follows { predecessor });
        }
        true
    }

    fn deliver_block(&mut self, job: &mut ArchiveJob, block: &[u8], sink: &mut dyn LineSink) {
        self.flush(sink);
        job.offset += block.len() as u64;
        let id = job.id;
        let Phase::Deliver { splitter } = &mut job.phase else { return };
        let Some(input) = self.inputs.get_mut(&id) else { return };
        splitter.push(block, &mut |piece| {
            if let Piece::Lines(bytes) | Piece::Skipped(bytes) = &piece {
                input.advance_to(input.position + bytes.len() as u64);
                input.anchor.advance(bytes);
            }
            deliver(sink, id, piece);
        });
        input.skipping = splitter.skipping();
        if (input.fingerprint.len() as u64) < input.position.min(FINGERPRINT_BYTES as u64) {
            input.fingerprint = Digest::of(&job.head[..job.head.len().min(input.position as usize)]);
        }
        input.failure = None;
        self.changed.insert(id);
    }

    /// The comparison is over.
    fn compared(&mut self, job: ArchiveJob, now: Instant) {
        let id = job.id;
        let Phase::Compare { found, .. } = job.phase else { return };
        match found.and_then(|of| self.inputs.get(&of)) {
            Some(of) if of.stage == Stage::Missing => self.take_over_archive(of.id, id, of.closed),
            Some(of) => {
                let of = of.id;
                if let Some(input) = self.inputs.get_mut(&id) {
                    input.identified = true;
                    input.stage = Stage::Shadow { of };
                }
                self.detach(id);
            }
            None => {
                let Some(input) = self.inputs.get_mut(&id) else { return };
                if input.newer_than_ns.is_some_and(|threshold| input.mtime_seen_ns <= threshold) {
                    self.forget(id);
                } else {
                    input.identified = true;
                    self.enqueue(id);
                }
            }
        }
        self.resolve_waits(now);
    }

    fn archive_ended(&mut self, mut job: ArchiveJob, now: Instant, sink: &mut dyn LineSink) {
        match job.phase {
            Phase::Compare { .. } => return self.compared(job, now),
            Phase::Pass { until } if job.offset < until => {
                // Shorter than what was delivered: not the archive that it was.
                job.recent = Anchor::none();
                self.begin_delivery(&mut job);
                return;
            }
            Phase::Pass { .. } => {
                if !self.begin_delivery(&mut job) {
                    return;
                }
            }
            Phase::Deliver { .. } => {}
        }
        self.finish_archive(job, now, sink);
    }

    /// Hands on the last line, and lets the archive go.
    fn finish_archive(&mut self, mut job: ArchiveJob, now: Instant, sink: &mut dyn LineSink) {
        self.flush(sink);
        let id = job.id;
        let Some(input) = self.inputs.get_mut(&id) else { return };
        if let Phase::Deliver { splitter } = &mut job.phase {
            splitter.finish(&mut |piece| {
                if let Piece::Lines(bytes) = &piece {
                    input.advance_to(input.position + bytes.len() as u64);
                    input.anchor.advance(bytes);
                }
                deliver(sink, id, piece);
            });
            input.skipping = 0;
            input.fingerprint = Digest::of(&job.head[..job.head.len().min(input.position as usize)]);
        }
        input.confirmed_size = input.position;
        input.closed = true;
        input.active = now;
        self.changed.insert(id);
        self.detach(id);
        self.close(id);
    }

    /// An archive could not be read further. One that was written a moment ago may not be complete, and is looked at again.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call site each for opening and reading, which know different things"
    )]
    fn archive_failed(
        &mut self,
        id: InputId,
        codec: Codec,
        error: &io::Error,
        consumed: u64,
        now: Instant,
        job: Option<ArchiveJob>,
        sink: &mut dyn LineSink,
    ) {
        let Some(input) = self.inputs.get(&id) else { return };
        if age(input.mtime_seen_ns) < self.patience() {
            let (size, mtime_ns) = (input.size_seen, input.mtime_seen_ns);
            return self.set_stage(id, Stage::Settling { since: now, size, mtime_ns });
        }
        let why = failure(&shown(&input.path), codec, error, consumed, input.size_seen);
        if input.newer_than_ns.is_some() && !input.identified {
            return self.forget(id);
        }
        self.announce(id);
        self.fail(id, why);
        if let Some(job) = job {
            self.finish_archive(job, now, sink);
        }
    }
}

/// The digest of the last `len` bytes.
fn recent_digest(recent: &Anchor, len: usize) -> Digest {
    match recent {
        Anchor::Bytes(bytes) => Digest::of(&bytes[bytes.len().saturating_sub(len)..]),
        Anchor::Digest(digest) => *digest,
    }
}
