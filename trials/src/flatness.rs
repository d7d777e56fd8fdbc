//! Whether a quantity stays as it is: the median of the last third of a run against that of the second.

use std::fmt;

/// Values that are needed in a third, so that a median says something.
const ENOUGH: usize = 5;

/// How much more there may be in the last third than in the second: `factor` times as much, and `slack` on top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// See [`Bound`].
    pub factor: f64,
    /// In the quantity's unit.
    pub slack: f64,
}

/// One quantity over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// What it is, with its unit.
    pub name: &'static str,
    /// What it may grow.
    pub bound: Bound,
    /// Seconds since the beginning, and the value.
    pub points: Vec<(f64, f64)>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Of which quantity.
    pub name: &'static str,
    /// The medians of the second and of the last third, and what the last may be at most. `None` if there are too few values.
    pub found: Option<(f64, f64, f64)>,
}

impl Track {
    /// Nothing yet.
    pub fn new(name: &'static str, factor: f64, slack: f64) -> Self {
        Self { name, bound: Bound { factor, slack }, points: Vec::new() }
    }

    /// Holds the last third of `seconds` against the second.
    pub fn verdict(&self, seconds: f64) -> Verdict {
        let between = |from: f64, to: f64| {
            let there = self.points.iter().filter(|(at, _)| (from..to).contains(&(at / seconds)));
            median(there.map(|(_, value)| *value).collect())
        };
        let found = match (between(1.0 / 3.0, 2.0 / 3.0), between(2.0 / 3.0, f64::INFINITY)) {
            (Some(second), Some(last)) => Some((second, last, second * self.bound.factor + self.bound.slack)),
            _ => None,
        };
        Verdict { name: self.name, found }
    }
}

impl Verdict {
    /// Whether it stayed as it was. Of what was not seen that cannot be said.
    pub fn is_flat(&self) -> bool {
        self.found.is_some_and(|(_, last, most)| last <= most)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((second, last, most)) = self.found else { return write!(f, "{}: too few values", self.name) };
        let verdict = if self.is_flat() { "flat" } else { "NOT FLAT" };
        write!(
            f,
            "{}: {second:.2} in the second third, {last:.2} in the last (at most {most:.2}): {verdict}",
            self.name
        )
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    if values.len() < ENOUGH { None } else { values.get(values.len() / 2).copied() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(value: impl Fn(f64) -> f64) -> Verdict {
        let mut track = Track::new("memory", 1.1, 5.0);
        track.points = (0..90).map(f64::from).map(|at| (at, value(at))).collect();
        track.verdict(90.0)
    }

    #[test]
    fn what_stays_is_flat_whatever_it_did_at_the_beginning() {
        assert!(verdict(|_| 100.0).is_flat());
        assert!(verdict(|at| if at < 30.0 { 10.0 * at } else { 300.0 }).is_flat());
        assert!(verdict(|at| 1000.0 - at).is_flat());
        // Not the peaks: what comes and goes.
        assert!(verdict(|at| if at % 7.0 < 1.0 { 900.0 } else { 100.0 }).is_flat());
    }

    #[test]
    fn what_grows_is_not() {
        let grows = verdict(|at| 100.0 + at);
        assert!(!grows.is_flat(), "{grows}");
        let jumps = verdict(|at| if at < 60.0 { 100.0 } else { 116.0 });
        assert!(!jumps.is_flat(), "{jumps}");
        assert!(jumps.to_string().contains("NOT FLAT"));
        assert!(verdict(|at| if at < 60.0 { 100.0 } else { 115.0 }).is_flat());
    }

    #[test]
    fn what_was_not_seen_is_not_flat() {
        assert!(!Track::new("memory", 1.1, 5.0).verdict(90.0).is_flat());
    }
}
