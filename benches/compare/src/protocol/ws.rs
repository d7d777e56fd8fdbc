//! The bare `ws` of Node: a text is a payload, sent to all who joined.

use std::net::SocketAddr;

use super::websocket::{self, TEXT};
use super::{Found, Protocol, Seat};
use crate::door::Door;
use crate::trouble::Trouble;

/// One connection.
#[derive(Debug)]
pub(crate) struct Ws {
    seat: Seat,
    address: SocketAddr,
}

impl Ws {
    /// A connection to the server at `address`.
    pub(crate) fn new(seat: Seat, address: SocketAddr) -> Self {
        Self { seat, address }
    }
}

impl Protocol for Ws {
    fn open(&mut self, door: &mut Door) -> Result<(), Trouble> {
        websocket::upgrade(door, self.address, "/", "")?;
        if self.seat.hears.is_empty() {
            return Ok(());
        }
        let mut out = Vec::new();
        websocket::put(TEXT, &mut out, |out| out.extend_from_slice(b"join"));
        door.say(&out)?;
        door.hear_end(b"joined")
    }

    fn acks(&self) -> bool {
        false
    }

    fn post(&mut self, _: u64, _: u32, payload: &[u8], out: &mut Vec<u8>) {
        websocket::put(TEXT, out, |out| out.extend_from_slice(payload));
    }

    fn read(&mut self, bytes: &[u8], found: &mut Vec<Found>, out: &mut Vec<u8>) -> Result<usize, Trouble> {
        let mut at = 0;
        while let Some(frame) = websocket::next(bytes, &mut at, out)? {
            found.push(Found::Delivery(frame.from, frame.to));
        }
        Ok(at)
    }
}
