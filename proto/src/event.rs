//! What happens in a chat and is kept: the events that carry the chat's `seq`.
//!
//! The same types go out live, in `Events` after a reconnect, and over HTTP.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::format::{Decode, Encode};
use crate::ids::{ChatId, MessageId, Millis, Seq, UserId};
use crate::message::{Message, is_false};

/// What sort of chat it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum ChatKind {
    /// Its members, and nobody else. The default.
    #[default]
    Group,
    /// Two people.
    Direct,
    /// Open to all: anyone may read it, and joins by writing.
    Open,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads and writes.
    #[default]
    Member,
    /// Also renames and deletes the chat, and adds and removes members.
    Owner,
}

/// A numbered event of a chat. In JSON `packet_type` names the variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(tag = "packet_type")]
pub enum Event {
    /// A message was posted. Replayed later it shows the message as it has become.
    #[serde(with = "posted")]
    Message(Arc<Message>),
    /// A message's content was replaced.
    MessageEdited(MessageEdited),
    /// A message was deleted.
    MessageDeleted(MessageDeleted),
    /// A reaction was added or taken back.
    Reaction(Reaction),
    /// The chat began. Always its event 1.
    ChatCreated(ChatCreated),
    /// The chat was renamed or deleted.
    ChatUpdated(ChatUpdated),
    /// Someone became a member.
    MemberJoined(MemberJoined),
    /// Someone stopped being a member.
    MemberLeft(MemberLeft),
}

/// See [`Event::MessageEdited`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct MessageEdited {
    /// The chat.
    pub chat_id: ChatId,
    /// This event's number.
    pub seq: Seq,
    /// The message.
    pub message_id: MessageId,
    /// The message's own number in the chat.
    pub message_seq: Seq,
    /// Who edited it: its sender.
    pub user_id: UserId,
    /// The content it has from now on; empty in a replay if the message was deleted since.
    pub content: Box<str>,
    /// When.
    pub edited_at: Millis,
}

/// See [`Event::MessageDeleted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct MessageDeleted {
    /// The chat.
    pub chat_id: ChatId,
    /// This event's number.
    pub seq: Seq,
    /// The message.
    pub message_id: MessageId,
    /// The message's own number in the chat.
    pub message_seq: Seq,
    /// Who deleted it: its sender, or an owner of the chat.
    pub user_id: UserId,
    /// When.
    pub at: Millis,
}

/// See [`Event::Reaction`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Reaction {
    /// The chat.
    pub chat_id: ChatId,
    /// This event's number.
    pub seq: Seq,
    /// The message.
    pub message_id: MessageId,
    /// The message's own number in the chat.
    pub message_seq: Seq,
    /// Whose reaction.
    pub user_id: UserId,
    /// At most 64 bytes of UTF-8; empty where it is not kept any more.
    pub emoji: Box<str>,
    /// Whether it was taken back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub removed: bool,
    /// When.
    pub at: Millis,
}

/// See [`Event::ChatCreated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct ChatCreated {
    /// The chat.
    pub chat_id: ChatId,
    /// Always 1.
    pub seq: Seq,
    /// What people call it.
    pub title: Box<str>,
    /// Who may read it.
    pub kind: ChatKind,
    /// Its owner, if somebody made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserId>,
    /// Its first members, the owner among them.
    pub members: Vec<UserId>,
    /// When.
    pub at: Millis,
}

/// See [`Event::ChatUpdated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct ChatUpdated {
    /// The chat.
    pub chat_id: ChatId,
    /// This event's number.
    pub seq: Seq,
    /// The title it has from now on.
    pub title: Box<str>,
    /// Whether it is gone: nothing can be read or written any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub deleted: bool,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// When.
    pub at: Millis,
}

/// See [`Event::MemberJoined`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct MemberJoined {
    /// The chat.
    pub chat_id: ChatId,
    /// This event's number.
    pub seq: Seq,
    /// Who.
    pub user_id: UserId,
    /// As what.
    pub role: Role,
    /// When.
    pub at: Millis,
}

/// See [`Event::MemberLeft`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct MemberLeft {
    /// The chat.
    pub chat_id: ChatId,
    /// This event's number.
    pub seq: Seq,
    /// Who.
    pub user_id: UserId,
    /// When.
    pub at: Millis,
}

impl Event {
    /// The chat it happened in.
    pub fn chat_id(&self) -> ChatId {
        match self {
            Self::Message(event) => event.chat_id,
            Self::MessageEdited(event) => event.chat_id,
            Self::MessageDeleted(event) => event.chat_id,
            Self::Reaction(event) => event.chat_id,
            Self::ChatCreated(event) => event.chat_id,
            Self::ChatUpdated(event) => event.chat_id,
            Self::MemberJoined(event) => event.chat_id,
            Self::MemberLeft(event) => event.chat_id,
        }
    }

    /// Its number in the chat.
    pub fn seq(&self) -> Seq {
        match self {
            Self::Message(event) => event.seq,
            Self::MessageEdited(event) => event.seq,
            Self::MessageDeleted(event) => event.seq,
            Self::Reaction(event) => event.seq,
            Self::ChatCreated(event) => event.seq,
            Self::ChatUpdated(event) => event.seq,
            Self::MemberJoined(event) => event.seq,
            Self::MemberLeft(event) => event.seq,
        }
    }

    /// The message, if the event is one being posted.
    pub fn message(&self) -> Option<&Arc<Message>> {
        match self {
            Self::Message(message) => Some(message),
            _ => None,
        }
    }
}

/// In JSON a posted message is `{packet_type, chat_id, seq, message: {…}}`: a reader finds `chat_id` and `seq` at the
/// same place in every event.
mod posted {
    use std::sync::Arc;

    use serde::ser::SerializeStruct;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Message;

    pub(super) fn serialize<S: Serializer>(message: &Arc<Message>, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Message", 3)?;
        fields.serialize_field("chat_id", &message.chat_id)?;
        fields.serialize_field("seq", &message.seq)?;
        fields.serialize_field("message", message)?;
        fields.end()
    }

    #[derive(Deserialize)]
    struct Posted {
        message: Arc<Message>,
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Message>, D::Error> {
        Posted::deserialize(deserializer).map(|posted| posted.message)
    }
}
