//! Typing on the wire: it ends by itself, and whoever says it again and again is heard now and then.

use std::time::{Duration, Instant};

use chappe_actors::state::typing::LAPSE;
use serde_json::{Value, json};

use crate::support::client::{Client, Door};
use crate::support::server::TestServer;
use crate::support::udp::Udp;

fn typing(user: u64, text: &str) -> Value {
    json!({"packet_type": "Typing", "chat_id": 1, "user_id": user, "status_data": text})
}

#[test]
fn typing_lapses_by_itself_and_is_not_told_over_and_over() {
    let server = TestServer::start();
    let mut listener = Client::hello(&server, Door::WsText, 2);
    let mut ann = Client::hello(&server, Door::TcpBinary, 1);
    let udp = Udp::to(&server);
    let began = Instant::now();
    for _ in 0..50 {
        ann.send(&typing(1, "start"));
        udp.say(&typing(1, "start"));
    }
    assert_eq!(listener.wait_for("Typing"), typing(1, "start"));
    ann.heard();
    let more = listener.heard().iter().filter(|packet| packet["packet_type"] == "Typing").count();
    assert!(more == 0 || began.elapsed() > Duration::from_secs(3), "told {more} times more");
    let stop = listener.wait("the lapse", |packet| *packet == typing(1, "stop"));
    let elapsed = began.elapsed();
    assert!(elapsed >= LAPSE, "{stop} after {elapsed:?}");
    assert!(server.metric("chappe_typing_packets_total") >= 2.0);
}

#[test]
fn a_message_and_the_end_of_the_connection_end_the_typing() {
    let server = TestServer::start();
    for door in Door::ALL {
        let mut listener = Client::hello(&server, door, 2);
        for end in ["message", "connection"] {
            // On a machine so slow that it may have lapsed instead, nothing is shown: once more.
            let shown = (0..10).any(|_| {
                let mut ann = Client::hello(&server, door, 1);
                let began = Instant::now();
                ann.send(&typing(1, "start"));
                assert_eq!(listener.wait_for("Typing"), typing(1, "start"), "{door:?}");
                match end {
                    "message" => drop(ann.post(1, "done")),
                    _ => ann.socket().shutdown(std::net::Shutdown::Both).unwrap(),
                }
                assert_eq!(listener.wait_for("Typing"), typing(1, "stop"), "{door:?} {end}");
                began.elapsed() < LAPSE
            });
            assert!(shown, "{door:?}: {end} does not end it before it lapses");
        }
    }
}

#[test]
fn who_is_invisible_types_unseen() {
    let server = TestServer::start();
    let mut listener = Client::hello(&server, Door::WsText, 2);
    let mut ann = Client::hello(&server, Door::TcpBinary, 1);
    ann.send(&json!({"packet_type": "Status", "status_data": "invisible"}));
    ann.send(&typing(1, "start"));
    ann.heard();
    drop(ann);
    let heard = listener.heard();
    assert!(heard.iter().all(|packet| packet["packet_type"] != "Typing"), "{heard:?}");
}
