//! The short forms of the trials; and that they see what is wrong: a server that lies, one promise at a time.
//!
//! The server is the program that was built beside these tests: `cargo test` of the whole workspace builds it, `cargo build` as well.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should say so")]

use std::time::Duration;

use chappe_trials::checker::Rule;
use chappe_trials::crash::{self, Plan, Report};
use chappe_trials::liar::Lie;
use chappe_trials::server::Server;
use chappe_trials::soak;

/// So many times a liar may go unnoticed at most.
const ROUNDS: u32 = 8;

fn crash(kills: u32, lie: Option<Lie>) -> Report {
    let seed = chappe_client::random();
    println!("--seed {seed}");
    let plan = Plan { server: Server::beside().unwrap(), kills, kills_a_folder: 12, seed, lie };
    let report = crash::run(&plan, |_| ()).unwrap_or_else(|trouble| panic!("--seed {seed}: {trouble}"));
    println!("{report}");
    report
}

#[test]
fn a_server_that_is_killed_24_times_under_load_keeps_what_it_promised() {
    let report = crash(24, None);
    assert!(report.faults.is_empty(), "{report}");
    let tally = &report.tally;
    let counted = [tally.posts, tally.edits, tally.deletions, tally.reactions, tally.memberships, tally.in_doubt];
    assert!(report.kills() >= 24 && counted.iter().all(|count| *count >= 20), "too quiet to show anything: {report}");
}

#[test]
fn a_server_that_breaks_a_promise_is_found_out() {
    for lie in Lie::ALL {
        // A liar lies seldom, and in few kills perhaps not once.
        assert!((0..ROUNDS).any(|_| is_found_out(lie)), "{lie:?}: not in {ROUNDS} rounds");
    }
}

/// Whether a server that lies like this is found out in a few kills.
fn is_found_out(lie: Lie) -> bool {
    let report = crash(4, Some(lie));
    let found = |rules: &[Rule]| report.faults.iter().any(|fault| rules.contains(&fault.rule));
    let is_found = match lie {
        Lie::AckUnkept => found(&[Rule::Lost]),
        // What the ack names is something else, or nothing.
        Lie::EditLost => found(&[Rule::Lost, Rule::AckOfAnother]),
        Lie::StoredTwice => found(&[Rule::Unasked]),
        Lie::AckOfAnother => found(&[Rule::AckOfAnother]),
        Lie::EventLost => found(&[Rule::SilentGap]),
        Lie::EventTwice => found(&[Rule::Repeated]),
        Lie::EventsSwapped => found(&[Rule::Repeated]) && found(&[Rule::SilentGap]),
        Lie::NumbersSwapped => found(&[Rule::TwoOrders]),
        Lie::OldReads => found(&[Rule::Backwards]),
    };
    // Nothing is wrong with the data.
    report.folder.iter().for_each(|folder| std::fs::remove_dir_all(folder).unwrap());
    is_found
}

#[test]
fn a_soak_checks_what_it_sees_and_draws_it() {
    let out = tempfile::tempdir().unwrap();
    let (time, pace) = (Duration::from_secs(9), Duration::from_millis(20));
    let seed = chappe_client::random();
    let plan = soak::Plan { server: Server::beside().unwrap(), time, seed, pace, out: out.path().to_owned() };
    let report =
        soak::run(&plan, |line| println!("{line}")).unwrap_or_else(|trouble| panic!("--seed {seed}: {trouble}"));
    // So short a run says nothing of flatness; that is judged by its own tests.
    assert_eq!(report.faults, []);
    assert!(report.kills >= 2 && report.stops >= 2 && report.tally.posts > 100, "{report:?}");
    assert!(report.verdicts.iter().all(|verdict| verdict.found.is_some()), "{:?}", report.verdicts);
    for figure in ["memory.svg", "files.svg", "latency.svg", "waiting.svg"] {
        let drawn = std::fs::read_to_string(out.path().join(figure)).unwrap();
        assert!(drawn.contains("<polyline"), "{figure}");
    }
}
