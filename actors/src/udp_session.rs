//! The sessions of UDP where the server asks for tokens: giving them out, and which of their datagrams are new. Plain: the
//! time and the secret are passed in.
//!
//! No registry of sessions is needed, since the key follows from the session itself. What is kept of one, from its first
//! authentic datagram on, is which of its last 64 counters were seen; of so many sessions at a time, and of so many of a user.
//! Sessions are numbered in the order they are given out. One that is forgotten for want of room is not believed again, nor is
//! any older one of that user that is not remembered: it has to be given a new one. Only where users are forgotten for
//! want of room for all does that go for everybody's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chappe_proto::packet::Udp;
use chappe_proto::sealed::{Seal, Secret, Session, Side};
use chappe_proto::{Millis, UserId};
use hashlink::LruCache;

use crate::principal::Principal;

/// Sessions remembered at a time, some 200 bytes each.
const SESSIONS: usize = 100_000;
/// And so many of a user: each `Hello` gives one, and those of one user are to push out nobody else's. More than the
/// connections that a user has by default.
const OF_A_USER: usize = 128;
/// How often those that have run out are forgotten, in milliseconds.
const SWEEP_MS: u64 = 60_000;

/// Gives sessions out. One for all threads.
#[derive(Debug, Clone)]
pub struct UdpKeys(Arc<Keys>);

#[derive(Debug)]
struct Keys {
    secret: Secret,
    /// The number of the session given out last: the time in microseconds, or one more than the one before.
    last: AtomicU64,
}

impl UdpKeys {
    /// From random bytes, other ones at every start: a counter that was seen before the start is worth nothing after it.
    pub fn new(random: &[u8; 32]) -> Self {
        Self(Arc::new(Keys { secret: Secret::new(random), last: AtomicU64::new(0) }))
    }

    /// A new session for who showed a token, for `Welcome.udp`. It lasts as long as the token.
    pub fn session(&self, principal: &Principal, now: Millis) -> Option<Udp> {
        let time = now.0.saturating_mul(1000);
        let next = |last: u64| Some(time.max(last.saturating_add(1)));
        let update = self.0.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let number = next(update.unwrap_or_else(|last| last))?;
        let expires_at_s = u32::try_from(principal.expires_at.0 / 1000).unwrap_or(u32::MAX);
        let token = *principal.token.0.first_chunk()?;
        self.0.secret.told(Session::new(principal.user, expires_at_s, token, number))
    }
}

/// For whom a session was given out, and when: whether it is over is for who knows what is no longer believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Whose it is.
    pub user: UserId,
    /// What the name of its token begins with.
    pub token: [u8; 4],
    /// When.
    pub time: Millis,
}

/// Why a datagram is not believed. Nobody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unbelieved {
    /// It is not sealed.
    Unsealed,
    /// Its tag is wrong.
    Forged,
    /// Its counter was seen, or is so old that it may have been; or its session is not remembered any more.
    Replayed,
    /// Its session has run out, or was ended.
    Expired,
}

/// A datagram that is believed.
#[derive(Debug)]
pub struct Believed<'a> {
    /// The ordinary datagram in it.
    pub datagram: &'a [u8],
    /// Whose it is.
    pub user: UserId,
    counter: u64,
    seal: Seal,
}

impl Believed<'_> {
    /// Seals the answer, once: under the counter of what was asked, so that it is no larger than that.
    pub fn answer(self, datagram: &[u8], out: &mut Vec<u8>) -> bool {
        self.seal.seal(Side::Server, self.counter, datagram, out)
    }
}

/// Which counters were seen. One for all sockets of a server.
pub struct UdpSessions {
    keys: UdpKeys,
    /// Who was heard, and not so long ago.
    users: LruCache<UserId, Own>,
    /// How many sessions that are.
    remembered: usize,
    room: usize,
    /// Anybody's session that is not remembered and has this number or a lower one may have been forgotten.
    forgotten: u64,
    swept: Millis,
}

/// The sessions of a user.
#[derive(Debug, Default)]
struct Own {
    /// The one that was silent longest comes first.
    sessions: Vec<(Session, Seen)>,
    /// One that is not remembered and has this number or a lower one may have been forgotten.
    forgotten: u64,
    /// When all that were forgotten have run out.
    until: u64,
}

/// The highest counter, and which of the 64 up to it were seen: the lowest bit is the highest counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    highest: u64,
    bits: u64,
}

impl UdpSessions {
    /// Remembers no session yet.
    pub fn new(keys: UdpKeys) -> Self {
        Self { keys, users: LruCache::new_unbounded(), remembered: 0, room: SESSIONS, forgotten: 0, swept: Millis(0) }
    }

