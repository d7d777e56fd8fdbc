//! Chats come back into memory: when somebody reads them, and after a start those that were in it before.

use chappe_proto::ChatId;
use chappe_proto::event::Event;

use super::State;

/// So many chats are read back into memory at a time.
const WARMED_TOGETHER: usize = 16;

impl State {
    /// Takes the newest events of a chat whose recent events had been dropped.
    pub fn warmed(&mut self, chat: ChatId, events: &[Event]) {
        let keep = self.keep();
        let is_outdated = self.outdated.remove(&chat);
        if let Some(chat) = self.chats.get_mut(&chat) {
            chat.warming = false;
            if is_outdated {
                // They were read before somebody was erased. The next one who misses the chat asks again.
                return;
            }
            let events = &events[events.partition_point(|event| event.seq() <= chat.floor)..];
            // With nothing read, the next one who misses it asks again.
            chat.cold &= events.is_empty();
            let before = chat.recent.bytes();
            chat.recent.warm(events, chat.head, keep);
            chat.recent.drop_until(chat.floor);
            let after = chat.recent.bytes();
            let id = chat.id;
            self.account(id, before, after);
        }
    }

    /// What came behind the snapshot was applied: the chats it was about are the first to be read back into memory.
    pub fn replayed(&mut self) {
        self.to_warm.extend(self.warm.iter().map(|(chat, ())| *chat));
    }

    /// Chats that were in memory before the start and are to be read back into it: some, and none when all are, or when
    /// there is no more room. Whoever asks comes back with [`State::warmed`].
    pub fn next_to_warm(&mut self) -> Vec<ChatId> {
        let mut next = Vec::new();
        while next.len() < WARMED_TOGETHER && self.warm_bytes < self.settings.cache_bytes / 8 * 7 {
            let Some(id) = self.to_warm.pop() else { break };
            if let Some(chat) = self.chats.get_mut(&id).filter(|chat| chat.cold && !chat.warming) {
                chat.warming = true;
                next.push(id);
            }
        }
        if next.is_empty() {
            self.to_warm = Vec::new();
        }
        next
    }
}
