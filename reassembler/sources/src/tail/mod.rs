//! Following files.
//!
//! # What is kept
//! An *input* is a stream of lines with an [`InputId`]; it is tied to a file by device and inode number, not by its name. Its position
//! is the start of the first line that was not delivered: half a line at the end is not delivered and is read again when it grew.
//! [`Tail::changed_records`] gives the positions for a checkpoint; given back to [`Tail::open`], reading goes on from there.
//!
//! # How rotation is survived
//! The descriptor of a rotated or deleted file stays open until it has been silent for [`TailConfig::rotated_quiet`], also while nobody
//! calls [`Tail::read`] for hours: what was discovered is not lost by being rotated. A file made at the path of a rotated one is read
//! after it. Without descriptors (after a restart) a file is searched among its siblings by inode number and by digests of what was
//! read, in archives too; siblings that rotation made meanwhile are read first, oldest first. A file that was cut is looked for in
//! copies; what is found in none is reported as lost.
//!
//! # What it costs
//! Events (see `watch`) say when to look; beside them every file is polled, recently active ones each [`TailConfig::poll_interval`],
//! the rest four (where no events are expected) or twelve times as seldom, and directories are walked each [`TailConfig::scan_interval`], a
//! third as often where events are expected of all. All inputs share one read buffer; at
//! most one archive is being decompressed at a time. At most [`TailConfig::max_open_files`] descriptors are held: beyond it those of files
//! that were silent longest are closed, and opened again when they change; a file without a descriptor that is moved out of sight or
//! deleted is lost from then on. Only files that nothing but their descriptor leads to can exceed the bound.
//!
//! # Modules
//! `scan` finds files, `poll` notices changes, `turn` reads lines, `archive` reads compressed files, `rewrite` deals with truncation,
//! `restore` with restarts, `retire` with the end of files.

mod archive;
mod descriptors;
mod discover;
mod glob;
mod identity;
mod input;
mod names;
mod poll;
mod record;
mod restore;
mod retire;
mod rewrite;
mod scan;
mod turn;
mod watch;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::shown;
use crate::{InputEvent, InputId, LineSink, SourceError};
use archive::ArchiveJob;
use discover::Pattern;
use identity::FileKey;
use input::{Input, Stage};
use watch::Watch;

/// So many turns more than there are inputs may bring nothing before the caller gets its thread back: a file that is cut again and
/// again must not hold it.
const IDLE_TURNS: usize = 64;

/// How files are followed.
#[derive(Clone, Debug)]
pub struct TailConfig {
    /// Paths, or globs with `*`, `?`, `[…]`, `{…}` and `**`. What does not exist yet is waited for.
    pub patterns: Vec<String>,
    /// At the first start (no positions are restored) files that exist are read from their end. Files that come later are read from
    /// their start in any case.
    pub from_end: bool,
    /// A longer line (newline counted) is skipped and reported.
    pub max_line_bytes: usize,
    /// How often recently active files are polled; others, and directories without events, are four times as seldom, and files of which
    /// events tell twelve times.
    pub poll_interval: Duration,
    /// How often directories are walked even where nothing seems to have changed; a third as often where events would tell of all of them.
    pub scan_interval: Duration,
    /// How long a rotated or deleted file must be silent before its descriptor is closed; ten times as long where it ends in half a line or
    /// was moved to where it cannot be found again. What is written into such a file, or a deleted one, later than that is not seen.
    pub rotated_quiet: Duration,
    /// How long an archive must be unchanged before it is read. Damage is believed only after ten times as long.
    pub archive_settle: Duration,
    /// How long a new file that begins as a followed one does, and bears a name that rotation could give, may be a copy in the making.
    pub copy_wait: Duration,
    /// The most descriptors to hold; None for half of what the system allows, at most 4,096.
    pub max_open_files: Option<usize>,
    /// Use file system events beside polling.
    pub events: bool,
    /// How long no further event is passed on after one: a file that is written all the time is read so often. The first event after a
    /// silence is passed on at once.
    pub event_rest: Duration,
}

impl TailConfig {
    /// Follows `patterns` with the defaults: from the start, lines up to 1 MiB, polls of 250 ms, walks each 10 s.
    pub fn new(patterns: Vec<String>) -> Self {
        Self {
            patterns,
            from_end: false,
            max_line_bytes: 1024 * 1024,
            poll_interval: Duration::from_millis(250),
            scan_interval: Duration::from_secs(10),
            rotated_quiet: Duration::from_secs(60),
            archive_settle: Duration::from_secs(2),
            copy_wait: Duration::from_secs(5),
            max_open_files: None,
            events: true,
            event_rest: Duration::from_millis(8),
        }
    }
}

/// What a call of [`Tail::read`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadProgress {
    /// Bytes read.
    pub bytes: usize,
    /// Every file was read to its end as far as is known.
    pub caught_up: bool,
}

