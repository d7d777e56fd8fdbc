//! What holds in every log that a server writes: who is named is known, what is counted is right, and nothing happens where
//! nothing can. Plain; for logs that come from elsewhere. What texts may be stands in [`crate::bounds`].
//!
//! A log of which some records were reduced ([`crate::retention`]) keeps these rules as well. Who may do what is none of
//! them, but for edits: that is for whoever let it happen.

use std::collections::BTreeSet;

use chappe_proto::event::ChatKind;
use chappe_proto::signature::PublicKey;
use chappe_proto::{ChatId, MessageId, Seq, UserId};

use super::record::{Fact, Record};
use crate::map::Map;
use crate::state::GENERAL;

/// Why no server would have written a record behind those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Nothing before it made what it is about.
    #[error("{0} is not known at this place")]
    Unknown(String),
    /// What stands before it says otherwise.
    #[error("{0}")]
    Disagrees(String),
}

/// Where a message stands, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posted {
    /// In this chat.
    pub chat: ChatId,
    /// As this event of it.
    pub seq: Seq,
    /// Whose.
    pub sender: UserId,
}

impl Posted {
    /// The message that a record is; `None` if it is none.
    pub fn of(record: &Record) -> Option<Self> {
        let (chat, seq) = record.entry.numbered?;
        match record.entry.fact {
            Fact::MessagePosted { sender, .. }
            | Fact::SignedMessagePosted { sender, .. }
            | Fact::MessageErased { sender } => Some(Self { chat, seq, sender }),
            _ => None,
        }
    }
}

/// What the records so far have told, as far as later ones have to agree: the users, and of each chat its members and, in
/// three bits an event, which are messages and which of those were deleted.
#[derive(Debug, Default)]
pub struct Rules {
    users: BTreeSet<UserId>,
    keys: Map<UserId, Option<PublicKey>>,
    chats: Map<ChatId, Chat>,
}

#[derive(Debug)]
struct Chat {
    kind: ChatKind,
    is_deleted: bool,
    head: Seq,
    members: BTreeSet<UserId>,
    messages: Messages,
}

impl Rules {
    /// The message that a fact is about, or answers. What stands there is to be told to [`Rules::take`].
    pub fn refers_to(fact: &Fact) -> Option<MessageId> {
        match fact {
            Fact::MessageEdited { message, .. }
            | Fact::MessageDeleted { message, .. }
            | Fact::Reacted { message, .. } => Some(*message),
            Fact::MessagePosted { reply_to, .. } | Fact::SignedMessagePosted { reply_to, .. } => *reply_to,
            _ => None,
        }
    }

    /// Takes note of the next record, which is numbered as the log does. `about` is the message before it that it refers to.
    ///
    /// # Errors
    /// [`Broken`]: then no other is to follow.
    pub fn take(&mut self, record: &Record, about: Option<Posted>) -> Result<(), Broken> {
        match &record.entry.fact {
            Fact::UserCreated { user, .. } if !self.users.insert(*user) => {
                disagree(format!("user {user} was made before"))
            }
            Fact::UserCreated { .. } => Ok(()),
            Fact::KeyRegistered { user, key } => {
                self.known(*user)?;
                self.keys.insert(*user, *key);
                Ok(())
            }
            Fact::UserErased { user } => {
                self.known(*user)?;
                self.keys.remove(user);
                Ok(())
            }
            Fact::Trimmed { chat, up_to, messages } => {
                // Of a deleted chat, all goes.
                let found = self.chats.get(chat).ok_or_else(|| unknown_chat(*chat))?;
                found.reaches(*chat, *up_to)?;
                found.agrees(*chat, *up_to, *messages)
            }
            Fact::ReadMarked { chat, user, seq, count } => {
                let found = self.chat(*chat)?;
                found.has(*chat, *user)?;
                found.reaches(*chat, *seq)?;
                // What is left of the mark of somebody who was erased agrees as well: 0 of 0.
                found.agrees(*chat, *seq, *count)
            }
            fact => match record.entry.numbered {
                Some((chat, seq)) => self.take_event(chat, seq, fact, about),
                None => disagree("it is an event of no chat".to_owned()),
            },
        }
    }

