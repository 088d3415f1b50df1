//! One group's reading, and the patterns that find groups.

use std::time::Duration;

use tokio::time::Instant;

use super::{GROUP_BACKOFF, Page};
use crate::client::{EventPage, EventQuery};
use crate::error::{Fault, LogsError};
use crate::pace::Backoff;
use crate::position::Position;
use crate::window::{Ask, Rules, Window};

/// A group that is read to its end stands for all that it has until its turn is so long overdue, because there are many.
const OVERDUE: Duration = Duration::from_secs(30);

/// What a name on the command line stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    One(String),
    Prefix(String),
}

/// # Errors
/// Where a `*` stands elsewhere than at the end of a name, or there is no name.
pub(super) fn parse(name: &str) -> Result<Named, LogsError> {
    // As the console and `describe-log-groups` show it.
    let name = if name.starts_with("arn:") { name.strip_suffix(":*").unwrap_or(name) } else { name };
    let prefix = name.strip_suffix('*');
    if name.is_empty() || prefix.unwrap_or(name).contains('*') {
        return Err(LogsError::Config(format!(
            "`{name}` is no log group: give its name or ARN, or the beginning of names with one * at the end"
        )));
    }
    if prefix.is_some() && name.starts_with("arn:") {
        return Err(LogsError::Config(format!("`{name}`: only the names of log groups may end with *, ARNs may not")));
    }
    Ok(prefix.map_or_else(|| Named::One(name.to_owned()), |prefix| Named::Prefix(prefix.to_owned())))
}

/// The faults of a group or pattern in a row: when to try again, and what was said of them.
#[derive(Debug)]
pub(super) struct Faults {
    backoff: Backoff,
    told: Option<String>,
    /// The last call's, where it failed.
    last: Option<Fault>,
    /// When the first of them was.
    since: Option<Instant>,
    /// When its next turn is.
    pub(super) due: Instant,
    /// There is none.
    pub(super) given_up: bool,
}

impl Faults {
    fn new(now: Instant) -> Self {
        Self { backoff: GROUP_BACKOFF, told: None, last: None, since: None, due: now, given_up: false }
    }

    /// Delays the next turn, and says why where that is new.
    pub(super) fn note(&mut self, error: &LogsError, now: Instant) {
        self.due = now + self.backoff.next();
        self.last = Some(error.fault());
        self.since.get_or_insert(now);
        let text = error.to_string();
        if self.told.as_ref() != Some(&text) {
            tracing::warn!("{text}");
            self.told = Some(text);
        }
    }

    /// How many times [`OVERDUE`] its turn takes to come, where `is_read` says of the last call that went well that it gave all there was; `None`
    /// where not all that it has was read. What only a person can mend is not waited for.
    fn stretch(&self, is_read: bool, now: Instant) -> Option<u32> {
        if self.given_up {
            return Some(1);
        }
        let is_read = self.last.map_or(is_read, |fault| fault != Fault::Transient);
        let overdue = now.saturating_duration_since(self.due).as_secs() / OVERDUE.as_secs();
        is_read.then_some(u32::try_from(overdue).unwrap_or(u32::MAX).saturating_add(1))
    }

    /// How long they have gone on.
    pub(super) fn lasted(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now - since)
    }

    fn passed(&mut self, due: Instant, what: &str) {
        self.due = due;
        self.last = None;
        self.since = None;
        self.backoff.reset();
        if self.told.take().is_some() {
            tracing::info!("log group {what} is read");
        }
    }
}

/// A beginning of names.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) prefix: String,
    pub(super) token: Option<String>,
    /// Its names were read to their end.
    pub(super) is_complete: bool,
    pub(super) faults: Faults,
}

impl Pattern {
    pub(super) fn new(prefix: String, now: Instant) -> Self {
        Self { prefix, token: None, is_complete: false, faults: Faults::new(now) }
    }

    /// As people write it.
    pub(super) fn shown(&self) -> String {
        format!("{}*", self.prefix)
    }

    /// See [`Poller::stretch`](super::Poller::stretch).
    pub(super) fn stretch(&self, now: Instant) -> Option<u32> {
        self.faults.stretch(self.is_complete, now)
    }

    /// Looks from the beginning, where it was under way.
    pub(super) fn start_over(&mut self) -> bool {
        self.token.take().is_some()
    }

    /// A page was read: the next follows at once, or the first again later. True where the names end for the first time.
    pub(super) fn looked(&mut self, token: Option<String>, again: Instant) -> bool {
        let is_end = token.is_none();
        self.faults.passed(if is_end { again } else { Instant::now() }, &self.shown());
        self.token = token;
        is_end && !std::mem::replace(&mut self.is_complete, true)
    }
}

