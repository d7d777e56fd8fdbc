//! WebSocket frames that lie or break the standard, and lengths that lie on TCP: the connection ends with its code, and
//! nothing is allocated for what never comes.

use std::io::{Read, Write};
use std::net::TcpStream;

use chappe_proto::outgoing::Wire;

use crate::limits::refused;
use crate::support::client::{Client, Door};
use crate::support::server::TestServer;
use crate::support::{PATIENCE, until};

/// A client's frame with this header byte, masked.
fn web_socket_frame(first: u8, declared: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match declared {
        0..126 => bytes.push(0x80 | declared as u8),
        126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(declared as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&declared.to_be_bytes());
        }
    }
    let mask = [1, 2, 3, 4];
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

#[test]
fn a_web_socket_frame_that_breaks_the_standard_ends_the_connection_with_its_code() {
    let server = TestServer::start();
    let ping = b"{\"packet_type\":\"Ping\"}".as_slice();
    let whole = |first, payload: &[u8]| web_socket_frame(first, payload.len() as u64, payload);
    let mut unmasked = Vec::new();
    Wire::WsText.put(ping, &mut unmasked);
    for (bytes, code, what) in [
        (web_socket_frame(0x82, 4 << 30, b""), 1009, "4 GiB are declared"),
        (web_socket_frame(0x81, u64::MAX >> 1, b""), 1009, "8 EiB are declared"),
        (web_socket_frame(0x81, 65_537, b""), 1009, "a byte more than allowed is declared"),
        ([whole(0x01, &[b' '; 60_000]), whole(0x80, &[b' '; 6_000])].concat(), 1009, "pieces are too large together"),
        (whole(0x81, b"{\"packet_type\":\"Ping\",\"x\":\"\xff\"}"), 1007, "text is not UTF-8"),
        ([whole(0x01, b"\xc3"), whole(0x80, b"\x28")].concat(), 1007, "text in pieces is not UTF-8"),
        (unmasked, 1002, "a frame is not masked"),
        (whole(0xc1, ping), 1002, "a reserved bit is set"),
        (whole(0x83, ping), 1002, "an unknown opcode"),
        (whole(0x80, ping), 1002, "a continuation of nothing"),
        (whole(0x89, &[0; 126]), 1002, "a long ping"),
    ] {
        let mut client = Client::hello(&server, Door::WsText, 1);
        client.raw(&bytes);
        let (_, close_code) = client.rest();
        assert_eq!(close_code, Some(code), "{what}");
    }
    let mut client = Client::hello(&server, Door::WsText, 1);
    client.send_body(b"{\"packet_type\":".to_vec());
    refused(&mut client, "malformed", "a packet that breaks off");
    // Pieces with a ping between them are one packet; and either kind of frame may carry a packet.
    client.raw(&[whole(0x01, &ping[..9]), whole(0x89, b"hi"), whole(0x80, &ping[9..])].concat());
    client.wait_for("Pong");
    client.raw(&whole(0x82, &[b"\x01", ping].concat()));
    client.wait_for("Pong");
}

#[test]
fn lengths_that_lie_cost_no_memory() {
    const CLIENTS: usize = 100;
    let server = TestServer::with(&[("CHAPPE_LIMITS_CONNECTIONS_PER_USER", "1000")]);
    let mut held: Vec<[Client; 3]> = (0..CLIENTS)
        .map(|_| [Door::TcpBinary, Door::TcpBinary, Door::WsBinary].map(|door| Client::hello(&server, door, 1)))
        .collect();
    let before = server.resident_kib();
    for [binary, skipped, web] in &mut held {
        // The largest frame of each kind that may be declared, of which only a little ever comes.
        binary.raw(&[0, 0, 0xff, 0xff, 0]);
        skipped.raw(&[0, 0xff, 0xff, 0xff, 0]);
        web.raw(&web_socket_frame(0x82, 65_536, b"\x00"));
    }
    for _ in 0..CLIENTS {
        let mut web = Client::connect(&server, Door::WsBinary);
        web.raw(&web_socket_frame(0x82, 4 << 30, &[0; 1000]));
        assert_eq!(web.rest().1, Some(1009));
    }
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 64 * CLIENTS as u64, "{CLIENTS} clients of each kind that lie cost {grown} KiB");
    Client::hello(&server, Door::TcpJson, 1).post(1, "undisturbed");
}

#[test]
fn what_a_client_says_too_early_is_heard_behind_what_it_asked_for_over_http() {
    let server = TestServer::start();
    let mut socket = TcpStream::connect(server.http).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let get = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let upgrade = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: chat, chappe.v1.json\r\n\r\n";
    let ping = web_socket_frame(0x81, 22, b"{\"packet_type\":\"Ping\"}");
    let close = web_socket_frame(0x88, 2, &1000u16.to_be_bytes());
    socket.write_all(&[get.as_bytes(), get.as_bytes(), upgrade.as_bytes(), &ping, &close].concat()).unwrap();
    let mut all = Vec::new();
    socket.read_to_end(&mut all).unwrap();
    let text = String::from_utf8_lossy(&all);
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{text}");
    let (_, answer) = text.split_once("HTTP/1.1 101 Switching Protocols\r\n").expect("the answer comes behind both");
    let answer = answer.to_lowercase();
    for line in ["upgrade: websocket", "sec-websocket-protocol: chappe.v1.json", "s3pplmbitxaq9kygzzhzrbk+xoo="] {
        assert!(answer.contains(line), "{line}: {answer}");
    }
    assert!(answer.contains("{\"packet_type\":\"pong\""), "{answer}");
    assert!(all.ends_with(&[0x88, 2, 0x03, 0xe8]), "{text}");
    drop(socket);
    until("nobody is counted any more", || {
        (server.metric("chappe_connections{door=\"websocket\"}") == 0.0
            && server.metric("chappe_connections{door=\"http\"}") <= 1.0)
            .then_some(())
    });
}
