//! Connections over a pipe in memory, with an engine behind them.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use chappe_proto::frame::ClientFrame;
use chappe_proto::limits::Rate;
use chappe_proto::outgoing::Wire;
use chappe_proto::request::{Ping, Request};
use chappe_proto::stream::Splitter;
use chappe_proto::websocket_input::Reader;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::yield_now;

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
const OFF: Rate = Rate { per_sec: 0, burst: 1 };
/// In the time of a test no token comes back.
const TEN: Rate = Rate { per_sec: 1, burst: 10 };
/// A ping without a payload, masked with zeroes.
const PING: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];

/// With a hub of its own time, which the engine does not know: its seconds are counted by hand, see [`second`].
fn with_a_hub(connection_rate: Rate, test: impl AsyncFnOnce()) {
    System::new().block_on(async {
        let mut settings = HubSettings::default();
        settings.limits.connection_rate = connection_rate;
        let (_hub, place) = HubActor::new(0, settings, engine());
        place.settle();
        test().await;
    });
}

fn engine() -> EngineLink {
    EngineLink::from(&CacheActor::new(State::new(SETTINGS), Clock::default()).start())
}

/// A second is over.
fn second() {
    hub::tick();
}

fn session(wire: Wire) -> Session {
    let door = if wire == Wire::JsonLines { Door::Tcp } else { Door::WebSocket };
    Session::open(door, Rc::new(Outbox::new(wire, 1 << 20, hub::limits().window))).unwrap()
}

/// A client of a TCP connection.
fn tcp() -> DuplexStream {
    let (client, server) = tokio::io::duplex(1 << 20);
    Connection::serve(server, session(Wire::JsonLines), Splitter::new(64 * 1024), Vec::new(), ());
    client
}

/// A client of a WebSocket.
fn web_socket() -> DuplexStream {
    let (client, server) = tokio::io::duplex(1 << 20);
    Connection::serve(server, session(Wire::WsText), Reader::new(64 * 1024), Vec::new(), ());
    client
}

/// What has come, once nobody has anything to do.
async fn heard(client: &mut DuplexStream) -> String {
    let (mut all, mut quiet) = (Vec::new(), 0);
    while quiet < 100 {
        let mut buffer = [0; 4096];
        let mut read = ReadBuf::new(&mut buffer);
        let _ = poll_fn(|task| Poll::Ready(Pin::new(&mut *client).poll_read(task, &mut read))).await;
        if read.filled().is_empty() {
            quiet += 1;
            yield_now().await;
        } else {
            quiet = 0;
            all.extend_from_slice(read.filled());
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// All that comes until the server ends the connection.
async fn rest(client: &mut DuplexStream) -> String {
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, client.read_to_string(&mut text)).await.expect("the connection ends").unwrap();
    text
}

#[test]
fn who_leaves_behind_a_request_without_an_answer_is_gone() {
    System::new().block_on(async {
        HubActor::start(0, HubSettings::default(), engine());
        let mut client = tcp();
        let status = r#"{"packet_type":"Status","user_id":5,"status_data":"online"}"#;
        client.write_all(status.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await, "");
    });
}

#[test]
fn who_asks_far_too_fast_is_refused_so_often_a_second_and_read_again() {
    with_a_hub(TEN, async || {
        let mut client = tcp();
        client.write_all("{\"packet_type\":\"Ping\"}\n".repeat(700).as_bytes()).await.unwrap();
        let mut total = 0;
        for expected in [256, 256, 700 - 10 - 2 * 256, 0] {
            let text = heard(&mut client).await;
            let refused = text.lines().filter(|line| line.contains("\"rate_limited\"")).count();
            // A slow machine gives a token back now and then.
            assert!(refused <= 256 && refused + 10 >= expected, "{refused} and not {expected}");
            total += text.lines().count();
            second();
        }
        assert_eq!(total, 700, "all are answered in the end");
    });
}

#[test]
fn pings_and_pongs_of_a_web_socket_count_as_packets() {
    with_a_hub(TEN, async || {
        for opcode in [0x89, 0x8a] {
            let mut client = web_socket();
            let mut frame = PING;
            frame[0] = opcode;
            client.write_all(&frame.repeat(300)).await.unwrap();
            let text: &[u8; 22] = b"{\"packet_type\":\"Ping\"}";
            client.write_all(&[&[0x81, 0x80 | 22, 0, 0, 0, 0], &text[..]].concat()).await.unwrap();
            let before = heard(&mut client).await;
            assert!(!before.contains("packet_type"), "{opcode:x}: {before}");
            second();
            let after = heard(&mut client).await;
            assert!(after.contains("packet_type"), "{opcode:x}: it is read on");
        }
    });
}

#[test]
fn a_turn_ends_after_so_many_packets() {
    with_a_hub(OFF, async || {
        let outbox = Outbox::new(Wire::JsonLines, 1 << 20, 10_000);
        let mut session = Session::open(Door::Tcp, Rc::new(outbox)).unwrap();
        for _ in 0..3 {
            let mut taken = 0;
            while session.takes_more() {
                session.take(Ok(ClientFrame { request_id: None, request: Request::Ping(Ping::default()) }));
                taken += 1;
            }
            assert_eq!(taken, 256);
            session.flush();
        }
    });
}

/// Counts the turns of a connection, which flushes in each.
struct Counting(DuplexStream, Rc<Cell<u32>>);

impl Io for Counting {}

impl AsyncRead for Counting {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Task<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(task, buffer)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        self.1.set(self.1.get() + 1);
        Pin::new(&mut self.0).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(task)
    }
}

#[test]
fn between_two_turns_the_thread_looks_at_its_sockets() {
    with_a_hub(OFF, async || {
        let (mut one, other) = tokio::net::UnixStream::pair().unwrap();
        let (_client, server) = tokio::io::duplex(1 << 20);
        let turns = Rc::new(Cell::new(0));
        let busy = Counting(server, Rc::clone(&turns));
        Connection::serve(busy, session(Wire::WsText), Reader::new(64 * 1024), PING.repeat(256 * 1000), ());
        actix::spawn(async move { one.write_all(b"x").await });
        other.readable().await.unwrap();
        assert!(turns.get() < 5 * 4, "{} writes before another was heard", turns.get());
    });
}

#[test]
fn what_a_client_has_begun_is_counted_until_it_is_whole_or_the_client_is_shown_out() {
    with_a_hub(OFF, async || {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let session = session(Wire::JsonLines);
        let outbox = Rc::clone(session.outbox());
        Connection::serve(server, session, Splitter::new(64 * 1024), Vec::new(), ());
        let half = vec![b'x'; 30_000];
        for _ in 0..2 {
            client.write_all(b"{\"packet_type\":\"").await.unwrap();
            client.write_all(&half).await.unwrap();
            assert_eq!(heard(&mut client).await, "");
            assert!(outbox.speech().held() >= 30_000);
            client.write_all(b"\"}").await.unwrap();
            assert!(heard(&mut client).await.contains("Error"));
            assert_eq!(outbox.speech().held(), 0);
        }
        client.write_all(b"{\"packet_type\":\"").await.unwrap();
        heard(&mut client).await;
        assert!(outbox.speech().held() > 0);
        hub::with_encoder(|encoder| outbox.close(encoder, CloseCode::TooSlow, "bye", None));
        assert!(heard(&mut client).await.contains("bye"));
        assert_eq!(outbox.speech().held(), 0);
    });
}
