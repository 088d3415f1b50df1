//! Reads many groups in turns.
//!
//! Each turn is one call: a page of one group, or a page of the names of groups that a pattern fits. Turns go round, so a group with a
//! backlog has no more of them than any other. All calls share one budget, as the account does: where the service says that it is asked
//! too often, all wait; any other fault delays its own group alone.

mod groups;
mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::LogsClient;
use crate::error::{Fault, LogsError};
use crate::pace::{Backoff, Bucket};
use crate::position::Position;
use crate::window::Rules;
use groups::{Group, Pattern};
use turns::Turn;

/// What is read, and how. [`PollerConfig::new`] has the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct PollerConfig {
    /// Names or ARNs of log groups; a name with `*` at its end stands for all that begin with it, those too that appear later.
    pub groups: Vec<String>,
    /// What the names of streams begin with; empty for all.
    pub stream_prefix: String,
    /// No event before this time, in milliseconds since the epoch; `None`: none before the first start.
    pub since_ms: Option<i64>,
    /// No event after this time, in milliseconds since the epoch: reading ends. `None`: groups are followed.
    pub until_ms: Option<i64>,
    /// How much later than its time an event may become visible. So far back events are read again; a group that has fallen silent
    /// four times as far.
    pub overlap: Duration,
    /// How often a group is asked that is read to its end.
    pub poll_interval: Duration,
    /// How often groups are looked for that a pattern fits.
    pub discover_interval: Duration,
    /// Where reading ends: how long a group may fail, or the service answer no call, without a break, before that is given up. Who follows never
    /// gives up.
    pub patience: Duration,
    /// Calls a second over all groups. The service's quota counts an account's calls in a region, those of others too.
    pub calls_per_second: f64,
    /// Ids of delivered events that are kept over all groups, to drop those that are read again: 8 to 34 bytes each.
    pub ids_kept: usize,
}

impl PollerConfig {
    /// These groups, followed from now on.
    pub fn new(groups: Vec<String>) -> Self {
        Self {
            groups,
            stream_prefix: String::new(),
            since_ms: None,
            until_ms: None,
            overlap: Duration::from_secs(5 * 60),
            poll_interval: Duration::from_secs(5),
            discover_interval: Duration::from_secs(60),
            patience: Duration::from_secs(5 * 60),
            calls_per_second: 5.0,
            ids_kept: 1 << 19,
        }
    }
}

/// What was new of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The group.
    pub group: String,
    /// Each event's message, with a newline at its end; those within it are kept. Empty where only the position moved.
    pub lines: Vec<u8>,
    /// Where the group is: everything delivered so far is behind it, or will be read again from it. [`group_of`](crate::group_of)
    /// tells the group.
    pub position: Vec<u8>,
    /// Whether the group is read to its end for now.
    pub caught_up: bool,
}

/// Why a [`Poller`] ended.
#[derive(Debug)]
pub enum Ended {
    /// It was told to, or what it delivers to has ended.
    Stopped,
    /// Every group is read to `until`.
    Done {
        /// Groups that could not be read, and why. Those of a pattern that fits none, or cannot be looked for, stand here as the pattern.
        failed: Vec<(String, LogsError)>,
    },
}

/// The first delay after a fault of one group, and the longest.
const GROUP_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// The first delay after the service was asked too often, and the longest.
const ACCOUNT_BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// More groups than this are not read, which is said: each keeps some memory, and has a turn.
const MOST_GROUPS: usize = 10_000;
/// Ids that are kept for a group at least, however many there are.
const LEAST_IDS_KEPT: usize = 256;

/// Reads log groups.
#[derive(Debug)]
pub struct Poller {
    config: PollerConfig,
    rules: Rules,
    /// The event time at which a group begins of which nothing was read.
    begun_ms: i64,
    patterns: Vec<Pattern>,
    groups: Vec<Group>,
    /// Positions of groups that a pattern may still find.
    restored: Vec<Position>,
    next_turn: usize,
    backoff: Backoff,
    /// Since when the service has answered no call, not even that there is no such group.
    silent_since: Option<Instant>,
    failed: Vec<(String, LogsError)>,
    told_many: bool,
    stretch: Arc<AtomicU32>,
}

