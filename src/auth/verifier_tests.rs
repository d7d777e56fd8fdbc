//! Tests of what is believed: real tokens of every kind of key, and forged ones.

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::rsa::KeySize;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chappe_actors::accounts::Account;
use chappe_proto::UserId;
use serde_json::json;

use super::*;
use crate::auth::keys;
use crate::auth::signing_tests::{Signer, write};
use crate::auth::{Authority, Session};
use crate::config::Config;

/// In seconds.
const NOW: u64 = 1_800_000_000;
const SECRET: &[u8] = b"a secret of the operator's, of which nobody knows";
/// Made once: an RSA key takes a while.
static RSA: LazyLock<Signer> = LazyLock::new(|| Signer::rsa(KeySize::Rsa2048));

struct World {
    _folder: tempfile::TempDir,
    own: Secret,
    secret: Signer,
    ec: Signer,
    ed: Signer,
    config: AuthConfig,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ec, ed) = (Signer::p256(), Signer::ed());
        let config = AuthConfig {
            secret_files: vec![write(&folder, "shared.secret", SECRET)],
            public_key_files: vec![
                write(&folder, "rsa.pem", RSA.pem()),
                write(&folder, "ec.pem", ec.pem()),
                write(&folder, "ed.pem", ed.pem()),
            ],
            ..Config::default().auth
        };
        let (own, _) = Secret::ensure(folder.path()).unwrap();
        Self { _folder: folder, own, secret: Signer::Secret(SECRET.to_vec()), ec, ed, config }
    }

    fn verifier(&self) -> Verifier {
        Verifier::new(&self.own, keys::read(&self.config).unwrap(), &self.config)
    }

    fn own_signer(&self) -> Signer {
        Signer::Secret(self.own.bytes().to_vec())
    }
}

fn now() -> Millis {
    Millis(NOW * 1000)
}

fn claims() -> Value {
    json!({ "sub": "7", "exp": NOW + 600 })
}

/// The claims with this beside them, or instead.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn header(algorithm: &str) -> Value {
    json!({ "alg": algorithm, "typ": "JWT" })
}

#[test]
fn a_token_of_each_kind_of_key_is_believed() {
    let world = World::new();
    let verifier = world.verifier();
    for (signer, algorithm, file) in [
        (&world.secret, "HS256", "shared"),
        (&*RSA, "RS256", "rsa"),
        (&world.ec, "ES256", "ec"),
        (&world.ed, "EdDSA", "ed"),
        (&world.ed, "Ed25519", "ed"),
    ] {
        for kid in [None, Some(file), Some("a key that was here once")] {
            let mut header = header(algorithm);
            if let Some(kid) = kid {
                header["kid"] = kid.into();
            }
            let token = signer.token(&header, &claims());
            let who = verifier.authenticate(&token, now()).unwrap_or_else(|error| panic!("{header}: {error}"));
            assert_eq!((who.user.get(), who.expires_at), (7, Millis((NOW + 600) * 1000)), "{header}");
        }
    }
}

#[test]
fn what_a_token_says_is_who_somebody_is() {
    let world = World::new();
    let claims = json!({
        "sub": 9_007_199_254_740_991_u64, "exp": NOW + 60, "iat": NOW - 1, "nbf": NOW, "name": " Zoë\n", "jti": "x",
        "iss": "https://id.example", "role": "admin", "more": { "of": ["anything"] },
    });
    let who = world.verifier().authenticate(&world.ec.token(&header("ES256"), &claims), now()).unwrap();
    let expected = Principal {
        user: UserId::parse((1 << 53) - 1).unwrap(),
        nickname: Some("Zoë".into()),
        standing: Standing::User,
        token: token_id(Some("x"), "https://id.example", ""),
        issued_at: Millis((NOW - 1) * 1000),
        expires_at: Millis((NOW + 60) * 1000),
    };
    assert_eq!(who, expected, "a role at home is none here");
    let admin = with("chappe_role", "admin".into());
    let who = world.verifier().authenticate(&world.ec.token(&header("ES256"), &admin), now()).unwrap();
    assert_eq!((who.standing, who.nickname, who.issued_at), (Standing::Admin, None, Millis(0)));
}

