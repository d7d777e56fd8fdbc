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
