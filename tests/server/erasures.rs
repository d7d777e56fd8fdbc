//! Erasures that are asked for again: they take nothing of who came back.

use std::fs;

use crate::retention::erase;
use crate::support::client::{Client, Door};
use crate::support::flood::history;
use crate::support::server::TestServer;
use crate::support::until;

#[test]
fn an_erasure_that_is_there_again_after_its_end_takes_nothing_of_who_came_back() {
    let mut server = TestServer::for_floods();
    Client::hello(&server, Door::TcpJson, 7).post(1, "forget me");
    erase(7, server.data()).fine();
    Client::hello(&server, Door::TcpJson, 7).post(1, "somebody new");
    assert_eq!(server.stop(), Some(0));
    // A power cut, or a server that is stopped before the log was rewritten, leaves the request.
    let log = rusqlite::Connection::open(server.data().join("log.db")).unwrap();
    let epoch: i64 = log.query_row("SELECT epoch FROM origin", (), |row| row.get(0)).unwrap();
    drop(log);
    let request = server.data().join("erase-7");
    fs::write(&request, format!("{epoch} 0")).unwrap();
    server.restart();
    until("the erasure", || (!request.exists()).then_some(()));
    let said: Vec<_> = history(&server, 1, 6).iter().map(|message| message["content"].clone()).collect();
    assert_eq!(said, ["", "somebody new"]);
    assert!(TestServer::verify_stopped(&mut server).contains("agree with the log"));
}
