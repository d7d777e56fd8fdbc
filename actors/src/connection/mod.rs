//! A connection that carries packets both ways until it ends: one session actor, whatever its bytes come over and however
//! packets are framed in them.

mod tcp;
mod websocket;

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context as Task, Poll, ready};

use actix::fut::ActorFuture;
use actix::prelude::*;
use chappe_proto::code::CloseCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::hub;
use crate::metrics::metrics;
use crate::session::Session;
use crate::session::outbox::Sink;

/// Bytes read at a time, into a buffer that all connections of a thread share.
const READ_BYTES: usize = 64 * 1024;
/// Reads in a row before other connections have their turn.
const READS_IN_A_ROW: usize = 4;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// What a connection's bytes come from and go to.
pub trait Io: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Whether the client speaks in the clear where it has to speak TLS. Known once something was read.
    fn is_refused(&self) -> bool {
        false
    }

    /// Writes what the socket takes at once, if nothing stands between.
    ///
    /// # Errors
    /// The socket's; `WouldBlock` also where somebody has to wait, or to work on the bytes.
    fn try_write(&self, _pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// How packets stand in a connection's bytes.
pub trait Framing: Unpin + 'static {
    /// The connection's place among the doors of the metrics.
    const DOOR: usize;

    /// Notices from the client's first bytes how it is to be answered, also with a refusal.
    fn begin(&self, _bytes: &[u8], _session: &Session) {}

    /// Takes packets out of `bytes`, as many as the session takes. What is left there is asked for again.
    fn take(&mut self, bytes: &mut &[u8], session: &mut Session);

    /// Whether the stream stands between two packets.
    fn is_between(&self) -> bool;

    /// How much memory holds what has come of a packet.
    fn held_bytes(&self) -> usize;

    /// Nothing more is taken: what has come of a packet is for nobody.
    fn forget(&mut self);
}

/// The socket, which the hub may write to as well.
struct Socket<S>(RefCell<S>);

impl<S: Io> Sink for Socket<S> {
    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.borrow().try_write(pieces)
    }
}

/// One connection. `K` is what it holds while it lives.
pub struct Connection<S, F, K> {
    socket: Rc<Socket<S>>,
    session: Session,
    framing: F,
    /// What was read beyond the window or the turn, to be gone on with.
    unread: Vec<u8>,
    /// The client has sent its last byte.
    ended: bool,
    _kept: K,
}

