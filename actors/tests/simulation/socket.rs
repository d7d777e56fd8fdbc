//! A simulated socket: bytes of both directions, as many in it as it has room for, and its ends.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use chappe_actors::connection::Io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What both ends see of a connection.
#[derive(Default)]
pub(crate) struct Line {
    /// Arrived at the server, and not read by it.
    pub(crate) arrived: VecDeque<u8>,
    /// Written by the server, and not arrived at the client.
    pub(crate) written: VecDeque<u8>,
    /// How many bytes may be written and not arrived.
    pub(crate) room: usize,
    /// The client sends nothing more.
    pub(crate) is_ended: bool,
    /// The server writes nothing more.
    pub(crate) is_shut: bool,
    /// The connection is reset: the server gets errors.
    pub(crate) is_reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Line {
    pub(crate) fn new(room: usize) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { room, ..Self::default() }))
    }

    /// So many bytes arrive at the server, or the client's end.
    pub(crate) fn arrive(&mut self, bytes: impl Iterator<Item = u8>) {
        self.arrived.extend(bytes);
        self.wake_reader();
    }

    /// Bytes that arrive at the client.
    pub(crate) fn take(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.written.len());
        let taken = self.written.drain(..count).collect();
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        taken
    }

    /// The server finds out that the client has ended the connection.
    pub(crate) fn end(&mut self, is_reset: bool) {
        self.is_ended = true;
        self.is_reset |= is_reset;
        self.wake_reader();
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> usize {
        let room = self.room.saturating_sub(self.written.len());
        let before = self.written.len();
        let bytes = pieces.iter().flat_map(|piece| piece.iter().copied());
        self.written.extend(bytes.take(room));
        self.written.len() - before
    }

    fn poll_write(&mut self, task: &Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.is_reset {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match self.write(pieces) {
            0 => {
                self.writer = Some(task.waker().clone());
                Poll::Pending
            }
            taken => Poll::Ready(Ok(taken)),
        }
    }
}

/// The server's end.
pub(crate) struct Socket(pub(crate) Rc<RefCell<Line>>);

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut line = self.0.borrow_mut();
        if line.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if line.arrived.is_empty() && !line.is_ended {
            line.reader = Some(task.waker().clone());
            return Poll::Pending;
        }
        let count = line.arrived.len().min(buffer.remaining());
        let bytes: Vec<u8> = line.arrived.drain(..count).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(task, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(task, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().is_shut = true;
        Poll::Ready(Ok(()))
    }
}

impl Io for Socket {
    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut line = self.0.borrow_mut();
        if line.is_reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match line.write(pieces) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.borrow_mut().is_shut = true;
    }
}
