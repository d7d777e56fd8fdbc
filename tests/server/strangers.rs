//! What those get who should get nothing, on every door: each packet of the protocol and each route of the API as nobody,
//! as a stranger to the chat, as a removed member, with somebody else's id, and with tokens that are no good. Packets
//! come from the protocol's own table and routes from the API's description, so that a new one is not forgotten here.

use chappe_proto::commands::RULES;
use serde_json::{Value, json};

use crate::support::client::{Client, Door, Next, named_message};
use crate::support::http::{Answer, Http};
use crate::support::server::TestServer;
use crate::support::tokens::{claims, hello, now, sign};

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

    /// Every packet but `Hello` and `Ping`, as somebody tries it who may not: in all the ways in which it could reach
    /// what is Ann's, each with what is answered. `None`: a packet that tells nothing.
    fn packets(&self, own_chat: u64) -> Vec<(Value, Option<&'static str>)> {
        let (chat, message) = (self.chat, self.of_ann);
        let packets: Vec<(Value, Option<&'static str>)> = RULES
            .iter()
            .flat_map(|rule| {
                match rule.name {
                    "Hello" | "Ping" => vec![],
                    "SendMessage" => {
                        let mut answers = named_message(own_chat, "x", &format!("reply-{own_chat}"));
                        answers["message"]["reply_to"] = json!(message);
                        vec![
                            (named_message(chat, "x", "new"), Some("not_a_member")),
                            (named_message(chat, SECRET, "of-ann"), Some("not_a_member")),
                            (answers, Some("unknown_message")),
                        ]
                    }
                    "EditMessage" => vec![(json!({"message_id": message, "content": "x"}), Some("unknown_message"))],
                    "DeleteMessage" => vec![
                        (json!({"message_id": message}), Some("unknown_message")),
                        (json!({"message_id": self.of_bob}), Some("unknown_message")),
                    ],
                    "React" => vec![
                        (json!({"message_id": message, "emoji": "+"}), Some("unknown_message")),
                        (json!({"message_id": message, "emoji": "+", "remove": true}), Some("unknown_message")),
                    ],
                    "MarkRead" => vec![(json!({"chat_id": chat, "seq": 1}), Some("not_a_member"))],
                    "GetChats" => vec![(json!({}), None), (json!({"after": chat - 1}), None)],
                    "GetMessages" => vec![
                        (json!({"chat_id": chat}), Some("not_a_member")),
                        (json!({"chat_id": chat, "after": 0, "limit": 5}), Some("not_a_member")),
                    ],
                    "GetEvents" => vec![(json!({"chat_id": chat, "after": 0}), Some("not_a_member"))],
                    "Subscribe" => vec![
                        (json!({"chat_ids": [chat]}), Some("not_a_member")),
                        (json!({"chat_ids": [1, own_chat, chat]}), Some("not_a_member")),
                    ],
                    "Unsubscribe" => vec![(json!({"chat_ids": [chat]}), None)],
                    "Typing" => vec![(json!({"chat_id": chat}), Some("not_a_member"))],
                    "Status" => vec![],
                    "GetPresence" => {
                        vec![(json!({"user_ids": [ANN]}), None), (json!({"chat_id": chat}), Some("not_a_member"))]
                    }
                    new => panic!("{new} is new: say here what it answers to a stranger"),
                }
                .into_iter()
                .map(|(mut packet, expected)| {
                    packet["packet_type"] = json!(rule.name);
                    (packet, expected)
                })
            })
            .collect();
        packets
    }
}

/// Nothing of Ann's chat is in there.
fn tells_nothing(packet: &Value, chat: u64) {
    let text = packet.to_string();
    assert!(!text.contains(SECRET), "{text}");
    assert_ne!(packet["chat_id"], chat, "{text}");
    if packet["packet_type"] == "Presence" {
        assert_eq!(packet["users"], json!([{"user_id": ANN, "status_data": "offline"}]), "{text}");
    }
    if packet["packet_type"] == "Chats" {
        assert!(packet["chats"].as_array().expect("chats").iter().all(|other| other["chat_id"] != chat), "{text}");
    }
}

fn try_all(scene: &Scene, client: &mut Client, own_chat: u64) {
    for (packet, expected) in scene.packets(own_chat) {
        let answer = client.ask(packet.clone());
        match expected {
            Some(code) => assert_eq!(answer["code"], code, "{packet} on {:?}: {answer}", client.door),
            None => assert_eq!(answer["code"], Value::Null, "{packet} on {:?}: {answer}", client.door),
        }
        tells_nothing(&answer, scene.chat);
    }
}