impl<S: Io, F: Framing, K: Unpin + 'static> Connection<S, F, K> {
    /// The actor that serves `io`, not started yet. `unread` was read from it before.
    pub fn new(io: S, session: Session, framing: F, unread: Vec<u8>, kept: K) -> Self {
        let socket = Rc::new(Socket(RefCell::new(io)));
        session.outbox().connect(Some(Rc::clone(&socket) as _));
        Self { socket, session, framing, unread, ended: false, _kept: kept }
    }

    /// Serves `io` on this thread. `unread` was read from it before.
    pub fn serve(io: S, session: Session, framing: F, unread: Vec<u8>, kept: K) {
        Self::new(io, session, framing, unread, kept).start();
    }

    /// Moves bytes both ways as far as they go. Ready when the connection is over.
    fn poll_io(&mut self, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        for _ in 0..READS_IN_A_ROW {
            self.write(task)?;
            let outbox = self.session.outbox();
            if outbox.is_dead() {
                return Poll::Ready(Ok(()));
            }
            if outbox.closing().is_some() || self.ended {
                self.unread = Vec::new();
                self.framing.forget();
                outbox.speech().set_amid(false, 0);
                // The rest leaves; then this end closes as well.
                if self.ended {
                    ready!(outbox.poll_settled(task));
                } else if !outbox.is_empty() {
                    return Poll::Pending;
                }
                if outbox.finish() {
                    continue;
                }
                ready!(Pin::new(&mut *self.socket.0.borrow_mut()).poll_shutdown(task))?;
                return self.linger(task);
            }
            ready!(outbox.poll_room(task));
            if self.unread.is_empty() {
                ready!(self.read(task))?;
            } else {
                let unread = std::mem::take(&mut self.unread);
                self.take(&unread);
            }
        }
        others_first(task)
    }

    /// Passes over what a client still sends that was told goodbye: closed with bytes unread, the connection would be
    /// reset, and the client might never see why. The hub ends it at the latest.
    fn linger(&mut self, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        let code = self.session.outbox().closing().map(|(code, _)| code);
        if self.ended || code == Some(CloseCode::ShuttingDown.number()) {
            return Poll::Ready(Ok(()));
        }
        let io = &mut *self.socket.0.borrow_mut();
        BUFFER.with_borrow_mut(|buffer| {
            for _ in 0..READS_IN_A_ROW {
                let mut read = ReadBuf::new(buffer);
                ready!(Pin::new(&mut *io).poll_read(task, &mut read))?;
                if read.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            others_first(task)
        })
    }

    fn write(&mut self, task: &mut Task<'_>) -> io::Result<()> {
        let io = &mut *self.socket.0.borrow_mut();
        hub::with_encoder(|encoder| {
            self.session.outbox().drain(encoder, task, |task, pieces| match pieces {
                [piece] => Pin::new(&mut *io).poll_write(task, piece),
                _ => Pin::new(&mut *io).poll_write_vectored(task, pieces),
            })
        })?;
        // TLS takes bytes in before the socket does; the socket wakes the task when it takes the rest.
        match Pin::new(io).poll_flush(task) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }

    fn read(&mut self, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *self.socket.0.borrow_mut()).poll_read(task, &mut read))?;
            match read.filled() {
                [] => {
                    self.ended = true;
                    // When the last answer has left, this task has something to do.
                    self.session.outbox().connect(None);
                }
                bytes => {
                    self.session.outbox().heard();
                    self.take(bytes);
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Takes the packets out of `bytes`, as many as the session takes.
    fn take(&mut self, mut bytes: &[u8]) {
        // Woken by its own answers, it would have the next turn at once.
        self.session.outbox().attend();
        self.framing.begin(bytes, &self.session);
        if self.socket.0.borrow().is_refused() {
            return self.session.close(CloseCode::TlsRequired, "this server speaks TLS here");
        }
        self.framing.take(&mut bytes, &mut self.session);
        if !bytes.is_empty() && self.session.outbox().closing().is_none() {
            self.unread = bytes.to_vec();
        }
        let held = self.framing.held_bytes() + self.unread.capacity();
        let amid = !self.unread.is_empty() || !self.framing.is_between();
        self.session.outbox().speech().set_amid(amid, held);
        self.session.flush();
    }
}

impl<S: Io, F: Framing, K: Unpin + 'static> Actor for Connection<S, F, K> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        metrics().connections[F::DOOR].inc();
        metrics().connections_total[F::DOOR].inc();
        ctx.spawn(Pump);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        metrics().connections[F::DOOR].dec();
    }
}

/// It could go on; the others first. Also those of whose bytes the thread does not know yet: woken at once, a busy
/// connection would have many turns before the thread looks at its sockets.
fn others_first<T>(task: &mut Task<'_>) -> Poll<T> {
    let _ = pin!(tokio::task::yield_now()).poll(task);
    Poll::Pending
}

/// Drives a connection inside its actor.
struct Pump;

impl<S: Io, F: Framing, K: Unpin + 'static> ActorFuture<Connection<S, F, K>> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        connection: &mut Connection<S, F, K>,
        ctx: &mut Context<Connection<S, F, K>>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        let result = ready!(connection.poll_io(task));
        if let Err(error) = result {
            // The peer went away: nothing an operator can do.
            tracing::debug!(%error, connection = connection.session.id().number(), "end a connection");
        }
        ctx.stop();
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests;
