//! What is not believed, as plain data: how it adds up, how two states of it differ, and whom it concerns.

use std::collections::{BTreeMap, BTreeSet};

use chappe_proto::{Millis, UserId};

use crate::principal::{Denial, Principal, TokenId};
use crate::udp_session::Given;

/// Everything that is not believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Denials {
    tokens: BTreeMap<TokenId, Millis>,
    since: BTreeMap<UserId, Millis>,
    users: BTreeSet<UserId>,
}

impl Denials {
    /// Takes one more into account.
    pub fn add(&mut self, denial: Denial) {
        match denial {
            Denial::Token { token, until } => {
                let kept = self.tokens.entry(token).or_default();
                *kept = until.max(*kept);
            }
            Denial::IssuedBefore { user, time } => {
                let kept = self.since.entry(user).or_default();
                *kept = time.max(*kept);
            }
            Denial::User(user) => {
                self.users.insert(user);
            }
            Denial::Lifted(user) => {
                self.users.remove(&user);
            }
        }
    }

    /// All of it, one by one.
    pub fn iter(&self) -> impl Iterator<Item = Denial> {
        let tokens = self.tokens.iter().map(|(&token, &until)| Denial::Token { token, until });
        let since = self.since.iter().map(|(&user, &time)| Denial::IssuedBefore { user, time });
        tokens.chain(since).chain(self.users.iter().copied().map(Denial::User))
    }

    /// What to tell somebody who knows this, for them to know `other`. Tokens that `other` has forgotten have run out
    /// and need no word.
    pub fn difference(&self, other: &Self) -> Vec<Denial> {
        let news = other.iter().filter(|denial| match denial {
            Denial::Token { token, until } => self.tokens.get(token) < Some(until),
            Denial::IssuedBefore { user, time } => self.since.get(user) < Some(time),
            Denial::User(user) | Denial::Lifted(user) => !self.users.contains(user),
        });
        let lifted = self.users.difference(&other.users).copied().map(Denial::Lifted);
        news.chain(lifted).collect()
    }

    /// Forgets the tokens that have run out.
    pub fn prune(&mut self, now: Millis) {
        self.tokens.retain(|_, until| *until > now);
    }

    /// Whether this is not believed.
    pub fn concern(&self, who: &Principal) -> bool {
        self.users.contains(&who.user)
            || self.tokens.contains_key(&who.token)
            || self.since.get(&who.user).is_some_and(|time| who.issued_at < *time)
    }

    /// Whether the session of UDP that was given then is not believed: it knows only what its token's name begins with.
    pub fn concern_given(&self, Given { user, token, time }: Given) -> bool {
        let mut from = [0; 16];
        from[..4].copy_from_slice(&token);
        let mut to = [0xff; 16];
        to[..4].copy_from_slice(&token);
        self.users.contains(&user)
            || self.tokens.range(TokenId(from)..=TokenId(to)).next().is_some()
            || self.since.get(&user).is_some_and(|since| time < *since)
    }
}

impl FromIterator<Denial> for Denials {
    fn from_iter<I: IntoIterator<Item = Denial>>(denials: I) -> Self {
        let mut all = Self::default();
        denials.into_iter().for_each(|denial| all.add(denial));
        all
    }
}

#[cfg(test)]
mod tests {
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
    fn an_earlier_word_takes_nothing_back() {
        let all: Denials = [before(2, 50), before(2, 40)].into_iter().collect();
        assert!(all.concern(&who(2, 1, 45)));
    }
}
