//! The server's side of a connection: bytes to frames; those of a WebSocket with fragments joined.
//!
//! Plain: works on any slices of the byte stream, so that a reader of many connections can keep one buffer for all.

use chappe_proto::websocket::{OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT, parse_header};

use super::ClientError;
use super::tcp::{TcpWire, next_frame};

/// The longest message taken.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// What the server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole message, text or binary.
    Data(&'a [u8]),
    /// To be answered with the same payload.
    Ping(&'a [u8]),
    /// The server ends the connection.
    Close,
}

/// Splits the server's bytes into frames and joins fragments.
#[derive(Debug, Default)]
pub struct Inbound {
    /// How frames stand on a TCP connection; `None` on a WebSocket.
    tcp: Option<TcpWire>,
    /// The start of a frame whose end has not come.
    carry: Vec<u8>,
    /// The fragments of a message whose end has not come.
    message: Option<Vec<u8>>,
}

impl Inbound {
    /// For a TCP connection of which these bytes were read already.
    pub(super) fn of_tcp(wire: TcpWire, carry: Vec<u8>) -> Self {
        Self { tcp: Some(wire), carry, message: None }
    }

    /// Takes the next bytes of the connection and hands out what is whole.
    ///
    /// # Errors
    /// [`ClientError::Unexpected`] if the bytes are not frames, or what `on_frame` returns.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        on_frame: &mut impl FnMut(Frame<'_>) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        if self.carry.is_empty() {
            let used = self.split(bytes, on_frame)?;
            self.carry.extend_from_slice(&bytes[used..]);
        } else {
            let mut carry = std::mem::take(&mut self.carry);
            carry.extend_from_slice(bytes);
            let used = self.split(&carry, on_frame)?;
            carry.drain(..used);
            self.carry = carry;
        }
        Ok(())
    }

    /// Hands out the whole frames at the start of `bytes`; returns how many bytes they took.
    fn split(
        &mut self,
        bytes: &[u8],
        on_frame: &mut impl FnMut(Frame<'_>) -> Result<(), ClientError>,
    ) -> Result<usize, ClientError> {
        let mut at = 0;
        if let Some(wire) = self.tcp {
            while let Some((body, used)) = next_frame(wire, &bytes[at..])? {
                on_frame(Frame::Data(&bytes[at..][body]))?;
                at += used;
            }
            return Ok(at);
        }
        while let Some(header) = parse_header(&bytes[at..]) {
            let payload = usize::try_from(header.payload).unwrap_or(usize::MAX);
            if payload > MAX_MESSAGE_BYTES {
                return Err(ClientError::Unexpected(format!("a frame of {payload} bytes")));
            }
            let start = at + header.size;
            let Some(payload) = bytes.get(start..start + payload) else { break };
            at = start + payload.len();
            match (header.opcode, header.fin) {
                (OPCODE_TEXT | OPCODE_BINARY, true) if self.message.is_none() => on_frame(Frame::Data(payload))?,
                (OPCODE_TEXT | OPCODE_BINARY, false) if self.message.is_none() => self.message = Some(payload.to_vec()),
                (0, fin) => {
                    let Some(message) = &mut self.message else { return Err(out_of_place(0)) };
                    message.extend_from_slice(payload);
                    if message.len() > MAX_MESSAGE_BYTES {
                        return Err(ClientError::Unexpected("a message without end".to_owned()));
                    }
                    if fin && let Some(whole) = self.message.take() {
                        on_frame(Frame::Data(&whole))?;
                    }
                }
                (OPCODE_PING, true) => on_frame(Frame::Ping(payload))?,
                (OPCODE_PONG, true) => {}
                (OPCODE_CLOSE, true) => on_frame(Frame::Close)?,
                (other, _) => return Err(out_of_place(other)),
            }
        }
        Ok(at)
    }
}

fn out_of_place(opcode: u8) -> ClientError {
    ClientError::Unexpected(format!("a WebSocket frame with opcode {opcode} out of place"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chappe_proto::websocket::put_header;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_header(first & 0x0f, payload.len(), &mut bytes);
        bytes[0] = first;
        bytes.extend_from_slice(payload);
        bytes
    }

    fn seen(inbound: &mut Inbound, bytes: &[u8]) -> Result<Vec<String>, ClientError> {
        let mut all = Vec::new();
        inbound.feed(bytes, &mut |frame| {
            all.push(match frame {
                Frame::Data(data) => format!("data {} {}", data.len(), String::from_utf8_lossy(data)),
                Frame::Ping(data) => format!("ping {}", String::from_utf8_lossy(data)),
                Frame::Close => "close".to_owned(),
            });
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn frames_come_out_whole_wherever_the_bytes_are_split() {
        let long = "x".repeat(300);
        let bytes = [
            frame(0x81, b"one"),
            frame(0x01, b"be"),
            frame(0x89, b"p"),
            frame(0x80, b"gin"),
            frame(0x82, long.as_bytes()),
            frame(0x8a, b""),
            frame(0x81, b""),
            frame(0x88, b"\x10\x68"),
        ]
        .concat();
        let expected = ["data 3 one", "ping p", "data 5 begin", &format!("data 300 {long}"), "data 0 ", "close"];
        for step in 1..=bytes.len() {
            let mut inbound = Inbound::default();
            let all: Vec<String> = bytes.chunks(step).flat_map(|chunk| seen(&mut inbound, chunk).unwrap()).collect();
            assert_eq!(all, expected, "pieces of {step}");
        }
        for at in 0..bytes.len() {
            let mut inbound = Inbound::default();
            let mut all = seen(&mut inbound, &bytes[..at]).unwrap();
            all.extend(seen(&mut inbound, &bytes[at..]).unwrap());
            assert_eq!(all, expected, "split at {at}");
        }
    }

    #[test]
    fn frames_of_tcp_come_out_whole_as_well() {
        for (wire, bytes) in
            [(TcpWire::Json, &b"one\nbegin\n\n"[..]), (TcpWire::Binary, b"\0\0\0\x03one\0\0\0\x05begin\0\0\0\0")]
        {
            for at in 0..bytes.len() {
                let mut inbound = Inbound::of_tcp(wire, bytes[..at].to_vec());
                let all = seen(&mut inbound, &bytes[at..]).unwrap();
                assert_eq!(all, ["data 3 one", "data 5 begin", "data 0 "], "{wire:?}, {at} before");
            }
        }
        assert!(seen(&mut Inbound::of_tcp(TcpWire::Binary, Vec::new()), b"HTTP/1.1").is_err());
    }

    #[test]
    fn a_frame_out_of_place_or_too_large_is_an_error() {
        assert!(seen(&mut Inbound::default(), &frame(0x80, b"x")).is_err());
        assert!(seen(&mut Inbound::default(), &[frame(0x01, b"x"), frame(0x81, b"y")].concat()).is_err());
        assert!(seen(&mut Inbound::default(), &frame(0x83, b"")).is_err());
        assert!(seen(&mut Inbound::default(), &[0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0]).is_err());
    }
}
