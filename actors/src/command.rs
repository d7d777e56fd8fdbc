//! What the engine can be asked, whatever door it came through. `admit` and the HTTP handlers make these; the state
//! answers them.

use chappe_proto::event::ChatKind;
use chappe_proto::message::MessageType;
use chappe_proto::signature::{PublicKey, Signature};
use chappe_proto::{ChatId, ClientId, MessageId, Seq, UserId};

/// One thing asked of the engine. Bounds of text and lists are checked by whoever makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A connection says who it is. Answered by `Welcome`.
    Hello {
        /// Who.
        user: UserId,
        /// What people call them, if they are new here and their token says it.
        nickname: Option<Box<str>>,
        /// Whether the heads of their chats are asked for.
        heads: bool,
    },
    /// A connection is gone. Not answered.
    Bye,
    /// Posts a message. Answered by `Accepted`, or `Rejected` with `unknown_chat`, `not_a_member`, `unknown_message`
    /// (of `reply_to`), `conflict`, `busy` or `storage_unavailable`.
    Post(Box<Post>),
    /// Replaces a message's content. Its sender may.
    Edit {
        /// Who asks.
        user: UserId,
        /// Which message.
        message: MessageId,
        /// 1 to `limits.content_bytes` bytes.
        content: Box<str>,
    },
    /// Deletes a message. Its sender may, and an owner of the chat.
    Delete {
        /// Who asks.
        user: UserId,
        /// Which message.
        message: MessageId,
    },
    /// Adds a reaction, or takes it back. Whoever may write in the chat may.
    React {
        /// Who asks.
        user: UserId,
        /// Which message.
        message: MessageId,
        /// 1 to 64 bytes.
        emoji: Box<str>,
        /// Takes it back.
        remove: bool,
    },
    /// Moves a member's read mark forward.
    MarkRead {
        /// Who read.
        user: UserId,
        /// Where.
        chat: ChatId,
        /// Up to and with this number.
        seq: Seq,
    },
    /// A user's chats, or the open ones for nobody in particular.
    GetChats {
        /// Who asks.
        user: Option<UserId>,
        /// Chats with a greater id.
        after: Option<ChatId>,
        /// 1 to 500.
        limit: u32,
    },
    /// A page of messages.
    GetMessages {
        /// Who asks.
        user: Option<UserId>,
        /// Where.
        chat: ChatId,
        /// Which.
        page: Page,
        /// 1 to 500.
        limit: u32,
    },
    /// The events after a number.
    GetEvents {
        /// Who asks.
        user: Option<UserId>,
        /// Where.
        chat: ChatId,
        /// Exclusive.
        after: Seq,
        /// 1 to 500.
        limit: u32,
    },
    /// Hears these chats too.
    Subscribe {
        /// Who asks.
        user: Option<UserId>,
        /// At most 1,000.
        chats: Vec<ChatId>,
    },
    /// No longer hears these chats.
    Unsubscribe {
        /// Who asks.
        user: Option<UserId>,
        /// At most 1,000.
        chats: Vec<ChatId>,
    },
    /// Tells a chat that somebody types. Not answered unless refused.
    Typing {
        /// Who.
        user: UserId,
        /// Where.
        chat: ChatId,
        /// Whether they stopped.
        stop: bool,
    },
    /// Renews a user's presence. Not answered unless refused.
    Status {
        /// Who.
        user: UserId,
        /// At most 64 bytes.
        text: Box<str>,
    },
    /// How users are.
    GetPresence {
        /// Who asks.
        user: Option<UserId>,
        /// About whom.
        of: PresenceOf,
    },
    /// Makes a chat.
    CreateChat {
        /// Its owner.
        user: Option<UserId>,
        /// 1 to 256 bytes.
        title: Box<str>,
        /// Who may read it.
        kind: ChatKind,
        /// Its first members besides the owner.
        members: Vec<UserId>,
    },
    /// One chat.
    GetChat {
        /// Who asks.
        user: Option<UserId>,
        /// Which.
        chat: ChatId,
    },
    /// Renames a chat.
    RenameChat {
        /// Who asks.
        user: Option<UserId>,
        /// Which.
        chat: ChatId,
        /// 1 to 256 bytes.
        title: Box<str>,
    },
    /// Deletes a chat.
    DeleteChat {
        /// Who asks.
        user: Option<UserId>,
        /// Which.
        chat: ChatId,
    },
    /// A chat's members.
    GetMembers {
        /// Who asks.
        user: Option<UserId>,
        /// Where.
        chat: ChatId,
        /// Users with a greater id.
        after: Option<UserId>,
        /// 1 to 500.
        limit: u32,
    },
    /// Adds a member.
    AddMember {
        /// Who asks.
        user: Option<UserId>,
        /// Where.
        chat: ChatId,
        /// Whom.
        member: UserId,
    },
    /// Removes a member; anyone may remove themselves.
    RemoveMember {
        /// Who asks.
        user: Option<UserId>,
        /// Where.
        chat: ChatId,
        /// Whom.
        member: UserId,
    },
    /// Makes a user, whose id the server chooses.
    CreateUser {
        /// Who, if that is settled already; one who is there stays as they are.
        user: Option<UserId>,
        /// 1 to 64 bytes.
        nickname: Box<str>,
    },
    /// Says with which key a user's messages may be signed; `None` with none.
    SetKey {
        /// Whose: who asks.
        user: UserId,
        /// Which.
        key: Option<PublicKey>,
    },
    /// One user. Answered by `User`, or `Rejected` with `unknown_user`.
    GetUser {
        /// Which.
        user: UserId,
    },
    /// The users.
    GetUsers {
        /// With a greater id.
        after: Option<UserId>,
        /// 1 to 500.
        limit: u32,
    },
    /// Who is online.
    GetOnline {
        /// Who asks: then of those they share a chat with.
        user: Option<UserId>,
        /// 1 to 500.
        limit: u32,
    },
}

