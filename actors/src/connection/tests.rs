//! Connections over a pipe in memory, with an engine behind them.

use std::rc::Rc;
use std::time::Duration;

use chappe_proto::outgoing::Wire;
use chappe_proto::stream::Splitter;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::cache::CacheActor;
use crate::clock::Clock;
use crate::hub::{Door, HubActor, HubSettings};
use crate::messages::EngineLink;
use crate::session::outbox::Outbox;
use crate::state::State;
use crate::state::tests::world::SETTINGS;

impl Io for DuplexStream {}

/// How long anything may take that is not meant to take any time.
const PATIENCE: Duration = Duration::from_secs(20);

fn with_an_engine<T>(test: impl AsyncFnOnce() -> T) -> T {
    System::new().block_on(async {
        let clock = Clock::default();
        let engine = EngineLink::from(&CacheActor::new(State::new(SETTINGS), clock).start());
        HubActor::start(0, HubSettings { clock, ..HubSettings::default() }, engine);
        test().await
    })
}

/// A client of a TCP connection.
fn tcp() -> DuplexStream {
    let (client, server) = tokio::io::duplex(1 << 20);
    let limits = hub::limits();
    let outbox = Rc::new(Outbox::new(Wire::JsonLines, 1 << 20, limits.window));
    let session = Session::open(Door::Tcp, outbox).unwrap();
    Connection::serve(server, session, Splitter::new(64 * 1024), Vec::new(), ());
    client
}

/// All that comes until the server ends the connection.
async fn rest(client: &mut DuplexStream) -> String {
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, client.read_to_string(&mut text)).await.expect("the connection ends").unwrap();
    text
}

#[test]
fn who_leaves_behind_a_request_without_an_answer_is_gone() {
    with_an_engine(async || {
        let mut client = tcp();
        let status = r#"{"packet_type":"Status","user_id":5,"status_data":"online"}"#;
        client.write_all(status.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await, "");
    });
}
