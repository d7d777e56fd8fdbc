//! What the doors share: presence, typing, read marks, and what happens to a message, seen from all of them.

use serde_json::{Value, json};

use crate::acks::{all_events, group_chat};
use crate::support::client::{Client, Door, tells_of};
use crate::support::http::Http;
use crate::support::server::TestServer;
use crate::support::udp::Udp;
use crate::support::until;

fn presence(client: &mut Client, user: u64) -> Value {
    let answer = client.ask(json!({"packet_type": "GetPresence", "user_ids": [user]}));
    assert_eq!(answer["packet_type"], "Presence", "{answer}");
    answer["users"][0]["status_data"].clone()
}

#[test]
fn who_connects_by_whatever_door_is_online_to_those_who_share_a_chat() {
    let server = TestServer::start();
    let mut watcher = Client::hello(&server, Door::WsText, 1);
    for (door, user) in Door::ALL.into_iter().zip(10..) {
        assert_eq!(presence(&mut watcher, user), "offline");
        let mut client = Client::hello(&server, door, user);
        assert_eq!(watcher.status_of(user)["status_data"], "online", "{door:?}");
        assert_eq!(presence(&mut watcher, user), "online", "{door:?}");
        for text in ["busy", "at lunch until two", "invisible"] {
            client.send(&json!({"packet_type": "Status", "status_data": text}));
            let shown = if text == "invisible" { "offline" } else { text };
            assert_eq!(watcher.status_of(user)["status_data"], shown, "{door:?}");
            assert_eq!(presence(&mut watcher, user), shown, "{door:?}");
        }
        assert!(!watcher.heard().iter().any(|packet| tells_of(packet, user)), "{door:?}: nothing is told twice");
    }
    let online = Http::to(&server).get("/api/users/online").expect(200);
    let there: Vec<_> = online["users"].as_array().unwrap().iter().map(|user| &user["user_id"]).collect();
    assert_eq!(there, [1], "the invisible are not listed: {online}");
}

#[test]
fn a_beacon_by_udp_is_presence_too_and_offline_ends_it() {
    let server = TestServer::start();
    Client::hello(&server, Door::TcpJson, 5).post(1, "makes user 5 known");
    let mut watcher = Client::hello(&server, Door::TcpBinary, 1);
    let udp = Udp::to(&server);
    // Somebody who is gone for less than the grace time was never away, so another user beacons.
    Client::hello(&server, Door::TcpJson, 1).post(1, "makes user 1 known");
    let body = json!({"sender_id": 6, "content": "makes user 6 known"});
    Http::to(&server).post("/api/chats/1/messages", &body).expect(201);
    for text in ["online", "away", "offline", "online", "offline"] {
        udp.say(&json!({"packet_type": "Status", "user_id": 6, "status_data": text}));
        let told = watcher.status_of(6);
        assert_eq!(told["status_data"], text);
        assert!(told["last_seen"].as_u64() > Some(1_600_000_000_000), "{told}");
        assert_eq!(presence(&mut watcher, 6), text);
    }
}

#[test]
fn presence_and_typing_are_told_only_to_those_who_share_a_chat() {
    let server = TestServer::start();
    let chat = group_chat(&server, &[1, 2]);
    let mut inside = Client::hello(&server, Door::WsText, 2);
    let mut outside = Client::hello(&server, Door::WsText, 3);
    let mut ann = Client::hello(&server, Door::TcpJson, 1);
    ann.send(&json!({"packet_type": "Typing", "chat_id": chat}));
    let typing = inside.wait_for("Typing");
    assert_eq!(typing, json!({"packet_type": "Typing", "chat_id": chat, "user_id": 1, "status_data": "start"}));
    assert!(outside.heard().iter().all(|packet| packet["packet_type"] != "Typing"));
    assert!(ann.heard().iter().all(|packet| packet["packet_type"] != "Typing"), "who types need not be told");
}

