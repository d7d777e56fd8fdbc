//! Bad input, door by door: a coded error, and the connection lives on where the framing still holds.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::acks::group_chat;
use crate::support::client::{Client, Door, message};
use crate::support::http::Http;
use crate::support::server::TestServer;

/// Asserts that the next answer is a refusal with this code, and that the connection goes on.
pub(crate) fn refused(client: &mut Client, code: &str, what: &str) -> Value {
    let answers = ["Error", "Ack", "Pong", "Messages", "Closing"];
    let packet = client.wait("an answer", |packet| answers.iter().any(|answer| packet["packet_type"] == *answer));
    let fits = packet["packet_type"] == "Error" || packet["success"] == false;
    assert!(fits && packet["code"] == code, "{:?}, {what}: expected {code}, got {packet}", client.door);
    assert!(packet["error"].as_str().is_some_and(|text| !text.is_empty()), "{what}: {packet}");
    let pong = client.ask(json!({"packet_type": "Ping", "nonce": 5}));
    assert_eq!((&pong["packet_type"], &pong["nonce"]), (&json!("Pong"), &json!(5)), "{what}");
    packet
}

fn nested(depth: usize) -> String {
    format!("{{\"packet_type\":\"Ping\",\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn json_that_is_no_packet_is_refused_and_the_connection_goes_on() {
    let server = TestServer::start();
    for door in [Door::TcpJson, Door::WsText] {
        let mut client = Client::hello(&server, door, 1);
        let post = |fields: &str| format!("{{\"packet_type\":\"SendMessage\",\"message\":{{{fields}}}}}");
        for (text, code) in [
            ("{\"packet_type\" \"Ping\"}", "malformed"),
            ("{\"packet_type\":\"Ping\",}", "malformed"),
            ("{'packet_type':'Ping'}", "malformed"),
            ("{\"packet_type\":\"Ping\",\"x\":\"\u{1}\"}", "malformed"),
            (&post("\"chat_id\":1,\"content\":\"\\ud800\""), "invalid_field"),
            ("{\"packet_type\":\"Ping\",\"x\":01}", "malformed"),
            ("[1,2]", "malformed"),
            ("Ping", "malformed"),
            ("{\"packet_type\":\"Dance\"}", "unknown_packet"),
            ("{\"packet_type\":\"ping\"}", "unknown_packet"),
            ("{}", "invalid_field"),
            ("{\"packet_type\":7}", "invalid_field"),
            ("{\"packet_type\":\"Ping\",\"packet_type\":\"Ping\"}", "invalid_field"),
            ("{\"packet_type\":\"Ping\",\"nonce\":\"one\"}", "invalid_field"),
            ("{\"packet_type\":\"Ping\",\"nonce\":-1}", "invalid_field"),
            ("{\"packet_type\":\"Ping\",\"nonce\":1.5}", "invalid_field"),
            ("{\"packet_type\":\"Ping\",\"nonce\":18446744073709551616}", "invalid_field"),
            ("{\"packet_type\":\"Ping\",\"request_id\":-1}", "invalid_field"),
            ("{\"packet_type\":\"SendMessage\"}", "invalid_field"),
            ("{\"packet_type\":\"SendMessage\",\"message\":[1,null,\"x\"]}", "invalid_field"),
            (&post("\"chat_id\":1"), "invalid_field"),
            (&post("\"chat_id\":1,\"content\":7"), "invalid_field"),
            (&post("\"chat_id\":1,\"content\":\"\""), "invalid_field"),
            (&post("\"chat_id\":0,\"content\":\"x\""), "invalid_field"),
            (&post("\"chat_id\":-1,\"content\":\"x\""), "invalid_field"),
            (&post("\"chat_id\":9007199254740992,\"content\":\"x\""), "invalid_field"),
            (&post("\"chat_id\":1,\"content\":\"x\",\"message_type\":\"Smell\""), "invalid_field"),
            (&post("\"chat_id\":1,\"content\":\"x\",\"client_id\":\"\""), "invalid_field"),
            (&nested(31), "fine"),
            (&nested(32), "too_deep"),
            (&nested(10_000), "too_deep"),
            (&nested(30_000), "too_deep"),
        ] {
            client.send_body(text.as_bytes().to_vec());
            let what: String = text.chars().take(100).collect();
            if code == "fine" {
                assert_eq!(client.wait_for("Pong")["packet_type"], "Pong", "{what}");
            } else {
                refused(&mut client, code, &what);
            }
        }
    }
}

/// Requests whose fields are out of bounds, as JSON; binary has the same ones where it can hold them.
fn out_of_bounds() -> Vec<(Value, &'static str)> {
    let long = |size| "x".repeat(size);
    let mut named = message(1, "x");
    named["message"]["client_id"] = json!(long(129));
    let too_many: Vec<u64> = (1..=1001).collect();
    vec![
        (message(1, &long(32 * 1024 + 1)), "too_large"),
        (message(1, ""), "invalid_field"),
        (json!({"packet_type": "Status", "status_data": long(65)}), "too_large"),
        (json!({"packet_type": "Typing", "chat_id": 1, "status_data": "dance"}), "invalid_field"),
        (json!({"packet_type": "React", "message_id": 1, "emoji": long(65)}), "too_large"),
        (json!({"packet_type": "React", "message_id": 1, "emoji": ""}), "invalid_field"),
        (json!({"packet_type": "Subscribe", "chat_ids": too_many}), "too_large"),
        (json!({"packet_type": "GetPresence"}), "invalid_field"),
        (json!({"packet_type": "GetPresence", "user_ids": [1], "chat_id": 1}), "invalid_field"),
        (json!({"packet_type": "GetMessages", "chat_id": 1, "page": 0}), "invalid_field"),
        (json!({"packet_type": "GetMessages", "chat_id": 1, "page": 2001}), "invalid_field"),
        (json!({"packet_type": "GetMessages", "chat_id": 1, "page": u32::MAX, "per_page": 500}), "invalid_field"),
        (json!({"packet_type": "GetMessages", "chat_id": 1, "page": 1, "before": 5}), "invalid_field"),
        (json!({"packet_type": "GetMessages", "chat_id": 1, "before": 5, "after": 5}), "invalid_field"),
        (json!({"packet_type": "GetMessages", "chat_id": 77}), "unknown_chat"),
        (json!({"packet_type": "GetEvents", "chat_id": 77, "after": 0}), "unknown_chat"),
        (json!({"packet_type": "MarkRead", "chat_id": 77, "seq": 0}), "unknown_chat"),
        (json!({"packet_type": "Typing", "chat_id": 77}), "unknown_chat"),
        (message(77, "x"), "unknown_chat"),
        (json!({"packet_type": "EditMessage", "message_id": 77, "content": "x"}), "unknown_message"),
        (json!({"packet_type": "DeleteMessage", "message_id": 77}), "unknown_message"),
        (json!({"packet_type": "Hello", "version": 1, "user_id": 2}), "identity_mismatch"),
        (json!({"packet_type": "Status", "status_data": "online", "user_id": 2}), "identity_mismatch"),
        (
            json!({"packet_type": "SendMessage", "message": {"chat_id": 1, "sender_id": 2, "content": "x"}}),
            "identity_mismatch",
        ),
    ]
}

#[test]
fn what_is_out_of_bounds_is_refused_with_the_same_code_behind_every_door() {
    let server = TestServer::start();
    for door in Door::ALL {
        let mut client = Client::hello(&server, door, 1);
        for (nth, (mut packet, code)) in out_of_bounds().into_iter().enumerate() {
            packet["request_id"] = json!(1_000_000 + nth);
            client.send(&packet);
            let what: String = packet.to_string().chars().take(120).collect();
            let answer = refused(&mut client, code, &what);
            assert_eq!(answer["request_id"], 1_000_000 + nth, "{what}: {answer}");
        }
        let mut nameless = Client::connect(&server, door);
        for packet in [
            message(1, "x"),
            json!({"packet_type": "Typing", "chat_id": 1}),
            json!({"packet_type": "Status", "status_data": "online"}),
            json!({"packet_type": "MarkRead", "chat_id": 1, "seq": 0}),
        ] {
            nameless.send(&packet);
            refused(&mut nameless, "not_authenticated", &packet.to_string());
        }
    }
}

#[test]
fn a_refused_hello_ends_the_connection_with_its_code() {
    let server = TestServer::start();
    for door in Door::ALL {
        for (hello, code, close) in [
            (json!({"packet_type": "Hello", "version": 2, "user_id": 1}), "unsupported_version", 4001),
            (json!({"packet_type": "Hello", "version": 1}), "not_authenticated", 4002),
        ] {
            let mut client = Client::connect(&server, door);
            client.send(&hello);
            let (packets, close_code) = client.rest();
            assert_eq!(packets[0]["code"], code, "{door:?}: {packets:?}");
            let closing = &packets[1];
            assert_eq!((&closing["packet_type"], &closing["code"]), (&json!("Closing"), &json!(close)), "{door:?}");
            if matches!(door, Door::WsText | Door::WsBinary) {
                assert_eq!(close_code, Some(close), "{door:?}");
            }
        }
    }
}

#[test]
fn binary_that_is_no_packet_is_refused_and_the_connection_goes_on() {
    let server = TestServer::start();
    for door in [Door::TcpBinary, Door::WsBinary] {
        let mut client = Client::hello(&server, door, 1);
        let good = client.encode(&message(1, "good"));
        let text_at = good.len() - 4 - 8 - 4 - 1 - 1 - 1;
        let with = |at: usize, bytes: &[u8]| {
            let mut body = good.clone();
            body[at..at + bytes.len()].copy_from_slice(bytes);
            body
        };
        let mut cases = vec![
            (vec![0x04, 0, 14, 0, 0, 0, 0], "malformed", "an unknown flag"),
            (vec![0x02, 0, 14, 0, 0, 0, 0], "malformed", "compression that nobody agreed on"),
            (vec![0, 2, 14, 0, 0, 0, 0], "malformed", "an option that is neither there nor absent"),
            (vec![0, 0, 99, 0, 0, 0], "unknown_packet", "an unknown tag"),
            (vec![0, 0, 0xff, 0xff, 0xff, 0xff], "unknown_packet", "the largest tag"),
            (b"\x01{\"packet_type\":".to_vec(), "malformed", "broken JSON in a binary frame"),
            (b"\x01{\"packet_type\":\"Dance\"}".to_vec(), "unknown_packet", "an unknown packet as JSON"),
            (with(6, &0u64.to_le_bytes()), "invalid_field", "chat 0"),
            (with(6, &u64::MAX.to_le_bytes()), "invalid_field", "an id beyond 2^53"),
            (with(text_at, &u64::MAX.to_le_bytes()), "malformed", "a text of 16 EiB"),
            (with(text_at, &(1u64 << 40).to_le_bytes()), "malformed", "a text of 1 TiB"),
            (with(text_at, &5u64.to_le_bytes()), "malformed", "a text that is one byte longer"),
            (with(text_at + 8, &[0xff, 0xfe]), "malformed", "text that is not UTF-8"),
            ([good.as_slice(), &[0]].concat(), "malformed", "a byte too many"),
        ];
        cases.extend((1..good.len()).map(|size| (good[..size].to_vec(), "malformed", "a packet that is cut short")));
        for (body, code, what) in cases {
            client.send_body(body);
            refused(&mut client, code, what);
        }
        // The unharmed packet is fine, so what was refused was refused for the harm.
        client.send_body(good);
        assert_eq!(client.wait_for("Ack")["success"], true);
    }
}

#[test]
fn a_list_that_claims_more_than_it_has_costs_nothing() {
    let server = TestServer::start();
    for door in [Door::TcpBinary, Door::WsBinary] {
        let mut client = Client::hello(&server, door, 1);
        let before = server.resident_kib();
        for count in [1u64 << 20, 1 << 33, u64::MAX] {
            let mut body = vec![0, 0];
            body.extend_from_slice(&9u32.to_le_bytes());
            body.extend_from_slice(&count.to_le_bytes());
            client.send_body(body);
            refused(&mut client, "malformed", "a list that claims to be longer");
        }
        assert!(server.resident_kib() < before + 4096, "{door:?}");
    }
}

#[test]
fn what_is_too_large_is_passed_over_on_tcp() {
    let server = TestServer::start();
    let mut json = Client::hello(&server, Door::TcpJson, 1);
    let padded = |size: usize| {
        let packet = format!("{{\"packet_type\":\"Ping\",\"x\":\"{}\"}}", "x".repeat(size));
        assert!(packet.len() > size);
        packet.into_bytes()
    };
    json.send_body(padded(65_000));
    json.wait_for("Pong");
    for size in [65_536, 1_000_000] {
        json.send_body(padded(size));
        refused(&mut json, "too_large", "a large JSON packet");
    }
    // One that breaks off costs itself and no more: the next begins in the first column.
    json.raw(b"{\"packet_type\":\"Ping\"\n{\"packet_type\":\"Ping\",\"nonce\":1}\n");
    assert_eq!(json.wait_for("Error")["code"], "malformed");
    assert_eq!(json.wait_for("Pong")["nonce"], 1);
    // Garbage before a line's end takes only that line.
    json.raw(b"GET / HTTP/1.1 {\"packet_type\":\"Ping\"}\n{\"packet_type\":\"Ping\",\"nonce\":1}\n");
    assert_eq!(json.wait_for("Error")["code"], "malformed");
    assert_eq!(json.wait_for("Pong")["nonce"], 1);
    json.raw(b"{\"packet_type\":\"Ping\",\"x\":\"\xff\xfe\"}\n");
    refused(&mut json, "malformed", "invalid UTF-8");

    let mut binary = Client::hello(&server, Door::TcpBinary, 1);
    let framed = |size: u32| [size.to_be_bytes().as_slice(), &vec![0; size as usize]].concat();
    binary.raw(&framed(0));
    refused(&mut binary, "malformed", "an empty frame");
    for size in [65_537, 1_000_000] {
        binary.raw(&framed(size));
        refused(&mut binary, "too_large", "a large frame");
    }
    binary.raw(&[0x01, 0, 0, 0]);
    let (packets, _) = binary.rest();
    assert_eq!(packets.last().unwrap()["code"], 4000, "{packets:?}");
}

#[test]
fn a_first_byte_that_fits_no_framing_ends_a_tcp_connection() {
    let server = TestServer::start();
    for first in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"\x16\x03\x01\x02\x00", b"\xff\xff\xff\xff", b"[1]"] {
        let mut client = Client::connect(&server, Door::TcpJson);
        client.raw(first);
        let (packets, _) = client.rest();
        assert_eq!((&packets[0]["packet_type"], &packets[0]["code"]), (&json!("Closing"), &json!(4000)), "{first:?}");
    }
}

