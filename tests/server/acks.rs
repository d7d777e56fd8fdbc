//! Acks and order: what is acknowledged is on disk, acks come in the order of requests, and all who listen see the same
//! events in the same order.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::client::{Client, Door, message, named_message};
use crate::support::http::Http;
use crate::support::server::TestServer;

/// A group chat of users 1 to `members`, and its id.
pub(crate) fn group_chat(server: &TestServer, members: &[u64]) -> u64 {
    let body = json!({"title": "ours", "kind": "group", "members": members, "user_id": members[0]});
    Http::to(server).post("/api/chats", &body).expect(201)["chat_id"].as_u64().unwrap()
}

/// All events of a chat from the log, by pages.
pub(crate) fn all_events(server: &TestServer, chat: u64, user: u64) -> Vec<Value> {
    let mut http = Http::to(server);
    let mut events: Vec<Value> = Vec::new();
    loop {
        let path = format!("/api/chats/{chat}/events?after={}&limit=500&user_id={user}", events.len());
        let page = http.get(&path).expect(200);
        events.extend(page["events"].as_array().unwrap().iter().cloned());
        if page["head"] == events.len() {
            return events;
        }
    }
}

pub(crate) fn seqs(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

#[test]
fn acks_come_in_the_order_of_the_requests_with_a_full_window_of_mixed_ones() {
    let server = TestServer::start();
    for door in Door::ALL {
        let mut client = Client::hello(&server, door, 1);
        let first = client.post(1, "to be edited, reacted to and deleted")["message_id"].clone();
        let mut expected = Vec::new();
        // 256 requests, sent before an answer is read. Among them ones that need the disk, ones that do not, ones that
        // are refused at the door, and ones that are refused by the state.
        for nth in 0..256 {
            let (packet, good) = match nth % 8 {
                0 => (message(1, &format!("message {nth}")), true),
                1 => (json!({"packet_type": "React", "message_id": first, "emoji": format!("{nth}")}), true),
                2 => (message(999, "to nobody"), false),
                3 => (json!({"packet_type": "EditMessage", "message_id": first, "content": format!("{nth}")}), true),
                4 => (message(1, ""), false),
                5 => (json!({"packet_type": "MarkRead", "chat_id": 1, "seq": nth}), true),
                6 => (json!({"packet_type": "Subscribe", "chat_ids": [1]}), true),
                _ => (json!({"packet_type": "DeleteMessage", "message_id": 999_999}), false),
            };
            expected.push((client.begin(packet), good));
        }
        let mut acks = Vec::new();
        while acks.len() < expected.len() {
            let packet = client.next();
            if packet["packet_type"] == "Ack" {
                acks.push((packet["request_id"].as_u64().unwrap(), packet["success"] == true));
            }
        }
        assert_eq!(acks, expected, "{door:?}");
    }
}

#[test]
fn an_ack_is_not_sent_before_the_message_can_be_read_by_all() {
    let server = TestServer::start();
    let mut http = Http::to(&server);
    for door in Door::ALL {
        let mut client = Client::hello(&server, door, 1);
        for nth in 0..20 {
            let ack = client.post(1, &format!("{door:?} {nth}"));
            let page = http.get("/api/chats/1/messages?limit=1").expect(200);
            let newest = &page["messages"][0];
            assert_eq!((&newest["id"], &newest["seq"]), (&ack["message_id"], &ack["seq"]), "{door:?}");
        }
    }
}

#[test]
fn a_message_has_one_id_and_one_number_behind_every_door() {
    let server = TestServer::start();
    let mut listeners: Vec<_> = Door::ALL.into_iter().map(|door| Client::hello(&server, door, 7)).collect();
    let mut sender = Client::hello(&server, Door::TcpJson, 8);
    let mut packet = named_message(1, "grüße, \"quoted\"\n\u{1f600}", "key-1");
    packet["message"]["message_type"] = json!("Data");
    let ack = sender.ask(packet);
    let (id, seq) = (ack["message_id"].as_u64().unwrap(), ack["seq"].as_u64().unwrap());
    let live: Vec<_> = listeners.iter_mut().map(|client| client.events(1, seq).pop().unwrap()).collect();
    let event = &live[0];
    assert_eq!((&event["message"]["id"], &event["seq"]), (&json!(id), &json!(seq)));
    assert_eq!(event["message"]["content"], "grüße, \"quoted\"\n\u{1f600}");
    assert!(live.iter().all(|other| other == event), "{live:?}");

    let over_http = Http::to(&server).get("/api/chats/1/messages?limit=1").expect(200)["messages"][0].clone();
    assert_eq!(over_http, event["message"]);
    assert_eq!(all_events(&server, 1, 7).last(), Some(event));
    for client in &mut listeners {
        let page = client.ask(json!({"packet_type": "GetMessages", "chat_id": 1, "limit": 1}));
        assert_eq!(page["messages"], json!([over_http]), "{:?}", client.door);
        let page = client.ask(json!({"packet_type": "GetEvents", "chat_id": 1, "after": seq - 1}));
        assert_eq!((&page["events"], &page["head"]), (&json!([event]), &json!(seq)), "{:?}", client.door);
        let chats = client.ask(json!({"packet_type": "GetChats"}));
        assert_eq!(chats["chats"][0]["last_message"], over_http, "{:?}", client.door);
    }
}

#[test]
fn listeners_on_all_doors_hear_all_events_in_one_order_while_many_write() {
    const EACH: u64 = 150;
    let server = TestServer::start();
    let chat = group_chat(&server, &[1, 2, 3, 4, 5, 6, 7, 8]);
    let listeners: Vec<_> = Door::ALL.into_iter().map(|door| Client::hello(&server, door, 8)).collect();
    let writers = Door::ALL.into_iter().zip(1..).map(|(door, user)| Client::hello(&server, door, user));
    // One chat, so what is heard goes on after ChatCreated, its event 1.
    let head = 1 + 4 * EACH + EACH;
    let acked: HashSet<(u64, u64)> = std::thread::scope(|scope| {
        let heard: Vec<_> =
            listeners.into_iter().map(|mut client| scope.spawn(move || client.events(chat, head))).collect();
        let writing: Vec<_> = writers
            .map(|mut client| {
                scope.spawn(move || {
                    let ids: Vec<_> =
                        (0..EACH).map(|nth| client.begin(message(chat, &format!("{:?} {nth}", client.door)))).collect();
                    ids.into_iter().map(|id| client.answer(id)).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut http = Http::to(&server);
        let mut acked = HashSet::new();
        for nth in 0..EACH {
            let body = json!({"sender_id": 5, "content": format!("HTTP {nth}")});
            let message = http.post(&format!("/api/chats/{chat}/messages"), &body).expect(201);
            acked.insert((message["id"].as_u64().unwrap(), message["seq"].as_u64().unwrap()));
        }
        for ack in writing.into_iter().flat_map(|thread| thread.join().unwrap()) {
            assert_eq!(ack["success"], true, "{ack}");
            acked.insert((ack["message_id"].as_u64().unwrap(), ack["seq"].as_u64().unwrap()));
        }
        let truth = all_events(&server, chat, 8);
        assert_eq!(seqs(&truth), (1..=head).collect::<Vec<_>>());
        for thread in heard {
            assert_eq!(thread.join().unwrap(), truth[1..], "live is what the log says");
        }
        acked
    });
    assert_eq!(acked.len() as u64, 5 * EACH);
    let stored = all_events(&server, chat, 1)
        .into_iter()
        .filter_map(|event| Some((event["message"]["id"].as_u64()?, event["seq"].as_u64()?)));
    assert_eq!(stored.collect::<HashSet<_>>(), acked);
}

#[test]
fn the_messages_of_one_sender_stay_in_their_order_also_while_the_sender_is_made() {
    let server = TestServer::start();
    for (door, user) in Door::ALL.into_iter().zip(100..) {
        // No Hello: the user comes to be with the first message.
        let mut client = Client::connect(&server, door);
        let requests: Vec<_> = (0..100)
            .map(|nth| {
                let mut packet = message(1, &format!("{user}: {nth}"));
                packet["message"]["sender_id"] = json!(user);
                client.begin(packet)
            })
            .collect();
        let seqs: Vec<_> = requests.into_iter().map(|id| client.answer(id)["seq"].as_u64().unwrap()).collect();
        assert!(seqs.is_sorted_by(|one, next| one < next), "{door:?}: {seqs:?}");
        let own: Vec<_> = all_events(&server, 1, 1)
            .into_iter()
            .filter(|event| event["message"]["sender_id"] == user)
            .map(|event| event["message"]["content"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(own, (0..100).map(|nth| format!("{user}: {nth}")).collect::<Vec<_>>());
    }
}

#[test]
fn strangers_neither_read_nor_hear_nor_write_a_group_chat() {
    let server = TestServer::start();
    let chat = group_chat(&server, &[1, 2]);
    let mut owner = Client::hello(&server, Door::TcpJson, 1);
    let message_id = owner.post(chat, "among us")["message_id"].clone();
    for (door, user) in Door::ALL.into_iter().zip(50..) {
        let mut stranger = Client::hello(&server, door, user);
        let mut nameless = Client::connect(&server, door);
        for packet in [
            message(chat, "let me in"),
            json!({"packet_type": "GetMessages", "chat_id": chat}),
            json!({"packet_type": "GetEvents", "chat_id": chat, "after": 0}),
            json!({"packet_type": "GetPresence", "chat_id": chat}),
            json!({"packet_type": "Subscribe", "chat_ids": [chat]}),
            json!({"packet_type": "MarkRead", "chat_id": chat, "seq": 1}),
        ] {
            let answer = stranger.ask(packet.clone());
            assert_eq!(answer["code"], "not_a_member", "{door:?}: {packet} got {answer}");
        }
        // Not even that there is such a message is told.
        for packet_type in ["EditMessage", "DeleteMessage", "React"] {
            let packet =
                json!({"packet_type": packet_type, "message_id": message_id, "content": "mine now", "emoji": "x"});
            assert_eq!(stranger.ask(packet)["code"], "unknown_message", "{door:?} {packet_type}");
        }
        stranger.send(&json!({"packet_type": "Typing", "chat_id": chat}));
        for packet_type in ["GetMessages", "GetEvents", "GetPresence"] {
            let packet = json!({"packet_type": packet_type, "chat_id": chat, "after": 0});
            let answer = nameless.ask(packet);
            let code = answer["code"].as_str().unwrap_or_default();
            assert!(["not_a_member", "not_authenticated"].contains(&code), "{door:?}: {answer}");
        }
        assert!(owner.heard().iter().all(|packet| packet["packet_type"] != "Typing"), "a stranger types into the chat");
        owner.post(chat, "still among us");
        for client in [&mut stranger, &mut nameless] {
            let heard = client.heard();
            assert!(heard.iter().all(|packet| packet["chat_id"] != chat), "{door:?}: {heard:?}");
        }
    }
    let mut http = Http::to(&server);
    for (method, path, body) in [
        ("GET", format!("/api/chats/{chat}"), None),
        ("GET", format!("/api/chats/{chat}/messages"), None),
        ("GET", format!("/api/chats/{chat}/events"), None),
        ("GET", format!("/api/chats/{chat}/members"), None),
        ("POST", format!("/api/chats/{chat}/messages"), Some(json!({"content": "x"}))),
        ("PATCH", format!("/api/chats/{chat}"), Some(json!({"title": "x"}))),
        ("POST", format!("/api/chats/{chat}/members"), Some(json!({"user_id": 66, "by": 66}))),
        ("DELETE", format!("/api/chats/{chat}/members/2"), None),
        ("DELETE", format!("/api/chats/{chat}"), None),
    ] {
        let answer = http.call(method, &path, &[("X-Chappe-User", "66")], body.as_ref());
        assert_eq!(answer.refusal(), (403, "not_a_member".to_owned()), "{method} {path}");
    }
    let chats = http.get("/api/chats?user_id=66").expect(200);
    assert!(chats["chats"].as_array().unwrap().iter().all(|summary| summary["chat_id"] != chat), "{chats}");
}

#[test]
fn who_unsubscribed_hears_no_more_and_who_left_neither() {
    let server = TestServer::start();
    let chat = group_chat(&server, &[1, 2, 3]);
    let mut writer = Client::hello(&server, Door::WsText, 1);
    for door in Door::ALL {
        let mut quiet = Client::hello(&server, door, 2);
        let ack = quiet.ask(json!({"packet_type": "Unsubscribe", "chat_ids": [chat]}));
        assert_eq!(ack["success"], true, "{ack}");
        writer.post(chat, "not for the quiet");
        assert!(quiet.heard().iter().all(|packet| packet["packet_type"] != "Message"), "{door:?}");
        let ack = quiet.ask(json!({"packet_type": "Subscribe", "chat_ids": [chat]}));
        assert_eq!(ack["success"], true, "{ack}");
        let seq = writer.post(chat, "for all again")["seq"].as_u64().unwrap();
        assert_eq!(seqs(&quiet.events(chat, seq)), [seq], "{door:?}");
    }
    let mut leaver = Client::hello(&server, Door::TcpBinary, 3);
    Http::to(&server).call("DELETE", &format!("/api/chats/{chat}/members/3?user_id=1"), &[], None).expect(204);
    writer.post(chat, "not for who left");
    let heard = leaver.heard();
    assert!(heard.iter().all(|packet| packet["packet_type"] != "Message"), "{heard:?}");
    let answer = leaver.ask(json!({"packet_type": "GetMessages", "chat_id": chat}));
    assert_eq!(answer["code"], "not_a_member");
}
