//! Who got something that is not sent yet. It is sent when all batches are in that have come: so whatever waits for a
//! connection leaves in one write, and nobody is woken for it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context as Task, Poll};

use actix::fut::ActorFuture;
use actix::prelude::*;

use super::HubActor;
use super::core::Core;
use crate::session::outbox::Outbox;

/// Connections written to before the thread looks what else has come: so many system calls take a third of a millisecond.
const AT_ONCE: usize = 64;
/// So many batches may come in a row before what they bring is sent all the same.
const BATCHES: u32 = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Due {
    places: RefCell<Vec<u32>>,
    batches: Cell<u32>,
}

impl Due {
    /// What is put into `outbox` from now on is sent by [`Core::send_due`].
    pub(super) fn hold(&self, place: u32, outbox: &Outbox) {
        if outbox.hold() {
            self.places.borrow_mut().push(place);
        }
    }

    /// A batch is in. Whether it must not wait for another.
    pub(super) fn is_pressing(&self) -> bool {
        self.batches.set(self.batches.get() + 1);
        self.batches.get() >= BATCHES
    }
}

impl Core {
    /// Sends what so many connections got. Whether there are more.
    pub(super) fn send_due(&self) -> bool {
        self.due.batches.set(0);
        let mut places = self.due.places.borrow_mut();
        let (slots, mut encoder) = (self.slots.borrow(), self.encoder.borrow_mut());
        let count = places.len().min(AT_ONCE);
        for place in places.drain(..count) {
            // Whoever has the place of one that is gone has nothing to send, or may send it.
            if let Some(outbox) = slots.outbox(place) {
                outbox.send(&mut encoder);
            }
        }
        !places.is_empty()
    }
}

/// Lives in the hub's context, which polls it whenever the mailbox is empty.
pub(super) struct Sending;

impl ActorFuture<HubActor> for Sending {
    type Output = ();

    fn poll(self: Pin<&mut Self>, hub: &mut HubActor, _: &mut Context<HubActor>, task: &mut Task<'_>) -> Poll<()> {
        if hub.core.send_due() {
            // Goes on once the thread has looked what else has come, and not only at the tasks that are ready.
            let _ = pin!(tokio::task::yield_now()).poll(task);
        }
        Poll::Pending
    }
}
