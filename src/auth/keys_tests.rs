//! Tests of which files are taken for keys, and what is said about the others.

use aws_lc_rs::rsa::KeySize;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::auth::signing_tests::{Signer, write};
use crate::config::Config;

fn config() -> AuthConfig {
    Config::default().auth
}

/// What comes of one public key file: its name and algorithm, or what is wrong.
fn pem(text: &str) -> Result<(Option<String>, Algorithm), String> {
    let folder = tempfile::tempdir().unwrap();
    let config = AuthConfig { public_key_files: vec![write(&folder, "2026-07.pem", text)], ..config() };
    read(&config).map(|keys| (keys[0].id.clone(), keys[0].algorithm)).map_err(|error| error.to_string())
}

fn jwks(keys: &[Value]) -> Result<Vec<(Option<String>, Algorithm)>, String> {
    let folder = tempfile::tempdir().unwrap();
    let set = json!({ "keys": keys }).to_string();
    let config = AuthConfig { jwks_file: Some(write(&folder, "keys.json", set)), ..config() };
    let keys = read(&config).map_err(|error| error.to_string())?;
    Ok(keys.into_iter().map(|key| (key.id, key.algorithm)).collect())
}

#[test]
fn a_public_key_file_is_named_by_its_name_and_knows_its_algorithm() {
    let name = || Some("2026-07".to_owned());
    for (signer, algorithm) in [
        (Signer::rsa(KeySize::Rsa2048), Algorithm::RS256),
        (Signer::p256(), Algorithm::ES256),
        (Signer::ed(), Algorithm::EdDSA),
    ] {
        assert_eq!(pem(&signer.pem()), Ok((name(), algorithm)));
        assert_eq!(pem(&format!("# the key of July\n{}\n", signer.pem())), Ok((name(), algorithm)));
    }
}

#[test]
fn what_is_no_public_key_of_ours_is_refused_and_said() {
    // 1024 bits, in the older form.
    let mut short = vec![0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00];
    short.extend([0xc5; 128]);
    short.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
    let short = format!("-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n", STANDARD.encode(short));
    let good = Signer::p256().pem();
    for (text, said) in [
        (Signer::p384().pem(), "is no key of RSA with 2048 bits or more, of EC on P-256"),
        (short, "is no key of RSA with 2048 bits or more"),
        (format!("{good}{good}"), "more than one key"),
        (good.replace("PUBLIC KEY", "CERTIFICATE"), "holds a \"CERTIFICATE\""),
        (good.replace("PUBLIC KEY", "EC PRIVATE KEY"), "private key"),
        (good[..80].to_owned(), "is no key of"),
        (String::new(), "is not PEM"),
    ] {
        let refused = pem(&text).unwrap_err();
        assert!(refused.contains(said) && refused.contains("2026-07.pem"), "{refused}");
        assert!(refused.starts_with("`auth.public_key_files`"), "{refused}");
    }
}

#[test]
fn of_a_set_the_keys_that_sign_in_our_ways_are_taken() {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (ec, ed) = (Signer::p256().public(), Signer::ed().public());
    let wide = Signer::p384().public();
    let ec = json!({ "kty": "EC", "kid": "e", "crv": "P-256", "x": part(&ec[1..33]), "y": part(&ec[33..]) });
    let ed = json!({ "kty": "OKP", "kid": "d", "crv": "Ed25519", "alg": "Ed25519", "x": part(&ed) });
    let rsa =
        |bytes: usize| json!({ "kty": "RSA", "kid": "r", "use": "sig", "n": part(&vec![0xc5; bytes]), "e": "AQAB" });
    let secret = |bytes: usize| json!({ "kty": "oct", "alg": "HS256", "k": part(&vec![7; bytes]) });
    let with = |mut key: Value, name: &str, value: &str| {
        key[name] = value.into();
        key
    };
    let taken = [
        (Some("e".to_owned()), Algorithm::ES256),
        (Some("d".to_owned()), Algorithm::EdDSA),
        (Some("r".to_owned()), Algorithm::RS256),
        (None, Algorithm::HS256),
    ];
    let passed_over = [
        with(rsa(256), "use", "enc"),
        with(rsa(256), "alg", "RS512"),
        with(rsa(256), "alg", "RSA-OAEP"),
        json!({ "kty": "EC", "kid": "w", "crv": "P-384", "x": part(&wide[1..49]), "y": part(&wide[49..]) }),
        json!({ "kty": "of tomorrow" }),
    ];
    let all = [vec![ec.clone(), ed, rsa(256), secret(32)], passed_over.to_vec()].concat();
    assert_eq!(jwks(&all), Ok(taken.to_vec()));
    for (keys, said) in [
        (passed_over.to_vec(), "has no key for"),
        (Vec::new(), "has no key for"),
        (vec![rsa(255)], "key 1 of the set is not one that RS256 can use"),
        (vec![ec.clone(), secret(31)], "key 2 of the set"),
        (vec![with(ec.clone(), "x", &part(&[1; 32]))], "key 1 of the set is not one that ES256 can use"),
        (vec![ec.clone(), with(rsa(256), "kid", "e")], "another key called \"e\""),
        (vec![with(ec.clone(), "kid", "chappe")], "another key called \"chappe\""),
    ] {
        let refused = jwks(&keys).unwrap_err();
        assert!(refused.contains(said) && refused.contains("keys.json"), "{refused}");
    }
}

#[test]
fn a_secret_is_what_stands_in_the_file_but_for_the_end_of_its_line() {
    for ending in ["", "\n", "\r\n"] {
        let bytes = format!("{}{ending}", "s".repeat(32));
        assert!(secret(None, bytes.as_bytes()).is_ok(), "{ending:?}");
        let short = format!("{}{ending}", "s".repeat(31));
        assert!(secret(None, short.as_bytes()).is_err(), "{ending:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let broken = write(&folder, "keys.json", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0IQ\",}]}");
    let refused = read(&AuthConfig { jwks_file: Some(broken), ..config() }).unwrap_err().to_string();
    assert!(refused.contains("line 1") && !refused.contains("c2VjcmV0IQ"), "{refused}");
}
