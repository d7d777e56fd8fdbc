//! How an outbox is emptied. Most often the hub itself writes to the socket, once a batch for each connection that got
//! something: nobody is woken. What the socket does not take at once is left to the connection's task.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};

use chappe_proto::outgoing::{Encoder, Wire};
use chappe_proto::websocket::{OPCODE_CLOSE, put_header};

use super::{Inner, Outbox, keep};
use crate::session::queue::PIECES;

/// A socket, for those who cannot wait for it.
pub trait Sink {
    /// Writes what the socket takes at once.
    ///
    /// # Errors
    /// The socket's; `WouldBlock` also where it is better left to the connection's task.
    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;
}

impl Outbox {
    /// The hub may write to `sink`; or to none, where the task wants to know of all that leaves.
    pub fn connect(&self, sink: Option<Rc<dyn Sink>>) {
        self.inner.borrow_mut().sink = sink;
    }

    /// Keeps what is put in until [`Outbox::send`] is called, which has to follow. Whether it was not so already.
    pub(crate) fn hold(&self) -> bool {
        !std::mem::replace(&mut self.inner.borrow_mut().held, true)
    }

    /// Sends what is in, if nothing is in its way; else leaves it to the connection's task.
    pub(crate) fn send(&self, encoder: &mut Encoder) {
        let mut inner = self.inner.borrow_mut();
        inner.held = false;
        // Without it the task is on its way, or waits for the socket.
        if inner.writer.is_none() {
            return;
        }
        if !inner.dead
            && inner.closing.is_none()
            && let Some(sink) = inner.sink.clone()
        {
            let emptied = self.empty(&mut inner, encoder, |pieces| match sink.try_write(pieces) {
                // What else went wrong, the task finds out as well.
                Err(_) => Poll::Pending,
                Ok(taken) => Poll::Ready(Ok::<_, ()>(taken)),
            });
            if emptied == Ok(true) {
                return;
            }
        }
        inner.wake_writer();
    }

    /// The connection's task is at it, and comes to [`Outbox::drain`] next: what is put in until then need not wake it.
    pub(crate) fn attend(&self) {
        self.inner.borrow_mut().writer = None;
    }

    /// Hands the bytes at the front to `write`, which says how many of them it took; until none are left, or it takes
    /// none. Remembers whom to wake when there are more.
    ///
    /// # Errors
    /// `write`'s.
    pub fn drain<E>(
        &self,
        encoder: &mut Encoder,
        context: &mut Context<'_>,
        mut write: impl FnMut(&mut Context<'_>, &[IoSlice<'_>]) -> Poll<Result<usize, E>>,
    ) -> Result<(), E> {
        let mut inner = self.inner.borrow_mut();
        if self.empty(&mut inner, encoder, |pieces| write(context, pieces))? {
            keep(&mut inner.writer, context);
        } else {
            // The socket wakes the task; only answers that come meanwhile need not.
            inner.writer = None;
        }
        Ok(())
    }

    /// Ends the stream once it is empty: nothing gets in any more, but where the wire has last words. Whether it has.
    pub fn finish(&self) -> bool {
        let wire = self.wire.get();
        let mut inner = self.inner.borrow_mut();
        if std::mem::replace(&mut inner.finished, true) || !matches!(wire, Wire::WsText | Wire::WsBinary) {
            return false;
        }
        let Some((code, reason)) = inner.closing.clone() else { return false };
        // A control frame has at most 125 bytes; our reasons are shorter, and ASCII.
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend(reason.bytes().take(123));
        inner.queue.put_answer(0, |buffer| {
            put_header(OPCODE_CLOSE, payload.len(), buffer);
            buffer.extend_from_slice(&payload);
        });
        true
    }

    /// Whether none are left.
    fn empty<E>(
        &self,
        inner: &mut Inner,
        encoder: &mut Encoder,
        mut write: impl FnMut(&[IoSlice<'_>]) -> Poll<Result<usize, E>>,
    ) -> Result<bool, E> {
        let wire = self.wire.get();
        loop {
            inner.tell_gaps(encoder, wire);
            inner.turn_to_ephemera(encoder, wire);
            if inner.queue.is_empty() {
                return Ok(true);
            }
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let count = inner.queue.front(&mut pieces);
            let Poll::Ready(taken) = write(&pieces[..count]) else { return Ok(false) };
            let taken = taken?;
            self.taken.set(self.taken.get().saturating_add(taken));
            let freed = inner.queue.taken(taken);
            inner.release(freed);
        }
    }
}

#[cfg(test)]
#[path = "leaving_tests.rs"]
mod tests;
