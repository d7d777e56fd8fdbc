//! What the facts in a log leave of its records. Plain: a record goes in, and what is left of it comes out.

use chappe_proto::UserId;
use chappe_proto::{ChatId, Seq};

use crate::log::record::{Fact, Position, Record};
use crate::map::Map;
use crate::state::State;

/// The facts that say what is not kept any more.
///
/// Reducing a record twice is as good as once, and in which order the facts came does not matter. A log of which some
/// records were reduced, whichever, leads to the same state in the end as one of which none was.
#[derive(Debug, Default, Clone)]
pub struct Limits {
    /// Up to which number the messages of chats are not kept, and what was said about them.
    floors: Map<ChatId, Seq>,
    /// Before which position the words of users are not kept.
    erased: Map<UserId, Position>,
}

impl Limits {
    /// Whether all is kept.
    pub fn is_empty(&self) -> bool {
        self.floors.is_empty() && self.erased.is_empty()
    }

    /// Takes note of a record.
    pub fn note(&mut self, record: &Record) {
        match &record.entry.fact {
            Fact::Trimmed { chat, up_to, messages: _ } => {
                let floor = self.floors.entry(*chat).or_default();
                *floor = (*floor).max(*up_to);
            }
            Fact::UserErased { user } => {
                let before = self.erased.entry(*user).or_default();
                *before = (*before).max(record.position);
            }
            _ => {}
        }
    }

    /// Up to which number a chat's events are not kept.
    pub fn floor(&self, chat: ChatId) -> Seq {
        self.floors.get(&chat).copied().unwrap_or_default()
    }

    /// Whether a user had been erased when the record at a position was written, or was later.
    fn is_erased(&self, user: UserId, position: Position) -> bool {
        self.erased.get(&user).is_some_and(|before| position < *before)
    }

    /// Takes out of a record what is not kept any more, and says whether there was something. It stays an event of its
    /// kind, with its place and its number, and a message stays a message. Edits and reactions go with their message,
    /// wherever they stand.
    pub fn reduce(&self, record: &mut Record) -> bool {
        let floor = record.entry.numbered.map_or(Seq::ZERO, |(chat, _)| self.floor(chat));
        self.reduce_below(floor, record)
    }

    /// The same, where it is known otherwise up to which number the events of the record's chat are not kept.
    pub fn reduce_below(&self, floor: Seq, record: &mut Record) -> bool {
        let position = record.position;
        let seq = record.entry.fact.about().or(record.entry.numbered.map(|(_, seq)| seq));
        let below = seq.is_some_and(|seq| seq <= floor);
        let goes = |user: UserId| below || self.is_erased(user, position);
        match &mut record.entry.fact {
            Fact::MessagePosted { sender, .. } | Fact::SignedMessagePosted { sender, .. } if goes(*sender) => {
                record.entry.fact = Fact::MessageErased { sender: *sender };
            }
            Fact::MessageEdited { content, by, .. } if !content.is_empty() && goes(*by) => *content = Box::default(),
            Fact::Reacted { emoji, user, removed, .. } if !emoji.is_empty() && goes(*user) => {
                (*emoji, *removed) = (Box::default(), true);
            }
            Fact::UserCreated { user, nickname } if self.is_erased(*user, position) => {
                let nameless = State::default_nickname(*user);
                if *nickname == nameless {
                    return false;
                }
                *nickname = nameless;
            }
            Fact::KeyRegistered { user, key } if key.is_some() && self.is_erased(*user, position) => *key = None,
            Fact::ReadMarked { user, seq, count, .. } if *seq > Seq::ZERO && self.is_erased(*user, position) => {
                (*seq, *count) = (Seq::ZERO, 0);
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
