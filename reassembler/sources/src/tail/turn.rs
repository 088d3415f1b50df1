//! Reading plain files: one block a turn.
//!
//! A block begins with the bytes that anchor the position, so that one read both verifies that the file still is what it was and brings
//! what follows. What follows is handed on up to its last newline, without copying. A line that has no end yet is read again when it
//! grew; once it is long, only what is new of it is searched, and the whole is read when its newline is there.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use memchr::{memchr, memrchr};
use nix::unistd::{Whence, lseek};

use super::identity::{
    ANCHOR_BYTES, Anchor, FINGERPRINT_BYTES, Stat, agrees, anchor_at, begins_alike, bytes_at, fingerprint_at,
    is_beginning_of, read_at,
};
use super::input::{Input, Kind, Stage};
use super::names::is_copy_name;
use super::{Notice, Tail, descriptors};
use crate::compression::{Codec, MAGIC_BYTES};
use crate::error::shown;
use crate::lines::{deliver, leading_nuls, split_whole_lines};
use crate::{InputEvent, InputId, LineSink};

/// How much is read at once: large enough that the cost per call vanishes, small enough to stay in the processor's cache.
pub(super) const BLOCK_BYTES: usize = 256 * 1024;

/// A partial line up to this long is simply read again when it grew.
const REREAD_BYTES: usize = 16 * 1024;

/// How often a file's first bytes are compared while it is being read.
const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// What reading a block came to.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    /// So many bytes were read, and there may be more.
    More(usize),
    /// The end of what there is, for now.
    End(usize),
    /// The file does not hold what was read of it any more.
    Rewritten,
}

impl Tail {
    /// Reads one block of one input. Returns the bytes read.
    pub(super) fn turn(&mut self, id: InputId, budget: usize, now: Instant, sink: &mut dyn LineSink) -> usize {
        let Some(input) = self.inputs.get(&id) else { return 0 };
        if input.stage != Stage::Following {
            return 0;
        }
        if !input.is_archive() {
            match self.ensure_open(id, now).and_then(|open| Ok(open && self.classify(id, now)?)) {
                Ok(true) => {}
                Ok(false) => return 0,
                Err(error) => {
                    let path = self.inputs.get(&id).map(|input| shown(&input.path)).unwrap_or_default();
                    self.fail(id, format!("cannot read {path}: {error}"));
                    return 0;
                }
            }
        }
        if self.inputs.get(&id).is_some_and(Input::is_archive) {
            return self.turn_archive(id, budget, now, sink);
        }
        if self.is_blocked(id) {
            self.enqueue(id);
            return 0;
        }
        self.announce(id);
        if let Some(predecessor) = self.inputs.get_mut(&id).and_then(|input| input.follows.take()) {
            self.changed.insert(id);
            self.tell(id, Notice::Follows { predecessor });
        }
        self.flush(sink);
        let Some(input) = self.inputs.get_mut(&id) else { return 0 };
        let position = input.position;
        let max_line_bytes = self.config.max_line_bytes;
        let block = read_block(input, &mut self.buffer, max_line_bytes, budget, now, sink);
        if input.position != position {
            input.active = now;
            self.changed.insert(id);
        }
        match block {
            Ok(Block::More(bytes)) => {
                input.failure = None;
                self.enqueue(id);
                bytes
            }
            Ok(Block::End(bytes)) => {
                input.failure = None;
                bytes
            }
            Ok(Block::Rewritten) => {
                self.rewritten(id, now);
                0
            }
            Err(error) => {
                let why = format!("cannot read {} at byte {position}: {error}", shown(&input.path));
                if error.raw_os_error() == Some(nix::errno::Errno::ESTALE as i32) {
                    self.detach(id);
                }
                self.fail(id, why);
                0
            }
        }
    }

