//! The open loop: when each operation is due, whatever became of the ones before it.
//!
//! [`Schedule`] is plain arithmetic. [`Pacer`] wakes connections at their due times from a thread of its own, since the
//! runtime's timers tick in whole milliseconds, which would be measured as the server's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Wake-ups closer together than this are joined.
const FINEST: Duration = Duration::from_micros(100);

/// The due times of one of several connections that share a rate evenly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Schedule {
    /// Nanoseconds from one operation of all connections to the next.
    step_ns: f64,
    connections: f64,
    index: f64,
}

impl Schedule {
    /// The share of connection `index` of `connections` in `rate` operations a second.
    pub(super) fn new(rate: f64, connections: usize, index: usize) -> Self {
        Self { step_ns: 1e9 / rate, connections: float(connections), index: float(index) }
    }

    /// When operation `n` (from 0) is due, in nanoseconds from the start.
    pub(super) fn due_ns(&self, n: u64) -> u64 {
        nanoseconds((float(n) * self.connections + self.index) * self.step_ns)
    }

    /// How many operations are due by `now_ns`.
    pub(super) fn due_by(&self, now_ns: u64) -> u64 {
        let guess = (float(now_ns) / self.step_ns - self.index) / self.connections;
        // Rounding may be off by one either way; the due times themselves decide.
        let mut n = nanoseconds(guess.max(0.0)).saturating_sub(1);
        while self.due_ns(n) <= now_ns {
            n += 1;
        }
        n
    }
}

/// An integer as a float: exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "operations and nanoseconds of a benchmark stay below 2^53")]
fn float(number: impl TryInto<u64>) -> f64 {
    number.try_into().unwrap_or(u64::MAX) as f64
}

/// A float that is not negative as an integer, rounded down.
fn nanoseconds(number: f64) -> u64 {
    Duration::try_from_secs_f64(number / 1e9)
        .map_or(u64::MAX, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// Wakes each connection when its next operation is due.
pub(super) struct Pacer {
    rate: f64,
    bells: Vec<Arc<Notify>>,
}

impl Pacer {
    /// For `connections` that share `rate`.
    pub(super) fn new(rate: f64, connections: usize) -> Self {
        Self { rate, bells: (0..connections).map(|_| Arc::default()).collect() }
    }

    /// The schedule of connection `index`, and what wakes it.
    pub(super) fn part(&self, index: usize) -> (Schedule, Arc<Notify>) {
        let bell = self.bells.get(index).cloned().unwrap_or_default();
        (Schedule::new(self.rate, self.bells.len(), index), bell)
    }

    /// Rings from `start` until `stop` is set, on a thread of its own.
    pub(super) fn run(self, start: Instant, stop: Arc<AtomicBool>) -> std::io::Result<()> {
        let whole = Schedule::new(self.rate, 1, 0);
        let count = self.bells.len();
        std::thread::Builder::new().name("bench-pacer".to_owned()).spawn(move || {
            let mut done = 0;
            while !stop.load(Ordering::Relaxed) {
                let now = since(start);
                let due = whole.due_by(now);
                // Each bell once is enough: who is woken looks up how much is due.
                for n in (done..due).take(count) {
                    if let Some(bell) = usize::try_from(n).ok().and_then(|n| self.bells.get(n % count)) {
                        bell.notify_one();
                    }
                }
                done = due;
                let wait = Duration::from_nanos(whole.due_ns(due).saturating_sub(since(start)));
                std::thread::sleep(wait.clamp(FINEST, Duration::from_millis(100)));
            }
            for bell in &self.bells {
                bell.notify_one();
            }
        })?;
        Ok(())
    }
}

/// Nanoseconds since `start`; 0 before it.
pub(super) fn since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_share_a_rate_evenly_and_take_turns() {
        let parts: Vec<Schedule> = (0..4).map(|index| Schedule::new(1000.0, 4, index)).collect();
        let mut due: Vec<u64> = parts.iter().flat_map(|part| (0..250).map(|n| part.due_ns(n))).collect();
        due.sort_unstable();
        let expected: Vec<u64> = (0..1000).map(|n| n * 1_000_000).collect();
        assert_eq!(due, expected);
        assert_eq!(parts[1].due_ns(0), 1_000_000);
        assert_eq!(parts[1].due_ns(1), 5_000_000);
    }

    #[test]
    fn what_is_due_by_a_moment_was_due_before_it() {
        for (rate, connections, index) in [(3.0, 1, 0), (1000.0, 16, 5), (123_456.7, 7, 6), (1e6, 1, 0)] {
            let schedule = Schedule::new(rate, connections, index);
            for now in (0..2_000_000_000u64).step_by(7_654_321) {
                let due = schedule.due_by(now);
                assert!(due == 0 || schedule.due_ns(due - 1) <= now, "{schedule:?} at {now}");
                assert!(schedule.due_ns(due) > now, "{schedule:?} at {now}");
            }
        }
    }

    #[test]
    fn a_stall_makes_operations_due_and_not_go_away() {
        let schedule = Schedule::new(100.0, 1, 0);
        assert_eq!(schedule.due_by(0), 1);
        assert_eq!(schedule.due_by(1_000_000_000), 101);
    }

    #[tokio::test]
    async fn the_pacer_wakes_every_connection() {
        let pacer = Pacer::new(2000.0, 3);
        let bells: Vec<_> = (0..3).map(|index| pacer.part(index).1).collect();
        let stop = Arc::new(AtomicBool::new(false));
        pacer.run(Instant::now(), Arc::clone(&stop)).unwrap();
        for bell in &bells {
            bell.notified().await;
            bell.notified().await;
        }
        stop.store(true, Ordering::Relaxed);
    }
}
