//! The server under a deterministic simulation: the engine's own actors, connections and framings on one thread, with a
//! clock, a disk, sockets and an order of events that a seed decides. What the server promises is checked at every step;
//! a seed that breaks a promise breaks it again, in the same step.
//!
//! `CHAPPE_SEEDS=10000` runs so many seeds, `CHAPPE_SEED=17` only this one (or from it on), `CHAPPE_STEPS` each for so many steps. With
//! `CHAPPE_LOUD=1` all that clients ask and hear is told, and all that is kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say so")]

mod acts;
mod answers;
mod archive;
mod client;
#[path = "../../../tests/support/dice.rs"]
mod dice;
mod disk;
mod ear;
mod http;
mod keeping;
mod ledger;
mod lie;
mod office;
mod pages;
mod server;
mod shape;
mod snapshot;
mod socket;
mod verdict;
mod wire;
mod world;

use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use crate::lie::Lie;
use crate::world::{Outcome, World};

/// How many seeds there are unless it is said.
const SEEDS: u64 = 200;
/// And how many steps each has, until it comes to rest.
const STEPS: u64 = 1_200;
/// Within so many seeds a server that breaks a promise is caught.
const CAUGHT_WITHIN: u64 = 100;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

/// What is to be simulated, and who waits for it.
type Job = (u64, Lie, Sender<Outcome>);

/// What all outboxes hold is counted for the whole process: so there is one simulation at a time, whatever tests run beside
/// each other. Each has a thread of its own, and so finds nothing that another has left.
static SIMULATOR: LazyLock<Sender<Job>> = LazyLock::new(|| {
    let (jobs, next) = channel::<Job>();
    std::thread::spawn(move || {
        for (seed, lie, answer) in next {
            let steps = setting("CHAPPE_STEPS").unwrap_or(STEPS);
            let thread = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                // For the timers of the actors. They are made and never fire: nobody drives them.
                let _entered = runtime.enter();
                let outcome = World::new(seed, lie).run(steps);
                // Whoever waits has said so.
                let _ = answer.send(outcome);
            });
            // If it panicked, the answer is dropped, and whoever waits finds out.
            let _ = thread.join();
        }
    });
    jobs
});

fn simulate(seed: u64, lie: Lie) -> Outcome {
    let (answer, outcome) = channel();
    SIMULATOR.send((seed, lie, answer)).unwrap();
    outcome.recv().unwrap_or_else(|_| panic!("seed {seed} panicked; again: {}", again(seed)))
}

fn again(seed: u64) -> String {
    format!("CHAPPE_SEED={seed} cargo test -p chappe-actors --test simulation promises -- --nocapture")
}

#[test]
fn the_server_keeps_its_promises_whatever_the_seed() {
    let begin = Instant::now();
    let (first, count) = match (setting("CHAPPE_SEED"), setting("CHAPPE_SEEDS")) {
        (Some(seed), count) => (seed, count.unwrap_or(1)),
        (None, count) => (1, count.unwrap_or(SEEDS)),
    };
    let mut all: Vec<Outcome> = Vec::new();
    let mut failed = Vec::new();
    for seed in first..first + count {
        let outcome = simulate(seed, Lie::None);
        if let Some((step, how)) = &outcome.verdict {
            println!("seed {seed}, step {step}: {how}\n  again: {}", again(seed));
            failed.push(seed);
        }
        if count == 1 {
            println!("seed {seed}: {} steps, trace {:016x}", outcome.steps, outcome.trace);
        }
        assert!(outcome.left_bytes == 0 || !failed.is_empty(), "seed {seed} leaves bytes in outboxes: {outcome:?}");
        all.push(outcome);
        if all.len().is_multiple_of(1000) {
            println!("{} seeds in {:.0} s", all.len(), begin.elapsed().as_secs_f64());
        }
    }
    let steps: u64 = all.iter().map(|outcome| outcome.steps).sum();
    let seconds = begin.elapsed().as_secs_f64();
    let sum = |of: fn(&Outcome) -> u64| all.iter().map(of).sum::<u64>();
    let seen = [
        ("acks", sum(|o| o.tally.acks)),
        ("duplicates", sum(|o| o.tally.duplicates)),
        ("refusals", sum(|o| o.tally.refusals)),
        ("unavailable", sum(|o| o.tally.unavailable)),
        ("busy", sum(|o| o.tally.busy)),
        ("events", sum(|o| o.tally.events)),
        ("gaps", sum(|o| o.tally.gaps)),
        ("pages", sum(|o| o.tally.pages)),
        ("resets", sum(|o| o.tally.resets)),
        ("reads", sum(|o| o.tally.reads)),
        ("typing", sum(|o| o.tally.typing)),
        ("presence", sum(|o| o.tally.presence)),
        ("cuts", sum(|o| o.events.cuts)),
        ("crashes", sum(|o| o.events.crashes)),
        ("ends in doubt", sum(|o| o.events.ends)),
        ("full disks", sum(|o| o.events.full)),
        ("commits", sum(|o| o.events.commits)),
        ("records", sum(|o| o.events.records)),
        ("snapshots", sum(|o| o.events.snapshots)),
        ("trims", sum(|o| o.events.trims)),
        ("erasures", sum(|o| o.events.erasures)),
    ];
    println!("{count} seeds, {steps} steps in {seconds:.1} s: {:.0} a minute", steps as f64 / seconds * 60.0);
    println!("{seen:?}");
    assert!(failed.is_empty(), "{} of {count} seeds break a promise: {failed:?}", failed.len());
    if count >= SEEDS {
        let never: Vec<_> = seen.iter().filter(|(_, count)| *count == 0).collect();
        assert!(never.is_empty(), "these never came about: {never:?}");
    }
}

#[test]
fn the_same_seed_takes_the_same_steps() {
    for seed in [1, 2, 3, 4, 5, 6, 7, 8] {
        assert_eq!(simulate(seed, Lie::None), simulate(seed, Lie::None), "seed {seed}");
    }
    assert_ne!(simulate(1, Lie::None).trace, simulate(2, Lie::None).trace);
}

#[test]
fn a_server_that_breaks_a_promise_is_caught() {
    let mut missed = Vec::new();
    for lie in Lie::ALL {
        let caught = (1..=CAUGHT_WITHIN).find_map(|seed| Some((seed, simulate(seed, lie).verdict?)));
        match caught {
            Some((seed, (step, how))) => println!("{lie:?}: caught by seed {seed} in step {step}: {how}"),
            None => missed.push(lie),
        }
    }
    assert!(missed.is_empty(), "not caught in {CAUGHT_WITHIN} seeds: {missed:?}");
}
