//! UDP: beacons and typing arrive, pings are answered by no more than was asked, and everything else is dropped, counted
//! and not answered.

use chappe_proto::datagram;
use chappe_proto::request::{Ping, Request};
use serde_json::{Value, json};

use crate::acks::group_chat;
use crate::support::client::{Client, Door};
use crate::support::server::TestServer;
use crate::support::udp::Udp;
use crate::support::until;

fn dropped(server: &TestServer, reason: &str) -> f64 {
    server.metric(&format!("chappe_udp_dropped_total{{reason=\"{reason}\"}}"))
}

#[test]
fn bad_datagrams_are_dropped_and_counted_and_not_answered() {
    let server = TestServer::start();
    let udp = Udp::to(&server);
    let status = |text: &str| json!({"packet_type": "Status", "user_id": 1, "status_data": text}).to_string();
    let large = format!("{}{}", status("online"), " ".repeat(2000));
    let malformed: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![b' '; 65_507],
        vec![0; 65_507],
        large.into_bytes(),
        b"{".to_vec(),
        b"hello".to_vec(),
        vec![0xff; 100],
        b"{\"packet_type\":\"Dance\"}".to_vec(),
        b"{\"packet_type\":\"Status\",\"user_id\":-1,\"status_data\":\"online\"}".to_vec(),
        b"{\"packet_type\":\"Status\",\"user_id\":1,\"status_data\":\"\xff\"}".to_vec(),
        format!("{{\"packet_type\":\"Ping\",\"x\":{}{}}}", "[".repeat(500), "]".repeat(500)).into_bytes(),
        // Packets that exist, but do not travel by UDP.
        json!({"packet_type": "Hello", "version": 1, "user_id": 1}).to_string().into_bytes(),
        json!({"packet_type": "SendMessage", "message": {"chat_id": 1, "sender_id": 1, "content": "x"}})
            .to_string()
            .into_bytes(),
        vec![0, 0, 14, 0, 0, 0, 7],
    ];
    for datagram in &malformed {
        udp.send(datagram);
    }
    let refused = [
        json!({"packet_type": "Status", "status_data": "online"}),
        json!({"packet_type": "Status", "user_id": 1, "status_data": "x".repeat(65)}),
        json!({"packet_type": "Typing", "chat_id": 1}),
        json!({"packet_type": "Typing", "chat_id": 1, "user_id": 1, "status_data": "dance"}),
    ];
    refused.iter().for_each(|packet| udp.say(packet));
    let oversized = malformed.iter().filter(|datagram| datagram.len() > 1200).count();
    let expected = [oversized, malformed.len() - oversized, refused.len()].map(|count| count as f64);
    let counted = || ["oversized", "malformed", "refused"].map(|reason| dropped(&server, reason));
    until("the datagrams to be counted", || {
        (counted().iter().sum::<f64>() >= expected.iter().sum::<f64>()).then_some(())
    });
    assert_eq!(counted(), expected);
    // The first answer is to the first good question: nothing before it was answered.
    udp.say(&json!({"packet_type": "Ping", "nonce": 77}));
    let pong: Value = serde_json::from_slice(&udp.receive()).unwrap();
    assert_eq!((&pong["packet_type"], &pong["nonce"]), (&json!("Pong"), &json!(77)));
    assert!(!udp.has_answer());
    assert_eq!(server.metric("chappe_udp_answers_total"), 1.0);
}

#[test]
fn a_pong_is_never_larger_than_its_ping() {
    let server = TestServer::start();
    let udp = Udp::to(&server);
    for padding in 0..40 {
        for (nonce, request_id) in [(None, None), (Some(u64::MAX), None), (Some(1), Some(u64::MAX))] {
            let mut asked = json!({"packet_type": "Ping"});
            if let Some(nonce) = nonce {
                asked["nonce"] = json!(nonce);
            }
            if let Some(id) = request_id {
                asked["request_id"] = json!(id);
            }
            let asked = format!("{asked}{}", " ".repeat(padding));
            udp.send(asked.as_bytes());
            let answer = udp.receive();
            assert!(answer.len() <= asked.len(), "{} bytes for {asked:?}", answer.len());
            let pong: Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!(pong["nonce"].as_u64(), nonce, "what was asked comes back");
            assert_eq!(pong["server_time"].is_u64(), padding >= 28, "{padding} bytes of padding: {pong}");
        }
        let mut asked = Vec::new();
        datagram::encode_request_into(Request::Ping(Ping::default()), false, &mut asked);
        asked.resize(asked.len() + padding, 0);
        udp.send(&asked);
        if padding > 0 {
            assert!(udp.receive().len() <= asked.len());
        }
    }
    assert!(!udp.has_answer());
}

#[test]
fn typing_over_udp_reaches_those_who_hear_the_chat_and_nobody_else() {
    let server = TestServer::start();
    let mut listeners: Vec<_> = Door::ALL.into_iter().map(|door| Client::hello(&server, door, 2)).collect();
    // It stays: with a user's last connection their typing ends.
    let mut ann = Client::hello(&server, Door::TcpJson, 1);
    ann.post(1, "makes user 1 a member");
    let udp = Udp::to(&server);
    for text in ["start", "stop"] {
        udp.say(&json!({"packet_type": "Typing", "chat_id": 1, "user_id": 1, "status_data": text}));
        for client in &mut listeners {
            let typing = client.wait_for("Typing");
            let expected = json!({"packet_type": "Typing", "chat_id": 1, "user_id": 1, "status_data": text});
            assert_eq!(typing, expected, "{:?}", client.door);
        }
    }
}

#[test]
fn typing_of_strangers_over_udp_reaches_nobody() {
    let server = TestServer::start();
    let chat = group_chat(&server, &[1, 2]);
    let mut member = Client::hello(&server, Door::WsText, 2);
    let mut stranger = Client::hello(&server, Door::WsText, 3);
    stranger.post(1, "makes user 3 known");
    let udp = Udp::to(&server);
    let typing = |user: u64| json!({"packet_type": "Typing", "chat_id": chat, "user_id": user});
    // One handler takes all datagrams in order, so with the second the first has been dealt with.
    udp.say(&typing(3));
    udp.say(&typing(1));
    assert_eq!(member.wait_for("Typing")["user_id"], 1);
    assert!(stranger.heard().iter().all(|packet| packet["packet_type"] != "Typing"));
}