#[test]
fn a_name_is_cut_where_a_letter_ends() {
    assert_eq!(nickname(&"ö".repeat(40)).unwrap().len(), 64);
    assert_eq!(nickname(&"€".repeat(40)).unwrap().len(), 63);
    assert_eq!((nickname(" "), nickname("")), (None, None));
}

#[test]
fn forged_tokens_are_refused_and_never_repeated() {
    let world = World::new();
    let verifier = world.verifier();
    let (hs, es) = (header("HS256"), header("ES256"));
    let good = world.secret.token(&hs, &claims());
    let foreign = |signer: &Signer, header: &Value| signer.token(header, &claims());
    let claiming = |claims: Value| world.secret.token(&hs, &claims);
    let named = |kid: &str, signer: &Signer| signer.token(&json!({ "alg": "HS256", "kid": kid }), &claims());
    let flipped = |part: usize| {
        let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();
        let first = if parts[part].starts_with('A') { "B" } else { "A" };
        parts[part].replace_range(0..1, first);
        parts.join(".")
    };
    let mut without_exp = claims();
    without_exp.as_object_mut().unwrap().remove("exp");
    let mut without_sub = claims();
    without_sub.as_object_mut().unwrap().remove("sub");
    let own = world.own_signer();
    let rsa_as_secret = Signer::Secret(RSA.pem().into_bytes());
    let rsa_trimmed = Signer::Secret(RSA.pem().trim_end().as_bytes().to_vec());
    let ec_as_secret = Signer::Secret(world.ec.public());
    let forged = [
        ("no algorithm", foreign(&Signer::None, &header("none")), "`alg`"),
        ("no algorithm, in capitals", foreign(&Signer::None, &header("NONE")), "`alg`"),
        ("an algorithm in small letters", foreign(&world.secret, &header("hs256")), "`alg`"),
        ("no alg", foreign(&world.secret, &json!({})), "`alg`"),
        ("an alg that is a number", foreign(&world.secret, &json!({ "alg": 256 })), "`alg`"),
        ("a longer hash", foreign(&world.secret, &header("HS512")), "`alg`"),
        ("a public RSA key as a secret", foreign(&rsa_as_secret, &hs), "signature"),
        ("the same without its last line end", foreign(&rsa_trimmed, &hs), "signature"),
        ("the same by its name", named("rsa", &rsa_as_secret), "algorithm"),
        ("a public EC key as a secret", foreign(&ec_as_secret, &hs), "signature"),
        ("an empty secret", foreign(&Signer::Secret(Vec::new()), &hs), "signature"),
        ("no signature", foreign(&Signer::None, &hs), "signature"),
        ("another secret", foreign(&Signer::Secret(vec![1; 32]), &hs), "signature"),
        ("another EC key", foreign(&Signer::p256(), &es), "signature"),
        ("a key on another curve", foreign(&Signer::p384(), &es), "signature"),
        ("an RSA signature called EC", foreign(&RSA, &es), "signature"),
        ("an Ed25519 signature called RSA", foreign(&world.ed, &header("RS256")), "signature"),
        ("the name of another key", named("chappe", &world.secret), "signature"),
        ("the name of a key for another algorithm", named("ec", &world.secret), "algorithm"),
        (
            "a key brought along",
            foreign(
                &Signer::Secret(vec![1; 32]),
                &json!({ "alg": "HS256", "jwk": { "kty": "oct", "k": URL_SAFE_NO_PAD.encode([1; 32]) } }),
            ),
            "signature",
        ),
        ("a kid that is a list", foreign(&world.secret, &json!({ "alg": "HS256", "kid": ["shared"] })), "`kid`"),
        (
            "an extension that has to be understood",
            foreign(&world.secret, &json!({ "alg": "HS256", "crit": ["b64"], "b64": false })),
            "`crit`",
        ),
        ("another header", flipped(0), "header"),
        ("other claims", flipped(1), "signature"),
        ("another signature", flipped(2), "signature"),
        ("cut off", good[..good.len() - 1].to_owned(), "signature"),
        ("cut off before the signature", good.rsplit_once('.').unwrap().0.to_owned(), "JWT"),
        ("four parts", format!("{good}.{}", URL_SAFE_NO_PAD.encode("more")), "JWT"),
        ("padding", format!("{good}="), "signature"),
        ("a space behind it", format!("{good} "), "signature"),
        ("nothing", String::new(), "JWT"),
        ("dots", "..".to_owned(), "header"),
        ("unicode", "é.ü.🦊".to_owned(), "header"),
        ("huge", claiming(with("more", "x".repeat(8192).into())), "8192"),
        ("huge and deep", world.secret.token_of("{\"alg\":\"HS256\"}", &"[".repeat(5000)), "claims"),
        ("claims that are a list", world.secret.token_of("{\"alg\":\"HS256\"}", "[]"), "claims"),
        (
            "a claim twice",
            world.secret.token_of("{\"alg\":\"HS256\"}", "{\"sub\":\"7\",\"sub\":\"8\",\"exp\":9e12}"),
            "twice",
        ),
        (
            "an algorithm twice",
            world.secret.token_of("{\"alg\":\"none\",\"alg\":\"HS256\"}", &claims().to_string()),
            "twice",
        ),
        ("no exp", claiming(without_exp), "`exp`"),
        ("an exp that is null", claiming(with("exp", Value::Null)), "`exp`"),
        ("an exp that is text", claiming(with("exp", (NOW + 600).to_string().into())), "`exp`"),
        ("an exp that is negative", claiming(with("exp", json!(-1))), "`exp`"),
        ("an nbf that is text", claiming(with("nbf", "now".into())), "`nbf`"),
        ("an nbf that is to come", claiming(with("nbf", json!(NOW + 6))), "not valid yet"),
        ("an iat that is to come", claiming(with("iat", json!(NOW + 6))), "`iat`"),
        ("an iat that is text", claiming(with("iat", "now".into())), "`iat`"),
        ("no sub", claiming(without_sub), "`sub`"),
        ("a sub that is a name", claiming(with("sub", "ann".into())), "`sub`"),
        ("a sub of 0", claiming(with("sub", json!(0))), "`sub`"),
        ("a sub beyond 2^53", claiming(with("sub", "9007199254740992".into())), "`sub`"),
        ("an iss that is a number", claiming(with("iss", json!(1))), "`iss`"),
        ("a jti that is a number", claiming(with("jti", json!(1))), "`jti`"),
        ("for somebody else", claiming(with("aud", "billing".into())), "`aud`"),
        ("an aud that is an object", claiming(with("aud", json!({ "chat": true }))), "`aud`"),
        ("signed by the server for something else", own.token(&hs, &claims()), "`iss`"),
        ("signed by the server for another issuer", own.token(&hs, &with("iss", "Chappe".into())), "`iss`"),
    ];
    for (what, token, expected) in &forged {
        let refused = verifier.authenticate(token, now()).expect_err(what);
        assert_eq!(refused.code, Code::NotAuthenticated, "{what}: {refused}");
        assert!(refused.message.contains(expected), "{what}: {refused}");
        let leaks = token.split('.').any(|part| part.len() > 3 && refused.message.contains(part));
        assert!(!leaks, "{what}: {refused}");
    }
    assert!(forged.len() >= 50, "{}", forged.len());
    assert!(verifier.authenticate(&good, now()).is_ok(), "and the one they were made from is good");
}

