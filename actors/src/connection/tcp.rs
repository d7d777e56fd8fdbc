//! TCP: JSON values or binary frames, told apart by the first byte.

use std::cell::RefCell;

use chappe_proto::code::CloseCode;
use chappe_proto::compression::Expander;
use chappe_proto::frame::{ClientFrame, Refused};
use chappe_proto::outgoing::Wire;
use chappe_proto::stream::{Piece, Splitter};
use chappe_proto::{frame, json};

use super::Framing;
use crate::hub;
use crate::session::Session;
use crate::session::outbox::Outbox;

thread_local! {
    static EXPANDER: RefCell<Expander> = RefCell::default();
}

impl Framing for Splitter {
    const DOOR: usize = 1;

    fn begin(&self, bytes: &[u8], session: &Session) {
        if self.framing().is_none() && bytes.first() == Some(&0) {
            session.outbox().set_wire(Wire::Binary);
            hub::use_wire(Wire::Binary);
        }
    }

    fn take(&mut self, bytes: &mut &[u8], session: &mut Session) {
        while session.takes_more() {
            match self.next(bytes) {
                Ok(None) => break,
                Ok(Some(piece)) => session.take(match piece {
                    Piece::Json(text) => json::decode(text),
                    Piece::Binary(body) => decode(session.outbox(), body),
                    Piece::Skipped(reject) => Err(Refused::from(reject)),
                }),
                Err(broken) => {
                    session.close(CloseCode::ProtocolError, &broken.to_string());
                    break;
                }
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

/// Reads a binary frame, which may be compressed where that was agreed on.
fn decode(outbox: &Outbox, body: &[u8]) -> Result<ClientFrame, Refused> {
    if outbox.wire() != Wire::BinaryZstd {
        return frame::decode(body);
    }
    let frame_bytes = usize::try_from(hub::limits().frame_bytes).unwrap_or(usize::MAX);
    EXPANDER.with_borrow_mut(|expander| frame::decode_expanding(body, expander, frame_bytes))
}
