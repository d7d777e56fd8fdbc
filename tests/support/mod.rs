//! What the tests of a running server share: the server itself, and a small client for each of its doors. No test is
//! here, and nothing that knows what a test expects.

pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod dice;
pub(crate) mod disk;
pub(crate) mod faults;
pub(crate) mod flood;
pub(crate) mod http;
pub(crate) mod programs;
pub(crate) mod proxy;
pub(crate) mod record;
pub(crate) mod replay;
pub(crate) mod scripted;
pub(crate) mod server;
pub(crate) mod tls;
pub(crate) mod tokens;
pub(crate) mod udp;

use std::time::{Duration, Instant};

/// How long anything is waited for. Far more than it takes: a slow machine is no failure. Less than the 25 s after which
/// the server lets itself be heard: else there would never be silence.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What goes on until somebody ends it goes on no longer than this: where a test fails before it gets to that, the other
/// threads end too, and the failure is told.
pub(crate) const LONGEST: Duration = Duration::from_secs(180);

/// Asks `look` until it has an answer, for what nobody tells of by itself; longer than one answer is waited for, since it
/// may be the end of much work.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    const LONG: Duration = Duration::from_secs(60);
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {LONG:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
