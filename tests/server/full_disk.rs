//! A full disk makes a server that only reads, not a wrong one; and it goes on by itself when there is room again.

use std::fs;

use serde_json::json;

use crate::acks::{all_events, seqs};
use crate::support::client::{Client, Door, named_message};
use crate::support::disk::SmallDisk;
use crate::support::flood::{Written, assert_kept, history};
use crate::support::http::Http;
use crate::support::server::{FAST, TestServer};
use crate::support::until;

#[test]
fn a_full_disk_refuses_writes_and_answers_reads_until_there_is_room_again() {
    let disk = SmallDisk::of_mib(8);
    fs::write(disk.outside("ballast"), vec![1; 4 << 20]).unwrap();
    let mut server = TestServer::launched(disk.launch(), &disk.inside("data"), None, &FAST);
    let mut http = Http::to(&server);
    assert_eq!(http.get("/health/ready").status, 200);

    // Fill it, a message at a time, until one is refused.
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    let mut written = Written::default();
    let refused = loop {
        let client_id = format!("{}-{}", written.acked.len(), "x".repeat(100));
        let mut packet = named_message(1, &client_id, &client_id);
        packet["message"]["content"] = json!(client_id);
        let ack = client.ask(packet.clone());
        if ack["success"] != true {
            assert_eq!(ack["code"], "storage_unavailable", "{ack}");
            assert!(ack["retry_after_ms"].is_u64(), "{ack}");
            break packet;
        }
        written.acked.insert(client_id, (ack["message_id"].as_u64().unwrap(), ack["seq"].as_u64().unwrap()));
        assert!(written.acked.len() < 100_000, "the disk does not fill");
    };

    // It only reads now, and says so at every door.
    let answer = http.post("/api/chats/1/messages", &json!({"sender_id": 1, "content": "y".repeat(20_000)}));
    assert_eq!(answer.refusal(), (503, "storage_unavailable".to_owned()));
    assert_eq!(http.get("/health/ready").refusal(), (503, "storage_unavailable".to_owned()));
    let health = http.get("/health").expect(200);
    assert_eq!((&health["status"], &health["storage"]["writable"]), (&json!("degraded"), &json!(false)), "{health}");
    assert_eq!(http.get("/health/live").status, 200);
    for door in [Door::WsText, Door::TcpBinary] {
        let mut reader = Client::hello(&server, door, 1);
        let page = reader.ask(json!({"packet_type": "GetMessages", "chat_id": 1, "limit": 3}));
        assert_eq!(page["messages"].as_array().unwrap().len(), 3, "{page}");
    }
    assert_kept(&history(&server, 1, 1), std::slice::from_ref(&written));

    // Room again: the server finds out without a write, so that whoever balances load sends it some.
    fs::remove_file(disk.outside("ballast")).unwrap();
    until("the server to be ready by itself", || (http.get("/health/ready").status == 200).then_some(()));
    // What was refused is sent again, as the ack said.
    let ack = client.ask(refused.clone());
    assert_eq!(ack["success"], true, "{ack}");
    assert_ne!(ack["duplicate"], true, "what was refused was not kept: {ack}");
    assert_eq!(http.get("/health/ready").status, 200);
    let client_id = refused["message"]["client_id"].as_str().unwrap().to_owned();
    written.acked.insert(client_id, (ack["message_id"].as_u64().unwrap(), ack["seq"].as_u64().unwrap()));

    server.kill();
    server.restart();
    let messages = history(&server, 1, 1);
    assert_kept(&messages, std::slice::from_ref(&written));
    assert_eq!(messages.len(), written.acked.len());
    let events = all_events(&server, 1, 1);
    assert_eq!(seqs(&events), (1..=events.len() as u64).collect::<Vec<_>>());
}
