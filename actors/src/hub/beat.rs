//! The hub's heartbeat: the server lets itself be heard, and ends connections that are not heard any more.

use actix::prelude::*;
use bytes::Bytes;
use chappe_proto::code::CloseCode;
use chappe_proto::packet::{Packet, Pong};

use super::core::Core;
use super::slots::Slot;
use super::{Door, HubActor};
use crate::messages::Beat;
use crate::session::outbox::{Outbox, Topic};

/// A ping frame without a payload: RFC 6455, section 5.5.2.
const WEBSOCKET_PING: &[u8] = &[0x89, 0];
/// For so many heartbeats nothing may be heard of a WebSocket.
const SILENT: u8 = 2;
/// A client that reads is alive, though its pong comes behind all that it has to read before our ping: it is given time as
/// if it read so many bytes a second.
const SLOWEST_READER: u64 = 4096;
/// Stands for a connection that was seen closing, where its silence is counted.
const LEAVING: u8 = u8::MAX;

impl Handler<Beat> for HubActor {
    type Result = ();

    fn handle(&mut self, _: Beat, _: &mut Self::Context) {
        self.core.beat();
    }
}

impl Core {
    pub(super) fn beat(&self) {
        let server_time = Some(self.settings.clock.now().wall);
        let mut encoder = self.encoder.borrow_mut();
        for slot in self.slots.borrow_mut().iter_mut() {
            let Slot::Connection { door, outbox, greeted, silent, .. } = slot else { continue };
            if *door == Door::Udp {
                continue;
            }
            if outbox.closing().is_some() {
                // It has a whole beat to take its goodbye.
                if std::mem::replace(silent, LEAVING) == LEAVING {
                    outbox.kill();
                }
                continue;
            }
            if *door == Door::WebSocket {
                if self.is_silent(outbox, silent) {
                    outbox.close(&mut encoder, CloseCode::Silent, "nothing was heard for two heartbeats", None);
                    *silent = LEAVING;
                    continue;
                }
                outbox.ephemeral(Topic::Ping, Bytes::from_static(WEBSOCKET_PING));
            }
            if *greeted && outbox.is_settled() {
                let pong = Packet::Pong(Pong { nonce: None, server_time });
                outbox.answer(&mut encoder, pong, None, None, 0);
            }
        }
    }

    /// Whether nothing was heard of a connection for so long that nobody can be there.
    fn is_silent(&self, outbox: &Outbox, silent: &mut u8) -> bool {
        if outbox.was_heard() {
            *silent = 0;
        } else if outbox.is_empty() {
            // With a full socket our ping is not even on its way: TCP_USER_TIMEOUT ends it once not a byte is taken.
            *silent = silent.saturating_add(1).min(LEAVING - 1);
        }
        let a_beat = self.settings.heartbeat.as_secs().max(1).saturating_mul(SLOWEST_READER);
        let reading = outbox.taken() as u64 / a_beat;
        u64::from(*silent) >= u64::from(SILENT).saturating_add(reading)
    }
}

#[cfg(test)]
#[path = "beat_tests.rs"]
mod tests;
