//! The keys that tokens are checked with: where they come from, and the one algorithm that each of them is for.
//!
//! A key knows its algorithm from what it is, never from a token: a public key cannot come to be used as a secret.

use std::fmt;
use std::path::Path;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

use super::AuthError;
use super::issue::KEY_ID;
use crate::bounded;
use crate::config::AuthConfig;

/// The shortest secret, in bytes: as long as what HS256 makes of it. Shorter ones are guessed.
const MIN_SECRET: usize = 32;
/// The largest file of a key or of keys.
const MAX_FILE: u64 = 1 << 20;

/// A key, and what it is for.
pub(super) struct Key {
    /// What a token calls it by.
    pub(super) id: Option<String>,
    /// The only algorithm it is for.
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Without the key: a secret is never shown.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, {:?})", self.id, self.algorithm)
    }
}

impl Key {
    /// A secret for HS256.
    pub(super) fn secret(id: Option<String>, secret: &[u8]) -> Self {
        Self { id, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) }
    }
}

/// Reads the bytes of a file called so.
type Parse = fn(Option<String>, &[u8]) -> Result<Vec<Key>, String>;

/// Every key that the settings name.
///
/// # Errors
/// The first file that is not what its setting takes.
pub(super) fn read(config: &AuthConfig) -> Result<Vec<Key>, AuthError> {
    let mut keys: Vec<Key> = Vec::new();
    let mut take = |setting: &'static str, path: &Path, parse: Parse| {
        let wrong = |problem| AuthError::Key { setting, path: path.display().to_string(), problem };
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        for key in contents(path).and_then(|bytes| parse(stem, &bytes)).map_err(wrong)? {
            let taken = |id: &String| id == KEY_ID || keys.iter().any(|other| other.id.as_ref() == Some(id));
            if let Some(id) = key.id.as_ref().filter(|id| taken(id)) {
                return Err(wrong(format!("there is another key called {id:?}: rename one, a key file by its name")));
            }
            keys.push(key);
        }
        Ok(())
    };
    for path in &config.secret_files {
        take("auth.secret_files", path, |id, bytes| secret(id, bytes).map(|key| vec![key]))?;
    }
    for path in &config.public_key_files {
        take("auth.public_key_files", path, |id, bytes| public(id, bytes).map(|key| vec![key]))?;
    }
    if let Some(path) = &config.jwks_file {
        take("auth.jwks_file", path, |_, bytes| set(bytes))?;
    }
    Ok(keys)
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    bounded::read_file(path, MAX_FILE).map_err(|error| format!("cannot be read: {error}"))
}

/// A file that is a secret; the end of a line at its end is not part of it.
fn secret(id: Option<String>, bytes: &[u8]) -> Result<Key, String> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    if String::from_utf8_lossy(bytes).contains("-----BEGIN") {
        return Err(
            "holds a key in PEM, which is no secret: a public one belongs to `auth.public_key_files`".to_owned()
        );
    }
    if bytes.len() < MIN_SECRET {
        return Err(format!("has {} bytes, but a secret has {MIN_SECRET} at least", bytes.len()));
    }
    Ok(Key::secret(id, bytes))
}

