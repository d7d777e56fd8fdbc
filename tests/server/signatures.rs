//! Signed messages: checked on the way in, and to be checked again by whoever reads them.

use chappe_proto::signature::{Signature, Signed, SigningKey};
use chappe_proto::{ChatId, ClientId, UserId};
use serde_json::{Value, json};

use crate::acks::{all_events, group_chat};
use crate::limits::refused;
use crate::support::client::{Client, Door, message, named_message};
use crate::support::http::Http;
use crate::support::server::TestServer;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

/// Signs, and asks what was signed, by numbers.
fn signature(key: &SigningKey, chat: u64, sender: u64, client_id: &str, content: &str) -> Signature {
    let client_id = ClientId::parse(client_id).unwrap();
    let (chat, sender) = (ChatId::parse(chat).unwrap(), UserId::parse(sender).unwrap());
    key.sign(&Signed { chat, sender, client_id: &client_id, content })
}

fn signed_message(key: &SigningKey, chat: u64, sender: u64, client_id: &str, content: &str) -> Value {
    let mut packet = named_message(chat, content, client_id);
    packet["message"]["signature"] = json!(signature(key, chat, sender, client_id, content));
    packet
}

/// Whether a message as a reader sees it bears the good signature of this key.
fn is_signed(message: &Value, key: &SigningKey) -> bool {
    let Some(signature) = message.get("signature") else { return false };
    let signature: Signature = serde_json::from_value(signature.clone()).unwrap();
    let client_id: ClientId = serde_json::from_value(message["client_id"].clone()).unwrap();
    let what = Signed {
        chat: serde_json::from_value(message["chat_id"].clone()).unwrap(),
        sender: serde_json::from_value(message["sender_id"].clone()).unwrap(),
        client_id: &client_id,
        content: message["content"].as_str().unwrap(),
    };
    signature.key == key.public() && what.is_signed_by(&signature)
}

fn register(server: &TestServer, user: u64, key: &SigningKey) {
    let path = format!("/api/users/{user}/key?user_id={user}");
    let answer = Http::to(server).call("PUT", &path, &[], Some(&json!({"public_key": key.public()}))).expect(200);
    assert_eq!(answer["public_key"], json!(key.public()));
}

#[test]
fn a_key_whose_signature_fits_every_message_is_not_registered() {
    let server = TestServer::start();
    for weak in ["AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA"] {
        let body = json!({"public_key": weak});
        let refused = Http::to(&server).call("PUT", "/api/users/1/key?user_id=1", &[], Some(&body));
        assert_eq!(refused.refusal(), (422, "bad_signature".into()), "{weak}");
    }
}

fn messages_of(server: &TestServer, chat: u64) -> Vec<Value> {
    let path = format!("/api/chats/{chat}/messages?user_id=1&per_page=500");
    Http::to(server).get(&path).expect(200)["messages"].as_array().unwrap().clone()
}

#[test]
fn a_signature_comes_with_the_message_behind_every_door_and_survives_a_restart() {
    let mut server = TestServer::with(&[("CHAPPE_CACHE_MESSAGES_PER_CHAT", "3")]);
    let chat = group_chat(&server, &[1, 2]);
    let ann = key(1);
    register(&server, 1, &ann);
    let mut readers: Vec<_> = Door::ALL.map(|door| Client::hello(&server, door, 2)).into();
    for (n, door) in Door::ALL.into_iter().enumerate() {
        let mut client = Client::hello(&server, door, 1);
        let ack = client.ask(signed_message(&ann, chat, 1, &format!("c-{n}"), &format!("by door {n}")));
        assert_eq!(ack["success"], true, "{door:?}: {ack}");
    }
    let body = json!({"sender_id": 1, "content": "by HTTP", "client_id": "h",
        "signature": signature(&ann, chat, 1, "h", "by HTTP")});
    let posted = Http::to(&server).post(&format!("/api/chats/{chat}/messages"), &body).expect(201);
    assert!(is_signed(&posted, &ann), "{posted}");
    for reader in &mut readers {
        for event in reader.events(chat, 6) {
            assert!(is_signed(&event["message"], &ann), "{:?}: {event}", reader.door);
        }
        let page = reader.ask(json!({"packet_type": "GetMessages", "chat_id": chat}));
        let page = page["messages"].as_array().unwrap();
        assert_eq!((page.len(), page.iter().filter(|message| is_signed(message, &ann)).count()), (5, 5));
    }
    let edited = messages_of(&server, chat)[1]["id"].clone();
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    let ack = client.ask(json!({"packet_type": "EditMessage", "message_id": edited, "content": "another"}));
    assert_eq!(ack["success"], true);

    let signed = |messages: &[Value]| messages.iter().map(|message| is_signed(message, &ann)).collect::<Vec<_>>();
    let expected = [true, false, true, true, true];
    assert_eq!(signed(&messages_of(&server, chat)), expected);
    assert!(messages_of(&server, chat)[1].get("signature").is_none(), "an edit takes it away");
    server.kill();
    server.restart();
    assert_eq!(signed(&messages_of(&server, chat)), expected);
    let events = all_events(&server, chat, 1);
    let posted: Vec<Value> = events.iter().filter_map(|event| event.get("message").cloned()).collect();
    assert_eq!(signed(&posted), expected);
    assert_eq!(Http::to(&server).get("/api/users/1").expect(200)["public_key"], json!(ann.public()));
    let ack = Client::hello(&server, Door::WsText, 1).ask(signed_message(&ann, chat, 1, "c-0", "by door 0"));
    assert_eq!((&ack["success"], &ack["duplicate"]), (&json!(true), &json!(true)), "{ack}");
    assert!(TestServer::verify_stopped(&mut server).contains("agree with the log"));
}

