//! How long to wait between attempts: longer each time, and never all clients at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A number that differs from call to call and from process to process. Not for secrets.
pub fn random() -> u64 {
    // Each `RandomState` is keyed anew, from the system's randomness.
    RandomState::new().hash_one(0)
}

/// Full jitter: each wait is anything up to a bound that doubles, so that clients cut off together come back apart.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    bound: Duration,
}

impl Backoff {
    /// Bounds from `first` to `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, bound: first }
    }

    /// The next wait, given a random number.
    pub fn next(&mut self, random: u64) -> Duration {
        let bound = self.bound.min(self.most);
        self.bound = bound.saturating_mul(2);
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(random % nanos.saturating_add(1).max(1))
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.bound = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_most_and_starts_over_after_a_success() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(350));
        for bound in [100, 200, 350, 350] {
            let mut same = backoff.clone();
            assert_eq!(same.next(bound * 1_000_000), ms(bound));
            assert!(backoff.next(random()) <= ms(bound));
        }
        backoff.reset();
        assert!(backoff.next(u64::MAX) <= ms(100));
    }

    #[test]
    fn waits_are_spread_over_the_whole_time() {
        let waits = (0..1000).map(|_| Backoff::new(Duration::from_secs(1), Duration::from_secs(1)).next(random()));
        let all: Vec<Duration> = waits.collect();
        for quarter in 0..4 {
            let bounds = Duration::from_millis(quarter * 250)..Duration::from_millis((quarter + 1) * 250);
            let count = all.iter().filter(|wait| bounds.contains(wait)).count();
            assert!(count > 150, "{count} in quarter {quarter}");
        }
    }
}
