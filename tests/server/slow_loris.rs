//! Who begins something and does not end it is shown out, door by door; everybody else is served meanwhile. Who only
//! reads slowly stays.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::{Client, Door, Next};
use crate::support::server::TestServer;
use crate::support::{PATIENCE, until};

const FAST: [(&str, &str); 2] = [("CHAPPE_LIMITS_PACKET_TIME", "2s"), ("CHAPPE_LIMITS_IDLE_TIME", "2s")];

/// The start of a packet that is longer than anybody waits for, as the door has it.
fn endless(door: Door) -> Vec<u8> {
    match door {
        Door::TcpJson => b"{\"packet_type\":\"Ping\",\"padding\":\"".to_vec(),
        Door::TcpBinary => vec![0, 0, 100, 0],
        // A masked frame of 100 bytes.
        Door::WsText => vec![0x81, 0x80 | 100, 0, 0, 0, 0],
        Door::WsBinary => vec![0x82, 0x80 | 100, 0, 0, 0, 0],
    }
}

#[test]
fn a_packet_that_drips_in_byte_by_byte_ends_its_connection_and_nobody_else_waits() {
    let server = TestServer::with(&FAST);
    let mut honest = Client::hello(&server, Door::WsText, 100);
    let mut slow: Vec<Client> =
        Door::ALL.into_iter().zip(1..).map(|(door, user)| Client::hello(&server, door, user)).collect();
    // A message in pieces, with pings between them: no piece is late, but the message is.
    let mut pieces = Client::hello(&server, Door::WsText, 9);
    let began = Instant::now();
    slow.iter_mut().for_each(|client| client.raw(&endless(client.door)));
    pieces.raw(&[0x01, 0x81, 0, 0, 0, 0, b' ']);
    slow.push(pieces);
    let mut ended = vec![None; slow.len()];
    while ended.contains(&None) {
        assert!(began.elapsed() < PATIENCE, "some are never shown out: {ended:?}");
        for (client, ended) in slow.iter_mut().zip(&mut ended).filter(|(_, ended)| ended.is_none()) {
            match client.next_within(Duration::from_millis(100)) {
                Next::Packet(packet) if packet["packet_type"] == "Closing" => {
                    assert_eq!(packet["code"], 4103, "{:?}: {packet}", client.door);
                    *ended = Some(began.elapsed());
                }
                Next::Packet(_) => {}
                Next::Silence if client.door == Door::WsText => client.raw(&[0x00, 0x81, 0, 0, 0, 0, b' ']),
                Next::Silence => client.raw(b" "),
                Next::End(code) => panic!("{:?} ended without a word: {code:?}", client.door),
            }
        }
        honest.post(1, "meanwhile");
    }
    for (client, ended) in slow.iter().zip(ended) {
        assert!(ended > Some(Duration::from_secs(2)), "{:?} had its time: {ended:?}", client.door);
    }
    assert_eq!(server.metric("chappe_too_slow_total{reason=\"packet\"}"), 5.0);
}

#[test]
fn who_never_says_anything_is_shown_out_and_who_said_something_once_stays() {
    let server = TestServer::with(&FAST);
    // Without a first byte TCP does not know its framing, and says goodbye in JSON.
    let doors = [Door::TcpJson, Door::WsText, Door::WsBinary];
    let mut mute = doors.map(|door| Client::connect(&server, door));
    let mut spoke: Vec<_> = Door::ALL.iter().map(|door| Client::connect(&server, *door)).collect();
    for client in &mut spoke {
        client.ask(json!({"packet_type": "Subscribe", "chat_ids": [1]}));
    }
    for client in &mut mute {
        let (packets, code) = client.rest();
        assert_eq!(packets[0]["code"], 4103, "{:?}: {packets:?}", client.door);
        assert!(code.is_none_or(|code| code == 4103), "{:?}: {code:?}", client.door);
    }
    until("the count", || (server.metric("chappe_too_slow_total{reason=\"idle\"}") == 3.0).then_some(()));
    Client::hello(&server, Door::TcpJson, 1).post(1, "hello");
    for client in &mut spoke {
        assert_eq!(client.wait_for("Message")["message"]["content"], "hello", "{:?}", client.door);
    }
}

