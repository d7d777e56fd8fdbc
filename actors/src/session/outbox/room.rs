//! Whether a client may ask for more, and who waits until it may.

use std::task::{Context, Poll};

use super::{Inner, Outbox, keep};

impl Outbox {
    /// Ready while [`Outbox::has_room`], and nobody asked to close.
    pub fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_reader(self.has_room(), context)
    }

    fn poll_reader(&self, is_ready: bool, context: &mut Context<'_>) -> Poll<()> {
        if is_ready {
            return Poll::Ready(());
        }
        keep(&mut self.inner.borrow_mut().reader, context);
        Poll::Pending
    }

    /// Whether there is room in the window and in the outbox: who does not take what was asked for asks for no more, nor
    /// does who asks far too fast.
    pub fn has_room(&self) -> bool {
        !self.speech.is_far_too_fast() && self.inner.borrow().has_room()
    }

    /// Who was far too fast may ask again.
    pub(crate) fn forgive(&self) {
        if self.speech.forgive() {
            self.inner.borrow_mut().wake_reader();
        }
    }

    /// Whether all that was asked is answered, and all answers have left.
    pub fn is_settled(&self) -> bool {
        self.inner.borrow().is_settled()
    }

    /// Ready once [`Outbox::is_settled`]: what leaves wakes nobody where a request has no answer.
    pub fn poll_settled(&self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_reader(self.is_settled(), context)
    }
}

impl Inner {
    pub(super) fn has_room(&self) -> bool {
        self.in_flight < self.window && self.queue.is_half_free() && self.closing.is_none()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.in_flight == 0 && self.queue.is_empty()
    }
}
