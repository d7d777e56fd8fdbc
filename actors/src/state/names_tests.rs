//! The table of names against a map of the standard library's, and what it takes.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn name(print: u64, message: u64) -> Name {
    Name { print: Print(print), message }
}

/// Spreads numbers over all of 64 bits, as fingerprints are.
fn spread(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

proptest! {
    #[test]
    fn it_holds_what_was_put_in_and_nothing_else(
        // Crowded at both ends of a table and on single fingerprints, and spread.
        prints in proptest::collection::vec(
            prop_oneof![0u64..40, (u64::MAX - 40)..=u64::MAX, any::<u64>(), (0u64..4).prop_map(|n| n << 52)], 0..600),
        others in proptest::collection::vec(any::<u64>(), 20),
    ) {
        let mut names = Names::default();
        let mut expected = BTreeSet::new();
        for (message, print) in (1..).zip(&prints) {
            for _ in 0..2 {
                names.insert(name(*print, message));
            }
            expected.insert(name(*print, message));
        }
        prop_assert_eq!(names.len(), expected.len());
        prop_assert!(names.iter().eq(expected.iter().copied()));
        for print in prints.iter().chain(&others) {
            let found: Vec<u64> = names.find(Print(*print)).map(MessageId::get).collect();
            let range = expected.range(name(*print, 0)..=name(*print, u64::MAX));
            prop_assert_eq!(found, range.map(|name| name.message).collect::<Vec<_>>());
        }
        let runs: Vec<Vec<Name>> = prints.chunks(70).zip(0..).map(|(chunk, at)| {
            let mut run: Vec<_> = chunk.iter().zip(at * 70 + 1..).map(|(print, message)| name(*print, message)).collect();
            run.sort_unstable();
            run
        }).collect();
        let runs: Vec<Vec<PackedName>> = runs.iter().map(|run| run.iter().map(Name::packed).collect()).collect();
        let built = Names::of_runs(runs.iter().map(Vec::as_slice).collect());
        prop_assert!(built.iter().eq(expected.iter().copied()));
    }
}

#[test]
fn a_name_takes_about_nineteen_bytes_however_many_there_are() {
    let mut names = Names::default();
    for number in 1..=1_000_000 {
        names.insert(name(spread(number), number));
        if number % 250_000 == 0 && number > 250_000 {
            let slots: usize = names.tables.iter().map(|table| table.slots.capacity()).sum();
            let bytes = slots * size_of::<Name>();
            assert!(bytes < names.len() * 22, "{number}: {} bytes each", bytes / names.len());
        }
    }
    let displaced = |table: &Table| {
        let used = table.slots.iter().enumerate().filter(|(_, name)| name.is_used());
        used.map(|(at, name)| at - table.home(name.print)).max()
    };
    let most = names.tables.iter().filter_map(displaced).max().unwrap();
    assert!(most < 300, "a search goes over {most} slots");
}
