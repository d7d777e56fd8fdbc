//! How many connections an address and a user may have, and what else may not grow without end: heads of HTTP requests,
//! members, chats.

use serde_json::{Value, json};

use crate::support::client::{Client, Door};
use crate::support::http::{Answer, Http};
use crate::support::server::TestServer;
use crate::support::until;

/// The test's own address counts as anybody's.
const NO_PROXY: (&str, &str) = ("CHAPPE_HTTP_SERVER_TRUSTED_PROXIES", "192.0.2.1");

/// Asks for a WebSocket on an HTTP connection.
fn upgrade(http: &mut Http, more: &[(&str, &str)]) -> Answer {
    let handshake = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    http.call("GET", "/ws", &[&handshake, more].concat(), None)
}

fn closed_for_too_many(client: &mut Client) -> Vec<Value> {
    let (packets, code) = client.rest();
    let closing = packets.last().expect("the server says why");
    let expected = (&json!("Closing"), &json!(4102));
    assert_eq!((&closing["packet_type"], &closing["code"]), expected, "{:?}: {packets:?}", client.door);
    if client.door.is_web_socket() {
        assert_eq!(code, Some(4102), "{:?}", client.door);
    }
    packets
}

#[test]
fn an_address_has_so_many_connections_over_all_doors_and_threads_and_no_more() {
    let settings = [NO_PROXY, ("CHAPPE_LIMITS_CONNECTIONS_PER_IP", "6"), ("CHAPPE_HTTP_SERVER_WORKERS", "3")];
    let server = TestServer::with(&settings);
    let mut inside: Vec<_> = (1..=6).map(|user| Client::hello(&server, Door::ALL[user as usize % 4], user)).collect();
    closed_for_too_many(&mut Client::connect(&server, Door::TcpJson));
    let refused = upgrade(&mut Http::to(&server), &[]);
    assert_eq!(refused.refusal(), (429, "rate_limited".to_owned()));
    assert_eq!(refused.header("connection"), Some("close"));
    assert_eq!(Http::to(&server).get("/api/chats").refusal().0, 429, "plain HTTP is a connection too");
    inside[0].post(1, "those inside are served");
    inside.truncate(4);
    // One place is for the question itself.
    until("a place", || (Http::to(&server).get("/api/chats").status == 200).then_some(()));
    until("the other", || {
        let mut client = Client::connect(&server, Door::TcpJson);
        let welcome = client.ask(json!({"packet_type": "Hello", "version": 1, "user_id": 7}));
        (welcome["packet_type"] == "Welcome").then(|| inside.push(client))
    });
    drop(inside);
    until("the count", || {
        let mut http = Http::to(&server);
        let page = http.get("/metrics");
        let metric = page.text();
        (page.status == 200 && metric.contains("chappe_connections_refused_total{reason=\"address\"} ")).then_some(())
    });
}

#[test]
fn who_holds_connections_that_are_refused_takes_nobody_elses_place() {
    let server = TestServer::with(&[
        NO_PROXY,
        ("CHAPPE_LIMITS_CONNECTIONS", "20"),
        ("CHAPPE_LIMITS_CONNECTIONS_PER_IP", "5"),
        // They are let in or not in the order in which they come.
        ("CHAPPE_HTTP_SERVER_WORKERS", "1"),
    ]);
    let _held: Vec<_> = (0..40).map(|_| Http::from([127, 0, 0, 2], &server)).collect();
    let refused = Http::from([127, 0, 0, 2], &server).get("/api/chats");
    assert_eq!(refused.refusal(), (429, "rate_limited".to_owned()));
    assert_eq!(refused.header("connection"), Some("close"));
    Http::to(&server).get("/api/chats").expect(200);
    Client::hello(&server, Door::TcpJson, 1).post(1, "and by the other door");
}

#[test]
fn behind_a_proxy_each_client_is_counted_and_the_proxy_is_not() {
    let server = TestServer::with(&[("CHAPPE_LIMITS_CONNECTIONS_PER_IP", "2")]);
    let from = |address: &'static str| {
        let mut http = Http::to(&server);
        let answer = upgrade(&mut http, &[("X-Forwarded-For", address)]);
        (answer.status, http)
    };
    let inside = [from("198.51.100.1"), from("198.51.100.1"), from("2001:db8::1"), from("2001:db8::2")];
    assert_eq!(inside.each_ref().map(|(status, _)| *status), [101; 4]);
    assert_eq!(from("198.51.100.1").0, 429);
    assert_eq!(from("2001:db8::3").0, 429, "a subscriber has many addresses of IPv6");
    assert_eq!(from("2001:db8:0:1::1").0, 101);
    // Nobody is in the way of a developer on the same machine.
    let own: Vec<_> = (1..=10).map(|user| Client::hello(&server, Door::ALL[user as usize % 4], user)).collect();
    assert_eq!(server.metric("chappe_connections_refused_total{reason=\"address\"}"), 2.0);
    drop(own);
    drop(inside);
    until("the places to be free", || (from("198.51.100.1").0 == 101).then_some(()));
}

