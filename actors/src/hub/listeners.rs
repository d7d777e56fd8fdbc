//! Which of a hub's places hear a chat.

use std::collections::{BTreeSet, HashMap};

use chappe_proto::ChatId;
use indexmap::IndexSet;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    chats: HashMap<ChatId, IndexSet<u32>>,
}

impl Listeners {
    /// The places that hear `chat`.
    pub(super) fn of(&self, chat: ChatId) -> impl Iterator<Item = u32> + '_ {
        self.chats.get(&chat).into_iter().flatten().copied()
    }

    /// The places that hear any of `chats`, once each.
    pub(super) fn of_any(&self, chats: &[ChatId]) -> Vec<u32> {
        match chats {
            [chat] => self.of(*chat).collect(),
            _ => chats.iter().flat_map(|chat| self.of(*chat)).collect::<BTreeSet<_>>().into_iter().collect(),
        }
    }

    pub(super) fn add(&mut self, slot: u32, chats: &[ChatId]) {
        for chat in chats {
            self.chats.entry(*chat).or_default().insert(slot);
        }
    }

    pub(super) fn remove<'a>(&mut self, slot: u32, chats: impl IntoIterator<Item = &'a ChatId>) {
        for chat in chats {
            let Some(slots) = self.chats.get_mut(chat) else { continue };
            slots.swap_remove(&slot);
            if slots.is_empty() {
                self.chats.remove(chat);
            }
        }
    }
}
