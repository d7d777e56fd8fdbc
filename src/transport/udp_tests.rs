//! Tests of the handler where datagrams have to be sealed: a real socket, a hub, and an engine that only listens.

use std::net::UdpSocket as StdSocket;
use std::time::Duration;

use chappe_actors::command::Command;
use chappe_actors::principal::{Denial, Principal, Standing, TokenId};
use chappe_actors::udp_session::UdpKeys;
use chappe_proto::sealed::{Seal, Side};
use chappe_proto::{Millis, UserId};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::*;
use crate::transport::listening;

struct World {
    /// Two doors, as on 127.0.0.1 and ::1.
    doors: [SocketAddr; 2],
    asked: mpsc::UnboundedReceiver<Command>,
    keys: UdpKeys,
    socket: UdpSocket,
}

impl World {
    async fn new() -> Self {
        let keys = UdpKeys::new(&[7; 32]);
        let asked = listening::start_hub(|settings| {
            settings.udp = Some(keys.clone());
            settings.denials = [Denial::User(UserId::parse(66).unwrap())].into();
        });
        let sockets = [(); 2].map(|()| StdSocket::bind("127.0.0.1:0").unwrap());
        let doors = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
        UdpHandler::serve_all(sockets.into());
        Self { doors, asked, keys, socket: UdpSocket::bind("127.0.0.1:0").await.unwrap() }
    }

    fn client(&self, user: u64) -> Seal {
        self.client_until(user, 60_000)
    }

    /// One whose token runs out in so many milliseconds.
    fn client_until(&self, user: u64, in_ms: u64) -> Seal {
        let now = hub::now().wall;
        let principal = Principal {
            user: UserId::parse(user).unwrap(),
            nickname: None,
            standing: Standing::User,
            token: TokenId([1; 16]),
            issued_at: now,
            expires_at: Millis(now.0 + in_ms),
        };
        Seal::from_told(&self.keys.session(&principal, now).unwrap()).unwrap()
    }

    async fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.doors[0]).await.unwrap();
    }

    /// Waits for the next command of the engine.
    async fn command(&mut self) -> Command {
        tokio::time::timeout(Duration::from_secs(20), self.asked.recv()).await.expect("a command").unwrap()
    }

    /// Sends a sealed ping and waits for its pong. One handler takes a socket's datagrams in order: what was sent before is
    /// dealt with, and was not answered.
    async fn ping(&self, client: &Seal, counter: u64) {
        let asked = sealed(client, counter, br#"{"packet_type":"Ping","nonce":7}            "#);
        self.send(&asked).await;
        let mut answer = [0; 1500];
        let received = self.socket.recv(&mut answer);
        let size = tokio::time::timeout(Duration::from_secs(20), received).await.expect("a pong").unwrap();
        assert!(size <= asked.len());
        let (answered, pong) = client.open(Side::Server, &mut answer[..size]).expect("a sealed pong");
        assert_eq!((answered, &*pong), (counter, &br#"{"packet_type":"Pong","nonce":7}"#[..]));
    }
}

fn sealed(client: &Seal, counter: u64, datagram: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(client.seal(Side::Client, counter, datagram, &mut bytes));
    bytes
}

fn dropped() -> [u64; 7] {
    let m = metrics();
    [
        &m.udp_unsealed,
        &m.udp_forged,
        &m.udp_replayed,
        &m.udp_expired,
        &m.udp_oversized,
        &m.udp_malformed,
        &m.udp_refused,
    ]
    .map(|counter| counter.get())
}

#[test]
fn what_is_sealed_is_taken_once_in_the_name_of_its_session_and_the_rest_is_dropped_and_counted() {
    System::new().block_on(async {
        let mut world = World::new().await;
        let (ann, bob) = (world.client(1), world.client(2));
        let online = br#"{"packet_type":"Status","status_data":"online"}"#;

        world.send(&sealed(&ann, 1, online)).await;
        let Command::Status { user, .. } = world.command().await else { panic!("a status") };
        assert_eq!(user.get(), 1, "the session says whose it is");
        let named = br#"{"packet_type":"Typing","chat_id":1,"user_id":2}"#;
        world.send(&sealed(&bob, 1, named)).await;
        let Command::Typing { user, .. } = world.command().await else { panic!("typing") };
        assert_eq!(user.get(), 2, "the packet may say it too");

        let before = dropped();
        let open = br#"{"packet_type":"Status","user_id":1,"status_data":"away"}"#;
        world.send(open).await;
        world.send(br#"{"packet_type":"Ping"}"#).await;
        let mut forged = sealed(&ann, 2, online);
        forged[60] ^= 1;
        world.send(&forged).await;
        world.send(&sealed(&ann, 1, online)).await;
        world.send(&sealed(&world.client_until(1, 0), 1, online)).await;
        world.send(&sealed(&world.client(66), 1, online)).await;
        world.send(&[4; 1300]).await;
        world.send(&sealed(&ann, 3, b"hello")).await;
        // In somebody else's name, and what does not travel by UDP.
        world.send(&sealed(&ann, 4, named)).await;
        world.send(&sealed(&ann, 5, br#"{"packet_type":"GetChats"}"#)).await;
        world.ping(&ann, 6).await;
        let counted: Vec<_> = dropped().iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(counted, [2, 1, 1, 2, 1, 2, 1]);
        assert!(world.asked.try_recv().is_err(), "nothing of it reached the engine");

        // Seen by one socket is seen by the other.
        world.doors.reverse();
        world.send(&sealed(&bob, 1, named)).await;
        world.ping(&ann, 7).await;
        assert_eq!(dropped()[2] - before[2], 2);
        assert!(world.asked.try_recv().is_err());
    });
}
