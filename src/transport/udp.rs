//! UDP: one handler actor for all datagrams of a socket. Beacons and typing go to the engine, pings are answered, what is wrong is
//! dropped and counted. Where the server asks for tokens, datagrams are sealed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as Task, Poll, ready};

use actix::fut::ActorFuture;
use actix::prelude::*;
use chappe_actors::hub::{self, Door};
use chappe_actors::metrics::metrics;
use chappe_actors::session::Session;
use chappe_actors::session::outbox::Outbox;
use chappe_actors::udp_session::{UdpSessions, Unbelieved};
use chappe_proto::limits::DATAGRAM_BYTES;
use chappe_proto::outgoing::Wire;
use chappe_proto::received::ClientFrame;
use chappe_proto::request::{Ping, Request};
use chappe_proto::{Reject, UserId, datagram};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::datagrams::Datagrams;

/// So many datagrams may be on their way to the engine: whatever comes behind them waits for no more than these.
const WINDOW: u32 = 1_024;
/// So many may wait here for their turn; more are dropped.
const WAITING: usize = 16_384;
/// System calls before the engine gets what they brought.
const CALLS: usize = 8;
/// Room for bursts in the kernel, in bytes; it may give less.
const RECEIVE_BUFFER: usize = 8 << 20;

/// The handler.
pub struct UdpHandler {
    socket: UdpSocket,
    session: Session,
    /// Where datagrams have to be sealed: whose are believed. One for all sockets of the server, so that nothing that one
    /// has seen is new to the other.
    sessions: Option<Rc<RefCell<UdpSessions>>>,
    /// Taken out while its datagrams are looked at.
    received: Option<Datagrams>,
    /// What the engine is to get, and whose it is if that is proven.
    waiting: VecDeque<(ClientFrame, Option<UserId>)>,
    answer: Vec<u8>,
}

impl UdpHandler {
    /// Serves `sockets` on this thread, which has a hub.
    pub fn serve_all(sockets: Vec<std::net::UdpSocket>) {
        let sessions = hub::udp_keys().map(|keys| Rc::new(RefCell::new(UdpSessions::new(keys))));
        for socket in sockets {
            if let Err(error) = Self::serve(socket, sessions.clone()) {
                tracing::error!(%error, "serve UDP");
            }
        }
    }

    /// Serves one of them.
    ///
    /// # Errors
    /// If the socket cannot be used, or the server is stopping.
    fn serve(socket: std::net::UdpSocket, sessions: Option<Rc<RefCell<UdpSessions>>>) -> io::Result<()> {
        if let Err(error) = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER) {
            tracing::debug!(%error, "enlarge the receive buffer of UDP");
        }
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let outbox = Rc::new(Outbox::new(Wire::WsBinary, 0, WINDOW));
        let session =
            Session::open(Door::Udp, outbox).map_err(|reject: Reject| io::Error::other(reject.to_string()))?;
        let received = Some(Datagrams::default());
        Self { socket, session, sessions, received, waiting: VecDeque::new(), answer: Vec::new() }.start();
        Ok(())
    }

    /// Takes datagrams as long as there are any.
    fn poll_receive(&mut self, task: &mut Task<'_>) -> Poll<()> {
        for _ in 0..CALLS {
            if self.socket.poll_recv_ready(task).is_pending() {
                self.hand_over(task);
                return Poll::Pending;
            }
            let Some(mut received) = self.received.take() else { break };
            match self.socket.try_io(Interest::READABLE, || received.receive(&self.socket)) {
                // Such as a port that an earlier answer did not reach.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    tracing::debug!(%error, "receive datagrams");
                }
                _ => {
                    let all = received.iter_mut();
                    metrics().udp_packets.inc_by(all.len() as u64);
                    all.for_each(|(bytes, from)| self.take(bytes, from));
                }
            }
            self.received = Some(received);
        }
        self.hand_over(task);
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Gives the engine what waits, as much as it takes now; with the room for more, `task` is woken.
    fn hand_over(&mut self, task: &mut Task<'_>) {
        while !self.waiting.is_empty() && self.session.outbox().poll_room(task).is_ready() {
            if let Some((frame, sender)) = self.waiting.pop_front()
                && self.session.take_datagram(frame, sender).is_err()
            {
                metrics().udp_refused.inc();
            }
        }
        self.session.flush();
    }

    fn take(&mut self, bytes: &mut [u8], from: SocketAddr) {
        if bytes.len() > DATAGRAM_BYTES {
            metrics().udp_oversized.inc();
            return;
        }
        let Some(sessions) = self.sessions.clone() else {
            if let Some(asked) = self.read(bytes, None)
                && datagram::pong(bytes, asked.request_id, &asked.ping, hub::now().wall, &mut self.answer)
            {
                self.send(from);
            }
            return;
        };
        let now = hub::now().wall;
        match sessions.borrow_mut().open(bytes, now, hub::is_denied) {
            Ok(believed) => {
                let mut pong = Vec::new();
                if let Some(asked) = self.read(believed.datagram, Some(believed.user))
                    && datagram::pong(believed.datagram, asked.request_id, &asked.ping, now, &mut pong)
                    && believed.answer(&pong, &mut self.answer)
                {
                    self.send(from);
                }
            }
            Err(Unbelieved::Unsealed) => {
                metrics().udp_unsealed.inc();
            }
            Err(Unbelieved::Forged) => {
                metrics().udp_forged.inc();
            }
            Err(Unbelieved::Replayed) => {
                metrics().udp_replayed.inc();
            }
            Err(Unbelieved::Expired) => {
                metrics().udp_expired.inc();
            }
        }
    }

    /// Puts aside what an ordinary datagram asks of the engine. `sender` is whose it is, if that is proven. What is left is
    /// a question to answer.
    fn read(&mut self, datagram: &[u8], sender: Option<UserId>) -> Option<Asked> {
        let frame = match datagram::decode(datagram) {
            Ok(frame) => frame,
            Err(refused) => {
                metrics().udp_malformed.inc();
                tracing::trace!(reject = %refused.reject, "drop a datagram");
                return None;
            }
        };
        if let Request::Ping(ping) = frame.request {
            return Some(Asked { request_id: frame.request_id, ping });
        }
        if self.waiting.len() < WAITING {
            self.waiting.push_back((frame, sender));
        } else {
            metrics().udp_overload.inc();
        }
        None
    }

    fn send(&self, to: SocketAddr) {
        if self.socket.try_send_to(&self.answer, to).is_ok() {
            metrics().udp_answers.inc();
        }
    }
}

/// A `Ping`.
struct Asked {
    request_id: Option<u64>,
    ping: Ping,
}

impl Actor for UdpHandler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(Pump);
    }
}

/// Drives the handler inside its actor.
struct Pump;

impl ActorFuture<UdpHandler> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        handler: &mut UdpHandler,
        _: &mut Context<UdpHandler>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        ready!(handler.poll_receive(task));
        Poll::Ready(())
    }
}

#[cfg(test)]
#[path = "udp_tests.rs"]
mod tests;