#[test]
fn nobody_is_answered_before_a_token_was_shown() {
    let scene = Scene::new();
    for door in Door::ALL {
        let mut client = Client::connect(&scene.server, door);
        for (packet, _) in scene.packets(1) {
            let answer = client.ask(packet.clone());
            assert_eq!(answer["code"], "not_authenticated", "{packet} on {door:?}");
        }
        for name in ["Status", "Typing", "SendMessage"] {
            let mut packet = json!({"packet_type": name, "chat_id": 1, "user_id": ANN, "status_data": "start"});
            packet["message"] = json!({"chat_id": 1, "sender_id": ANN, "content": "x"});
            assert_eq!(client.ask(packet)["code"], "not_authenticated", "a word is not enough on {door:?}");
        }
        assert_eq!(client.ask(json!({"packet_type": "Ping", "nonce": 1}))["packet_type"], "Pong");
        let refused = client.ask(json!({"packet_type": "Hello", "version": 1, "user_id": ANN}));
        assert_eq!(refused["code"], "not_authenticated", "{door:?}");
        let (packets, code) = client.rest();
        assert_eq!(packets.last().map(|packet| &packet["code"]), Some(&json!(4002)), "{door:?}");
        assert!(!door.is_web_socket() || code == Some(4002), "{door:?}");
    }
}

#[test]
fn a_stranger_learns_and_changes_nothing_by_any_packet_on_any_door() {
    let scene = Scene::new();
    let server = &scene.server;
    let mut ann = Client::holding(server, Door::TcpJson, &server.token(ANN));
    for door in Door::ALL {
        let mut eve = Client::holding(server, door, &server.token(EVE));
        try_all(&scene, &mut eve, scene.eves);
        // The name of another's message is free for one's own.
        let ack = eve.ask(named_message(scene.eves, &format!("mine on {door:?}"), &format!("of-ann-{door:?}")));
        assert_eq!((&ack["success"], &ack["duplicate"]), (&json!(true), &Value::Null), "{ack}");
        assert!(eve.heard().iter().all(|packet| packet["chat_id"] != scene.chat));
    }
    let ack = Client::holding(server, Door::TcpJson, &server.token(EVE)).ask(named_message(scene.eves, "x", "of-ann"));
    assert_eq!((&ack["success"], &ack["duplicate"]), (&json!(true), &Value::Null), "{ack}");
    let events = ann.ask(json!({"packet_type": "GetEvents", "chat_id": scene.chat, "after": 0}));
    let kinds: Vec<_> =
        events["events"].as_array().expect("events").iter().map(|event| &event["packet_type"]).collect();
    assert_eq!(kinds, ["ChatCreated", "Message", "Message"], "Ann's chat is as it was");
    assert!(ann.heard().is_empty(), "and nobody of it was heard of");
}

#[test]
fn a_removed_member_is_a_stranger_also_on_connections_that_were_open() {
    let scene = Scene::new();
    let server = &scene.server;
    let mut bobs: Vec<_> = Door::ALL.iter().map(|door| Client::holding(server, *door, &server.token(BOB))).collect();
    for bob in &mut bobs {
        let page = bob.ask(json!({"packet_type": "GetMessages", "chat_id": scene.chat}));
        assert_eq!(page["messages"].as_array().map(Vec::len), Some(2), "{page}");
        bob.ask(json!({"packet_type": "Subscribe", "chat_ids": [scene.chat]}));
    }
    scene.remove_bob();
    let path = format!("/api/chats/{}/messages", scene.chat);
    let later = json!({"content": format!("{SECRET} later")});
    server.as_user(&server.token(ANN), "POST", &path, Some(&later)).expect(201);
    for bob in &mut bobs {
        let heard = bob.heard();
        assert!(heard.iter().all(|packet| !packet.to_string().contains(SECRET)), "{heard:?}");
        try_all(&scene, bob, 1);
        // His own message under its old name: what he was told of it before, and no more.
        let ack = bob.ask(named_message(scene.chat, SECRET, "of-bob"));
        assert_eq!((&ack["message_id"], &ack["duplicate"]), (&json!(scene.of_bob), &json!(true)), "{ack}");
        assert_eq!(bob.ask(named_message(scene.chat, "other", "of-bob"))["success"], false);
    }
}

