//! Every example of `examples/README.md` is run against a real server, as its row says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::browser::Browser;
use crate::support::client::{Client, Door, tells_of};
use crate::support::flood::history;
use crate::support::http::Http;
use crate::support::programs::{Run, Talk, run};
use crate::support::server::TestServer;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The commands of the table, by the file that its row links to.
fn table() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("examples/README.md")).unwrap();
    let row = |line: &str| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let file = cells.next()?.split_once("](")?.1.trim_end_matches(')').to_owned();
        Some((file, cells.next()?.to_owned()))
    };
    text.lines().filter(|line| line.starts_with("| [")).filter_map(row).collect()
}

/// The command in the first back-quotes that runs the file itself; what installs something before it is done by
/// `./check`.
fn command_of(file: &str) -> String {
    let (_, cell) = table().into_iter().find(|(known, _)| known == file).expect("the table has a row for it");
    let command = cell.split('`').nth(1).expect("the row has a command").to_owned();
    command.rsplit("&& ").next().unwrap_or_default().to_owned()
}

/// Runs a row's command in the root of the repository, told where the server is.
fn run_row(server: &TestServer, file: &str) -> Run {
    run(&mut row(server, file))
}

pub(crate) fn row(server: &TestServer, file: &str) -> Command {
    let mut command = program(file);
    command
        .env("CHAPPE_TCP", server.tcp.to_string())
        .env("CHAPPE_UDP", server.udp.to_string())
        .env("CHAPPE_WS", format!("ws://{}/ws", server.http));
    command
}

/// A row's command in the root of the repository.
pub(crate) fn program(file: &str) -> Command {
    let command = command_of(file);
    let mut words = command.split_whitespace().map(str::to_owned);
    let mut program = words.next().unwrap();
    let mut arguments: Vec<String> = words.collect();
    if program == "cargo" {
        // Built already, with the tests: no second cargo waits for this one's lock.
        let name = arguments.get(2).expect("cargo run --example NAME").clone();
        assert_eq!(arguments[..2], ["run", "--example"]);
        arguments = arguments.into_iter().skip(3).skip_while(|word| word == "--").collect();
        program = built_example(&name).display().to_string();
    }
    if program == "python3" {
        let own = root().join("target/python/bin/python3");
        if own.exists() {
            program = own.display().to_string();
        }
    }
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// `cargo test` builds the examples beside the tests.
fn built_example(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_chappe")).parent().expect("a program is in a folder").join("examples");
    let built = folder.join(name);
    assert!(built.exists(), "{} is not built: cargo build --examples", built.display());
    built
}

/// Runs an example that sends one message; it must end well, and the message be there.
fn sends_a_message(file: &str) {
    let server = TestServer::start();
    let run = run_row(&server, file).fine();
    let messages = history(&server, 1, 1);
    assert_eq!(messages.len(), 1, "{run:?}");
    let content = messages[0]["content"].as_str().unwrap();
    assert!(content.starts_with("Hello from"), "{content}");
    assert!(run.stdout.to_lowercase().contains("ack"), "it prints the ack: {run:?}");
}

/// Runs an example that beacons; others must hear of it.
fn beacons(file: &str) {
    let server = TestServer::start();
    Client::connect(&server, Door::TcpJson)
        .ask(json!({"packet_type": "SendMessage", "message": {"chat_id": 1, "sender_id": 1, "content": "known"}}));
    let mut watcher = Client::hello(&server, Door::WsText, 2);
    let run = run_row(&server, file).fine();
    let told = |packet: &serde_json::Value| tells_of(packet, 1);
    // Both within a second may be told as one change, or as none.
    let statuses: Vec<_> = watcher.heard().into_iter().filter(told).collect();
    assert!(statuses.len() <= 2, "{statuses:?}");
    assert_eq!(server.metric("chappe_packets_total{packet_type=\"Status\"}"), 2.0, "{run:?}");
    assert!(server.metric("chappe_udp_answers_total") >= 1.0, "it asked whether anybody is there: {run:?}");
}

/// Talks through a chat of the terminal while the server is killed and comes back: each line is stored once, and each
/// event printed once, in order.
fn survives_a_kill(file: &str) {
    let mut server = TestServer::start();
    let mut chat = Talk::start(&mut row(&server, file));
    chat.say("said before");
    chat.until_it_prints("said before");
    server.kill();
    chat.say("said meanwhile");
    server.restart_on_its_ports();
    let other = json!({"sender_id": 2, "content": "said by another"});
    Http::to(&server).post("/api/chats/1/messages", &other).expect(201);
    chat.until_it_prints("said meanwhile");
    chat.until_it_prints("said by another");
    chat.say("said after");
    let printed = chat.end();
    let seqs: Vec<u64> = printed.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
    let mut stored: Vec<String> =
        history(&server, 1, 1).iter().map(|message| message["content"].as_str().unwrap().to_owned()).collect();
    stored.sort();
    assert_eq!(stored, ["said after", "said before", "said by another", "said meanwhile"]);
}

#[test]
fn every_row_of_the_table_has_a_test_and_every_file_a_row() {
    let tested: BTreeSet<_> = [
        "chat.rs",
        "node/chat.mjs",
        "python/chat.py",
        "tcp_binary.rs",
        "udp_beacon.rs",
        "node/tcp.mjs",
        "node/ws.mjs",
        "python/udp.py",
        "python/ws.py",
        "browser.html",
        "netcat.sh",
    ]
    .map(str::to_owned)
    .into();
    let listed: BTreeSet<_> = table().into_iter().map(|(file, _)| file).collect();
    assert_eq!(listed, tested);
    let programs = ["rs", "mjs", "py", "html", "sh"];
    for folder in ["", "node", "python"] {
        for entry in std::fs::read_dir(root().join("examples").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| programs.contains(&extension.to_str().unwrap())) {
                let name = path.strip_prefix(root().join("examples")).unwrap().display().to_string();
                assert!(listed.contains(&name), "{name} is not in examples/README.md");
            }
        }
    }
}

