//! How what is not kept gets into an outbox, and when it leaves: behind all else, and dropped before all else.

use std::rc::Rc;

use bytes::Bytes;
use chappe_proto::ChatId;
use chappe_proto::outgoing::{Encoder, Wire};

use super::ephemera::{Changes, Topic};
use super::{Inner, Outbox};
use crate::metrics::metrics;
use crate::session::queue::is_crowded;

impl Outbox {
    /// Puts in something that may be lost, in the place of what waits about the same.
    pub fn ephemeral(&self, topic: Topic, bytes: Bytes) {
        let mut inner = self.inner.borrow_mut();
        if inner.dead || inner.closing.is_some() {
            return;
        }
        let of_transport = matches!(topic, Topic::Ping | Topic::Pong);
        if (of_transport || inner.has_room_for(bytes.len())) && inner.ephemera.get_or_insert_default().put(topic, bytes)
        {
            inner.wake_writer();
        } else {
            metrics().outbox_dropped.inc();
        }
    }

    /// Puts in whose presence changed; of those who wait already the newer counts.
    pub fn presence(&self, changes: &Rc<Changes>) {
        let mut inner = self.inner.borrow_mut();
        if inner.dead || inner.closing.is_some() {
            return;
        }
        if is_crowded() {
            metrics().outbox_dropped.inc();
            return;
        }
        let dropped = inner.ephemera.get_or_insert_default().put_presence(changes);
        metrics().outbox_dropped.inc_by(dropped as u64);
        inner.wake_writer();
    }

    /// Takes out what is not kept of these chats: the client hears them no longer.
    pub fn forget(&self, chats: &[ChatId]) {
        if let Some(ephemera) = &mut self.inner.borrow_mut().ephemera {
            ephemera.forget(chats);
        }
    }
}

impl Inner {
    /// Lets what is not kept follow, once nothing else waits.
    pub(super) fn turn_to_ephemera(&mut self, encoder: &mut Encoder, wire: Wire) {
        if self.queue.is_empty()
            && let Some(ephemera) = self.ephemera.take()
        {
            let (_, limit) = self.queue.fill();
            self.ephemera = ephemera.take(encoder, wire, limit / 2, &mut |bytes| self.queue.put_ephemeral(bytes));
        }
    }

    /// Whether something that is not kept may wait: together they fill half of the outbox at most.
    fn has_room_for(&self, bytes: usize) -> bool {
        let (queued, limit) = self.queue.fill();
        let waiting = self.ephemera.as_ref().map_or(0, |ephemera| ephemera.bytes());
        queued + waiting + bytes <= limit / 2 && !is_crowded()
    }

    /// Drops what is not kept if the outbox is too full to hold it beside the events.
    pub(super) fn make_way(&mut self) {
        if let Some(ephemera) = &mut self.ephemera {
            let (queued, limit) = self.queue.fill();
            if queued + ephemera.bytes() > limit {
                metrics().outbox_dropped.inc_by(ephemera.shed() as u64);
            }
        }
    }
}
