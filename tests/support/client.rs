//! A client that speaks packets as JSON values, whatever they are on the wire: so one test can go through every door.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use chappe_proto::frame::{self, ClientFrame};
use chappe_proto::outgoing::Wire;
use chappe_proto::packet::Packet;
use chappe_proto::request::Request;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::{ClientRequestBuilder, client};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::PATIENCE;
use super::server::TestServer;
use super::tls::Socket;

/// A door, and what is spoken there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    TcpJson,
    TcpBinary,
    WsText,
    WsBinary,
}

impl Door {
    pub(crate) const ALL: [Self; 4] = [Self::TcpJson, Self::TcpBinary, Self::WsText, Self::WsBinary];

    pub(crate) fn is_binary(self) -> bool {
        matches!(self, Self::TcpBinary | Self::WsBinary)
    }

    pub(crate) fn is_web_socket(self) -> bool {
        matches!(self, Self::WsText | Self::WsBinary)
    }
}

#[derive(Debug)]
enum Stream {
    Tcp { socket: Socket, received: Vec<u8>, used: usize },
    Ws(Box<WebSocket<Socket>>),
}

/// What reading brought.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    Packet(Value),
    /// The server has closed the connection; on WebSocket with this code.
    End(Option<u16>),
    /// Nothing, for as long as was waited.
    Silence,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) door: Door,
    stream: Stream,
    /// What came while something else was waited for.
    inbox: VecDeque<Value>,
    next_request_id: u64,
}

impl Client {
    /// Connects, and says nothing.
    pub(crate) fn connect(server: &TestServer, door: Door) -> Self {
        let address = if door.is_web_socket() { server.http } else { server.tcp };
        Self::over(Socket::to(address, server.tls.as_ref()), address, door)
    }

    /// Connects to an address, and says nothing.
    pub(crate) fn connect_to(address: SocketAddr, door: Door) -> Self {
        Self::over(Socket::to(address, None), address, door)
    }

    /// Takes a connection to an address over, and says nothing.
    pub(crate) fn over(socket: Socket, address: SocketAddr, door: Door) -> Self {
        let stream = if door.is_web_socket() {
            let protocol = if door.is_binary() { "chappe.v1.bin" } else { "chappe.v1.json" };
            let scheme = if socket.is_tls() { "wss" } else { "ws" };
            let uri = format!("{scheme}://{address}/ws").parse().expect("an address makes a URL");
            let request = ClientRequestBuilder::new(uri).with_sub_protocol(protocol);
            let (socket, _) = client(request, socket).expect("the WebSocket opens");
            Stream::Ws(Box::new(socket))
        } else {
            Stream::Tcp { socket, received: Vec::new(), used: 0 }
        };
        Self { door, stream, inbox: VecDeque::new(), next_request_id: 1 }
    }

    /// Over a WebSocket of JSON that is open.
    pub(crate) fn over_web_socket(socket: WebSocket<Socket>) -> Self {
        Self { door: Door::WsText, stream: Stream::Ws(Box::new(socket)), inbox: VecDeque::new(), next_request_id: 1 }
    }

    /// Connects and says who it is.
    pub(crate) fn hello(server: &TestServer, door: Door, user: u64) -> Self {
        let mut client = Self::connect(server, door);
        client.greet(user);
        client
    }

    /// Says who it is; the `Welcome`.
    pub(crate) fn greet(&mut self, user: u64) -> Value {
        let welcome = self.ask(json!({"packet_type": "Hello", "version": 1, "user_id": user}));
        assert_eq!((&welcome["packet_type"], &welcome["user_id"]), (&json!("Welcome"), &json!(user)), "{welcome}");
        welcome
    }

