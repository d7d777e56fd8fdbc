//! What a token says: its header and its claims, as they stand there. Whether they are true is the verifier's question.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chappe_proto::{Millis, UserId};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The longest token: a header of a request has to hold it.
pub(super) const MAX_BYTES: usize = 8192;
/// The last second of the year 9999. What is valid for longer is valid until then.
const LAST_SECOND: u64 = 253_402_300_799;

/// The three parts of a token, none of them believed yet.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) header: Object,
    /// What is signed: the header and the claims as they were sent.
    pub(super) signed: &'a str,
    /// The claims, still encoded.
    payload: &'a str,
    pub(super) signature: &'a str,
}

impl<'a> Parts<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// What is wrong with it, to follow "the token".
    pub(super) fn of(token: &'a str) -> Result<Self, &'static str> {
        if token.len() > MAX_BYTES {
            return Err("is longer than 8192 bytes");
        }
        let no_jwt = "is no JWT: that is three parts in base64url with dots between";
        let (signed, signature) = token.rsplit_once('.').ok_or(no_jwt)?;
        let (header, payload) = signed.split_once('.').filter(|(_, payload)| !payload.contains('.')).ok_or(no_jwt)?;
        let header = Object::decode(header).ok_or("has a header that is no JSON object, or names something twice")?;
        Ok(Self { header, signed, payload, signature })
    }

    /// The claims.
    ///
    /// # Errors
    /// As for [`Parts::of`].
    pub(super) fn claims(&self) -> Result<Object, &'static str> {
        Object::decode(self.payload).ok_or("has claims that are no JSON object, or names one of them twice")
    }
}

/// A JSON object in which no name stands twice: two readers could take another one of them each.
#[derive(Debug, PartialEq)]
pub(super) struct Object(BTreeMap<String, Value>);

impl Object {
    fn decode(part: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    }

    /// What stands there; `null` is nothing.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Text, if there is any.
    ///
    /// # Errors
    /// If something else stands there.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, ()> {
        self.get(name).map(|value| value.as_str().ok_or(())).transpose()
    }

    /// A time in seconds, if there is one.
    ///
    /// # Errors
    /// If something else stands there, or a time before 1970.
    pub(super) fn time(&self, name: &str) -> Result<Option<Millis>, ()> {
        let Some(Value::Number(seconds)) = self.get(name) else {
            return if self.get(name).is_some() { Err(()) } else { Ok(None) };
        };
        if let Some(seconds) = seconds.as_u64() {
            return Ok(Some(Millis(seconds.min(LAST_SECOND) * 1000)));
        }
        let millis = seconds.as_f64().filter(|seconds| *seconds >= 0.0).ok_or(())? * 1000.0;
        // By way of text: what no integer can hold is found, and nothing is cut off.
        let millis = format!("{millis:.0}").parse().map_or(u64::MAX, |millis: u64| millis);
        Ok(Some(Millis(millis.min(LAST_SECOND * 1000))))
    }

    /// A user's id: a number, or a number as text.
    pub(super) fn user(&self, name: &str) -> Option<UserId> {
        match self.get(name)? {
            Value::Number(number) => UserId::parse(number.as_u64()?).ok(),
            // Digits only: `+7` and `007` would be other names for 7.
            Value::String(text) => text.parse().ok().filter(|user: &UserId| user.to_string() == *text),
            _ => None,
        }
    }

    /// For people: as JSON, in the order of the names.
    pub(super) fn into_json(self) -> Value {
        Value::Object(self.0.into_iter().collect())
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object, M::Error> {
                let mut names = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if names.insert(name, value).is_some() {
                        return Err(M::Error::custom("a name stands twice"));
                    }
                }
                Ok(Object(names))
            }
        }

        deserializer.deserialize_map(Names)
    }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
