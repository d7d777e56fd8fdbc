//! Who sits where: the connections of a scenario are opened, and the load runs over them.

use std::time::Duration;

use mio::net::TcpStream;

use crate::board::Board;
use crate::connection::Connection;
use crate::load::{Load, Span};
use crate::pace::Pace;
use crate::payload::Pen;
use crate::peers::Peer;
use crate::protocol::Seat;
use crate::tally::Outcome;
use crate::trouble::Trouble;
use crate::usage::Watched;

/// Who posts and who hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// So many connections post, each to a channel of its own; nobody listens.
    Acks(u64),
    /// One posts, and so many others hear it.
    Fanout(u64),
    /// So many channels and as many users; each user is in so many channels and posts to them in turn, each channel has as
    /// many members.
    Rooms(u64, u64),
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) shape: Shape,
    pub(crate) pace: Pace,
    pub(crate) warmup: Duration,
    pub(crate) measure: Duration,
    pub(crate) size: usize,
    /// Tells the messages of this run from others'.
    pub(crate) seed: u32,
}

impl Shape {
    /// The seats; channels are counted from 0, users from 1.
    fn seats(self) -> Vec<Seat> {
        let seat = |index: u64| Seat { user: index + 1, ..Seat::default() };
        match self {
            Self::Acks(connections) => {
                (0..connections).map(|index| Seat { posts: vec![index], asks: true, ..seat(index) }).collect()
            }
            Self::Fanout(listeners) => {
                let publisher = Seat { posts: vec![0], ..seat(0) };
                // The publisher is the first listener's second connection.
                let listeners = (0..listeners).map(|index| Seat { hears: vec![0], ..seat(index) });
                std::iter::once(publisher).chain(listeners).collect()
            }
            Self::Rooms(rooms, members) => {
                let channels = |index: u64| (0..members).map(|step| (index + step) % rooms).collect::<Vec<_>>();
                (0..rooms).map(|index| Seat { hears: channels(index), posts: channels(index), ..seat(index) }).collect()
            }
        }
    }

    /// How many channels there are.
    fn channels(self) -> u64 {
        match self {
            Self::Acks(channels) | Self::Rooms(channels, _) => channels,
            Self::Fanout(_) => 1,
        }
    }

    /// Whether so much comes that a sample of it will do.
    fn sample(self, pace: Pace) -> u32 {
        if matches!((self, pace), (Self::Fanout(_), Pace::Window(_))) { 64 } else { 1 }
    }
}

/// Runs a load against a server on `port`, whose process is `server`.
pub(crate) fn run(peer: Peer, port: u16, server: Watched, run: &Run) -> Result<Outcome, Trouble> {
    let mut seats = run.shape.seats();
    let of = |channel: u64, seats: &[Seat]| -> Vec<u64> {
        let there = |seat: &&Seat| seat.hears.contains(&channel) || seat.posts.contains(&channel);
        let mut users: Vec<_> = seats.iter().filter(there).map(|seat| seat.user).collect();
        users.dedup();
        users
    };
    let members: Vec<_> = (0..run.shape.channels()).map(|channel| of(channel, &seats)).collect();
    let channels = peer.prepare(port, &members)?;
    let named = |index: &u64| usize::try_from(*index).ok().and_then(|index| channels.get(index)).copied();

    let window = if let Pace::Window(window) = run.pace { Some(window) } else { None };
    let (mut board, mut publishers, mut listeners) = (Board::new(window), Vec::new(), Vec::new());
    // The lines of each channel.
    let mut lines = vec![Vec::new(); members.len()];
    for (index, seat) in seats.iter().enumerate().filter(|(_, seat)| !seat.posts.is_empty()) {
        let hearing = |channel: &u64| seats.iter().filter(|seat| seat.hears.contains(channel)).count();
        let targets: Vec<_> = seat
            .posts
            .iter()
            .filter_map(|channel| Some((named(channel)?, u32::try_from(hearing(channel)).ok()?)))
            .collect();
        let first = board.publisher(&targets);
        for (line, channel) in (first..).zip(&seat.posts) {
            lines.get_mut(usize::try_from(*channel).unwrap_or_default()).into_iter().for_each(|lines| lines.push(line));
        }
        listeners.extend(targets.iter().map(|(_, count)| *count));
        publishers.push(index);
    }

    let mut connections = Vec::with_capacity(seats.len());
    for seat in &mut seats {
        let heard = seat.hears.iter().filter_map(|channel| lines.get(usize::try_from(*channel).ok()?));
        let heard = heard.flatten().copied().collect();
        seat.size = run.size;
        seat.hears = seat.hears.iter().filter_map(named).collect();
        seat.posts = seat.posts.iter().filter_map(named).collect();
        let (door, protocol) = peer.connect(port, seat.clone())?;
        let (stream, rest) = door.into_parts();
        stream.set_nonblocking(true)?;
        connections.push(Connection::new(TcpStream::from_std(stream), protocol, rest, heard));
    }

    let before = peer.stored(port, &channels, &members)?;
    let span =
        Span { pace: run.pace, warmup: run.warmup, measure: run.measure, sample: run.shape.sample(run.pace), server };
    let pen = Pen::new(run.seed, run.size);
    let (mut outcome, posted) = Load::new(connections, publishers, board, listeners, pen, span)?.run()?;
    if let (Some(before), Some(after)) = (before, peer.stored(port, &channels, &members)?)
        && after - before != posted
    {
        outcome.failures.push(format!("{posted} were posted, and the server keeps {}", after - before));
    }
    Ok(outcome)
}
