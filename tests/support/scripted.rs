//! A server that says what a test wants it to say, over WebSocket in JSON: for what a real one does only by chance.

use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept_hdr};

use super::{PATIENCE, until};

/// Where clients come to.
#[derive(Debug)]
pub(crate) struct Scripted(TcpListener);

impl Scripted {
    /// Begins to listen.
    pub(crate) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener need not block");
        Self(listener)
    }

    /// What clients are told.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.0.local_addr().expect("it has an address"))
    }

    /// The next client, to which nothing was said.
    pub(crate) fn caller(&self) -> TcpStream {
        let (stream, _) = until("a client", || self.0.accept().ok());
        stream.set_nonblocking(false).expect("a stream may block");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
        stream
    }

    /// The next client, who said Hello and is told of these chats, and of whether there are more.
    pub(crate) fn guest(&self, heads: &Value, more_heads: bool) -> Guest {
        #[expect(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the library asks for this type")]
        fn choose(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
            response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("chappe.v1.json"));
            Ok(response)
        }
        let mut guest = Guest(accept_hdr(self.caller(), choose).expect("the WebSocket opens"));
        let hello = guest.hears("Hello");
        let limits = json!({"frame_bytes": 65_536, "window": 256});
        guest.says(&json!({"packet_type": "Welcome", "version": 1, "connection_id": 1, "user_id": 1, "epoch": 5,
            "server_time": 1, "heartbeat_ms": 25_000, "limits": limits, "heads": heads, "more_heads": more_heads,
            "request_id": hello["request_id"]}));
        guest
    }
}

/// A client, seen from the server.
#[derive(Debug)]
pub(crate) struct Guest(WebSocket<TcpStream>);

impl Guest {
    /// Its next packet, which is of this type.
    pub(crate) fn hears(&mut self, packet_type: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.0.read().unwrap_or_else(|error| panic!("waited for {packet_type}: {error}"));
            let Message::Text(text) = message else {
                // Its pings are no packets.
                assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {packet_type}");
                continue;
            };
            let packet: Value = serde_json::from_str(&text).expect("JSON comes");
            assert_eq!(packet["packet_type"], packet_type, "{packet}");
            return packet;
        }
    }

    /// Sends a packet.
    pub(crate) fn says(&mut self, packet: &Value) {
        self.0.send(Message::text(packet.to_string())).expect("the client is there");
    }

    /// Answers a request.
    pub(crate) fn answers(&mut self, request: &Value, mut answer: Value) {
        answer["request_id"] = request["request_id"].clone();
        self.says(&answer);
    }
}
