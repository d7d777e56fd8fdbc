//! Which message a `client_id` stands for: a retry is the same message for as long as the message exists.
//!
//! In memory a name is 16 bytes: a keyed 64-bit fingerprint and the message's id. Two names with one fingerprint are
//! as good as impossible, and nobody can construct them; should it happen, the second is kept in full.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use chappe_proto::{ChatId, ClientId, MessageId, UserId};

/// A name's fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Print(u64);

/// A fingerprint is a hash already.
#[derive(Debug, Default, Clone, Copy)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// All names there are.
#[derive(Debug, Default)]
pub struct Dedup {
    key: RandomState,
    names: HashMap<Print, MessageId, BuildHasherDefault<Same>>,
    /// Names whose fingerprint another name had first.
    collided: HashMap<(ChatId, UserId, ClientId), MessageId>,
}

impl Dedup {
    /// The fingerprint of a name.
    pub fn print(&self, chat: ChatId, sender: UserId, name: &ClientId) -> Print {
        Print(self.key.hash_one((chat, sender, name)))
    }

    /// The message that was posted under a name; the caller checks that it really carries it.
    pub fn find(&self, print: Print, chat: ChatId, sender: UserId, name: &ClientId) -> Option<MessageId> {
        if !self.collided.is_empty()
            && let Some(message) = self.collided.get(&(chat, sender, name.clone()))
        {
            return Some(*message);
        }
        self.names.get(&print).copied()
    }

    /// Notes that a message was posted under a name.
    pub fn note(&mut self, chat: ChatId, sender: UserId, name: &ClientId, message: MessageId) {
        match self.names.entry(self.print(chat, sender, name)) {
            std::collections::hash_map::Entry::Vacant(slot) => {
                slot.insert(message);
            }
            std::collections::hash_map::Entry::Occupied(_) => {
                self.collided.insert((chat, sender, name.clone()), message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_of_one_fingerprint_are_both_kept() {
        let (chat, ann) = (ChatId::parse(1).unwrap(), UserId::parse(1).unwrap());
        let (one, two) = (ClientId::parse("one").unwrap(), ClientId::parse("two").unwrap());
        let id = |raw| MessageId::parse(raw).unwrap();
        let mut dedup = Dedup::default();
        // As if "two" had the fingerprint of "one".
        let print = dedup.print(chat, ann, &two);
        dedup.names.insert(print, id(1));
        dedup.note(chat, ann, &two, id(2));
        assert_eq!(dedup.find(print, chat, ann, &two), Some(id(2)));
        assert_eq!(dedup.find(dedup.print(chat, ann, &one), chat, ann, &one), None);
    }
}
