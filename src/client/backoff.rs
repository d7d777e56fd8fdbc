//! How long to wait between attempts: longer each time, and never all clients at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A number that differs from call to call and from process to process. Not for secrets.
pub fn random() -> u64 {
    // Each `RandomState` is keyed anew, from the system's randomness.
    RandomState::new().hash_one(0)
}

/// Doubles from `first` up to `most`; each wait is somewhere between half of that and all of it.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `first`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// The next wait, given a random number.
    pub fn next(&mut self, random: u64) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(self.most);
        let per_mille = u32::try_from(random % 500).unwrap_or(0);
        whole / 2 + whole * per_mille / 1000
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_the_most_and_starts_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        let waits: Vec<u128> = (0..4).map(|_| backoff.next(0).as_millis()).collect();
        assert_eq!(waits, [50, 100, 175, 175]);
        backoff.reset();
        assert_eq!(backoff.next(499), Duration::from_micros(99_900));
    }

    #[test]
    fn random_numbers_differ() {
        assert_ne!(random(), random());
    }
}
