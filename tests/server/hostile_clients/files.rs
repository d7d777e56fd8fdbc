//! A server without a file left to open: who is inside is served, nothing is lost, and who waits gets in as soon as files
//! return.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::files;
use crate::support::client::{Client, Door};
use crate::support::flood::history;
use crate::support::server::{CHAPPE, FAST, TestServer};
use crate::support::{PATIENCE, until};

/// So many files may be open.
const FILES: usize = 120;

#[test]
fn a_server_without_files_serves_who_is_inside_and_accepts_again_when_files_return() {
    let own = tempfile::tempdir().expect("a folder can be made");
    let data = own.path().join("data");
    let launch = ["sh", "-c", &format!("ulimit -n {FILES} && exec \"$0\" \"$@\""), CHAPPE].map(str::to_owned).to_vec();
    let server = TestServer::launched(launch, &data, Some(own), &FAST);
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
