//! The doors for packets: each turns bytes into packets and packets into bytes, and leaves the rest to the session.

mod datagrams;
pub mod http_io;
#[cfg(test)]
pub(crate) mod listening;
pub mod tcp;
pub mod turned_away;
pub mod udp;
pub mod websocket;

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::rc::Weak;
use std::time::Duration;

pub use chappe_actors::connection::Io;
use chappe_actors::hub::{self, Door, Permit};
use chappe_actors::metrics::metrics;
use chappe_proto::Reject;

use self::http_io::Quiet;
use crate::tls::stream::Stream;

/// Counts an HTTP connection while it lives; one that becomes a WebSocket goes on being counted here too.
pub struct HttpConnection {
    room: Result<(), Reject>,
    quiet: Weak<Quiet>,
    _permit: Permit,
}

impl HttpConnection {
    /// One more, of an address that lets it in. Where it finds no room, its first request is told so; it takes nobody's
    /// place until then.
    pub fn opened(permit: Permit, quiet: Weak<Quiet>) -> Self {
        metrics().connections[2].inc();
        metrics().connections_total[2].inc();
        // As for a WebSocket: it is counted already.
        let room = hub::has_room(Door::WebSocket);
        if room.is_err() {
            metrics().connections[2].dec();
        }
        Self { room, quiet, _permit: permit }
    }

    /// Why it was not let in, if it was not.
    pub fn refused(&self) -> Option<&Reject> {
        self.room.as_ref().err()
    }

    /// The socket goes to `next` once all is sent that is to be sent at present.
    pub fn hand_over(&self, next: impl FnOnce(Stream) + 'static) {
        if let Some(quiet) = self.quiet.upgrade() {
            quiet.hand_over(next);
        }
    }
}

impl Drop for HttpConnection {
    fn drop(&mut self) {
        if self.room.is_ok() {
            metrics().connections[2].dec();
        }
    }
}

/// Where a connection comes from.
pub fn peer(socket: &tokio::net::TcpStream) -> Option<IpAddr> {
    // One that is gone already has no address, and is not counted.
    socket.peer_addr().ok().map(|peer| peer.ip())
}

/// Prepares an accepted connection: small packets leave at once, and a peer that vanished is noticed within two heartbeats,
/// whether bytes are on their way to it or not. A peer that lives and takes not one byte for so long counts as one.
pub fn prepare(socket: &impl AsFd, heartbeat: Duration) {
    let socket = socket2::SockRef::from(socket);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(heartbeat)
        .with_interval((heartbeat / 4).max(Duration::from_secs(1)))
        .with_retries(4);
    let prepared = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keepalive))
        .and_then(|()| socket.set_tcp_user_timeout(Some(2 * heartbeat)));
    if let Err(error) = prepared {
        tracing::debug!(%error, "prepare an accepted connection");
    }
}
