//! Makes tokens: those of sessions and those of the command line are the same.

use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chappe_actors::accounts::Account;
use chappe_actors::principal::{Standing, TokenId};
use chappe_proto::{Millis, UserId};

use super::secret::{Secret, SecretError};
use super::verifier::{Verifier, peek, token_id};
use super::{AuthError, keys};
use crate::config::AuthConfig;

/// Who has made the server's own tokens: their `iss`.
pub const ISSUER: &str = "chappe";
/// The name of the server's own key: their `kid`.
pub(super) const KEY_ID: &str = "chappe";

/// Makes tokens that the server believes.
#[derive(Debug, Clone)]
pub struct Authority {
    secret: Secret,
    ttl: Duration,
    registration: bool,
}

/// A token that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The token. Whoever has it is the user.
    pub token: String,
    /// Names it.
    pub id: TokenId,
    /// When it runs out.
    pub expires_at: Millis,
    /// What a page has to send along with changes if the token is in a cookie.
    pub csrf_token: String,
}

/// What all tokens of one session share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    jti: String,
    /// The longest that one of them lives: it may have been made before `auth.session_ttl` was lowered.
    longest: Duration,
}

impl Session {
    /// A new one.
    ///
    /// # Errors
    /// [`SecretError::Chance`] if the machine has none.
    pub fn begin() -> Result<Self, SecretError> {
        Ok(Self { jti: random_id()?, longest: Duration::ZERO })
    }

    /// Which one the token says that it belongs to, believed or not. A token that no login made belongs to none.
    pub fn of(token: &str) -> Option<Self> {
        let (_, claims) = peek(token).ok()?;
        let jti = claims["jti"].as_str().filter(|_| claims["iss"] == ISSUER && claims["renewable"] == true)?;
        let own = claims["exp"].as_f64()? - claims["iat"].as_f64()?;
        let own = Duration::try_from_secs_f64(own.ceil()).unwrap_or_default();
        let longest = own.max(Duration::from_secs(claims["longest"].as_u64().unwrap_or_default()));
        Some(Self { jti: jti.to_owned(), longest })
    }

    /// The name of all its tokens.
    pub fn id(&self) -> TokenId {
        token_id(Some(&self.jti), ISSUER, "")
    }

    /// None of its tokens lives longer, as far as the one that was read can tell.
    pub fn longest(&self) -> Duration {
        self.longest
    }
}

/// A token's `jti`: sixteen random bytes, in hexadecimal.
///
/// # Errors
/// [`SecretError::Chance`] if the machine has none.
pub fn random_id() -> Result<String, SecretError> {
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).map_err(|_| SecretError::Chance)?;
    Ok(hex(&id))
}

impl Authority {
    /// Makes tokens that live for `ttl`, signed with `secret`.
    pub fn new(secret: Secret, ttl: Duration, registration: bool) -> Self {
        Self { secret, ttl, registration }
    }

    /// Whether everybody may make an account.
    pub fn registration(&self) -> bool {
        self.registration
    }

    /// How long a session lives.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// A token of a session of `account`, as of `now`. The session is the same in each token that renews it, so that all
    /// of them end together.
    pub fn issue(&self, account: &Account, now: Millis, session: &Session) -> Issued {
        let Account { user, nickname, standing, .. } = account;
        let (name, ttl, longest) = (Some(nickname.as_str()), self.ttl, Some(session.longest.max(self.ttl)));
        Ticket { user: *user, name, standing: *standing, now, ttl, longest }.sign(&self.secret, &session.jti)
    }

    /// What reads these tokens, and those of the keys that `config` names, also when the file of the secret is gone.
    ///
    /// # Errors
    /// [`AuthError::Key`].
    pub fn verifier(&self, config: &AuthConfig) -> Result<Verifier, AuthError> {
        Ok(Verifier::new(&self.secret, keys::read(config)?, config))
    }

    /// What a page has to send along with changes if this token is in a cookie: only the server can tell.
    pub fn csrf(&self, token: TokenId) -> String {
        csrf(&self.secret, token)
    }

    /// Whether `given` is what [`csrf`](Self::csrf) says; takes the same time whatever is given.
    pub fn csrf_fits(&self, token: TokenId, given: &str) -> bool {
        constant_time::verify_slices_are_equal(self.csrf(token).as_bytes(), given.as_bytes()).is_ok()
    }
}

fn csrf(secret: &Secret, token: TokenId) -> String {
    // No token's text begins like this: nothing that is signed here can be a token, or the other way round.
    URL_SAFE_NO_PAD.encode(sign(secret, &[b"csrf\0".as_slice(), &token.0].concat()))
}

fn sign(secret: &Secret, message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.bytes()), message)
}

/// What a token of the server's own is to say.
#[derive(Debug, Clone, Copy)]
pub struct Ticket<'a> {
    /// Whom it speaks for.
    pub user: UserId,
    /// What people call them.
    pub name: Option<&'a str>,
    /// What they may do.
    pub standing: Standing,
    /// When it is made.
    pub now: Millis,
    /// How long it lives.
    pub ttl: Duration,
    /// Of a session: how long a token of it lives at most. Whoever has one may have another before it runs out; what was
    /// made for so long, and no more, is no session's.
    pub longest: Option<Duration>,
}

impl Ticket<'_> {
    /// The token. `jti` names it, and the tokens that renew it.
    pub fn sign(&self, secret: &Secret, jti: &str) -> Issued {
        let exp = self.now.0.saturating_add(u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX)) / 1000;
        let mut payload = serde_json::json!({
            "iss": ISSUER,
            "sub": self.user.to_string(),
            "role": match self.standing { Standing::User => "user", Standing::Admin => "admin" },
            "jti": jti,
            "iat": issued_at(self.now),
            "exp": exp,
        });
        if let Some(name) = self.name {
            payload["name"] = name.into();
        }
        if let Some(longest) = self.longest {
            payload["renewable"] = true.into();
            payload["longest"] = longest.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).into();
        }
        let header = serde_json::json!({ "alg": "HS256", "typ": "JWT", "kid": KEY_ID });
        let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{payload}");
        let signature = URL_SAFE_NO_PAD.encode(sign(secret, message.as_bytes()));
        let id = token_id(Some(jti), ISSUER, &message);
        let token = format!("{message}.{signature}");
        Issued { token, id, expires_at: Millis(exp.saturating_mul(1000)), csrf_token: csrf(secret, id) }
    }
}

/// Seconds, with the milliseconds as a fraction: who changes a password and logs in again does both within a second.
fn issued_at(now: Millis) -> serde_json::Value {
    if now.0.is_multiple_of(1000) {
        return (now.0 / 1000).into();
    }
    format!("{}.{:03}", now.0 / 1000, now.0 % 1000).parse::<f64>().map_or(serde_json::Value::Null, Into::into)
}

/// Bytes as text of twice their number.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