#[test]
fn read_marks_move_forward_only_and_unread_counts_follow() {
    let server = TestServer::start();
    let chat = group_chat(&server, &[1, 2]);
    let mut writer = Client::hello(&server, Door::TcpJson, 1);
    let mut reader = Client::hello(&server, Door::WsBinary, 2);
    let seqs: Vec<_> = (0..10).map(|nth| writer.post(chat, &format!("{nth}"))["seq"].as_u64().unwrap()).collect();
    let summary = |client: &mut Client| {
        let chats = client.ask(json!({"packet_type": "GetChats"}));
        let found = chats["chats"].as_array().unwrap().iter().find(|summary| summary["chat_id"] == chat).cloned();
        let found = found.unwrap();
        (found["read_seq"].as_u64().unwrap(), found["unread"].as_u64().unwrap())
    };
    assert_eq!(summary(&mut reader).1, 10);
    assert_eq!(summary(&mut writer).1, 0, "own messages are read");
    for (mark, read, unread) in [(seqs[3], seqs[3], 6), (seqs[1], seqs[3], 6), (1 << 50, seqs[9], 0)] {
        let ack = reader.ask(json!({"packet_type": "MarkRead", "chat_id": chat, "seq": mark}));
        assert_eq!(ack["success"], true, "{ack}");
        assert_eq!(summary(&mut reader), (read, unread), "after marking {mark}");
        let over_http = Http::to(&server).get(&format!("/api/chats/{chat}?user_id=2")).expect(200);
        assert_eq!((&over_http["read_seq"], &over_http["unread"]), (&json!(read), &json!(unread)));
    }
    for seq in [seqs[3], seqs[9]] {
        let read = writer.wait_for("Read");
        assert_eq!(read, json!({"packet_type": "Read", "chat_id": chat, "user_id": 2, "seq": seq}));
    }
}

/// The page's one message, as each door shows it.
fn shown(server: &TestServer, chat: u64, seq: u64) -> Vec<Value> {
    let mut all: Vec<_> = Door::ALL
        .into_iter()
        .map(|door| {
            let ask = json!({"packet_type": "GetMessages", "chat_id": chat, "before": seq + 1, "limit": 1});
            Client::hello(server, door, 1).ask(ask)["messages"][0].clone()
        })
        .collect();
    let path = format!("/api/chats/{chat}/messages?before={}&limit=1&user_id=1", seq + 1);
    all.push(Http::to(server).get(&path).expect(200)["messages"][0].clone());
    all
}

