//! A retry under the same `client_id` is the same message: on every door, after restarts, edits and deletion.

use serde_json::{Value, json};

use crate::support::client::{Client, Door, message, named_message};
use crate::support::flood::history;
use crate::support::http::Http;
use crate::support::server::TestServer;

/// Sends user 1's message under this name through every door; what each answered, as (id, seq, whether it is a repeat).
fn through_every_door(server: &TestServer, content: &str, name: &str) -> Vec<(Value, Value, bool)> {
    let mut answers = Vec::new();
    let place = |answer: &Value, id: &str| (answer[id].clone(), answer["seq"].clone(), answer["duplicate"] == true);
    for door in Door::ALL {
        let ack = Client::hello(server, door, 1).ask(named_message(1, content, name));
        assert_eq!((&ack["success"], &ack["client_id"]), (&json!(true), &json!(name)), "{door:?}: {ack}");
        answers.push(place(&ack, "message_id"));
    }
    let body = json!({"sender_id": 1, "content": content});
    let with_key = [("Idempotency-Key", name)];
    let answer = Http::to(server).call("POST", "/api/chats/1/messages", &with_key, Some(&body));
    let status = answer.status;
    let message = answer.json();
    assert_eq!(status, if message["duplicate"] == true { 200 } else { 201 }, "{message}");
    answers.push(place(&message, "id"));
    answers
}

fn refused_by_every_door(server: &TestServer, content: &str, name: &str) {
    for door in Door::ALL {
        let ack = Client::hello(server, door, 1).ask(named_message(1, content, name));
        assert_eq!((&ack["success"], &ack["code"]), (&json!(false), &json!("conflict")), "{door:?}: {ack}");
    }
    let body = json!({"sender_id": 1, "content": content, "client_id": name});
    let answer = Http::to(server).post("/api/chats/1/messages", &body);
    assert_eq!(answer.refusal(), (409, "conflict".to_owned()));
}

#[test]
fn the_same_client_id_is_the_same_message_behind_every_door_whatever_happened_in_between() {
    let mut server = TestServer::with(&[("CHAPPE_CACHE_MESSAGES_PER_CHAT", "10")]);
    let first = through_every_door(&server, "once", "key");
    let (id, seq, _) = first[0].clone();
    let repeats: Vec<_> = first.iter().map(|(_, _, repeat)| *repeat).collect();
    assert_eq!(repeats, [false, true, true, true, true]);
    assert!(first.iter().all(|(one, place, _)| (one, place) == (&id, &seq)), "{first:?}");
    let same = vec![(id.clone(), seq, true); 5];

    let agrees = |server: &TestServer, when: &str| {
        assert_eq!(through_every_door(server, "once", "key"), same, "{when}");
        refused_by_every_door(server, "something else", "key");
        let named = history(server, 1, 1).into_iter().filter(|message| message["client_id"] == "key");
        assert_eq!(named.count(), 1, "{when}");
    };
    agrees(&server, "at once");
    assert_eq!(server.stop(), Some(0));
    server.restart();
    agrees(&server, "after a restart");
    server.kill();
    server.restart();
    agrees(&server, "after kill -9");
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    for nth in 0..50 {
        client.post(1, &format!("further {nth}"));
    }
    agrees(&server, "when it is in memory no more");
    let ack = client.ask(json!({"packet_type": "EditMessage", "message_id": id, "content": "edited"}));
    assert_eq!(ack["success"], true, "{ack}");
    agrees(&server, "after an edit");
    server.kill();
    server.restart();
    agrees(&server, "after an edit and kill -9");
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    let ack = client.ask(json!({"packet_type": "DeleteMessage", "message_id": id}));
    assert_eq!(ack["success"], true, "{ack}");
    agrees(&server, "after the deletion");
    server.kill();
    server.restart();
    agrees(&server, "after the deletion and kill -9");
}

#[test]
fn a_name_belongs_to_one_sender_in_one_chat() {
    let server = TestServer::start();
    let other = Http::to(&server).post("/api/chats", &json!({"title": "other", "kind": "open"})).expect(201);
    let mut ids = Vec::new();
    for (user, chat) in [(1, 1), (2, 1), (1, other["chat_id"].as_u64().unwrap())] {
        let ack = Client::hello(&server, Door::WsText, user).ask(named_message(chat, "same words", "same name"));
        assert_eq!((&ack["success"], &ack["duplicate"]), (&json!(true), &Value::Null), "{ack}");
        ids.push(ack["message_id"].as_u64().unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    // Without a name each is a message of its own.
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    assert_ne!(client.post(1, "x")["message_id"], client.post(1, "x")["message_id"]);
    // What belongs to the content besides its text.
    let mut typed = message(1, "same words");
    typed["message"]["client_id"] = json!("same name");
    typed["message"]["message_type"] = json!("Data");
    assert_eq!(client.ask(typed)["code"], "conflict");
}

#[test]
fn connections_that_race_with_the_same_client_id_make_one_message() {
    const NAMES: usize = 40;
    let server = TestServer::start();
    let all: Vec<Vec<Value>> = std::thread::scope(|scope| {
        let racing: Vec<_> = Door::ALL
            .into_iter()
            .chain(Door::ALL)
            .map(|door| {
                let mut client = Client::hello(&server, door, 1);
                scope.spawn(move || {
                    let send = |nth| named_message(1, "raced", &format!("race {nth}"));
                    let ids: Vec<_> = (0..NAMES).map(|nth| client.begin(send(nth))).collect();
                    ids.into_iter().map(|id| client.answer(id)).collect()
                })
            })
            .collect();
        racing.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for nth in 0..NAMES {
        let acks: Vec<_> = all.iter().map(|acks| &acks[nth]).collect();
        assert!(
            acks.iter().all(|ack| ack["success"] == true && ack["message_id"] == acks[0]["message_id"]),
            "{acks:?}"
        );
        assert_eq!(acks.iter().filter(|ack| ack["duplicate"] != true).count(), 1, "{acks:?}");
    }
    assert_eq!(history(&server, 1, 1).len(), NAMES);
}
