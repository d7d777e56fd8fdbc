//! Compressed frames: only where both sides agreed on them, and never more behind them than the limit.

use std::io::{Read, Write};
use std::net::TcpStream;

use chappe_proto::compression::{Compressor, Expander};
use chappe_proto::frame::{self, ClientFrame, FLAG_JSON, FLAG_ZSTD};
use chappe_proto::outgoing::{Encoder, Wire};
use chappe_proto::request::Request;
use serde_json::{Value, json};

use crate::acks::group_chat;
use crate::limits::refused;
use crate::support::PATIENCE;
use crate::support::client::{Client, Door, message};
use crate::support::server::TestServer;

/// A connection with binary frames that shows which of them came compressed.
struct Frames {
    socket: TcpStream,
    expander: Expander,
}

impl Frames {
    fn hello(server: &TestServer, user: u64, zstd: bool) -> (Self, Value) {
        let socket = TcpStream::connect(server.tcp).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut frames = Self { socket, expander: Expander::default() };
        let (flags, welcome) = frames.ask(&json!({"packet_type": "Hello", "user_id": user, "zstd": zstd}));
        assert_eq!((flags, &welcome["packet_type"]), (0, &json!("Welcome")));
        (frames, welcome)
    }

    fn body(packet: &Value) -> Vec<u8> {
        let request: Request = serde_json::from_value(packet.clone()).unwrap();
        let mut body = Vec::new();
        frame::encode_request_into(&ClientFrame { request_id: packet["request_id"].as_u64(), request }, &mut body);
        body
    }

    fn send_body(&mut self, body: &[u8]) {
        let mut bytes = Vec::new();
        Wire::Binary.put(body, &mut bytes);
        self.socket.write_all(&bytes).unwrap();
    }

    /// The flags and the packet of the next frame, and how large the frame was.
    fn next(&mut self) -> (u8, Value, usize) {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length).unwrap();
        let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        self.socket.read_exact(&mut body).unwrap();
        let (request_id, packet) = frame::decode_packet_expanding(&body, &mut self.expander).unwrap();
        let mut value = serde_json::to_value(&packet).unwrap();
        value["request_id"] = json!(request_id);
        (body[0], value, body.len())
    }

    /// The first packet of this type, its flags, and its size.
    fn wait_for(&mut self, packet_type: &str) -> (u8, Value, usize) {
        loop {
            let next = self.next();
            if next.1["packet_type"] == packet_type {
                return next;
            }
        }
    }

    fn ask(&mut self, packet: &Value) -> (u8, Value) {
        let mut packet = packet.clone();
        packet["request_id"] = json!(99);
        self.send_body(&Self::body(&packet));
        loop {
            let (flags, answer, _) = self.next();
            if answer["request_id"] == 99 {
                return (flags, answer);
            }
        }
    }
}

#[test]
fn large_packets_come_and_go_compressed_where_both_sides_agreed() {
    let server = TestServer::start();
    let chat = group_chat(&server, &[1, 2, 3]);
    let (mut ann, welcome) = Frames::hello(&server, 1, true);
    assert_eq!(welcome["zstd"], true);
    let (mut bob, welcome) = Frames::hello(&server, 2, false);
    assert!(welcome.get("zstd").is_none(), "{welcome}");
    let mut cid = Client::hello(&server, Door::WsText, 3);

    let content = "It was the best of times. ".repeat(1000);
    cid.post(chat, &content);
    let (flags, event, size) = ann.wait_for("Message");
    assert_eq!((flags, &event["message"]["content"]), (FLAG_ZSTD, &json!(content)));
    assert!(size < content.len() / 10, "{size} bytes came");
    let (flags, event, _) = bob.wait_for("Message");
    assert_eq!((flags, &event["message"]["content"]), (0, &json!(content)), "who did not ask gets it as it is");

    // Small ones stay as they are, answers are compressed as well, and so is what is sent.
    cid.post(chat, "short");
    assert_eq!(ann.wait_for("Message").0, 0);
    let (flags, page) = ann.ask(&json!({"packet_type": "GetMessages", "chat_id": chat}));
    assert_eq!((flags, &page["messages"][0]["content"]), (FLAG_ZSTD, &json!(content)));
    let mut bytes = Vec::new();
    Encoder::default().frame(Wire::BinaryZstd, &Frames::body(&message(chat, &content)), &mut bytes);
    assert_eq!(bytes[4], FLAG_ZSTD);
    ann.socket.write_all(&bytes).unwrap();
    assert_eq!(ann.wait_for("Ack").1["success"], true);
    let text = message(chat, "as JSON, inside").to_string();
    ann.send_body(&[&[FLAG_ZSTD | FLAG_JSON], &zstd_of(text.as_bytes())[..]].concat());
    assert_eq!(ann.wait_for("Ack").1["success"], true);
    bob.wait_for("Message");
    assert_eq!(bob.wait_for("Message").1["message"]["content"], json!(content));
    assert_eq!(bob.wait_for("Message").1["message"]["content"], "as JSON, inside");

    // A second Hello changes nothing about it.
    let (_, welcome) = ann.ask(&json!({"packet_type": "Hello", "user_id": 1}));
    assert_eq!(welcome["zstd"], true);
    cid.post(chat, &content);
    assert_eq!(ann.wait_for("Message").0, FLAG_ZSTD);
}

