//! Reads tokens: whether they are signed with one of our keys, valid now and for us, and whom they speak for.
//!
//! Plain: the keys are given, and so is the time. Sentences say what is wrong, and never what stands in the token.

use aws_lc_rs::digest;
use chappe_actors::principal::{Authenticate, Principal, Standing, TokenId};
use chappe_proto::limits::MAX_NICKNAME_BYTES;
use chappe_proto::{Code, Millis, Reject};
use jsonwebtoken::{Algorithm, crypto};
use serde_json::Value;

use super::claims::{Object, Parts};
use super::issue::{ISSUER, KEY_ID};
use super::keys::Key;
use super::secret::Secret;
use crate::config::AuthConfig;

/// How far the clocks of two machines may differ.
const LEEWAY_MS: u64 = 5000;

/// Reads tokens with the keys of the configuration and the data folder's secret.
#[derive(Debug)]
pub struct Verifier {
    own: Key,
    foreign: Vec<Key>,
    audience: Option<String>,
    issuer: Option<String>,
    user_claim: String,
}

impl Verifier {
    /// One that knows the data folder's secret, and these keys with what the settings say about their tokens.
    pub(super) fn new(secret: &Secret, foreign: Vec<Key>, config: &AuthConfig) -> Self {
        Self {
            own: Key::secret(Some(KEY_ID.to_owned()), secret.bytes()),
            foreign,
            audience: config.audience.clone(),
            issuer: config.issuer.clone(),
            user_claim: config.user_claim.clone(),
        }
    }

    fn read(&self, token: &str, now: Millis) -> Result<Principal, Refusal> {
        let parts = Parts::of(token)?;
        let is_own = std::ptr::eq(self.key_of(&parts)?, &self.own);
        let claims = parts.claims()?;
        let issuer = claims.text("iss").map_err(|()| "has an `iss` that is no text")?.unwrap_or_default();
        if is_own {
            if issuer != ISSUER {
                return Err("has another `iss` than the server's own tokens".into());
            }
        } else {
            self.check_audience(&claims)?;
            if self.issuer.as_ref().is_some_and(|expected| expected != issuer) {
                return Err("is not from the issuer that is expected here (`iss`)".into());
            }
        }
        let user_claim = if is_own { "sub" } else { &self.user_claim };
        let user = claims.user(user_claim).ok_or_else(|| {
            format!("has no user's id in `{user_claim}`: that is a whole number from 1 to 9007199254740991")
        })?;
        let jti = claims.text("jti").map_err(|()| "has a `jti` that is no text")?.filter(|jti| !jti.is_empty());
        let issued_at = claims.time("iat").map_err(|()| "has an `iat` that is no number of seconds")?;
        let not_before = claims.time("nbf").map_err(|()| "has an `nbf` that is no number of seconds")?;
        let expires_at = claims.time("exp").map_err(|()| "has an `exp` that is no number of seconds")?;
        let expires_at = expires_at.ok_or("has no `exp`: a token has to run out")?;
        if not_before.is_some_and(|time| time.0 > now.0.saturating_add(LEEWAY_MS)) {
            return Err("is not valid yet (`nbf`)".into());
        }
        // Made while a clock was ahead: no end of all sessions would end it before that time has come.
        if issued_at.is_some_and(|time| time.0 > now.0.saturating_add(LEEWAY_MS)) {
            return Err("is from a time that has not come yet (`iat`)".into());
        }
        if expires_at.0.saturating_add(LEEWAY_MS) <= now.0 {
            return Err(Refusal::Expired);
        }
        // The role of somebody else's token is a role in somebody else's affairs.
        let role = claims.get(if is_own { "role" } else { "chappe_role" });
        let is_admin = role.and_then(Value::as_str) == Some("admin");
        Ok(Principal {
            user,
            nickname: claims.get("name").and_then(Value::as_str).and_then(nickname),
            standing: if is_admin { Standing::Admin } else { Standing::User },
            token: token_id(jti, issuer, parts.signed),
            issued_at: issued_at.unwrap_or_default(),
            expires_at,
        })
    }

