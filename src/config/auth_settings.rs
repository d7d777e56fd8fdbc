//! The settings of identity: whom the server believes, and with which keys.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::AuthMode;
use crate::config::settings::{Setting, quoted};
use crate::config::takes::{Takes, in_time};
use crate::config::value::{Misfit, Value};

pub(super) const MODE: Setting = Setting {
    name: "auth.mode",
    takes: Takes::OneOf(&["open", "token"]),
    about: "Whom the server believes: everybody, or who shows a token.",
    has_flag: true,
    reload: false,
    set: |config, value, _| {
        config.auth.mode = match value.text()? {
            "open" => AuthMode::Open,
            "token" => AuthMode::Token,
            _ => return Err(Misfit::default()),
        };
        Ok(())
    },
    show: |config| {
        quoted(match config.auth.mode {
            AuthMode::Open => "open",
            AuthMode::Token => "token",
        })
    },
};

pub(super) const SECRET_FILES: Setting = Setting {
    name: "auth.secret_files",
    takes: Takes::Files,
    about: "Secrets of 32 bytes or more that tokens are signed with elsewhere (HS256).",
    has_flag: false,
    reload: true,
    set: |config, value, _| files(value).map(|files| config.auth.secret_files = files),
    show: |config| shown(&config.auth.secret_files),
};

pub(super) const PUBLIC_KEY_FILES: Setting = Setting {
    name: "auth.public_key_files",
    takes: Takes::Files,
    about: "Public keys, PEM, one a file: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).",
    has_flag: false,
    reload: true,
    set: |config, value, _| files(value).map(|files| config.auth.public_key_files = files),
    show: |config| shown(&config.auth.public_key_files),
};

pub(super) const JWKS_FILE: Setting = Setting {
    name: "auth.jwks_file",
    takes: Takes::FileOrOff,
    about: "A JSON Web Key Set with keys of the same kinds.",
    has_flag: false,
    reload: true,
    set: |config, value, _| text_or_off(value).map(|file| config.auth.jwks_file = file.map(PathBuf::from)),
    show: |config| quoted(&config.auth.jwks_file.as_ref().map_or_else(|| "off".into(), |file| file.to_string_lossy())),
};

pub(super) const AUDIENCE: Setting = Setting {
    name: "auth.audience",
    takes: Takes::TextOrOff,
    about: "Whom tokens from elsewhere have to be for: their `aud`. If off, they may name nobody.",
    has_flag: false,
    reload: true,
    set: |config, value, _| text_or_off(value).map(|audience| config.auth.audience = audience),
    show: |config| quoted(config.auth.audience.as_deref().unwrap_or("off")),
};

pub(super) const ISSUER: Setting = Setting {
    name: "auth.issuer",
    takes: Takes::TextOrOff,
    about: "Who has to have given them: their `iss`.",
    has_flag: false,
    reload: true,
    set: |config, value, _| text_or_off(value).map(|issuer| config.auth.issuer = issuer),
    show: |config| quoted(config.auth.issuer.as_deref().unwrap_or("off")),
};

pub(super) const USER_CLAIM: Setting = Setting {
    name: "auth.user_claim",
    takes: Takes::Text,
    about: "Which of their claims is the user's id, a whole number from 1 to 2^53 - 1.",
    has_flag: false,
    reload: true,
    set: |config, value, _| match value.text()? {
        "" => Err(Misfit::default()),
        claim => {
            config.auth.user_claim = claim.to_owned();
            Ok(())
        }
    },
    show: |config| quoted(&config.auth.user_claim),
};

pub(super) const REGISTRATION: Setting = Setting {
    name: "auth.registration",
    takes: Takes::Switch,
    about: "Whether everybody may make an account of the server's own.",
    has_flag: false,
    reload: false,
    set: |config, value, _| value.switch().map(|on| config.auth.registration = on),
    show: |config| config.auth.registration.to_string(),
};

pub(super) const SESSION_TTL: Setting = Setting {
    name: "auth.session_ttl",
    takes: Takes::Time(Duration::from_secs(1)..=Duration::from_secs(8760 * 3600)),
    about: "How long a login lasts, and a token of `chappe token create` that is not told otherwise.",
    has_flag: false,
    reload: false,
    set: |config, value, takes| takes.time(value).map(|time| config.auth.session_ttl = time),
    show: |config| quoted(&in_time(config.auth.session_ttl)),
};

fn files(value: &Value) -> Result<Vec<PathBuf>, Misfit> {
    let files = value.list()?;
    if files.contains(&"") { Err(Misfit::default()) } else { Ok(files.into_iter().map(PathBuf::from).collect()) }
}

fn shown(files: &[PathBuf]) -> String {
    let files: Vec<String> = files.iter().map(|file| quoted(&file.to_string_lossy())).collect();
    format!("[{}]", files.join(", "))
}

fn text_or_off(value: &Value) -> Result<Option<String>, Misfit> {
    match value.text()? {
        "" => Err(Misfit::default()),
        "off" => Ok(None),
        text => Ok(Some(text.to_owned())),
    }
}
