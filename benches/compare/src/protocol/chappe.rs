//! chappe: binary frames over TCP, or JSON or binary packets over WebSocket. Its chats and their members are made over HTTP.

use std::net::SocketAddr;

use chappe_proto::UserId;
use chappe_proto::frame::{self, ClientFrame};
use chappe_proto::request::{Hello, Request};
use serde_json::{Value, json};

use super::websocket::{self, BINARY, TEXT};
use super::{Found, Protocol, Seat, chappe_binary, chappe_json};
use crate::door::Door;
use crate::trouble::Trouble;

/// How packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// TCP: binary frames.
    Tcp,
    /// WebSocket: JSON, as browsers take it.
    WebSocket,
    /// WebSocket: binary packets.
    WebSocketBinary,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Chappe {
    seat: Seat,
    wire: Wire,
    address: SocketAddr,
}

impl Chappe {
    /// A connection to the door at `address`, which is the wire's.
    pub(crate) fn new(seat: Seat, wire: Wire, address: SocketAddr) -> Self {
        Self { seat, wire, address }
    }

    /// Appends a packet, framed.
    fn put(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        match self.wire {
            Wire::Tcp => {
                let at = out.len();
                out.extend_from_slice(&[0; 4]);
                write(out);
                let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
                out[at..at + 4].copy_from_slice(&length.to_be_bytes());
            }
            Wire::WebSocket => websocket::put(TEXT, out, write),
            Wire::WebSocketBinary => websocket::put(BINARY, out, write),
        }
    }

    /// The packet that begins at `at`, which moves behind it: from, to.
    fn next(&self, bytes: &[u8], at: &mut usize, out: &mut Vec<u8>) -> Result<Option<(usize, usize)>, Trouble> {
        if self.wire != Wire::Tcp {
            return Ok(websocket::next(bytes, at, out)?.map(|frame| (frame.from, frame.to)));
        }
        let Some((length, _)) = bytes[*at..].split_first_chunk() else { return Ok(None) };
        let from = *at + 4;
        let to = from + usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX / 2);
        if bytes.len() < to {
            return Ok(None);
        }
        *at = to;
        Ok(Some((from, to)))
    }

    fn hello(&self) -> Result<ClientFrame, Trouble> {
        let user = UserId::parse(self.seat.user).map_err(|error| Trouble::Input(error.to_string()))?;
        let hello = Hello { version: 1, token: None, user_id: Some(user), agent: None, heads: false, zstd: false };
        Ok(ClientFrame { request_id: None, request: Request::Hello(hello) })
    }
}

impl Protocol for Chappe {
    fn open(&mut self, door: &mut Door) -> Result<(), Trouble> {
        let offered = match self.wire {
            Wire::Tcp => None,
            Wire::WebSocket => Some("chappe.v1.json"),
            Wire::WebSocketBinary => Some("chappe.v1.bin"),
        };
        if let Some(protocol) = offered {
            websocket::upgrade(door, self.address, "/ws", &format!("Sec-WebSocket-Protocol: {protocol}\r\n"))?;
        }
        if self.seat.hears.is_empty() && !self.seat.idle {
            // It only posts, and each post names its sender: nothing is sent to it but acks.
            return Ok(());
        }
        let (mut said, hello) = (Vec::new(), self.hello()?);
        self.put(&mut said, |out| match self.wire {
            Wire::WebSocket => chappe_proto::json::encode_request_into(&hello, out),
            _ => frame::encode_request_into(&hello, out),
        });
        door.say(&said)?;
        door.hear(|bytes| {
            let mut at = 0;
            while let Some((from, to)) = self.next(bytes, &mut at, &mut Vec::new())? {
                let body = &bytes[from..to];
                let json = self.wire == Wire::WebSocket;
                if if json { chappe_json::is_welcome(body) } else { chappe_binary::is_welcome(body) } {
                    return Ok(Some(((), at)));
                }
                // Presence may come before, a refusal ends it.
                let size = self.seat.size;
                if json {
                    chappe_json::read(bytes, from, to, size)
                } else {
                    chappe_binary::read(bytes, from, to, size)
                }?;
            }
            Ok(None)
        })
    }

    fn acks(&self) -> bool {
        true
    }

    fn post(&mut self, channel: u64, number: u32, payload: &[u8], out: &mut Vec<u8>) {
        self.put(out, |out| match self.wire {
            Wire::WebSocket => chappe_json::put_post(&self.seat, channel, number, payload, out),
            _ => chappe_binary::put_post(&self.seat, channel, number, payload, out),
        });
    }

    fn read(&mut self, bytes: &[u8], found: &mut Vec<Found>, out: &mut Vec<u8>) -> Result<usize, Trouble> {
        let mut at = 0;
        while let Some((from, to)) = self.next(bytes, &mut at, out)? {
            found.extend(match self.wire {
                Wire::WebSocket => chappe_json::read(bytes, from, to, self.seat.size)?,
                _ => chappe_binary::read(bytes, from, to, self.seat.size)?,
            });
        }
        Ok(at)
    }
}

/// Makes a group of these members; returns its id.
pub(crate) fn make_chat(door: &mut Door, members: &[u64]) -> Result<u64, Trouble> {
    let body = json!({ "title": "compare", "kind": "group", "members": members, "user_id": members.first() });
    let answer = ask(door, "POST", "/api/chats", &body.to_string())?;
    answer["chat_id"].as_u64().ok_or_else(|| Trouble::Answer(answer.to_string()))
}

/// The number of a chat's newest event, as its member `user` is told.
pub(crate) fn head(door: &mut Door, chat: u64, user: u64) -> Result<u64, Trouble> {
    let answer = ask(door, "GET", &format!("/api/chats/{chat}/events?after=0&limit=1&user_id={user}"), "")?;
    answer["head"].as_u64().ok_or_else(|| Trouble::Answer(answer.to_string()))
}

fn ask(door: &mut Door, method: &str, path: &str, body: &str) -> Result<Value, Trouble> {
    let asked = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    door.say(asked.as_bytes())?;
    let text = door.hear(|bytes| {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n").map(|end| end + 4) else { return Ok(None) };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
        let to = end + length.ok_or_else(|| Trouble::answer(bytes))?;
        if !head.starts_with("http/1.1 2") {
            return Err(Trouble::answer(bytes));
        }
        Ok((bytes.len() >= to).then(|| (bytes[end..to].to_vec(), to)))
    })?;
    serde_json::from_slice(&text).map_err(|_| Trouble::answer(&text))
}
