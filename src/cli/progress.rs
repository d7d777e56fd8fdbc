//! The line on a terminal that says how far a long command is. Where stderr is no terminal, nothing is written.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line is written anew.
const REFRESH: Duration = Duration::from_millis(250);
/// How many characters the bar has.
const WIDTH: u64 = 24;

/// The line.
pub(super) struct Progress {
    shown: bool,
    /// What is being done, and since when.
    phase: (&'static str, Instant),
    written: Option<Instant>,
}

impl Progress {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), phase: ("", Instant::now()), written: None }
    }

    /// So much of so much is done. A `total` of 0 is not known.
    pub(super) fn say(&mut self, what: &'static str, done: u64, total: u64, unit: &str) {
        let now = Instant::now();
        if self.phase.0 != what {
            self.phase = (what, now);
        } else if self.written.is_some_and(|written| now - written < REFRESH) {
            return;
        }
        self.written = Some(now);
        if self.shown {
            // A terminal that cannot be written to is no reason to stop.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}", line(what, done, total, unit, now - self.phase.1));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown && self.written.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(what: &str, done: u64, total: u64, unit: &str, since: Duration) -> String {
    if total == 0 {
        return format!("{what}  {done} {unit}");
    }
    let of = |whole: u64| u128::from(whole) * u128::from(done.min(total)) / u128::from(total);
    let filled = usize::try_from(of(WIDTH)).unwrap_or_default();
    let bar: String = (0..WIDTH).zip(0..).map(|(_, nth): (u64, usize)| if nth < filled { '█' } else { '·' }).collect();
    let left = since.as_millis() * u128::from(total.saturating_sub(done)) / u128::from(done.max(1)) / 1000;
    // What the first moments tell is mostly wrong.
    let left = if since > Duration::from_secs(1) { format!(", {left} s left") } else { String::new() };
    format!("{what}  {bar}  {} %  {done} of {total} {unit}{left}", of(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_much_is_done_and_how_long_it_takes() {
        let half = line("copying", 500, 1000, "records", Duration::from_secs(3));
        assert_eq!(half, "copying  ████████████············  50 %  500 of 1000 records, 3 s left");
        let begun = line("copying", 0, 1000, "records", Duration::ZERO);
        assert_eq!(begun, "copying  ························  0 %  0 of 1000 records");
        assert!(line("x", 7, 7, "bytes", Duration::from_secs(9)).contains(" 100 %  7 of 7 bytes, 0 s left"));
        assert!(line("x", 9, 7, "bytes", Duration::ZERO).contains(" 100 %"), "more came meanwhile");
        assert_eq!(line("importing", 5, 0, "bytes", Duration::ZERO), "importing  5 bytes");
    }
}
