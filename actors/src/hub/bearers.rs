//! Whose token each connection of a hub came with, and what is due about it when. Plain, and told the time: no timer for
//! each connection, one list in the order of time.

use std::collections::BTreeSet;

use chappe_proto::Millis;

use crate::principal::Principal;

/// How long before its end a token's holder is told.
const WARNING_MS: u64 = 60_000;

/// Who a connection belongs to.
#[derive(Debug)]
pub(super) struct Bearer {
    pub(super) principal: Principal,
    /// When something is due next.
    due: Millis,
    warned: bool,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// To tell that the token runs out then.
    Warning(Millis),
    /// To end the connection.
    End,
}

impl Bearer {
    /// The holder of a token that was shown now. Of a short life half is over before the warning.
    pub(super) fn new(principal: Principal, now: Millis) -> Self {
        let left = principal.expires_at.0.saturating_sub(now.0);
        let warning = if left < 2 * WARNING_MS { left / 2 } else { WARNING_MS };
        let due = Millis(principal.expires_at.0.saturating_sub(warning));
        Self { principal, due, warned: false }
    }

    /// What is due now; what follows is due later.
    fn next(&mut self) -> Due {
        if std::mem::replace(&mut self.warned, true) {
            return Due::End;
        }
        self.due = self.principal.expires_at;
        Due::Warning(self.principal.expires_at)
    }
}

/// A place of the hub, and its generation.
pub(super) type Place = (u32, u32);

/// When something is due for whom.
#[derive(Debug, Default)]
pub(super) struct Expiries(BTreeSet<(Millis, Place)>);

impl Expiries {
    pub(super) fn watch(&mut self, place: Place, bearer: &Bearer) {
        self.0.insert((bearer.due, place));
    }

    pub(super) fn forget(&mut self, place: Place, bearer: &Bearer) {
        self.0.remove(&(bearer.due, place));
    }

    /// Takes the place for which something has been due the longest.
    pub(super) fn pop(&mut self, now: Millis) -> Option<Place> {
        let (_, place) = self.0.first().filter(|(due, _)| *due <= now).copied()?;
        self.0.pop_first();
        Some(place)
    }

    /// What is due for a bearer whose place was popped; its end is watched from now on.
    pub(super) fn due(&mut self, place: Place, bearer: &mut Bearer) -> Due {
        let due = bearer.next();
        if matches!(due, Due::Warning(_)) {
            self.watch(place, bearer);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use chappe_proto::UserId;

    use super::*;
    use crate::principal::{Standing, TokenId};

    fn bearer(expires_at: u64, now: u64) -> Bearer {
        let principal = Principal {
            user: UserId::parse(1).unwrap(),
            nickname: None,
            standing: Standing::User,
            token: TokenId([0; 16]),
            issued_at: Millis(0),
            expires_at: Millis(expires_at),
        };
        Bearer::new(principal, Millis(now))
    }

    #[test]
    fn a_warning_comes_a_minute_before_or_at_half_of_a_short_life() {
        for (expires_at, now, warned_at) in [
            (1_000_000, 0, 940_000),
            (120_000, 0, 60_000),
            (119_000, 0, 59_500),
            (8000, 4000, 6000),
            (5000, 6000, 5000),
        ] {
            assert_eq!(bearer(expires_at, now).due, Millis(warned_at), "{expires_at} at {now}");
        }
    }

    #[test]
    fn first_the_warning_then_the_end_and_a_renewal_moves_both() {
        let mut expiries = Expiries::default();
        let place = (3, 1);
        let mut first = bearer(8000, 0);
        expiries.watch(place, &first);
        assert_eq!(expiries.pop(Millis(3999)), None);
        assert_eq!(expiries.pop(Millis(4000)), Some(place));
        assert_eq!(expiries.due(place, &mut first), Due::Warning(Millis(8000)));
        expiries.forget(place, &first);
        let mut second = bearer(20_000, 4000);
        expiries.watch(place, &second);
        assert_eq!(expiries.pop(Millis(8000)), None, "renewed");
        assert_eq!(expiries.pop(Millis(12_000)), Some(place));
        assert_eq!(expiries.due(place, &mut second), Due::Warning(Millis(20_000)));
        assert_eq!(expiries.pop(Millis(19_999)), None);
        assert_eq!(expiries.pop(Millis(20_000)), Some(place));
        assert_eq!(expiries.due(place, &mut second), Due::End);
        assert_eq!(expiries.pop(Millis(30_000)), None);
    }
}