/// See [`Command::Post`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Where to.
    pub chat: ChatId,
    /// Who from.
    pub sender: UserId,
    /// 1 to `limits.content_bytes` bytes.
    pub content: Box<str>,
    /// What the content is.
    pub message_type: MessageType,
    /// The same twice is acknowledged twice and stored once.
    pub client_id: Option<ClientId>,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// The sender's signature, which fits. Whether its key is the sender's is for the state to say.
    pub signature: Option<Box<Signature>>,
}

/// Which messages a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// The newest, after so many newer ones.
    Newest {
        /// How many to pass over.
        skip: u64,
    },
    /// The newest before a number.
    Before(Seq),
    /// The oldest after a number.
    After(Seq),
}

/// About whom presence is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceOf {
    /// These users, at most 1,000.
    Users(Vec<UserId>),
    /// The members of a chat who are there.
    Chat(ChatId),
}

impl Command {
    /// Whether it leads to the log.
    pub fn is_write(&self) -> bool {
        match self {
            Self::Post(_)
            | Self::Edit { .. }
            | Self::Delete { .. }
            | Self::React { .. }
            | Self::MarkRead { .. }
            | Self::CreateChat { .. }
            | Self::RenameChat { .. }
            | Self::DeleteChat { .. }
            | Self::AddMember { .. }
            | Self::RemoveMember { .. }
            | Self::CreateUser { .. }
            | Self::SetKey { .. } => true,
            Self::Hello { .. }
            | Self::Bye
            | Self::GetChats { .. }
            | Self::GetMessages { .. }
            | Self::GetEvents { .. }
            | Self::Subscribe { .. }
            | Self::Unsubscribe { .. }
            | Self::Typing { .. }
            | Self::Status { .. }
            | Self::GetPresence { .. }
            | Self::GetChat { .. }
            | Self::GetMembers { .. }
            | Self::GetUser { .. }
            | Self::GetUsers { .. }
            | Self::GetOnline { .. } => false,
        }
    }

    /// Whether it is told around, and nobody waits for an answer.
    pub fn is_signal(&self) -> bool {
        matches!(self, Self::Typing { .. } | Self::Status { .. })
    }

    /// Whose rate it counts for. A goodbye costs nothing, and a connection's first Hello neither: one device that
    /// asks too much does not lock the others out. `again` says that this is not its first.
    pub fn charged(&self, again: bool) -> Option<UserId> {
        match self {
            Self::Hello { user, .. } => again.then_some(*user),
            Self::Post(post) => Some(post.sender),
            Self::Edit { user, .. }
            | Self::Delete { user, .. }
            | Self::React { user, .. }
            | Self::MarkRead { user, .. }
            | Self::SetKey { user, .. }
            | Self::Typing { user, .. }
            | Self::Status { user, .. } => Some(*user),
            Self::GetChats { user, .. }
            | Self::GetMessages { user, .. }
            | Self::GetEvents { user, .. }
            | Self::Subscribe { user, .. }
            | Self::Unsubscribe { user, .. }
            | Self::GetPresence { user, .. }
            | Self::CreateChat { user, .. }
            | Self::GetChat { user, .. }
            | Self::RenameChat { user, .. }
            | Self::DeleteChat { user, .. }
            | Self::GetMembers { user, .. }
            | Self::AddMember { user, .. }
            | Self::RemoveMember { user, .. } => *user,
            Self::Bye
            | Self::CreateUser { .. }
            | Self::GetUser { .. }
            | Self::GetUsers { .. }
            | Self::GetOnline { .. } => None,
        }
    }

    /// The `client_id` that the answer repeats.
    pub fn client_id(&self) -> Option<&ClientId> {
        match self {
            Self::Post(post) => post.client_id.as_ref(),
            _ => None,
        }
    }
}