#[test]
fn rust_over_tcp_in_binary() {
    sends_a_message("tcp_binary.rs");
}

#[test]
fn rust_beacons_over_udp() {
    beacons("udp_beacon.rs");
}

#[test]
fn node_over_tcp_in_json() {
    sends_a_message("node/tcp.mjs");
}

#[test]
fn node_over_web_socket() {
    let module = root().join("examples/node/node_modules/ws");
    assert!(module.exists(), "{} is missing: ./check installs it", module.display());
    sends_a_message("node/ws.mjs");
}

#[test]
fn a_chat_in_rust_survives_a_kill() {
    survives_a_kill("chat.rs");
}

#[test]
fn python_over_udp() {
    beacons("python/udp.py");
}

#[test]
fn python_over_web_socket() {
    sends_a_message("python/ws.py");
}

#[test]
fn a_chat_in_node_survives_a_kill() {
    survives_a_kill("node/chat.mjs");
}

#[test]
fn a_chat_in_python_survives_a_kill() {
    survives_a_kill("python/chat.py");
}

#[test]
fn netcat_over_tcp_and_udp() {
    let server = TestServer::start();
    let run = run_row(&server, "netcat.sh").fine();
    assert_eq!(history(&server, 1, 1).len(), 1, "{run:?}");
    assert!(run.stdout.contains("Pong"), "{run:?}");
}

#[test]
fn the_browser_example_sends_a_message_and_shows_it() {
    let server = TestServer::start();
    let browser = Browser::start();
    let mut page = browser.open(&format!("http://{}/example", server.http));
    page.until("document.querySelector('#state').textContent.startsWith('Connected')");
    page.run("document.querySelector('form').text.value = 'Hello from the browser'");
    page.run("document.querySelector('form').requestSubmit()");
    page.until("document.querySelector('#log').textContent.includes('user 1: Hello from the browser')");
    page.until("document.querySelector('#log').textContent.includes('stored as')");
    assert_eq!(history(&server, 1, 1)[0]["content"], "Hello from the browser");
    page.assert_no_complaints();
}
