//! What the log holds: facts, numbered.
//!
//! A [`Draft`] is a fact on its way to the log; the log gives it a position, and the chat's next `seq`, and it is a
//! [`Record`]. The bytes of a record are the body's length, `u32` CRC-32 of (position, body), body: the entry in the
//! compact binary format of the protocol crate, in which the length stands too. The position is implied, and where an
//! entry has a place in a chat, its [`Head`] can be read without the rest.

mod sealed;

use std::sync::Arc;

use chappe_proto::event::{
    ChatCreated, ChatKind, ChatUpdated, Event, MemberJoined, MemberLeft, MessageDeleted, MessageEdited, Reaction, Role,
};
use chappe_proto::format::{self, Decode, Encode, FormatError};
use chappe_proto::message::{Message, MessageType};
use chappe_proto::signature::{PublicKey, Signature};
use chappe_proto::{ChatId, ClientId, MessageId, Millis, Seq, UserId};

pub use self::sealed::{Damage, TooLarge, decode_from, encode_into, take_body};

/// A record's place in the log: 1, 2, 3 … without gaps. A message's id is the position of its record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The place after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The place so many further on.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The id of the message posted at this place; `None` at place 0, where nothing is.
    pub fn message(self) -> Option<MessageId> {
        MessageId::parse(self.0).ok()
    }
}

/// Something that happened and is kept. A variant's place is its number in the log: new ones come at the end.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "chappe_proto::format")]
pub enum Fact {
    /// A user was made.
    UserCreated {
        /// Who.
        user: UserId,
        /// What people call them.
        nickname: Box<str>,
    },
    /// A chat began. Its id is given by the log.
    ChatCreated {
        /// What people call it.
        title: Box<str>,
        /// Who may read it.
        kind: ChatKind,
        /// Its owner, if somebody made it.
        by: Option<UserId>,
        /// Its first members; the owner is one of them.
        members: Vec<UserId>,
    },
    /// A chat was renamed, or deleted.
    ChatUpdated {
        /// The title from now on.
        title: Box<str>,
        /// Whether it is gone.
        deleted: bool,
        /// Who did it.
        by: Option<UserId>,
    },
    /// Someone became a member.
    MemberJoined {
        /// Who.
        user: UserId,
        /// As what.
        role: Role,
    },
    /// Someone stopped being a member.
    MemberLeft {
        /// Who.
        user: UserId,
    },
    /// A message was posted.
    MessagePosted {
        /// Who wrote it.
        sender: UserId,
        /// What it says.
        content: Box<str>,
        /// What the content is.
        message_type: MessageType,
        /// The sender's own name for it.
        client_id: Option<ClientId>,
        /// The message it answers.
        reply_to: Option<MessageId>,
    },
    /// A message's content was replaced.
    MessageEdited {
        /// The message.
        message: MessageId,
        /// Its number in the chat.
        message_seq: Seq,
        /// What it says from now on.
        content: Box<str>,
        /// Who did it.
        by: UserId,
    },
    /// A message was deleted.
    MessageDeleted {
        /// The message.
        message: MessageId,
        /// Its number in the chat.
        message_seq: Seq,
        /// Who did it.
        by: UserId,
    },
    /// A reaction was added or taken back.
    Reacted {
        /// The message.
        message: MessageId,
        /// Its number in the chat.
        message_seq: Seq,
        /// Whose.
        user: UserId,
        /// Which.
        emoji: Box<str>,
        /// Whether it was taken back.
        removed: bool,
    },
    /// A member's read mark moved. It is kept, but takes no number of the chat.
    ReadMarked {
        /// The chat.
        chat: ChatId,
        /// Who read.
        user: UserId,
        /// Up to and with this number.
        seq: Seq,
        /// How many of the chat's messages that is.
        count: u64,
    },
    /// A message was posted that its sender signed.
    SignedMessagePosted {
        /// Who wrote it.
        sender: UserId,
        /// What it says.
        content: Box<str>,
        /// What the content is.
        message_type: MessageType,
        /// The sender's own name for it.
        client_id: Option<ClientId>,
        /// The message it answers.
        reply_to: Option<MessageId>,
        /// The signature, which was good.
        signature: Box<Signature>,
    },
    /// A user's messages may be signed with this key from now on, or with none.
    KeyRegistered {
        /// Whose.
        user: UserId,
        /// Which.
        key: Option<PublicKey>,
    },
    /// A message was posted whose content is not kept any more, nor its name, nor what it answered. Never appended: a
    /// record of a message becomes this, in its place (see [`crate::retention`]).
    MessageErased {
        /// Who wrote it.
        sender: UserId,
    },
    /// A chat's events up to a number are not kept any more, as far as they say something.
    Trimmed {
        /// The chat.
        chat: ChatId,
        /// Up to and with this number.
        up_to: Seq,
        /// How many of the chat's messages that is.
        messages: u64,
    },
    /// What a user had said until then is not kept any more, nor what they were called.
    UserErased {
        /// Who.
        user: UserId,
    },
}

impl Fact {
    /// Whether it is a message.
    pub fn is_post(&self) -> bool {
        matches!(self, Self::MessagePosted { .. } | Self::SignedMessagePosted { .. })
    }

    /// The number of the message that it says something about: an edit, or a reaction.
    pub fn about(&self) -> Option<Seq> {
        match self {
            Self::MessageEdited { message_seq, .. } | Self::Reacted { message_seq, .. } => Some(*message_seq),
            _ => None,
        }
    }
}

