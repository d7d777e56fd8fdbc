//! What of the log is kept, as the log says it: chats that were trimmed, users who were erased. Whoever asked when the state
//! knew of that gets nothing of what has gone; whoever asked before it may.

use std::collections::BTreeMap;

use chappe_actors::log::record::{Fact, Record};
use chappe_actors::retention::Retention;
use chappe_proto::{ChatId, Seq, UserId};

/// See the module. Where the log stood is a position: 0 is before all of it.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    /// At which positions chats were trimmed, and up to which numbers.
    floors: BTreeMap<ChatId, Vec<(u64, Seq)>>,
    /// At which positions users were erased.
    erased: BTreeMap<UserId, Vec<u64>>,
}

impl Keeping {
    /// Takes note of a record.
    pub(crate) fn note(&mut self, record: &Record) {
        let position = record.position.0;
        match record.entry.fact {
            Fact::Trimmed { chat, up_to, .. } => {
                let floor = self.floor(chat, u64::MAX).max(up_to);
                self.floors.entry(chat).or_default().push((position, floor));
            }
            Fact::UserErased { user } => self.erased.entry(user).or_default().push(position),
            _ => {}
        }
    }

    /// How often a chat was trimmed and a user erased.
    pub(crate) fn count(&self) -> (u64, u64) {
        let trims: usize = self.floors.values().map(Vec::len).sum();
        let erasures: usize = self.erased.values().map(Vec::len).sum();
        (trims as u64, erasures as u64)
    }

    /// Up to which number a chat's messages were not kept when the log stood there.
    pub(crate) fn floor(&self, chat: ChatId, at: u64) -> Seq {
        let floors = self.floors.get(&chat).map_or(&[][..], Vec::as_slice);
        floors.iter().rfind(|(position, _)| *position <= at).map_or(Seq::ZERO, |(_, floor)| *floor)
    }

    /// The same of all times since then.
    pub(crate) fn floors(&self, chat: ChatId, since: u64) -> Vec<Seq> {
        let later = self.floors.get(&chat).into_iter().flatten().filter(|(position, _)| *position > since);
        std::iter::once(self.floor(chat, since)).chain(later.map(|(_, floor)| *floor)).collect()
    }

    /// Whether what a user said at a position had gone with them when the log stood there.
    fn is_erased(&self, user: UserId, position: u64, at: u64) -> bool {
        self.erased.get(&user).is_some_and(|when| when.iter().any(|when| position < *when && *when <= at))
    }

    /// Whether a message had gone when the log stood there.
    pub(crate) fn is_gone(&self, chat: ChatId, seq: Seq, sender: UserId, position: u64, at: u64) -> bool {
        seq <= self.floor(chat, at) || self.is_erased(sender, position, at)
    }

    /// What was left of a record when the log stood there.
    pub(crate) fn left(&self, record: &Record, at: u64) -> Record {
        let mut left = record.clone();
        let position = record.position.0;
        let about = record.entry.numbered.map(|(chat, seq)| (chat, record.entry.fact.about().unwrap_or(seq)));
        let goes = |user: UserId| match about {
            Some((chat, seq)) => self.is_gone(chat, seq, user, position, at),
            None => self.is_erased(user, position, at),
        };
        match &mut left.entry.fact {
            Fact::MessagePosted { sender, .. } if goes(*sender) => {
                left.entry.fact = Fact::MessageErased { sender: *sender };
            }
            Fact::MessageEdited { content, by, .. } if goes(*by) => *content = Box::default(),
            Fact::Reacted { emoji, removed, user, .. } if goes(*user) => (*emoji, *removed) = (Box::default(), true),
            Fact::UserCreated { user, nickname } if goes(*user) => *nickname = format!("user {user}").into(),
            Fact::ReadMarked { user, seq, count, .. } if goes(*user) => (*seq, *count) = (Seq::ZERO, 0),
            _ => {}
        }
        left
    }
}

/// Whether the messages up to the last one that goes, posted then, may go: `behind` it there are so many.
pub(crate) fn may_go(retention: Retention, posted: u64, now: u64, behind: u64) -> bool {
    let too_many = retention.max_messages_per_chat.is_some_and(|most| behind >= most);
    let age = retention.max_age.and_then(|age| u64::try_from(age.as_millis()).ok());
    too_many || age.is_some_and(|age| posted.saturating_add(age) < now)
}
