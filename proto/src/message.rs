//! A message, as every door shows it.

use serde::{Deserialize, Serialize};

use crate::format::{Decode, Encode};
use crate::ids::{ChatId, ClientId, MessageId, Millis, Seq, UserId};
use crate::signature::Signature;

/// What a message's content is. The server does not look into it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, Encode, Decode)]
pub enum MessageType {
    /// Text for people. The default.
    #[default]
    Text,
    /// A reference to an image.
    Image,
    /// A reference to a file.
    File,
    /// Said by the product rather than by a person.
    System,
    /// For programs.
    Data,
}

/// One message in its current state: edits and deletion are already in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Message {
    /// Unique on the server; grows with time.
    pub id: MessageId,
    /// The chat it stands in.
    pub chat_id: ChatId,
    /// Its number among the chat's events.
    pub seq: Seq,
    /// Who wrote it.
    pub sender_id: UserId,
    /// 1 to `limits.content_bytes` bytes of UTF-8; empty once deleted.
    pub content: Box<str>,
    /// What the content is.
    pub message_type: MessageType,
    /// The sender's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    /// The message it answers, in the same chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// When the server took it.
    pub created_at: Millis,
    /// When it was last edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Millis>,
    /// Whether it was deleted; its place in the history stays.
    #[serde(default, skip_serializing_if = "is_false")]
    pub deleted: bool,
    /// The sender's signature, checked by the server. An edit and a deletion take it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Box<Signature>>,
}

pub(crate) fn is_false(flag: &bool) -> bool {
    !flag
}
