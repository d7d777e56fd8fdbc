//! TCP: one session actor a connection. JSON values or binary frames, told apart by the first byte.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::prelude::*;
use chappe_actors::hub::{self, Door, Permit};
use chappe_actors::metrics::metrics;
use chappe_actors::session::Session;
use chappe_actors::session::outbox::Outbox;
use chappe_proto::code::CloseCode;
use chappe_proto::compression::Expander;
use chappe_proto::frame::{ClientFrame, Refused};
use chappe_proto::outgoing::{Encoder, Wire};
use chappe_proto::packet::{Closing, Packet};
use chappe_proto::stream::{Piece, Splitter};
use chappe_proto::{Reject, frame, json};
use tokio::io::{AsyncWrite, AsyncWriteExt, ReadBuf};

use super::Io;

/// Bytes read at a time, into a buffer that all connections of a thread share.
const READ_BYTES: usize = 64 * 1024;
/// Reads in a row before other connections have their turn.
const READS_IN_A_ROW: usize = 4;
/// How long a client that finds no room may take to hear it.
const TURN_AWAY: Duration = Duration::from_secs(1);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
    static EXPANDER: RefCell<Expander> = RefCell::default();
}

/// One connection. It owns the socket, so that nothing else can wait for it.
pub struct TcpSession<S> {
    io: S,
    session: Session,
    splitter: Splitter,
    /// What was read beyond the window, to be gone on with when there is room.
    unread: Vec<u8>,
    /// The client has sent its last byte.
    ended: bool,
    _permit: Permit,
}

impl<S: Io> TcpSession<S> {
    /// Serves `io` on this thread, which has a hub. A connection that was not let in, or finds no room, is told so and
    /// ends.
    pub fn serve(io: S, permit: Result<Permit, Reject>) {
        let limits = hub::limits();
        let bytes = usize::try_from(limits.outbox_bytes).unwrap_or(usize::MAX);
        // Until the first byte shows the framing nothing is sent; JSON if it is said goodbye before.
        let outbox = Rc::new(Outbox::new(Wire::JsonLines, bytes, limits.window));
        match permit.and_then(|permit| Ok((Session::open(Door::Tcp, outbox)?, permit))) {
            Ok((session, permit)) => {
                let frame_bytes = usize::try_from(limits.frame_bytes).unwrap_or(usize::MAX);
                let splitter = Splitter::new(frame_bytes);
                Self { io, session, splitter, unread: Vec::new(), ended: false, _permit: permit }.start();
            }
            Err(reject) => {
                tracing::debug!(%reject, "refuse a TCP connection");
                actix_rt::spawn(turn_away(io, reject));
            }
        }
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
                // The rest leaves; then this end closes as well.
                let done = if self.ended { outbox.is_settled() } else { outbox.is_empty() };
                if !done {
                    return Poll::Pending;
                }
                ready!(Pin::new(&mut self.io).poll_shutdown(task))?;
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
        // It could go on; the others first.
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Passes over what a client still sends that was told goodbye: closed with bytes unread, the connection would be
    /// reset, and the client might never see why. The hub ends it at the latest.
    fn linger(&mut self, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        let code = self.session.outbox().closing().map(|(code, _)| code);
        if self.ended || matches!(code, Some(CloseCode::ShuttingDown)) {
            return Poll::Ready(Ok(()));
        }
        BUFFER.with_borrow_mut(|buffer| {
            for _ in 0..READS_IN_A_ROW {
                let mut read = ReadBuf::new(buffer);
                ready!(Pin::new(&mut self.io).poll_read(task, &mut read))?;
                if read.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            task.waker().wake_by_ref();
            Poll::Pending
        })
    }

    fn write(&mut self, task: &mut Task<'_>) -> io::Result<()> {
        let io = &mut self.io;
        hub::with_encoder(|encoder| {
            self.session
                .outbox()
                .drain(encoder, task, |task, pieces| Pin::new(&mut *io).poll_write_vectored(task, pieces))
        })?;
        // TLS takes bytes in before the socket does; the socket wakes the task when it takes the rest.
        match Pin::new(&mut self.io).poll_flush(task) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Ok(()),
        }
    }

    fn read(&mut self, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.io).poll_read(task, &mut read))?;
            match read.filled() {
                [] => self.ended = true,
                bytes => {
                    self.session.outbox().heard();
                    self.take(bytes);
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Takes the packets out of `bytes`, as many as the window has room for.
    fn take(&mut self, mut bytes: &[u8]) {
        // Before anything is answered: also what is no packet gets its answer in the client's own framing.
        if self.splitter.framing().is_none() && bytes.first() == Some(&0) {
            self.session.outbox().set_wire(Wire::Binary);
            hub::use_wire(Wire::Binary);
        }
        if self.io.is_refused() {
            return self.session.close(CloseCode::TlsRequired, "this server speaks TLS here");
        }
        while self.session.outbox().has_room() {
            match self.splitter.next(&mut bytes) {
                Ok(None) => break,
                Ok(Some(piece)) => self.session.take(match piece {
                    Piece::Json(text) => json::decode(text),
                    Piece::Binary(body) => decode(self.session.outbox(), body),
                    Piece::Skipped(reject) => Err(Refused::from(reject)),
                }),
                Err(broken) => {
                    self.session.close(CloseCode::ProtocolError, &broken.to_string());
                    break;
                }
            }
        }
        if !bytes.is_empty() && self.session.outbox().closing().is_none() {
            self.unread = bytes.to_vec();
        }
        self.session.outbox().speech().set_amid(!self.splitter.is_between());
        self.session.flush();
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

impl<S: Io> Actor for TcpSession<S> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let [_, tcp, _] = &metrics().connections;
        tcp.inc();
        metrics().connections_total[1].inc();
        ctx.spawn(Pump);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        let [_, tcp, _] = &metrics().connections;
        tcp.dec();
    }
}

/// Drives a connection inside its actor.
struct Pump;

impl<S: Io> ActorFuture<TcpSession<S>> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut TcpSession<S>,
        ctx: &mut Context<TcpSession<S>>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        let result = ready!(session.poll_io(task));
        if let Err(error) = result {
            // The peer went away: nothing an operator can do.
            tracing::debug!(%error, connection = session.session.id().number(), "end a TCP connection");
        }
        ctx.stop();
        Poll::Ready(())
    }
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