#[test]
fn where_tokens_are_asked_for_who_does_not_say_hello_in_time_is_shown_out_whatever_else_is_said() {
    let server = TestServer::with(&[("CHAPPE_AUTH_MODE", "token"), ("CHAPPE_LIMITS_HELLO_TIME", "2s")]);
    for door in [Door::TcpJson, Door::WsText, Door::WsBinary] {
        let mut client = Client::connect(&server, door);
        let began = Instant::now();
        let closing = loop {
            assert!(began.elapsed() < PATIENCE, "{door:?} is never shown out");
            client.try_send(&json!({"packet_type": "Ping"}));
            match client.next_within(Duration::from_millis(200)) {
                Next::Packet(packet) if packet["packet_type"] == "Closing" => break packet,
                Next::End(code) => panic!("{door:?} ended without a word: {code:?}"),
                Next::Packet(_) | Next::Silence => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        assert_eq!(closing["code"], 4103, "{door:?}: {closing}");
        assert!(began.elapsed() > Duration::from_secs(2), "{door:?} had its time");
    }
    assert_eq!(server.metric("chappe_too_slow_total{reason=\"hello\"}"), 3.0);
}

/// How a connection ended on which `first` is sent, and then a byte again and again: the status, if there was one.
fn drip(address: SocketAddr, first: &str, answers: usize) -> (Option<u16>, Duration) {
    let mut socket = TcpStream::connect(address).expect("the door is open");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a time-out can be set");
    socket.write_all(first.as_bytes()).expect("the connection takes bytes");
    let began = Instant::now();
    let mut received = Vec::new();
    while began.elapsed() < PATIENCE + PATIENCE {
        let mut buffer = [0; 4096];
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(size) => received.extend_from_slice(&buffer[..size]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        // A server that has closed says so to who still sends; the next read tells.
        let _ = socket.write_all(b"x");
    }
    let text = String::from_utf8_lossy(&received);
    let statuses: Vec<u16> = text.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.get(..3)?.parse().ok()).collect();
    (statuses.get(answers).copied(), began.elapsed())
}

#[test]
fn an_http_request_that_drips_in_is_shown_out_be_it_the_first_of_its_connection_or_not() {
    let server = TestServer::with(&[("CHAPPE_HTTP_SERVER_KEEP_ALIVE", "12s")]);
    let host = format!("Host: {}\r\n", server.http);
    let whole = format!("GET /health/live HTTP/1.1\r\n{host}\r\n");
    let body =
        format!("POST /api/chats HTTP/1.1\r\n{host}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n");
    let cases = [
        ("the first head", format!("GET /api/chats HTTP/1.1\r\n{host}X: "), 0),
        ("a WebSocket handshake", format!("GET /ws HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: "), 0),
        ("a second head", format!("{whole}GET /api/chats HTTP/1.1\r\n{host}X: "), 1),
        ("a body", body, 0),
    ];
    let mut honest = Client::hello(&server, Door::TcpJson, 1);
    std::thread::scope(|scope| {
        let drips =
            cases.each_ref().map(|(what, first, answers)| (what, scope.spawn(|| drip(server.http, first, *answers))));
        for _ in 0..100 {
            honest.post(1, "meanwhile");
        }
        for (what, drip) in drips {
            let (status, after) = drip.join().expect("it ends");
            assert!(after < PATIENCE, "{what} went on for {after:?}");
            assert!(after > Duration::from_secs(9), "{what} had its time: {after:?}");
            assert!(matches!(status, Some(408) | None), "{what}: {status:?}");
        }
    });
}
