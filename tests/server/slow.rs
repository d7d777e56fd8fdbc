//! Clients that do not read, or hardly: they cost bounded memory, nobody else anything, and miss nothing in the end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Door, Next, message};
use crate::support::http::Http;
use crate::support::server::TestServer;
use crate::support::until;

/// A client with more answers under way to it than its socket holds, which reads none of them.
pub(crate) fn stuck_client(server: &TestServer) -> Client {
    let mut client = Client::hello(server, Door::TcpJson, 1);
    let large = "x".repeat(30_000);
    for _ in 0..60 {
        client.post(1, &large);
    }
    socket2::SockRef::from(client.socket()).set_recv_buffer_size(4096).unwrap();
    // Each answer is a page of 256 KiB: together more than the sockets hold, so that some wait in the outbox.
    for _ in 0..80 {
        client.begin(json!({"packet_type": "GetMessages", "chat_id": 1, "limit": 500}));
    }
    until("the answers to be ready", || (server.metric("chappe_outbox_bytes") > 4e5).then_some(()));
    client
}

/// Follows the rules for clients: live events in order, and after a `Gap` or a jump what was missed is pulled.
struct Follower {
    client: Client,
    chat: u64,
    events: Vec<Value>,
    gaps: u32,
}

impl Follower {
    fn last(&self) -> u64 {
        self.events.last().map_or(0, |event| event["seq"].as_u64().unwrap())
    }

    fn pull(&mut self) {
        loop {
            let after = self.last();
            let page = self
                .client
                .ask(json!({"packet_type": "GetEvents", "chat_id": self.chat, "after": after, "limit": 500}));
            self.events.extend(page["events"].as_array().unwrap().iter().cloned());
            if page["head"].as_u64() <= Some(self.last()) {
                return;
            }
        }
    }

    fn follow(&mut self, to: u64) {
        while self.last() < to {
            let packet = self.client.next();
            if packet["packet_type"] == "Gap" {
                self.gaps += 1;
                self.pull();
            } else if packet["chat_id"] == self.chat && packet["seq"].is_u64() && packet["packet_type"] != "Ack" {
                match packet["seq"].as_u64().unwrap() {
                    seq if seq <= self.last() => {}
                    seq if seq == self.last() + 1 => self.events.push(packet),
                    seq => panic!("event {seq} after {} without a Gap before it", self.last()),
                }
            }
        }
    }
}

#[test]
fn a_client_that_never_reads_costs_bounded_memory_disturbs_nobody_and_can_catch_up() {
    let server = TestServer::with(&[
        ("CHAPPE_LIMITS_OUTBOX_BYTES", "262144"),
        ("CHAPPE_CACHE_BYTES", "4 MiB"),
        // However long the machine takes, nobody counts as dead before they read.
        ("CHAPPE_HEARTBEAT", "10m"),
    ]);
    let mut writer = Client::hello(&server, Door::TcpBinary, 1);
    let head = writer.post(1, "the beginning")["seq"].as_u64().unwrap();
    let asleep: Vec<_> = Door::ALL
        .into_iter()
        .map(|door| {
            let mut client = Client::hello(&server, door, 2);
            client.heard();
            // Fixed, so that it does not grow to the 6 MiB that Linux allows.
            socket2::SockRef::from(client.socket()).set_recv_buffer_size(256 * 1024).unwrap();
            client
        })
        .collect();
    let mut awake = Client::hello(&server, Door::WsText, 3);
    let head = head.max(writer.post(1, "from here on")["seq"].as_u64().unwrap());
    awake.events(1, head);
    let before = server.resident_kib();
    // 9.6 MB for each: more than the sockets (4 MiB here, and what is above there) and the outbox hold.
    let content = "x".repeat(16_000);
    let mut slowest = Duration::ZERO;
    let mut last = head;
    for _ in 0..600 {
        let sent = Instant::now();
        last = writer.post(1, &content)["seq"].as_u64().unwrap();
        awake.events(1, last);
        slowest = slowest.max(sent.elapsed());
    }
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 40_000, "four clients that do not read cost {grown} KiB beside a cache of 4 MiB");
    assert!(slowest < Duration::from_secs(5), "others waited {slowest:?} for a message");
    for client in asleep {
        let door = client.door;
        let mut follower = Follower { client, chat: 1, events: Vec::new(), gaps: 0 };
        follower.pull_from(head - 1);
        follower.follow(last);
        assert!(follower.gaps > 0, "{door:?} was not told of the gap");
        let seqs: Vec<_> = follower.events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (head..=last).collect::<Vec<_>>(), "{door:?}");
    }
}

impl Follower {
    /// Starts behind number `from`, as one who had heard so far.
    fn pull_from(&mut self, from: u64) {
        let page =
            self.client.ask(json!({"packet_type": "GetEvents", "chat_id": self.chat, "after": from, "limit": 1}));
        self.events.extend(page["events"].as_array().unwrap().iter().cloned());
    }
}

