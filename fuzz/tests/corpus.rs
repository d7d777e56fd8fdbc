//! Every target holds over its corpus, and over mutations of it that are the same every time. Each runs in a process of its
//! own: what it claims of the address space can be seen there, and what would end it ends nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say so")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Output};

use chappe_fuzz::corpus;
use chappe_fuzz::mutate::Mutator;
use chappe_fuzz::{TARGETS, Target};

/// Mutations of each target's corpus, unless `CHAPPE_FUZZ_TIMES` says otherwise.
const TIMES: usize = 10_000;
/// One arena, on the main thread: else the allocator reserves 64 MiB for each thread, and hides what is looked for.
const ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "1");
const TARGET: &str = "CHAPPE_FUZZ_TARGET";

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_target_holds_over_its_corpus_and_over_mutations_of_it() {
    let run = |target: &Target| -> Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "one_target", "--ignored", "--test-threads=1", "--nocapture"])
            .env(TARGET, target.name)
            .env(ARENAS.0, ARENAS.1)
            .output()
            .unwrap()
    };
    let (first, second) = TARGETS.split_at(TARGETS.len() / 2);
    let outputs = std::thread::scope(|scope| {
        let both = [first, second].map(|half| scope.spawn(|| half.iter().map(run).collect::<Vec<_>>()));
        both.into_iter().flat_map(|half| half.join().unwrap()).collect::<Vec<_>>()
    });
    let mut broken = Vec::new();
    for (target, output) in TARGETS.iter().zip(outputs) {
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        said.lines().filter(|line| line.starts_with(target.name)).for_each(|line| println!("{line}"));
        if !output.status.success() || !said.contains("1 passed") {
            broken.push(format!("{}: {}\n{said}", target.name, output.status));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// A line of `/proc/self/status`, in KiB.
fn status_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

#[test]
#[ignore = "runs in a process of its own, which the other test starts"]
fn one_target() {
    let Some(target) = std::env::var(TARGET).ok().and_then(|name| Target::named(&name)) else { return };
    let seed = variable("CHAPPE_SEED").unwrap_or(1);
    let times = variable("CHAPPE_FUZZ_TIMES").and_then(|times| times.try_into().ok()).unwrap_or(TIMES);
    let corpus = corpus::of(&target).unwrap();
    assert!(!corpus.is_empty(), "{} has nothing to begin with", target.name);
    // What a target makes once, it makes here.
    (target.run)(&[]);
    let (before, mut longest) = (status_kib("VmSize:"), 0);
    assert!(status_kib("VmPeak:") - before < 1024, "an earlier peak would hide a new one");
    let all = corpus.iter().cloned().chain(Mutator::new(&corpus, seed).take(times));
    for (nth, bytes) in all.enumerate() {
        longest = longest.max(bytes.len());
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes))).is_err() {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            panic!("{}, input {nth} of seed {seed}: {:?}\n{hex}", target.name, String::from_utf8_lossy(&bytes));
        }
    }
    let claimed = status_kib("VmPeak:") - before;
    println!(
        "\n{}: {} inputs and {times} mutations, up to {longest} bytes, {claimed} KiB claimed",
        target.name,
        corpus.len()
    );
    if let Some(allowed) = target.claims_kib {
        assert!(claimed <= allowed, "{claimed} KiB were claimed, and {allowed} are allowed");
    }
}
