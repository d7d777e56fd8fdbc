//! The scenarios: which load, for whom, and what is compared.

use std::time::Duration;

use crate::crew::{Run, Shape};
use crate::pace::Pace;
use crate::peers::{self, Peer};
use crate::protocol::chappe::Wire;

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// In a line of the report.
    pub(crate) what: &'static str,
    pub(crate) kind: Kind,
}

/// How it is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A load, with everything that comes checked.
    Load(Shape, Pace),
    /// Connections that do nothing.
    Idle,
    /// Commits without a server.
    Bare,
}

/// What a rate or a latency counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Delivery,
    Ack,
}

/// All of them, in the order of the report. Windows and rates are stated in `what`.
pub(crate) const ALL: [Scenario; 10] = [
    Scenario {
        name: "acks",
        what: "16 connections post 128 bytes each to a channel of its own, 256 under way on each; nobody listens",
        kind: Kind::Load(Shape::Acks(16), Pace::Window(256)),
    },
    Scenario {
        name: "acks-alone",
        what: "one connection, one message under way: how long an ack takes",
        kind: Kind::Load(Shape::Acks(1), Pace::Window(1)),
    },
    Scenario {
        name: "acks-paced",
        what: "16 connections, 10,000 messages a second in all: how long an ack takes, from when its message was due",
        kind: Kind::Load(Shape::Acks(16), Pace::Rate(10_000.0)),
    },
    Scenario {
        name: "bare",
        what: "the same disk without a server: one row committed by SQLite (WAL, synchronous=FULL); 128 bytes appended and fdatasync",
        kind: Kind::Bare,
    },
    Scenario {
        name: "fanout-100",
        what: "one posts, 100 listen; at most 1,024 messages are posted and not yet delivered to all",
        kind: Kind::Load(Shape::Fanout(100), Pace::Window(1024)),
    },
    Scenario {
        name: "fanout-1000",
        what: "one posts, 1,000 listen; at most 256 messages are posted and not yet delivered to all",
        kind: Kind::Load(Shape::Fanout(1000), Pace::Window(256)),
    },
    Scenario {
        name: "paced-50",
        what: "one posts 50 messages a second, 1,000 listen: how long a delivery takes, from when its message was due",
        kind: Kind::Load(Shape::Fanout(1000), Pace::Rate(50.0)),
    },
    Scenario {
        name: "paced-200",
        what: "the same with 200 messages a second: 200,000 deliveries a second",
        kind: Kind::Load(Shape::Fanout(1000), Pace::Rate(200.0)),
    },
    Scenario {
        name: "rooms",
        what: "1,000 users in 10 of 1,000 chats each: every chat has 10 members and everyone posts to all of theirs in turn; \
               4 messages of each user posted and not yet delivered to all",
        kind: Kind::Load(Shape::Rooms(1000, 10), Pace::Window(4)),
    },
    Scenario {
        name: "idle",
        what: "connections that said who they are and do nothing: resident memory of the server",
        kind: Kind::Idle,
    },
];

impl Scenario {
    /// Whether a peer can do this, and it says something of it.
    pub(crate) fn takes(&self, peer: Peer) -> bool {
        match self.kind {
            Kind::Bare => false,
            Kind::Load(Shape::Acks(_), _) => {
                matches!(peer, Peer::Chappe(Wire::Tcp) | Peer::JetStream | Peer::RedisStreams | Peer::SocketIo)
            }
            Kind::Load(Shape::Rooms(..), _) => {
                matches!(peer, Peer::Chappe(Wire::Tcp | Wire::WebSocket) | Peer::Nats | Peer::Redis)
            }
            Kind::Load(Shape::Fanout(_), _) => !matches!(peer, Peer::JetStream | Peer::RedisStreams),
            Kind::Idle => !matches!(peer, Peer::JetStream | Peer::RedisStreams | Peer::Chappe(Wire::WebSocketBinary)),
        }
    }

    /// What is counted.
    pub(crate) fn unit(&self) -> Unit {
        if matches!(self.kind, Kind::Load(Shape::Acks(_), _)) { Unit::Ack } else { Unit::Delivery }
    }

    /// The peers of this scenario among `chosen`, chappe and another in turn.
    pub(crate) fn order(&self, chosen: &[Peer]) -> Vec<Peer> {
        let there = |peer: &&Peer| self.takes(**peer) && chosen.contains(peer);
        let (ours, others): (Vec<Peer>, Vec<Peer>) = peers::ALL.iter().filter(there).partition(|peer| peer.is_chappe());
        let turns = ours.len().max(others.len());
        let mut order = Vec::new();
        for turn in 0..turns {
            order.extend(ours.iter().cycle().nth(turn));
            order.extend(others.get(turn));
        }
        order
    }
}

/// The load of a scenario, as long as it was asked for.
pub(crate) fn load(shape: Shape, pace: Pace, seconds: f64, size: usize, seed: u32) -> Run {
    let measure = Duration::from_secs_f64(seconds);
    // Long enough for a just-in-time compiler, and not longer than what is measured.
    let warmup = measure.min(Duration::from_secs(1));
    Run { shape, pace, warmup, measure, size, seed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chappe_and_a_peer_take_turns() {
        for scenario in ALL {
            let order = scenario.order(&peers::ALL);
            for (turn, peer) in order.iter().enumerate() {
                assert!(scenario.takes(*peer));
                let before = turn.checked_sub(1).map(|turn| order[turn]);
                assert!(before.is_none_or(|before| before.is_chappe() || peer.is_chappe()), "{}", scenario.name);
            }
            for peer in peers::ALL {
                assert_eq!(order.contains(&peer), scenario.takes(peer), "{}: {}", scenario.name, peer.name());
            }
        }
    }
}
