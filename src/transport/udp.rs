//! UDP: one handler actor for all datagrams. Beacons and typing go to the engine, pings are answered, what is wrong is
//! dropped and counted.

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
use chappe_proto::limits::DATAGRAM_BYTES;
use chappe_proto::outgoing::Wire;
use chappe_proto::request::Request;
use chappe_proto::{Reject, datagram};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

/// So many datagrams may be on their way to the engine; more are dropped.
const WINDOW: u32 = 16_384;
/// Datagrams read before the engine gets them.
const AT_ONCE: usize = 256;
/// Room for bursts in the kernel, in bytes; it may give less.
const RECEIVE_BUFFER: usize = 8 << 20;

/// The handler.
pub struct UdpHandler {
    socket: UdpSocket,
    session: Session,
    answer: Vec<u8>,
}

impl UdpHandler {
    /// Serves `socket` on this thread, which has a hub.
    ///
    /// # Errors
    /// If the socket cannot be used, or the server is stopping.
    pub fn serve(socket: std::net::UdpSocket) -> io::Result<()> {
        if let Err(error) = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER) {
            tracing::debug!(%error, "enlarge the receive buffer of UDP");
        }
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let outbox = Rc::new(Outbox::new(Wire::WsBinary, 0, WINDOW));
        let session =
            Session::open(Door::Udp, outbox).map_err(|reject: Reject| io::Error::other(reject.to_string()))?;
        Self { socket, session, answer: Vec::new() }.start();
        Ok(())
    }

    /// Takes datagrams as long as there are any.
    fn poll_receive(&mut self, task: &mut Task<'_>) -> Poll<()> {
        // One byte more than is allowed tells a datagram that is too long.
        let mut buffer = [0; DATAGRAM_BYTES + 1];
        for _ in 0..AT_ONCE {
            let mut read = ReadBuf::new(&mut buffer);
            match self.socket.poll_recv_from(task, &mut read) {
                Poll::Ready(Ok(from)) => self.take(read.filled(), from),
                // Such as a port that an earlier answer did not reach.
                Poll::Ready(Err(error)) => tracing::debug!(%error, "receive a datagram"),
                Poll::Pending => {
                    self.session.flush();
                    return Poll::Pending;
                }
            }
        }
        self.session.flush();
        task.waker().wake_by_ref();
        Poll::Pending
    }

    fn take(&mut self, bytes: &[u8], from: SocketAddr) {
        metrics().udp_packets.inc();
        let frame = match datagram::decode(bytes) {
            Ok(frame) => frame,
            Err(refused) => {
                metrics().udp_malformed.inc();
                tracing::trace!(reject = %refused.reject, "drop a datagram");
                return;
            }
        };
        if let Request::Ping(ping) = &frame.request {
            let now = hub::now().wall;
            if datagram::pong(bytes, frame.request_id, ping, now, &mut self.answer)
                && self.socket.try_send_to(&self.answer, from).is_ok()
            {
                metrics().udp_answers.inc();
            }
        } else if !self.session.outbox().has_room() {
            metrics().udp_overload.inc();
        } else if self.session.take_datagram(frame).is_err() {
            metrics().udp_refused.inc();
        }
    }
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
