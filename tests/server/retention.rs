//! What is not kept for ever: messages past an age or a number, and what somebody said who is erased. It is gone from every
//! file, whenever the server or the command is killed, and nothing else is.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::acks::{all_events, group_chat, seqs};
use crate::support::client::{Client, Door, named_message};
use crate::support::dice::Dice;
use crate::support::flood::{Written, assert_kept, flood, history};
use crate::support::http::Http;
use crate::support::programs::{Run, run};
use crate::support::server::{CHAPPE, TestServer, command};
use crate::support::until;

/// What nobody else says.
const SECRET: &str = "do-not-keep-me";

fn chappe(words: &[&str], data: &Path) -> std::process::Command {
    let mut command = command(&[CHAPPE.to_owned()], &[]);
    command.args(words).arg("--data").arg(data);
    command
}

pub(crate) fn erase(user: u64, data: &Path) -> Run {
    run(&mut chappe(&["user", "erase", &user.to_string()], data))
}

/// The files of a folder in which something stands.
fn files_with(data: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        // Some come and go meanwhile.
        let Ok(bytes) = fs::read(&path) else { continue };
        let first = needle.as_bytes()[0];
        let places = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
        if places.map(|(at, _)| at).any(|at| bytes[at..].starts_with(needle.as_bytes())) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

fn newest(client: &mut Client, chat: u64) -> Value {
    client.ask(json!({"packet_type": "GetMessages", "chat_id": chat, "limit": 500}))
}

fn contents(page: &Value) -> Vec<&str> {
    page["messages"].as_array().unwrap().iter().map(|message| message["content"].as_str().unwrap()).collect()
}

#[test]
fn of_a_chat_only_the_newest_are_kept_and_who_was_away_for_long_starts_afresh() {
    let mut server =
        TestServer::with(&[("CHAPPE_RETENTION_MAX_MESSAGES_PER_CHAT", "5"), ("CHAPPE_RETENTION_EVERY", "1s")]);
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    let mut head = 0;
    for nth in 1..=12 {
        head = client.post(1, &format!("message {nth}"))["seq"].as_u64().unwrap();
    }
    for round in 0..2 {
        let page = until("the old ones to go", || {
            let page = newest(&mut client, 1);
            (contents(&page).len() == 5).then_some(page)
        });
        assert_eq!(contents(&page), ["message 8", "message 9", "message 10", "message 11", "message 12"]);
        assert_eq!(page["has_more"], false);
        // Since then somebody has come in.
        let reset = client.ask(json!({"packet_type": "GetEvents", "chat_id": 1, "after": 0}));
        assert_eq!(reset["packet_type"], "Reset", "{reset}");
        let now = reset["head"].as_u64().unwrap();
        let events = client.ask(json!({"packet_type": "GetEvents", "chat_id": 1, "after": head - 5}));
        assert_eq!(seqs(events["events"].as_array().unwrap()), (head - 4..=now).collect::<Vec<_>>());
        let chats = Client::hello(&server, Door::WsText, 9).ask(json!({"packet_type": "GetChats"}));
        assert!(chats["chats"][0]["unread"].as_u64().unwrap() <= 5, "{chats}");
        if round == 0 {
            server.kill();
            server.restart();
            client = Client::hello(&server, Door::WsBinary, 1);
        }
    }
    assert!(TestServer::verify_stopped(&mut server).contains("agree with the log"));
    let done = run(&mut chappe(&["compact"], server.data())).fine();
    assert!(done.stdout.contains(" records say less now; the log went from "), "{}", done.stdout);
    assert!(TestServer::verify(server.data()).fine().stdout.contains("agree with the log"));
    assert_eq!(files_with(server.data(), "message 7"), [""; 0]);
    assert!(!files_with(server.data(), "message 8").is_empty(), "what is kept is there");
    server.restart();
    let mut client = Client::hello(&server, Door::TcpBinary, 1);
    assert_eq!(contents(&newest(&mut client, 1)).len(), 5);
    assert!(client.post(1, "one more")["seq"].as_u64() > Some(head), "the numbers go on");
}

#[test]
fn messages_past_their_age_go_and_the_numbers_go_on() {
    let mut server = TestServer::with(&[
        ("CHAPPE_RETENTION_MAX_AGE", "3s"),
        ("CHAPPE_RETENTION_EVERY", "1s"),
        ("CHAPPE_RETENTION_COMPACT_EVERY", "1s"),
    ]);
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    for nth in 0..20 {
        client.post(1, &format!("{SECRET} {nth}"));
    }
    let posted = client.post(1, "edited");
    let (last, head) = (posted["message_id"].clone(), posted["seq"].as_u64().unwrap());
    client.ask(json!({"packet_type": "EditMessage", "message_id": last, "content": SECRET}));
    client.ask(json!({"packet_type": "React", "message_id": last, "emoji": SECRET}));
    let chat = group_chat(&server, &[1, 2]);
    let ending = client.post(chat, &format!("{SECRET} in a chat that ends"))["message_id"].clone();
    client.ask(json!({"packet_type": "EditMessage", "message_id": ending, "content": format!("{SECRET} edited")}));
    assert_eq!(Http::to(&server).call("DELETE", &format!("/api/chats/{chat}?user_id=1"), &[], None).status, 204);
    until("the old ones to go", || contents(&newest(&mut client, 1)).is_empty().then_some(()));
    let page = newest(&mut client, 1);
    assert_eq!(page["has_more"], false);
    let refused = client.ask(json!({"packet_type": "EditMessage", "message_id": last, "content": "again"}));
    assert_eq!(refused["code"], "unknown_message");
    // An edit goes with its message, though it stands behind it and nothing was said since.
    let events = client.ask(json!({"packet_type": "GetEvents", "chat_id": 1, "after": head}));
    assert_eq!(seqs(events["events"].as_array().unwrap())[..2], [head + 1, head + 2], "{events}");
    assert!(!events.to_string().contains(SECRET), "{events}");
    until("the bytes to go", || {
        files_with(server.data(), SECRET).iter().all(|file| file.starts_with("query")).then_some(())
    });
    assert!(client.post(1, "young")["seq"].as_u64() > Some(head + 2));
    assert!(TestServer::verify_stopped(&mut server).contains("agree with the log"));
}

/// A server in which user 7 has said a lot: in a chat of its own and in the one of all, edits, reactions and a name.
fn talkative(messages: u64) -> (TestServer, u64) {
    let server = TestServer::for_floods();
    let chat = group_chat(&server, &[6, 7]);
    let made = Http::to(&server).post("/api/users", &json!({"nickname": format!("{SECRET}-name")})).expect(201);
    assert!(made["user_id"].is_u64());
    let mut talker = Client::hello(&server, Door::TcpJson, 7);
    let mut friend = Client::hello(&server, Door::WsText, 6);
    for nth in 0..messages {
        let room = if nth % 2 == 0 { chat } else { 1 };
        let ack = talker.ask(named_message(room, &format!("{SECRET} {nth}"), &format!("{SECRET}-{nth}")));
        assert_eq!(ack["success"], true, "{ack}");
        if nth % 10 == 0 {
            let id = &ack["message_id"];
            talker.ask(json!({"packet_type": "EditMessage", "message_id": id, "content": format!("{SECRET} edited")}));
            friend.ask(json!({"packet_type": "React", "message_id": id, "emoji": "kept"}));
            let theirs = friend.post(room, "an answer")["message_id"].clone();
            talker.ask(json!({"packet_type": "React", "message_id": theirs, "emoji": SECRET}));
        }
    }
    (server, chat)
}

fn is_erased(server: &mut TestServer, chat: u64) {
    let events = all_events(server, chat, 6);
    assert_eq!(seqs(&events), (1..=events.len() as u64).collect::<Vec<_>>(), "no number is missing");
    assert!(!serde_json::to_string(&events).unwrap().contains(SECRET));
    let messages = history(server, chat, 6);
    let (theirs, others): (Vec<_>, Vec<_>) = messages.iter().partition(|message| message["sender_id"] == 7);
    assert!(!theirs.is_empty() && theirs.iter().all(|message| message["deleted"] == true && message["content"] == ""));
    assert!(!others.is_empty() && others.iter().all(|message| message["content"] == "an answer"));
    let members = Http::to(server).get(&format!("/api/chats/{chat}/members?user_id=6")).expect(200);
    assert!(members["members"].as_array().unwrap().iter().all(|member| member["user_id"] != 7), "{members}");
    assert_eq!(Http::to(server).get("/api/users/7").expect(200)["nickname"], "user 7");
    assert_eq!(files_with(server.data(), SECRET), [""; 0]);
    assert!(TestServer::verify_stopped(server).contains("agree with the log"));
    assert_eq!(files_with(server.data(), SECRET), [""; 0]);
}

/// The user that was made with a telling name.
fn forget_the_name(server: &TestServer) {
    let users = Http::to(server).get("/api/users?limit=500").expect(200);
    let named = users["users"].as_array().unwrap().iter().find(|user| user["nickname"] == format!("{SECRET}-name"));
    if let Some(named) = named {
        erase(named["user_id"].as_u64().unwrap(), server.data()).fine();
    }
}

#[test]
fn who_is_erased_while_others_write_is_in_no_file_any_more_and_nobody_else_loses_a_word() {
    let (mut server, chat) = talkative(600);
    let acks = AtomicU64::new(0);
    let written: Vec<Written> = std::thread::scope(|scope| {
        let writers: Vec<_> = Door::ALL
            .into_iter()
            .zip(1..)
            .map(|(door, user)| {
                let (client, acks) = (Client::hello(&server, door, user), &acks);
                scope.spawn(move || flood(client, 1, &format!("{door:?}"), 16, 3000, acks))
            })
            .collect();
        until("the flood", || (acks.load(Ordering::Relaxed) > 500).then_some(()));
        let done = erase(7, server.data()).fine();
        assert_eq!(done.stdout, "user 7 is erased; the server goes on\n");
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    forget_the_name(&server);
    let messages = history(&server, 1, 1);
    assert_kept(&messages, &written);
    assert!(messages.iter().filter(|message| message["sender_id"] == 7).all(|message| message["deleted"] == true));
    is_erased(&mut server, chat);
    server.restart();
    assert_kept(&history(&server, 1, 1), &written);
    is_erased(&mut server, chat);
}

#[test]
fn an_erasure_in_which_the_server_is_killed_goes_on_at_the_next_start() {
    let (mut server, chat) = talkative(400);
    forget_the_name(&server);
    let mut dice = Dice::new(7);
    let mut asking: Child = chappe(&["user", "erase", "7"], server.data())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let request = server.data().join("erase-7");
    until("the request", || request.exists().then_some(()));
    for _ in 0..4 {
        // Anywhere between the look for requests, the facts, the tables and the rewriting of the log.
        std::thread::sleep(Duration::from_millis(200 + dice.below(1300)));
        server.kill();
        server.restart();
    }
    until("the erasure", || (!request.exists()).then_some(()));
    assert!(asking.wait().unwrap().success());
    is_erased(&mut server, chat);
}

#[test]
fn how_far_the_log_was_rewritten_does_not_count_for_one_that_lost_its_end() {
    let mut server = TestServer::for_floods();
    Client::hello(&server, Door::TcpJson, 6).post(1, "kept");
    assert_eq!(server.stop(), Some(0));
    let kept = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &Path| {
        for file in ["log.db", "log.db-wal"].iter().filter(|file| from.join(file).exists()) {
            fs::copy(from.join(file), to.join(file)).unwrap();
        }
    };
    copy(server.data(), kept.path());
    server.restart();
    let mut client = Client::hello(&server, Door::TcpJson, 8);
    (0..100).for_each(|_| drop(client.post(1, "lost")));
    erase(8, server.data()).fine();
    assert!(server.data().join("compacted").exists());
    assert_eq!(server.stop(), Some(0));
    // An old copy of the log: what follows takes positions that were rewritten once.
    for file in ["log.db-wal", "log.db-shm"] {
        let _ = fs::remove_file(server.data().join(file));
    }
    copy(kept.path(), server.data());
    server.restart();
    Client::hello(&server, Door::TcpJson, 7).post(1, SECRET);
    assert!(!files_with(server.data(), SECRET).is_empty());
    erase(7, server.data()).fine();
    assert_eq!(files_with(server.data(), SECRET), [""; 0]);
}

/// Starts a command on a stopped server's folder and kills it after a while; whether it had ended before.
fn killed(words: &[&str], data: &Path, after: Duration) -> bool {
    let mut child =
        chappe(words, data).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    std::thread::sleep(after);
    let ended = child.try_wait().unwrap().is_some();
    let _ = child.kill();
    child.wait().unwrap();
    ended
}

#[test]
fn a_command_that_is_killed_anywhere_is_run_again_and_loses_nothing_of_others() {
    let (mut server, chat) = talkative(400);
    forget_the_name(&server);
    let before: BTreeSet<String> = history(&server, 1, 6)
        .iter()
        .filter(|message| message["sender_id"] != 7)
        .map(|message| message.to_string())
        .collect();
    assert_eq!(server.stop(), Some(0));
    let mut broken_off = 0;
    for millis in [5, 15, 25, 35, 45, 60, 80, 100, 130, 170] {
        broken_off += u32::from(!killed(&["user", "erase", "7"], server.data(), Duration::from_millis(millis)));
        broken_off += u32::from(!killed(&["compact"], server.data(), Duration::from_millis(millis)));
        assert!(TestServer::verify(server.data()).fine().stdout.contains("agree with the log"));
    }
    assert!(broken_off > 0, "none was killed before its end");
    let done = erase(7, server.data()).fine();
    assert!(done.stderr.contains("user 7 is erased"), "{}", done.stderr);
    run(&mut chappe(&["compact"], server.data())).fine();
    assert_eq!(files_with(server.data(), SECRET), [""; 0]);
    server.restart();
    let after: BTreeSet<String> = history(&server, 1, 6)
        .iter()
        .filter(|message| message["sender_id"] != 7)
        .map(|message| message.to_string())
        .collect();
    assert_eq!(after, before);
    is_erased(&mut server, chat);
}

#[test]
fn an_account_is_erased_with_its_user_and_its_token_is_not_believed() {
    let mut server = TestServer::with_tokens(&[]);
    let user = server.account(SECRET);
    let session = server.login(SECRET);
    let token = session["token"].as_str().unwrap().to_owned();
    let mut client = Client::holding(&server, Door::WsText, &token);
    client.post(1, SECRET);
    let done = erase(user, server.data()).fine();
    assert_eq!(done.stdout, format!("user {user} is erased; the server goes on\n"));
    let refused = server.as_user(&token, "GET", "/api/chats", None).refusal();
    assert_eq!(refused.0, 401, "{refused:?}");
    let body = json!({"nickname": SECRET, "password": crate::support::tokens::PASSWORD});
    assert_eq!(Http::to(&server).post("/api/sessions", &body).refusal().0, 401);
    assert_eq!(files_with(server.data(), SECRET), [""; 0]);
    // What they were called is free again, and whoever takes it is somebody else.
    let again = server.account(SECRET);
    assert_ne!(again, user);
    erase(again, server.data()).fine();
    assert!(TestServer::verify_stopped(&mut server).contains("agree with the log"));
    assert_eq!(files_with(server.data(), SECRET), [""; 0]);
}

/// What the accounts' file says of somebody: whether it has an account, and whether they are disabled.
fn standing(data: &Path, user: u64) -> (bool, bool) {
    let file = rusqlite::Connection::open(data.join("accounts.db")).unwrap();
    let found = |sql: &str| file.prepare(&format!("{sql} {user}")).unwrap().exists(()).unwrap();
    (found("SELECT 1 FROM accounts WHERE user ="), found("SELECT 1 FROM standing WHERE disabled AND user ="))
}

#[test]
fn an_id_that_is_a_slip_changes_nothing_for_the_stranger_whose_it_is() {
    let mut server = TestServer::with_tokens(&[]);
    server.account("ann");
    for with_a_server in [true, false] {
        let refused = erase(888, server.data());
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.stderr.contains("there is no user 888 in the log: nothing was changed"), "{refused:?}");
        assert_eq!(standing(server.data(), 888), (false, false));
        assert!(!server.data().join("erase-888").exists());
        if with_a_server {
            server.stop();
        }
    }
    server.restart();
    Client::holding(&server, Door::TcpJson, &server.token(888));
}

#[test]
fn an_erasure_that_is_killed_once_the_server_was_asked_is_done_all_the_same() {
    let mut server = TestServer::with_tokens(&[]);
    let user = server.account(SECRET);
    let mut client = Client::holding(&server, Door::WsText, &server.token(user));
    client.post(1, SECRET);
    let mut asking = chappe(&["user", "erase", SECRET], server.data())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut said = String::new();
    BufReader::new(asking.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains(&format!("was asked to erase user {user}")), "{said}");
    assert_eq!(standing(server.data(), user), (false, true));
    let request = server.data().join(format!("erase-{user}"));
    assert!(request.exists(), "the server waits until nobody believes them");
    asking.kill().unwrap();
    asking.wait().unwrap();
    until("the erasure", || (!request.exists()).then_some(()));
    assert_eq!(files_with(server.data(), SECRET), [""; 0]);
    assert!(TestServer::verify_stopped(&mut server).contains("agree with the log"));
}

#[test]
fn who_waits_for_an_erasure_is_told_when_no_server_is_left_to_do_it() {
    let (mut server, chat) = talkative(40);
    forget_the_name(&server);
    let data = server.data().to_owned();
    let asking = std::thread::spawn(move || erase(7, &data));
    let request = server.data().join("erase-7");
    until("the request", || request.exists().then_some(()));
    server.kill();
    let told = asking.join().unwrap();
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.stderr.contains("asked to erase user 7"), "{told:?}");
    assert!(told.stderr.contains("no server uses the folder any more"), "{told:?}");
    server.restart();
    until("the erasure", || (!request.exists()).then_some(()));
    is_erased(&mut server, chat);
}