#[test]
fn edits_reactions_and_deletions_are_seen_live_in_the_history_and_in_the_replay() {
    let mut server = TestServer::with(&[("CHAPPE_CACHE_MESSAGES_PER_CHAT", "10")]);
    let chat = group_chat(&server, &[1, 2]);
    let mut listeners: Vec<_> = Door::ALL.into_iter().map(|door| Client::hello(&server, door, 2)).collect();
    let mut ann = Client::hello(&server, Door::TcpJson, 1);
    let posted = ann.post(chat, "a secret, first");
    let (id, seq) = (posted["message_id"].clone(), posted["seq"].as_u64().unwrap());
    let mut http = Http::to(&server);

    let edit = ann.ask(json!({"packet_type": "EditMessage", "message_id": id, "content": "a secret, second"}));
    let by = json!({"content": "a secret, third", "user_id": 1});
    http.call("PATCH", &format!("/api/messages/{id}"), &[], Some(&by)).expect(200);
    let react = json!({"packet_type": "React", "message_id": id, "emoji": "\u{1f44d}\u{1f3fd}"});
    let reaction = listeners[1].ask(react);
    let mut back = json!({"packet_type": "React", "message_id": id, "emoji": "\u{1f44d}\u{1f3fd}", "remove": true});
    assert_eq!(listeners[2].ask(back.clone())["success"], true);
    back["message_id"] = json!(id);
    assert_eq!((&edit["message_id"], &reaction["message_id"]), (&id, &id));
    for message in shown(&server, chat, seq) {
        assert_eq!(message["content"], "a secret, third");
        assert!(message["edited_at"].is_u64(), "{message}");
    }
    let denied = http.call("DELETE", &format!("/api/messages/{id}?user_id=2"), &[], None);
    assert_eq!(denied.refusal(), (403, "forbidden".to_owned()));
    let deleted = http.call("DELETE", &format!("/api/messages/{id}?user_id=1"), &[], None).expect(200);
    let head = deleted["seq"].as_u64().unwrap();

    let kinds = ["Message", "MessageEdited", "MessageEdited", "Reaction", "Reaction", "MessageDeleted"];
    for client in &mut listeners {
        let events = client.events(chat, head);
        let live: Vec<_> = events.iter().map(|event| event["packet_type"].as_str().unwrap()).collect();
        assert_eq!(live, kinds, "{:?}", client.door);
        assert_eq!(events[0]["message"]["content"], "a secret, first", "live it is as it was");
        assert_eq!(events[2]["content"], "a secret, third");
        assert_eq!((&events[3]["removed"], &events[4]["removed"]), (&Value::Null, &json!(true)));
        assert!(events[1..].iter().all(|event| event["message_id"] == id && event["message_seq"] == seq));
    }
    let check = |server: &TestServer, when: &str| {
        for message in shown(server, chat, seq) {
            assert_eq!((&message["content"], &message["deleted"]), (&json!(""), &json!(true)), "{when}");
        }
        let replay = all_events(server, chat, 2);
        let replayed: Vec<_> = replay[1..7].iter().map(|event| event["packet_type"].as_str().unwrap()).collect();
        assert_eq!(replayed, kinds, "{when}");
        assert!(!json!(replay).to_string().contains("secret"), "{when}: what was deleted can be read: {replay:?}");
    };
    check(&server, "at once");
    for nth in 0..30 {
        ann.post(chat, &format!("further {nth}"));
    }
    check(&server, "when it is in memory no more");
    server.kill();
    server.restart();
    check(&server, "after kill -9");
    let gone = Client::hello(&server, Door::TcpJson, 1)
        .ask(json!({"packet_type": "EditMessage", "message_id": id, "content": "back?"}));
    assert_eq!(gone["code"], "unknown_message");
}

#[test]
fn pages_from_memory_and_from_disk_are_those_of_a_plain_list() {
    let small = TestServer::with(&[("CHAPPE_CACHE_MESSAGES_PER_CHAT", "7")]);
    let large = TestServer::start();
    let mut all: Vec<Vec<Value>> = Vec::new();
    for server in [&small, &large] {
        let mut client = Client::hello(server, Door::TcpJson, 1);
        let mut posted = Vec::new();
        for nth in 0..60 {
            let ack = client.post(1, &format!("message {nth}"));
            // Events that are no messages, so that numbers have holes.
            if nth % 3 == 0 {
                client.ask(json!({"packet_type": "React", "message_id": ack["message_id"], "emoji": "x"}));
            }
            posted.push(ack["seq"].clone());
        }
        all.push(posted);
    }
    assert_eq!(all[0], all[1]);
    let seqs: Vec<u64> = all[0].iter().map(|seq| seq.as_u64().unwrap()).collect();
    let newest = |messages: Vec<u64>, skip: usize, count: usize| {
        let end = messages.len().saturating_sub(skip);
        let start = end.saturating_sub(count);
        (messages[start..end].to_vec(), start > 0)
    };
    let mut asked = Vec::new();
    for size in [1, 7, 8, 20, 60, 500] {
        for page in [1, 2, 3, 9, 60, 61] {
            let expected = newest(seqs.clone(), (page - 1) * size, size);
            asked.push((json!({"page": page, "per_page": size}), expected));
        }
        for place in [0, 1, 2, 3, 40, 70, 81, 82, 83, 1000] {
            let before: Vec<_> = seqs.iter().copied().filter(|seq| *seq < place).collect();
            asked.push((json!({"before": place, "limit": size}), newest(before, 0, size)));
            let after: Vec<_> = seqs.iter().copied().filter(|seq| *seq > place).collect();
            let more = after.len() > size;
            asked.push((json!({"after": place, "limit": size}), (after.into_iter().take(size).collect(), more)));
        }
    }
    for server in [&small, &large] {
        let mut http = Http::to(server);
        let mut client = Client::hello(server, Door::WsBinary, 1);
        for (how, (expected, more)) in &asked {
            let query: Vec<_> =
                how.as_object().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
            let over_http = http.get(&format!("/api/chats/1/messages?{}", query.join("&"))).expect(200);
            let mut packet = json!({"packet_type": "GetMessages", "chat_id": 1});
            packet.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
            let over_web = client.ask(packet);
            for page in [&over_http, &over_web] {
                let found: Vec<_> = page["messages"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|message| message["seq"].as_u64().unwrap())
                    .collect();
                assert_eq!((&found, &page["has_more"]), (expected, &json!(more)), "{how}");
            }
            assert_eq!(over_http["messages"], over_web["messages"], "{how}");
        }
    }
    // Counted about once a second.
    let pages = |server: &TestServer, from: &str| server.metric(&format!("chappe_cache_{from}_total"));
    until("pages from the disk of the small one", || (pages(&small, "misses") > 50.0).then_some(()));
    until("pages from the memory of the large one", || (pages(&large, "hits") > 50.0).then_some(()));
    assert!(pages(&large, "misses") < 1.0, "the large one had to look at its disk");
}

