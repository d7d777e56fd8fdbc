//! Sealed datagrams: UDP where the server asks for tokens. Pure: bytes and keys in, bytes out; which counters were seen is
//! the server's affair.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | [`MARK`] |
//! | 24 | the session, as `Welcome.udp` gave it |
//! | 8 | the counter, big-endian |
//! | n | an ordinary datagram, encrypted with AES-256-GCM |
//! | 16 | the tag |
//!
//! The nonce is one byte for the direction (0 from the client, 1 from the server), three zero bytes, and the counter. What
//! stands before the ciphertext is authenticated with it.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{self, HKDF_SHA256, Prk, Salt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::ids::UserId;
use crate::limits::DATAGRAM_BYTES;
use crate::packet::Udp;

/// The first byte of a sealed datagram. No flags byte of an ordinary one has it.
pub const MARK: u8 = 4;
/// How much larger a sealed datagram is than what is in it.
pub const OVERHEAD: usize = HEAD + TAG;

const SESSION: usize = 24;
const HEAD: usize = 1 + SESSION + 8;
const TAG: usize = 16;
const KEY: usize = 32;
/// What the keys are for, so that the secret could serve something else as well.
const PURPOSE: &[u8] = b"chappe.v1.udp";

/// Who sealed a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A client.
    Client,
    /// The server.
    Server,
}

/// Says whose datagrams these are, and until when: the user as `u64`, the expiry in seconds since the Unix epoch as `u32`,
/// the first four bytes of what names the token, and the session's own number as `u64`, all little-endian. For clients 24
/// bytes that mean nothing. Believed only after the tag is checked.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Session([u8; SESSION]);

impl Session {
    /// A session of `user`.
    pub fn new(user: UserId, expires_at_s: u32, token: [u8; 4], number: u64) -> Self {
        let mut bytes = [0; SESSION];
        bytes[..8].copy_from_slice(&user.get().to_le_bytes());
        bytes[8..12].copy_from_slice(&expires_at_s.to_le_bytes());
        bytes[12..16].copy_from_slice(&token);
        bytes[16..].copy_from_slice(&number.to_le_bytes());
        Self(bytes)
    }

    /// Reads the session in front of a sealed datagram; `None` if it is none.
    pub fn of(datagram: &[u8]) -> Option<Self> {
        let (&mark, rest) = datagram.split_first()?;
        let is_sealed = mark == MARK && datagram.len() >= OVERHEAD;
        is_sealed.then(|| rest.first_chunk().copied().map(Self)).flatten()
    }

    /// Whose it is.
    pub fn user(&self) -> Option<UserId> {
        UserId::parse(u64::from_le_bytes(self.part(0))).ok()
    }

    /// When it runs out, in seconds since the Unix epoch.
    pub fn expires_at_s(&self) -> u32 {
        u32::from_le_bytes(self.part(8))
    }

    /// The first bytes of what names the token that it was given for.
    pub fn token(&self) -> [u8; 4] {
        self.part(12)
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        u64::from_le_bytes(self.part(16))
    }

    fn part<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session(user {:?}, number {}, until {} s)", self.user(), self.number(), self.expires_at_s())
    }
}

/// What the server makes all keys from, so that it need not keep any.
pub struct Secret(Prk);

impl Secret {
    /// From random bytes. They are not used twice: a second server with the same would take a counter for new that the
    /// first has seen.
    pub fn new(random: &[u8; 32]) -> Self {
        Self(Salt::new(HKDF_SHA256, &[]).extract(random))
    }

    /// What seals and opens the datagrams of `session`.
    pub fn seal(&self, session: Session) -> Option<Seal> {
        Seal::new(session, &self.key(&session)?)
    }

    /// What a client is told of `session`.
    pub fn told(&self, session: Session) -> Option<Udp> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes).into_boxed_str();
        Some(Udp { session: text(&session.0), key: text(&self.key(&session)?) })
    }

    fn key(&self, session: &Session) -> Option<[u8; KEY]> {
        struct Length;
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                KEY
            }
        }
        let mut key = [0; KEY];
        self.0.expand(&[PURPOSE, &session.0], Length).ok()?.fill(&mut key).ok()?;
        Some(key)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Seals and opens the datagrams of one session.
pub struct Seal {
    session: Session,
    key: LessSafeKey,
}

impl Seal {
    /// From what a client was told in `Welcome`; `None` if that is not what a server tells.
    pub fn from_told(udp: &Udp) -> Option<Self> {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        Self::new(Session(bytes(&udp.session)?.try_into().ok()?), &bytes(&udp.key)?.try_into().ok()?)
    }

    fn new(session: Session, key: &[u8; KEY]) -> Option<Self> {
        Some(Self { session, key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?) })
    }

    /// Whose datagrams these are.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Writes `datagram` sealed into `out`. `false`, and nothing is written, if that makes it longer than a datagram may be.
    ///
    /// A client uses each counter once, and larger ones as it goes on. The server's answer has the counter of what was asked.
    pub fn seal(&self, side: Side, counter: u64, datagram: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        if datagram.len() + OVERHEAD > DATAGRAM_BYTES {
            return false;
        }
        out.push(MARK);
        out.extend_from_slice(&self.session.0);
        out.extend_from_slice(&counter.to_be_bytes());
        let mut head = [0; HEAD];
        head.copy_from_slice(out);
        out.extend_from_slice(datagram);
        let sealed = out
            .get_mut(HEAD..)
            .and_then(|body| self.key.seal_in_place_separate_tag(nonce(side, counter), Aad::from(head), body).ok());
        match &sealed {
            Some(tag) => out.extend_from_slice(tag.as_ref()),
            // The library refuses nothing of this size.
            None => out.clear(),
        }
        sealed.is_some()
    }

    /// Opens what `side` sealed: its counter, and the ordinary datagram in it. `None` if the tag is wrong; `datagram` holds
    /// anything then.
    pub fn open<'a>(&self, side: Side, datagram: &'a mut [u8]) -> Option<(u64, &'a mut [u8])> {
        if Session::of(datagram)? != self.session || datagram.len() > DATAGRAM_BYTES {
            return None;
        }
        let (head, body) = datagram.split_at_mut_checked(HEAD)?;
        let counter = u64::from_be_bytes(*head.last_chunk()?);
        let plain = self.key.open_in_place(nonce(side, counter), Aad::from(&*head), body).ok()?;
        Some((counter, plain))
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({:?})", self.session)
    }
}

fn nonce(side: Side, counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[0] = match side {
        Side::Client => 0,
        Side::Server => 1,
    };
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