    fn take_event(&mut self, id: ChatId, seq: Seq, fact: &Fact, about: Option<Posted>) -> Result<(), Broken> {
        let is_post = match fact {
            Fact::ChatCreated { kind, by, members, .. } => return self.begin(id, *kind, *by, members),
            Fact::ChatUpdated { deleted, by, .. } => {
                by.map_or(Ok(()), |by| self.known(by))?;
                if *deleted && id.get() == GENERAL {
                    return disagree(format!("chat {id} cannot be deleted"));
                }
                false
            }
            Fact::MemberJoined { user, .. } => {
                self.known(*user)?;
                false
            }
            Fact::MemberLeft { user } => {
                self.chat(id)?.has(id, *user)?;
                false
            }
            Fact::MessagePosted { sender, reply_to, .. } => self.post(id, *sender, *reply_to, about)?,
            Fact::SignedMessagePosted { sender, reply_to, signature, .. } => {
                self.signs(*sender, signature.key)?;
                self.post(id, *sender, *reply_to, about)?
            }
            Fact::MessageErased { sender } => self.post(id, *sender, None, None)?,
            Fact::MessageEdited { message, message_seq, by, .. } => {
                let posted = self.change(id, *message, *message_seq, *by, about)?;
                if posted.sender != *by {
                    return disagree(format!("message {message} is user {}'s, who alone edits it", posted.sender));
                }
                false
            }
            Fact::MessageDeleted { message, message_seq, by } => {
                self.change(id, *message, *message_seq, *by, about)?;
                false
            }
            Fact::Reacted { message, message_seq, user, .. } => {
                self.change(id, *message, *message_seq, *user, about)?;
                false
            }
            _ => return disagree("it has a number of a chat, and is none of its events".to_owned()),
        };
        let chat = self.alive(id)?;
        if seq != chat.head.next() {
            return disagree(format!("the next event of chat {id} is {}", chat.head.next()));
        }
        match fact {
            Fact::MemberJoined { user, .. } => {
                if chat.kind == ChatKind::Direct {
                    return disagree(format!("chat {id} is between two"));
                }
                if !chat.members.insert(*user) {
                    return disagree(format!("user {user} is in chat {id} already"));
                }
            }
            Fact::MemberLeft { user } => {
                chat.members.remove(user);
            }
            Fact::MessageDeleted { message_seq, .. } => chat.messages.delete(*message_seq),
            Fact::ChatUpdated { deleted: true, .. } => {
                chat.is_deleted = true;
                chat.members = BTreeSet::new();
            }
            _ => {}
        }
        chat.head = seq;
        chat.messages.push(seq, is_post);
        Ok(())
    }

    fn begin(&mut self, id: ChatId, kind: ChatKind, by: Option<UserId>, members: &[UserId]) -> Result<(), Broken> {
        if self.chats.contains_key(&id) {
            return disagree(format!("chat {id} was made before"));
        }
        members.iter().copied().chain(by).try_for_each(|user| self.known(user))?;
        if !members.is_sorted_by(|one, next| one < next) {
            return disagree("its members do not ascend".to_owned());
        }
        if let Some(by) = by.filter(|by| !members.contains(by)) {
            return disagree(format!("user {by} made it, and is none of its members"));
        }
        if kind == ChatKind::Direct && members.len() != 2 {
            return disagree("a direct chat has two members".to_owned());
        }
        let (mut messages, head) = (Messages::default(), Seq(1));
        messages.push(head, false);
        let members = members.iter().copied().collect();
        self.chats.insert(id, Chat { kind, is_deleted: false, head, members, messages });
        Ok(())
    }

    /// A post is by a member, and answers a message of its chat.
    fn post(
        &self,
        id: ChatId,
        sender: UserId,
        reply_to: Option<MessageId>,
        about: Option<Posted>,
    ) -> Result<bool, Broken> {
        self.chat(id)?.has(id, sender)?;
        if let Some(message) = reply_to
            && about.ok_or_else(|| unknown_message(message))?.chat != id
        {
            return disagree(format!("message {message} is not in chat {id}"));
        }
        Ok(true)
    }

    /// A change is of a message that is there, by somebody who can read it.
    fn change(
        &self,
        id: ChatId,
        message: MessageId,
        seq: Seq,
        by: UserId,
        about: Option<Posted>,
    ) -> Result<Posted, Broken> {
        self.known(by)?;
        let posted = about.ok_or_else(|| unknown_message(message))?;
        if (posted.chat, posted.seq) != (id, seq) {
            return disagree(format!("message {message} is event {} of chat {}", posted.seq, posted.chat));
        }
        let chat = self.chat(id)?;
        if chat.kind != ChatKind::Open {
            chat.has(id, by)?;
        }
        if chat.messages.is_deleted(seq) {
            return disagree(format!("message {message} was deleted"));
        }
        Ok(posted)
    }

