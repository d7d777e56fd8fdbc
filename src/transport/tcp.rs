//! TCP: who is served, and who is turned away. How packets stand in the bytes, the connection knows.

use std::rc::Rc;
use std::time::Duration;

use chappe_actors::connection::Connection;
use chappe_actors::hub::{self, Door, Permit};
use chappe_actors::session::Session;
use chappe_actors::session::outbox::Outbox;
use chappe_proto::Reject;
use chappe_proto::outgoing::{Encoder, Wire};
use chappe_proto::packet::{Closing, Packet};
use chappe_proto::stream::Splitter;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::Io;

/// How long a client that finds no room may take to hear it.
const TURN_AWAY: Duration = Duration::from_secs(1);

/// Serves `io` on this thread, which has a hub. A connection that was not let in, or finds no room, is told so and ends.
pub fn serve(io: impl Io, permit: Result<Permit, Reject>) {
    let limits = hub::limits();
    let bytes = usize::try_from(limits.outbox_bytes).unwrap_or(usize::MAX);
    // Until the first byte shows the framing nothing is sent; JSON if it is said goodbye before.
    let outbox = Rc::new(Outbox::new(Wire::JsonLines, bytes, limits.window));
    match permit.and_then(|permit| Ok((Session::open(Door::Tcp, outbox)?, permit))) {
        Ok((session, permit)) => {
            let splitter = Splitter::new(usize::try_from(limits.frame_bytes).unwrap_or(usize::MAX));
            Connection::serve(io, session, splitter, Vec::new(), permit);
        }
        Err(reject) => {
            tracing::debug!(%reject, "refuse a TCP connection");
            actix_rt::spawn(turn_away(io, reject));
        }
    }
}

/// Tells a client that there is no room, if its socket takes that much, and closes.
async fn turn_away(mut io: impl AsyncWrite + Unpin, reject: Reject) {
    let code = hub::close_code(&reject);
    let closing = Closing { code, reason: reject.message.into(), reconnect_after_ms: reject.retry_after_ms };
    let mut line = Vec::new();
    Encoder::default().put(Wire::JsonLines, &Packet::Closing(closing), None, &mut line);
    let told = async {
        io.write_all(&line).await?;
        io.shutdown().await
    };
    // It is on its way out; whether it heard is its own affair.
    let _ = tokio::time::timeout(TURN_AWAY, told).await;
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
