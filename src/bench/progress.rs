//! Watches a load from outside: a line on the terminal, and the server's process at the beginning and end of measuring.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::crew::Span;
use super::report::Report;
use super::schedule::since;
use super::server_use::{Snapshot, Used, Watched, rounded};

/// How often the line is written anew.
const REFRESH: Duration = Duration::from_millis(250);

/// How long was measured, and the server's process before and after.
pub(super) struct Measured {
    pub(super) time: Duration,
    before: Option<Snapshot>,
    after: Option<Snapshot>,
}

impl Measured {
    /// `count` a second, to a tenth.
    pub(super) fn per_second(&self, count: u64) -> Value {
        json!(rounded(per_second(count, self.time), 10.0))
    }

    /// What the server used for `operations`; says so in `report` if it could not be watched although asked.
    pub(super) fn server(&self, operations: u64, asked: Option<u32>, report: &mut Report) -> Option<Used> {
        match (self.before, self.after) {
            (Some(before), Some(after)) => Some(before.until(after, self.time, operations)),
            _ => {
                if let Some(pid) = asked {
                    report.failures.push(format!("the process {pid} could not be watched to the end"));
                }
                None
            }
        }
    }
}

/// `count` in `time`, each second.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    let count = Duration::from_micros(count).as_secs_f64() * 1e6;
    count / time.as_secs_f64().max(1e-9)
}

/// The line on the terminal; nothing where there is none.
pub(super) struct Progress {
    unit: &'static str,
    shown: bool,
}

impl Progress {
    /// Counts `unit`.
    pub(super) fn new(unit: &'static str) -> Self {
        Self { unit, shown: std::io::stderr().is_terminal() }
    }

    /// Follows a load to its end, or until `ended`.
    pub(super) fn follow(
        &self,
        span: &Span,
        done: &AtomicU64,
        server: Option<u32>,
        ended: impl Fn() -> bool,
    ) -> Measured {
        let look = || server.map(Watched).and_then(Watched::snapshot);
        self.until(span, span.from_ns, done, "warming up", &ended);
        let (before, began) = (look(), Instant::now());
        self.until(span, span.to_ns, done, "measuring", &ended);
        let (after, time) = (look(), began.elapsed());
        Measured { time, before, after }
    }

    fn until(&self, span: &Span, moment: u64, done: &AtomicU64, phase: &str, ended: &impl Fn() -> bool) {
        let mut last = (Instant::now(), done.load(Ordering::Relaxed));
        loop {
            let left = Duration::from_nanos(moment.saturating_sub(since(span.start)));
            if left.is_zero() || ended() {
                return;
            }
            std::thread::sleep(left.min(REFRESH));
            let now = (Instant::now(), done.load(Ordering::Relaxed));
            let rate = per_second(now.1.saturating_sub(last.1), now.0 - last.0);
            self.say(&format!("{phase}, {:.0} s left: {rate:.0} {}/s", left.as_secs_f64(), self.unit));
            last = now;
        }
    }

    /// Writes the line anew.
    pub(super) fn say(&self, text: &str) {
        if self.shown {
            // A terminal that cannot be written to is no reason to stop.
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.say("");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_over_its_time() {
        assert!((per_second(1_000_000, Duration::from_secs(4)) - 250_000.0).abs() < 0.001);
        assert!((per_second(0, Duration::ZERO)).abs() < 0.001);
    }
}
