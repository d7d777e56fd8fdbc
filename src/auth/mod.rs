//! Whom the server believes: what a token is, which keys it is checked with, and how one is made.

mod claims;
mod issue;
mod keys;
mod secret;
#[cfg(test)]
mod signing_tests;
mod verifier;

use std::sync::Arc;

use chappe_actors::principal::Auth;

use crate::config::{AuthMode, Config};

pub use issue::{Authority, ISSUER, Issued, Session, Ticket, random_id};
pub use secret::{FILE as SECRET_FILE, Secret, SecretError};
pub use verifier::{Verifier, peek, token_id};

/// What the configuration says about identity, loaded.
#[derive(Debug)]
pub struct Loaded {
    /// Whom the server believes.
    pub auth: Auth,
    /// What makes tokens; there is none in open mode.
    pub authority: Option<Authority>,
    /// How to make the first token, if nobody can have one yet: a command line.
    pub first_token: Option<String>,
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The data folder's own secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A file of the configuration.
    #[error("`{setting}`: {path}: {problem}")]
    Key {
        /// Which setting names it.
        setting: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl AuthError {
    /// Which setting it is about; empty if none.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::Key { setting, .. } => setting,
            Self::Secret(_) => "",
        }
    }
}

/// Whether the keys that `config` names can be used. Makes nothing.
///
/// # Errors
/// [`AuthError::Key`].
pub fn check(config: &Config) -> Result<(), AuthError> {
    keys::read(&config.auth).map(|_| ())
}

/// What reads tokens with the keys that `config` names. Makes nothing: where the data folder has no secret, no token is
/// the server's own.
///
/// # Errors
/// [`AuthError`].
pub fn verifier(config: &Config) -> Result<Verifier, AuthError> {
    let secret = match Secret::read(&config.data) {
        Err(SecretError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Secret::random()?,
        secret => secret?,
    };
    Ok(Verifier::new(&secret, keys::read(&config.auth)?, &config.auth))
}

/// Reads the keys that `config` names; in token mode makes the data folder's secret if there is none.
///
/// # Errors
/// [`AuthError`], with the file and what is wrong with it: a configuration error.
pub fn load(config: &Config) -> Result<Loaded, AuthError> {
    if config.auth.mode == AuthMode::Open {
        return Ok(Loaded { auth: Auth::Open, authority: None, first_token: None });
    }
    // Before anything is made.
    check(config)?;
    let (secret, is_new) = Secret::ensure(&config.data)?;
    let authority = Authority::new(secret, config.auth.session_ttl, config.auth.registration);
    let verifier = authority.verifier(&config.auth)?;
    let first_token = is_new.then(|| format!("chappe token create --user 1001 --data {}", config.data.display()));
    Ok(Loaded { auth: Auth::Token(Arc::new(verifier)), authority: Some(authority), first_token })
}