    /// The socket itself.
    pub(crate) fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Tcp { socket, .. } => socket.tcp(),
            Stream::Ws(socket) => socket.get_ref().tcp(),
        }
    }

    /// Sends any bytes, past the framing.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.socket().write_all(bytes).expect("the connection takes bytes");
    }

    /// Sends bytes as the body of one frame, or as one line.
    pub(crate) fn send_body(&mut self, body: Vec<u8>) {
        assert!(self.try_send_body(body), "the connection on {:?} takes no packet", self.door);
    }

    /// The same; `false` if the connection is gone.
    pub(crate) fn try_send_body(&mut self, body: Vec<u8>) -> bool {
        match &mut self.stream {
            Stream::Ws(socket) => {
                let message = match self.door {
                    Door::WsText => Message::text(String::from_utf8(body).expect("text is UTF-8")),
                    _ => Message::binary(body),
                };
                socket.send(message).is_ok()
            }
            Stream::Tcp { socket, .. } => {
                let wire = if self.door.is_binary() { Wire::Binary } else { Wire::JsonLines };
                let mut bytes = Vec::new();
                wire.put(&body, &mut bytes);
                socket.write_all(&bytes).is_ok()
            }
        }
    }

    /// What came while something else was waited for is not needed.
    pub(crate) fn forget(&mut self) {
        self.inbox.clear();
    }

    /// A packet's body as this door has it.
    pub(crate) fn encode(&self, packet: &Value) -> Vec<u8> {
        if !self.door.is_binary() {
            return packet.to_string().into_bytes();
        }
        let request: Request = serde_json::from_value(packet.clone()).expect("the packet is a request");
        let mut body = Vec::new();
        let request_id = packet["request_id"].as_u64();
        frame::encode_request_into(&ClientFrame { request_id, request }, &mut body);
        body
    }

    /// Sends a packet.
    pub(crate) fn send(&mut self, packet: &Value) {
        let body = self.encode(packet);
        self.send_body(body);
    }

    /// Sends a packet; `false` if the connection is gone.
    pub(crate) fn try_send(&mut self, packet: &Value) -> bool {
        let body = self.encode(packet);
        self.try_send_body(body)
    }

    /// Sends a request under a number of its own, which is returned.
    pub(crate) fn begin(&mut self, mut packet: Value) -> u64 {
        let id = self.next_request_id;
        self.next_request_id += 1;
        packet["request_id"] = json!(id);
        self.send(&packet);
        id
    }

    /// Waits for the answer to a request.
    pub(crate) fn answer(&mut self, request_id: u64) -> Value {
        self.wait(&format!("the answer to request {request_id}"), |packet| packet["request_id"] == request_id)
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&mut self, packet: Value) -> Value {
        let id = self.begin(packet);
        self.answer(id)
    }

    /// Posts a message; its ack, which is a good one.
    pub(crate) fn post(&mut self, chat: u64, content: &str) -> Value {
        let ack = self.ask(message(chat, content));
        assert_eq!(ack["success"], true, "{ack}");
        ack
    }

    /// The next packet, whatever it is, within `patience`.
    pub(crate) fn next_within(&mut self, patience: Duration) -> Next {
        match self.inbox.pop_front() {
            Some(packet) => Next::Packet(packet),
            None => self.read(Instant::now() + patience),
        }
    }

    /// The next packet, whatever it is.
    pub(crate) fn next(&mut self) -> Value {
        match self.next_within(PATIENCE) {
            Next::Packet(packet) => packet,
            other => panic!("waited for a packet on {:?}, but: {other:?}", self.door),
        }
    }

    /// Waits for the first packet that fits; the others stay for later.
    pub(crate) fn wait(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.inbox.iter().position(&fits) {
            return self.inbox.remove(at).expect("it was found there");
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.read(deadline) {
                Next::Packet(packet) if fits(&packet) => return packet,
                Next::Packet(packet) => self.inbox.push_back(packet),
                other => {
                    let last: Vec<_> = self.inbox.iter().rev().take(3).collect();
                    panic!("waited for {what} on {:?}, but: {other:?}; came before: {last:?}", self.door)
                }
            }
        }
    }

    /// Waits for a packet of this type.
    pub(crate) fn wait_for(&mut self, packet_type: &str) -> Value {
        self.wait(packet_type, |packet| packet["packet_type"] == packet_type)
    }

    /// Waits until it is told how a user is, by a packet of their own or among others; how they are.
    pub(crate) fn status_of(&mut self, user: u64) -> Value {
        let packet = self.wait("a status", |packet| tells_of(packet, user));
        if packet["packet_type"] == "Status" {
            return packet;
        }
        let (mut told, others): (Vec<_>, Vec<_>) =
            packet["users"].as_array().into_iter().flatten().cloned().partition(|one| one["user_id"] == user);
        if !others.is_empty() {
            self.inbox.push_back(json!({"packet_type": "Presence", "users": others}));
        }
        told.remove(0)
    }

    /// The live events of a chat, in the order they came, up to and with number `to`.
    pub(crate) fn events(&mut self, chat: u64, to: u64) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let numbered = |packet: &Value| {
                packet["chat_id"] == chat
                    && packet["seq"].is_u64()
                    && !is_answer(packet)
                    && packet["packet_type"] != "Read"
            };
            let event = self.wait(&format!("event {to} of chat {chat}"), numbered);
            let seq = event["seq"].as_u64().expect("an event has a number");
            events.push(event);
            if seq >= to {
                return events;
            }
        }
    }

    /// Everything that has come by itself until now. The question behind it went through the whole engine: what
    /// happened before it was asked is here.
    pub(crate) fn heard(&mut self) -> Vec<Value> {
        let question = json!({"packet_type": "GetPresence", "user_ids": [1]});
        self.ask(question);
        self.inbox.drain(..).collect()
    }

    /// Reads until the server closes; the packets that still came, and the close code.
    pub(crate) fn rest(&mut self) -> (Vec<Value>, Option<u16>) {
        let mut packets = Vec::new();
        loop {
            match self.next_within(PATIENCE) {
                Next::Packet(packet) => packets.push(packet),
                Next::End(code) => return (packets, code),
                Next::Silence => panic!("waited for the end of a connection on {:?}; came: {packets:?}", self.door),
            }
        }
    }

    fn read(&mut self, deadline: Instant) -> Next {
        loop {
            if let Stream::Tcp { received, used, .. } = &mut self.stream
                && let Some(packet) = take_packet(self.door, received, used)
            {
                return Next::Packet(packet);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Silence;
            }
            self.socket().set_read_timeout(Some(left)).expect("a time-out can be set");
            match &mut self.stream {
                Stream::Tcp { socket, received, .. } => {
                    let mut buffer = [0; 65_536];
                    match socket.read(&mut buffer) {
                        Ok(0) => return Next::End(None),
                        Ok(size) => received.extend_from_slice(&buffer[..size]),
                        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                        Err(_) => return Next::End(None),
                    }
                }
                Stream::Ws(socket) => match socket.read() {
                    Ok(Message::Text(text)) => return Next::Packet(serde_json::from_str(&text).expect("JSON comes")),
                    Ok(Message::Binary(body)) => return Next::Packet(decode(&body)),
                    Ok(Message::Close(frame)) => {
                        let _ = socket.flush();
                        return Next::End(frame.map(|frame| CloseCode::into(frame.code)));
                    }
                    Ok(_) => {}
                    Err(tungstenite::Error::Io(error))
                        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Err(_) => return Next::End(None),
                },
            }
        }
    }
}

