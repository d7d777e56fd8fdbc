//! Clients that send as fast as they may, and remember what was acknowledged.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::Value;

use super::client::{Client, Next, named_message};
use super::http::Http;
use super::server::TestServer;
use super::{LONGEST, PATIENCE};

/// What became of one writer's messages, by their `client_id`.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Acknowledged: their ids and numbers.
    pub(crate) acked: HashMap<String, (u64, u64)>,
    /// Refused: their codes.
    pub(crate) refused: HashMap<String, String>,
    /// Sent, and not answered.
    pub(crate) unanswered: Vec<String>,
    /// The `Closing` that the server said goodbye with, if it did.
    pub(crate) closing: Option<Value>,
    pub(crate) close_code: Option<u16>,
}

/// Keeps `window` messages to `chat` under way until the connection ends, or `most` are sent; counts acks in `acks`.
/// A message's content is its `client_id`, which begins with `name`.
pub(crate) fn flood(mut client: Client, chat: u64, name: &str, window: usize, most: u64, acks: &AtomicU64) -> Written {
    let mut written = Written::default();
    let mut under_way = VecDeque::new();
    let mut sent = 0;
    let mut open = true;
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < LONGEST, "nobody ended the flood");
        while open && under_way.len() < window && sent < most {
            let client_id = format!("{name}-{sent}");
            sent += 1;
            open = client.try_send(&named_message(chat, &client_id, &client_id));
            under_way.push_back(client_id);
        }
        if under_way.is_empty() && open {
            return written;
        }
        match client.next_within(PATIENCE) {
            Next::Packet(packet) if packet["packet_type"] == "Ack" => {
                let client_id = under_way.pop_front().expect("an ack belongs to a request");
                assert_eq!(packet["client_id"], client_id.as_str(), "acks come in order: {packet}");
                if packet["success"] == true {
                    let number = |name: &str| packet[name].as_u64().expect("an ack has numbers");
                    written.acked.insert(client_id, (number("message_id"), number("seq")));
                    acks.fetch_add(1, Ordering::Relaxed);
                } else {
                    written.refused.insert(client_id, packet["code"].as_str().unwrap_or_default().to_owned());
                }
            }
            Next::Packet(packet) if packet["packet_type"] == "Closing" => {
                written.closing = Some(packet);
                open = false;
            }
            Next::Packet(_) => {}
            Next::End(code) => {
                written.close_code = code;
                written.unanswered.extend(under_way);
                return written;
            }
            Next::Silence => panic!("waited {PATIENCE:?} for an ack or the end"),
        }
    }
}

/// Every message of a chat, oldest first, by pages backwards.
pub(crate) fn history(server: &TestServer, chat: u64, user: u64) -> Vec<Value> {
    let mut http = Http::to(server);
    let mut pages = Vec::new();
    let mut before = String::new();
    loop {
        let path = format!("/api/chats/{chat}/messages?limit=500&user_id={user}{before}");
        let page = http.get(&path).expect(200);
        let messages = page["messages"].as_array().expect("a page has messages").clone();
        if let Some(first) = messages.first() {
            before = format!("&before={}", first["seq"]);
        }
        pages.push(messages);
        if page["has_more"] == false {
            return pages.into_iter().rev().flatten().collect();
        }
    }
}

/// Asserts that each acknowledged message is there once, under its id and number; and no message is there twice.
pub(crate) fn assert_kept(messages: &[Value], written: &[Written]) {
    let mut stored = HashMap::new();
    for message in messages {
        let place = (message["id"].as_u64().expect("an id"), message["seq"].as_u64().expect("a number"));
        let Some(client_id) = message["client_id"].as_str() else { continue };
        assert!(stored.insert(client_id, place).is_none(), "{client_id} is stored twice");
        assert_eq!(message["content"], client_id);
    }
    for (client_id, place) in written.iter().flat_map(|written| &written.acked) {
        assert_eq!(stored.get(client_id.as_str()), Some(place), "{client_id} was acknowledged");
    }
}
