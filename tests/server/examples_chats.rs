//! The chats among the examples, where a network, a server or a line is not as it should be: they go on, miss nothing that
//! is kept, and say what they could not do.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::acks::seqs;
use crate::examples::{program, row};
use crate::support::dice::Dice;
use crate::support::flood::history;
use crate::support::http::Http;
use crate::support::programs::Talk;
use crate::support::proxy::{self, Weather};
use crate::support::scripted::{Guest, Scripted};
use crate::support::server::TestServer;
use crate::support::until;

/// Those that speak the protocol themselves.
const SPEAKERS: [&str; 2] = ["node/chat.mjs", "python/chat.py"];

/// A chat that was told of these chats when it came.
fn meet(file: &str, heads: &Value) -> (Scripted, Guest, Talk) {
    let server = Scripted::listen();
    let chat = Talk::start(program(file).env("CHAPPE_WS", server.url()));
    let guest = server.guest(heads, false);
    (server, guest, chat)
}

/// Events `from` to `to` of a chat.
fn events(chat: u64, from: u64, to: u64) -> Vec<Value> {
    let event = |seq: u64| {
        let message = json!({"id": seq, "chat_id": chat, "seq": seq, "sender_id": 2, "content": format!("number {seq}"),
            "message_type": "Text", "created_at": 1});
        json!({"packet_type": "Message", "chat_id": chat, "seq": seq, "message": message})
    };
    (from..=to).map(event).collect()
}

fn page(chat: u64, from: u64, to: u64) -> Value {
    json!({"packet_type": "Events", "chat_id": chat, "events": events(chat, from, to), "head": to})
}

/// The next packet asks for the events of a chat after a number.
fn pulls(guest: &mut Guest, chat: u64, after: u64) -> Value {
    let pull = guest.hears("GetEvents");
    assert_eq!((&pull["chat_id"], &pull["after"]), (&json!(chat), &json!(after)), "{pull}");
    pull
}

/// Says these lines; the last one is stored, and the others, which nobody could, are told of.
fn goes_on_behind(file: &str, lines: &[&[u8]]) {
    let server = TestServer::start();
    let told = NamedTempFile::new().unwrap();
    let mut chat = Talk::start(row(&server, file).stderr(told.reopen().unwrap()));
    for line in lines {
        chat.say(line);
    }
    chat.say("and on");
    chat.until_it_prints("and on");
    chat.end();
    let told = std::fs::read_to_string(told.path()).unwrap();
    assert_eq!(told.matches("not sent: ").count(), lines.len(), "{file}: {told}");
    assert_eq!(history(&server, 1, 1).len(), 1, "{file}");
}

#[test]
fn a_line_that_is_too_long_for_any_server_holds_nothing_up() {
    for file in SPEAKERS {
        goes_on_behind(file, &[&[b'x'; 70_000]]);
    }
}

#[test]
fn a_line_that_is_no_text_holds_nothing_up() {
    for file in ["chat.rs", "python/chat.py"] {
        goes_on_behind(file, &[b"\xff\xfe"]);
    }
}

#[test]
fn what_is_kept_of_a_chat_is_shown_where_its_beginning_is_gone() {
    for file in SPEAKERS {
        let limits = [("CHAPPE_RETENTION_MAX_MESSAGES_PER_CHAT", "3"), ("CHAPPE_RETENTION_EVERY", "1s")];
        let server = TestServer::with(&limits);
        let (listener, address) = proxy::listen();
        let weather = Arc::new(Weather::default());
        weather.calm.store(true, Ordering::Relaxed);
        let (http, wind) = (server.http, Arc::clone(&weather));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(proxy::serve(listener, http, Dice::new(1), wind));
        });
        let told = NamedTempFile::new().unwrap();
        let mut command = row(&server, file);
        command.env("CHAPPE_WS", format!("ws://{address}/ws")).stderr(told.reopen().unwrap());
        let mut chat = Talk::start(&mut command);
        chat.say("said before");
        let before = chat.until_it_prints("said before").len();

        weather.down.send_replace(true);
        let texts = ["one", "two", "three", "four", "five"];
        for text in texts {
            Http::to(&server).post("/api/chats/1/messages", &json!({"sender_id": 2, "content": text})).expect(201);
        }
        until("messages to go", || (history(&server, 1, 1).len() == 3).then_some(()));
        weather.down.send_replace(false);
        let printed = chat.until_it_prints("five");
        let shown: Vec<_> = printed[before..].iter().map(|event| event["message"]["content"].clone()).collect();
        assert_eq!(shown, texts[2..], "{file}");
        chat.say("and on");
        chat.until_it_prints("and on");
        chat.end();
        let told = std::fs::read_to_string(told.path()).unwrap();
        assert!(told.contains("not kept any more"), "{file}: {told}");
    }
}

