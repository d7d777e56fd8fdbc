//! What a crash, a damaged file or a full disk leaves: everything that was acknowledged, or a clear word.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use crate::acks::{all_events, group_chat, seqs};
use crate::support::client::{Client, Door, named_message};
use crate::support::flood::{Written, assert_kept, flood, history};
use crate::support::http::Http;
use crate::support::server::TestServer;
use crate::support::until;

/// Writes into chat 1 through all doors, until `enough` messages are acknowledged; then `end` ends the server.
pub(crate) fn write_until(
    server: &mut TestServer,
    round: u32,
    enough: u64,
    end: impl FnOnce(&mut TestServer),
) -> Vec<Written> {
    let acks = AtomicU64::new(0);
    let clients: Vec<_> =
        Door::ALL.into_iter().zip(1..).map(|(door, user)| Client::hello(server, door, user)).collect();
    std::thread::scope(|scope| {
        let writing: Vec<_> = clients
            .into_iter()
            .map(|client| {
                let (name, acks) = (format!("{round}-{:?}", client.door), &acks);
                scope.spawn(move || flood(client, 1, &name, 64, u64::MAX, acks))
            })
            .collect();
        until("the flood", || (acks.load(Ordering::Relaxed) >= enough).then_some(()));
        end(server);
        writing.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn kill_9_in_a_flood_loses_nothing_acknowledged_and_the_numbers_go_on_without_a_gap() {
    let mut server = TestServer::for_floods();
    let mut written = Vec::new();
    for round in 0..3 {
        written.extend(write_until(&mut server, round, 800, TestServer::kill));
        server.restart();
        assert_kept(&history(&server, 1, 1), &written);
        let events = all_events(&server, 1, 1);
        assert_eq!(seqs(&events), (1..=events.len() as u64).collect::<Vec<_>>());
    }
    // What was not answered is sent again, under the same names: then all is there, and once.
    let unanswered: Vec<_> = written.iter().flat_map(|written| written.unanswered.clone()).collect();
    assert!(!unanswered.is_empty(), "the flood was over before the kill");
    let doors = ["TcpJson", "TcpBinary", "WsText", "WsBinary"];
    let mut known = 0;
    for client_id in &unanswered {
        let user = 1 + doors.iter().position(|door| client_id.contains(door)).unwrap() as u64;
        let mut client = Client::hello(&server, Door::TcpJson, user);
        let ack = client.ask(named_message(1, client_id, client_id));
        assert_eq!(ack["success"], true, "{ack}");
        known += u64::from(ack["duplicate"] == true);
    }
    let messages = history(&server, 1, 1);
    assert_kept(&messages, &written);
    let acked: usize = written.iter().map(|written| written.acked.len()).sum();
    assert_eq!(messages.len(), acked + unanswered.len(), "{known} of the unanswered had been stored");
    assert!(TestServer::verify_stopped(&mut server).contains("agree with the log"));
}

#[test]
fn listeners_go_on_after_a_crash_where_they_were_and_miss_nothing() {
    let mut server = TestServer::for_floods();
    let mut listeners: Vec<_> = Door::ALL.into_iter().map(|door| Client::hello(&server, door, 9)).collect();
    write_until(&mut server, 0, 500, TestServer::kill);
    // Each has heard as far as its connection brought it, and kept a number.
    let heard: Vec<_> = listeners
        .iter_mut()
        .map(|client| {
            let (packets, _) = client.rest();
            packets.into_iter().filter(|packet| packet["seq"].is_u64()).collect::<Vec<_>>()
        })
        .collect();
    server.restart();
    let truth = all_events(&server, 1, 9);
    for (door, mut heard) in Door::ALL.into_iter().zip(heard) {
        let first = heard[0]["seq"].as_u64().unwrap();
        let mut client = Client::hello(&server, door, 9);
        loop {
            let last = heard.last().unwrap()["seq"].as_u64().unwrap();
            let page = client.ask(json!({"packet_type": "GetEvents", "chat_id": 1, "after": last, "limit": 100}));
            heard.extend(page["events"].as_array().unwrap().iter().cloned());
            if page["head"] == heard.last().unwrap()["seq"] {
                break;
            }
        }
        let from = usize::try_from(first - 1).unwrap();
        assert!(heard == truth[from..], "{door:?}: what was heard before and pulled after is not the chat's history");
    }
}

#[test]
fn the_newest_message_of_every_chat_is_told_also_where_it_is_not_in_memory() {
    // More than a third of them have no room there.
    let mut server = TestServer::with(&[("CHAPPE_CACHE_BYTES", "1 MiB")]);
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    let chats: Vec<_> = (0..60).map(|_| group_chat(&server, &[1])).collect();
    let newest = |chat: &u64| format!("newest of {chat} {}", "x".repeat(30_000));
    for chat in &chats {
        client.post(*chat, &newest(chat));
    }
    for _ in 0..2 {
        let (mut told, mut after) = (HashMap::new(), None);
        while let Some(found) = {
            let page = client.ask(json!({"packet_type": "GetChats", "limit": 500, "after": after}));
            let found = page["chats"].as_array().unwrap().clone();
            (!found.is_empty()).then_some(found)
        } {
            after = found.last().unwrap()["chat_id"].as_u64();
            told.extend(found.into_iter().map(|chat| (chat["chat_id"].as_u64().unwrap(), chat)));
        }
        for chat in &chats {
            assert_eq!(told[chat]["last_message"]["content"], newest(chat), "chat {chat}");
        }
        // And from a snapshot, with nothing in memory at first.
        assert_eq!(server.stop(), Some(0));
        server.restart();
        client = Client::hello(&server, Door::TcpJson, 1);
    }
}

/// Posts `count` messages, each in a commit of its own, and kills the server.
fn killed_after(count: u64) -> TestServer {
    let mut server = TestServer::for_floods();
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    for nth in 1..=count {
        client.post(1, &format!("message {nth:04}, with some more text so that it fills its page"));
    }
    server.kill();
    server
}

fn contents(server: &TestServer) -> Vec<String> {
    let short = |message: &serde_json::Value| message["content"].as_str().unwrap()[..12].to_owned();
    history(server, 1, 1).iter().map(short).collect()
}

#[test]
fn a_torn_end_of_the_log_is_reported_and_all_before_it_is_kept() {
    let mut server = killed_after(40);
    let wal = server.data().join("log.db-wal");
    // Behind the last commit there are only zeros.
    let end = fs::read(&wal).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64;
    fs::File::options().write(true).open(&wal).unwrap().set_len(end - 100).unwrap();
    server.restart();
    assert!(server.log().contains("drop the end of the log, which is not whole"), "{}", server.log());
    assert_eq!(contents(&server), (1..=39).map(|nth| format!("message {nth:04}")).collect::<Vec<_>>());
    // And it goes on from there.
    let seq = Client::hello(&server, Door::TcpJson, 1).post(1, "one more 123")["seq"].clone();
    let events = all_events(&server, 1, 1);
    assert_eq!(events.last().unwrap()["seq"], seq);
    assert_eq!(seqs(&events), (1..=events.len() as u64).collect::<Vec<_>>());
}

/// Turns over one bit of the byte at `at`.
fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 1;
    fs::write(file, bytes).unwrap();
}

fn find(file: &Path, text: &str) -> usize {
    let bytes = fs::read(file).unwrap();
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).expect("the text stands in the file")
}

/// Asserts that neither a server nor `verify` goes on with this folder, and that both say why.
fn refused(data: &Path, reason: &str) {
    for run in [TestServer::fails_to_start(data), TestServer::verify(data)] {
        assert_eq!(run.code, Some(6), "{run:?}");
        assert!(run.stderr.contains(reason), "{reason:?} is missing in {run:?}");
    }
}

#[test]
fn a_byte_turned_over_in_the_middle_of_the_write_ahead_file_stops_the_start() {
    let server = killed_after(40);
    let wal = server.data().join("log.db-wal");
    flip(&wal, find(&wal, "message 0020"));
    let before = fs::read(&wal).unwrap();
    refused(server.data(), "log.db-wal is damaged");
    assert_eq!(fs::read(&wal).unwrap(), before, "nothing was changed");
}

#[test]
fn a_byte_turned_over_in_the_middle_of_the_log_stops_the_start_or_is_told_soon_after() {
    let mut server = killed_after(200);
    server.restart();
    assert_eq!(server.stop(), Some(0));
    let log = server.data().join("log.db");
    // All of it into one file.
    rusqlite::Connection::open(&log).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    let whole = fs::read(&log).unwrap();
    let at = find(&log, "message 0100");
    flip(&log, at);
    // What a snapshot tells of is not read at the start; it is looked through behind it.
    let mut survivor = TestServer::in_folder(server.data());
    until("the damage is told", || Http::to(&survivor).get("/health").expect(200)["damage"].is_string().then_some(()));
    survivor.kill();
    assert_eq!(TestServer::verify(server.data()).code, Some(6));
    let whole_again = || {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(server.data().join(format!("log.db{suffix}")));
        }
        fs::write(&log, &whole).unwrap();
    };
    whole_again();
    flip(&log, at);
    fs::remove_file(server.data().join("snapshot")).unwrap();
    refused(server.data(), "damaged");
    whole_again();
    // Wherever it is: either the start stops, or nothing of what was acknowledged is different.
    for at in (0..whole.len()).step_by(whole.len() / 12) {
        flip(&log, at);
        let run = TestServer::verify(server.data());
        if run.code != Some(6) {
            let mut survivor = TestServer::in_folder(server.data());
            assert_eq!(contents(&survivor).len(), 200, "byte {at} turned over: {run:?}");
            survivor.kill();
        }
        whole_again();
    }
    server.restart();
    assert_eq!(contents(&server).len(), 200);
}

