//! What the engine answers. The hub turns a reply into a packet for a connection; HTTP turns it into JSON.

use std::sync::Arc;

use chappe_proto::event::Role;
use chappe_proto::message::Message;
use chappe_proto::packet::{self, Ack, ChatSummary, Packet};
use chappe_proto::page;
use chappe_proto::signature::PublicKey;
use chappe_proto::{ChatId, ClientId, MessageId, Millis, Reject, Seq, UserId};

use crate::log::record::{Fact, Record};

/// An answer to one [`Command`](crate::command::Command).
#[derive(Debug, Clone)]
pub enum Reply {
    /// A change is on disk.
    Accepted(Box<Accepted>),
    /// Something was done that the log does not know of.
    Done,
    /// Done, and the client is not told.
    Quiet,
    /// Refused.
    Rejected {
        /// Why.
        reject: Reject,
        /// The request's own.
        client_id: Option<ClientId>,
    },
    /// A Hello refused because the user has too many connections: this one ends.
    TurnedAway(Reject),
    /// The connection is known now.
    Welcome(Box<packet::Welcome>),
    /// A page of messages.
    Messages(page::Messages),
    /// Events after a number.
    Events(page::Events),
    /// The number asked for is beyond the chat's newest.
    Reset(packet::Reset),
    /// Chats.
    Chats(packet::Chats),
    /// One chat.
    Chat(Box<ChatSummary>),
    /// A chat's members.
    Members(Members),
    /// Presence.
    Presence(packet::Presence),
    /// A user.
    User(User),
    /// Users.
    Users(Users),
}

/// A change that is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The chat.
    pub chat: ChatId,
    /// The event's number in it; a read mark's own.
    pub seq: Seq,
    /// The message it is about.
    pub message_id: Option<MessageId>,
    /// The request's own.
    pub client_id: Option<ClientId>,
    /// It was there already.
    pub duplicate: bool,
    /// The message, where one was posted.
    pub message: Option<Arc<Message>>,
}

impl Accepted {
    /// The ack of a message that was posted with this record; `None` if none was.
    pub fn of_post(record: &Record) -> Option<Self> {
        let (chat, seq) = record.entry.numbered?;
        let (Fact::MessagePosted { client_id, .. } | Fact::SignedMessagePosted { client_id, .. }) = &record.entry.fact
        else {
            return None;
        };
        let (message_id, client_id) = (record.position.message(), client_id.clone());
        Some(Self { chat, seq, message_id, client_id, duplicate: false, message: None })
    }
}

/// A page of a chat's members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// The chat.
    pub chat: ChatId,
    /// By id.
    pub members: Vec<Member>,
    /// Whether more follow.
    pub has_more: bool,
}

/// A member of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// As what.
    pub role: Role,
    /// Read up to and with this number.
    pub read: Seq,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// What people call them.
    pub nickname: Box<str>,
    /// Since when.
    pub created_at: Millis,
    /// The key that their messages may be signed with.
    pub public_key: Option<PublicKey>,
}

/// A page of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    /// By id.
    pub users: Vec<User>,
    /// Whether more follow.
    pub has_more: bool,
}

impl From<Reject> for Reply {
    fn from(reject: Reject) -> Self {
        Self::Rejected { reject, client_id: None }
    }
}

impl Reply {
    /// Whether it says no more than how a request went.
    pub fn is_outcome(&self) -> bool {
        matches!(self, Self::Accepted(_) | Self::Done | Self::Quiet | Self::Rejected { .. } | Self::TurnedAway(_))
    }

    /// Whether it may be as large as a page, and can be asked for again.
    pub fn is_large(&self) -> bool {
        matches!(self, Self::Messages(_) | Self::Events(_) | Self::Chats(_) | Self::Presence(_))
    }

    /// As a packet for a connection. `acked` says that the request is answered by an `Ack`.
    ///
    /// `None` for pages, and for replies that connections do not see.
    pub fn into_packet(self, acked: bool) -> Option<Packet> {
        Some(match self {
            Self::Accepted(accepted) => {
                let Accepted { chat, seq, message_id, client_id, duplicate, message: _ } = *accepted;
                Packet::Ack(Ack { duplicate, ..Ack::accepted(chat, seq, message_id, client_id) })
            }
            Self::Done => Packet::Ack(Ack { success: true, ..Ack::default() }),
            Self::Rejected { reject, client_id } if acked => Packet::Ack(Ack::refused(reject, client_id)),
            Self::Rejected { reject, .. } | Self::TurnedAway(reject) => Packet::Error(reject.into()),
            Self::Welcome(welcome) => Packet::Welcome(welcome),
            Self::Reset(reset) => Packet::Reset(reset),
            Self::Chats(chats) => Packet::Chats(chats),
            Self::Presence(presence) => Packet::Presence(presence),
            // Pages leave as they are, see `Body`; the others connections do not see.
            Self::Messages(_)
            | Self::Events(_)
            | Self::Quiet
            | Self::Chat(_)
            | Self::Members(_)
            | Self::User(_)
            | Self::Users(_) => return None,
        })
    }
}
