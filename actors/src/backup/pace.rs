//! How fast a backup goes beside a server. Priorities of processes mean nothing between two sessions or two units of systemd,
//! and the disk knows none; so it works in small pieces, and rests after each.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// It rests so many times as long as it worked: then the work may take all that it can get.
const RESTS: u32 = 3;
/// No rest is longer, whatever held up the work.
const LONGEST: Duration = Duration::from_secs(1);

/// When the last rest ended, if there are rests.
#[derive(Debug)]
pub(super) struct Pace(Option<Instant>);

impl Pace {
    /// With rests where a server uses the folder.
    pub(super) fn new(is_beside: bool) -> Self {
        Self(is_beside.then(Instant::now))
    }

    /// Rests from what was done since the last time.
    pub(super) fn rest(&mut self) {
        if let Some(since) = &mut self.0 {
            sleep((since.elapsed() * RESTS).min(LONGEST));
            *since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_a_server_most_of_the_time_is_rest() {
        for is_beside in [false, true] {
            let mut pace = Pace::new(is_beside);
            let (mut worked, mut rested) = (Duration::ZERO, Duration::ZERO);
            for _ in 0..5 {
                let from = Instant::now();
                while from.elapsed() < Duration::from_millis(5) {
                    std::hint::spin_loop();
                }
                let until = Instant::now();
                pace.rest();
                (worked, rested) = (worked + (until - from), rested + until.elapsed());
            }
            assert_eq!(rested >= worked * RESTS, is_beside, "{rested:?} after {worked:?}");
        }
    }
}
