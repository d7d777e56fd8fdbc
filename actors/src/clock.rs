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

/// Reads the machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock {
    /// The present moment.
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { wall: Millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)), mono: self.start.elapsed() }
    }
}
