//! Slows down guessing of passwords: per user name and per peer.
//!
//! Each key has a bucket of attempts that fills again with time. An attempt is counted when it begins and given back
//! when the password was right, so that parallel guesses do not slip through. The number of keys kept is bounded; when
//! it is reached, full (harmless) buckets are dropped first, then new keys share one bucket.

use holm_model::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Attempts in a row before waiting, per user.
const USER_BURST: f64 = 10.0;
/// Attempts in a row before waiting, per peer.
const PEER_BURST: f64 = 30.0;
/// Seconds until one more attempt.
const REFILL_S: f64 = 6.0;
/// Most keys kept.
const MOST_KEYS: usize = 20_000;

#[derive(Default)]
pub(crate) struct Throttle(Mutex<Buckets>);

#[derive(Default)]
struct Buckets {
    by_key: HashMap<String, Bucket>,
    /// When full buckets were last dropped: a flood of keys must not make every attempt walk over all of them.
    pruned_at: Timestamp,
}

struct Bucket {
    left: f64,
    burst: f64,
    at: Timestamp,
}

impl Bucket {
    fn refill(&mut self, now: Timestamp) {
        let passed = now.since(self.at).as_secs_f64();
        self.left = (self.left + passed / REFILL_S).min(self.burst);
        self.at = now;
    }
}

/// The keys of one login attempt.
pub(crate) struct Attempt([String; 2]);

impl Throttle {
    /// Counts an attempt.
    ///
    /// # Errors
    /// The seconds to wait when there have been too many.
    pub(crate) fn begin(&self, user: &str, peer: &str, now: Timestamp) -> Result<Attempt, u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = all.pruned_at.0 == 0 || now.since(all.pruned_at).as_secs_f64() >= REFILL_S;
        let prune = all.by_key.len() >= MOST_KEYS && due;
        if prune {
            all.pruned_at = now;
        }
        let buckets = &mut all.by_key;
        if prune {
            buckets.retain(|_, bucket| {
                bucket.refill(now);
                bucket.left < bucket.burst
            });
        }
        let crowded = buckets.len() >= MOST_KEYS;
        let mut keys = [format!("user {user}"), format!("peer {peer}")];
        for key in &mut keys {
            if crowded && !buckets.contains_key(key) {
                *key = "everybody else".into();
            }
        }
        let mut wait = 0_f64;
        for (key, burst) in keys.iter().zip([USER_BURST, PEER_BURST]) {
            let bucket = buckets.entry(key.clone()).or_insert(Bucket { left: burst, burst, at: now });
            bucket.refill(now);
            if bucket.left < 1.0 {
                wait = wait.max((1.0 - bucket.left) * REFILL_S);
            }
        }
        if wait > 0.0 {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 6")]
            return Err((wait.ceil() as u64).max(1));
        }
        for key in &keys {
            if let Some(bucket) = buckets.get_mut(key) {
                bucket.left -= 1.0;
            }
        }
        Ok(Attempt(keys))
    }

    /// Gives a successful attempt back.
    pub(crate) fn succeeded(&self, attempt: &Attempt) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &attempt.0 {
            if let Some(bucket) = all.by_key.get_mut(key) {
                bucket.left = (bucket.left + 1.0).min(bucket.burst);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_is_slowed_down_and_time_heals() {
        let throttle = Throttle::default();
        let start = Timestamp(1_000_000);
        for _ in 0..10 {
            assert!(throttle.begin("admin", "10.0.0.1", start).is_ok());
        }
        let Err(wait) = throttle.begin("admin", "10.0.0.2", start) else { panic!("the eleventh guess passed") };
        assert_eq!(wait, 6);
        assert!(throttle.begin("other", "10.0.0.1", start).is_ok(), "another user from the same peer");
        let later = start.plus(std::time::Duration::from_secs(wait));
        assert!(throttle.begin("admin", "10.0.0.2", later).is_ok());
        assert!(throttle.begin("admin", "10.0.0.2", later).is_err());
    }

    #[test]
    fn successes_do_not_count() {
        let throttle = Throttle::default();
        for _ in 0..100 {
            let attempt = throttle.begin("admin", "10.0.0.1", Timestamp(0)).unwrap_or_else(|_| panic!("refused"));
            throttle.succeeded(&attempt);
        }
    }

    #[test]
    fn one_peer_cannot_try_many_names_and_memory_is_bounded() {
        let throttle = Throttle::default();
        let passed = (0..100).filter(|n| throttle.begin(&format!("u{n}"), "10.0.0.9", Timestamp(0)).is_ok()).count();
        assert_eq!(passed, 30);
        for n in 0..50_000 {
            let _ = throttle.begin(&format!("name{n}"), &format!("peer{n}"), Timestamp(1));
        }
        let kept = throttle.0.lock().expect("not poisoned").by_key.len();
        assert!(kept <= MOST_KEYS + 3, "{kept}");
    }
}