#[test]
fn a_pull_that_was_refused_for_now_is_made_again() {
    for file in SPEAKERS {
        let (_server, mut guest, mut chat) = meet(file, &json!([{"chat_id": 2, "seq": 1}]));
        guest.says(&json!({"packet_type": "Gap", "chat_id": 2, "from": 2, "to": 3}));
        let pull = pulls(&mut guest, 2, 1);
        guest.answers(
            &pull,
            json!({"packet_type": "Error", "code": "rate_limited", "error": "Too fast.", "retryable": true,
                "retry_after_ms": 1}),
        );
        let again = pulls(&mut guest, 2, 1);
        guest.answers(&again, page(2, 2, 3));
        assert_eq!(seqs(chat.until_it_prints("number 3")), [2, 3], "{file}");
    }
}

#[test]
fn a_gap_in_a_chat_that_is_not_known_yet_is_pulled_as_well() {
    for file in SPEAKERS {
        let (_server, mut guest, mut chat) = meet(file, &json!([]));
        guest.says(&json!({"packet_type": "Gap", "chat_id": 9, "from": 1, "to": 4}));
        let pull = pulls(&mut guest, 9, 0);
        guest.says(&events(9, 5, 5)[0]);
        guest.answers(&pull, page(9, 1, 4));
        let rest = pulls(&mut guest, 9, 4);
        guest.answers(&rest, page(9, 5, 5));
        assert_eq!(seqs(chat.until_it_prints("number 5")), [1, 2, 3, 4, 5], "{file}");
    }
}

#[test]
fn a_chat_is_pulled_once_at_a_time() {
    for file in SPEAKERS {
        let (_server, mut guest, mut chat) = meet(file, &json!([{"chat_id": 2, "seq": 1}]));
        for event in events(2, 3, 5) {
            guest.says(&event);
        }
        // Answered in turn: what the chat asked for before is here before its Hello.
        guest.says(&json!({"packet_type": "Expiring", "expires_at": 2}));
        let pull = pulls(&mut guest, 2, 1);
        guest.hears("Hello");
        // The page was read before the last of the events: it is not lost.
        guest.answers(&pull, page(2, 2, 4));
        let rest = pulls(&mut guest, 2, 4);
        guest.answers(&rest, page(2, 5, 5));
        assert_eq!(seqs(chat.until_it_prints("number 5")), [2, 3, 4, 5], "{file}");
    }
}

#[test]
fn chats_that_the_welcome_has_no_room_for_are_pulled_as_well() {
    for file in SPEAKERS {
        let server = Scripted::listen();
        let mut chat = Talk::start(program(file).env("CHAPPE_WS", server.url()));
        let heads = json!([{"chat_id": 1, "seq": 1}]);
        for (seven, is_behind) in [(5, false), (6, true)] {
            let mut guest = server.guest(&heads, true);
            for (after, chats, has_more) in
                [(1, json!([{"chat_id": 4, "seq": 1}]), true), (4, json!([{"chat_id": 7, "seq": seven}]), false)]
            {
                let asked = guest.hears("GetChats");
                assert_eq!(asked["after"], after, "{asked}");
                guest.answers(&asked, json!({"packet_type": "Chats", "chats": chats, "has_more": has_more}));
            }
            if is_behind {
                let pull = pulls(&mut guest, 7, 5);
                guest.answers(&pull, page(7, 6, 6));
                assert_eq!(seqs(chat.until_it_prints("number 6")), [6], "{file}");
            } else {
                // It has heard of the chats before the connection ends.
                guest.says(&json!({"packet_type": "Expiring", "expires_at": 2}));
                guest.hears("Hello");
            }
        }
    }
}

#[test]
fn the_chat_in_node_gives_up_on_a_server_that_takes_connections_and_says_nothing() {
    let server = Scripted::listen();
    let _chat = Talk::start(program("node/chat.mjs").env("CHAPPE_WS", server.url()).stderr(Stdio::null()));
    let _silent = server.caller();
    server.guest(&json!([]), false);
}