impl Poller {
    /// A poller that goes on from these positions, the last that each group had.
    ///
    /// A group without one begins at [`PollerConfig::since_ms`], or where the first of those that have one began, whichever is earlier:
    /// so a group that appeared while nothing ran is read from its first event.
    ///
    /// # Errors
    /// Where a position cannot be read, or no group is named, or one with a `*` elsewhere than at its end.
    pub fn new(config: PollerConfig, positions: &[Vec<u8>]) -> Result<Self, LogsError> {
        let restored: Vec<Position> =
            positions.iter().map(|record| Position::decode(record)).collect::<Result<_, _>>()?;
        let since_ms = config.since_ms.unwrap_or_else(crate::now_ms);
        let begun_ms = restored.iter().map(|position| position.begun_ms).min().unwrap_or(since_ms).min(since_ms);
        let overlap_ms = i64::try_from(config.overlap.as_millis()).unwrap_or(i64::MAX);
        let rules = Rules { overlap_ms, until_ms: config.until_ms, streams: config.stream_prefix.clone() };
        let mut poller = Self {
            rules,
            begun_ms,
            patterns: Vec::new(),
            groups: Vec::new(),
            restored,
            next_turn: 0,
            backoff: ACCOUNT_BACKOFF,
            silent_since: None,
            failed: Vec::new(),
            told_many: false,
            stretch: Arc::default(),
            config,
        };
        let now = Instant::now();
        for name in std::mem::take(&mut poller.config.groups) {
            match groups::parse(&name)? {
                groups::Named::One(name) => poller.add(name, now),
                groups::Named::Prefix(prefix) => poller.patterns.push(Pattern::new(prefix, now)),
            }
        }
        if poller.groups.is_empty() && poller.patterns.is_empty() {
            return Err(LogsError::Config("no log group is named".into()));
        }
        Ok(poller)
    }

    /// Whether every group that can be read is read to its end, as of the last call, and how soon again: 0 where not all is read, as in an outage, or
    /// where there is a backlog; 1 where each is asked at least every half minute or so; and n where it takes n times as long, for there are many.
    /// It is set after what was read is delivered.
    pub fn stretch(&self) -> Arc<AtomicU32> {
        self.stretch.clone()
    }

    /// Reads until `stop`, or until every group is read to the time that was set, or `deliver` says that there is nobody to deliver to.
    ///
    /// `deliver` may block: nothing else is done meanwhile.
    pub async fn run(
        mut self,
        client: &LogsClient,
        stop: &CancellationToken,
        deliver: &mut dyn FnMut(Page) -> bool,
    ) -> Ended {
        tokio::select! {
            biased;
            () = stop.cancelled() => Ended::Stopped,
            ended = self.read(client, stop, deliver) => ended,
        }
    }

    async fn read(
        &mut self,
        client: &LogsClient,
        stop: &CancellationToken,
        deliver: &mut dyn FnMut(Page) -> bool,
    ) -> Ended {
        let mut bucket = Bucket::new(self.config.calls_per_second, Instant::now());
        loop {
            let turn = match self.next_turn(Instant::now()) {
                Turn::Ended => return Ended::Done { failed: std::mem::take(&mut self.failed) },
                Turn::Wait(until) => {
                    tokio::time::sleep_until(until).await;
                    continue;
                }
                turn => turn,
            };
            while let Err(wait) = bucket.take(Instant::now()) {
                tokio::time::sleep(wait).await;
            }
            let outcome = match turn {
                Turn::Discover(pattern) => self.discover(pattern, client).await.map(|()| true),
                Turn::Group(group) => self.page(group, client, deliver).await,
                Turn::Wait(_) | Turn::Ended => Ok(true),
            };
            match outcome {
                Ok(true) => {
                    self.backoff.reset();
                    self.silent_since = None;
                }
                Ok(false) => return Ended::Stopped,
                Err(error) => {
                    if self.is_in_vain(&error, Instant::now()) {
                        return Ended::Done { failed: self.give_up(&error) };
                    }
                    if let Some(wait) = self.settle(&turn, error, client) {
                        self.stretch.store(0, Ordering::Release);
                        tokio::time::sleep(wait).await;
                        continue;
                    }
                }
            }
            let now = Instant::now();
            let patterns = self.patterns.iter().map(|pattern| pattern.stretch(now));
            let mut all = patterns.chain(self.groups.iter().map(|group| group.stretch(now)));
            let most = all.try_fold(1, |most, stretch| stretch.map(|stretch| most.max(stretch)));
            self.stretch.store(most.unwrap_or(0), Ordering::Release);
            // What was delivered may have taken long, and nothing above need have waited.
            if stop.is_cancelled() {
                return Ended::Stopped;
            }
        }
    }

    /// Reads one page of a group. False where there is nobody to deliver to.
    async fn page(
        &mut self,
        index: usize,
        client: &LogsClient,
        deliver: &mut dyn FnMut(Page) -> bool,
    ) -> Result<bool, LogsError> {
        let Some(group) = self.groups.get_mut(index) else { return Ok(true) };
        let ask = group.ask(crate::now_ms(), &self.rules);
        let page = client.filter_log_events(ask.query(&group.name, &self.rules)).await?;
        let taken = group.take(page, &self.rules, self.config.poll_interval);
        Ok(taken.is_none_or(deliver))
    }

