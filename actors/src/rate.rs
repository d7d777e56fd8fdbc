//! How often something may be done: token buckets, one by itself or one for each key. Plain: the time is a clock that is
//! handed in, and may be one that is stepped by hand.

use std::fmt::Debug;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use chappe_proto::limits::Rate;
use chappe_proto::{Code, Reject};
use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota, RateLimiter};

/// Full buckets are looked for among at least so many, and after so many calls of [`Buckets::tidy`] in any case.
const TIDY_FROM: usize = 1024;
const TIDY_AFTER: usize = 60;

/// A clock that stands still until it is told the time.
#[derive(Debug, Clone, Default)]
pub struct Stepped(Arc<AtomicU64>);

impl Stepped {
    /// It is `now`, since the same moment as ever.
    pub fn step(&self, now: Duration) {
        self.0.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Clock for Stepped {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

thread_local! {
    /// The clock of this thread's connections: one for all of them, stepped when one reads.
    static CLOCK: Stepped = Stepped::default();
}

/// Lends the clock of this thread's connections.
pub(crate) fn with_clock<T>(work: impl FnOnce(&Stepped) -> T) -> T {
    CLOCK.with(work)
}

/// Not now. Which limit it was, whoever asked knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFast {
    /// When it would be let through, if nothing else is asked until then.
    pub retry_after_ms: u32,
}

impl TooFast {
    fn until<I: Reference>(not_until: &NotUntil<I>, now: I) -> Self {
        // Never too early: a part of a millisecond is a whole one.
        let wait = not_until.wait_time_from(now).as_nanos().div_ceil(1_000_000).max(1);
        Self { retry_after_ms: u32::try_from(wait).unwrap_or(u32::MAX) }
    }

    /// What a client is told; `limit` names what was too much.
    pub fn reject(self, limit: &str) -> Reject {
        let Self { retry_after_ms } = self;
        let message = format!("too many {limit}: wait {retry_after_ms} ms");
        Reject { retry_after_ms: Some(retry_after_ms), ..Reject::new(Code::RateLimited, message) }
    }
}

fn quota(rate: Rate) -> Option<Quota> {
    let per_sec = NonZeroU32::new(rate.per_sec)?;
    Some(Quota::per_second(per_sec).allow_burst(NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN)))
}

/// One bucket.
#[derive(Debug)]
pub struct Bucket {
    rate: Rate,
    limiter: Option<RateLimiter<NotKeyed, InMemoryState, Stepped, NoOpMiddleware<Duration>>>,
}

impl Bucket {
    /// A full bucket. One of rate 0 is never empty.
    pub fn new(rate: Rate, clock: &Stepped) -> Self {
        Self { rate, limiter: quota(rate).map(|quota| RateLimiter::direct_with_clock(quota, clock.clone())) }
    }

    /// What it was made with.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a token.
    ///
    /// # Errors
    /// [`TooFast`] if there is none.
    pub fn take(&self, clock: &Stepped) -> Result<(), TooFast> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check().map_err(|not_until| TooFast::until(&not_until, clock.now()))
    }
}

type Keyed<K, C> = RateLimiter<K, DashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// A bucket for each key. A key that was not used for as long as a bucket takes to fill is forgotten, so their number is
/// bounded by what may be asked in that time.
#[derive(Debug)]
pub struct Buckets<K: Hash + Eq + Clone, C: Clock> {
    limiter: Option<Keyed<K, C>>,
    /// How many tokens a full one has.
    burst: NonZeroU32,
    clock: C,
    /// How many there were when they were last looked through, and how often that was not due since.
    kept: AtomicUsize,
    passed: AtomicUsize,
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Buckets<K, C> {
    /// Full buckets. Those of rate 0 are never empty.
    pub fn new(rate: Rate, clock: C) -> Self {
        let limiter = quota(rate).map(|quota| RateLimiter::dashmap_with_clock(quota, clock.clone()));
        let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
        Self { limiter, burst, clock, kept: AtomicUsize::new(0), passed: AtomicUsize::new(0) }
    }

    /// Takes a token out of the bucket of `key`.
    ///
    /// # Errors
    /// [`TooFast`] if there is none.
    pub fn take(&self, key: &K) -> Result<(), TooFast> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(key).map_err(|not_until| TooFast::until(&not_until, self.clock.now()))
    }

