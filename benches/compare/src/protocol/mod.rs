//! What the load asks of a protocol: to open a connection, to write a post, and to find deliveries and acks in bytes.
//!
//! A protocol finds the borders of frames, and in them the payload or the number of an ack. It decodes nothing else, so
//! that none of the peers pays for a client that is written with more love than another's.

pub(crate) mod chappe;
mod chappe_binary;
mod chappe_json;
pub(crate) mod nats;
pub(crate) mod redis;
mod resp;
pub(crate) mod socketio;
mod text;
pub(crate) mod websocket;
pub(crate) mod ws;

use crate::door::Door;
use crate::trouble::Trouble;

/// What one connection is there for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seat {
    /// Who it is: each connection is a user of its own.
    pub(crate) user: u64,
    /// Channels it hears.
    pub(crate) hears: Vec<u64>,
    /// Channels it posts to, in turn.
    pub(crate) posts: Vec<u64>,
    /// Wants an answer to each post, where the server answers only on demand.
    pub(crate) asks: bool,
    /// Says who it is though it does not listen: an idle client.
    pub(crate) idle: bool,
    /// Bytes of a payload.
    pub(crate) size: usize,
}

/// What was found in a server's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A message: its payload begins here and ends there.
    Delivery(usize, usize),
    /// The server has taken a post.
    Ack {
        /// Which of the connection's posts, from 0; `None` where acks only come in turn.
        number: Option<u32>,
        /// Where it stands among the channel's messages: grows from ack to ack. 0 where the server does not say.
        place: u64,
    },
}

/// One connection's protocol.
pub(crate) trait Protocol {
    /// Opens the connection, up to its being able to post and listening to what it is to hear.
    fn open(&mut self, door: &mut Door) -> Result<(), Trouble>;

    /// Whether the server answers each post.
    fn acks(&self) -> bool;

    /// Appends the connection's post of this number to `out`.
    fn post(&mut self, channel: u64, number: u32, payload: &[u8], out: &mut Vec<u8>);

    /// Finds what is whole in `bytes` and says how many bytes that took. What has to be answered at once goes to `out`.
    fn read(&mut self, bytes: &[u8], found: &mut Vec<Found>, out: &mut Vec<u8>) -> Result<usize, Trouble>;
}
