//! Figures by name: as they are stored, and one set beside another.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

use crate::Error;

/// Where they are stored.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../instructions.toml");
/// What stands above them.
const HEAD: &str = "# Instructions and allocations of one operation, as counted by `benches/instructions.sh --store` with the
# toolchain of rust-toolchain.toml on x86-64 Linux. `./check` compares: neither may change unnoticed, for better or worse.
";
/// So much of a figure may instructions change: what a hash table does differs from run to run, and what the compiler
/// does with a function also by what stands beside it.
const TOLERANCE: f64 = 0.05;
/// So much may either change whatever it is.
const LEAST: f64 = 1.0;
/// So much may allocations change: a growing table allocates once in many operations.
const ALLOCATIONS: f64 = 0.02;

/// What one operation takes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
pub(crate) struct Figure {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

impl Figure {
    pub(crate) fn over(self, operations: f64) -> Self {
        Self { instructions: self.instructions / operations, allocations: self.allocations / operations }
    }

    /// What is to be said of it beside the stored one; nothing if it is as good as the same.
    fn changed(self, stored: Self) -> Option<&'static str> {
        let more = self.instructions - stored.instructions;
        let more_allocations = self.allocations - stored.allocations;
        if more_allocations > ALLOCATIONS || more > (stored.instructions * TOLERANCE).max(LEAST) {
            Some("WORSE")
        } else if -more_allocations > ALLOCATIONS || -more > (stored.instructions * TOLERANCE).max(LEAST) {
            Some("better: store it")
        } else {
            // Nothing can be said of what is no number.
            (more + more_allocations).is_nan().then_some("NOT COUNTED")
        }
    }
}

/// All of them.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Figures(BTreeMap<String, Figure>);

impl Figures {
    pub(crate) fn insert(&mut self, name: &str, figure: Figure) {
        self.0.insert(name.to_owned(), figure);
    }

    pub(crate) fn read() -> Result<Self, Error> {
        let text = std::fs::read_to_string(FILE).map_err(|error| Error::File(FILE.to_owned(), error))?;
        toml::from_str(&text).map_err(|error| Error::Figures(FILE.to_owned(), error))
    }

    pub(crate) fn write(&self) -> Result<(), Error> {
        std::fs::write(FILE, self.as_toml()).map_err(|error| Error::File(FILE.to_owned(), error))
    }

    fn as_toml(&self) -> String {
        let mut text = HEAD.to_owned();
        for (name, Figure { instructions, allocations }) in &self.0 {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{name} = {{ instructions = {instructions:.1}, allocations = {allocations:.2} }}");
        }
        text
    }

    /// The instructions of each, by series and size.
    pub(crate) fn as_growth(&self) -> String {
        self.0.iter().map(|(name, figure)| format!("{name},{:.1}\n", figure.instructions)).collect()
    }

    /// A line for each, beside what is stored, and whether all is as good as the same. `all` says that what is stored
    /// should be here.
    pub(crate) fn beside(&self, stored: &Self, all: bool) -> (String, bool) {
        let mut text = format!("{:<32}{:>14}{:>10}{:>8}{:>14}\n", "", "instructions", "stored", "", "allocations");
        let mut same = true;
        for (name, figure) in &self.0 {
            let Figure { instructions, allocations } = figure;
            let (old, word) = match stored.0.get(name) {
                Some(old) => (*old, figure.changed(*old)),
                None => (Figure::default(), Some("new: store it")),
            };
            let percent = (instructions / old.instructions - 1.0) * 100.0;
            let _ = write!(text, "{name:<32}{instructions:>14.1}{:>10.1}{percent:>+7.1}%", old.instructions);
            let _ = writeln!(text, "{allocations:>8.2}{:>6.2}  {}", old.allocations, word.unwrap_or_default());
            same &= word.is_none();
        }
        for name in stored.0.keys().filter(|name| all && !self.0.contains_key(*name)) {
            let _ = writeln!(text, "{name:<32}gone: store the others");
            same = false;
        }
        (text, same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(instructions: f64, allocations: f64) -> Figures {
        Figures(BTreeMap::from([("post".to_owned(), Figure { instructions, allocations })]))
    }

    #[test]
    fn a_change_beyond_the_tolerance_is_told_whichever_way_it_goes() {
        let stored = figures(1000.0, 2.0);
        for (now, word) in [
            (figures(1049.0, 2.0), None),
            (figures(951.0, 2.01), None),
            (figures(1051.0, 2.0), Some("WORSE")),
            (figures(949.0, 2.0), Some("better")),
            (figures(1000.0, 2.5), Some("WORSE")),
            (figures(1000.0, 1.0), Some("better")),
            (figures(900.0, 3.0), Some("WORSE")),
            (figures(f64::NAN, 2.0), Some("NOT COUNTED")),
        ] {
            let (text, same) = now.beside(&stored, true);
            assert_eq!(same, word.is_none(), "{text}");
            assert!(word.is_none_or(|word| text.contains(word)), "{text}");
        }
    }

    #[test]
    fn a_benchmark_that_is_new_or_gone_is_told() {
        let none = Figures::default();
        assert!(!figures(1.0, 1.0).beside(&none, true).1);
        assert!(!none.beside(&figures(1.0, 1.0), true).1);
        assert!(none.beside(&figures(1.0, 1.0), false).1, "it was not asked for");
    }

    #[test]
    fn what_is_stored_reads_as_it_was() {
        let figures = figures(1234.5, 2.25);
        assert_eq!(toml::from_str::<Figures>(&figures.as_toml()).unwrap(), figures);
    }
}
