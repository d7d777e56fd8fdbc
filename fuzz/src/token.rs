//! Tokens: nothing is believed that was not signed; and of what was signed, only what is valid now.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chappe::auth::{self, Authority, Secret, Session, Verifier};
use chappe::config::Config;
use chappe_actors::accounts::Account;
use chappe_actors::principal::{Authenticate, Standing};
use chappe_proto::{Code, Millis, UserId};
use serde_json::Value;

const NOW: Millis = Millis(1_790_000_000_000);
/// How far clocks may differ.
const LEEWAY_MS: u64 = 5000;

/// A server's keys, and how to sign with them.
struct Keys {
    verifier: Verifier,
    key: hmac::Key,
    /// A token that is good.
    good: String,
}

/// A data folder made for them, read, and removed.
static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("a folder can be made: {error}"));
    make(folder.path()).unwrap_or_else(|what| panic!("{what}"))
});

fn make(folder: &Path) -> Result<Keys, String> {
    let said = |error: &dyn std::error::Error| error.to_string();
    let config = Config { data: folder.to_owned(), ..Config::default() };
    let (secret, _) = Secret::ensure(folder).map_err(|error| said(&error))?;
    let bytes = std::fs::read(folder.join("token.secret")).map_err(|error| said(&error))?;
    let account = Account {
        user: UserId::parse(7).map_err(|error| said(&error))?,
        nickname: "Ann".to_owned(),
        standing: Standing::User,
        disabled: false,
        created_at: NOW,
    };
    let session = Session::begin().map_err(|error| said(&error))?;
    let good = Authority::new(secret, Duration::from_secs(3600), false).issue(&account, NOW, &session).token;
    let verifier = auth::verifier(&config).map_err(|error| said(&error))?;
    Ok(Keys { verifier, key: hmac::Key::new(hmac::HMAC_SHA256, &bytes), good })
}

impl Keys {
    /// A token of this header and these claims, with a signature that fits.
    fn sign(&self, header: &[u8], claims: &[u8]) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

pub(crate) fn run(bytes: &[u8]) {
    let keys = &*KEYS;
    if let Ok(text) = std::str::from_utf8(bytes) {
        let believed = keys.verifier.authenticate(text, NOW);
        assert!(text == keys.good || believed.is_err(), "nobody signed this");
        let _ = auth::peek(text);
    }
    // As claims, and as a header, of a token with a good signature.
    let own = br#"{"alg":"HS256","kid":"chappe"}"#;
    claims(keys, own, bytes);
    claims(keys, bytes, br#"{"iss":"chappe","sub":"7","exp":1790000100}"#);
}

fn claims(keys: &Keys, header: &[u8], claims: &[u8]) {
    match keys.verifier.authenticate(&keys.sign(header, claims), NOW) {
        Ok(principal) => {
            assert!(principal.expires_at.0 + LEEWAY_MS > NOW.0, "a token that has run out is believed");
            let said: Value = serde_json::from_slice(claims).unwrap_or_default();
            let user = said["sub"].as_u64().or_else(|| said["sub"].as_str().and_then(|text| text.parse().ok()));
            assert_eq!(user, Some(principal.user.get()), "somebody else is believed to be there");
            assert_eq!(said["iss"], "chappe");
            assert_eq!(principal.standing == Standing::Admin, said["role"] == "admin");
            assert!(principal.nickname.is_none_or(|name| (1..=64).contains(&name.len())));
        }
        Err(reject) => {
            assert!(matches!(reject.code, Code::NotAuthenticated | Code::TokenExpired), "{reject}");
            assert!(reject.message.len() < 200, "a refusal repeats nothing of the token");
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        r#"{"iss":"chappe","sub":"7","exp":1790000100,"nbf":1789999000,"iat":1789999000,"jti":"a","name":"Ann","role":"admin"}"#,
        r#"{"iss":"chappe","sub":7,"exp":1790000100.5,"aud":["a","b"]}"#,
        r#"{"iss":"chappe","sub":"007","exp":"never"}"#,
        r#"{"iss":"chappe","sub":"7","exp":1e300,"nbf":-1}"#,
        r#"{"alg":"HS256","kid":"chappe","typ":"JWT"}"#,
        r#"{"alg":"none"}"#,
        r#"{"alg":"ES256","kid":"other","crit":["exp"]}"#,
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    seeds.push(KEYS.good.clone().into_bytes());
    seeds.push(b"eyJhbGciOiJub25lIn0.eyJzdWIiOiI3In0.".to_vec());
    seeds
}