    /// Reads one page of the names that a pattern fits.
    async fn discover(&mut self, index: usize, client: &LogsClient) -> Result<(), LogsError> {
        let Some(pattern) = self.patterns.get_mut(index) else { return Ok(()) };
        let page = client.describe_log_groups(&pattern.prefix, pattern.token.as_deref()).await?;
        let now = Instant::now();
        let is_first_end = pattern.looked(page.next_token, now + self.config.discover_interval);
        let prefix = pattern.prefix.clone();
        for name in page.groups.into_iter().filter(|name| name.starts_with(&prefix)) {
            self.add(name, now);
        }
        if is_first_end && !self.groups.iter().any(|group| group.name.starts_with(&prefix)) {
            let group = format!("{prefix}*");
            let error = LogsError::NoSuchGroup { group: group.clone(), place: client.place().to_owned() };
            tracing::warn!("{error}");
            if self.config.until_ms.is_some() {
                self.failed.push((group, error));
            }
        }
        Ok(())
    }

    /// Settles what a failure means. Where all calls are to wait, says for how long.
    fn settle(&mut self, turn: &Turn, error: LogsError, client: &LogsClient) -> Option<Duration> {
        let fault = error.fault();
        if fault == Fault::Credentials {
            client.forget_credentials();
        }
        if matches!(fault, Fault::Throttled | Fault::Credentials) {
            let wait = self.backoff.next();
            // A throttle now and then is how the service works.
            match fault {
                Fault::Throttled => tracing::debug!("{error}; all calls wait {wait:?}"),
                _ => tracing::error!("{error}"),
            }
            return Some(wait);
        }
        let is_expired_token = fault == Fault::Parameter
            && match turn {
                Turn::Group(index) => self.groups.get_mut(*index).is_some_and(Group::start_over),
                Turn::Discover(index) => self.patterns.get_mut(*index).is_some_and(Pattern::start_over),
                Turn::Wait(_) | Turn::Ended => false,
            };
        if is_expired_token {
            tracing::debug!("the token of a page has expired, reading begins anew before it: {error}");
        } else {
            self.fail(turn, error, Instant::now());
        }
        None
    }

    /// Whether reading is to end and the service has answered nothing for too long.
    fn is_in_vain(&mut self, error: &LogsError, now: Instant) -> bool {
        if matches!(error.fault(), Fault::Parameter | Fault::Group) {
            self.silent_since = None;
            return false;
        }
        let since = *self.silent_since.get_or_insert(now);
        self.config.until_ms.is_some() && now - since >= self.config.patience
    }

    /// Fails every group that is not read to its end, and every pattern.
    fn give_up(&mut self, error: &LogsError) -> Vec<(String, LogsError)> {
        tracing::error!(
            "nothing was answered for {} s: reading log groups ends, and the next start goes on where they were left",
            self.config.patience.as_secs()
        );
        let patterns = self.patterns.iter().filter(|pattern| !pattern.is_complete && !pattern.faults.given_up);
        let groups = self.groups.iter().filter(|group| !group.is_ended());
        let names = patterns.map(Pattern::shown).chain(groups.map(|group| group.name.clone()));
        self.failed.extend(names.map(|name| (name, error.clone())));
        std::mem::take(&mut self.failed)
    }

    /// Delays whose turn it was. Where reading ends and the fault stays, it is given up.
    fn fail(&mut self, turn: &Turn, error: LogsError, now: Instant) {
        let (name, faults) = match turn {
            Turn::Group(index) => match self.groups.get_mut(*index) {
                Some(group) => (group.name.clone(), &mut group.faults),
                None => return,
            },
            Turn::Discover(index) => match self.patterns.get_mut(*index) {
                Some(pattern) => (pattern.shown(), &mut pattern.faults),
                None => return,
            },
            Turn::Wait(_) | Turn::Ended => return,
        };
        faults.note(&error, now);
        let passes = error.fault() == Fault::Transient && faults.lasted(now) < self.config.patience;
        if self.config.until_ms.is_some() && !passes {
            faults.given_up = true;
            self.failed.push((name, error));
        }
    }

    /// Begins to read a group, if it is not read already.
    fn add(&mut self, name: String, now: Instant) {
        if self.groups.iter().any(|group| group.name == name) {
            return;
        }
        if self.groups.len() >= MOST_GROUPS {
            if !std::mem::replace(&mut self.told_many, true) {
                tracing::error!(
                    "more than {MOST_GROUPS} log groups are to be read; {name} and others are not: name fewer"
                );
            }
            return;
        }
        let position = self.restored.iter().find(|position| position.group == name);
        let position = position.filter(|position| position.streams == self.rules.streams);
        let (begun_ms, from_ms) = match position {
            // Asked for an earlier time than before: what was read since is read again, and known by its chunks.
            Some(position) if self.config.since_ms.is_some_and(|since| since < position.begun_ms) => {
                (self.begun_ms, self.begun_ms)
            }
            Some(position) => (position.begun_ms, position.from_ms),
            None => (self.begun_ms, self.begun_ms),
        };
        tracing::debug!(group = name, from_ms, "a log group is read");
        let position = Position::new(&name, &self.rules.streams, begun_ms, from_ms);
        self.groups.push(Group::new(position, &self.rules, now));
        let share = (self.config.ids_kept / self.groups.len()).max(LEAST_IDS_KEPT);
        self.groups.iter_mut().for_each(|group| group.set_ids_kept(share));
    }
}