#[test]
fn a_first_frame_that_is_no_packet_is_refused_in_the_framing_it_came_in() {
    let server = TestServer::start();
    for (first, code) in
        [(b"\0\0\0\0".to_vec(), "malformed"), ([&[0, 2, 0, 0][..], &[0; 0x2_0000]].concat(), "too_large")]
    {
        let mut client = Client::connect(&server, Door::TcpBinary);
        client.raw(&first);
        refused(&mut client, code, "a first frame that is empty, or too large");
    }
}

#[test]
fn http_requests_out_of_bounds_are_refused() {
    let server = TestServer::start();
    let chat = group_chat(&server, &[1, 2]);
    let mut http = Http::to(&server);
    let mut refusals: BTreeMap<&str, f64> = BTreeMap::new();
    for (method, path, body, status, code) in [
        ("GET", "/api/chats/77", None, 404, "unknown_chat"),
        ("GET", "/api/chats/-1/messages", None, 422, "invalid_field"),
        ("GET", "/api/chats/9007199254740992/messages", None, 422, "invalid_field"),
        ("GET", "/api/chats/1/messages?page=0", None, 422, "invalid_field"),
        ("GET", "/api/chats/1/messages?page=2001", None, 422, "invalid_field"),
        ("GET", "/api/chats/1/messages?before=-1", None, 422, "invalid_field"),
        ("GET", "/api/chats/1/messages?page=1&before=1", None, 422, "invalid_field"),
        ("GET", "/api/chats/1/nothing", None, 404, "not_found"),
        ("PUT", "/api/chats/1", None, 405, "method_not_allowed"),
        ("POST", "/api/chats/1/messages", Some(json!({"content": "x"})), 401, "not_authenticated"),
        ("POST", "/api/chats/1/messages", Some(json!({"sender_id": 0, "content": "x"})), 422, "invalid_field"),
        ("POST", "/api/chats/1/messages", Some(json!({"sender_id": 1, "content": 7})), 422, "invalid_field"),
        ("POST", "/api/chats/1/messages", Some(json!({"sender_id": 1, "content": ""})), 422, "invalid_field"),
        ("POST", "/api/chats/1/messages", Some(json!([])), 422, "invalid_field"),
        ("POST", "/api/chats/77/messages", Some(json!({"sender_id": 1, "content": "x"})), 404, "unknown_chat"),
        ("PATCH", "/api/messages/77", Some(json!({"user_id": 1, "content": "x"})), 404, "unknown_message"),
        ("DELETE", "/api/messages/77?user_id=1", None, 404, "unknown_message"),
        ("POST", "/api/users", Some(json!({"nickname": ""})), 422, "invalid_field"),
        ("POST", "/api/users", Some(json!({"nickname": "x".repeat(65)})), 413, "too_large"),
        ("POST", "/api/chats", Some(json!({"title": "x".repeat(257)})), 413, "too_large"),
    ] {
        let answer = http.call(method, path, &[], body.as_ref());
        assert_eq!(answer.refusal(), (status, code.to_owned()), "{method} {path} {body:?}");
        *refusals.entry(code).or_default() += 1.0;
    }
    for (code, count) in refusals {
        assert_eq!(server.metric(&format!("chappe_acks_total{{result=\"{code}\"}}")), count, "{code}: once each");
    }
    let stranger = json!({"sender_id": 66, "content": "x"});
    let answer = http.post(&format!("/api/chats/{chat}/messages"), &stranger);
    assert_eq!(answer.refusal(), (403, "not_a_member".to_owned()));

    let with_body = |body: &[u8], length: usize| {
        let head = format!(
            "POST /api/chats/1/messages HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
            server.http
        );
        let mut http = Http::to(&server);
        http.raw(&[head.as_bytes(), body].concat());
        http.answer("POST").refusal()
    };
    let deep = format!("{{\"sender_id\":1,\"content\":\"x\",\"y\":{}{}}}", "[".repeat(40), "]".repeat(40));
    for (body, expected) in [
        (b"{\"sender_id\":1,".as_slice(), (400, "malformed")),
        (b"{\"sender_id\":1,\"content\":\"\xff\"}", (400, "malformed")),
        (deep.as_bytes(), (400, "too_deep")),
    ] {
        assert_eq!(with_body(body, body.len()), (expected.0, expected.1.to_owned()));
    }
    assert_eq!(with_body(b"", 1 << 40), (413, "too_large".to_owned()), "a length that is only claimed");
    let large = json!({"sender_id": 1, "content": "x".repeat(32 * 1024 + 1)});
    assert_eq!(http.post("/api/chats/1/messages", &large).refusal(), (413, "too_large".to_owned()));
}