    /// A signature is by the key that the sender has. Where that was erased later, it is not known here any more.
    fn signs(&self, sender: UserId, key: PublicKey) -> Result<(), Broken> {
        match self.keys.get(&sender) {
            None => Err(Broken::Unknown(format!("a key of user {sender}"))),
            Some(Some(registered)) if *registered != key => {
                disagree(format!("the key of user {sender} is {registered}, and not {key}"))
            }
            Some(_) => Ok(()),
        }
    }

    fn known(&self, user: UserId) -> Result<(), Broken> {
        if self.users.contains(&user) { Ok(()) } else { Err(Broken::Unknown(format!("user {user}"))) }
    }

    /// A chat in which something can happen.
    fn chat(&self, id: ChatId) -> Result<&Chat, Broken> {
        let chat = self.chats.get(&id).ok_or_else(|| unknown_chat(id))?;
        if chat.is_deleted { disagree(format!("chat {id} was deleted")) } else { Ok(chat) }
    }

    fn alive(&mut self, id: ChatId) -> Result<&mut Chat, Broken> {
        self.chat(id)?;
        self.chats.get_mut(&id).ok_or_else(|| unknown_chat(id))
    }
}

impl Chat {
    fn has(&self, id: ChatId, user: UserId) -> Result<(), Broken> {
        if self.members.contains(&user) { Ok(()) } else { disagree(format!("user {user} is no member of chat {id}")) }
    }

    fn reaches(&self, id: ChatId, seq: Seq) -> Result<(), Broken> {
        if seq <= self.head { Ok(()) } else { Err(Broken::Unknown(format!("event {seq} of chat {id}"))) }
    }

    fn agrees(&self, id: ChatId, seq: Seq, count: u64) -> Result<(), Broken> {
        let counted = self.messages.up_to(seq);
        if count == counted {
            return Ok(());
        }
        disagree(format!("up to its event {seq}, chat {id} has {counted} messages, and not {count}"))
    }
}

fn unknown_chat(id: ChatId) -> Broken {
    Broken::Unknown(format!("chat {id}"))
}

fn unknown_message(id: MessageId) -> Broken {
    Broken::Unknown(format!("message {id}"))
}

fn disagree<T>(what: String) -> Result<T, Broken> {
    Err(Broken::Disagrees(what))
}

/// Which events of a chat are messages, and which of those were deleted: a bit each.
#[derive(Debug, Default)]
struct Messages(Vec<Block>);

/// 64 events.
#[derive(Debug, Default, Clone, Copy)]
struct Block {
    /// How many messages stand before it.
    before: u64,
    posted: u64,
    deleted: u64,
}

impl Messages {
    /// In which block an event is, and as which bit. The first is 1.
    fn place(seq: Seq) -> (usize, u32) {
        let index = seq.0.saturating_sub(1);
        (usize::try_from(index / 64).unwrap_or(usize::MAX), u32::try_from(index % 64).unwrap_or_default())
    }

    /// Takes the next event.
    fn push(&mut self, seq: Seq, is_post: bool) {
        let (block, bit) = Self::place(seq);
        if block == self.0.len() {
            let before = self.0.last().map_or(0, |last| last.before + u64::from(last.posted.count_ones()));
            self.0.push(Block { before, ..Block::default() });
        }
        if let Some(block) = self.0.get_mut(block) {
            block.posted |= u64::from(is_post) << bit;
        }
    }

    fn delete(&mut self, seq: Seq) {
        let (block, bit) = Self::place(seq);
        if let Some(block) = self.0.get_mut(block) {
            block.deleted |= 1 << bit;
        }
    }

    fn is_deleted(&self, seq: Seq) -> bool {
        let (block, bit) = Self::place(seq);
        self.0.get(block).is_some_and(|block| block.deleted & (1 << bit) != 0)
    }

    /// How many there are up to and with this number.
    fn up_to(&self, seq: Seq) -> u64 {
        if seq == Seq::ZERO {
            return 0;
        }
        let (block, bit) = Self::place(seq);
        let counted = |block: &Block| block.before + u64::from((block.posted & (u64::MAX >> (63 - bit))).count_ones());
        self.0.get(block).map_or(0, counted)
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
