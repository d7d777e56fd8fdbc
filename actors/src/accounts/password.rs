//! Passwords and what is kept of them: an Argon2id hash, which says itself how it was made.

use argon2::password_hash::PasswordVerifier;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use chappe_proto::{Code, Reject};

use super::Password;
use crate::metrics::metrics;

/// The shortest password, in bytes. What is short is guessed, however it is kept.
pub const MIN_BYTES: usize = 8;
/// The longest.
pub const MAX_BYTES: usize = 256;
/// Memory in KiB, passes and lanes: what OWASP recommends at least, and what a small server can afford.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// What a password is compared with where none is kept: it takes as long as any other, and fits nothing that is known.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A password could not be hashed: no memory, or no chance on this machine.
#[derive(Debug, thiserror::Error)]
#[error("hash the password: {0}")]
pub struct HashError(String);

/// A password that somebody chooses: 8 to 256 bytes.
///
/// # Errors
/// `invalid_field`.
pub fn check(password: &Password) -> Result<(), Reject> {
    let len = password.0.len();
    if (MIN_BYTES..=MAX_BYTES).contains(&len) {
        return Ok(());
    }
    let message = format!("a password has {MIN_BYTES} to {MAX_BYTES} bytes, not {len}");
    Err(Reject::new(Code::InvalidField, message))
}

/// What is kept of a password. Takes some 20 ms and 19 MiB.
///
/// # Errors
/// [`HashError`].
pub fn hash(password: &Password) -> Result<String, HashError> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(|error| HashError(error.to_string()))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    metrics().passwords_hashed.inc();
    let hash = argon2.hash_password(password.0.as_bytes()).map_err(|error| HashError(error.to_string()))?;
    Ok(hash.to_string())
}

/// Whether what is kept was made of this password. Where nothing is kept, none fits, and to find that out takes as long: how
/// long somebody waits for a refusal does not tell who is known here. What cannot be read fits nothing.
pub fn fits(password: &Password, kept: Option<&str>) -> bool {
    metrics().passwords_hashed.inc();
    let fits = Argon2::default().verify_password(password.0.as_bytes(), kept.unwrap_or(NOBODYS)).is_ok();
    fits && kept.is_some()
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::Error;

    use super::*;

    #[test]
    fn a_hash_fits_its_password_and_no_other() {
        let password = Password::new("correct horse");
        let kept = hash(&password).unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(fits(&password, Some(&kept)));
        assert!(!fits(&Password::new("correct horsf"), Some(&kept)));
        assert!(!fits(&password, Some("")) && !fits(&password, Some("correct horse")) && !fits(&password, None));
        assert_ne!(hash(&password).unwrap(), kept, "the same password twice looks different");
    }

    #[test]
    fn where_no_password_is_kept_the_comparison_costs_what_it_costs_elsewhere() {
        let parts = |kept: &str| -> (Vec<String>, Vec<usize>) {
            let parts: Vec<String> = kept.split('$').map(str::to_owned).collect();
            (parts[..4].to_vec(), parts.iter().map(String::len).collect())
        };
        assert_eq!(parts(&hash(&Password::new("correct horse")).unwrap()), parts(NOBODYS));
        // Refused after the work, and not because it cannot be read.
        assert_eq!(Argon2::default().verify_password(b"correct horse", NOBODYS), Err(Error::PasswordInvalid));
    }

    #[test]
    fn a_password_is_neither_short_nor_endless() {
        for (len, fits) in [(0, false), (7, false), (8, true), (256, true), (257, false)] {
            assert_eq!(check(&Password::new("x".repeat(len))).is_ok(), fits, "{len}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let login = super::super::Login { nickname: "ann".into(), password: Password::new("correct horse") };
        assert!(!format!("{login:?}").contains("horse"));
    }
}