/// A message to be sent.
pub(crate) fn message(chat: u64, content: &str) -> Value {
    json!({"packet_type": "SendMessage", "message": {"chat_id": chat, "content": content}})
}

/// A message with a name of its own.
pub(crate) fn named_message(chat: u64, content: &str, client_id: &str) -> Value {
    let mut packet = message(chat, content);
    packet["message"]["client_id"] = json!(client_id);
    packet
}

/// Whether a packet that nobody asked for tells how a user is.
pub(crate) fn tells_of(packet: &Value, user: u64) -> bool {
    let is = |one: &Value| one["user_id"] == user;
    let mut among = packet["users"].as_array().into_iter().flatten();
    !is_answer(packet) && (packet["packet_type"] == "Status" && is(packet) || among.any(is))
}

fn is_answer(packet: &Value) -> bool {
    packet["packet_type"] == "Ack" || packet.get("request_id").is_some()
}

fn take_packet(door: Door, received: &mut Vec<u8>, used: &mut usize) -> Option<Value> {
    let waiting = &received[*used..];
    let (packet, size) = if door.is_binary() {
        let (length, rest) = waiting.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).expect("a length fits");
        (decode(rest.get(..length)?), 4 + length)
    } else {
        let end = waiting.iter().position(|byte| *byte == b'\n')?;
        (serde_json::from_slice(&waiting[..end]).expect("JSON comes, a line each"), end + 1)
    };
    *used += size;
    if *used > 1 << 20 || *used == received.len() {
        received.drain(..*used);
        *used = 0;
    }
    Some(packet)
}

fn decode(body: &[u8]) -> Value {
    let (request_id, packet): (Option<u64>, Packet) = frame::decode_packet(body).expect("a packet comes");
    let mut value = serde_json::to_value(&packet).expect("a packet is JSON");
    if let Some(id) = request_id {
        value["request_id"] = json!(id);
    }
    value
}