#[test]
fn what_is_signed_otherwise_than_it_says_is_refused_and_nothing_of_it_is_kept() {
    let server = TestServer::start();
    let chat = group_chat(&server, &[1, 2]);
    let other_chat = group_chat(&server, &[1, 2]);
    let (ann, bob) = (key(1), key(2));
    register(&server, 1, &ann);
    for door in Door::ALL {
        let mut client = Client::hello(&server, door, 1);
        let good = signed_message(&ann, chat, 1, "c", "hello");
        let but = |field: &str, value: Value| {
            let mut packet = good.clone();
            packet["message"][field] = value;
            packet
        };
        for (packet, what) in [
            (but("content", json!("hullo")), "another content"),
            (but("chat_id", json!(other_chat)), "another chat"),
            (but("client_id", json!("d")), "another client_id"),
            (but("signature", json!(signature(&ann, chat, 2, "c", "hello"))), "another sender"),
            (signed_message(&bob, chat, 1, "c", "hello"), "a key that is not the sender's"),
        ] {
            client.send(&packet);
            let ack = refused(&mut client, "bad_signature", what);
            assert_eq!(ack["packet_type"], "Ack", "{what}: {ack}");
        }
        let mut unnamed = message(chat, "hello");
        unnamed["message"]["signature"] = good["message"]["signature"].clone();
        client.send(&unnamed);
        refused(&mut client, "invalid_field", "no client_id");

        let mut thief = Client::hello(&server, door, 2);
        thief.send(&signed_message(&ann, chat, 2, "c", "hello"));
        refused(&mut thief, "bad_signature", "a sender without a key");
    }
    assert_eq!(messages_of(&server, chat).len(), 0);
}

#[test]
fn a_key_is_changed_and_taken_back_by_its_own_user() {
    let server = TestServer::start();
    let chat = group_chat(&server, &[1, 2]);
    let (first, second) = (key(1), key(2));
    register(&server, 1, &first);
    let mut http = Http::to(&server);
    let body = json!({"public_key": second.public()});
    let (status, code) = http.call("PUT", "/api/users/1/key?user_id=2", &[], Some(&body)).refusal();
    assert_eq!((status, &*code), (403, "identity_mismatch"));
    let mut client = Client::hello(&server, Door::TcpBinary, 1);
    assert_eq!(client.ask(signed_message(&first, chat, 1, "a", "x"))["success"], true);
    register(&server, 1, &second);
    client.send(&signed_message(&first, chat, 1, "b", "x"));
    refused(&mut client, "bad_signature", "the key before");
    assert_eq!(client.ask(signed_message(&second, chat, 1, "b", "x"))["success"], true);
    let answer = http.call("DELETE", "/api/users/1/key?user_id=1", &[], None).expect(200);
    assert!(answer.get("public_key").is_none(), "{answer}");
    client.send(&signed_message(&second, chat, 1, "c", "x"));
    refused(&mut client, "bad_signature", "no key any more");
    assert_eq!(client.post(chat, "unsigned")["success"], true);
    let messages = messages_of(&server, chat);
    assert!(is_signed(&messages[0], &first) && is_signed(&messages[1], &second));
    assert!(messages[2].get("signature").is_none());
}
