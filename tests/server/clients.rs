//! `chappe send` and `chappe tail` against a server that goes away and comes back, and `chappe bench recover`.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::flood::history;
use crate::support::http::Http;
use crate::support::programs::{Talk, run};
use crate::support::server::{CHAPPE, TestServer, command};
use crate::support::until;

fn chappe(server: &TestServer, arguments: &[&str]) -> Command {
    let mut command = command(&[CHAPPE.to_owned()], &[]);
    command.args(arguments).env("CHAPPE_TCP", server.tcp.to_string());
    command
}

fn post(server: &TestServer, text: &str) {
    Http::to(server).post("/api/chats/1/messages", &json!({"sender_id": 2, "content": text})).expect(201);
}

#[test]
fn tail_prints_each_event_once_and_in_order_across_a_crash() {
    let mut server = TestServer::start();
    post(&server, "said before it listened");
    let mut tail = Talk::start(&mut chappe(&server, &["tail", "1", "--after", "0", "--json", "--count", "4"]));
    tail.until_it_prints("said before it listened");
    post(&server, "said while it listened");
    tail.until_it_prints("said while it listened");
    server.kill();
    server.restart_on_its_ports();
    post(&server, "said behind its back");
    tail.until_it_prints("said behind its back");
    post(&server, "said last");
    let seqs: Vec<u64> = tail.end().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
}

#[test]
fn tail_prints_what_is_kept_of_a_chat_whose_beginning_is_gone_and_says_so() {
    let server = TestServer::with(&[("CHAPPE_RETENTION_MAX_MESSAGES_PER_CHAT", "3"), ("CHAPPE_RETENTION_EVERY", "1s")]);
    for nth in 1..=9 {
        post(&server, &format!("message {nth}"));
    }
    until("the old ones to go", || (history(&server, 1, 1).len() == 3).then_some(()));
    let tail = run(&mut chappe(&server, &["tail", "1", "--after", "0", "--count", "3"])).fine();
    let said: Vec<&str> = tail.stdout.lines().filter_map(|line| line.split_once(": ")).map(|(_, said)| said).collect();
    assert_eq!(said, ["message 7", "message 8", "message 9"], "{tail:?}");
    assert!(tail.stderr.contains("are not kept any more"), "{tail:?}");
}

#[test]
fn send_waits_for_a_server_that_was_there_and_says_at_once_that_there_is_none() {
    let mut server = TestServer::start();
    let sent = run(&mut chappe(&server, &["send", "1", "hello", "--client-id", "a"])).fine();
    let again = run(&mut chappe(&server, &["send", "1", "hello", "--client-id", "a"])).fine();
    assert_eq!(again.stdout.trim(), format!("{}, sent before", sent.stdout.trim()));
    let other = run(&mut chappe(&server, &["send", "1", "other", "--client-id", "a"]));
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(other.stderr.contains("conflict"), "{other:?}");
    assert_eq!(history(&server, 1, 1).len(), 1);
    server.kill();
    for arguments in [&["send", "1", "x"][..], &["tail", "1"]] {
        let run = run(&mut chappe(&server, arguments));
        assert_eq!(run.code, Some(4), "{run:?}");
        assert!(run.stderr.contains("cannot reach the server"), "{run:?}");
    }
}

#[test]
fn a_chat_that_may_not_be_read_and_one_that_is_not_there_end_the_tail() {
    let server = TestServer::start();
    let mine = crate::acks::group_chat(&server, &[1, 2]).to_string();
    for (arguments, code) in
        [(["tail", mine.as_str(), "--user", "9"], "not_a_member"), (["tail", "77", "--user", "1"], "")]
    {
        let run = run(&mut chappe(&server, &arguments));
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains(code), "{run:?}");
    }
}

#[test]
fn a_crowd_that_is_cut_off_recovers_within_three_round_trips() {
    let server = TestServer::start();
    let (http, pid) = (server.http.to_string(), server.pid().to_string());
    let arguments = ["bench", "recover", "--clients", "200", "--chats", "4", "--members", "20", "--behind", "3"];
    let rest = ["--within", "200ms", "--http", &http, "--server-pid", &pid, "--json"];
    let mut bench = chappe(&server, &arguments);
    let run = run(bench.args(rest).stderr(Stdio::inherit())).fine();
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let results = &report["results"];
    assert_eq!((&results["recovered"], &results["round_trips_max"]), (&json!(200), &json!(3)), "{report}");
    assert_eq!(results["events_pulled_or_heard"], 200 * 4 * 3, "{report}");
}