#[test]
fn who_sends_without_reading_is_read_no_further_than_the_window() {
    let server = TestServer::with(&[("CHAPPE_LIMITS_WINDOW", "16")]);
    for door in Door::ALL {
        let mut client = Client::hello(&server, door, 1);
        let large = "x".repeat(30_000);
        for _ in 0..40 {
            client.post(1, &large);
        }
        let before = (server.resident_kib(), server.metric("chappe_packets_total{packet_type=\"GetMessages\"}"));
        socket2::SockRef::from(client.socket()).set_recv_buffer_size(4096).unwrap();
        client.socket().set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        // Each of the first is answered by a page of 256 KiB, until the sockets, which hold some 10 MB, and the window are
        // full of answers that nobody takes. What comes behind them has to stay in the sockets.
        let page = json!({"packet_type": "GetMessages", "chat_id": 1, "limit": 500, "request_id": 1});
        let filler = message(999, &large);
        let mut sent = 0;
        while client.try_send(if sent < 200 { &page } else { &filler }) {
            sent += 1;
            assert!(sent < 3_000, "{door:?}: the server reads on and on");
        }
        let read = server.metric("chappe_packets_total{packet_type=\"GetMessages\"}") - before.1;
        assert!((1.0..=60.0).contains(&read), "{door:?}: {read} requests were taken");
        let grown = server.resident_kib().saturating_sub(before.0);
        assert!(grown < 80_000, "{door:?}: {grown} KiB for a client that does not read");
        // Another one is served as ever.
        Client::hello(&server, door, 2).post(1, "undisturbed");
    }
}

#[test]
fn a_connection_that_is_closed_one_way_still_gets_its_answers() {
    let server = TestServer::start();
    for door in [Door::TcpJson, Door::TcpBinary] {
        let mut client = Client::hello(&server, door, 1);
        let ids: Vec<_> = (0..100).map(|nth| client.begin(message(1, &format!("{nth}")))).collect();
        client.socket().shutdown(std::net::Shutdown::Write).unwrap();
        let (packets, _) = client.rest();
        let acked: Vec<_> = packets.iter().filter(|packet| packet["packet_type"] == "Ack").collect();
        assert!(acked.iter().all(|ack| ack["success"] == true));
        assert_eq!(acked.iter().map(|ack| ack["request_id"].as_u64().unwrap()).collect::<Vec<_>>(), ids, "{door:?}");
    }
    until("the connections to be gone", || (server.metric("chappe_connections{door=\"tcp\"}") == 0.0).then_some(()));
}

#[test]
fn json_that_drips_in_byte_by_byte_is_a_packet_in_the_end() {
    let server = TestServer::start();
    let mut client = Client::connect(&server, Door::TcpJson);
    let packet = format!("{{\"packet_type\": \"Ping\",\n  \"nonce\": 7, \"padding\": {:?}}}", "x\"{}[]\\".repeat(100));
    for byte in packet.bytes() {
        client.raw(&[byte]);
    }
    assert_eq!(client.wait_for("Pong")["nonce"], 7);
    // Glued together, several are several.
    let three = r#"{"packet_type":"Ping","nonce":1}{"packet_type":"Ping","nonce":2} {"packet_type":"Ping","nonce":3}"#;
    client.raw(three.as_bytes());
    for nonce in 1..=3 {
        assert_eq!(client.wait_for("Pong")["nonce"], nonce);
    }
    let mut silent = Client::connect(&server, Door::TcpJson);
    silent.raw(b"{\"packet_type\":");
    assert_eq!(silent.next_within(Duration::from_millis(50)), Next::Silence, "half a packet is no packet yet");
    silent.raw(b"\"Ping\"}");
    assert_eq!(silent.next()["packet_type"], "Pong");
}

#[test]
fn a_full_server_says_so_to_those_it_turns_away_and_takes_them_when_there_is_room() {
    let server = TestServer::with(&[("CHAPPE_LIMITS_CONNECTIONS", "8")]);
    let mut inside: Vec<_> = (1..=8).map(|user| Client::hello(&server, Door::ALL[user as usize % 4], user)).collect();
    let mut turned_away = Client::connect(&server, Door::TcpJson);
    let (packets, _) = turned_away.rest();
    assert_eq!((&packets[0]["packet_type"], &packets[0]["code"]), (&json!("Closing"), &json!(4100)), "{packets:?}");
    let mut http = Http::to(&server);
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(http.call("GET", "/ws", &upgrade, None).refusal(), (503, "busy".to_owned()));
    inside[0].post(1, "those inside are served");
    inside.truncate(4);
    until("room", || {
        let open: f64 = ["tcp", "websocket"].iter().map(|door| server.metric(&connections(door))).sum();
        (open < 5.0).then_some(())
    });
    Client::hello(&server, Door::TcpJson, 9).post(1, "there is room");
}

fn connections(door: &str) -> String {
    format!("chappe_connections{{door=\"{door}\"}}")
}
