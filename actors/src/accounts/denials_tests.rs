//! Which denials concern whom, and for how long.

use super::*;
use crate::principal::Standing;

fn user(id: u64) -> UserId {
    UserId::parse(id).unwrap()
}

fn token(byte: u8, until: u64) -> Denial {
    Denial::Token { token: TokenId([byte; 16]), until: Millis(until) }
}

fn before(id: u64, time: u64) -> Denial {
    Denial::IssuedBefore { user: user(id), time: Millis(time) }
}

fn who(id: u64, byte: u8, issued_at: u64) -> Principal {
    Principal {
        user: user(id),
        nickname: None,
        standing: Standing::User,
        token: TokenId([byte; 16]),
        issued_at: Millis(issued_at),
        expires_at: Millis(u64::MAX),
    }
}

#[test]
fn a_denial_concerns_its_token_its_user_or_what_was_made_before() {
    let all: Denials = [token(1, 100), before(2, 50), Denial::User(user(3))].into_iter().collect();
    for (asker, concerned) in [
        (who(1, 1, 0), true),
        (who(1, 2, 0), false),
        (who(2, 2, 49), true),
        (who(2, 2, 50), false),
        (who(3, 2, 99), true),
    ] {
        assert_eq!(all.concern(&asker), concerned, "{asker:?}");
    }
}

#[test]
fn what_is_told_is_the_difference() {
    let mut known: Denials = [token(1, 100), before(2, 50), Denial::User(user(3))].into_iter().collect();
    let next: Denials = [token(2, 100), before(2, 60), Denial::User(user(4))].into_iter().collect();
    let told = known.difference(&next);
    assert_eq!(told, [token(2, 100), before(2, 60), Denial::User(user(4)), Denial::Lifted(user(3))]);
    told.into_iter().for_each(|denial| known.add(denial));
    assert_eq!(known.difference(&next), []);
    assert!(known.concern(&who(1, 1, 0)), "a revoked token stays revoked until it runs out");
    known.prune(Millis(100));
    assert!(!known.concern(&who(1, 1, 0)));
}

#[test]
fn a_user_who_is_believed_again_keeps_the_old_tokens_ended() {
    let all: Denials = [before(2, 50), Denial::User(user(2)), Denial::Lifted(user(2))].into_iter().collect();
    assert!(!all.concern(&who(2, 1, 50)) && all.concern(&who(2, 1, 49)));
}

#[test]
fn a_time_that_was_too_late_is_told_as_well() {
    let mut known: Denials = [before(2, 5000)].into_iter().collect();
    let mended: Denials = [before(2, 50)].into_iter().collect();
    assert_eq!(known.difference(&mended), [before(2, 50)]);
    known.add(before(2, 50));
    assert!(known.concern(&who(2, 1, 49)) && !known.concern(&who(2, 1, 50)));
}