#[test]
fn audience_and_issuer_have_to_be_ours_if_they_are_configured() {
    let mut world = World::new();
    world.config.audience = Some("chat".into());
    world.config.issuer = Some("https://id.example".into());
    let verifier = world.verifier();
    for (audience, issuer, refused) in [
        (json!("chat"), json!("https://id.example"), None),
        (json!(["billing", "chat"]), json!("https://id.example"), None),
        (json!("billing"), json!("https://id.example"), Some("`aud`")),
        (json!(["billing"]), json!("https://id.example"), Some("`aud`")),
        (json!([]), json!("https://id.example"), Some("`aud`")),
        (json!(["chat", 1]), json!("https://id.example"), Some("`aud`")),
        (Value::Null, json!("https://id.example"), Some("`aud`")),
        (json!("chat"), json!("https://id.example/"), Some("`iss`")),
        (json!("chat"), json!("chappe"), Some("`iss`")),
        (json!("chat"), Value::Null, Some("`iss`")),
    ] {
        let mut claims = with("aud", audience);
        claims["iss"] = issuer;
        let found = verifier.authenticate(&world.ed.token(&header("EdDSA"), &claims), now());
        let message = found.err().map(|refused| refused.message.into_owned());
        let as_expected = match refused {
            None => message.is_none(),
            Some(part) => message.as_ref().is_some_and(|message| message.contains(part)),
        };
        assert!(as_expected, "{claims}: {message:?}");
    }
    let own = world.own_signer().token(&header("HS256"), &with("iss", "chappe".into()));
    assert!(verifier.authenticate(&own, now()).is_ok(), "the server's own tokens are for nobody else");
}

