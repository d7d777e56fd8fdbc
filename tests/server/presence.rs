//! Presence on the wire: what happens within a second reaches each listener as one packet.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Door, tells_of};
use crate::support::server::TestServer;

const USERS: std::ops::RangeInclusive<u64> = 10..=40;

/// The users a packet that nobody asked for tells of, and how they are.
fn told(packet: &Value) -> Vec<(u64, String)> {
    let one =
        |status: &Value| (status["user_id"].as_u64().unwrap(), status["status_data"].as_str().unwrap().to_owned());
    match packet["packet_type"].as_str() {
        Some("Status") => vec![one(packet)],
        Some("Presence") => packet["users"].as_array().unwrap().iter().map(one).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn many_changes_are_one_packet_a_second_for_each_listener() {
    let server = TestServer::start();
    let mut watchers: Vec<_> =
        Door::ALL.into_iter().zip(1..).map(|(door, id)| Client::hello(&server, door, id)).collect();
    let mut users: Vec<_> = USERS.map(|user| Client::hello(&server, Door::TcpJson, user)).collect();
    let began = Instant::now();
    let mut round = 0;
    while began.elapsed() < Duration::from_secs(3) {
        round += 1;
        for client in &mut users {
            client.send(&json!({"packet_type": "Status", "status_data": format!("round {round}")}));
        }
        // Through the engine and back, so that the rounds follow each other.
        users.iter_mut().for_each(|client| drop(client.heard()));
    }
    for client in &mut users {
        client.send(&json!({"packet_type": "Status", "status_data": "done"}));
    }
    for watcher in &mut watchers {
        let mut how: HashMap<u64, String> = HashMap::new();
        let mut packets = 0;
        while USERS.clone().any(|user| how.get(&user).is_none_or(|text| text != "done")) {
            let packet = watcher.wait("presence", |packet| USERS.clone().any(|user| tells_of(packet, user)));
            let statuses = told(&packet);
            assert!(statuses.len() > 1 || packet["packet_type"] == "Status", "one change is a Status: {packet}");
            assert!(statuses.is_sorted_by_key(|(user, _)| *user), "by user: {packet}");
            packets += 1;
            how.extend(statuses);
        }
        let seconds = began.elapsed().as_secs() + 2;
        assert!(packets <= seconds, "{:?}: {packets} packets in {seconds} s, and {round} rounds", watcher.door);
    }
    assert!(server.metric("chappe_presence_packets_total") >= 4.0);
}
