//! What a client may send.
//!
//! In JSON the variant's name stands in `packet_type`, beside the fields. `request_id` may stand there too; it belongs
//! to the frame, not to the request, and comes back with the answer.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::format::{Decode, Encode};
use crate::ids::{ChatId, ClientId, MessageId, Seq, UserId};
use crate::message::{MessageType, is_false};
use crate::signature::Signature;

/// The protocol version this crate speaks.
pub const VERSION: u32 = 1;

/// A packet from a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(tag = "packet_type")]
pub enum Request {
    /// Says who the client is; events flow after the `Welcome`.
    Hello(Hello),
    /// Posts a message.
    SendMessage(SendMessage),
    /// Replaces a message's content.
    EditMessage(EditMessage),
    /// Deletes a message.
    DeleteMessage(DeleteMessage),
    /// Adds a reaction, or takes it back.
    React(React),
    /// Moves the reader's mark forward.
    MarkRead(MarkRead),
    /// Asks for the reader's chats.
    GetChats(GetChats),
    /// Asks for a page of messages.
    GetMessages(GetMessages),
    /// Asks for the events after a `seq`.
    GetEvents(GetEvents),
    /// Hears these chats.
    Subscribe(Subscribe),
    /// No longer hears these chats.
    Unsubscribe(Unsubscribe),
    /// Tells a chat that somebody types.
    Typing(Typing),
    /// Tells who shares a chat how the user is.
    Status(Status),
    /// Asks how users are.
    GetPresence(GetPresence),
    /// Asks for a `Pong`.
    Ping(Ping),
}

/// See [`Request::Hello`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Hello {
    /// The protocol version the client speaks; [`VERSION`] if absent.
    #[serde(default = "current_version", deserialize_with = "or_current")]
    pub version: u32,
    /// A token, where the server asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Who the client is, in open mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The program's name and version, for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Asks for the heads of all the user's chats in the `Welcome`.
    #[serde(default, deserialize_with = "or_false", skip_serializing_if = "is_false")]
    pub heads: bool,
    /// The client reads frames that are compressed with zstd. Heeded on TCP with binary frames only.
    #[serde(default, deserialize_with = "or_false", skip_serializing_if = "is_false")]
    pub zstd: bool,
}

/// Without the token: what is printed ends up in logs.
impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, token, user_id, agent, heads, zstd } = self;
        f.debug_struct("Hello")
            .field("version", version)
            .field("token", &token.as_ref().map(|_| "…"))
            .field("user_id", user_id)
            .field("agent", agent)
            .field("heads", heads)
            .field("zstd", zstd)
            .finish()
    }
}

impl Default for Hello {
    fn default() -> Self {
        Self { version: VERSION, token: None, user_id: None, agent: None, heads: false, zstd: false }
    }
}

fn current_version() -> u32 {
    VERSION
}

/// `null` counts as absent.
fn or_current<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Option::deserialize(deserializer).map(|version| version.unwrap_or(VERSION))
}

/// `null` counts as absent.
fn or_false<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// See [`Request::SendMessage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct SendMessage {
    /// The message.
    #[serde(deserialize_with = "from_object")]
    pub message: NewMessage,
}

/// Reads a struct from a JSON object only: serde's own readers also take an array of the fields, which no client means.
fn from_object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Object(PhantomData))
}

/// A message that is not posted yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct NewMessage {
    /// Where to.
    pub chat_id: ChatId,
    /// Who from; must agree with `Hello`. Without a `Hello` it is needed, in open mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<UserId>,
    /// 1 to `limits.content_bytes` bytes of UTF-8.
    pub content: Box<str>,
    /// `Text` unless given.
    #[serde(default, deserialize_with = "or_default")]
    pub message_type: MessageType,
    /// Makes a retry safe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    /// The message it answers, in the same chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// The sender's signature over chat, sender, `client_id` and content; `client_id` is needed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Box<Signature>>,
}

/// `null` counts as absent.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// See [`Request::EditMessage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct EditMessage {
    /// The message.
    pub message_id: MessageId,
    /// 1 to `limits.content_bytes` bytes of UTF-8.
    pub content: Box<str>,
}

/// See [`Request::DeleteMessage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct DeleteMessage {
    /// The message.
    pub message_id: MessageId,
}

/// See [`Request::React`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct React {
    /// The message.
    pub message_id: MessageId,
    /// 1 to 64 bytes of UTF-8.
    pub emoji: Box<str>,
    /// Takes the reaction back.
    #[serde(default, deserialize_with = "or_default")]
    pub remove: bool,
}

/// See [`Request::MarkRead`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct MarkRead {
    /// The chat.
    pub chat_id: ChatId,
    /// All up to and with this number is read. A mark never moves back.
    pub seq: Seq,
}

/// See [`Request::GetChats`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct GetChats {
    /// Chats with a greater id than this; from the first if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ChatId>,
    /// At most so many, at least 1, and more than 500 counts as 500; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// See [`Request::GetMessages`]. Either `page` and `per_page`, or `before` or `after` with `limit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct GetMessages {
    /// The chat.
    pub chat_id: ChatId,
    /// 1 is the newest page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Messages a page, at least 1, and more than 500 counts as 500; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_page: Option<u32>,
    /// The newest messages before this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Seq>,
    /// The oldest messages after this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Seq>,
    /// At most so many, at least 1, and more than 500 counts as 500; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// See [`Request::GetEvents`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct GetEvents {
    /// The chat.
    pub chat_id: ChatId,
    /// Exclusive; 0 asks from the beginning.
    pub after: Seq,
    /// At most so many, at least 1, and more than 500 counts as 500; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// See [`Request::Subscribe`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Subscribe {
    /// At most 1,000.
    pub chat_ids: Vec<ChatId>,
}

/// See [`Request::Unsubscribe`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Unsubscribe {
    /// At most 1,000.
    pub chat_ids: Vec<ChatId>,
}

/// See [`Request::Typing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Typing {
    /// The chat.
    pub chat_id: ChatId,
    /// Who types; must agree with `Hello`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// `start` (if absent) or `stop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_data: Option<Box<str>>,
}

/// See [`Request::Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Status {
    /// Who; must agree with `Hello`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// `online`, `away`, `busy`, `invisible`, `offline`, or free text of at most 64 bytes.
    pub status_data: Box<str>,
}

/// See [`Request::GetPresence`]. One of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct GetPresence {
    /// These users, at most 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_ids: Option<Vec<UserId>>,
    /// The members of this chat who are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<ChatId>,
}

/// See [`Request::Ping`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Ping {
    /// Comes back in the `Pong`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_does_not_show_its_token() {
        let hello = Request::Hello(Hello { token: Some("eyJhbGciOi".to_owned()), ..Hello::default() });
        let shown = format!("{hello:?}");
        assert!(shown.contains("token: Some") && !shown.contains("eyJ"), "{shown}");
    }
}
