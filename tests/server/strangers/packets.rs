//! Each packet of the protocol, on every door.

use chappe_proto::commands::RULES;
use serde_json::{Value, json};

use super::{ANN, BOB, EVE, SECRET, Scene, bad_tokens};
use crate::support::client::{Client, Door, Next, named_message};
use crate::support::tokens::hello;

impl Scene {
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