#[test]
fn who_names_somebody_else_is_refused_on_every_door() {
    let scene = Scene::new();
    for door in Door::ALL {
        let mut eve = Client::connect(&scene.server, door);
        let mut claim = hello(&scene.server.token(EVE));
        claim["user_id"] = json!(ANN);
        assert_eq!(eve.ask(claim)["code"], "identity_mismatch", "{door:?}");
        eve.show(&scene.server.token(EVE));
        for packet in [
            json!({"packet_type": "SendMessage", "message": {"chat_id": scene.eves, "sender_id": ANN, "content": "x"}}),
            json!({"packet_type": "SendMessage", "message": {"chat_id": scene.chat, "sender_id": ANN, "content": "x"}}),
            json!({"packet_type": "Typing", "chat_id": scene.eves, "user_id": ANN}),
            json!({"packet_type": "Status", "user_id": ANN, "status_data": "busy"}),
        ] {
            assert_eq!(eve.ask(packet.clone())["code"], "identity_mismatch", "{packet} on {door:?}");
        }
        let agreed = json!({"chat_id": scene.eves, "sender_id": EVE, "content": "x"});
        assert_eq!(eve.ask(json!({"packet_type": "SendMessage", "message": agreed}))["success"], true);
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

#[test]
fn a_token_that_is_no_good_opens_no_door() {
    let scene = Scene::new();
    for (what, token, code) in bad_tokens(&scene.server) {
        for door in Door::ALL {
            let mut client = Client::connect(&scene.server, door);
            assert_eq!(client.ask(hello(&token))["code"], code, "{what} on {door:?}");
            let (packets, _) = client.rest();
            let close = if code == "token_expired" { 4202 } else { 4002 };
            assert_eq!(packets.last().map(|packet| &packet["code"]), Some(&json!(close)), "{what} on {door:?}");
        }
    }
}

#[test]
fn datagrams_that_only_claim_a_user_change_nothing() {
    let scene = Scene::new();
    let server = &scene.server;
    let body = json!({"title": "with eve", "members": [EVE]});
    server.as_user(&server.token(ANN), "POST", "/api/chats", Some(&body)).expect(201);
    let mut ann = Client::holding(server, Door::TcpJson, &server.token(ANN));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let status = json!({"packet_type": "Status", "user_id": EVE, "status_data": "forged"});
    socket.send_to(status.to_string().as_bytes(), server.udp).expect("it is sent");
    crate::support::until("the datagram to be taken", || {
        (server.metric("chappe_udp_packets_total") >= 1.0).then_some(())
    });
    let presence = ann.ask(json!({"packet_type": "GetPresence", "user_ids": [EVE]}));
    assert_ne!(presence["users"][0]["status_data"], "forged", "{presence}");
}

/// A route of the description.
struct Route {
    method: String,
    /// As it is described, with braces.
    pattern: String,
    operation: Value,
}

impl Route {
    fn all(server: &TestServer) -> (Value, Vec<Self>) {
        let api = Http::to(server).get("/api/openapi.json").expect(200);
        let mut all = Vec::new();
        for (pattern, item) in api["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let (method, pattern) = (method.to_uppercase(), pattern.clone());
                all.push(Self { method, pattern, operation: operation.clone() });
            }
        }
        assert!(all.len() > 20, "the description has routes");
        (api, all)
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.pattern)
    }

    /// Where it leads: to what is Ann's.
    fn path(&self, scene: &Scene) -> String {
        let ids = [("chat_id", scene.chat), ("message_id", scene.of_ann), ("member_id", BOB), ("user_id", ANN)];
        ids.iter().fold(self.pattern.clone(), |path, (name, id)| path.replace(&format!("{{{name}}}"), &id.to_string()))
    }

    /// A body that would do, if it were Ann who sent it.
    fn body(&self, scene: &Scene) -> Option<Value> {
        self.operation.get("requestBody")?;
        Some(match self.name().as_str() {
            "POST /api/chats" => json!({"title": "x"}),
            "PATCH /api/chats/{chat_id}" => json!({"title": "x"}),
            "POST /api/chats/{chat_id}/members" => json!({"user_id": EVE}),
            "POST /api/chats/{chat_id}/messages" => json!({"content": "x", "reply_to": scene.of_ann}),
            "PATCH /api/messages/{message_id}" => json!({"content": "x"}),
            "POST /api/users" => json!({"nickname": "new", "password": "long enough"}),
            "POST /api/sessions" => json!({"nickname": "nobody", "password": "long enough"}),
            "PUT /api/users/{user_id}/password" => json!({"password": "long enough"}),
            new => panic!("{new} is new: say here what its body is"),
        })
    }

    /// What a stranger is answered: a code, or nothing where there is something for everybody.
    fn for_a_stranger(&self) -> Option<&'static str> {
        match self.name().as_str() {
            name if name.contains("{chat_id}") => Some("not_a_member"),
            name if name.contains("{message_id}") => Some("unknown_message"),
            "POST /api/users" | "PUT /api/users/{user_id}/password" => Some("forbidden"),
            "POST /api/sessions" => Some("not_authenticated"),
            "POST /api/sessions/current/renew" => Some("forbidden"),
            "GET /api/chats" | "POST /api/chats" | "GET /api/users" | "GET /api/users/online" => None,
            // It ends what is its own.
            "DELETE /api/sessions" | "DELETE /api/sessions/current" | "GET /api/sessions/current" => None,
            _ if self.is_open() => None,
            new => panic!("{new} is new: say here what it answers to a stranger"),
        }
    }

    /// Whether it is for everybody, also without a token.
    fn is_open(&self) -> bool {
        [
            "GET /api/openapi.json",
            "GET /api/limits",
            "POST /api/sessions",
            "GET /health",
            "GET /health/live",
            "GET /health/ready",
            "GET /metrics",
        ]
        .contains(&self.name().as_str())
    }

    /// Fields of the body that say who asks.
    fn claims(&self, api: &Value) -> Vec<&'static str> {
        let reference = &self.operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        let Some(schema) = reference.as_str().and_then(|reference| api.pointer(&reference[1..])) else { return vec![] };
        let known = ["user_id", "sender_id", "by"];
        let has = |name: &&&str| schema["properties"].get(**name).is_some();
        let all: Vec<_> = known.iter().filter(has).copied().collect();
        // Whom one adds is not who one is.
        if all.contains(&"by") { vec!["by"] } else { all }
    }

    fn takes_query(&self, name: &str) -> bool {
        let is_it = |parameter: &Value| parameter["in"] == "query" && parameter["name"] == name;
        self.operation["parameters"].as_array().is_some_and(|all| all.iter().any(is_it))
    }
}