    /// Takes so many tokens out of the bucket of `key`, or none; where a full one has fewer, all of a full one.
    ///
    /// # Errors
    /// [`TooFast`] if there are not as many.
    pub fn take_many(&self, key: &K, count: u32) -> Result<(), TooFast> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN).min(self.burst);
        // It is never more than a bucket holds.
        let taken = limiter.check_key_n(key, count).unwrap_or(Ok(()));
        taken.map_err(|not_until| TooFast::until(&not_until, self.clock.now()))
    }

    /// Forgets buckets that are full again. To be called about once a second; looks through them only now and then, and
    /// once there are twice as many as the last time.
    pub fn tidy(&self) {
        let Some(limiter) = &self.limiter else { return };
        let grown = limiter.len() >= (2 * self.kept.load(Ordering::Relaxed)).max(TIDY_FROM);
        if !grown && self.passed.fetch_add(1, Ordering::Relaxed) < TIDY_AFTER {
            return;
        }
        self.passed.store(0, Ordering::Relaxed);
        limiter.retain_recent();
        limiter.shrink_to_fit();
        self.kept.store(limiter.len(), Ordering::Relaxed);
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.limiter.as_ref().map_or(0, Keyed::len)
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_sec: 10, burst: 3 };

    fn at(clock: &Stepped, ms: u64) {
        clock.step(Duration::from_millis(ms));
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let clock = Stepped::default();
        let bucket = Bucket::new(RATE, &clock);
        let mut given = Vec::new();
        for ms in 0..1000 {
            at(&clock, ms);
            if bucket.take(&clock).is_ok() {
                given.push(ms);
            }
        }
        assert_eq!(given, [0, 1, 2, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    }

    #[test]
    fn the_wait_is_exactly_as_long_as_it_says() {
        let clock = Stepped::default();
        let bucket = Bucket::new(RATE, &clock);
        for ms in [0, 1, 2] {
            at(&clock, ms);
            assert_eq!(bucket.take(&clock), Ok(()));
        }
        at(&clock, 41);
        let Err(TooFast { retry_after_ms }) = bucket.take(&clock) else { panic!("the bucket is empty") };
        assert_eq!(retry_after_ms, 59);
        at(&clock, 41 + u64::from(retry_after_ms) - 1);
        assert_eq!(bucket.take(&clock), Err(TooFast { retry_after_ms: 1 }));
        at(&clock, 41 + u64::from(retry_after_ms));
        assert_eq!(bucket.take(&clock), Ok(()));
        let reject = TooFast { retry_after_ms }.reject("requests");
        assert_eq!((reject.code, reject.retry_after_ms), (Code::RateLimited, Some(59)));
    }

    #[test]
    fn many_are_taken_at_once_or_none_and_never_more_than_there_can_be() {
        let clock = Stepped::default();
        let buckets = Buckets::new(RATE, clock.clone());
        assert_eq!(buckets.take_many(&1, 2), Ok(()));
        assert_eq!(buckets.take_many(&1, 2), Err(TooFast { retry_after_ms: 100 }));
        assert_eq!(buckets.take(&1), Ok(()), "the refusal took nothing");
        assert_eq!(buckets.take_many(&1, 1000), Err(TooFast { retry_after_ms: 300 }));
        at(&clock, 300);
        assert_eq!(buckets.take_many(&1, 1000), Ok(()));
        assert!(buckets.take(&1).is_err() && buckets.take(&2).is_ok());
    }

    #[test]
    fn a_rate_of_0_is_without_limit() {
        let clock = Stepped::default();
        let off = Rate { per_sec: 0, burst: 1 };
        let (bucket, buckets) = (Bucket::new(off, &clock), Buckets::new(off, clock.clone()));
        assert!((0..10_000).all(|key| bucket.take(&clock).is_ok() && buckets.take(&key).is_ok()));
        assert_eq!(buckets.take_many(&1, 1_000_000), Ok(()));
        assert!(buckets.is_empty());
    }

    #[test]
    fn each_key_has_a_bucket_of_its_own_and_full_ones_are_forgotten() {
        let clock = Stepped::default();
        let buckets = Buckets::new(RATE, clock.clone());
        for key in 0..2000 {
            assert!((0..3).all(|_| buckets.take(&key).is_ok()));
            assert!(buckets.take(&key).is_err());
        }
        buckets.tidy();
        assert_eq!(buckets.len(), 2000, "none is full yet");
        at(&clock, 1000);
        buckets.take(&7).unwrap();
        buckets.tidy();
        assert_eq!(buckets.len(), 2000, "nothing has grown: they are not looked through each time");
        for _ in 0..=TIDY_AFTER {
            buckets.tidy();
        }
        assert_eq!(buckets.len(), 1, "only the one that was used lately is not full");
    }
}
