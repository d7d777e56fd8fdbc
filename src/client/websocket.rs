//! A client of the WebSocket door (RFC 6455): handshake, masked frames out, packets in.
//!
//! Splitting the server's bytes into frames is [`Inbound`]'s.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use chappe_proto::frame::{self, ClientFrame};
use chappe_proto::packet::{Packet, Welcome};
use chappe_proto::request::Request;
use chappe_proto::websocket::{OPCODE_BINARY, OPCODE_PONG, OPCODE_TEXT, put_header};
use chappe_proto::{UserId, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::http::parse_head;
use super::inbound::{Frame, Inbound};
use super::tcp::hello;
use super::{Answer, ClientError, open};

/// How long [`WsClient::call`] waits for its answer, and the handshake for its.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The key and its answer are those of the RFC's example: the pair shows that the other side speaks WebSocket, which is
/// all the key is for, and spares the client a hash function.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// A mask keeps scripts in browsers from writing bytes of their choice past proxies. No script chooses our bytes.
const MASK: [u8; 4] = [0x63, 0x68, 0x61, 0x70];
/// Ids of [`WsClient::call`] start here.
const FIRST_CALL_ID: u64 = 1 << 52;

/// The format of the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WsWire {
    /// Text frames with JSON: subprotocol `chappe.v1.json`.
    Json,
    /// Binary frames: subprotocol `chappe.v1.bin`.
    Binary,
}

/// One connection to the WebSocket door.
#[derive(Debug)]
pub struct WsClient {
    stream: TcpStream,
    wire: WsWire,
    inbound: Inbound,
    ready: VecDeque<Answer>,
    next_call: u64,
}

