//! The clients that were there first: small programs without a Hello, in the languages and with the bytes that the first
//! documents show. They work on an empty data folder; only the ports are ours.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::client::{Client, Door};
use crate::support::programs::run;
use crate::support::server::TestServer;
use crate::support::udp::Udp;

/// Sends one message as it connects, and prints the id in the answer.
const NODE_TCP: &str = r#"
const net = require('net');
const client = net.connect(Number(process.argv[1]), '127.0.0.1', () => {
  const message = { chat_id: 1, sender_id: 1, content: 'Hello!', message_type: 'Text' };
  client.write(JSON.stringify({ packet_type: 'SendMessage', message }));
});
client.on('data', (data) => {
  console.log('Message ID:', JSON.parse(data.toString()).message_id);
  client.end();
});
"#;

/// Says that user 1 is online.
const PYTHON_UDP: &str = r#"
import json, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
packet = {'packet_type': 'Status', 'user_id': 1, 'status_data': 'online'}
sock.sendto(json.dumps(packet).encode(), ('127.0.0.1', int(sys.argv[1])))
"#;

#[test]
fn the_first_javascript_client_sends_a_message_over_tcp() {
    let server = TestServer::start();
    let port = server.tcp.port().to_string();
    let first = run(Command::new("node").args(["-e", NODE_TCP, &port])).fine();
    let id: u64 = first.stdout.trim().strip_prefix("Message ID: ").unwrap().parse().unwrap();
    let page = Client::hello(&server, Door::TcpJson, 2).ask(json!({"packet_type": "GetMessages", "chat_id": 1}));
    let message = &page["messages"][0];
    assert_eq!((&message["id"], &message["content"], &message["sender_id"]), (&json!(id), &json!("Hello!"), &json!(1)));
}

#[test]
fn the_first_python_client_says_over_udp_that_a_user_is_online() {
    let server = TestServer::start();
    let mut watcher = Client::hello(&server, Door::WsText, 2);
    Client::hello(&server, Door::TcpJson, 2).post(1, "makes user 2 known");
    let body = json!({"packet_type": "SendMessage", "message": {"chat_id": 1, "sender_id": 1, "content": "known"}});
    Client::connect(&server, Door::TcpJson).ask(body);
    run(Command::new("python3").args(["-c", PYTHON_UDP, &server.udp.port().to_string()])).fine();
    let told = watcher.status_of(1);
    assert_eq!(told["status_data"], "online");
}

/// Writes a packet with every optional field as `null`, as the first Rust clients do, and reads once into 64 KiB.
fn ask(server: &TestServer, packet: &Value) -> Value {
    let mut all = json!({"packet_type": null, "message": null, "chat_id": null, "page": null, "per_page": null,
        "user_id": null, "status_data": null});
    all.as_object_mut().unwrap().extend(packet.as_object().unwrap().clone());
    let mut stream = TcpStream::connect(server.tcp).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(all.to_string().as_bytes()).unwrap();
    let mut buffer = vec![0; 65_536];
    let size = stream.read(&mut buffer).unwrap();
    serde_json::from_slice(&buffer[..size]).unwrap()
}

#[test]
fn the_first_rust_clients_send_and_read_messages_over_tcp() {
    let server = TestServer::start();
    // A whole message, with fields that the server chooses itself.
    let message = json!({"id": 0, "chat_id": 1, "sender_id": 7, "content": "from Rust", "message_type": "Text",
        "created_at": 1_700_000_000, "reply_to": null});
    let ack = ask(&server, &json!({"packet_type": "SendMessage", "message": message}));
    assert_eq!((&ack["success"], &ack["error"]), (&json!(true), &Value::Null), "{ack}");
    assert!(ack.as_object().unwrap().contains_key("error"), "it stands there, as null: {ack}");
    let page = ask(&server, &json!({"packet_type": "GetMessages", "chat_id": 1, "page": 1, "per_page": 50}));
    assert_eq!(
        (&page["messages"][0]["id"], &page["messages"][0]["content"]),
        (&ack["message_id"], &json!("from Rust"))
    );
    let refused = ask(
        &server,
        &json!({"packet_type": "SendMessage", "message": {"chat_id": 9, "sender_id": 7,
        "content": "x", "message_type": "Text"}}),
    );
    assert_eq!((&refused["success"], &refused["message_id"]), (&json!(false), &json!(0)), "{refused}");
    assert!(refused["error"].is_string());
}

#[test]
fn the_first_rust_clients_beacon_over_udp() {
    let server = TestServer::start();
    let mut watcher = Client::hello(&server, Door::TcpBinary, 2);
    ask(&server, &json!({"packet_type": "SendMessage", "message": {"chat_id": 1, "sender_id": 7, "content": "known"}}));
    let udp = Udp::to(&server);
    let rest =
        json!({"message": null, "chat_id": 1, "page": null, "per_page": null, "user_id": 7, "status_data": null});
    let packet = |fields: Value| {
        let mut packet = rest.clone();
        packet.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        packet
    };
    udp.say(&packet(json!({"packet_type": "Ping"})));
    let pong: Value = serde_json::from_slice(&udp.receive()).unwrap();
    assert_eq!(pong["packet_type"], "Pong");
    udp.say(&packet(json!({"packet_type": "Status", "status_data": "online"})));
    let told = watcher.status_of(7);
    assert_eq!(told["status_data"], "online");
    udp.say(&packet(json!({"packet_type": "Typing"})));
    assert_eq!(watcher.wait_for("Typing")["user_id"], 7);
}

#[test]
fn curl_lists_chats_and_reads_and_writes_messages() {
    let server = TestServer::start();
    let curl = |path: &str, more: &[&str]| -> Value {
        let url = format!("http://{}{path}", server.http);
        let run = run(Command::new("curl").args(["--silent", "--show-error", "--fail", &url]).args(more)).fine();
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
    };
    let chats = curl("/api/chats", &[]);
    assert_eq!((&chats["chats"][0]["chat_id"], &chats["chats"][0]["title"]), (&json!(1), &json!("general")));
    let json = ["-H", "Content-Type: application/json", "-d"];
    let body = r#"{"sender_id": 1, "content": "Hello!", "message_type": "Text"}"#;
    let posted = curl("/api/chats/1/messages", &[json.as_slice(), &[body]].concat());
    assert_eq!(posted["content"], "Hello!");
    let page = curl("/api/chats/1/messages?page=1&per_page=50", &[]);
    assert_eq!(page, json!({"chat_id": 1, "messages": [posted], "has_more": false}));
    assert_eq!(curl("/health", &[])["status"], "ok");
}

#[test]
fn netcat_gets_a_pong_for_a_bare_ping_on_both_ports() {
    let server = TestServer::start();
    let ping = r#"echo '{"packet_type":"Ping"}' | nc -w 1"#;
    for (flag, port) in [("", server.tcp.port()), ("-u", server.udp.port())] {
        let script = format!("{ping} {flag} 127.0.0.1 {port}");
        let run = run(Command::new("sh").args(["-c", &script]));
        let pong: Value = serde_json::from_str(&run.stdout)
            .unwrap_or_else(|error| panic!("{error}: {run:?} (./check installs netcat-openbsd, if nc is missing)"));
        assert_eq!(pong["packet_type"], "Pong", "{flag}");
    }
}
