//! Who really wrote a message: an Ed25519 signature (RFC 8032) of its sender over chat, sender, `client_id` and content.
//!
//! What is signed are these bytes, numbers little-endian: `chappe.v1.message`, a zero byte, `chat_id` u64, `sender_id`
//! u64, the length of `client_id` u32, `client_id`, the length of `content` u32, `content`.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::format::{Decode, Encode};
use crate::ids::{ChatId, ClientId, UserId};

/// Bytes of one kind that belong to a signature: base64url without padding in JSON, as they are in binary.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Bytes<const N: usize>(pub [u8; N]);

/// An Ed25519 public key: 32 bytes, as the `x` of a JWK writes them.
pub type PublicKey = Bytes<32>;

impl<const N: usize> Bytes<N> {
    /// Reads base64url without padding.
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl<const N: usize> fmt::Display for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<const N: usize> fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("{N} bytes in base64url without padding are needed")))
    }
}

/// The points of small order, as keys write them without the sign: one signature of such a key fits every message. They are
/// those of order 1, 2, 4 and 8 of RFC 8032's curve, and the two of them that can be written a second way.
const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    end(1, 0, 0),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    end(0xec, 0xff, 0x7f),
    end(0xed, 0xff, 0x7f),
    end(0xee, 0xff, 0x7f),
];

/// A number by its first byte, those between, and the last.
const fn end(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut bytes = [between; 32];
    (bytes[0], bytes[31]) = (first, last);
    bytes
}

impl PublicKey {
    /// Whether a signature that fits this key says anything.
    pub fn is_sound(&self) -> bool {
        let mut bytes = self.0;
        bytes[31] &= 0x7f;
        !SMALL_ORDER.contains(&bytes)
    }
}

/// A message's signature, and the key it is checked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Encode, Decode)]
pub struct Signature {
    /// The sender's public key, which has to be the one registered for them.
    pub key: PublicKey,
    /// The signature itself.
    pub value: Bytes<64>,
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// Where the message goes to.
    pub chat: ChatId,
    /// Who it is from.
    pub sender: UserId,
    /// Its own name: without it a signature could be used for a second message.
    pub client_id: &'a ClientId,
    /// What it says.
    pub content: &'a str,
}

impl Signed<'_> {
    /// The bytes that are signed.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"chappe.v1.message\0".to_vec();
        bytes.extend_from_slice(&self.chat.get().to_le_bytes());
        bytes.extend_from_slice(&self.sender.get().to_le_bytes());
        for text in [self.client_id.as_str(), self.content] {
            // Texts are bounded by the frame: 16 MiB.
            bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    /// Whether `signature` is that of its key over this.
    pub fn is_signed_by(&self, signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, signature.key.0).verify(&self.bytes(), &signature.value.0).is_ok()
    }
}

/// A key to sign with.
#[derive(Debug)]
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key of a 32-byte seed. `None` if the seed is none.
    pub fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        // An Ed25519 public key has 32 bytes (RFC 8032, section 5.1.5).
        key.copy_from_slice(self.0.public_key().as_ref());
        Bytes(key)
    }

    /// Signs.
    pub fn sign(&self, what: &Signed<'_>) -> Signature {
        let mut value = [0; 64];
        // An Ed25519 signature has 64 bytes (RFC 8032, section 5.1.6).
        value.copy_from_slice(self.0.sign(&what.bytes()).as_ref());
        Signature { key: self.public(), value: Bytes(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed<'a>(chat: u64, sender: u64, client_id: &'a ClientId, content: &'a str) -> Signed<'a> {
        Signed { chat: ChatId::parse(chat).unwrap(), sender: UserId::parse(sender).unwrap(), client_id, content }
    }

    #[test]
    fn a_signature_holds_for_what_was_signed_and_for_nothing_else() {
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let other = SigningKey::from_seed(&[8; 32]).unwrap();
        let (one, two) = (ClientId::parse("one").unwrap(), ClientId::parse("two").unwrap());
        let what = signed(1, 2, &one, "hello");
        let signature = key.sign(&what);
        assert!(what.is_signed_by(&signature));
        for changed in [
            signed(9, 2, &one, "hello"),
            signed(1, 9, &one, "hello"),
            signed(1, 2, &two, "hello"),
            signed(1, 2, &one, "hell"),
        ] {
            assert!(!changed.is_signed_by(&signature), "{changed:?}");
        }
        assert!(!what.is_signed_by(&Signature { key: other.public(), ..signature }));
        assert!(!what.is_signed_by(&Signature { value: Bytes([0; 64]), ..signature }));
    }

    #[test]
    fn where_one_text_ends_and_the_next_begins_is_signed_too() {
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let (ab, a) = (ClientId::parse("ab").unwrap(), ClientId::parse("a").unwrap());
        let signature = key.sign(&signed(1, 2, &ab, "c"));
        assert!(!signed(1, 2, &a, "bc").is_signed_by(&signature));
    }

    #[test]
    fn a_key_whose_signature_fits_everything_is_not_sound() {
        assert!(SigningKey::from_seed(&[7; 32]).unwrap().public().is_sound());
        // R is the neutral element and S is 0: what is signed does not come into it.
        let mut value = Bytes([0; 64]);
        value.0[0] = 1;
        let id = ClientId::parse("one").unwrap();
        let mut fits_all = Vec::new();
        for point in SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut key = Bytes(point);
                key.0[31] |= sign;
                assert!(!key.is_sound(), "{key}");
                let fits = |text: &String| signed(1, 2, &id, text).is_signed_by(&Signature { key, value });
                fits_all.push((0..8).map(|n| n.to_string()).all(|text| fits(&text)));
            }
        }
        assert!(fits_all.contains(&true), "that is why: {fits_all:?}");
    }

    #[test]
    fn bytes_are_base64url_without_padding() {
        let key = Bytes([255; 32]);
        let text = key.to_string();
        assert_eq!(text.len(), 43);
        assert_eq!(PublicKey::parse(&text), Some(key));
        for bad in ["", "AA", &format!("{text}="), &text.replace('_', "/"), &text[1..]] {
            assert_eq!(PublicKey::parse(bad), None, "{bad:?}");
        }
    }
}
