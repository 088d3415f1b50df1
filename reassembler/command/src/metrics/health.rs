//! Whether all is well: what `/healthz` says. Time is an argument.

use std::time::{Duration, Instant};

use reassemble_pipeline::run::Status;

use crate::report::printable::printable;

/// How long the destination may refuse before that is unhealthy: storms of an object store pass within minutes, and the spool carries
/// them.
pub(crate) const FAILING_FOR_LONG: Duration = Duration::from_secs(300);

/// Remembers since when the destination has refused.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failing_since: Option<Instant>,
}

impl Health {
    /// Takes note of a status, and says what is wrong, if anything is.
    pub(crate) fn observe(&mut self, now: Instant, status: &Status) -> Option<String> {
        let failing = match &status.destination_failing {
            Some(why) => {
                let since = *self.failing_since.get_or_insert(now);
                let long = now.saturating_duration_since(since);
                (long >= FAILING_FOR_LONG).then(|| {
                    format!("the destination has refused for {} minutes: {}", long.as_secs() / 60, printable(why))
                })
            }
            None => {
                self.failing_since = None;
                None
            }
        };
        let full = || {
            let why =
                status.destination_failing.as_deref().map(|why| format!(": {}", printable(why))).unwrap_or_default();
            format!("the spool is full and reading stands still; the destination does not take what waits{why}")
        };
        failing.or_else(|| status.spool_full.then(full))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_failure_is_healthy_and_a_long_one_is_not() {
        let (mut health, start) = (Health::default(), Instant::now());
        let failing = Status { destination_failing: Some("503".to_owned()), ..Status::default() };
        assert_eq!(health.observe(start, &Status::default()), None);
        assert_eq!(health.observe(start, &failing), None);
        assert_eq!(health.observe(start + FAILING_FOR_LONG - Duration::from_millis(1), &failing), None);
        assert_eq!(
            health.observe(start + FAILING_FOR_LONG, &failing).as_deref(),
            Some("the destination has refused for 5 minutes: 503")
        );
        // An answer in between starts the clock anew.
        assert_eq!(health.observe(start + FAILING_FOR_LONG, &Status::default()), None);
        assert_eq!(health.observe(start + FAILING_FOR_LONG * 2, &failing), None);
    }

    #[test]
    fn a_full_spool_is_unhealthy_at_once() {
        let full = Status { spool_full: true, destination_failing: Some("a\nb".to_owned()), ..Status::default() };
        let why = Health::default().observe(Instant::now(), &full).expect("unhealthy");
        assert!(why.starts_with("the spool is full") && why.ends_with("a\\u{a}b"), "{why}");
    }
}
