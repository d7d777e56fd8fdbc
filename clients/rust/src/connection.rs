//! One connection to a server: packets to bytes and back. It is driven by polling, and nothing is lost if a wait is
//! given up.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use chappe_proto::compression::Expander;
use chappe_proto::frame::{self, ClientFrame};
use chappe_proto::json;
use chappe_proto::outgoing::Wire;
use chappe_proto::packet::Packet;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::disconnect::Disconnect;

/// Bytes read at a time.
const READ_BYTES: usize = 16 * 1024;
/// The longest line taken from a server that never heard how we frame.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// What a connection runs over.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection in the binary framing.
pub struct Connection<T = Box<dyn Io>> {
    io: T,
    received: BytesMut,
    queued: BytesMut,
    scratch: Vec<u8>,
    unflushed: bool,
    /// For frames that come compressed, where that was asked for.
    expander: Expander,
}

impl<T> std::fmt::Debug for Connection<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (received, queued) = (self.received.len(), self.queued.len());
        f.debug_struct("Connection").field("received", &received).field("queued", &queued).finish_non_exhaustive()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// A connection over `io`, on which nothing was said yet.
    pub fn new(io: T) -> Self {
        Self {
            io,
            received: BytesMut::new(),
            queued: BytesMut::new(),
            scratch: Vec::new(),
            unflushed: false,
            expander: Expander::default(),
        }
    }

    /// Puts a packet behind those that wait to be written.
    pub fn queue(&mut self, frame: &ClientFrame) {
        let mut framed = std::mem::take(&mut self.scratch);
        framed.clear();
        let mut body = Vec::with_capacity(128);
        frame::encode_request_into(frame, &mut body);
        Wire::Binary.put(&body, &mut framed);
        self.queued.extend_from_slice(&framed);
        self.scratch = framed;
    }

    /// How many bytes wait to be written.
    pub fn queued_bytes(&self) -> usize {
        self.queued.len()
    }

    /// Writes what is queued, as far as the socket takes it, and reads what has come if `reads`. Resolves once
    /// something was read; while nothing is to be read it only writes.
    ///
    /// # Errors
    /// [`Disconnect::Lost`] or [`Disconnect::Ended`].
    pub async fn turn(&mut self, reads: bool) -> Result<(), Disconnect> {
        poll_fn(|task| self.poll_turn(task, reads)).await
    }

    fn poll_turn(&mut self, task: &mut Context<'_>, reads: bool) -> Poll<Result<(), Disconnect>> {
        if let Poll::Ready(Err(error)) = self.poll_write(task) {
            return Poll::Ready(Err(lost(&error)));
        }
        if !reads {
            return Poll::Pending;
        }
        let mut buffer = [0; READ_BYTES];
        let mut read = ReadBuf::new(&mut buffer);
        let result = ready!(Pin::new(&mut self.io).poll_read(task, &mut read));
        self.received.extend_from_slice(read.filled());
        let filled = read.filled().len();
        if let Err(error) = result {
            return Poll::Ready(Err(lost(&error)));
        }
        Poll::Ready(if filled == 0 { Err(Disconnect::Ended) } else { Ok(()) })
    }

    fn poll_write(&mut self, task: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.queued.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(task, &self.queued))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.queued.advance(written);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(task))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The next packet among the bytes that have come, with the `request_id` that it answers. One of a kind that is newer than
    /// this crate is passed over.
    ///
    /// # Errors
    /// [`Disconnect::Unexpected`] if they are not the protocol.
    pub fn take(&mut self) -> Result<Option<(Option<u64>, Packet)>, Disconnect> {
        let unexpected = |what: String| Disconnect::Unexpected(what);
        while let [0, b, c, d, ..] = *self.received {
            let end = 4 + (usize::from(b) << 16 | usize::from(c) << 8 | usize::from(d));
            if self.received.len() < end {
                return Ok(None);
            }
            let packet = frame::decode_known_packet(&self.received[4..end], &mut self.expander).map_err(unexpected)?;
            self.received.advance(end);
            if packet.is_some() {
                return Ok(packet);
            }
        }
        match *self.received {
            // A server that turns us away before it has read anything says so in a line of JSON.
            [b'{', ..] => {
                let Some(end) = self.received.iter().position(|byte| *byte == b'\n') else {
                    let is_endless = self.received.len() > MAX_LINE_BYTES;
                    return if is_endless { Err(unexpected("a line without end".to_owned())) } else { Ok(None) };
                };
                let packet =
                    json::decode_packet(&self.received[..end]).map_err(|error| unexpected(error.to_string()))?;
                self.received.advance(end + 1);
                Ok(Some(packet))
            }
            [first, ..] if first != 0 => {
                Err(unexpected(format!("bytes that start with {first:#04x}, not with a length")))
            }
            _ => Ok(None),
        }
    }
}

fn lost(error: &std::io::Error) -> Disconnect {
    Disconnect::Lost(error.to_string())
}
