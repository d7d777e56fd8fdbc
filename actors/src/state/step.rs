//! What is to happen after the state has decided: plain data, carried out by the cache actor.

use std::sync::Arc;

use chappe_proto::event::Event;
use chappe_proto::message::Message;
use chappe_proto::packet::{ChatSummary, Chats, Packet, StatusNow};
use chappe_proto::{ChatId, MessageId, Seq, UserId};

use super::holds::Key;
use crate::command::Page;
use crate::log::record::Draft;
use crate::origin::{Origin, SessionId};
use crate::reply::Reply;

/// The consequences of one or more commands, in order.
#[derive(Debug, Default)]
pub struct Step {
    /// To be kept: all of it in one commit, or nothing.
    pub append: Vec<Draft>,
    /// Whom the writer tells once it is kept, one for each of `append`. Of all others the state tells.
    pub tell: Vec<Option<Origin>>,
    /// To be sent.
    pub deliver: Vec<Delivery>,
    /// To be looked up.
    pub ask: Vec<Ask>,
}

/// Something to be sent.
#[derive(Debug)]
pub enum Delivery {
    /// An answer to one request.
    Reply {
        /// Whose.
        to: Origin,
        /// What.
        reply: Reply,
    },
    /// A numbered event, to all who hear its chat.
    Event(Arc<Event>),
    /// Something that is not kept, to all who hear any of the chats, once each.
    Ephemeral {
        /// Which chats.
        chats: Vec<ChatId>,
        /// What.
        packet: Packet,
        /// Not to this user's connections.
        except: Vec<SessionId>,
    },
    /// Users whose presence changed, by user; to all who hear any of a user's chats, in one packet for each of them.
    Presence(Vec<Changed>),
    /// A connection hears these chats from here on.
    Listen {
        /// Which connection.
        session: SessionId,
        /// Which chats.
        chats: Vec<ChatId>,
    },
    /// A connection hears these chats no longer.
    Unlisten {
        /// Which connection.
        session: SessionId,
        /// Which chats.
        chats: Vec<ChatId>,
    },
}

/// A user whose presence changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// How they are now.
    pub status: StatusNow,
    /// Those of their chats in which it is told and which somebody hears; there is one at least.
    pub chats: Vec<ChatId>,
}

/// Something to be looked up in what is not in memory.
#[derive(Debug, Clone)]
pub enum Ask {
    /// For the state itself, which goes on with `key` when it is answered.
    Question {
        /// What.
        question: Question,
        /// Who waits.
        key: Key,
    },
    /// A chat's newest events, to be held in memory again.
    Warm(ChatId),
    /// A page of messages, answered to its origin.
    Messages {
        /// Whom.
        to: Origin,
        /// Where.
        chat: ChatId,
        /// Which.
        page: Page,
        /// At most so many.
        limit: u32,
        /// The chat's newest number: the log may have come further, and who asks next would be told of less again.
        head: Seq,
    },
    /// Events, answered to their origin.
    Events {
        /// Whom.
        to: Origin,
        /// Where.
        chat: ChatId,
        /// Exclusive.
        after: Seq,
        /// At most so many.
        limit: u32,
        /// The chat's newest number, as above.
        head: Seq,
    },
    /// The newest messages of chats that lack theirs, answered to their origin.
    Chats {
        /// Whom.
        to: Origin,
        /// What is known.
        chats: Chats,
    },
    /// The same for one chat.
    Chat {
        /// Whom.
        to: Origin,
        /// What is known.
        chat: Box<ChatSummary>,
    },
}

/// A question whose answer never changes, or is told to the state when it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// Where a message stands.
    Locate(MessageId),
    /// How many messages of a chat have this number or a lower one.
    Count(ChatId, Seq),
    /// A message as it was posted.
    Original(MessageId),
}

/// The answer to a [`Question`].
#[derive(Debug, Clone)]
pub enum Answer {
    /// To `Locate`: `None` if there is no such message.
    Located(Option<Spot>),
    /// To `Count`.
    Counted(u64),
    /// To `Original`: `None` if there is no such message.
    Original(Option<Arc<Message>>),
    /// It could not be looked up.
    Failed,
}

/// Where a message stands, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// The message.
    pub id: MessageId,
    /// Its chat.
    pub chat: ChatId,
    /// Its number in it.
    pub seq: Seq,
    /// Its sender.
    pub sender: UserId,
    /// Whether it was deleted.
    pub deleted: bool,
}

impl Step {
    /// Whether nothing is to happen.
    pub fn is_empty(&self) -> bool {
        self.append.is_empty() && self.deliver.is_empty() && self.ask.is_empty()
    }

    pub(super) fn reply(&mut self, to: Origin, reply: impl Into<Reply>) {
        self.deliver.push(Delivery::Reply { to, reply: reply.into() });
    }
}
