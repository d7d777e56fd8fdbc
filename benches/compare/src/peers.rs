//! The peers: what each is called, what it promises, and which protocol it speaks on which port.

use std::net::{Ipv4Addr, SocketAddr};

use crate::door::Door;
use crate::protocol::chappe::{self, Chappe, Wire};
use crate::protocol::nats::{self, Nats};
use crate::protocol::redis::{self, Redis};
use crate::protocol::socketio::SocketIo;
use crate::protocol::ws::Ws;
use crate::protocol::{Protocol, Seat};
use crate::trouble::Trouble;

/// Somebody who is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// chappe, by one of its wires.
    Chappe(Wire),
    /// NATS core.
    Nats,
    /// NATS JetStream.
    JetStream,
    /// Redis Pub/Sub.
    Redis,
    /// Redis Streams.
    RedisStreams,
    /// Socket.IO for Node.
    SocketIo,
    /// `ws` for Node.
    Ws,
}

/// All of them, chappe first.
pub(crate) const ALL: [Peer; 9] = [
    Peer::Chappe(Wire::Tcp),
    Peer::Chappe(Wire::WebSocket),
    Peer::Chappe(Wire::WebSocketBinary),
    Peer::Nats,
    Peer::JetStream,
    Peer::Redis,
    Peer::RedisStreams,
    Peer::SocketIo,
    Peer::Ws,
];

impl Peer {
    /// Its name on the command line, in results and in plots.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chappe(Wire::Tcp) => "chappe-tcp",
            Self::Chappe(Wire::WebSocket) => "chappe-ws",
            Self::Chappe(Wire::WebSocketBinary) => "chappe-ws-binary",
            Self::Nats => "nats",
            Self::JetStream => "jetstream",
            Self::Redis => "redis",
            Self::RedisStreams => "redis-streams",
            Self::SocketIo => "socketio",
            Self::Ws => "ws",
        }
    }

    /// The name of its script.
    pub(crate) fn script(self) -> &'static str {
        if let Self::Chappe(_) = self { "chappe" } else { self.name() }
    }

    /// What it promises of a message that it took.
    pub(crate) fn promise(self) -> &'static str {
        match self {
            Self::Chappe(_) => "on disk (fsync) before it is acknowledged or shown; stored, numbered, sent again once",
            Self::Nats | Self::Redis => "nothing: in memory, to those who listen now",
            Self::JetStream => "acknowledged before it is on disk; fsync every two minutes (its default)",
            Self::RedisStreams => "on disk (fsync) before it is acknowledged (appendfsync always)",
            Self::SocketIo | Self::Ws => "nothing: in memory, to those who are connected now",
        }
    }

    /// Whether a listener of this peer is one of ours.
    pub(crate) fn is_chappe(self) -> bool {
        matches!(self, Self::Chappe(_))
    }

    fn address(self, port: u16) -> SocketAddr {
        let port = if self == Self::Chappe(Wire::Tcp) { port + 1 } else { port };
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// Opens a connection to a server that was started on `port`.
    pub(crate) fn connect(self, port: u16, seat: Seat) -> Result<(Door, Box<dyn Protocol>), Trouble> {
        let address = self.address(port);
        let mut protocol: Box<dyn Protocol> = match self {
            Self::Chappe(wire) => Box::new(Chappe::new(seat, wire, address)),
            Self::Nats => Box::new(Nats::core(seat)),
            Self::JetStream => Box::new(Nats::jetstream(seat)),
            Self::Redis => Box::new(Redis::pubsub(seat)),
            Self::RedisStreams => Box::new(Redis::streams(seat)),
            Self::SocketIo => Box::new(SocketIo::new(seat, address)),
            Self::Ws => Box::new(Ws::new(seat, address)),
        };
        let mut door = Door::knock(address)?;
        protocol.open(&mut door)?;
        Ok((door, protocol))
    }

    /// Makes a channel for each list of members; returns what they are called.
    pub(crate) fn prepare(self, port: u16, members: &[Vec<u64>]) -> Result<Vec<u64>, Trouble> {
        match self {
            Self::Chappe(_) => {
                let mut door = Door::knock((Ipv4Addr::LOCALHOST, port).into())?;
                members.iter().map(|members| chappe::make_chat(&mut door, members)).collect()
            }
            Self::JetStream => {
                nats::make_stream(self.address(port))?;
                Ok((0..).take(members.len()).collect())
            }
            _ => Ok((0..).take(members.len()).collect()),
        }
    }

    /// How many messages the server says it keeps in these channels, and other events; `None` if it keeps none.
    pub(crate) fn stored(self, port: u16, channels: &[u64], members: &[Vec<u64>]) -> Result<Option<u64>, Trouble> {
        match self {
            Self::Chappe(_) => {
                let mut door = Door::knock((Ipv4Addr::LOCALHOST, port).into())?;
                let mut sum = 0;
                for (chat, members) in channels.iter().zip(members) {
                    sum += chappe::head(&mut door, *chat, members.first().copied().unwrap_or(1))?;
                }
                Ok(Some(sum))
            }
            Self::JetStream => nats::stored(self.address(port)).map(Some),
            Self::RedisStreams => redis::stored(self.address(port), channels).map(Some),
            _ => Ok(None),
        }
    }
}
