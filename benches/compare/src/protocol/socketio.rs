//! Socket.IO over its WebSocket transport: Engine.IO 4, events and acks, text only.

use std::net::SocketAddr;

use super::text::{number, put_number};
use super::websocket::{self, TEXT};
use super::{Found, Protocol, Seat};
use crate::door::Door;
use crate::trouble::Trouble;

/// An event that brings a message; its payload and `"]` follow.
const MESSAGE: &[u8] = br#"42["m",""#;

/// One connection.
#[derive(Debug)]
pub(crate) struct SocketIo {
    seat: Seat,
    address: SocketAddr,
}

impl SocketIo {
    /// A connection to the server at `address`.
    pub(crate) fn new(seat: Seat, address: SocketAddr) -> Self {
        Self { seat, address }
    }
}

/// Says `said`, and waits for a text that begins with `answer`.
fn step(door: &mut Door, said: Option<&str>, answer: &[u8]) -> Result<(), Trouble> {
    if let Some(said) = said {
        let mut out = Vec::new();
        websocket::put(TEXT, &mut out, |out| out.extend_from_slice(said.as_bytes()));
        door.say(&out)?;
    }
    door.hear(|bytes| {
        let mut at = 0;
        let Some(frame) = websocket::next(bytes, &mut at, &mut Vec::new())? else { return Ok(None) };
        let said = &bytes[frame.from..frame.to];
        if said.starts_with(answer) { Ok(Some(((), at))) } else { Err(Trouble::answer(said)) }
    })
}

impl Protocol for SocketIo {
    fn open(&mut self, door: &mut Door) -> Result<(), Trouble> {
        websocket::upgrade(door, self.address, "/socket.io/?EIO=4&transport=websocket", "")?;
        step(door, None, b"0{")?;
        step(door, Some("40"), b"40{")?;
        for channel in &self.seat.hears {
            step(door, Some(&format!(r#"420["join",{channel}]"#)), b"430[")?;
        }
        Ok(())
    }

    fn acks(&self) -> bool {
        self.seat.asks
    }

    fn post(&mut self, channel: u64, post: u32, payload: &[u8], out: &mut Vec<u8>) {
        websocket::put(TEXT, out, |out| {
            out.extend_from_slice(b"42");
            if self.seat.asks {
                put_number(post.into(), out);
            }
            out.extend_from_slice(br#"["post","#);
            put_number(channel, out);
            out.extend_from_slice(br#",""#);
            out.extend_from_slice(payload);
            out.extend_from_slice(br#""]"#);
        });
    }

    fn read(&mut self, bytes: &[u8], found: &mut Vec<Found>, out: &mut Vec<u8>) -> Result<usize, Trouble> {
        let mut at = 0;
        while let Some(frame) = websocket::next(bytes, &mut at, out)? {
            let said = &bytes[frame.from..frame.to];
            if said.starts_with(MESSAGE) && said.ends_with(b"\"]") {
                found.push(Found::Delivery(frame.from + MESSAGE.len(), frame.to - 2));
            } else if let Some((post, _)) = said.strip_prefix(b"43").and_then(number) {
                found.push(Found::Ack { number: u32::try_from(post).ok(), place: 0 });
            } else if said == b"2" {
                websocket::put(TEXT, out, |out| out.push(b'3'));
            } else {
                return Err(Trouble::answer(said));
            }
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_acks_and_heartbeats_are_told_apart() {
        let mut socket = SocketIo::new(Seat { asks: true, ..Seat::default() }, ([127, 0, 0, 1], 1).into());
        let mut bytes = Vec::new();
        for said in [r#"42["m","hello"]"#, "4312[]", "2"] {
            bytes.extend_from_slice(&[0x81, u8::try_from(said.len()).unwrap()]);
            bytes.extend_from_slice(said.as_bytes());
        }
        let (mut found, mut out) = (Vec::new(), Vec::new());
        assert_eq!(socket.read(&bytes, &mut found, &mut out).unwrap(), bytes.len());
        assert_eq!(found, [Found::Delivery(10, 15), Found::Ack { number: Some(12), place: 0 }]);
        assert_eq!(out.len(), 7);
    }
}
