//! libFuzzer around the target that `CHAPPE_FUZZ_TARGET` names. `fuzz/run` builds and starts it.

#![no_main]
#![allow(unsafe_code, reason = "the macro makes the function that libFuzzer calls")]

use std::path::PathBuf;
use std::sync::LazyLock;

use chappe_fuzz::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("CHAPPE_FUZZ_TARGET").unwrap_or_default();
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    Target::named(&name).unwrap_or_else(|| panic!("{name:?} is no target; there are {}", names.join(", ")))
});

/// Writes what the target begins with to the folder that `CHAPPE_FUZZ_SEEDS` names: libFuzzer reads folders.
fn write_seeds() {
    let Some(folder) = std::env::var_os("CHAPPE_FUZZ_SEEDS").map(PathBuf::from) else { return };
    for (nth, seed) in (TARGET.seeds)().into_iter().enumerate() {
        let file = folder.join(format!("seed-{nth}"));
        std::fs::write(&file, seed).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

libfuzzer_sys::fuzz_target!(
    init: write_seeds(),
    |bytes: &[u8]| (TARGET.run)(bytes)
);
