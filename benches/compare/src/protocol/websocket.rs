//! WebSocket (RFC 6455), a client's side: the handshake, masked frames out, the borders of frames in.

use std::net::SocketAddr;

use memchr::memmem;

use crate::door::Door;
use crate::trouble::Trouble;

/// Whole text.
pub(super) const TEXT: u8 = 1;
/// Whole bytes.
pub(super) const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// The pair of the RFC's example.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const MASK: [u8; 4] = *b"chap";

/// Asks for the upgrade of a connection, and waits for it.
pub(super) fn upgrade(door: &mut Door, address: SocketAddr, path: &str, more: &str) -> Result<(), Trouble> {
    let asked = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    );
    door.say(asked.as_bytes())?;
    door.hear(|bytes| match memmem::find(bytes, b"\r\n\r\n") {
        Some(_) if !bytes.starts_with(b"HTTP/1.1 101") => Err(Trouble::answer(bytes)),
        found => Ok(found.map(|end| ((), end + 4))),
    })
}

/// A frame of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    opcode: u8,
    /// Where its payload begins and ends.
    pub(super) from: usize,
    pub(super) to: usize,
}

/// The frame that begins at `at`, if all of it has come.
fn frame(bytes: &[u8], at: usize) -> Option<Frame> {
    let head = bytes.get(at..at + 2)?;
    let (length, from) = match head[1] {
        126 => (u64::from(u16::from_be_bytes(bytes.get(at + 2..at + 4)?.try_into().ok()?)), at + 4),
        127 => (u64::from_be_bytes(bytes.get(at + 2..at + 10)?.try_into().ok()?), at + 10),
        short => (u64::from(short), at + 2),
    };
    let to = from.checked_add(usize::try_from(length).ok()?)?;
    (bytes.len() >= to).then_some(Frame { opcode: head[0] & 15, from, to })
}

/// The next frame with data from `at` on, which moves behind it; pings on the way are answered.
pub(super) fn next(bytes: &[u8], at: &mut usize, out: &mut Vec<u8>) -> Result<Option<Frame>, Trouble> {
    while let Some(frame) = frame(bytes, *at) {
        *at = frame.to;
        match frame.opcode {
            TEXT | BINARY => return Ok(Some(frame)),
            PING => put(PONG, out, |out| out.extend_from_slice(&bytes[frame.from..frame.to])),
            PONG => {}
            CLOSE => return Err(Trouble::answer(&bytes[frame.from..frame.to])),
            opcode => return Err(Trouble::Answer(format!("a frame with the opcode {opcode}"))),
        }
    }
    Ok(None)
}

/// Appends a frame whose payload is what `write` appends.
pub(super) fn put(opcode: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    // Room for the longest header of frames below 64 KiB; a shorter one begins later.
    let at = out.len();
    out.extend_from_slice(&[0x80 | opcode, 0, 0, 0]);
    out.extend_from_slice(&MASK);
    let from = out.len();
    write(out);
    for four in out[from..].chunks_mut(4) {
        for (byte, mask) in four.iter_mut().zip(MASK) {
            *byte ^= mask;
        }
    }
    let length = out.len() - from;
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => {
            out[at + 1] = 0x80 | short;
            out.drain(at + 2..at + 4);
        }
        (_, length) => {
            // Payloads are a few hundred bytes: the command line allows no more than 32 KiB.
            out[at + 1] = 0x80 | 126;
            out[at + 2..at + 4].copy_from_slice(&length.unwrap_or(u16::MAX).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_wherever_the_bytes_are_cut_and_pings_are_answered() {
        let mut bytes = vec![0x81, 5];
        bytes.extend_from_slice(b"hello\x89\x02hi\x82\x7e\x01\x00");
        bytes.extend_from_slice(&[7; 256]);
        let (mut at, mut out) = (0, Vec::new());
        assert_eq!(next(&bytes, &mut at, &mut out).unwrap().map(|frame| (frame.from, frame.to)), Some((2, 7)));
        for cut in 7..bytes.len() {
            let mut at = 7;
            assert_eq!(next(&bytes[..cut], &mut at, &mut Vec::new()).unwrap(), None);
        }
        assert_eq!(next(&bytes, &mut at, &mut out).unwrap().map(|frame| (frame.from, frame.to)), Some((15, 271)));
        assert_eq!(out[..2], [0x8A, 0x82]);
    }

    #[test]
    fn a_frame_out_has_the_shortest_header_and_is_masked() {
        for (size, head) in [(3, &[0x81, 0x83][..]), (125, &[0x81, 0xFD]), (200, &[0x81, 0xFE, 0, 200])] {
            let mut out = vec![9];
            put(TEXT, &mut out, |out| out.resize(out.len() + size, b'x'));
            assert_eq!(out[1..=head.len()], *head);
            assert_eq!(out.len(), 1 + head.len() + 4 + size);
            assert_eq!(out[1 + head.len() + 4], b'x' ^ MASK[0]);
        }
    }
}