#[test]
fn members_come_and_go_and_everyone_hears_it() {
    let server = TestServer::start();
    let mut http = Http::to(&server);
    let chat = group_chat(&server, &[1, 2]);
    let mut ann = Client::hello(&server, Door::WsText, 1);
    let mut bob = Client::hello(&server, Door::TcpBinary, 3);
    let added = http.post(&format!("/api/chats/{chat}/members"), &json!({"user_id": 3, "by": 1})).expect(201);
    let seq = added["seq"].as_u64().unwrap();
    for client in [&mut ann, &mut bob] {
        let joined = client.events(chat, seq).pop().unwrap();
        assert_eq!((&joined["packet_type"], &joined["user_id"]), (&json!("MemberJoined"), &json!(3)), "{joined}");
    }
    assert_eq!(bob.post(chat, "hello")["seq"], seq + 1);
    let members = http.get(&format!("/api/chats/{chat}/members?user_id=3")).expect(200);
    let roles: Vec<_> =
        members["members"].as_array().unwrap().iter().map(|m| (m["user_id"].clone(), m["role"].clone())).collect();
    assert_eq!(roles, [(json!(1), json!("owner")), (json!(2), json!("member")), (json!(3), json!("member"))]);
    let refused = http.call("DELETE", &format!("/api/chats/{chat}/members/2?user_id=3"), &[], None);
    assert_eq!(refused.refusal(), (403, "forbidden".to_owned()));
    let renamed = http
        .call("PATCH", &format!("/api/chats/{chat}"), &[], Some(&json!({"title": "renamed", "user_id": 1})))
        .expect(200);
    let event = bob.events(chat, renamed["seq"].as_u64().unwrap()).pop().unwrap();
    assert_eq!((&event["packet_type"], &event["title"]), (&json!("ChatUpdated"), &json!("renamed")));
    http.call("DELETE", &format!("/api/chats/{chat}?user_id=1"), &[], None).expect(204);
    let gone = bob.wait("the deletion", |packet| packet["packet_type"] == "ChatUpdated" && packet["deleted"] == true);
    assert_eq!(gone["chat_id"], chat);
    assert_eq!(http.get(&format!("/api/chats/{chat}?user_id=1")).refusal(), (404, "unknown_chat".to_owned()));
    let answer = bob.ask(json!({"packet_type": "GetEvents", "chat_id": chat, "after": 0}));
    assert_eq!(answer["code"], "unknown_chat");
}
