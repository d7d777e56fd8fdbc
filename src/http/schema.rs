//! How the API's description draws the protocol's own types: mirrors of them, never made, only described.
//!
//! `chappe-proto` knows nothing of HTTP. What keeps a mirror true is a test: it holds what is really serialized against
//! the description.
#![expect(dead_code, reason = "only described")]

use std::borrow::Cow;

use chappe_proto::ids::MAX_ID;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

macro_rules! number {
    ($( $(#[doc = $doc:literal])* $name:ident from $min:literal; )*) => {$(
        $(#[doc = $doc])*
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(SchemaType::new(Type::Integer))
                    .description(Some(concat!($($doc),*).trim()))
                    .minimum(Some($min))
                    .maximum(Some(MAX_ID))
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

number! {
    /// A chat's id.
    ChatId from 1;
    /// A user's id. In open mode clients choose it.
    UserId from 1;
    /// A message's id. Ids grow with time.
    MessageId from 1;
    /// The number of an event in its chat: 1, 2, 3 … 0 stands before the first.
    Seq from 0;
    /// A point in time: milliseconds since the Unix epoch, UTC.
    Millis from 0;
}

/// What a message's content is. The server does not look into it.
#[derive(ToSchema)]
pub(crate) enum MessageType {
    Text,
    Image,
    File,
    System,
    Data,
}

/// Who may read a chat: its members (`group`), its two members (`direct`), or everybody (`open`).
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum ChatKind {
    Group,
    Direct,
    Open,
}

/// What a member may do: an `owner` also renames and deletes the chat, and adds and removes members.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Role {
    Member,
    Owner,
}

/// A message in its current state: edits and deletion are already in it.
#[derive(ToSchema)]
pub(crate) struct Message {
    id: MessageId,
    chat_id: ChatId,
    seq: Seq,
    sender_id: UserId,
    /// Empty once deleted.
    #[schema(example = "Hello!")]
    content: String,
    message_type: MessageType,
    /// The sender's own name for it.
    #[schema(nullable = false, min_length = 1, max_length = 128)]
    client_id: Option<String>,
    /// The message it answers, in the same chat.
    #[schema(nullable = false)]
    reply_to: Option<MessageId>,
    created_at: Millis,
    /// When it was last edited.
    #[schema(nullable = false)]
    edited_at: Option<Millis>,
    /// There, and true, once it is deleted; its place in the history stays.
    #[schema(required = false)]
    deleted: bool,
    /// The sender's, checked by the server. An edit and a deletion take it away.
    #[schema(nullable = false)]
    signature: Option<Signature>,
}

/// An Ed25519 signature of the sender over chat, sender, `client_id` and content, as the protocol says. Both are base64url
/// without padding.
#[derive(ToSchema)]
pub(crate) struct Signature {
    /// The sender's public key: 32 bytes.
    #[schema(
        pattern = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$",
        example = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"
    )]
    key: String,
    /// The signature: 64 bytes.
    #[schema(pattern = "^[A-Za-z0-9_-]{85}[AQgw]$")]
    value: String,
}

/// A chat as one reader sees it.
#[derive(ToSchema)]
pub(crate) struct ChatSummary {
    chat_id: ChatId,
    #[schema(example = "general")]
    title: String,
    kind: ChatKind,
    /// Its owner, if somebody made it.
    #[schema(nullable = false)]
    created_by: Option<UserId>,
    created_at: Millis,
    /// How many members it has.
    members: u32,
    /// Its newest event's number.
    seq: Seq,
    /// How far the reader has read.
    read_seq: Seq,
    /// How many messages came after that.
    unread: u64,
    /// Its newest message, if there is one; also left out while it cannot be read from the disk.
    #[schema(nullable = false)]
    last_message: Option<Message>,
}

/// A page of chats, by id.
#[derive(ToSchema)]
pub(crate) struct Chats {
    chats: Vec<ChatSummary>,
    /// Whether more follow: ask again with `after`, the last one's id.
    has_more: bool,
}

/// A page of messages.
#[derive(ToSchema)]
pub(crate) struct Messages {
    chat_id: ChatId,
    /// Oldest first.
    messages: Vec<Message>,
    /// Whether more lie in the direction asked for.
    has_more: bool,
}

/// How a user is.
#[derive(ToSchema)]
pub(crate) struct Status {
    user_id: UserId,
    /// `online`, `away`, `busy`, `offline`, or free text.
    #[schema(example = "online", max_length = 64)]
    status_data: String,
    /// When the server last heard of them; absent if never.
    #[schema(nullable = false)]
    last_seen: Option<Millis>,
}

/// Users who are there.
#[derive(ToSchema)]
pub(crate) struct Presence {
    users: Vec<Status>,
}

/// A numbered event of a chat; `packet_type` names it.
#[derive(ToSchema)]
#[serde(tag = "packet_type")]
pub(crate) enum Event {
    /// A message was posted. Replayed later it shows the message as it has become.
    Message { chat_id: ChatId, seq: Seq, message: Message },
    /// A message's content was replaced.
    MessageEdited {
        chat_id: ChatId,
        seq: Seq,
        message_id: MessageId,
        /// The message's own number in the chat.
        message_seq: Seq,
        user_id: UserId,
        /// Empty if the message was deleted since.
        content: String,
        edited_at: Millis,
    },
    /// A message was deleted.
    MessageDeleted {
        chat_id: ChatId,
        seq: Seq,
        message_id: MessageId,
        /// The message's own number in the chat.
        message_seq: Seq,
        user_id: UserId,
        at: Millis,
    },
    /// A reaction was added or taken back.
    Reaction {
        chat_id: ChatId,
        seq: Seq,
        message_id: MessageId,
        /// The message's own number in the chat.
        message_seq: Seq,
        user_id: UserId,
        #[schema(max_length = 64)]
        emoji: String,
        /// There, and true, if it was taken back.
        #[schema(required = false)]
        removed: bool,
        at: Millis,
    },
    /// The chat began. Always its event 1.
    ChatCreated {
        chat_id: ChatId,
        seq: Seq,
        title: String,
        kind: ChatKind,
        #[schema(nullable = false)]
        created_by: Option<UserId>,
        members: Vec<UserId>,
        at: Millis,
    },
    /// The chat was renamed or deleted.
    ChatUpdated {
        chat_id: ChatId,
        seq: Seq,
        title: String,
        /// There, and true, if the chat is gone.
        #[schema(required = false)]
        deleted: bool,
        #[schema(nullable = false)]
        user_id: Option<UserId>,
        at: Millis,
    },
    /// Someone became a member.
    MemberJoined { chat_id: ChatId, seq: Seq, user_id: UserId, role: Role, at: Millis },
    /// Someone stopped being a member.
    MemberLeft { chat_id: ChatId, seq: Seq, user_id: UserId, at: Millis },
}