    /// Sees to it that the input has a descriptor of the file it stands for. False where that file is elsewhere, or holds something
    /// else by now (which is dealt with).
    fn ensure_open(&mut self, id: InputId, now: Instant) -> io::Result<bool> {
        let Some(input) = self.inputs.get(&id) else { return Ok(false) };
        if input.file.is_some() {
            return Ok(true);
        }
        let file = match descriptors::open(&input.real) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.schedule.scan_wanted = true;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let stat = Stat::from(&file.metadata()?);
        if stat.key != input.key {
            self.schedule.scan_wanted = true;
            return Ok(false);
        }
        let holds = agrees(&file, input.position, &input.fingerprint, &input.anchor.digest())?;
        let anchor = anchor_at(&file, input.position)?;
        self.attach(id, file);
        if !holds {
            self.rewritten(id, now);
            return Ok(false);
        }
        if let Some(input) = self.inputs.get_mut(&id) {
            input.anchor = Anchor::Bytes(anchor);
        }
        Ok(true)
    }

    /// Finds out what a file holds, from its first bytes. False where that, or whether to read it, cannot be said yet.
    fn classify(&mut self, id: InputId, now: Instant) -> io::Result<bool> {
        let Some(input) = self.inputs.get(&id) else { return Ok(false) };
        if input.kind != Kind::Unknown {
            return Ok(true);
        }
        let Some(file) = &input.file else { return Ok(false) };
        let kind = match Codec::detect(&bytes_at(file, 0, MAGIC_BYTES)?) {
            None => return Ok(false),
            Some(Codec::Plain) => Kind::Plain,
            Some(codec) => Kind::Archive(Some(codec)),
        };
        let original = (kind == Kind::Plain).then(|| self.original_of(input)).flatten();
        let size = input.size_seen;
        if let Some(input) = self.inputs.get_mut(&id) {
            input.kind = kind;
        }
        if let Some((of, cut)) = original {
            self.set_stage(id, Stage::Suspect { of, since: now, size });
            if cut {
                self.rewritten(of, now);
                self.follow(id);
            }
            return Ok(false);
        }
        if kind != Kind::Plain {
            self.settle(id, now);
            return Ok(false);
        }
        Ok(true)
    }

    /// The followed file of which a new one may be a copy, and whether that one was cut meanwhile.
    fn original_of(&self, copy: &Input) -> Option<(InputId, bool)> {
        let file = copy.file.as_ref().filter(|_| copy.may_be_copy && copy.generation == 0)?;
        let at_their_paths =
            |other: &&Input| other.id != copy.id && other.kind == Kind::Plain && other.rotated.is_none();
        self.inputs.values().filter(at_their_paths).find_map(|other| {
            if !is_copy_name(&other.real, &copy.real) && !is_copy_name(&other.path, &copy.path) {
                return None;
            }
            let original = &descriptors::view(other).ok()?;
            if is_beginning_of(file, original).ok()? {
                return Some((other.id, false));
            }
            let digest = other.anchor.digest();
            let holds = |file: &File| agrees(file, other.position, &other.fingerprint, &digest).ok();
            (other.position > 0 && holds(file)? && !holds(original)?).then_some((other.id, true))
        })
    }
}

/// Reads the next block of an input and hands on its whole lines.
fn read_block(
    input: &mut Input,
    buffer: &mut Vec<u8>,
    max_line_bytes: usize,
    budget: usize,
    now: Instant,
    sink: &mut dyn LineSink,
) -> io::Result<Block> {
    let Some(file) = input.file.take() else { return Ok(Block::End(0)) };
    let result = Turn { input, file: &file, buffer, max_line_bytes, sink }.run(budget, now);
    input.file = Some(file);
    result
}

struct Turn<'a> {
    input: &'a mut Input,
    file: &'a File,
    buffer: &'a mut Vec<u8>,
    max_line_bytes: usize,
    sink: &'a mut dyn LineSink,
}

