//! Finding a number that nobody has, in a few questions however many are taken in a row.

use std::convert::Infallible;

use chappe_proto::UserId;

/// An id from `from` on that is not `taken`: the next one, or one not far behind it. `None` if there is none.
///
/// The steps double until a free one is found; between that one and the last that was taken it is halved. Where somebody has
/// taken just those that are asked for, one is asked for after the other.
///
/// # Errors
/// What `taken` fails with.
pub fn first_free<E>(from: u64, mut taken: impl FnMut(u64) -> Result<bool, E>) -> Result<Option<UserId>, E> {
    let is_id = |id| UserId::parse(id).is_ok();
    let (mut free, mut step) = (from, 1);
    let mut last_taken = None;
    while is_id(free) && taken(free)? {
        last_taken = Some(free);
        (free, step) = (free.saturating_add(step), step.saturating_mul(2));
    }
    if is_id(free) {
        while let Some(last) = last_taken
            && free - last > 1
        {
            let middle = last + (free - last) / 2;
            if taken(middle)? {
                last_taken = Some(middle);
            } else {
                free = middle;
            }
        }
    } else {
        free = from;
        while is_id(free) && taken(free)? {
            free += 1;
        }
    }
    Ok(UserId::parse(free).ok())
}

/// The same where nothing can fail.
pub fn first_free_of(from: u64, mut taken: impl FnMut(u64) -> bool) -> Option<UserId> {
    match first_free(from, |id| Ok::<_, Infallible>(taken(id))) {
        Ok(free) => free,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const LAST: u64 = (1 << 53) - 1;

    fn found(from: u64, taken: &BTreeSet<u64>) -> (Option<u64>, usize) {
        let mut asked = 0;
        let free = first_free_of(from, |id| {
            asked += 1;
            taken.contains(&id)
        });
        (free.map(UserId::get), asked)
    }

    #[test]
    fn the_next_free_one_is_found_in_few_questions() {
        assert_eq!(found(1001, &BTreeSet::new()), (Some(1001), 1));
        for count in [1, 2, 3, 4, 7, 8, 1000, 400_000] {
            let (free, asked) = found(1001, &(1001..1001 + count).collect());
            assert_eq!(free, Some(1001 + count));
            assert!(asked <= 45, "{asked} questions for {count}");
        }
    }

    #[test]
    fn one_is_found_among_any_that_are_taken() {
        let mut chance = 7u64;
        for _ in 0..1000 {
            let mut taken = BTreeSet::new();
            for _ in 0..60 {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                taken.insert(1001 + (chance >> 33) % 80);
            }
            let free = found(1001, &taken).0.unwrap();
            assert!((1001..=1081).contains(&free) && !taken.contains(&free), "{free} of {taken:?}");
        }
    }

    #[test]
    fn nobody_takes_all_by_taking_those_that_are_asked_for() {
        let mut taken: BTreeSet<u64> = (0..53).map(|power| 1000 + (1 << power)).collect();
        taken.insert(LAST);
        assert_eq!(found(1001, &taken).0, Some(1003));
        assert_eq!(found(LAST, &taken).0, None, "there is no number after the last");
        assert_eq!(found(LAST - 2, &[LAST - 2, LAST].into()).0, Some(LAST - 1));
    }
}
