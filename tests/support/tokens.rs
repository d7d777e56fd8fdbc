//! Tokens for a server in token mode: good ones, and such as the server never makes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::{ClientRequestBuilder, client};
use tokio_tungstenite::tungstenite::handshake::HandshakeError;

use super::client::{Client, Door};
use super::http::{Answer, Http};
use super::server::TestServer;
use super::tls::Socket;

/// The password of all accounts that tests make.
pub(crate) const PASSWORD: &str = "correct horse";

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_secs()
}

/// What a good token of `user` says, for an hour.
pub(crate) fn claims(user: u64) -> Value {
    let jti = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    // To the millisecond: what is ended at once is what was made before.
    let issued_at = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_millis() as f64 / 1000.0;
    json!({"iss": "chappe", "sub": user.to_string(), "role": "user", "jti": jti, "iat": issued_at, "exp": now() + 3600})
}

/// Signs claims with HS256 and any secret.
pub(crate) fn sign(secret: &[u8], claims: &Value) -> String {
    use aws_lc_rs::hmac;
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let message = format!("{header}.{claims}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

impl TestServer {
    /// In token mode, with these environment variables besides.
    pub(crate) fn with_tokens(variables: &[(&str, &str)]) -> Self {
        Self::with(&[&[("CHAPPE_AUTH_MODE", "token")], variables].concat())
    }

    /// Signs claims as the server itself does.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let secret = std::fs::read(self.data().join("token.secret")).expect("token mode has a secret");
        sign(&secret, claims)
    }

    /// A token of `user`, for an hour.
    pub(crate) fn token(&self, user: u64) -> String {
        self.sign(&claims(user))
    }

    /// A token of `user` that runs out in so many seconds.
    pub(crate) fn token_for(&self, user: u64, seconds: u64) -> String {
        let mut claims = claims(user);
        claims["exp"] = json!(now() + seconds);
        self.sign(&claims)
    }

    /// A token of an admin.
    pub(crate) fn admin(&self) -> String {
        let mut claims = claims(1);
        claims["role"] = json!("admin");
        self.sign(&claims)
    }

    /// Makes an account; its user.
    pub(crate) fn account(&self, nickname: &str) -> u64 {
        let body = json!({"nickname": nickname, "password": PASSWORD});
        let made = self.as_user(&self.admin(), "POST", "/api/users", Some(&body));
        made.expect(201)["user_id"].as_u64().expect("a user has an id")
    }

    /// Logs in; the session.
    pub(crate) fn login(&self, nickname: &str) -> Value {
        let body = json!({"nickname": nickname, "password": PASSWORD});
        Http::to(self).post("/api/sessions", &body).expect(201)
    }

    /// A request with a token.
    pub(crate) fn as_user(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        Http::to(self).call(method, path, &[("Authorization", &format!("Bearer {token}"))], body)
    }
}

impl Client {
    /// Connects and shows a token.
    pub(crate) fn holding(server: &TestServer, door: Door, token: &str) -> Self {
        let mut client = Self::connect(server, door);
        client.show(token);
        client
    }

    /// Shows a token; the `Welcome`.
    pub(crate) fn show(&mut self, token: &str) -> Value {
        let welcome = self.ask(hello(token));
        assert_eq!(welcome["packet_type"], "Welcome", "{welcome}");
        welcome
    }

    /// Opens a WebSocket with these headers in the handshake, and these subprotocols; with the subprotocol that was
    /// chosen. Or the status that it is refused with.
    pub(crate) fn handshake(
        server: &TestServer,
        path: &str,
        headers: &[(&str, &str)],
        protocols: &[&str],
    ) -> Result<(Self, Option<String>), u16> {
        let stream = Socket::to(server.http, server.tls.as_ref());
        let scheme = if stream.is_tls() { "wss" } else { "ws" };
        let uri = format!("{scheme}://{}{path}", server.http).parse().expect("an address makes a URL");
        let mut request = ClientRequestBuilder::new(uri);
        for (name, value) in headers {
            request = request.with_header(*name, *value);
        }
        for protocol in protocols {
            request = request.with_sub_protocol(*protocol);
        }
        match client(request, stream) {
            Ok((socket, answer)) => {
                let chosen = answer.headers().get("sec-websocket-protocol");
                let chosen = chosen.map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
                Ok((Self::over_web_socket(socket), chosen))
            }
            Err(HandshakeError::Failure(tungstenite::Error::Http(answer))) => Err(answer.status().as_u16()),
            Err(other) => panic!("the handshake broke: {other}"),
        }
    }
}

/// A Hello that shows a token.
pub(crate) fn hello(token: &str) -> Value {
    json!({"packet_type": "Hello", "version": 1, "token": token})
}