/// A file with one public key in PEM: RSA from 2048 bits, EC on P-256, or Ed25519.
fn public(id: Option<String>, bytes: &[u8]) -> Result<Key, String> {
    let text = String::from_utf8_lossy(bytes);
    let labels: Vec<&str> =
        text.split("-----BEGIN ").skip(1).map(|rest| rest.split("-----").next().unwrap_or_default()).collect();
    match labels[..] {
        [label] if label.ends_with("PRIVATE KEY") => {
            return Err("holds a private key: it has no business here. Take the public one".to_owned());
        }
        ["PUBLIC KEY" | "RSA PUBLIC KEY"] => {}
        [label] => return Err(format!("holds a {label:?}, but takes a \"PUBLIC KEY\"")),
        [] => return Err("is not PEM: it lacks -----BEGIN PUBLIC KEY-----".to_owned()),
        _ => return Err("holds more than one key: give each a file of its own".to_owned()),
    }
    let readers = [
        (Algorithm::RS256, DecodingKey::from_rsa_pem as fn(&[u8]) -> jsonwebtoken::errors::Result<DecodingKey>),
        (Algorithm::ES256, DecodingKey::from_ec_pem),
        (Algorithm::EdDSA, DecodingKey::from_ed_pem),
    ];
    // Each reader refuses what is for another; the check refuses what is too short, or on another curve.
    let mut found = readers.into_iter().filter_map(|(algorithm, read)| Some((algorithm, read(bytes).ok()?)));
    let usable = found.find_map(|(algorithm, key)| check(algorithm, &key).then_some((algorithm, key)));
    let (algorithm, key) =
        usable.ok_or("is no key of RSA with 2048 bits or more, of EC on P-256, or of Ed25519".to_owned())?;
    Ok(Key { id, algorithm, key })
}

/// Whether the key is one that the algorithm can use.
fn check(algorithm: Algorithm, key: &DecodingKey) -> bool {
    let bytes = key.try_get_as_bytes().unwrap_or_default();
    match algorithm {
        // Others are found too short, or too long, only once they are used.
        Algorithm::RS256 => rsa_bits(key).is_some_and(|bits| (2048..=8192).contains(&bits)),
        Algorithm::ES256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes).is_ok(),
        Algorithm::EdDSA => ParsedPublicKey::new(&ED25519, bytes).is_ok(),
        Algorithm::HS256 => bytes.len() >= MIN_SECRET,
        _ => false,
    }
}

/// How long the modulus is.
fn rsa_bits(key: &DecodingKey) -> Option<u32> {
    let AlgorithmParameters::RSA(numbers) = Jwk::from_decoding_key(key, None).ok()?.algorithm else { return None };
    let modulus = URL_SAFE_NO_PAD.decode(numbers.n).ok()?;
    let mut digits = modulus.iter().skip_while(|byte| **byte == 0);
    let first = digits.next()?;
    Some(u32::try_from(digits.count()).ok()?.checked_mul(8)? + (8 - first.leading_zeros()))
}

/// A JSON Web Key Set. Keys for other uses and algorithms may stand in it; at least one has to be ours.
fn set(bytes: &[u8]) -> Result<Vec<Key>, String> {
    // Where it is wrong is said, but not what stands there: it may be a secret.
    let set: JwkSet = serde_json::from_slice(bytes)
        .map_err(|error| format!("is no JSON Web Key Set (line {}, column {})", error.line(), error.column()))?;
    let mut keys = Vec::new();
    for (number, jwk) in (1..).zip(&set.keys) {
        if let Some(algorithm) = algorithm(jwk) {
            let key = from_jwk(algorithm, jwk).map_err(|problem| format!("key {number} of the set {problem}"))?;
            keys.push(Key { id: jwk.common.key_id.clone(), algorithm, key });
        }
    }
    if keys.is_empty() {
        return Err("has no key for RS256, ES256, EdDSA or HS256 in it".to_owned());
    }
    Ok(keys)
}

/// What a key of the set is for, if it is for one of ours.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
        _ => return None,
    };
    let fits = match jwk.common.key_algorithm {
        None => true,
        // Its newer name, which the reader does not know; the curve is for nothing else.
        Some(KeyAlgorithm::UNKNOWN_ALGORITHM) => algorithm == Algorithm::EdDSA,
        Some(said) => said == KeyAlgorithm::from(algorithm),
    };
    fits.then_some(algorithm)
}

fn from_jwk(algorithm: Algorithm, jwk: &Jwk) -> Result<DecodingKey, String> {
    let key = DecodingKey::from_jwk(jwk).map_err(|_| "cannot be read".to_owned())?;
    if check(algorithm, &key) { Ok(key) } else { Err(format!("is not one that {algorithm:?} can use")) }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