fn call(scene: &Scene, route: &Route, headers: &[(&str, &str)], path: &str, body: Option<&Value>) -> Answer {
    let answer = Http::to(&scene.server).call(&route.method, path, headers, body);
    let text = String::from_utf8_lossy(&answer.body);
    assert!(!text.contains(SECRET), "{}: {text}", route.name());
    answer
}

#[test]
fn no_route_of_the_api_answers_without_a_good_token_but_for_those_that_are_for_all() {
    let scene = Scene::new();
    let (_, routes) = Route::all(&scene.server);
    let bad = bad_tokens(&scene.server);
    for route in &routes {
        let (path, body) = (route.path(&scene), route.body(&scene));
        let open = route.is_open();
        let answer = call(&scene, route, &[], &path, body.as_ref());
        // Logging in with a wrong password is refused with the same status.
        if open {
            assert!(
                answer.status == 200 || route.name() == "POST /api/sessions",
                "{}: {}",
                route.name(),
                answer.status
            );
            assert_eq!(route.operation["security"], json!([]), "{}", route.name());
            continue;
        }
        assert_eq!(answer.refusal(), (401, "not_authenticated".into()), "{}", route.name());
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"chappe\""));
        assert_ne!(route.operation["security"], json!([]), "{}", route.name());
        for claim in [("X-Chappe-User", "7"), ("Cookie", "chappe_session=x")] {
            let answer = call(&scene, route, &[claim], &path, body.as_ref());
            assert_eq!(answer.status, 401, "{} with {claim:?}", route.name());
        }
        for (what, token, code) in &bad {
            let bearer = format!("Bearer {token}");
            let answer = call(&scene, route, &[("Authorization", &bearer)], &path, body.as_ref());
            assert_eq!(answer.refusal(), (401, (*code).into()), "{} with a token that is {what}", route.name());
        }
        if route.method == "GET" {
            let written = path.replacen("/api/", "/%61pi/", 1);
            let answer = call(&scene, route, &[], &written, None);
            assert_eq!(answer.status, 401, "{} written otherwise", route.name());
        }
    }
}

