//! What those get who should get nothing, on every door: each packet of the protocol and each route of the API as nobody,
//! as a stranger to the chat, as a removed member, with somebody else's id, and with tokens that are no good. Packets
//! come from the protocol's own table and routes from the API's description, so that a new one is not forgotten here.

mod packets;
mod routes;

use serde_json::{Value, json};

use crate::support::client::{Client, Door};
use crate::support::server::TestServer;
use crate::support::tokens::{claims, now, sign};

const ANN: u64 = 7;
const BOB: u64 = 8;
const EVE: u64 = 9;
/// Stands in whatever only Ann's chat knows.
const SECRET: &str = "between-ann-and-bob";

/// A chat of Ann's in which Bob was, and one of Eve's.
struct Scene {
    server: TestServer,
    chat: u64,
    /// Ann's message in her chat, and Bob's from when he was in it.
    of_ann: u64,
    of_bob: u64,
    eves: u64,
}

impl Scene {
    fn new() -> Self {
        let server = TestServer::with_tokens(&[]);
        let tokens = [ANN, BOB, EVE].map(|user| server.token(user));
        let [ann, bob, eve] = &tokens;
        // What all share from the beginning would let them know each other.
        for (user, token) in [ANN, BOB, EVE].iter().zip(&tokens) {
            Client::holding(&server, Door::TcpJson, token);
            let left = server.as_user(token, "DELETE", &format!("/api/chats/1/members/{user}"), None);
            assert_eq!(left.status, 204);
        }
        let make = |token: &str, body: Value| {
            let chat = server.as_user(token, "POST", "/api/chats", Some(&body)).expect(201);
            chat["chat_id"].as_u64().expect("an id")
        };
        let chat = make(ann, json!({"title": SECRET, "members": [BOB]}));
        let eves = make(eve, json!({"title": "eve's"}));
        let post = |token: &str, name: &str| {
            let body = json!({"content": SECRET, "client_id": name});
            let path = format!("/api/chats/{chat}/messages");
            server.as_user(token, "POST", &path, Some(&body)).expect(201)["id"].as_u64().expect("an id")
        };
        let (of_ann, of_bob) = (post(ann, "of-ann"), post(bob, "of-bob"));
        Self { chat, of_ann, of_bob, eves, server }
    }

    /// Bob is a member no longer.
    fn remove_bob(&self) {
        let path = format!("/api/chats/{}/members/{BOB}", self.chat);
        assert_eq!(self.server.as_user(&self.server.token(ANN), "DELETE", &path, None).status, 204);
    }
}

/// Tokens that are no good, and the code they are refused with.
fn bad_tokens(server: &TestServer) -> Vec<(&'static str, String, &'static str)> {
    let mut expired = claims(ANN);
    expired["exp"] = json!(now() - 60);
    let revoked = server.token(ANN);
    assert_eq!(server.as_user(&revoked, "DELETE", "/api/sessions/current", None).status, 204);
    let good = server.token(ANN);
    let (head, tail) = good.rsplit_once('.').expect("a token has parts");
    let other: String = tail.chars().map(|c| if c == 'A' { 'B' } else { 'A' }).collect();
    vec![
        ("expired", server.sign(&expired), "token_expired"),
        ("revoked", revoked, "not_authenticated"),
        ("of another secret", sign(&[7; 32], &claims(ANN)), "not_authenticated"),
        ("with another signature", format!("{head}.{other}"), "not_authenticated"),
        ("without a signature", format!("{head}."), "not_authenticated"),
        ("empty", String::new(), "not_authenticated"),
    ]
}
