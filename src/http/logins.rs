//! How often passwords may be tried, and accounts made: a plain count for each address and each name, and the actor that all threads ask.
//!
//! A try counts from its beginning, so that many at once are no way around; one that was right is given back, so that
//! those who know their passwords stand in nobody's way, also behind one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use actix::prelude::*;
use chappe_proto::{Code, Reject};

/// So many wrong passwords …
const TRIES: u32 = 10;
/// … in so long, from the first of them on.
const WINDOW: Duration = Duration::from_secs(600);
/// So many addresses and names are remembered. With more, new ones are let pass: what bounds those who have so many
/// addresses is how long a password takes to check.
const REMEMBERED: usize = 100_000;

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// An IPv6 address counts as its /64: one customer has that many.
    Address(IpAddr),
    /// As it is compared: in lower case.
    Name(String),
    /// An address again, for the accounts that come from it.
    Accounts(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Tries {
    since: Duration,
    count: u32,
}

/// What somebody tries, and from where.
#[derive(Debug, Clone)]
pub(crate) enum Attempt {
    /// A password.
    Password {
        /// From where.
        address: Option<IpAddr>,
        /// Whose.
        name: String,
    },
    /// To make an account.
    Account {
        /// From where.
        address: Option<IpAddr>,
    },
}

impl Attempt {
    fn keys(&self) -> Vec<Key> {
        match self {
            Self::Password { address, name } => {
                let name = name.chars().take(64).flat_map(char::to_lowercase).collect();
                address.map(|address| Key::Address(prefix(address))).into_iter().chain([Key::Name(name)]).collect()
            }
            Self::Account { address } => address.map(|address| Key::Accounts(prefix(address))).into_iter().collect(),
        }
    }

    fn refused(&self) -> &'static str {
        match self {
            Self::Password { .. } => "too many wrong passwords for this name or from this address",
            Self::Account { .. } => "too many accounts from this address",
        }
    }
}

fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    tries: HashMap<Key, Tries>,
}

impl Logins {
    /// Counts an attempt.
    ///
    /// # Errors
    /// `rate_limited`; nothing was counted then.
    fn begin(&mut self, attempt: &Attempt, now: Duration) -> Result<(), Reject> {
        for key in attempt.keys() {
            if let Some(tries) = self.tries.get(&key).filter(|tries| tries.count >= TRIES && !is_over(tries, now)) {
                let wait = (tries.since + WINDOW).saturating_sub(now);
                let retry_after_ms = Some(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
                return Err(Reject { retry_after_ms, ..Reject::new(Code::RateLimited, attempt.refused()) });
            }
        }
        for key in attempt.keys() {
            self.make_room(now);
            if self.tries.len() < REMEMBERED || self.tries.contains_key(&key) {
                let tries = self.tries.entry(key).or_insert(Tries { since: now, count: 0 });
                if is_over(tries, now) {
                    *tries = Tries { since: now, count: 0 };
                }
                tries.count += 1;
            }
        }
        Ok(())
    }

    /// Gives back an attempt that was no wrong password.
    fn give_back(&mut self, attempt: &Attempt) {
        for key in attempt.keys() {
            let left = self.tries.get_mut(&key).map(|tries| {
                tries.count = tries.count.saturating_sub(1);
                tries.count
            });
            if left == Some(0) {
                self.tries.remove(&key);
            }
        }
    }

    fn make_room(&mut self, now: Duration) {
        if self.tries.len() == self.tries.capacity() || self.tries.len() >= REMEMBERED {
            self.tries.retain(|_, tries| !is_over(tries, now));
        }
    }
}

fn is_over(tries: &Tries, now: Duration) -> bool {
    now >= tries.since + WINDOW
}

/// May this be tried now? It counts from here on.
///
/// # Errors
/// `rate_limited`.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Reject>")]
pub(crate) struct Begin(pub(crate) Attempt, pub(crate) Duration);

/// It was no wrong password.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct GiveBack(pub(crate) Attempt);

impl Actor for Logins {
    type Context = Context<Self>;
}

impl Handler<Begin> for Logins {
    type Result = Result<(), Reject>;

    fn handle(&mut self, Begin(attempt, now): Begin, _: &mut Context<Self>) -> Self::Result {
        self.begin(&attempt, now)
    }
}

impl Handler<GiveBack> for Logins {
    type Result = ();

    fn handle(&mut self, GiveBack(attempt): GiveBack, _: &mut Context<Self>) {
        self.give_back(&attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(address: &str, name: &str) -> Attempt {
        Attempt::Password { address: address.parse().ok(), name: name.to_owned() }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn exhaust(logins: &mut Logins, address: &str, name: impl Fn(u32) -> String) {
        for n in 0..TRIES {
            logins.begin(&attempt(address, &name(n)), at(0)).unwrap();
        }
    }

    #[test]
    fn the_eleventh_wrong_password_for_a_name_is_refused_whoever_asks_and_however_it_is_written() {
        let mut logins = Logins::default();
        for n in 0..TRIES {
            logins.begin(&attempt(&format!("10.0.0.{n}"), "Ann"), at(0)).unwrap();
        }
        let reject = logins.begin(&attempt("10.0.1.1", "aNN"), at(1)).unwrap_err();
        assert_eq!((reject.code, reject.retry_after_ms), (Code::RateLimited, Some(599_000)));
        assert!(logins.begin(&attempt("10.0.1.1", "bob"), at(1)).is_ok(), "others are not concerned");
        assert!(logins.begin(&attempt("10.0.1.1", "ann"), at(600)).is_ok(), "after the time");
    }

    #[test]
    fn the_eleventh_from_an_address_is_refused_whatever_the_name_and_within_a_64_of_ipv6() {
        let mut logins = Logins::default();
        exhaust(&mut logins, "2001:db8::1", |n| format!("user {n}"));
        assert!(logins.begin(&attempt("2001:db8::ffff", "x"), at(1)).is_err());
        assert!(logins.begin(&attempt("2001:db8:0:1::1", "x"), at(1)).is_ok());
        exhaust(&mut logins, "::ffff:10.0.0.1", |n| format!("other {n}"));
        assert!(logins.begin(&attempt("10.0.0.1", "y"), at(1)).is_err(), "the same address, written otherwise");
    }

    #[test]
    fn right_passwords_never_use_the_tries_up() {
        let mut logins = Logins::default();
        for n in 0..1000 {
            let one = attempt("10.0.0.1", &format!("user {n}"));
            logins.begin(&one, at(0)).unwrap();
            logins.give_back(&one);
        }
        assert!(logins.tries.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut logins = Logins::default();
        for n in 0..REMEMBERED + 10 {
            logins.begin(&Attempt::Password { address: None, name: n.to_string() }, at(0)).unwrap();
        }
        assert_eq!(logins.tries.len(), REMEMBERED);
        logins.begin(&attempt("", "x"), at(700)).unwrap();
        assert_eq!(logins.tries.len(), 1);
    }
}