/// Where a fact belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// To no chat's numbering: accounts, read marks.
    Nowhere,
    /// To a chat that begins with it.
    NewChat,
    /// To this chat.
    Chat(ChatId),
}

/// A fact on its way to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// When it happened.
    pub at: Millis,
    /// Where it belongs.
    pub place: Place,
    /// What happened.
    pub fact: Fact,
}

/// A fact in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log.
    pub position: Position,
    /// What was kept.
    pub entry: Entry,
}

/// A record without its position, which is implied by where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "chappe_proto::format")]
pub struct Entry {
    /// When it happened.
    pub at: Millis,
    /// The chat and the chat's number, where the fact has one.
    pub numbered: Option<(ChatId, Seq)>,
    /// What happened.
    pub fact: Fact,
}

impl Record {
    /// The chat event that the record is, as clients see it; `None` for accounts and read marks.
    pub fn into_event(self) -> Option<Event> {
        let (chat_id, seq) = self.entry.numbered?;
        let at = self.entry.at;
        let id = self.position.message()?;
        let posted = |sender_id, content, message_type, client_id, reply_to, signature| {
            let (created_at, edited_at, deleted) = (at, None, false);
            Event::Message(Arc::new(Message {
                id,
                chat_id,
                seq,
                sender_id,
                content,
                message_type,
                client_id,
                reply_to,
                created_at,
                edited_at,
                deleted,
                signature,
            }))
        };
        Some(match self.entry.fact {
            Fact::UserCreated { .. }
            | Fact::ReadMarked { .. }
            | Fact::KeyRegistered { .. }
            | Fact::Trimmed { .. }
            | Fact::UserErased { .. } => return None,
            Fact::MessageErased { sender } => Event::Message(Arc::new(Message {
                id,
                chat_id,
                seq,
                sender_id: sender,
                content: Box::default(),
                message_type: MessageType::Text,
                client_id: None,
                reply_to: None,
                created_at: at,
                edited_at: None,
                deleted: true,
                signature: None,
            })),
            Fact::MessagePosted { sender, content, message_type, client_id, reply_to } => {
                posted(sender, content, message_type, client_id, reply_to, None)
            }
            Fact::SignedMessagePosted { sender, content, message_type, client_id, reply_to, signature } => {
                posted(sender, content, message_type, client_id, reply_to, Some(signature))
            }
            Fact::MessageEdited { message: message_id, message_seq, content, by } => {
                let (user_id, edited_at) = (by, at);
                Event::MessageEdited(MessageEdited {
                    chat_id,
                    seq,
                    message_id,
                    message_seq,
                    user_id,
                    content,
                    edited_at,
                })
            }
            Fact::MessageDeleted { message: message_id, message_seq, by } => {
                Event::MessageDeleted(MessageDeleted { chat_id, seq, message_id, message_seq, user_id: by, at })
            }
            Fact::Reacted { message: message_id, message_seq, user: user_id, emoji, removed } => {
                Event::Reaction(Reaction { chat_id, seq, message_id, message_seq, user_id, emoji, removed, at })
            }
            Fact::ChatCreated { title, kind, by, members } => {
                Event::ChatCreated(ChatCreated { chat_id, seq, title, kind, created_by: by, members, at })
            }
            Fact::ChatUpdated { title, deleted, by } => {
                Event::ChatUpdated(ChatUpdated { chat_id, seq, title, deleted, user_id: by, at })
            }
            Fact::MemberJoined { user: user_id, role } => {
                Event::MemberJoined(MemberJoined { chat_id, seq, user_id, role, at })
            }
            Fact::MemberLeft { user: user_id } => Event::MemberLeft(MemberLeft { chat_id, seq, user_id, at }),
        })
    }
}

/// How an entry begins: the bytes of its fact stand behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "chappe_proto::format")]
pub struct Head {
    /// When it happened.
    pub at: Millis,
    /// The chat and the chat's number, where the fact has one.
    pub numbered: Option<(ChatId, Seq)>,
}

/// What the bytes of a fact are, as far as it can be told without reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message was posted.
    Post,
    /// A message was edited or deleted.
    Change,
    /// What is kept was limited.
    Limit,
    /// Anything else.
    Other,
}

impl Kind {
    /// Looks at the bytes of a fact.
    pub fn of(fact: &[u8]) -> Self {
        // The fact's number in the log: below 251, it is one byte.
        match fact.first() {
            Some(5 | 10 | 12) => Self::Post,
            Some(6 | 7) => Self::Change,
            Some(13 | 14) => Self::Limit,
            _ => Self::Other,
        }
    }
}

/// Reads how the entry in `body` begins, and gives the bytes of its fact.
///
/// # Errors
/// [`Damage::Unreadable`].
pub fn open(position: Position, body: &[u8]) -> Result<(Head, &[u8]), Damage> {
    let (head, used) = format::decode_compact_prefix(body).map_err(|error| unreadable(position, &error))?;
    Ok((head, body.get(used..).unwrap_or_default()))
}

/// Reads the bytes of a record's body.
///
/// # Errors
/// [`Damage::Unreadable`].
pub fn decode(position: Position, body: &[u8]) -> Result<Record, Damage> {
    let entry = format::decode_compact(body).map_err(|error| unreadable(position, &error))?;
    Ok(Record { position, entry })
}

fn unreadable(position: Position, error: &FormatError) -> Damage {
    Damage::Unreadable(position.0, error.to_string())
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
