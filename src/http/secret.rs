//! Passwords in a request's body. What is wrong with one is told without it: an error's sentence is shown on screens and kept
//! in the logs of clients.

use std::fmt;

use chappe_actors::accounts::Password;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A password as it came.
pub(super) struct Secret(pub(super) Password);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Whatever stands there: asked for text, JSON's reader would itself repeat a number that it finds.
        deserializer.deserialize_any(Text).map(Self)
    }
}

struct Text;

fn not_text<T, E: Error>() -> Result<T, E> {
    Err(E::custom("a password is text"))
}

impl Visitor<'_> for Text {
    type Value = Password;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Password, E> {
        Ok(Password::new(text))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Password, E> {
        not_text()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Password, E> {
        not_text()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Password, E> {
        not_text()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Password, E> {
        not_text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_password_is_not_repeated() {
        for text in ["20011969", "-20011969", "20011969.5", "true", "null", "[20011969]", "{\"20011969\":20011969}"] {
            let Err(error) = serde_json::from_str::<Secret>(text) else { panic!("{text} is a password") };
            let error = error.to_string();
            assert!(!error.contains("2001") && !error.contains("true"), "{error}");
        }
        assert!(serde_json::from_str::<Secret>("\"20011969\"").is_ok());
        assert!(serde_json::from_str::<Option<Secret>>("null").is_ok_and(|none| none.is_none()));
    }
}
