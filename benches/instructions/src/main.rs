//! Counts the instructions and allocations of what chappe does most, and compares them with the figures that stand in
//! `benches/instructions.toml`: the same on a noisy machine. `benches/instructions.sh` builds and runs it.
//!
//!     chappe-instructions [NAME…]     compares those whose name contains one of these; all if there are none
//!     chappe-instructions --store     writes the figures anew
//!
//! It starts itself once more under callgrind. What is counted is told apart by name: see [`meter`].

mod callgrind;
mod codec;
mod figures;
mod meter;
mod sample;
mod session;
mod state;
mod world;

use std::process::ExitCode;

use self::figures::Figures;
use self::meter::Meter;

/// How the program calls itself.
const COUNTED: &str = "--counted";

/// A benchmark: prepares what it needs, and measures once.
type Bench = fn(&mut Meter);

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("valgrind could not be run, is it installed? {0}")]
    NoValgrind(std::io::Error),
    #[error("under callgrind the benchmarks failed:\n{0}")]
    Failed(String),
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    #[error("{0} cannot be read: {1}")]
    Figures(String, toml::de::Error),
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((COUNTED, names)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        run(names);
        return ExitCode::SUCCESS;
    }
    match check(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chappe-instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the benchmarks, and says which and how many operations each was.
fn run(names: &[String]) {
    for (name, bench) in [codec::ALL, state::ALL, session::ALL].concat() {
        if names.is_empty() || names.iter().any(|part| name.contains(part.as_str())) {
            let mut meter = Meter::default();
            bench(&mut meter);
            println!("{name} {}", meter.operations());
        }
    }
}

/// Whether all is as the figures say.
fn check(words: &[String]) -> Result<bool, Error> {
    let (options, names): (Vec<_>, Vec<_>) = words.iter().cloned().partition(|word| word.starts_with("--"));
    let counted = callgrind::count(&names)?;
    if options.iter().any(|option| option == "--store") {
        counted.write()?;
        println!("stored");
        return Ok(true);
    }
    let stored = Figures::read()?;
    let (text, same) = counted.beside(&stored, names.is_empty());
    print!("{text}");
    Ok(same)
}
