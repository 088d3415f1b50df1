//! How many captures a second each endpoint may have: a bucket of tokens for each.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// Endpoints with a bucket of their own; the later ones share one. A client that makes names up takes no more memory than this.
const MOST_ENDPOINTS: usize = 1024;
/// A path's segment that is longer is taken for a value.
const LONGEST_NAME: usize = 32;

/// What stands for a segment that is a value.
const VALUE: &str = "*";

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

/// The buckets. Each holds at most one second's captures, or one, and fills evenly.
#[derive(Debug)]
pub(crate) struct Limiter {
    per_second: f64,
    buckets: Mutex<HashMap<Box<str>, Bucket>>,
}

impl Limiter {
    pub(crate) fn new(per_second: f64) -> Limiter {
        Limiter { per_second, buckets: Mutex::default() }
    }

    /// Whether an endpoint may have one more capture `now`.
    pub(crate) fn takes(&self, method: &str, target: &str, now: Instant) -> bool {
        let most = self.per_second.max(1.0);
        let name = endpoint(method, target);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let name = match buckets.len() < MOST_ENDPOINTS || buckets.contains_key(&*name) {
            true => &*name,
            false => "",
        };
        if !buckets.contains_key(name) {
            buckets.insert(name.into(), Bucket { tokens: most, filled_at: now });
        }
        let Some(bucket) = buckets.get_mut(name) else { return true };
        let seconds = now.saturating_duration_since(bucket.filled_at).as_secs_f64();
        bucket.tokens = (bucket.tokens + seconds * self.per_second).min(most);
        bucket.filled_at = bucket.filled_at.max(now);
        let takes = bucket.tokens >= 1.0;
        if takes {
            bucket.tokens -= 1.0;
        }
        takes
    }
}

/// Method and path; segments that are values are not told apart.
fn endpoint(method: &str, target: &str) -> String {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let mut name = String::with_capacity(method.len() + 1 + path.len());
    name.push_str(method);
    name.push(' ');
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            name.push('/');
        }
        let is_value = segment.len() > LONGEST_NAME || segment.bytes().any(|byte| byte.is_ascii_digit());
        name.push_str(if is_value { VALUE } else { segment });
    }
    name
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn segments_that_are_values_are_one_endpoint() {
        for (target, name) in [
            ("/orders/17/items?x=1", "GET /orders/*/items"),
            ("/a/b", "GET /a/b"),
            ("/", "GET /"),
            ("", "GET "),
            ("/x/0192f0c1-a2b3-7c3e-8d5e-6f708192a3b4#f", "GET /x/*"),
            ("/x/abcdefghijklmnopqrstuvwxyzabcdefg", "GET /x/*"),
            ("/x/abcdefghijklmnopqrstuvwxyzabcdef", "GET /x/abcdefghijklmnopqrstuvwxyzabcdef"),
        ] {
            assert_eq!(endpoint("GET", target), name);
        }
    }

    #[test]
    fn an_endpoint_has_its_rate_and_no_more() {
        let limiter = Limiter::new(10.0);
        let began = Instant::now();
        let taken = |from: u64, to: u64| {
            (from..to).filter(|ms| limiter.takes("GET", "/a", began + Duration::from_millis(*ms))).count()
        };
        // Ten at once, and then one for each 100 ms.
        assert_eq!((taken(0, 10), taken(10, 20)), (10, 0));
        assert!((99..=101).contains(&taken(20, 10_020)));
        assert!(limiter.takes("POST", "/a", began) && limiter.takes("GET", "/b", began));
        // A clock that is read in another order gives nothing away.
        assert!(!limiter.takes("GET", "/a", began));
    }

    #[test]
    fn a_rate_below_one_still_takes_one() {
        let limiter = Limiter::new(0.5);
        let began = Instant::now();
        let at = |seconds: u64| limiter.takes("GET", "/", began + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(2), at(3), at(9), at(9)], [true, false, true, false, true, false]);
    }

    #[test]
    fn names_that_are_made_up_share_a_bucket() {
        let limiter = Limiter::new(1.0);
        let now = Instant::now();
        let letters = |n: usize| (0..4).map(|at| char::from(b'a' + (n >> (4 * at) & 15) as u8)).collect::<String>();
        let taken = (0..MOST_ENDPOINTS * 2).filter(|n| limiter.takes("GET", &letters(*n), now)).count();
        assert_eq!(taken, MOST_ENDPOINTS + 1);
        assert_eq!(limiter.buckets.lock().unwrap().len(), MOST_ENDPOINTS + 1);
    }
}
