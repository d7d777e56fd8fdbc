//! The places of a hub: one for each connection, and one for each HTTP request that waits.

use std::collections::BTreeSet;
use std::rc::Rc;

use chappe_proto::ChatId;
use tokio::sync::oneshot;

use super::Door;
use super::bearers::Bearer;
use crate::reply::Reply;
use crate::session::outbox::Outbox;

/// Who has a place.
#[derive(Debug)]
pub(super) enum Slot {
    /// A connection.
    Connection {
        door: Door,
        outbox: Rc<Outbox>,
        /// The chats it hears.
        hears: BTreeSet<ChatId>,
        /// Whether it said Hello, and was welcomed.
        greeted: bool,
        /// For how many heartbeats nothing was heard of it.
        silent: u8,
        /// Whose token it came with, where tokens are asked for.
        bearer: Option<Box<Bearer>>,
        /// For how many seconds it has not said what it has to.
        unsaid: u16,
        /// For how many seconds it has been amid the same packet.
        unfinished: u16,
        /// For how many seconds it has been in the way of others by what it does not take.
        in_the_way: u16,
    },
    /// An HTTP request that waits for its answer.
    Waiting(oneshot::Sender<Reply>),
}

#[derive(Debug, Default)]
struct Place {
    generation: u32,
    slot: Option<Slot>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Slots {
    places: Vec<Place>,
    free: Vec<u32>,
    connections: usize,
}

impl Slots {
    pub(super) fn connections(&self) -> usize {
        self.connections
    }

    /// Takes a place; answers which, and its generation.
    pub(super) fn insert(&mut self, slot: Slot) -> (u32, u32) {
        self.connections += usize::from(matches!(slot, Slot::Connection { .. }));
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            // There are fewer connections than file descriptors, and fewer of those than 2^32.
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        let place = &mut self.places[index as usize];
        place.slot = Some(slot);
        (index, place.generation)
    }

    pub(super) fn get_mut(&mut self, index: u32, generation: u32) -> Option<&mut Slot> {
        let place = self.places.get_mut(index as usize)?;
        place.slot.as_mut().filter(|_| place.generation == generation)
    }

    pub(super) fn outbox(&self, index: u32) -> Option<&Rc<Outbox>> {
        match self.places.get(index as usize)?.slot.as_ref()? {
            Slot::Connection { outbox, .. } => Some(outbox),
            Slot::Waiting(_) => None,
        }
    }

    /// Gives a place back.
    pub(super) fn remove(&mut self, index: u32, generation: u32) -> Option<Slot> {
        let place = self.places.get_mut(index as usize).filter(|place| place.generation == generation)?;
        let slot = place.slot.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.connections -= usize::from(matches!(slot, Slot::Connection { .. }));
        self.free.push(index);
        Some(slot)
    }

    /// Those that are taken, each with its place and generation.
    pub(super) fn places_mut(&mut self) -> impl Iterator<Item = ((u32, u32), &mut Slot)> {
        // There are never more places than that.
        let numbered = self.places.iter_mut().zip(0u32..);
        numbered.filter_map(|(place, index)| Some(((index, place.generation), place.slot.as_mut()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.places.iter_mut().filter_map(|place| place.slot.as_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_an_earlier_use_of_a_place_finds_nobody() {
        let mut slots = Slots::default();
        let waiting = || Slot::Waiting(oneshot::channel().0);
        let (index, first) = slots.insert(waiting());
        assert!(slots.remove(index, first).is_some());
        let (again, second) = slots.insert(waiting());
        assert_eq!(index, again);
        assert!(slots.get_mut(index, first).is_none());
        assert!(slots.remove(index, first).is_none());
        assert!(slots.get_mut(index, second).is_some());
    }
}
