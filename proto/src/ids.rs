//! Identifiers and positions, each a type of its own.
//!
//! Ids are positive integers below 2^53, so that every JSON reader holds them exactly. Nothing here knows what an id
//! refers to; whether a chat exists is the engine's question.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::format::{self, BorrowDecode, Decode, DecodeError, Decoder, Encode, EncodeError, Encoder};

/// The largest id and the largest sequence number: 2^53 - 1, the last integer a JavaScript number holds exactly.
pub const MAX_ID: u64 = (1 << 53) - 1;

/// A number that cannot be an id: zero, or above [`MAX_ID`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is an integer from 1 to {MAX_ID}, not {0}")]
pub struct BadId(pub u64);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $name(NonZeroU64);

        impl $name {
            /// Takes `raw` as an id.
            ///
            /// # Errors
            /// [`BadId`] for 0 and for numbers above [`MAX_ID`].
            pub const fn parse(raw: u64) -> Result<Self, BadId> {
                match NonZeroU64::new(raw) {
                    Some(id) if raw <= MAX_ID => Ok(Self(id)),
                    _ => Err(BadId(raw)),
                }
            }

            /// The id as a plain number, 1 to [`MAX_ID`].
            pub const fn get(self) -> u64 {
                self.0.get()
            }
        }

        impl TryFrom<u64> for $name {
            type Error = BadId;

            fn try_from(raw: u64) -> Result<Self, BadId> {
                Self::parse(raw)
            }
        }

        impl From<$name> for u64 {
            fn from(id: $name) -> u64 {
                id.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                text.parse().map_err(|_| BadId(0)).and_then(Self::parse)
            }
        }

        impl Encode for $name {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                self.get().encode(encoder)
            }
        }

        impl<C> Decode<C> for $name {
            fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                Self::parse(u64::decode(decoder)?).map_err(|_| format::out_of_range())
            }
        }

        impl<'de, C> BorrowDecode<'de, C> for $name {
            fn borrow_decode<D: format::BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                <Self as Decode<C>>::decode(decoder)
            }
        }
    };
}

id! {
    /// A chat. Given by the log when the chat is created, from 1 upward.
    ChatId
}
id! {
    /// A user: chosen by the client in open mode, by the identity provider otherwise.
    UserId
}
id! {
    /// A message. It is the position of the message's event in the log, so ids grow with time and are never used twice.
    MessageId
}

/// A chat event's number: 1, 2, 3 … without gaps within its chat. 0 stands for "before the first".
///
/// What comes from outside is at most [`MAX_ID`], as an id is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode)]
#[serde(try_from = "u64", into = "u64")]
pub struct Seq(pub u64);

/// A number that cannot be a `seq`: above [`MAX_ID`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a seq is an integer from 0 to {MAX_ID}, not {0}")]
pub struct BadSeq(pub u64);

impl TryFrom<u64> for Seq {
    type Error = BadSeq;

    fn try_from(raw: u64) -> Result<Self, BadSeq> {
        if raw <= MAX_ID { Ok(Self(raw)) } else { Err(BadSeq(raw)) }
    }
}

impl From<Seq> for u64 {
    fn from(seq: Seq) -> u64 {
        seq.0
    }
}

impl<C> Decode<C> for Seq {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::try_from(u64::decode(decoder)?).map_err(|_| format::out_of_range())
    }
}

impl<'de, C> BorrowDecode<'de, C> for Seq {
    fn borrow_decode<D: format::BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        <Self as Decode<C>>::decode(decoder)
    }
}

impl Seq {
    /// Before the first event.
    pub const ZERO: Self = Self(0);

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A point in time: milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// The client's own name for a message: the same name twice is acknowledged twice and stored once.
///
/// 1 to [`ClientId::MAX_BYTES`] bytes of UTF-8, compared byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Encode)]
#[serde(try_from = "Box<str>", into = "Box<str>")]
pub struct ClientId(Box<str>);

/// A client id that is empty or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a client_id has 1 to {max} bytes, not {0}", max = ClientId::MAX_BYTES)]
pub struct BadClientId(pub usize);

impl ClientId {
    /// The longest client id, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Takes `text` as a client id.
    ///
    /// # Errors
    /// [`BadClientId`] if it is empty or longer than [`ClientId::MAX_BYTES`].
    pub fn parse(text: impl Into<Box<str>>) -> Result<Self, BadClientId> {
        let text = text.into();
        if (1..=Self::MAX_BYTES).contains(&text.len()) { Ok(Self(text)) } else { Err(BadClientId(text.len())) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<Box<str>> for ClientId {
    type Error = BadClientId;

    fn try_from(text: Box<str>) -> Result<Self, BadClientId> {
        Self::parse(text)
    }
}

impl From<ClientId> for Box<str> {
    fn from(id: ClientId) -> Self {
        id.0
    }
}

impl<C> Decode<C> for ClientId {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::parse(<Box<str>>::decode(decoder)?).map_err(|_| format::out_of_range())
    }
}

impl<'de, C> BorrowDecode<'de, C> for ClientId {
    fn borrow_decode<D: format::BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        <Self as Decode<C>>::decode(decoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_positive_and_below_two_to_the_53() {
        assert_eq!(ChatId::parse(0), Err(BadId(0)));
        assert_eq!(ChatId::parse(MAX_ID + 1), Err(BadId(MAX_ID + 1)));
        assert_eq!(ChatId::parse(MAX_ID).map(ChatId::get), Ok(MAX_ID));
        for bad in ["-1", "0", "9007199254740992", "1.5", "\"1\"", "null"] {
            assert!(serde_json::from_str::<ChatId>(bad).is_err(), "{bad}");
        }
        assert_eq!(size_of::<Option<ChatId>>(), 8);
    }

    #[test]
    fn a_seq_is_below_two_to_the_53_and_may_be_zero() {
        assert_eq!(serde_json::from_str::<Seq>("0").unwrap(), Seq::ZERO);
        assert_eq!(serde_json::from_str::<Seq>("9007199254740991").unwrap(), Seq(MAX_ID));
        for bad in ["-1", "9007199254740992", "1.5", "\"1\"", "null"] {
            assert!(serde_json::from_str::<Seq>(bad).is_err(), "{bad}");
        }
        assert!(format::decode::<Seq>(&(MAX_ID + 1).to_le_bytes()).is_err());
    }

    #[test]
    fn a_client_id_has_1_to_128_bytes() {
        assert!(ClientId::parse("").is_err());
        assert!(ClientId::parse("x".repeat(128)).is_ok());
        assert!(ClientId::parse("x".repeat(129)).is_err());
    }
}
