//! WebSocket, after its handshake: messages are read by `chappe_proto::websocket_input`, and what is sent comes framed out
//! of the outbox.

use bytes::Bytes;
use chappe_proto::websocket::{OPCODE_PONG, put_header};
use chappe_proto::websocket_input::{Incoming, Reader};
use chappe_proto::{frame, json};

use super::Framing;
use crate::session::Session;
use crate::session::outbox::Topic;

impl Framing for Reader {
    const DOOR: usize = 0;

    fn take(&mut self, bytes: &mut &[u8], session: &mut Session) {
        while session.takes_more() {
            match self.next(bytes) {
                Ok(None) => break,
                Ok(Some(Incoming::Text(text))) => session.take(json::decode(text)),
                Ok(Some(Incoming::Binary(body))) => session.take(frame::decode(body)),
                Ok(Some(Incoming::Ping(payload))) => {
                    session.take_control();
                    let mut pong = Vec::new();
                    put_header(OPCODE_PONG, payload.len(), &mut pong);
                    pong.extend_from_slice(payload);
                    session.outbox().ephemeral(Topic::Pong, Bytes::from(pong));
                }
                Ok(Some(Incoming::Pong)) => session.take_control(),
                Ok(Some(Incoming::Close(code))) => session.outbox().leave(code.unwrap_or(1000)),
                Err(violation) => session.outbox().leave(violation.close_code()),
            }
        }
    }

    fn is_between(&self) -> bool {
        self.is_between()
    }

    fn held_bytes(&self) -> usize {
        self.held_bytes()
    }

    fn forget(&mut self) {
        // No byte more is taken: whatever it may be for.
        *self = Self::new(0);
    }
}
