//! A disk that refuses, fails, is slow or turns bits over: writes are refused and may be tried again, reads go on, nothing
//! in doubt is acknowledged, and when the disk is well again so is the server. A full disk is in [`crate::full_disk`], a
//! damaged log in [`crate::recovery`].

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use serde_json::{Value, json};

use crate::acks::{all_events, group_chat, seqs};
use crate::support::client::{Client, Door, named_message};
use crate::support::dice::Dice;
use crate::support::disk::SmallDisk;
use crate::support::faults::{FaultyDisk, Whose};
use crate::support::flood::{Written, assert_kept, flood, history};
use crate::support::http::Http;
use crate::support::programs::run;
use crate::support::server::{CHAPPE, FAST, TestServer, command};
use crate::support::until;

/// Little is in memory, so that history is read from the disk.
const SMALL_CACHE: (&str, &str) = ("CHAPPE_CACHE_MESSAGES_PER_CHAT", "5");

const REBUILT: &str = "chappe_query_tables_rebuilt_total";

/// A name that no message had before.
fn new_name(door: Door) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{door:?}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Posts `count` messages, one after the other.
fn posted(server: &TestServer, count: u64) -> Written {
    let client = Client::hello(server, Door::TcpBinary, 1);
    flood(client, 1, &new_name(Door::TcpBinary), 1, count, &AtomicU64::new(0))
}

/// A client at each door. Who comes for the first time becomes a member, which is a write: this is to be done before.
fn at_all_doors(server: &TestServer) -> Vec<Client> {
    Door::ALL.into_iter().zip(1..).map(|(door, user)| Client::hello(server, door, user)).collect()
}