impl WsClient {
    /// Connects to `/ws` at `address` (`host:port`) and shakes hands.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], or [`ClientError::Unexpected`] if the other side is no chappe server.
    pub async fn connect(address: &str, wire: WsWire) -> Result<Self, ClientError> {
        let mut stream = open(address).await?;
        let protocol = match wire {
            WsWire::Json => "chappe.v1.json",
            WsWire::Binary => "chappe.v1.bin",
        };
        let asked = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
        );
        let shake = async {
            stream.write_all(asked.as_bytes()).await?;
            let mut received = Vec::with_capacity(1024);
            loop {
                if let Some(head) = parse_head(&received)? {
                    if head.status != 101 || head.accept.as_deref() != Some(ACCEPT) {
                        let text = format!("the WebSocket handshake was answered with HTTP {}", head.status);
                        return Err(ClientError::Unexpected(text));
                    }
                    received.drain(..head.size);
                    return Ok(received);
                }
                if stream.read_buf(&mut received).await? == 0 {
                    return Err(ClientError::Ended);
                }
            }
        };
        let early =
            tokio::time::timeout(ANSWER_TIMEOUT, shake).await.map_err(|_| ClientError::Silent(ANSWER_TIMEOUT))??;
        let mut client =
            Self { stream, wire, inbound: Inbound::default(), ready: VecDeque::new(), next_call: FIRST_CALL_ID };
        client.feed(&early)?;
        Ok(client)
    }

    /// Asks one thing and waits for its answer; what comes in between is dropped.
    ///
    /// # Errors
    /// Those of the connection, [`ClientError::Closing`], or [`ClientError::Silent`] after 30 s. A refusal is an answer.
    pub async fn call(&mut self, request: Request) -> Result<Packet, ClientError> {
        let id = self.next_call;
        self.next_call += 1;
        self.send(request, Some(id)).await?;
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
    /// Those of [`WsClient::call`], or the refusal.
    pub async fn hello(&mut self, user_id: Option<UserId>) -> Result<Welcome, ClientError> {
        match self.call(Request::Hello(hello(user_id))).await? {
            Packet::Welcome(welcome) => Ok(*welcome),
            other => Err(ClientError::from_answer(other)),
        }
    }

    /// Sends one request. Not to be cancelled.
    ///
    /// # Errors
    /// [`ClientError::Lost`].
    pub async fn send(&mut self, request: Request, request_id: Option<u64>) -> Result<(), ClientError> {
        let frame = ClientFrame { request_id, request };
        let mut body = Vec::new();
        let opcode = match self.wire {
            WsWire::Json => {
                json::encode_request_into(&frame, &mut body);
                OPCODE_TEXT
            }
            WsWire::Binary => {
                frame::encode_request_into(&frame, &mut body);
                OPCODE_BINARY
            }
        };
        let mut out = Vec::with_capacity(body.len() + 14);
        put_masked(opcode, &body, &mut out);
        Ok(self.stream.write_all(&out).await?)
    }

    /// Waits for the next packet; pings are answered on the way. May be cancelled.
    ///
    /// # Errors
    /// Those of the connection, or [`ClientError::Unexpected`].
    pub async fn next(&mut self) -> Result<Answer, ClientError> {
        let mut chunk = vec![0; 16 * 1024];
        loop {
            if let Some(answer) = self.ready.pop_front() {
                return Ok(answer);
            }
            let size = self.stream.read(&mut chunk).await?;
            if size == 0 {
                return Err(ClientError::Ended);
            }
            self.feed(&chunk[..size])?;
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let (wire, ready, stream) = (self.wire, &mut self.ready, &self.stream);
        self.inbound.feed(bytes, &mut |frame| match frame {
            Frame::Data(body) => {
                ready.push_back(decode(wire, body)?);
                Ok(())
            }
            Frame::Ping(payload) => {
                answer_ping(stream, payload);
                Ok(())
            }
            Frame::Close => Err(ClientError::Ended),
        })
    }

    /// Takes the connection apart for a reader that looks at the frames itself.
    pub fn into_parts(self) -> (TcpStream, Inbound) {
        (self.stream, self.inbound)
    }
}

/// Reads what has come on `stream` into `buffer`, shared by many connections, and hands out the frames in it. Resolves
/// once something was read.
///
/// # Errors
/// Those of the connection, or of `on_frame`.
pub async fn read_frames(
    stream: &mut TcpStream,
    inbound: &mut Inbound,
    buffer: &std::cell::RefCell<Vec<u8>>,
    on_frame: &mut impl FnMut(Frame<'_>) -> Result<(), ClientError>,
) -> Result<(), ClientError> {
    poll_fn(|context| poll_frames(context, stream, inbound, buffer, on_frame)).await
}

fn poll_frames(
    context: &mut Context<'_>,
    stream: &mut TcpStream,
    inbound: &mut Inbound,
    buffer: &std::cell::RefCell<Vec<u8>>,
    on_frame: &mut impl FnMut(Frame<'_>) -> Result<(), ClientError>,
) -> Poll<Result<(), ClientError>> {
    // Borrowed within one poll only, so no two connections meet.
    let mut buffer = buffer.borrow_mut();
    let mut read = ReadBuf::new(&mut buffer);
    std::task::ready!(Pin::new(stream).poll_read(context, &mut read))?;
    if read.filled().is_empty() {
        return Poll::Ready(Err(ClientError::Ended));
    }
    Poll::Ready(inbound.feed(read.filled(), on_frame))
}

/// Answers a ping if the socket takes it at once; a full socket shows the server that we live, too.
pub fn answer_ping(stream: &TcpStream, payload: &[u8]) {
    let mut out = Vec::with_capacity(payload.len() + 14);
    put_masked(OPCODE_PONG, payload, &mut out);
    let _ = stream.try_write(&out);
}

/// Reads a data frame's packet.
///
/// # Errors
/// [`ClientError::Unexpected`].
pub fn decode(wire: WsWire, body: &[u8]) -> Result<Answer, ClientError> {
    let (request_id, packet) = match wire {
        WsWire::Binary => frame::decode_packet(body).map_err(ClientError::Unexpected)?,
        WsWire::Json => json::decode_packet(body).map_err(|error| ClientError::Unexpected(error.to_string()))?,
    };
    Ok(Answer { request_id, packet })
}

/// Appends a whole, masked frame.
pub fn put_masked(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    put_header(opcode, payload.len(), out);
    out[start + 1] |= 0x80;
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;
    use chappe_proto::websocket::parse_header;

    #[test]
    fn a_masked_frame_unmasks_to_its_payload() {
        for size in [0usize, 1, 125, 126, 70_000] {
            let payload = vec![b'z'; size];
            let mut out = Vec::new();
            put_masked(OPCODE_TEXT, &payload, &mut out);
            let header = parse_header(&out).unwrap();
            assert_eq!((header.payload, header.fin), (size as u64, true));
            assert_eq!(out.len(), header.size + size);
            let mask: Vec<u8> = out[header.size - 4..header.size].to_vec();
            let plain: Vec<u8> = out[header.size..].iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b).collect();
            assert_eq!(plain, payload);
        }
    }
}