#[test]
fn time_is_told_apart_to_five_seconds() {
    let world = World::new();
    let verifier = world.verifier();
    for (claims, code) in [
        (with("exp", json!(NOW - 4)), None),
        (with("exp", json!(NOW - 5)), Some(Code::TokenExpired)),
        (with("exp", json!(0)), Some(Code::TokenExpired)),
        (with("exp", json!(NOW as f64 + 0.5)), None),
        (with("nbf", json!(NOW + 5)), None),
        (with("nbf", json!(NOW as f64 + 5.5)), Some(Code::NotAuthenticated)),
    ] {
        let found = verifier.authenticate(&world.secret.token(&header("HS256"), &claims), now());
        assert_eq!(found.err().map(|refused| refused.code), code, "{claims}");
    }
}

#[test]
fn another_claim_can_carry_the_user() {
    let mut world = World::new();
    world.config.user_claim = "chat_id".into();
    let verifier = world.verifier();
    let mut claims = json!({ "sub": "auth0|5f7c", "chat_id": 12, "exp": NOW + 9 });
    let token = world.secret.token(&header("HS256"), &claims);
    assert_eq!(verifier.authenticate(&token, now()).unwrap().user.get(), 12);
    claims["chat_id"] = "auth0".into();
    let refused = verifier.authenticate(&world.secret.token(&header("HS256"), &claims), now()).unwrap_err();
    assert!(refused.message.contains("`chat_id`"), "{refused}");
}

fn ann(nickname: &str, standing: Standing) -> Account {
    let user = UserId::parse(1001).unwrap();
    Account { user, nickname: nickname.into(), standing, disabled: false, created_at: Millis(0) }
}

#[test]
fn what_the_authority_issues_the_verifier_believes() {
    let world = World::new();
    let authority = Authority::new(world.own.clone(), Duration::from_secs(60), false);
    let made = Millis(NOW * 1000 + 123);
    let issued = authority.issue(&ann("Zoë \"Z\"", Standing::Admin), made, &Session::begin().unwrap());
    let who = world.verifier().authenticate(&issued.token, made).unwrap();
    let expected = Principal {
        user: UserId::parse(1001).unwrap(),
        nickname: Some("Zoë \"Z\"".into()),
        standing: Standing::Admin,
        token: issued.id,
        issued_at: made,
        expires_at: issued.expires_at,
    };
    assert_eq!(who, expected, "to the millisecond: a token made just after a new password is none made before");
    assert_eq!(issued.expires_at, Millis((NOW + 60) * 1000));
    let other = Authority::new(Secret::ensure(tempfile::tempdir().unwrap().path()).unwrap().0, Duration::ZERO, false);
    assert!(authority.csrf_fits(issued.id, &issued.csrf_token));
    for wrong in ["", &issued.token, &issued.csrf_token[1..], &other.csrf(issued.id)] {
        assert!(!authority.csrf_fits(issued.id, wrong), "{wrong}");
    }
    let shown = format!("{authority:?} {:?}", world.verifier());
    let secret = URL_SAFE_NO_PAD.encode(world.own.bytes());
    assert!(!shown.contains(&secret) && !shown.contains(&format!("{:?}", world.own.bytes())), "{shown}");
}

#[test]
fn a_token_without_an_id_is_named_by_what_is_signed() {
    let world = World::new();
    let verifier = world.verifier();
    // EC signatures are random: the same claims twice are the same token in two texts.
    let [one, two] = [(); 2].map(|()| world.ec.token(&header("ES256"), &claims()));
    assert_ne!(one, two);
    let name = |token: &str| verifier.authenticate(token, now()).unwrap().token;
    assert_eq!(name(&one), name(&two), "who revokes one revokes the other");
    assert_ne!(name(&one), name(&world.ec.token(&header("ES256"), &with("exp", json!(NOW + 601)))));
}