/// Writes through all doors at once; what became of it.
fn flooded(server: &TestServer, each: u64) -> Vec<Written> {
    let acks = AtomicU64::new(0);
    let clients = at_all_doors(server);
    std::thread::scope(|scope| {
        let writing: Vec<_> = clients
            .into_iter()
            .map(|client| {
                let (name, acks) = (new_name(client.door), &acks);
                scope.spawn(move || flood(client, 1, &name, 64, each, acks))
            })
            .collect();
        writing.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn writes_that_the_disk_refuses_may_be_tried_again_reads_go_on_and_it_recovers_by_itself() {
    for error in [Errno::ROFS, Errno::NOSPC, Errno::IO] {
        let disk = FaultyDisk::new();
        let mut settings = FAST.to_vec();
        settings.push(SMALL_CACHE);
        let mut server = disk.server(&settings);
        let mut written = vec![posted(&server, 30)];
        at_all_doors(&server);
        server.caught_up();
        disk.fail_writes(error);

        let mut client = Client::hello(&server, Door::WsText, 2);
        let packet = named_message(1, "refused", "refused");
        let ack = client.ask(packet.clone());
        assert_eq!((&ack["success"], &ack["code"]), (&json!(false), &json!("storage_unavailable")), "{error}: {ack}");
        assert!(ack["retry_after_ms"].is_u64(), "{ack}");
        let mut http = Http::to(&server);
        let answer = http.post("/api/chats/1/messages", &json!({"sender_id": 1, "content": "refused"}));
        assert_eq!(answer.refusal(), (503, "storage_unavailable".to_owned()));
        assert_eq!(http.get("/health/ready").refusal(), (503, "storage_unavailable".to_owned()));
        assert_eq!(http.get("/health").expect(200)["storage"]["writable"], false);
        assert_eq!(http.get("/health/live").status, 200);

        // However many come: all are answered, and none is kept in memory.
        let before = server.resident_kib();
        let refused = flooded(&server, 2000);
        let grown = server.resident_kib().saturating_sub(before);
        assert!(refused.iter().all(|written| written.acked.is_empty() && written.refused.len() == 2000), "{error}");
        assert!(refused.iter().flat_map(|written| written.refused.values()).all(|code| code == "storage_unavailable"));
        assert!(grown < 32 * 1024, "{error}: 8000 refused messages cost {grown} KiB");
        assert_kept(&history(&server, 1, 1), &written);

        disk.mend();
        until("the server to be ready by itself", || (http.get("/health/ready").status == 200).then_some(()));
        let ack = client.ask(packet);
        assert_eq!(ack["success"], true, "{error}: {ack}");
        assert_ne!(ack["duplicate"], true, "{error}: what was refused was not kept: {ack}");
        written.push(posted(&server, 30));
        server.kill();
        server.restart();
        let messages = history(&server, 1, 1);
        assert_kept(&messages, &written);
        assert_eq!(messages.len(), 61, "{error}: what was refused is not there");
        let events = all_events(&server, 1, 1);
        assert_eq!(seqs(&events), (1..=events.len() as u64).collect::<Vec<_>>());
        assert!(TestServer::verify_stopped(&mut server).contains("agree with the log"));
    }
}

#[test]
fn a_failed_flush_ends_the_process_and_nothing_in_doubt_is_acknowledged() {
    let disk = FaultyDisk::new();
    let mut server = disk.server(&FAST);
    let written = posted(&server, 30);
    let mut clients: Vec<_> = Door::ALL.into_iter().map(|door| Client::hello(&server, door, 1)).collect();
    disk.fail_flushes(Whose::Log);
    for client in &mut clients {
        let name = format!("{:?}", client.door);
        // The first may be the end of the others.
        client.try_send(&named_message(1, &name, &name));
    }
    for client in &mut clients {
        let (packets, _) = client.rest();
        assert!(!packets.iter().any(|packet| packet["success"] == true), "{packets:?}");
        assert!(
            !packets.iter().any(|packet| packet["packet_type"] == "Message"),
            "shown before it is kept: {packets:?}"
        );
    }
    assert_eq!(server.ended(), None, "it ends itself, by a signal");
    assert!(server.log().contains("what is kept is known only by reading it anew"), "{}", server.log());
    assert!(disk.failed_flushes() > 0);

    // As long as it does not flush, no server trusts it.
    let own = disk.variables();
    let variables: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let refused = TestServer::fails_with(&disk.data(), &variables);
    assert_eq!(refused.code, Some(1), "it may pass by itself: {refused:?}");
    assert!(refused.stderr.contains("log.db-wal"), "{refused:?}");

    disk.mend();
    server.restart();
    assert_kept(&history(&server, 1, 1), &[written]);
    for door in Door::ALL {
        let name = format!("{door:?}");
        let ack = Client::hello(&server, Door::TcpJson, 1).ask(named_message(1, &name, &name));
        assert_eq!(ack["success"], true, "{ack}");
    }
    assert_eq!(history(&server, 1, 1).len(), 34, "each once");
}

#[test]
fn a_slow_disk_makes_slow_acks_and_nothing_else() {
    let disk = FaultyDisk::new();
    let mut settings = FAST.to_vec();
    settings.extend([SMALL_CACHE, ("CHAPPE_LIMITS_PENDING_WRITES", "100")]);
    let server = disk.server(&settings);
    let mut written = vec![posted(&server, 30)];
    at_all_doors(&server);
    server.caught_up();

    // One flush, and all that is asked while it lasts: until it is let go.
    disk.slow_down(u32::MAX);
    let mut client = Client::hello(&server, Door::TcpJson, 2);
    client.send(&named_message(1, "slow", "slow"));
    until("a flush", || (disk.flushing() > 0).then_some(()));
    assert_kept(&history(&server, 1, 1), &written);
    for mut client in at_all_doors(&server) {
        let page = client.ask(json!({"packet_type": "GetMessages", "chat_id": 1, "limit": 3}));
        assert_eq!(page["messages"].as_array().unwrap().len(), 3, "{page}");
    }
    assert_eq!(Http::to(&server).get("/health/ready").status, 200);
    let heard = client.heard();
    assert!(heard.iter().all(|packet| packet["packet_type"] != "Ack"), "it is not on disk: {heard:?}");
    assert!(disk.flushing() > 0);
    disk.mend();
    let ack = client.wait_for("Ack");
    assert_eq!(ack["success"], true, "{ack}");

    // More than is taken at a time: the rest is told to come back, and is not kept in memory.
    disk.slow_down(100);
    let before = server.resident_kib();
    let flood = flooded(&server, 1000);
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 32 * 1024, "it grew by {grown} KiB");
    let refused: Vec<_> = flood.iter().flat_map(|written| written.refused.values()).collect();
    assert!(!refused.is_empty() && refused.iter().all(|code| *code == "busy"), "{refused:?}");
    assert!(flood.iter().all(|written| written.acked.len() + written.refused.len() == 1000));
    written.extend(flood);
    assert_kept(&history(&server, 1, 1), &written);
}

#[test]
fn on_a_disk_that_only_reads_no_server_starts_and_it_says_why() {
    let disk = SmallDisk::of_mib(64);
    let mut server = TestServer::launched(disk.launch(), &disk.inside("data"), None, &FAST);
    let written = posted(&server, 20);
    server.kill();
    disk.remount(true);
    let start = |data: &Path| {
        let mut command = command(&disk.launch(), &[]);
        run(command.args(["serve", "--http", "127.0.0.1:0", "--tcp", "off", "--udp", "off", "--data"]).arg(data))
    };
    for folder in ["data", "new"] {
        let refused = start(&disk.inside(folder));
        assert_eq!(refused.code, Some(11), "it may pass by itself: {refused:?}");
        assert!(refused.stderr.contains("Read-only file system"), "{refused:?}");
        assert!(refused.stderr.contains(folder), "{refused:?}");
    }
    disk.remount(false);
    server.restart();
    assert_kept(&history(&server, 1, 1), &[written]);
}

/// All pages of the history, newest first, `None` if one is refused.
fn pages(server: &TestServer) -> Option<Vec<Value>> {
    let mut http = Http::to(server);
    let (mut found, mut before) = (Vec::new(), String::new());
    loop {
        let answer = http.get(&format!("/api/chats/1/messages?limit=50&user_id=1{before}"));
        if answer.status != 200 {
            assert_eq!(answer.refusal(), (503, "storage_unavailable".to_owned()));
            return None;
        }
        let page = answer.json();
        let messages = page["messages"].as_array().unwrap();
        found.extend(messages.iter().rev().cloned());
        if page["has_more"] == false {
            return Some(found);
        }
        before = format!("&before={}", messages[0]["seq"]);
    }
}

#[test]
fn a_bit_turned_over_in_the_query_tables_is_never_shown_and_they_are_built_again() {
    let mut settings = FAST.to_vec();
    settings.push(SMALL_CACHE);
    let mut server = TestServer::with(&settings);
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    let mut dice = Dice::new(7);
    for _ in 0..300 {
        // It does not compress well, so that there is something to hit.
        let noise: String = (0..40).map(|_| format!("{:016x}", dice.next())).collect();
        client.post(1, &noise);
    }
    let own = client.ask(json!({"packet_type": "GetMessages", "chat_id": 1, "limit": 500}));
    for message in own["messages"].as_array().unwrap().iter().step_by(9) {
        let edit = json!({"packet_type": "EditMessage", "message_id": message["id"], "content": "edited"});
        assert_eq!(client.ask(edit)["success"], true);
    }
    server.caught_up();
    let truth = pages(&server).expect("all is well");
    assert_eq!(truth.len(), 300);
    assert_eq!(server.stop(), Some(0));
    let file = server.data().join("query.db");
    rusqlite::Connection::open(&file).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    let whole = fs::read(&file).unwrap();
    let (mut refused, mut unchanged) = (0, 0);
    for at in (50..whole.len()).step_by(whole.len() / 14) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(server.data().join(format!("query.db{suffix}")));
        }
        fs::write(&file, damaged).unwrap();
        server.restart();
        match pages(&server) {
            Some(shown) => {
                assert!(shown.ends_with(&truth), "byte {at} turned over, and something else is shown");
                unchanged += 1;
                assert_eq!(server.stop(), Some(0));
            }
            None => {
                refused += 1;
                // Writes go on: the log is whole.
                let mut http = Http::to(&server);
                assert_eq!(http.get("/health/ready").status, 200);
                until("the tables to be built again", || (server.metric(REBUILT) > 0.0).then_some(()));
                assert!(pages(&server).is_some_and(|shown| shown.ends_with(&truth)), "byte {at}: not built again");
                assert_eq!(http.get("/health").expect(200)["status"], "ok");
                // They are followed as those before were.
                client = Client::hello(&server, Door::TcpJson, 1);
                client.post(1, "after it");
                server.caught_up();
                assert!(TestServer::verify_stopped(&mut server).contains("agree with the log"));
            }
        }
    }
    println!("{refused} found, {unchanged} where nothing stands or at the start");
    assert!(refused > 0, "no bit was turned over where something stands");
}

