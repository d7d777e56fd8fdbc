//! Ids, positions, names and keys, in each of the three ways in which they come: as text, in JSON, in the binary format.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use chappe_proto::format::{self, Decode, Encode};
use chappe_proto::ids::MAX_ID;
use chappe_proto::signature::{PublicKey, Signature};
use chappe_proto::{ChatId, ClientId, MessageId, Seq, UserId};

use crate::corpus;

pub(crate) fn run(bytes: &[u8]) {
    number::<ChatId>(bytes, 1);
    number::<UserId>(bytes, 1);
    number::<MessageId>(bytes, 1);
    number::<Seq>(bytes, 0);
    has_one_form::<ClientId>(bytes);
    has_one_form::<Signature>(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    id::<ChatId>(text);
    id::<UserId>(text);
    id::<MessageId>(text);
    match ClientId::parse(text) {
        Ok(id) => assert!((1..=128).contains(&id.as_str().len()) && id.as_str() == text),
        Err(_) => assert!(text.is_empty() || text.len() > 128),
    }
    if let Ok(id) = serde_json::from_str::<ClientId>(text) {
        assert_eq!(serde_json::to_string(&id).ok().and_then(|text| serde_json::from_str(&text).ok()), Some(id));
    }
    if let Some(key) = PublicKey::parse(text) {
        assert_eq!(key.to_string(), text, "a key is written in one way");
    }
    let _ = chappe_actors::accounts::nickname::check(text);
}

/// From JSON, and from eight bytes.
fn number<T>(bytes: &[u8], least: u64)
where
    T: Copy + Debug + PartialEq + Into<u64> + TryFrom<u64> + Decode<()> + Encode + for<'a> serde::Deserialize<'a>,
{
    has_one_form::<T>(bytes);
    let found = serde_json::from_slice::<T>(bytes).ok().into_iter().chain(decode(bytes));
    for value in found {
        let raw: u64 = value.into();
        assert!((least..=MAX_ID).contains(&raw), "{value:?}");
        assert_eq!(T::try_from(raw).ok(), Some(value));
    }
}

/// As it is read from what anybody may send.
fn decode<T: Decode<()>>(bytes: &[u8]) -> Option<T> {
    format::decode_untrusted_prefix(bytes).ok().filter(|(_, used)| *used == bytes.len()).map(|(value, _)| value)
}

fn has_one_form<T: Decode<()> + Encode>(bytes: &[u8]) {
    if let Some(value) = decode::<T>(bytes) {
        let mut again = Vec::new();
        format::encode_into(&value, &mut again);
        assert_eq!(again, bytes, "a value has one form in binary");
    }
}

fn id<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(id) = text.parse::<T>() {
        assert_eq!(id.to_string().parse().ok(), Some(id));
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = corpus::column("values.json", "json");
    seeds.extend(corpus::column("values.json", "hex"));
    seeds.push(b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8".to_vec());
    seeds
}
