//! A full disk makes a server that only reads, not a wrong one; and it goes on by itself when there is room again.

use std::fs;

use serde_json::{Value, json};

use crate::acks::{all_events, seqs};
use crate::support::client::{Client, Door, named_message};
use crate::support::disk::SmallDisk;
use crate::support::flood::{Written, assert_kept, history};
use crate::support::http::{Answer, Http};
use crate::support::server::{FAST, TestServer};
use crate::support::tokens::{PASSWORD, claims, sign};
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

/// Asks in token mode, as an admin.
fn ask(server: &TestServer, disk: &SmallDisk, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let mut admin = claims(1);
    admin["role"] = json!("admin");
    let secret = fs::read(disk.outside("data/token.secret")).expect("token mode has a secret");
    server.as_user(&sign(&secret, &admin), method, path, body)
}

fn post(server: &TestServer, disk: &SmallDisk, content: &str) -> Answer {
    ask(server, disk, "POST", "/api/chats/1/messages", Some(&json!({"content": content})))
}

fn contents(server: &TestServer, disk: &SmallDisk) -> Vec<String> {
    let page = ask(server, disk, "GET", "/api/chats/1/messages?limit=100", None).expect(200);
    let messages = page["messages"].as_array().expect("messages").iter();
    messages.map(|message| message["content"].as_str().expect("a content").to_owned()).collect()
}

#[test]
fn a_server_that_starts_on_a_full_disk_reads_and_waits_for_room() {
    for killed in [false, true] {
        let disk = SmallDisk::of_mib(8);
        let token_mode = [("CHAPPE_AUTH_MODE", "token")];
        let mut server = TestServer::launched(disk.launch(), &disk.inside("data"), None, &token_mode);
        let ann = json!({"nickname": "Ann", "password": PASSWORD});
        ask(&server, &disk, "POST", "/api/users", Some(&ann)).expect(201);
        let mut kept: Vec<_> = (0..20).map(|number| format!("message {number}")).collect();
        for content in &kept {
            post(&server, &disk, content).expect(201);
        }
        if killed {
            server.kill();
        } else {
            assert_eq!(server.stop(), Some(0), "{}", server.log());
        }
        let ballast = disk.fill();
        server.restart();

        // Before anybody writes: who balances load is to know.
        let ready = || Http::to(&server).get("/health/ready");
        until("the server to say that it is not ready", || (ready().status == 503).then_some(()));
        assert_eq!(ready().refusal(), (503, "storage_unavailable".to_owned()));
        let refused = post(&server, &disk, "refused");
        assert_eq!(refused.refusal(), (503, "storage_unavailable".to_owned()));
        assert_eq!(refused.json()["retryable"], true);
        assert_eq!(contents(&server, &disk), kept, "killed: {killed}");
        server.login("Ann");

        fs::remove_file(ballast).unwrap();
        until("the server to be ready by itself", || (ready().status == 200).then_some(()));
        post(&server, &disk, "there is room").expect(201);
        kept.push("there is room".to_owned());
        server.kill();
        server.restart();
        assert_eq!(contents(&server, &disk), kept);
    }
}

/// SQLite's index of the write-ahead file grows behind the commit that needs it: a disk without room for that leaves the commit
/// in doubt.
#[test]
fn a_disk_that_fills_while_the_log_has_room_of_its_own_refuses_writes_and_nothing_else() {
    // The log keeps room for 16 MiB where the disk has eight times as much.
    let disk = SmallDisk::of_mib(160);
    let mut server = TestServer::launched(disk.launch(), &disk.inside("data"), None, &FAST);
    let mut http = Http::to(&server);
    let mut kept = Vec::new();
    let post = |http: &mut Http, kept: &mut Vec<Value>| {
        let answer = http.post("/api/chats/1/messages", &json!({"sender_id": 1, "content": "y".repeat(20_000)}));
        let is_kept = answer.status == 201;
        if is_kept {
            kept.push(answer.json()["id"].clone());
        } else {
            assert_eq!(answer.refusal(), (503, "storage_unavailable".to_owned()), "behind {} messages", kept.len());
        }
        is_kept
    };
    let ids = |http: &mut Http| -> Vec<Value> {
        let page = http.get("/api/chats/1/messages?limit=10").expect(200);
        page["messages"].as_array().expect("messages").iter().map(|message| message["id"].clone()).collect()
    };
    let ballast = disk.fill();
    while post(&mut http, &mut kept) {}
    assert!(kept.len() > 500, "{}", kept.len());
    let last = |kept: &[Value]| kept[kept.len() - 10..].to_vec();
    assert_eq!(ids(&mut http), last(&kept));

    server.kill();
    server.restart();
    let mut http = Http::to(&server);
    assert_eq!(ids(&mut http), last(&kept), "a start on the full disk reads");
    fs::remove_file(ballast).unwrap();
    until("the server to be ready by itself", || (http.get("/health/ready").status == 200).then_some(()));
    assert!(post(&mut http, &mut kept));
    assert_eq!(ids(&mut http), last(&kept));
}

#[test]
fn a_start_that_finds_no_room_for_what_it_needs_says_so_and_loses_nothing() {
    let disk = SmallDisk::of_mib(8);
    let data = disk.inside("data");
    let mut server = TestServer::launched(disk.launch(), &data, None, &[("CHAPPE_AUTH_MODE", "token")]);
    post(&server, &disk, "kept").expect(201);
    server.caught_up();
    for missing in ["log.db-shm", "query.db", "accounts.db-shm", "token.secret"] {
        assert_eq!(server.stop(), Some(0), "{}", server.log());
        // As after a restore, or where a folder was copied: this file is made by the next start.
        for suffix in ["", "-shm", "-wal"] {
            let _ = fs::remove_file(disk.outside("data").join(format!("{missing}{suffix}")));
        }
        let ballast = disk.fill();
        let failed = TestServer::fails_launched(&disk.launch(), &data, &[("CHAPPE_AUTH_MODE", "token")]);
        assert_eq!(failed.code, Some(11), "without {missing}: {failed:?}");
        let said: Vec<_> = failed.stderr.lines().filter(|line| line.contains("stop server")).collect();
        let [line] = said[..] else { panic!("without {missing}: {failed:?}") };
        let says_so = ["takes no more", "No space left", "no storage space"].iter().any(|words| line.contains(words));
        assert!(says_so && line.contains("data"), "without {missing}: {line}");
        fs::remove_file(ballast).unwrap();
        server.restart();
        assert_eq!(contents(&server, &disk), ["kept"], "without {missing}");
    }

    // The same of a folder that is not there yet.
    let ballast = disk.fill();
    let failed = TestServer::fails_launched(&disk.launch(), &disk.inside("new"), &[]);
    assert_eq!(failed.code, Some(11), "{failed:?}");
    fs::remove_file(ballast).unwrap();
    TestServer::launched(disk.launch(), &disk.inside("new"), None, &[]);
}