/// Follows files. See the module's head for what it promises.
///
/// All work is done within [`Tail::read`]. A caller that cannot take lines just does not call it: descriptors stay open, positions stay
/// where they are, and the files themselves hold what is to be read.
pub struct Tail {
    config: TailConfig,
    patterns: Vec<Pattern>,
    watch: Watch,
    next_id: Box<dyn FnMut() -> InputId + Send>,
    inputs: HashMap<InputId, Input>,
    by_key: HashMap<FileKey, InputId>,
    /// For events, which name real paths.
    by_real: HashMap<PathBuf, InputId>,
    /// Which file the patterns found at which path last.
    matched: HashMap<PathBuf, FileKey>,
    /// Paths that cannot be followed, the id under which that was told, and the reason.
    problems: HashMap<PathBuf, (InputId, String)>,
    /// Inputs with something to read, in the order of their turns.
    queue: VecDeque<InputId>,
    /// Everything in the queue waits for something that time must bring.
    stalled: bool,
    buffer: Vec<u8>,
    job: Option<ArchiveJob>,
    changed: BTreeSet<InputId>,
    notices: VecDeque<(InputId, Notice)>,
    open_files: usize,
    max_open_files: usize,
    schedule: Schedule,
    /// A file found now may be a copy of a followed one: not so at the very first walk, where all files are new.
    copies_expected: bool,
}

/// The files that a pattern matches now. None is no error: what does not exist yet would be waited for.
///
/// # Errors
/// [`SourceError::Pattern`] for a pattern that is none.
pub fn matches(pattern: &str) -> Result<Vec<PathBuf>, SourceError> {
    let walk = discover::Walk::of(&[Pattern::parse(pattern)?]);
    Ok(walk.files.into_iter().map(|found| found.path).collect())
}

/// When to look next.
#[derive(Debug)]
struct Schedule {
    poll_at: Instant,
    /// For files and directories of which no events are expected.
    poll_silent_at: Instant,
    poll_all_at: Instant,
    scan_at: Instant,
    /// A walk is due as soon as it may be.
    scan_wanted: bool,
    /// Walks are kept to a twentieth of the time, however often names change.
    scan_not_before: Instant,
}

/// An event on its way to the sink.
enum Notice {
    Opened {
        name: String,
        position: u64,
    },
    Follows {
        predecessor: InputId,
    },
    Truncated {
        lost_at_least_bytes: u64,
    },
    Failed {
        why: String,
    },
    /// The last line of a file that ended without a newline.
    LastLine(Vec<u8>),
    LongLine {
        bytes: u64,
    },
    Closed,
}

impl Tail {
    /// Begins to follow. `restored` are the records of an earlier run, as [`Tail::changed_records`] gave them; `next_id` draws ids that no
    /// record bears; `wake` is called, from another thread, when [`Tail::read`] should be called before [`Tail::next_wake`] says so.
    ///
    /// The soft limit of open files is raised towards the hard one where [`TailConfig::max_open_files`] needs it.
    ///
    /// # Errors
    /// [`SourceError::Pattern`] for a pattern that is none, [`SourceError::Record`] and [`SourceError::RecordVersion`] for records that cannot be
    /// understood. A file that cannot be read is no error here: it is told as [`InputEvent::Failed`] and tried again.
    pub fn open(
        config: TailConfig,
        restored: Vec<(InputId, Vec<u8>)>,
        next_id: impl FnMut() -> InputId + Send + 'static,
        wake: Arc<dyn Fn() + Send + Sync>,
        now: Instant,
    ) -> Result<Self, SourceError> {
        let patterns = config.patterns.iter().map(|pattern| Pattern::parse(pattern)).collect::<Result<Vec<_>, _>>()?;
        let records =
            restored.into_iter().map(|(id, bytes)| record::decode(id, &bytes, now)).collect::<Result<Vec<_>, _>>()?;
        let max_open_files = descriptors::limit(config.max_open_files);
        let schedule = Schedule {
            poll_at: now,
            poll_silent_at: now,
            poll_all_at: now,
            scan_at: now,
            scan_wanted: false,
            scan_not_before: now,
        };
        let mut tail = Self {
            patterns,
            watch: Watch::new(config.events.then_some(config.event_rest), wake),
            next_id: Box::new(next_id),
            inputs: HashMap::new(),
            by_key: HashMap::new(),
            by_real: HashMap::new(),
            matched: HashMap::new(),
            problems: HashMap::new(),
            queue: VecDeque::new(),
            stalled: false,
            buffer: Vec::new(),
            job: None,
            changed: BTreeSet::new(),
            notices: VecDeque::new(),
            open_files: 0,
            max_open_files,
            schedule,
            copies_expected: !records.is_empty(),
            config,
        };
        let first_start = !tail.copies_expected;
        tail.restore(records, now);
        tail.scan_first(first_start, now);
        tail.copies_expected = true;
        Ok(tail)
    }

