//! What is not settled yet: a change on its way to the disk, or a question to the reader. A command that depends on it
//! waits here, in order, and is taken up again once it is settled.

use std::collections::{HashMap, VecDeque};

use chappe_proto::{ChatId, MessageId, UserId};

use super::dedup::Print;
use crate::command::Command;
use crate::origin::Origin;

/// Something that can be unsettled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// Whether the user exists.
    User(UserId),
    /// Whether the chat exists, its title, its owner.
    Chat(ChatId),
    /// Whether the user is a member of the chat.
    Member(ChatId, UserId),
    /// A message's content.
    Message(MessageId),
    /// Which message a client's name stands for.
    Name(Print),
    /// A member's read mark.
    ReadMark(ChatId, UserId),
}

/// Who waits for what.
#[derive(Debug, Default)]
pub struct Holds {
    keys: HashMap<Key, VecDeque<(Origin, Command)>>,
    parked: usize,
}

impl Holds {
    /// How many commands wait.
    pub fn parked(&self) -> usize {
        self.parked
    }

    /// The first of `keys` that is unsettled.
    pub fn any(&self, keys: &[Key]) -> Option<Key> {
        if self.keys.is_empty() {
            return None;
        }
        keys.iter().find(|key| self.keys.contains_key(key)).copied()
    }

    /// Marks `key` as unsettled.
    pub fn hold(&mut self, key: Key) {
        self.keys.entry(key).or_default();
    }

    /// Lets a command wait for `key`, which is held.
    pub fn park(&mut self, key: Key, origin: Origin, command: Command) {
        self.keys.entry(key).or_default().push_back((origin, command));
        self.parked += 1;
    }

    /// Settles `key`; answers who waited for it, in order.
    pub fn release(&mut self, key: Key) -> VecDeque<(Origin, Command)> {
        let waiting = self.keys.remove(&key).unwrap_or_default();
        self.parked -= waiting.len();
        waiting
    }
}
