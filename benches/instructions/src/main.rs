//! Counts the instructions and allocations of what chappe does most, and compares them with the figures that stand in
//! `benches/instructions.toml`: the same on a noisy machine. `benches/instructions.sh` builds and runs it.
//!
//! ```text
//! chappe-instructions [NAME…]     compares those whose name contains one of these; all if there are none
//! chappe-instructions --store     writes the figures anew
//! chappe-instructions --growth    prints how they grow with the number of members, chats …: `series,x,y`
//! ```
//!
//! It starts itself once more under callgrind. What is counted is told apart by name: see [`meter`].

mod callgrind;
mod codec;
mod figures;
mod growth;
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
const GROWTH: &str = "--growth";

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
fn run(words: &[String]) {
    if words.iter().any(|word| word == GROWTH) {
        for (series, sizes, bench) in growth::ALL {
            for size in *sizes {
                say(&format!("{series},{size}"), |meter| bench(meter, *size));
            }
        }
        return;
    }
    for (name, bench) in [codec::ALL, state::ALL, session::ALL].concat() {
        if words.is_empty() || words.iter().any(|part| name.contains(part.as_str())) {
            say(name, bench);
        }
    }
}

fn say(name: &str, bench: impl FnOnce(&mut Meter)) {
    let mut meter = Meter::default();
    bench(&mut meter);
    println!("{name} {}", meter.operations());
}

/// Whether all is as the figures say.
fn check(words: &[String]) -> Result<bool, Error> {
    let (options, names): (Vec<_>, Vec<_>) = words.iter().cloned().partition(|word| word.starts_with("--"));
    let has = |option: &str| options.iter().any(|word| word == option);
    if has(GROWTH) {
        print!("{}", callgrind::count(&[GROWTH.to_owned()])?.as_growth());
        return Ok(true);
    }
    let counted = callgrind::count(&names)?;
    if has("--store") {
        counted.write()?;
        println!("stored");
        return Ok(true);
    }
    let stored = Figures::read()?;
    let (text, same) = counted.beside(&stored, names.is_empty());
    print!("{text}");
    Ok(same)
}