/// `bytes` as a zstd frame, stored and not compressed: RFC 8878, section 3.1.1.2.
fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    let header = u32::try_from(bytes.len()).unwrap() << 3 | 1;
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58], &header.to_le_bytes()[..3], bytes].concat()
}

#[test]
fn compression_is_agreed_on_for_binary_frames_over_tcp_alone() {
    let server = TestServer::start();
    let chat = group_chat(&server, &[1, 2]);
    for door in Door::ALL {
        let mut client = Client::connect(&server, door);
        let welcome = client.ask(json!({"packet_type": "Hello", "version": 1, "user_id": 1, "zstd": true}));
        assert_eq!(welcome["zstd"] == true, door == Door::TcpBinary, "{door:?}: {welcome}");
        if door != Door::TcpBinary {
            client.post(chat, &"x".repeat(20_000));
            assert_eq!(client.wait_for("Message")["message"]["content"], "x".repeat(20_000), "{door:?}");
        }
    }
    for door in [Door::TcpBinary, Door::WsBinary] {
        let mut client = Client::hello(&server, door, 1);
        let body = Frames::body(&message(chat, "hello"));
        client.send_body([&[FLAG_ZSTD], &zstd_of(&body[1..])[..]].concat());
        refused(&mut client, "malformed", "compressed where nobody agreed on it");
    }
}

#[test]
fn bombs_and_broken_zstd_are_refused_and_the_connection_goes_on() {
    let server = TestServer::start();
    let (mut ann, welcome) = Frames::hello(&server, 1, true);
    let limit = usize::try_from(welcome["limits"]["frame_bytes"].as_u64().unwrap()).unwrap();
    let mut compressor = Compressor::default();
    let mut packed = |size: usize| [&[FLAG_ZSTD], compressor.compress(&vec![0; size]).unwrap()].concat();
    let ping = Frames::body(&json!({"packet_type": "Ping", "nonce": 7}));
    let whole = [&[FLAG_ZSTD], &zstd_of(&ping[1..])[..]].concat();
    let zeros = [0x02, 0, 0x10, 0].repeat(1000);
    for (body, code, what) in [
        (packed(64 << 20), "too_large", "64 MiB"),
        (packed(limit), "too_large", "a byte too many, with the flags"),
        (packed(limit - 1), "malformed", "as large as may be, and no packet"),
        ([&whole[..7], &zeros, &whole[7..]].concat(), "too_large", "125 MiB, without a word of it"),
        (whole[..whole.len() - 1].to_vec(), "malformed", "cut off"),
        ([&whole[..], &whole[1..]].concat(), "malformed", "two frames"),
        ([&[FLAG_ZSTD], &ping[..]].concat(), "malformed", "no zstd"),
        (vec![FLAG_ZSTD], "malformed", "nothing"),
        ([&[FLAG_ZSTD | 4], &whole[1..]].concat(), "malformed", "an unknown flag"),
    ] {
        ann.send_body(&body);
        let (_, error, _) = ann.wait_for("Error");
        assert_eq!(error["code"], code, "{what}: {error}");
    }
    ann.send_body(&whole);
    assert_eq!(ann.wait_for("Pong").1["nonce"], 7, "the unharmed one is fine");
}