    /// Looks for changes that are due, then reads about `budget_bytes` in turns of one block a file, so that a hot file starves no other.
    pub fn read(&mut self, budget_bytes: usize, now: Instant, sink: &mut dyn LineSink) -> ReadProgress {
        self.look(now);
        self.flush(sink);
        let mut bytes = 0;
        let mut idle_turns = 0;
        while bytes < budget_bytes && idle_turns <= self.inputs.len() + IDLE_TURNS {
            let Some(id) = self.next_turn() else { break };
            let read = self.turn(id, budget_bytes - bytes, now, sink);
            bytes += read;
            idle_turns = if read > 0 { 0 } else { idle_turns + 1 };
            self.flush(sink);
        }
        ReadProgress { bytes, caught_up: self.queue.is_empty() }
    }

    /// How long the caller may sleep before it calls [`Tail::read`] again, unless it is woken.
    pub fn next_wake(&self, now: Instant) -> Duration {
        if !self.notices.is_empty() || (!self.queue.is_empty() && !self.stalled) {
            return Duration::ZERO;
        }
        self.schedule.poll_at.saturating_duration_since(now)
    }

    /// How many files are followed now, rotated ones that may still grow included.
    pub fn followed_files(&self) -> usize {
        self.inputs.len()
    }

    /// The position records that changed since the last call: to be stored under the input's id, or, where None, forgotten. They stand for
    /// exactly the lines and events that were handed to the sink so far.
    pub fn changed_records(&mut self) -> Vec<(InputId, Option<Vec<u8>>)> {
        if !self.notices.is_empty() {
            // Only between `open` and the first `read`: what is to be told yet must not be stored as told.
            return Vec::new();
        }
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|id| (id, self.inputs.get(&id).map(record::encode))).collect()
    }

    /// Hands on the events that came up, in order.
    fn flush(&mut self, sink: &mut dyn LineSink) {
        while let Some((id, notice)) = self.notices.pop_front() {
            match notice {
                Notice::Opened { name, position } => sink.event(id, InputEvent::Opened { name: &name, position }),
                Notice::Follows { predecessor } => sink.event(id, InputEvent::Follows { predecessor }),
                Notice::Truncated { lost_at_least_bytes } => {
                    sink.event(id, InputEvent::Truncated { lost_at_least_bytes })
                }
                Notice::Failed { why } => sink.event(id, InputEvent::Failed { why: &why }),
                Notice::LastLine(line) => sink.lines(id, &line),
                Notice::LongLine { bytes } => sink.event(id, InputEvent::LongLine { bytes }),
                Notice::Closed => sink.event(id, InputEvent::Closed),
            }
        }
    }

    fn tell(&mut self, id: InputId, notice: Notice) {
        self.notices.push_back((id, notice));
    }

    /// Tells that an input's lines will follow, if that was not told yet.
    fn announce(&mut self, id: InputId) {
        let Some(input) = self.inputs.get_mut(&id) else { return };
        input.closed = false;
        if !std::mem::replace(&mut input.announced, true) {
            let name = format!("file:{}", shown(&input.path));
            let position = input.position;
            self.tell(id, Notice::Opened { name, position });
        }
    }

    /// Tells, once per change, why an input cannot be read; it is tried again at a later poll.
    fn fail(&mut self, id: InputId, why: String) {
        let Some(input) = self.inputs.get_mut(&id) else { return };
        if input.failure.as_ref() != Some(&why) {
            input.failure = Some(why.clone());
            self.tell(id, Notice::Failed { why });
        }
    }

    /// Gives an input a turn.
    fn enqueue(&mut self, id: InputId) {
        if let Some(input) = self.inputs.get_mut(&id)
            && !std::mem::replace(&mut input.queued, true)
        {
            self.queue.push_back(id);
            self.stalled = false;
        }
    }

    /// The next input whose turn it is, taken from the queue; None where all wait for others.
    fn next_turn(&mut self) -> Option<InputId> {
        for _ in 0..self.queue.len() {
            let id = self.queue.pop_front()?;
            let Some(input) = self.inputs.get(&id) else { continue };
            let blocked = self.is_blocked(id);
            // Finding out what a file is must wait for nothing: it may be what the other input lacks.
            if blocked && !input.is_unidentified() {
                self.queue.push_back(id);
                continue;
            }
            if let Some(input) = self.inputs.get_mut(&id) {
                input.queued = false;
                if !blocked {
                    input.after = None;
                }
            }
            return Some(id);
        }
        self.stalled = !self.queue.is_empty();
        None
    }

    /// Whether another input must be drained before this one.
    fn is_blocked(&self, id: InputId) -> bool {
        self.inputs.get(&id).and_then(|input| input.after).is_some_and(|before| self.is_undrained(before))
    }

    /// Whether an input has something that is to be read before its successor is begun.
    fn is_undrained(&self, id: InputId) -> bool {
        self.inputs.get(&id).is_some_and(|input| {
            input.queued || matches!(input.stage, Stage::Missing | Stage::Settling { .. } | Stage::Suspect { .. })
        })
    }

    fn fresh_id(&mut self) -> InputId {
        (self.next_id)()
    }
}
