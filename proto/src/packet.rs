//! What the server sends: answers to one client, and what happens to everyone.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::code::{CloseCode, Code, Reject};
use crate::event::{ChatKind, Event};
use crate::format::{Decode, Encode};
use crate::ids::{ChatId, ClientId, MessageId, Millis, Seq, UserId};
use crate::limits::Limits;
use crate::message::{Message, is_false};

/// A packet from the server. In JSON `packet_type` names the variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(tag = "packet_type")]
pub enum Packet {
    /// Answers `Hello`.
    Welcome(Box<Welcome>),
    /// Answers every request that changes something.
    Ack(Ack),
    /// Answers `GetMessages`.
    Messages(Messages),
    /// Answers `GetEvents`.
    Events(Events),
    /// Answers `GetEvents` where the log no longer reaches back.
    Reset(Reset),
    /// Tells that events of a chat were not delivered: pull them.
    Gap(Gap),
    /// Answers `GetChats`.
    Chats(Chats),
    /// Answers `GetPresence`.
    Presence(Presence),
    /// Answers `Ping`.
    Pong(Pong),
    /// Refuses a request that is not answered by an `Ack`, or could not be read.
    Error(ErrorPacket),
    /// The connection is about to end.
    Closing(Closing),
    /// A member read up to a number.
    Read(Read),
    /// Somebody types.
    Typing(TypingNow),
    /// Somebody's presence changed.
    Status(StatusNow),
    /// The token is about to run out.
    Expiring(Expiring),
    /// A numbered event of a chat; in JSON it stands for itself.
    #[serde(untagged)]
    Event(Arc<Event>),
}

impl Packet {
    /// How many kinds there are: the binary tags are below this.
    pub(crate) const KINDS: u32 = 16;
}

/// See [`Packet::Welcome`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Welcome {
    /// The protocol version the server speaks.
    pub version: u32,
    /// Names the connection in the server's logs.
    pub connection_id: u64,
    /// Who the server takes the client for.
    pub user_id: UserId,
    /// Changes when the log itself was replaced; then start afresh.
    pub epoch: u64,
    /// The server's clock.
    pub server_time: Millis,
    /// How often the server lets itself be heard.
    pub heartbeat_ms: u32,
    /// What this connection may ask.
    pub limits: Limits,
    /// When the token runs out; by then say `Hello` again with a fresh one. Absent where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    /// The newest number of each of the user's chats, by id; at most [`MAX_HEADS`](crate::limits::MAX_HEADS). There if
    /// `Hello` asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<Vec<Head>>,
    /// The user has more chats than `heads` lists: `GetChats` after the last of them tells of the others.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more_heads: bool,
    /// What datagrams of this connection are sealed with, where the server asks for tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<Udp>,
    /// Frames above 512 bytes may come compressed from now on, and may be sent so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub zstd: bool,
}

/// See [`Welcome::heads`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Head {
    /// The chat.
    pub chat_id: ChatId,
    /// Its newest event's number.
    pub seq: Seq,
}

/// See [`Welcome::udp`]. Both are base64url without padding.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Udp {
    /// Stands in front of every sealed datagram; 24 bytes.
    pub session: Box<str>,
    /// For AES-256-GCM; 32 bytes. A secret.
    pub key: Box<str>,
}

/// Without the key: what is printed ends up in logs.
impl fmt::Debug for Udp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Udp").field("session", &self.session).field("key", &"…").finish()
    }
}

/// See [`Packet::Expiring`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Expiring {
    /// When the connection ends, unless a `Hello` with a fresh token comes before.
    pub expires_at: Millis,
}

/// See [`Packet::Ack`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Ack {
    /// The message; 0 where there is none.
    pub message_id: u64,
    /// True only once the change is on disk.
    pub success: bool,
    /// A sentence for people; `null` on success.
    pub error: Option<Box<str>>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The request's own `client_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    /// The chat that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<ChatId>,
    /// The number of the event in the chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
    /// The message was there already; the rest is the first ack again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub duplicate: bool,
    /// When to try again, if that can help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
}

impl Ack {
    /// The ack of a request that was refused.
    pub fn refused(reject: Reject, client_id: Option<ClientId>) -> Self {
        Self {
            error: Some(reject.message.into()),
            code: Some(reject.code),
            retry_after_ms: reject.retry_after_ms,
            client_id,
            ..Self::default()
        }
    }

