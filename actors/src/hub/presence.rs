//! Changes of presence, to those on this thread whom they concern: one packet for each, whatever happened in the second.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::core::Core;
use crate::session::outbox::{Change, Changes};

impl Core {
    pub(super) fn presence(&self, changes: &[Arc<Change>]) {
        let (slots, listeners) = (self.slots.borrow(), self.listeners.borrow());
        // By place, which of the changes it hears: each once, however many chats lead there.
        let mut heard: Vec<Vec<u32>> = Vec::new();
        for (change, nth) in changes.iter().zip(0u32..) {
            for slot in change.chats.iter().flat_map(|chat| listeners.of(*chat)) {
                let slot = slot as usize;
                if heard.len() <= slot {
                    heard.resize_with(slot + 1, Vec::new);
                }
                if heard[slot].last() != Some(&nth) {
                    heard[slot].push(nth);
                }
            }
        }
        let mut shared: HashMap<Vec<u32>, Rc<Changes>> = HashMap::new();
        for (heard, slot) in heard.into_iter().zip(0u32..).filter(|(heard, _)| !heard.is_empty()) {
            let Some(outbox) = slots.outbox(slot) else { continue };
            self.due.hold(slot, outbox);
            let pick = |heard: &Vec<u32>| {
                let each = heard.iter().filter_map(|nth| changes.get(*nth as usize).cloned());
                Rc::new(Changes(each.collect()))
            };
            match shared.get(&heard) {
                Some(changes) => outbox.presence(changes),
                None => {
                    let changes = pick(&heard);
                    outbox.presence(&changes);
                    shared.insert(heard, changes);
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "presence_tests.rs"]
mod tests;