/// One group's reading.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    begun_ms: i64,
    window: Window,
    pub(super) faults: Faults,
    /// The position that was handed on last, and whether that was at the end: one that hardly moves is not written again and again.
    placed: Option<(i64, bool)>,
    told_late: bool,
}

impl Group {
    pub(super) fn new(position: Position, rules: &Rules, now: Instant) -> Self {
        Self {
            name: position.group,
            begun_ms: position.begun_ms,
            window: Window::new(position.from_ms, rules),
            faults: Faults::new(now),
            placed: None,
            told_late: false,
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.faults.given_up || self.window.is_done()
    }

    /// See [`Poller::stretch`](super::Poller::stretch).
    pub(super) fn stretch(&self, now: Instant) -> Option<u32> {
        if self.window.is_done() {
            return Some(1);
        }
        self.faults.stretch(self.placed.is_some_and(|(_, caught_up)| caught_up), now)
    }

    pub(super) fn set_ids_kept(&mut self, limit: usize) {
        self.window.set_ids_kept(limit);
    }

    pub(super) fn ask(&mut self, now_ms: i64, rules: &Rules) -> Ask {
        self.window.ask(now_ms, rules)
    }

    /// Reads the window anew, where it was under way.
    pub(super) fn start_over(&mut self) -> bool {
        self.window.start_over()
    }

    /// Takes a page; says what to deliver.
    pub(super) fn take(&mut self, page: EventPage, rules: &Rules, poll_interval: Duration) -> Option<Page> {
        let taken = self.window.take(page, crate::now_ms(), rules);
        let wait = if taken.caught_up { poll_interval } else { Duration::ZERO };
        self.faults.passed(Instant::now() + wait, &self.name);
        if taken.latest_ms > rules.overlap_ms && !std::mem::replace(&mut self.told_late, true) {
            tracing::warn!(
                group = self.name,
                "events come up to {} s after their time, but only {} s are read again: what comes so late may be missed; raise the overlap",
                taken.latest_ms / 1000,
                rules.overlap_ms / 1000
            );
        }
        let from_ms = self.window.begins_ms();
        let has_news = match self.placed {
            Some((placed_ms, was_caught_up)) => {
                was_caught_up != taken.caught_up || from_ms - placed_ms >= rules.overlap_ms.max(1)
            }
            None => true,
        };
        if taken.lines.is_empty() && !has_news && !self.window.is_done() {
            return None;
        }
        self.placed = Some((from_ms, taken.caught_up));
        let position = Position::new(&self.name, &rules.streams, self.begun_ms, from_ms).encode();
        Some(Page { group: self.name.clone(), lines: taken.lines, position, caught_up: taken.caught_up })
    }
}

impl Ask {
    pub(super) fn query<'a>(&'a self, group: &'a str, rules: &'a Rules) -> EventQuery<'a> {
        let Ask { start_ms, end_ms, token } = self;
        let token = token.as_deref();
        EventQuery { group, start_ms: *start_ms, end_ms: *end_ms, token, stream_prefix: &rules.streams }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_is_told_and_how_long_a_turn_takes_to_come() {
        let (now, seconds) = (Instant::now(), Duration::from_secs);
        let mut faults = Faults::new(now);
        assert_eq!(faults.stretch(false, now), None, "nobody has asked");
        faults.passed(now + seconds(5), "a");
        let stretches = [0, 34, 35, 64, 65, 205].map(|later| faults.stretch(true, now + seconds(later)).unwrap());
        assert_eq!(stretches, [1, 1, 2, 2, 3, 7]);
        assert_eq!(faults.stretch(false, now), None, "there is more");
        let place = || "there".to_owned();
        faults.note(&LogsError::Unavailable { place: place(), detail: String::new() }, now);
        assert_eq!(faults.stretch(true, now), None);
        faults.note(&LogsError::NoSuchGroup { place: place(), group: "a".to_owned() }, now);
        assert_eq!(faults.stretch(false, now), Some(1), "only a person can mend it");
    }

    #[test]
    fn names_prefixes_and_arns_are_told_apart() {
        let one = |name: &str| Named::One(name.to_owned());
        assert_eq!(parse("/aws/lambda/shop").unwrap(), one("/aws/lambda/shop"));
        assert_eq!(parse("/aws/lambda/*").unwrap(), Named::Prefix("/aws/lambda/".to_owned()));
        assert_eq!(parse("*").unwrap(), Named::Prefix(String::new()));
        let arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/shop";
        assert_eq!(parse(&format!("{arn}:*")).unwrap(), one(arn));
        for wrong in ["", "a*b", "**", "arn:aws:logs:eu-central-1:123456789012:log-group:/s*"] {
            assert!(matches!(parse(wrong), Err(LogsError::Config(_))), "{wrong}");
        }
    }
}