#[test]
fn query_tables_that_cannot_be_written_are_built_again_at_the_next_start() {
    let mut server = TestServer::with(&[SMALL_CACHE]);
    let written = posted(&server, 20);
    server.caught_up();
    // Not as SQLite would leave them after damage that it notices, but as after a flush that failed.
    let tables = rusqlite::Connection::open(server.data().join("query.db")).unwrap();
    tables.execute_batch("DROP TABLE ends").unwrap();
    drop(tables);
    let more = posted(&server, 1);
    until("the damage is noted", || server.data().join("query.damaged").exists().then_some(()));
    server.kill();
    server.restart();
    server.caught_up();
    assert_kept(&history(&server, 1, 1), &[written, more]);
    assert!(TestServer::verify_stopped(&mut server).contains("agree with the log"));
}

#[test]
fn damage_in_a_deleted_chat_keeps_no_other_from_going() {
    let limits = [("CHAPPE_RETENTION_MAX_MESSAGES_PER_CHAT", "5"), ("CHAPPE_RETENTION_EVERY", "1s")];
    let mut server = TestServer::start();
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    let [damaged, whole] = [(); 2].map(|()| {
        let chat = group_chat(&server, &[1, 2]);
        client.post(chat, "do not keep me");
        assert_eq!(Http::to(&server).call("DELETE", &format!("/api/chats/{chat}?user_id=1"), &[], None).status, 204);
        chat
    });
    server.caught_up();
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    let tables = rusqlite::Connection::open(server.data().join("query.db")).unwrap();
    let turned = "UPDATE ends SET body = zeroblob(length(body)) WHERE chat = ?1";
    assert_eq!(tables.execute(turned, [i64::try_from(damaged).unwrap()]).unwrap(), 1);
    drop(tables);
    let limited = TestServer::launched(vec![CHAPPE.to_owned()], server.data(), None, &limits);
    let trimmed = |chat: u64| {
        let said = run(command(&[CHAPPE.to_owned()], &[]).args(["export", "--data"]).arg(server.data())).fine().stdout;
        said.lines().any(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["chat_id"] == chat && line.to_string().contains("\"Trimmed\"")
        })
    };
    until("the whole chat to go", || trimmed(whole).then_some(()));
    drop(limited);
    // Built again by now, or at this start.
    let _limited = TestServer::launched(vec![CHAPPE.to_owned()], server.data(), None, &limits);
    until("the damaged chat to go", || trimmed(damaged).then_some(()));
}