#[test]
fn a_stranger_and_a_removed_member_learn_and_change_nothing_by_any_route() {
    let scene = Scene::new();
    scene.remove_bob();
    let before = scene.server.metric("chappe_log_position");
    let (_, routes) = Route::all(&scene.server);
    for user in [EVE, BOB] {
        for route in &routes {
            if route.name() == "POST /api/chats" {
                continue;
            }
            // A token of its own for each: some routes end it.
            let bearer = format!("Bearer {}", scene.server.token(user));
            let body = route.body(&scene);
            let answer = call(&scene, route, &[("Authorization", &bearer)], &route.path(&scene), body.as_ref());
            match (route.for_a_stranger(), user) {
                // Who is out already may leave once more, and is told so.
                (Some(_), BOB) if route.pattern.contains("{member_id}") => assert!(answer.status >= 400, "{answer:?}"),
                (Some(code), _) => assert_eq!(answer.refusal().1, code, "{} as {user}", route.name()),
                (None, _) => assert!(answer.status < 300, "{} as {user}: {answer:?}", route.name()),
            }
            if route.name() == "GET /api/chats" {
                let chats = answer.json();
                let all = chats["chats"].as_array().expect("chats");
                assert!(all.iter().all(|chat| chat["chat_id"] != scene.chat), "{chats}");
            }
            if route.name() == "GET /api/users/online" {
                let users = answer.json();
                assert!(
                    users["users"].as_array().expect("users").iter().all(|other| other["user_id"] != ANN),
                    "{users}"
                );
            }
        }
    }
    assert_eq!(scene.server.metric("chappe_log_position"), before, "nothing was written");
}

#[test]
fn no_route_takes_somebody_elses_id() {
    let scene = Scene::new();
    let (api, routes) = Route::all(&scene.server);
    let bearer = format!("Bearer {}", scene.server.token(EVE));
    let mut tried = 0;
    for route in routes.iter().filter(|route| !route.is_open()) {
        let (path, body) = (route.path(&scene), route.body(&scene));
        let mut refuse = |headers: &[(&str, &str)], path: &str, body: Option<&Value>| {
            let headers = [&[("Authorization", bearer.as_str())], headers].concat();
            let answer = call(&scene, route, &headers, path, body);
            assert_eq!(answer.refusal().1, "identity_mismatch", "{} {path} {body:?}", route.name());
            tried += 1;
        };
        if route.takes_query("user_id") {
            refuse(&[], &format!("{path}?user_id={ANN}"), body.as_ref());
            refuse(&[("X-Chappe-User", "7")], &path, body.as_ref());
            refuse(&[("X-Chappe-User", "7")], &format!("{path}?user_id={EVE}"), body.as_ref());
        }
        for claim in route.claims(&api) {
            let mut body = body.clone().expect("it has a body");
            body[claim] = json!(ANN);
            refuse(&[], &path, Some(&body));
        }
    }
    assert!(tried > 30, "{tried} ways were tried");
}

#[test]
fn presence_and_events_go_to_nobody_who_shares_no_chat() {
    let scene = Scene::new();
    let server = &scene.server;
    let mut eve = Client::holding(server, Door::WsText, &server.token(EVE));
    let mut bob = Client::holding(server, Door::WsText, &server.token(BOB));
    let mut ann = Client::holding(server, Door::TcpJson, &server.token(ANN));
    ann.send(&json!({"packet_type": "Status", "status_data": "busy"}));
    ann.send(&json!({"packet_type": "Typing", "chat_id": scene.chat}));
    ann.post(scene.chat, SECRET);
    bob.wait("Ann's message", |packet| packet["message"]["content"] == SECRET);
    let about_ann = |packet: &Value| packet["user_id"] == ANN || packet["users"][0]["user_id"] == ANN;
    bob.wait("Ann's presence", |packet| packet["packet_type"] != "Typing" && about_ann(packet));
    let heard = eve.heard();
    assert!(!heard.iter().any(|packet| about_ann(packet) || packet["chat_id"] == scene.chat), "{heard:?}");
    let online = server.as_user(&server.token(BOB), "GET", "/api/users/online", None).expect(200);
    assert!(online["users"].as_array().expect("users").iter().any(|user| user["user_id"] == ANN), "{online}");
    assert!(matches!(eve.next_within(std::time::Duration::ZERO), Next::Silence));
}
