//! The sessions of UDP where the server asks for tokens: giving them out, and which of their datagrams are new. Plain: the
//! time and the secret are passed in.
//!
//! No registry of sessions is needed, since the key follows from the session itself. What is kept of one, from its first
//! authentic datagram on, is which of its last 64 counters were seen; of so many sessions at a time. Sessions are numbered in
//! the order they are given out. Who is forgotten for want of room is not believed again, nor is any older session that is
//! not remembered: it has to be given a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chappe_proto::packet::Udp;
use chappe_proto::sealed::{Seal, Secret, Session, Side};
use chappe_proto::{Millis, UserId};
use hashlink::LruCache;

use crate::principal::Principal;

/// Sessions remembered at a time, some 100 bytes each.
const SESSIONS: usize = 100_000;
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
    seen: LruCache<Session, Seen>,
    room: usize,
    /// A session that is not remembered and has this number or a lower one may have been forgotten.
    forgotten: u64,
    swept: Millis,
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
        Self { keys, seen: LruCache::new_unbounded(), room: SESSIONS, forgotten: 0, swept: Millis(0) }
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
            self.seen.remove(&session);
            return Err(Unbelieved::Expired);
        }
        match self.seen.get_mut(&session) {
            Some(seen) => {
                if !seen.mark(counter) {
                    return Err(Unbelieved::Replayed);
                }
            }
            None if session.number() <= self.forgotten => return Err(Unbelieved::Replayed),
            None => {
                self.make_room(now);
                self.seen.insert(session, Seen { highest: counter, bits: 1 });
            }
        }
        Ok(Believed { datagram, user, counter, seal })
    }

    fn make_room(&mut self, now: Millis) {
        if now.0.saturating_sub(self.swept.0) >= SWEEP_MS {
            self.swept = now;
            self.seen.retain(|session, _| now.0 < end_of(session));
        }
        if self.seen.len() >= self.room
            && let Some((session, _)) = self.seen.remove_lru()
        {
            self.forgotten = self.forgotten.max(session.number());
        }
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
