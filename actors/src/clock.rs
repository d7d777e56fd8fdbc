//! The time, as a value: the actors read the clock, the state is told.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chappe_proto::Millis;

/// A moment, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For people: may jump.
    pub wall: Millis,
    /// For leases and time-outs: since the clock was made, and only forward.
    pub mono: Duration,
}

/// Where the time comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// The machine's clocks, since the clock was made.
    Machine(Instant),
    /// Whoever knows what time it is to be.
    Told(fn() -> Now),
}

/// Reads the machine's clocks; or one that stands in for them.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Source);

impl Default for Clock {
    fn default() -> Self {
        Self(Source::Machine(Instant::now()))
    }
}

impl Clock {
    /// A clock that shows what `time` says: for a simulation, whose time is its own.
    pub fn told(time: fn() -> Now) -> Self {
        Self(Source::Told(time))
    }

    /// The present moment.
    pub fn now(&self) -> Now {
        match self.0 {
            Source::Machine(start) => {
                let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Now { wall: Millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)), mono: start.elapsed() }
            }
            Source::Told(time) => time(),
        }
    }
}
