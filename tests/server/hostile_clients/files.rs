//! A server without a file left to open: who is inside is served, nothing is lost, and who waits gets in as soon as files
//! return.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::files;
use crate::support::client::{Client, Door};
use crate::support::flood::history;
use crate::support::programs::run;
use crate::support::server::{CHAPPE, FAST, TestServer, command};
use crate::support::{PATIENCE, until};

/// So many files may be open.
const FILES: usize = 120;

/// A server that is started with this limit, as a shell's `ulimit` takes it.
fn limited(limit: &str, variables: &[(&str, &str)]) -> TestServer {
    let own = tempfile::tempdir().expect("a folder can be made");
    let data = own.path().join("data");
    let launch = ["sh", "-c", &format!("ulimit {limit} && exec \"$0\" \"$@\""), CHAPPE].map(str::to_owned).to_vec();
    TestServer::launched(launch, &data, Some(own), variables)
}

/// How often it said that it may not open enough files.
fn complaints(server: &TestServer) -> Vec<String> {
    let log = server.log();
    log.lines().filter(|line| line.contains("limits.connections needs")).map(str::to_owned).collect()
}

#[test]
fn who_allows_more_connections_than_files_is_told_so_once_by_the_server_and_by_the_doctor() {
    let few = limited(&format!("-n {FILES}"), &[]);
    Client::hello(&few, Door::TcpJson, 1).post(1, "it runs");
    let told = complaints(&few);
    assert_eq!(told.len(), 1, "{}", few.log());
    let told: serde_json::Value = serde_json::from_str(&told[0]).expect("a line of the log is JSON");
    let numbers = ["files", "needed", "connections"].map(|name| told[name].as_u64());
    assert_eq!((&told["level"], numbers), (&"WARN".into(), [Some(120), Some(10_200), Some(10_000)]), "{told}");
    let doctor = |server: &TestServer| {
        let doors = ["--http", "127.0.0.1:0", "--tcp", "off", "--udp", "off"];
        let told = run(command(&[CHAPPE.to_owned()], &[]).args(["doctor", "--data"]).arg(server.data()).args(doors));
        told.stdout.lines().find(|line| line.contains("open files")).map(str::to_owned).expect("it looks at files")
    };
    let found = doctor(&few);
    assert!(found.starts_with("warn") && found.contains("120 at most, and limits.connections is 10000"), "{found}");

    // What is needed is allowed.
    let enough = limited("-n 320", &[("CHAPPE_LIMITS_CONNECTIONS", "120")]);
    assert_eq!(complaints(&enough), Vec::<String>::new());
    // A soft limit is nothing to complain of: the server raises it.
    let soft = limited("-S -n 120", &[("CHAPPE_LIMITS_CONNECTIONS", "100")]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", soft.pid())).expect("a process has limits");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("files are among them");
    let numbers: Vec<&str> = files.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{files}");
    assert_eq!(complaints(&soft), Vec::<String>::new());
}

#[test]
fn a_server_without_files_serves_who_is_inside_and_accepts_again_when_files_return() {
    let server = limited(&format!("-n {FILES}"), &FAST);
    let mut inside = Client::hello(&server, Door::TcpJson, 1);
    inside.post(1, "before");
    let beginning = files(&server);
    // The kernel takes all of these; the server can take as many as it has files for.
    let crowd: Vec<TcpStream> = (0..2 * FILES)
        .map(|nth| {
            let to = if nth % 2 == 0 { server.tcp } else { server.http };
            TcpStream::connect(to).expect("the kernel takes connections")
        })
        .collect();
    until("all files to be taken", || (files(&server) >= FILES).then_some(()));
    // Pages that are not in memory any more have to be read from files, and changes have to be kept.
    for nth in 0..300 {
        inside.post(1, &format!("meanwhile {nth}"));
    }
    let page = inside.ask(serde_json::json!({"packet_type": "GetEvents", "chat_id": 1, "after": 0, "limit": 100}));
    assert_eq!(page["events"].as_array().map(Vec::len), Some(100), "{page}");
    let mut waits = TcpStream::connect(server.tcp).expect("the kernel takes connections");
    waits.write_all(b"{\"packet_type\":\"Ping\",\"nonce\":7}\n").expect("the kernel takes bytes");
    waits.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out can be set");
    assert!(waits.read(&mut [0; 64]).is_err(), "there is no file for it");
    // Not all of them: the rest of those who wait come in behind.
    drop(crowd);
    waits.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
    let mut answer = [0; 256];
    let size = waits.read(&mut answer).expect("who waited is answered");
    assert!(String::from_utf8_lossy(&answer[..size]).contains("\"nonce\":7"), "{:?}", &answer[..size]);
    drop(waits);
    until("the crowd's files to be closed", || (files(&server) <= beginning + 4).then_some(()));
    let mut another = Client::hello(&server, Door::WsText, 2);
    another.post(1, "afterwards");
    assert_eq!(history(&server, 1, 1).len(), 302, "nothing is lost");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