#[test]
fn an_address_that_connects_too_fast_is_told_so() {
    let server = TestServer::with(&[NO_PROXY, ("CHAPPE_LIMITS_IP_CONNECTION_RATE", "1/s burst 5")]);
    let _inside: Vec<_> = (1..=5).map(|user| Client::hello(&server, Door::TcpBinary, user)).collect();
    let packets = closed_for_too_many(&mut Client::connect(&server, Door::TcpJson));
    let wait = packets[0]["reconnect_after_ms"].as_u64().expect("it says when to come again");
    assert!((1..=1000).contains(&wait), "{packets:?}");
    assert_eq!(upgrade(&mut Http::to(&server), &[]).refusal(), (429, "rate_limited".to_owned()));
}

#[test]
fn a_user_has_so_many_connections_and_no_more_on_every_door() {
    let server = TestServer::with(&[("CHAPPE_LIMITS_CONNECTIONS_PER_USER", "3")]);
    for (door, user) in Door::ALL.into_iter().zip(1..) {
        let mut inside: Vec<_> = (0..3).map(|_| Client::hello(&server, door, user)).collect();
        let mut another = Client::connect(&server, door);
        another.send(&json!({"packet_type": "Hello", "version": 1, "user_id": user}));
        let packets = closed_for_too_many(&mut another);
        assert_eq!((&packets[0]["packet_type"], &packets[0]["code"]), (&json!("Error"), &json!("rate_limited")));
        inside[0].greet(user);
        inside[0].post(1, "those inside are served");
        Client::hello(&server, door, user + 100).post(1, "and others");
        inside.pop();
        until("the place of one that went", || {
            let mut again = Client::connect(&server, door);
            let answer = again.ask(json!({"packet_type": "Hello", "version": 1, "user_id": user}));
            (answer["packet_type"] == "Welcome").then_some(())
        });
    }
    assert!(server.metric("chappe_connections_refused_total{reason=\"user\"}") >= 4.0);
}

#[test]
fn a_full_server_can_still_be_watched() {
    // One thread, which takes connections in their order.
    let server = TestServer::with(&[("CHAPPE_LIMITS_CONNECTIONS", "3"), ("CHAPPE_HTTP_SERVER_WORKERS", "1")]);
    let mut inside: Vec<_> = (1..=3).map(|user| Client::hello(&server, Door::TcpJson, user)).collect();
    let busy = (503, "busy".to_owned());
    assert_eq!(Http::to(&server).get("/api/chats").refusal(), busy);
    Http::to(&server).get("/health").expect(200);
    assert!(server.metric("chappe_connections_refused_total{reason=\"all\"}") >= 1.0);
    // Those that are refused do not keep it full, though they stay until they have asked, and are told.
    let mut held: Vec<_> = (0..5).map(|_| Http::to(&server)).collect();
    Http::to(&server).get("/health").expect(200);
    inside.pop();
    until("the place", || (Http::to(&server).get("/api/chats").status == 200).then_some(()));
    for http in &mut held {
        assert_eq!(http.get("/api/chats").refusal(), busy);
    }
}

#[test]
fn a_chat_has_so_many_members_and_a_user_makes_so_many_chats() {
    let server = TestServer::with(&[("CHAPPE_LIMITS_MEMBERS", "3"), ("CHAPPE_LIMITS_CHATS", "2")]);
    let mut http = Http::to(&server);
    let chat =
        |title: &str, members: &[u64]| json!({"title": title, "kind": "group", "members": members, "user_id": 1});
    let too_large = (413, "too_large".to_owned());
    assert_eq!(http.post("/api/chats", &chat("four", &[2, 3, 4])).refusal(), too_large);
    let made = http.post("/api/chats", &chat("two", &[2])).expect(201);
    let members = format!("/api/chats/{}/members", made["chat_id"]);
    http.post(&members, &json!({"user_id": 3, "by": 1})).expect(201);
    assert_eq!(http.post(&members, &json!({"user_id": 4, "by": 1})).refusal(), too_large);
    http.post("/api/chats", &chat("three", &[2, 3])).expect(201);
    assert_eq!(http.post("/api/chats", &chat("one too many", &[])).refusal(), too_large);
    let limits = Client::connect(&server, Door::TcpJson).greet(1)["limits"].clone();
    assert_eq!((&limits["members"], &limits["chats"]), (&json!(3), &json!(2)));
}

#[test]
fn the_head_of_a_request_has_so_many_bytes_and_headers() {
    let server = TestServer::start();
    let head = |headers: usize, bytes: usize| {
        let mut text = format!("GET /api/limits HTTP/1.1\r\nHost: {}\r\n", server.http);
        for nth in 1..headers {
            text += &format!("X-{nth}: x\r\n");
        }
        text += &format!("X-Long: {}\r\n\r\n", "x".repeat(bytes.saturating_sub(text.len() + 12)));
        let mut http = Http::to(&server);
        http.raw(text.as_bytes());
        http.answer("GET").status
    };
    assert_eq!(head(95, 0), 200);
    assert_eq!(head(96, 0), 431);
    assert_eq!(head(1, 100 * 1024), 200);
    assert_eq!(head(1, 128 * 1024 + 1), 431);
}