    /// Opens a client's datagram. `is_over` says whether its session was ended.
    ///
    /// # Errors
    /// [`Unbelieved`]. Nothing is remembered of what is not believed.
    pub fn open<'a>(
        &mut self,
        datagram: &'a mut [u8],
        now: Millis,
        is_over: impl Fn(Given) -> bool,
    ) -> Result<Believed<'a>, Unbelieved> {
        let session = Session::of(datagram).ok_or(Unbelieved::Unsealed)?;
        let user = session.user().ok_or(Unbelieved::Forged)?;
        let seal = self.keys.0.secret.seal(session).ok_or(Unbelieved::Forged)?;
        // First the tag: before it is checked, nothing that the datagram says is true.
        let (counter, datagram) = seal.open(Side::Client, datagram).ok_or(Unbelieved::Forged)?;
        let given = Given { user, token: session.token(), time: Millis(session.number() / 1000) };
        if now.0 >= end_of(&session) || is_over(given) {
            self.end(user, &session);
            return Err(Unbelieved::Expired);
        }
        let own = self.users.get_mut(&user);
        let forgotten = own.as_ref().map_or(0, |own| own.forgotten).max(self.forgotten);
        match own.and_then(|own| own.hear(&session)) {
            Some(seen) => {
                if !seen.mark(counter) {
                    return Err(Unbelieved::Replayed);
                }
            }
            None if session.number() <= forgotten => return Err(Unbelieved::Replayed),
            None => self.remember(user, session, Seen { highest: counter, bits: 1 }, now),
        }
        Ok(Believed { datagram, user, counter, seal })
    }

    fn remember(&mut self, user: UserId, session: Session, seen: Seen, now: Millis) {
        match self.users.get_mut(&user).filter(|own| own.sessions.len() >= OF_A_USER) {
            Some(own) => {
                own.forget_one();
                self.remembered -= 1;
            }
            None => self.make_room(now),
        }
        match self.users.get_mut(&user) {
            Some(own) => own.sessions.push((session, seen)),
            None => {
                self.users.insert(user, Own { sessions: vec![(session, seen)], ..Own::default() });
            }
        }
        self.remembered += 1;
    }

    fn end(&mut self, user: UserId, session: &Session) {
        let Some(own) = self.users.peek_mut(&user) else { return };
        let before = own.sessions.len();
        own.sessions.retain(|(other, _)| other != session);
        self.remembered -= before - own.sessions.len();
        if own.is_empty() {
            self.users.remove(&user);
        }
    }

    fn make_room(&mut self, now: Millis) {
        if now.0.saturating_sub(self.swept.0) >= SWEEP_MS {
            self.swept = now;
            self.users.retain(|_, own| {
                own.run_out(now);
                !own.is_empty()
            });
            self.remembered = self.users.iter().map(|(_, own)| own.sessions.len()).sum();
        }
        while self.remembered.max(self.users.len()) >= self.room
            && let Some((_, own)) = self.users.remove_lru()
        {
            self.remembered -= own.sessions.len();
            let newest = own.sessions.iter().map(|(session, _)| session.number()).max().unwrap_or_default();
            self.forgotten = self.forgotten.max(newest).max(own.forgotten);
        }
    }
}

impl Own {
    /// What was seen of a session, which is heard now.
    fn hear(&mut self, session: &Session) -> Option<&mut Seen> {
        let at = self.sessions.iter().position(|(other, _)| other == session)?;
        self.sessions[at..].rotate_left(1);
        self.sessions.last_mut().map(|(_, seen)| seen)
    }

    /// Forgets the session that was silent longest.
    fn forget_one(&mut self) {
        if self.sessions.is_empty() {
            return;
        }
        let (session, _) = self.sessions.remove(0);
        self.forgotten = self.forgotten.max(session.number());
        self.until = self.until.max(end_of(&session));
    }

    /// Forgets what is not believed any more by itself.
    fn run_out(&mut self, now: Millis) {
        self.sessions.retain(|(session, _)| now.0 < end_of(session));
        if now.0 >= self.until {
            self.forgotten = 0;
        }
    }

    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.forgotten == 0
    }
}

/// In milliseconds since the Unix epoch.
fn end_of(session: &Session) -> u64 {
    u64::from(session.expires_at_s()) * 1000
}

impl Seen {
    /// Marks a counter as seen. `false` if it was, or may have been.
    fn mark(&mut self, counter: u64) -> bool {
        if let Some(ahead) = counter.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            self.bits = u32::try_from(ahead).ok().and_then(|ahead| self.bits.checked_shl(ahead)).unwrap_or(0) | 1;
            self.highest = counter;
            return true;
        }
        let bit = u32::try_from(self.highest - counter).ok().and_then(|behind| 1u64.checked_shl(behind));
        match bit {
            Some(bit) if self.bits & bit == 0 => {
                self.bits |= bit;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
#[path = "udp_session_tests.rs"]
mod tests;