    /// The ack of an event that is on disk.
    pub fn accepted(chat_id: ChatId, seq: Seq, message_id: Option<MessageId>, client_id: Option<ClientId>) -> Self {
        Self {
            message_id: message_id.map_or(0, MessageId::get),
            success: true,
            client_id,
            chat_id: Some(chat_id),
            seq: Some(seq),
            ..Self::default()
        }
    }
}

/// See [`Packet::Messages`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Messages {
    /// The chat.
    pub chat_id: ChatId,
    /// Oldest first.
    pub messages: Vec<Arc<Message>>,
    /// Whether more lie in the direction asked for.
    pub has_more: bool,
}

/// See [`Packet::Events`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Events {
    /// The chat.
    pub chat_id: ChatId,
    /// In order, without gaps, from `after + 1`.
    pub events: Vec<Event>,
    /// The chat's newest number. Until it is reached there is more to ask for.
    pub head: Seq,
}

/// See [`Packet::Reset`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Reset {
    /// The chat.
    pub chat_id: ChatId,
    /// The chat's newest number: go on from here.
    pub head: Seq,
    /// A sentence for people.
    pub reason: Box<str>,
}

/// See [`Packet::Gap`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Gap {
    /// The chat.
    pub chat_id: ChatId,
    /// The first event that was not delivered.
    pub from: Seq,
    /// The last event that was not delivered.
    pub to: Seq,
}

/// See [`Packet::Chats`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Chats {
    /// By id, ascending.
    pub chats: Vec<ChatSummary>,
    /// Whether more follow.
    pub has_more: bool,
}

/// A chat as one reader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct ChatSummary {
    /// The chat.
    pub chat_id: ChatId,
    /// What people call it.
    pub title: Box<str>,
    /// Who may read it.
    pub kind: ChatKind,
    /// Its owner, if somebody made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserId>,
    /// When it began.
    pub created_at: Millis,
    /// How many members it has.
    pub members: u32,
    /// Its newest event's number.
    pub seq: Seq,
    /// How far the reader has read.
    pub read_seq: Seq,
    /// How many messages came after that.
    pub unread: u64,
    /// Its newest message, if there is one; also left out while it cannot be read from the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Arc<Message>>,
}

/// See [`Packet::Presence`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Presence {
    /// One entry a user, by id.
    pub users: Vec<StatusNow>,
}

/// See [`Packet::Pong`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Pong {
    /// The ping's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u64>,
    /// The server's clock. On UDP only where the answer stays no larger than the ping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_time: Option<Millis>,
}

/// See [`Packet::Error`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct ErrorPacket {
    /// Stable, for programs.
    pub code: Code,
    /// A sentence, for people.
    pub error: Box<str>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// When to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
}

impl From<Reject> for ErrorPacket {
    fn from(reject: Reject) -> Self {
        Self {
            retryable: reject.code.retryable(),
            code: reject.code,
            retry_after_ms: reject.retry_after_ms,
            error: reject.message.into(),
        }
    }
}

/// See [`Packet::Closing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Closing {
    /// Why; its range says what to do next.
    pub code: CloseCode,
    /// A sentence, for people.
    pub reason: Box<str>,
    /// When to connect again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconnect_after_ms: Option<u32>,
}

/// See [`Packet::Read`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Read {
    /// The chat.
    pub chat_id: ChatId,
    /// Who read.
    pub user_id: UserId,
    /// Up to and with which number.
    pub seq: Seq,
}

/// See [`Packet::Typing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct TypingNow {
    /// The chat.
    pub chat_id: ChatId,
    /// Who types.
    pub user_id: UserId,
    /// `start` or `stop`.
    pub status_data: Box<str>,
}

/// See [`Packet::Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct StatusNow {
    /// Who.
    pub user_id: UserId,
    /// How: `online`, `away`, `busy`, `offline`, or free text.
    pub status_data: Box<str>,
    /// When the server last heard of them; absent if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Millis>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format;

    #[test]
    fn tags_below_the_number_of_kinds_are_known_and_no_others() {
        let is_known = |tag: u32| match format::decode::<Packet>(&tag.to_le_bytes()) {
            Ok(_) => true,
            Err(error) => !error.is_bad_value(),
        };
        assert!((0..Packet::KINDS).all(is_known));
        assert!(!is_known(Packet::KINDS));
    }

    #[test]
    fn what_datagrams_are_sealed_with_is_not_shown() {
        let shown = format!("{:?}", Udp { session: "AAAA".into(), key: "hunter2".into() });
        assert_eq!(shown, "Udp { session: \"AAAA\", key: \"…\" }");
    }
}
