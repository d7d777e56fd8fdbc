//! What is not believed, as plain data: how it adds up, how two states of it differ, and whom it concerns.

use std::collections::{BTreeMap, BTreeSet};

use chappe_proto::{Millis, UserId};

use crate::principal::{Denial, Principal, TokenId};
use crate::udp_session::Given;

/// How long after a token's end its revocation is remembered: clocks differ, and one that is ahead for less than this makes
/// no token believed again.
const AFTERWARDS_MS: u64 = 86_400_000;

/// What ran out before this is forgotten, once it is surely `now`.
pub fn before(now: Millis) -> Millis {
    Millis(now.0.saturating_sub(AFTERWARDS_MS))
}

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
                // The file has compared it with what it was.
                self.since.insert(user, time);
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
            Denial::IssuedBefore { user, time } => self.since.get(user) != Some(time),
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
#[path = "denials_tests.rs"]
mod tests;
