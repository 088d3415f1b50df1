//! How fast the service is asked.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket: so many calls a second, of which one second's may come at once.
#[derive(Debug)]
pub(crate) struct Bucket {
    calls_per_second: f64,
    calls: f64,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn new(calls_per_second: f64, now: Instant) -> Self {
        let calls_per_second = calls_per_second.max(0.001);
        Self { calls_per_second, calls: calls_per_second.max(1.0), filled: now }
    }

    /// Takes one call, or says how long to wait for it.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let earned = now.saturating_duration_since(self.filled).as_secs_f64() * self.calls_per_second;
        self.calls = (self.calls + earned).min(self.calls_per_second.max(1.0));
        self.filled = now;
        if self.calls >= 1.0 {
            self.calls -= 1.0;
            return Ok(());
        }
        // Rounded up, so that the wait is over when it ends.
        Err(Duration::from_secs_f64((1.0 - self.calls) / self.calls_per_second) + Duration::from_millis(1))
    }
}

/// Growing delays between tries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, tries: 0 }
    }

    /// The next delay: half of it is fixed and half is drawn, so that many instances do not come back at one instant.
    pub(crate) fn next(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1 << self.tries.min(20)).min(self.most);
        self.tries = self.tries.saturating_add(1);
        let drawn = getrandom::u32().unwrap_or(u32::MAX);
        whole.mul_f64(0.5 + f64::from(drawn) / f64::from(u32::MAX) / 2.0)
    }

    /// It went well.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_calls_come_at_once_and_then_one_by_one() {
        let start = Instant::now();
        let mut bucket = Bucket::new(5.0, start);
        assert!((0..5).all(|_| bucket.take(start).is_ok()));
        let wait = bucket.take(start).unwrap_err();
        assert!(wait >= Duration::from_millis(200) && wait < Duration::from_millis(210), "{wait:?}");
        assert!(bucket.take(start + wait).is_ok());
        assert!(bucket.take(start + wait).is_err());
        let much_later = start + Duration::from_secs(100);
        assert_eq!((0..10).filter(|_| bucket.take(much_later).is_ok()).count(), 5);
    }

    #[test]
    fn delays_grow_to_a_bound_and_are_drawn() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let delays: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();
        assert!(delays[0] <= Duration::from_secs(1) && delays[5] >= Duration::from_secs(16), "{delays:?}");
        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(60)));
        assert!(delays[10..].windows(2).any(|pair| pair[0] != pair[1]));
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
    }
}