    /// The key that the token is signed with. Which algorithm it is for, the key knows; the token has to agree.
    fn key_of(&self, parts: &Parts<'_>) -> Result<&Key, Refusal> {
        if parts.header.get("crit").is_some() {
            return Err("asks for extensions that the server does not know (`crit`)".into());
        }
        let algorithm = match parts.header.text("alg").map_err(|()| "has an `alg` that is no text")? {
            Some("HS256") => Algorithm::HS256,
            Some("RS256") => Algorithm::RS256,
            Some("ES256") => Algorithm::ES256,
            Some("EdDSA" | "Ed25519") => Algorithm::EdDSA,
            _ => return Err("has an `alg` that is not HS256, RS256, ES256 or EdDSA".into()),
        };
        let id = parts.header.text("kid").map_err(|()| "has a `kid` that is no text")?;
        let all = || std::iter::once(&self.own).chain(&self.foreign);
        let named = id.filter(|id| all().any(|key| key.id.as_deref() == Some(*id)));
        let mut fitting =
            all().filter(|key| named.is_none() || key.id.as_deref() == named).filter(|key| key.algorithm == algorithm);
        let Some(first) = fitting.next() else {
            return Err("is signed with an algorithm that the server has no key for".into());
        };
        let signs = |key: &&Key| {
            crypto::verify(parts.signature, parts.signed.as_bytes(), &key.key, key.algorithm).unwrap_or(false)
        };
        let wrong = "has a signature that fits none of the server's keys";
        std::iter::once(first).chain(fitting).find(signs).ok_or(wrong.into())
    }

    fn check_audience(&self, claims: &Object) -> Result<(), Refusal> {
        let named: Vec<&str> = match claims.get("aud") {
            None => Vec::new(),
            Some(Value::String(audience)) => vec![audience],
            Some(Value::Array(audiences)) => {
                let texts: Option<Vec<&str>> = audiences.iter().map(Value::as_str).collect();
                texts.ok_or("has an `aud` that is neither text nor a list of texts")?
            }
            Some(_) => return Err("has an `aud` that is neither text nor a list of texts".into()),
        };
        match &self.audience {
            Some(audience) if named.contains(&audience.as_str()) => Ok(()),
            Some(_) => Err("is for another audience (`aud`)".into()),
            None if named.is_empty() => Ok(()),
            // Somebody's token for another service must not open this one.
            None => {
                Err("is for an audience (`aud`), and the server was not told which one it is (auth.audience)".into())
            }
        }
    }
}

impl Authenticate for Verifier {
    fn authenticate(&self, token: &str, now: Millis) -> Result<Principal, Reject> {
        self.read(token, now).map_err(|refusal| match refusal {
            Refusal::Expired => Reject::plain(Code::TokenExpired),
            Refusal::Wrong(what) => Reject::new(Code::NotAuthenticated, format!("the token {what}")),
        })
    }
}

/// Why a token is not believed.
enum Refusal {
    Expired,
    /// To follow "the token".
    Wrong(String),
}

impl From<&str> for Refusal {
    fn from(what: &str) -> Self {
        Self::Wrong(what.to_owned())
    }
}

impl From<String> for Refusal {
    fn from(what: String) -> Self {
        Self::Wrong(what)
    }
}

/// What people are called who are called something; as much of it as fits.
fn nickname(name: &str) -> Option<Box<str>> {
    let name: String = name.chars().filter(|letter| !letter.is_control()).collect();
    let fits =
        name.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|end| *end <= MAX_NICKNAME_BYTES);
    let name = name.get(..fits.last().unwrap_or_default())?.trim();
    (!name.is_empty()).then(|| name.into())
}

/// Names a token: by its `jti` and who gave it, or by what was signed. Not by the signature, of which there can be two.
pub fn token_id(jti: Option<&str>, issuer: &str, signed: &str) -> TokenId {
    let mut hash = digest::Context::new(&digest::SHA256);
    match jti {
        Some(jti) => {
            hash.update(&u64::try_from(jti.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(jti.as_bytes());
            hash.update(issuer.as_bytes());
        }
        None => hash.update(signed.as_bytes()),
    }
    let mut id = [0; 16];
    id.iter_mut().zip(hash.finish().as_ref()).for_each(|(to, from)| *to = *from);
    TokenId(id)
}

/// What a token says, believed or not: its header and its claims.
///
/// # Errors
/// What is wrong with it, to follow "the token".
pub fn peek(token: &str) -> Result<(Value, Value), &'static str> {
    let parts = Parts::of(token)?;
    let claims = parts.claims()?;
    Ok((parts.header.into_json(), claims.into_json()))
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
