//! Which message a `client_id` stands for: a retry is the same message for as long as the message exists.
//!
//! A name is kept as a fingerprint and the message's id. Two names with one fingerprint are as good as impossible, and
//! nobody can construct them; should it happen, both messages are found, and compared.

use chappe_proto::{ChatId, ClientId, MessageId, UserId};

use super::names::{Name, Names};
use super::print::{Print, PrintKey};

/// So many new names are handed out together, to be written to disk.
pub const RUN: usize = 65_536;

/// All names there are.
#[derive(Debug, Default)]
pub struct Dedup {
    key: PrintKey,
    names: Names,
    /// Those that were not handed out yet.
    fresh: Vec<Name>,
}

impl Dedup {
    /// With these names, whose fingerprints were made with `key`.
    pub fn new(key: PrintKey, names: Names) -> Self {
        Self { key, names, fresh: Vec::new() }
    }

    /// The fingerprint of a name.
    pub fn print(&self, chat: ChatId, sender: UserId, name: &ClientId) -> Print {
        self.key.print(chat, sender, name)
    }

    /// The `nth` message that was posted under a name of this fingerprint; the caller looks whether it is this name.
    pub fn find(&self, print: Print, nth: usize) -> Option<MessageId> {
        self.names.find(print).nth(nth)
    }

    /// Notes that a message was posted under a name.
    pub fn note(&mut self, chat: ChatId, sender: UserId, name: &ClientId, message: MessageId) {
        let name = Name { print: self.print(chat, sender, name), message: message.get() };
        if self.names.insert(name) {
            self.fresh.push(name);
        }
    }

    /// The names noted since the last time, if there are as many as `at_least`.
    pub fn take_fresh(&mut self, at_least: usize) -> Option<Vec<Name>> {
        (self.fresh.len() >= at_least.max(1)).then(|| std::mem::take(&mut self.fresh))
    }

    /// None yet, and fingerprints as here.
    pub fn without_names(&self) -> Self {
        Self::new(self.key, Names::default())
    }

    /// All names.
    pub fn names(&self) -> &Names {
        &self.names
    }
}
