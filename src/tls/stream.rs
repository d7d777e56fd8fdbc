//! One accepted connection that may turn out to speak TLS: its first byte tells. The handshake goes on inside, in its own
//! time, so that a connection is one from its first moment, with TLS or without.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use chappe_actors::metrics::metrics;
use rustls::server::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::transport::Io;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long who does not speak TLS may take to hear that it should.
const TURN_AWAY: Duration = Duration::from_secs(2);
/// The first byte of TLS: a handshake record.
const FIRST: u8 = 0x16;
/// What may wait inside TLS beyond the outbox, in bytes: a record, whole.
const BUFFER_BYTES: usize = 16 * 1024;

/// See the module.
pub struct Stream {
    stage: Stage,
    peer: Option<SocketAddr>,
}

enum Stage {
    /// Nothing has come. TLS only where there is a certificate.
    Waiting(TcpStream, Option<Arc<ServerConfig>>),
    /// In the clear. Whether TLS was to be had.
    Plain(TcpStream, bool),
    /// A handshake is going on.
    Shaking(Box<Handshake>),
    /// TLS.
    Open(Box<TlsStream<TcpStream>>),
    /// The handshake failed, and took the socket with it.
    Gone,
}

struct Handshake {
    accept: Accept<TcpStream>,
    limit: Pin<Box<Sleep>>,
}

impl Stream {
    /// A connection that was accepted just now; with the configuration of TLS, if its door has one.
    pub fn new(socket: TcpStream, tls: Option<Arc<ServerConfig>>) -> Self {
        let peer = socket.peer_addr().ok();
        Self { stage: Stage::Waiting(socket, tls), peer }
    }

    /// For a door that speaks nothing but TLS once it has a certificate: ready when the handshake is done. Who asks for
    /// HTTP in the clear is told in the clear.
    ///
    /// # Errors
    /// There is no TLS with this client.
    pub async fn secure(&mut self) -> io::Result<()> {
        if matches!(self.stage, Stage::Waiting(_, None)) {
            return Ok(());
        }
        let settled = std::future::poll_fn(|task| self.poll_settle(task, true));
        tokio::time::timeout(HANDSHAKE, settled).await??;
        if let Stage::Plain(socket, _) = &mut self.stage {
            tokio::time::timeout(TURN_AWAY, turn_away(socket)).await??;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "HTTP in the clear where TLS is spoken"));
        }
        Ok(())
    }

    /// Ready once it is known what is spoken, and a handshake is over. For reading, this takes the first byte.
    fn poll_settle(&mut self, task: &mut Context<'_>, reading: bool) -> Poll<io::Result<()>> {
        loop {
            match &mut self.stage {
                Stage::Plain(..) | Stage::Open(_) => return Poll::Ready(Ok(())),
                Stage::Gone => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                // A goodbye to somebody who never spoke.
                Stage::Waiting(..) if !reading => return Poll::Ready(Ok(())),
                Stage::Waiting(socket, tls) => {
                    let is_tls = match tls {
                        Some(_) => {
                            let mut first = [0];
                            let mut read = ReadBuf::new(&mut first);
                            ready!(socket.poll_peek(task, &mut read))? == 1 && first[0] == FIRST
                        }
                        None => false,
                    };
                    self.begin(is_tls);
                }
                Stage::Shaking(handshake) => {
                    let done = match Pin::new(&mut handshake.accept).poll(task) {
                        Poll::Ready(done) => done,
                        Poll::Pending => {
                            ready!(handshake.limit.as_mut().poll(task));
                            Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake takes too long"))
                        }
                    };
                    let [good, bad] = &metrics().tls_handshakes;
                    match done {
                        Ok(mut stream) => {
                            stream.get_mut().1.set_buffer_limit(Some(BUFFER_BYTES));
                            self.stage = Stage::Open(Box::new(stream));
                            good.inc();
                        }
                        Err(error) => {
                            self.stage = Stage::Gone;
                            bad.inc();
                            return Poll::Ready(Err(error));
                        }
                    }
                }
            }
        }
    }

    fn begin(&mut self, is_tls: bool) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Gone) {
            Stage::Waiting(socket, Some(tls)) if is_tls => {
                let accept = TlsAcceptor::from(tls).accept(socket);
                Stage::Shaking(Box::new(Handshake { accept, limit: Box::pin(tokio::time::sleep(HANDSHAKE)) }))
            }
            Stage::Waiting(socket, tls) => Stage::Plain(socket, tls.is_some()),
            other => other,
        };
    }
}

/// Tells who asks for HTTP in the clear, and waits until it has heard: closed with its request unread, the connection would
/// be reset before.
async fn turn_away(socket: &mut TcpStream) -> io::Result<()> {
    socket.write_all(IN_THE_CLEAR).await?;
    socket.shutdown().await?;
    while socket.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

/// The answer to HTTP on a port that speaks TLS.
const IN_THE_CLEAR: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 57\r\nConnection: close\r\n\r\nThis port speaks TLS: ask again with https:// or wss://.\n";

impl Io for Stream {
    /// A server that has a certificate takes nothing in the clear but from its own machine.
    fn is_refused(&self) -> bool {
        matches!(self.stage, Stage::Plain(_, true))
            && !self.peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
    }

    /// In the clear. TLS keeps what the socket does not take, and so needs a task that can be woken.
    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match (&self.stage, pieces) {
            // One call of the system that knows of one piece only is the faster one.
            (Stage::Plain(socket, _), [piece]) => socket.try_write(piece),
            (Stage::Plain(socket, _), _) => socket.try_write_vectored(pieces),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_settle(task, true))?;
        match &mut self.stage {
            Stage::Plain(socket, _) => Pin::new(socket).poll_read(task, buffer),
            Stage::Open(stream) => Pin::new(stream).poll_read(task, buffer),
            _ => Poll::Pending,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_settle(task, false))?;
        match &mut self.stage {
            Stage::Waiting(socket, _) | Stage::Plain(socket, _) => Pin::new(socket).poll_write(task, bytes),
            Stage::Open(stream) => Pin::new(stream).poll_write(task, bytes),
            _ => Poll::Pending,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_settle(task, false))?;
        match &mut self.stage {
            Stage::Waiting(socket, _) | Stage::Plain(socket, _) => Pin::new(socket).poll_write_vectored(task, pieces),
            Stage::Open(stream) => Pin::new(stream).poll_write_vectored(task, pieces),
            _ => Poll::Pending,
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stage {
            Stage::Open(stream) => Pin::new(stream).poll_flush(task),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stage {
            Stage::Waiting(socket, _) | Stage::Plain(socket, _) => Pin::new(socket).poll_shutdown(task),
            Stage::Shaking(handshake) => match handshake.accept.get_mut() {
                Some(socket) => Pin::new(socket).poll_shutdown(task),
                None => Poll::Ready(Ok(())),
            },
            // Says so first, inside TLS: an end without that could be anybody's.
            Stage::Open(stream) => Pin::new(stream).poll_shutdown(task),
            Stage::Gone => Poll::Ready(Ok(())),
        }
    }
}
