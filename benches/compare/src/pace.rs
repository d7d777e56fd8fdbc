//! When a message is due, and a timer that is as fine as the schedule: the poll's own counts in milliseconds, which would
//! be measured as the server's.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use crate::trouble::Trouble;

/// How fast publishers post.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// So many messages of each publisher under way; the next is due when one is through.
    Window(u32),
    /// So many messages a second in all, due at even intervals, whatever became of those before.
    Rate(f64),
}

/// Wake-ups closer than this are one.
const CLOSEST: u64 = 100_000;

/// The schedule of a rate.
#[derive(Debug)]
pub(crate) struct Schedule {
    per_s: f64,
    /// Messages whose time has come and that were posted.
    begun: u64,
    timer: OwnedFd,
}

impl Schedule {
    /// Begins at the start of the load.
    pub(crate) fn new(per_s: f64) -> Result<Self, Trouble> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags);
        let timer = timer.map_err(|error| Trouble::Machine("make a timer".to_owned(), error.into()))?;
        Ok(Self { per_s, begun: 0, timer })
    }

    /// What to poll.
    pub(crate) fn timer(&self) -> RawFd {
        self.timer.as_raw_fd()
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn due_ns(&self, number: u64) -> u64 {
        // A run has far fewer than 2^53 messages and nanoseconds.
        (number as f64 * 1e9 / self.per_s) as u64
    }

    /// The next message if it is due: its number, and since when.
    pub(crate) fn take(&mut self, now_ns: u64) -> Option<(u64, u64)> {
        let due = self.due_ns(self.begun);
        (due <= now_ns).then(|| {
            self.begun += 1;
            (self.begun - 1, due)
        })
    }

    /// Sets the timer to when the next message is due.
    pub(crate) fn wind(&self, now_ns: u64) -> Result<(), Trouble> {
        let wait = Duration::from_nanos(self.due_ns(self.begun).saturating_sub(now_ns).max(CLOSEST));
        let it_value = Timespec::try_from(wait).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let setting = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting)
            .map(|_| ())
            .map_err(|error| Trouble::Machine("set a timer".to_owned(), error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_even_intervals_whatever_became_of_those_before() {
        let mut schedule = Schedule::new(1000.0).unwrap();
        assert_eq!(schedule.take(0), Some((0, 0)));
        assert_eq!(schedule.take(999_999), None);
        // Nobody asked for two milliseconds: both are due, each since its own time.
        assert_eq!(schedule.take(2_100_000), Some((1, 1_000_000)));
        assert_eq!(schedule.take(2_100_000), Some((2, 2_000_000)));
        assert_eq!(schedule.take(2_100_000), None);
    }
}