#[test]
fn a_folder_has_one_server_at_a_time() {
    let mut server = TestServer::start();
    for run in [TestServer::fails_to_start(server.data()), TestServer::verify(server.data())] {
        assert_eq!(run.code, Some(5), "{run:?}");
        assert!(run.stderr.contains(&format!("process {}", server.pid())), "{run:?}");
    }
    Client::hello(&server, Door::TcpJson, 1).post(1, "undisturbed");
    server.kill();
    server.restart();
}

#[test]
fn a_folder_of_a_newer_version_is_refused() {
    for file in ["log.db", "query.db"] {
        let mut server = TestServer::start();
        assert_eq!(server.stop(), Some(0));
        let connection = rusqlite::Connection::open(server.data().join(file)).unwrap();
        connection.execute_batch("PRAGMA user_version = 99").unwrap();
        drop(connection);
        let run = TestServer::fails_to_start(server.data());
        assert_eq!(run.code, Some(6), "{file}: {run:?}");
        for part in [file, "version 99", "install the version"] {
            assert!(run.stderr.contains(part), "{part:?} is missing in {run:?}");
        }
    }
}

#[test]
fn verify_agrees_after_a_mixed_life_and_finds_a_row_that_was_changed_by_hand() {
    let mut server = TestServer::for_floods();
    let chat = group_chat(&server, &[1, 2, 3]);
    for round in 0..2 {
        let mut client = Client::hello(&server, Door::TcpBinary, 1);
        for nth in 0..60 {
            let id = client.post(chat, &format!("{round} {nth}"))["message_id"].clone();
            let packet = match nth % 5 {
                0 => json!({"packet_type": "EditMessage", "message_id": id, "content": "edited"}),
                1 => json!({"packet_type": "DeleteMessage", "message_id": id}),
                2 => json!({"packet_type": "React", "message_id": id, "emoji": "\u{1f44d}"}),
                3 => json!({"packet_type": "MarkRead", "chat_id": chat, "seq": nth}),
                _ => continue,
            };
            assert_eq!(client.ask(packet)["success"], true);
        }
        let mut http = Http::to(&server);
        http.call("DELETE", &format!("/api/chats/{chat}/members/3?user_id=1"), &[], None);
        http.post(&format!("/api/chats/{chat}/members"), &json!({"user_id": 4 + round, "by": 1})).expect(201);
        http.call("PATCH", &format!("/api/chats/{chat}"), &[], Some(&json!({"title": "new", "user_id": 1})))
            .expect(200);
        http.post("/api/users", &json!({"nickname": "Zoe"})).expect(201);
        write_until(&mut server, round, 200, TestServer::kill);
        server.restart();
    }
    server.caught_up();
    let verified = TestServer::verify_stopped(&mut server);
    assert!(verified.contains("agree with the log"), "{verified}");

    let query = server.data().join("query.db");
    let change = |sql: &str| assert_eq!(rusqlite::Connection::open(&query).unwrap().execute(sql, ()).unwrap(), 1);
    change("UPDATE changes SET body = x'00' WHERE (chat, seq) = (SELECT chat, min(seq) FROM changes)");
    let run = TestServer::verify(server.data());
    assert_eq!(run.code, Some(7), "{run:?}");
    assert!(run.stdout.contains("changes: 2 rows"), "{run:?}");
}

#[test]
fn without_its_query_tables_the_server_answers_the_whole_history_and_builds_them_again() {
    let mut server = TestServer::with(&[("CHAPPE_CACHE_MESSAGES_PER_CHAT", "5")]);
    let written = write_until(&mut server, 0, 2000, TestServer::kill);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(server.data().join(format!("query.db{suffix}")));
    }
    server.restart();
    // At once, whatever the projector has done so far.
    assert_kept(&history(&server, 1, 1), &written);
    let events = all_events(&server, 1, 1);
    assert_eq!(seqs(&events), (1..=events.len() as u64).collect::<Vec<_>>());
    server.caught_up();
    assert_kept(&history(&server, 1, 1), &written);
    let verified = TestServer::verify_stopped(&mut server);
    assert!(verified.contains("agree with the log"), "{verified}");
}

#[test]
fn only_whoever_runs_the_server_reads_its_files() {
    use std::os::unix::fs::PermissionsExt;
    let server = TestServer::with_tokens(&[]);
    server.account("Ann");
    let mut folders = vec![server.data().to_owned()];
    while let Some(path) = folders.pop() {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
        if path.is_dir() {
            folders.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}
