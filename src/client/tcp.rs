//! A client of the TCP door, binary or JSON: requests are queued and flushed together, answers read in batches.

use std::ops::Range;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use chappe_proto::frame::{self, ClientFrame};
use chappe_proto::outgoing::Wire;
use chappe_proto::packet::{Packet, Welcome};
use chappe_proto::request::{Hello, Request};
use chappe_proto::{UserId, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::inbound::Inbound;
use super::{Answer, ClientError, open};

/// How long [`TcpClient::call`] waits for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Room made before each read.
const READ_BYTES: usize = 64 * 1024;
/// The longest JSON line taken; binary frames end at 16 MiB by their layout.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;
/// Ids of [`TcpClient::call`] start here, away from those that callers choose.
const FIRST_CALL_ID: u64 = 1 << 52;

/// How packets travel on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpWire {
    /// Length-prefixed frames.
    Binary,
    /// A line of JSON each.
    Json,
}

/// One connection to the TCP door.
#[derive(Debug)]
pub struct TcpClient {
    stream: TcpStream,
    wire: TcpWire,
    received: BytesMut,
    queued: Vec<u8>,
    body: Vec<u8>,
    next_call: u64,
}

impl TcpClient {
    /// Connects; the first request that is flushed tells the server the wire.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn connect(address: &str, wire: TcpWire) -> Result<Self, ClientError> {
        let stream = open(address).await?;
        Ok(Self {
            stream,
            wire,
            received: BytesMut::new(),
            queued: Vec::new(),
            body: Vec::new(),
            next_call: FIRST_CALL_ID,
        })
    }

    /// Puts a request behind those that wait for [`TcpClient::flush`].
    pub fn queue(&mut self, request: Request, request_id: Option<u64>) {
        put_request(self.wire, request, request_id, &mut self.body, &mut self.queued);
    }

    /// Writes all that is queued. Not to be cancelled: a frame cut short ends the connection.
    ///
    /// # Errors
    /// [`ClientError::Lost`].
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        if !self.queued.is_empty() {
            self.stream.write_all(&self.queued).await?;
            self.queued.clear();
        }
        Ok(())
    }

    /// Waits until more bytes have come. May be cancelled.
    ///
    /// # Errors
    /// [`ClientError::Lost`] or [`ClientError::Ended`].
    pub async fn fill(&mut self) -> Result<(), ClientError> {
        if self.received.capacity() - self.received.len() < READ_BYTES / 4 {
            self.received.reserve(READ_BYTES);
        }
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(ClientError::Ended),
            _ => Ok(()),
        }
    }

    /// The next answer among the bytes that have come.
    ///
    /// # Errors
    /// [`ClientError::Unexpected`] if they are not the protocol.
    pub fn take(&mut self) -> Result<Option<Answer>, ClientError> {
        let Some((body, used)) = next_frame(self.wire, &self.received)? else { return Ok(None) };
        let answer = decode(self.wire, &self.received[body]);
        self.received.advance(used);
        answer.map(Some)
    }

    /// Waits for the next answer. May be cancelled.
    ///
    /// # Errors
    /// Those of [`TcpClient::fill`] and [`TcpClient::take`].
    pub async fn next(&mut self) -> Result<Answer, ClientError> {
        loop {
            if let Some(answer) = self.take()? {
                return Ok(answer);
            }
            self.fill().await?;
        }
    }

    /// Asks one thing and waits for its answer; what comes in between is dropped.
    ///
    /// # Errors
    /// Those of the connection, [`ClientError::Closing`], or [`ClientError::Silent`] after 10 s. A refusal is an answer.
    pub async fn call(&mut self, request: Request) -> Result<Packet, ClientError> {
        let id = self.next_call;
        self.next_call += 1;
        self.queue(request, Some(id));
        self.flush().await?;
        let answer = async {
            loop {
                let answer = self.next().await?;
                match answer.packet {
                    packet if answer.request_id == Some(id) => return Ok(packet),
                    Packet::Closing(closing) => return Err(ClientError::Closing(Box::new(closing))),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(ANSWER_TIMEOUT, answer).await.map_err(|_| ClientError::Silent(ANSWER_TIMEOUT))?
    }

    /// Says who the client is.
    ///
    /// # Errors
    /// Those of [`TcpClient::call`], or the refusal.
    pub async fn hello(&mut self, user_id: Option<UserId>) -> Result<Welcome, ClientError> {
        self.greet(hello(user_id)).await
    }

    /// Says who the client is, in full.
    ///
    /// # Errors
    /// As [`TcpClient::hello`].
    pub async fn greet(&mut self, hello: Hello) -> Result<Welcome, ClientError> {
        match self.call(Request::Hello(hello)).await? {
            Packet::Welcome(welcome) => Ok(*welcome),
            other => Err(ClientError::from_answer(other)),
        }
    }

    /// Takes the connection apart for a reader that looks at the frames itself.
    pub fn into_parts(self) -> (TcpStream, Inbound) {
        (self.stream, Inbound::of_tcp(self.wire, self.received.into()))
    }
}

/// Appends a request as it travels on the connection; `body` is scratch space.
pub fn put_request(wire: TcpWire, request: Request, request_id: Option<u64>, body: &mut Vec<u8>, out: &mut Vec<u8>) {
    let frame = ClientFrame { request_id, request };
    body.clear();
    match wire {
        TcpWire::Binary => {
            frame::encode_request_into(&frame, body);
            Wire::Binary.put(body, out);
        }
        TcpWire::Json => {
            json::encode_request_into(&frame, body);
            Wire::JsonLines.put(body, out);
        }
    }
}

/// The `Hello` of every client here.
pub(super) fn hello(user_id: Option<UserId>) -> Hello {
    Hello { user_id, agent: Some(concat!("chappe/", env!("CARGO_PKG_VERSION")).into()), ..Hello::default() }
}

/// Where the first frame's body lies in `bytes`, and how many bytes the frame takes; `None` until it is whole.
pub(super) fn next_frame(wire: TcpWire, bytes: &[u8]) -> Result<Option<(Range<usize>, usize)>, ClientError> {
    match wire {
        TcpWire::Binary => match *bytes {
            [0, b, c, d, ..] => {
                let end = 4 + (usize::from(b) << 16 | usize::from(c) << 8 | usize::from(d));
                Ok((bytes.len() >= end).then_some((4..end, end)))
            }
            [first, ..] if first != 0 => {
                Err(ClientError::Unexpected(format!("a frame that starts with {first:#04x}, not with a length")))
            }
            _ => Ok(None),
        },
        TcpWire::Json => match bytes.iter().position(|&byte| byte == b'\n') {
            Some(end) => Ok(Some((0..end, end + 1))),
            None if bytes.len() > MAX_LINE_BYTES => Err(ClientError::Unexpected("a line without end".to_owned())),
            None => Ok(None),
        },
    }
}

fn decode(wire: TcpWire, body: &[u8]) -> Result<Answer, ClientError> {
    let (request_id, packet) = match wire {
        TcpWire::Binary => frame::decode_packet(body).map_err(ClientError::Unexpected)?,
        TcpWire::Json => json::decode_packet(body).map_err(|error| ClientError::Unexpected(error.to_string()))?,
    };
    Ok(Answer { request_id, packet })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chappe_proto::outgoing::Encoder;
    use chappe_proto::packet::Pong;

    #[test]
    fn a_frame_is_found_only_once_it_is_whole() {
        let packet = Packet::Pong(Pong { nonce: Some(7), server_time: None });
        for (wire, framing) in [(TcpWire::Binary, Wire::Binary), (TcpWire::Json, Wire::JsonLines)] {
            let mut bytes = Vec::new();
            Encoder::default().put(framing, &packet, Some(3), &mut bytes);
            let whole = bytes.len();
            bytes.extend_from_within(..);
            for short in 0..whole {
                assert!(next_frame(wire, &bytes[..short]).unwrap().is_none(), "{wire:?} {short}");
            }
            let (body, used) = next_frame(wire, &bytes).unwrap().unwrap();
            assert_eq!(used, whole);
            let answer = decode(wire, &bytes[body]).unwrap();
            assert_eq!(answer, Answer { request_id: Some(3), packet: packet.clone() });
        }
    }

    #[test]
    fn bytes_that_are_no_frame_are_an_error() {
        assert!(next_frame(TcpWire::Binary, b"HTTP/1.1").is_err());
        assert!(decode(TcpWire::Json, b"hello").is_err());
        assert!(decode(TcpWire::Binary, b"").is_err());
    }
}