impl Turn<'_> {
    fn run(&mut self, budget: usize, now: Instant) -> io::Result<Block> {
        let stat = Stat::from(&self.file.metadata()?);
        if stat.size < self.input.position {
            return Ok(Block::Rewritten);
        }
        if self.input.compared.is_none_or(|at| now.saturating_duration_since(at) >= COMPARE_EVERY) {
            if !begins_alike(self.file, &self.input.fingerprint)? {
                return Ok(Block::Rewritten);
            }
            self.input.compared = Some(now);
        }
        let block = match self.input.scanned > self.input.position {
            true => self.search_on(budget)?,
            false => self.read_on(budget, BLOCK_BYTES)?,
        };
        if block != Block::Rewritten {
            self.confirm(&stat, now);
            if (self.input.fingerprint.len() as u64) < self.input.position.min(FINGERPRINT_BYTES as u64) {
                self.input.fingerprint = fingerprint_at(self.file, self.input.position)?;
            }
        }
        Ok(block)
    }

    /// The file was found to agree with what was read: takes note of its size, and of a cut within what was not read yet.
    fn confirm(&mut self, stat: &Stat, now: Instant) {
        let input = &mut *self.input;
        if stat.size < input.confirmed_size && input.confirmed_size > input.position {
            let kept = stat.size.max(input.position);
            let lost_at_least_bytes = input.confirmed_size - kept;
            self.sink.event(input.id, InputEvent::Truncated { lost_at_least_bytes });
            input.advance_to(input.position);
        }
        input.see(stat, now);
        input.confirmed_size = stat.size.max(input.position);
    }

    /// Reads from the position, at most `capacity` bytes behind the anchor.
    fn read_on(&mut self, budget: usize, capacity: usize) -> io::Result<Block> {
        let Anchor::Bytes(anchor) = &self.input.anchor else { return Ok(Block::Rewritten) };
        let lead = anchor.len();
        let capacity = capacity.min(budget.max(REREAD_BYTES)).max(ANCHOR_BYTES);
        self.room(lead + capacity.max(BLOCK_BYTES));
        let want = lead + capacity;
        let read = read_at(self.file, &mut self.buffer[..want], self.input.position - lead as u64)?;
        if !matches!(&self.input.anchor, Anchor::Bytes(anchor) if self.buffer[..read].starts_with(anchor)) {
            return Ok(Block::Rewritten);
        }
        let full = read == want;
        self.take(lead, read, full)?;
        Ok(if full { Block::More(read - lead) } else { Block::End(read - lead) })
    }

    /// Hands on the whole lines of `buffer[start..end]`, which begins at the position.
    fn take(&mut self, mut start: usize, end: usize, full: bool) -> io::Result<()> {
        if self.input.skipping > 0 {
            let Some(newline) = memchr(b'\n', &self.buffer[start..end]) else {
                self.input.skipping += (end - start) as u64;
                self.consume(start, end);
                return if full { self.skip_hole() } else { Ok(()) };
            };
            let bytes = self.input.skipping + newline as u64 + 1;
            self.sink.event(self.input.id, InputEvent::LongLine { bytes });
            self.input.skipping = 0;
            self.consume(start, start + newline + 1);
            start += newline + 1;
        }
        let fill = leading_nuls(&self.buffer[start..end]);
        if fill > 0 {
            if start + fill == end {
                self.input.in_fill = true;
                self.input.scanned = self.input.position + fill as u64;
                return Ok(());
            }
            self.consume(start, start + fill);
            start += fill;
        }
        match memrchr(b'\n', &self.buffer[start..end]) {
            Some(newline) => {
                let (id, sink) = (self.input.id, &mut *self.sink);
                let lines = &self.buffer[start..=start + newline];
                split_whole_lines(lines, self.max_line_bytes, &mut |piece| deliver(sink, id, piece));
                self.consume(start, start + newline + 1);
            }
            None => self.hold(start, end, full),
        }
        Ok(())
    }

    /// What stands behind the position has no newline: remembers how far it was searched, or begins to skip it.
    fn hold(&mut self, start: usize, end: usize, full: bool) {
        let partial = end - start;
        if partial >= self.max_line_bytes {
            self.input.skipping = partial as u64;
            self.consume(start, end);
        } else if full || partial > REREAD_BYTES {
            self.input.scanned = self.input.position + partial as u64;
        }
    }

    /// Moves the position behind `buffer[start..end]`, which begins at it.
    fn consume(&mut self, start: usize, end: usize) {
        self.input.advance_to(self.input.position + (end - start) as u64);
        self.input.anchor.advance(&self.buffer[start..end]);
    }

    /// Goes on searching behind what was searched: for the newline of a long line, or for the end of NUL fill.
    fn search_on(&mut self, budget: usize) -> io::Result<Block> {
        let Anchor::Bytes(anchor) = &self.input.anchor else { return Ok(Block::Rewritten) };
        if anchor_at(self.file, self.input.position)? != *anchor {
            return Ok(Block::Rewritten);
        }
        if self.input.in_fill {
            return self.search_fill();
        }
        let want = BLOCK_BYTES.min(budget.max(REREAD_BYTES));
        self.room(want);
        let read = read_at(self.file, &mut self.buffer[..want], self.input.scanned)?;
        let line = self.input.scanned - self.input.position;
        match memchr(b'\n', &self.buffer[..read]) {
            Some(newline) if line + (newline as u64) < self.max_line_bytes as u64 => {
                // The whole line is there: it is read at once.
                let whole = line as usize + newline + 1;
                let block = self.read_on(usize::MAX, whole.max(BLOCK_BYTES))?;
                self.shrink();
                Ok(block)
            }
            Some(newline) => {
                let bytes = line + newline as u64 + 1;
                self.sink.event(self.input.id, InputEvent::LongLine { bytes });
                self.jump(self.input.position + bytes)?;
                Ok(Block::More(newline + 1))
            }
            None => {
                self.input.scanned += read as u64;
                if line + read as u64 >= self.max_line_bytes as u64 {
                    self.input.skipping = line + read as u64;
                    self.jump(self.input.scanned)?;
                }
                Ok(if read == want { Block::More(read) } else { Block::End(read) })
            }
        }
    }

    /// Searches for the first byte behind NUL fill. Fill is passed only when something else follows it and it is fill still: a file may
    /// have been given its size before its content.
    fn search_fill(&mut self) -> io::Result<Block> {
        let from = self.next_data(self.input.scanned)?;
        self.room(BLOCK_BYTES);
        let read = read_at(self.file, &mut self.buffer[..BLOCK_BYTES], from)?;
        let fill = leading_nuls(&self.buffer[..read]);
        if bytes_at(self.file, self.input.position, 1)? != [0] {
            self.input.advance_to(self.input.position);
            return Ok(Block::More(0));
        }
        if fill < read {
            self.jump(from + fill as u64)?;
            return Ok(Block::More(fill));
        }
        self.input.scanned = from + fill as u64;
        Ok(if read == BLOCK_BYTES { Block::More(read) } else { Block::End(read) })
    }

    /// Within a line that is being skipped: passes a hole without reading it.
    fn skip_hole(&mut self) -> io::Result<()> {
        let Anchor::Bytes(anchor) = &self.input.anchor else { return Ok(()) };
        if anchor.iter().any(|byte| *byte != 0) {
            return Ok(());
        }
        let next = self.next_data(self.input.position)?;
        if next > self.input.position {
            self.input.skipping += next - self.input.position;
            self.jump(next)?;
        }
        Ok(())
    }

    /// Where the next data is: `from` itself, or behind a hole. File systems without holes always say `from`.
    fn next_data(&self, from: u64) -> io::Result<u64> {
        let offset = i64::try_from(from).map_err(io::Error::other)?;
        match lseek(self.file, offset, Whence::SeekData) {
            Ok(data) => Ok(u64::try_from(data).unwrap_or(from).max(from)),
            // Nothing but a hole up to the end.
            Err(nix::errno::Errno::ENXIO) => Ok(self.file.metadata()?.len().max(from)),
            Err(_) => Ok(from),
        }
    }

    /// Moves the position to where nothing was read into the buffer.
    fn jump(&mut self, position: u64) -> io::Result<()> {
        self.input.advance_to(position);
        self.input.anchor = Anchor::Bytes(anchor_at(self.file, position)?);
        Ok(())
    }

    fn room(&mut self, len: usize) {
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
    }

    /// Gives back what a long line needed.
    fn shrink(&mut self) {
        if self.buffer.len() > 2 * BLOCK_BYTES {
            self.buffer.truncate(BLOCK_BYTES + ANCHOR_BYTES);
            self.buffer.shrink_to_fit();
        }
    }
}
