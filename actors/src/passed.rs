//! How far time has surely gone on. The wall clock may be wrong for a while, and what is deleted then is gone for good; so
//! what deletes by age does not believe it, but time that was seen to pass.
//!
//! It follows the wall clock, at most twice as fast as time passes: what is caught up after a halt, and what a wrong clock
//! can take while nobody notices. A clock that is behind it stops it. Plain: the clock is shown to it.

use std::io;
use std::path::Path;
use std::time::Duration;

use chappe_proto::Millis;

use crate::clock::Now;
use crate::folder::write_whole;

/// The file that says how far it had come when a server was last seen here.
pub const FILE: &str = "clock";
/// A clock that is further away than this is worth a word.
const FAR: u64 = 60 * 60 * 1000;

/// How far time has surely gone on. One that was never told stands at the beginning of 1970, and nothing is old.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    time: Millis,
    /// When it was looked last.
    looked: Duration,
}

impl Passed {
    /// It had come to `time` once, and a while ago.
    pub fn since(time: Millis, now: Now) -> Self {
        Self { time, looked: now.mono }
    }

    /// As a server before this one has left it; where none has, the newest that is known to have happened says it.
    ///
    /// # Errors
    /// What `newest` fails with.
    pub fn open<E>(folder: &Path, now: Now, newest: impl FnOnce() -> Result<Millis, E>) -> Result<Self, E> {
        let time = match left(folder) {
            Some(time) => time,
            None => newest()?.min(now.wall),
        };
        Ok(Self::since(time, now))
    }

    /// Whether the clock is far from it; it is said if that is news.
    pub(crate) fn warn(&self, now: Now, is_known: bool) -> bool {
        let [behind_ms, ahead_ms] =
            [(self.time, now.wall), (now.wall, self.time)].map(|(a, b)| a.0.saturating_sub(b.0));
        if behind_ms > FAR && !is_known {
            tracing::error!(behind_ms, "the clock is behind: until it has caught up nothing goes by age");
        }
        if ahead_ms > FAR && !is_known {
            tracing::warn!(ahead_ms, "the clock is ahead of the time that a server saw pass: what is old goes later");
        }
        behind_ms > FAR || ahead_ms > FAR
    }

    /// Sees time pass; the time that has surely come. While the clock is behind that, nobody knows.
    pub fn look(&mut self, now: Now) -> Option<Millis> {
        let passed = now.mono.saturating_sub(self.looked);
        self.looked = now.mono;
        if now.wall < self.time {
            return None;
        }
        let most = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).saturating_mul(2);
        self.time = now.wall.min(Millis(self.time.0.saturating_add(most)));
        Some(self.time)
    }

    /// Leaves it for the next server.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub(crate) fn leave(&self, folder: &Path) -> io::Result<()> {
        write_whole(&folder.join(FILE), self.time.0.to_string().as_bytes(), 0o600)
    }
}

/// How far it had come when a server was last seen in a folder, if that is known.
pub(crate) fn left(folder: &Path) -> Option<Millis> {
    std::fs::read_to_string(folder.join(FILE)).ok()?.trim().parse().ok().map(Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1000;
    const DAY: u64 = 86_400 * SECOND;
    const YEAR: u64 = 365 * DAY;

    fn at(wall: u64, mono: u64) -> Now {
        Now { wall: Millis(wall), mono: Duration::from_millis(mono) }
    }

    #[test]
    fn a_clock_that_is_wrong_for_a_while_ages_nothing_by_more_than_that_while() {
        let begin = 50 * YEAR;
        let mut passed = Passed::since(Millis(begin), at(begin, 0));
        for (wall, mono, expected) in [
            (begin + SECOND, SECOND, Some(begin + SECOND)),
            (begin + YEAR, 2 * SECOND, Some(begin + 3 * SECOND)),
            (begin + YEAR + 3 * SECOND, 5 * SECOND, Some(begin + 9 * SECOND)),
            // It is right again, and time goes on from where it was.
            (begin + 6 * SECOND, 6 * SECOND, None),
            (begin + 10 * SECOND, 10 * SECOND, Some(begin + 10 * SECOND)),
            // Far behind, and right again: as if nothing had been.
            (SECOND, 11 * SECOND, None),
            (begin + 12 * SECOND, 12 * SECOND, Some(begin + 12 * SECOND)),
        ] {
            assert_eq!(passed.look(at(wall, mono)), expected.map(Millis), "the clock says {wall} after {mono} ms");
        }
    }

    #[test]
    fn what_no_server_saw_pass_is_caught_up_with_in_as_long() {
        let mut passed = Passed::since(Millis(YEAR), at(YEAR + DAY, 0));
        assert_eq!(passed.look(at(YEAR + DAY, 0)), Some(Millis(YEAR)));
        assert_eq!(passed.look(at(YEAR + DAY + DAY / 2, DAY / 2)), Some(Millis(YEAR + DAY)));
        assert_eq!(passed.look(at(YEAR + 2 * DAY, DAY)), Some(Millis(YEAR + 2 * DAY)));
        assert_eq!(passed.look(at(YEAR + 3 * DAY, 2 * DAY)), Some(Millis(YEAR + 3 * DAY)));
    }

    #[test]
    fn a_start_goes_on_from_what_the_one_before_it_has_left() {
        let folder = tempfile::tempdir().unwrap();
        let open = |wall, newest: Result<u64, ()>| {
            Passed::open(folder.path(), at(wall, 7), || newest.map(Millis)).map(|passed| passed.time.0)
        };
        assert_eq!(open(2 * YEAR, Ok(YEAR)), Ok(YEAR), "a new file: a clock that is ahead is not believed");
        assert_eq!(open(YEAR, Ok(2 * YEAR)), Ok(YEAR), "nor is a message of one");
        assert_eq!(open(YEAR, Err(())), Err(()));
        Passed::since(Millis(YEAR), at(YEAR, 0)).leave(folder.path()).unwrap();
        assert_eq!(open(2 * YEAR, Ok(2 * YEAR)), Ok(YEAR), "nor both, where a server has been before");
        assert_eq!(open(DAY, Err(())), Ok(YEAR), "and one that is behind brings nothing back");
    }
}
