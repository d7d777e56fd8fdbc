//! What a trial writes down: what each client asked, was answered and heard, in the order in which it happened; and what the
//! server has in the end. Ids are plain numbers here, so that a history can be written by hand.

use std::collections::{BTreeMap, BTreeSet};

use chappe_proto::Code;
use chappe_proto::event::Event as Happened;

/// A whole trial of one data folder.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// What happened at the clients. An ack that stands before a request was there before it was sent.
    pub entries: Vec<Entry>,
    /// What the server has, once all rests.
    pub kept: Kept,
    /// Users who are let in and shown out: they may be refused.
    pub wandering: BTreeSet<u64>,
}

/// One thing that happened at a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose client.
    pub user: u64,
    /// On which of its connections. No two in a history have the same number.
    pub connection: u64,
    /// What.
    pub note: Note,
}

/// See [`Entry::note`]. An `attempt` is one sending of one request: what is sent again is another attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The connection hears these chats from behind these numbers.
    Opened {
        /// Chats and their newest numbers.
        heads: Vec<(u64, u64)>,
    },
    /// A change is sent.
    Asked {
        /// See [`Note`].
        attempt: u64,
        /// What is to change.
        change: Change,
    },
    /// It was acknowledged.
    Acked {
        /// Of which request.
        attempt: u64,
        /// What the ack says.
        ack: Ack,
    },
    /// A change or a read was refused.
    Refused {
        /// Of which request.
        attempt: u64,
        /// Why.
        code: Code,
    },
    /// The connection ended before the answer.
    InDoubt {
        /// Of which request.
        attempt: u64,
        /// By itself; else the client has left it.
        lost: bool,
    },
    /// A read is sent.
    AskedToRead {
        /// See [`Note`].
        attempt: u64,
    },
    /// Events that were asked for.
    Page {
        /// By which request.
        attempt: u64,
        /// Of which chat.
        chat: u64,
        /// Behind which number.
        after: u64,
        /// What came.
        events: Vec<Event>,
        /// The chat's newest number.
        head: u64,
    },
    /// The newest messages of a chat.
    Newest {
        /// By which request.
        attempt: u64,
        /// Of which chat.
        chat: u64,
        /// What came.
        messages: Vec<Message>,
    },
    /// The newest numbers of the user's chats.
    Heads {
        /// By which request.
        attempt: u64,
        /// Chats and their newest numbers.
        heads: Vec<(u64, u64)>,
    },
    /// An event came by itself.
    Heard(Event),
    /// The server said that it left events out.
    Gap {
        /// In which chat.
        chat: u64,
        /// From which number.
        from: u64,
        /// To which number.
        to: u64,
    },
    /// The client waited in vain for the end of a chat.
    Missed {
        /// Which chat.
        chat: u64,
        /// How far it came.
        last: u64,
        /// How far the chat goes.
        head: u64,
    },
    /// The server said something that is not the protocol.
    Nonsense(String),
}

/// A request that changes something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// A message under a name of the client's own.
    Post {
        /// Where to.
        chat: u64,
        /// Its name: `client_id`.
        name: String,
        /// What it says.
        content: String,
    },
    /// Another content.
    Edit {
        /// Of which message.
        message: u64,
        /// What it says from now on.
        content: String,
    },
    /// A deletion.
    Delete {
        /// Which message.
        message: u64,
    },
    /// A reaction.
    React {
        /// To which message.
        message: u64,
        /// Which.
        emoji: String,
        /// Taken back.
        removed: bool,
    },
    /// Somebody is let in.
    Join {
        /// Where.
        chat: u64,
        /// Who.
        member: u64,
    },
    /// Somebody is shown out.
    Leave {
        /// Where.
        chat: u64,
        /// Who.
        member: u64,
    },
    /// The asker has read so far.
    Mark {
        /// Where.
        chat: u64,
        /// How far.
        seq: u64,
    },
}

/// What an ack says. Over HTTP a removal says nothing but that it was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ack {
    /// The chat that changed.
    pub chat: Option<u64>,
    /// The number of the change.
    pub seq: Option<u64>,
    /// The message.
    pub message: Option<u64>,
    /// The request's `client_id`.
    pub name: Option<String>,
    /// It was so already.
    pub duplicate: bool,
}

/// A numbered event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where.
    pub chat: u64,
    /// Its number.
    pub seq: u64,
    /// What happened.
    pub fact: Fact,
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The chat began.
    Created {
        /// With these members.
        members: Vec<u64>,
    },
    /// A message. Read later it shows what has become of it.
    Posted {
        /// Its id.
        message: u64,
        /// Whose.
        sender: u64,
        /// Its `client_id`.
        name: Option<String>,
        /// What it says; nothing once deleted.
        content: String,
    },
    /// Another content.
    Edited {
        /// Of which message.
        message: u64,
        /// By whom.
        user: u64,
        /// What it says; nothing if read after the message was deleted.
        content: String,
    },
    /// A deletion.
    Deleted {
        /// Of which message.
        message: u64,
        /// By whom.
        user: u64,
    },
    /// A reaction.
    Reacted {
        /// To which message.
        message: u64,
        /// Whose.
        user: u64,
        /// Which.
        emoji: String,
        /// Taken back.
        removed: bool,
    },
    /// Somebody came.
    Joined {
        /// Who.
        user: u64,
    },
    /// Somebody went.
    Left {
        /// Who.
        user: u64,
    },
    /// Another title.
    Renamed,
}

impl Fact {
    /// Whether both tell the same, whatever has become of it between the two readings.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Posted { message, sender, name, .. },
                Self::Posted { message: other, sender: also, name: as_well, .. },
            ) => (message, sender, name) == (other, also, as_well),
            (
                Self::Edited { message, user, content },
                Self::Edited { message: other, user: also, content: as_well },
            ) => (message, user) == (other, also) && (content == as_well || content.is_empty() || as_well.is_empty()),
            _ => self == other,
        }
    }
}

impl From<&Happened> for Event {
    fn from(event: &Happened) -> Self {
        let fact = match event {
            Happened::ChatCreated(event) => {
                Fact::Created { members: event.members.iter().map(|user| user.get()).collect() }
            }
            Happened::Message(message) => Fact::Posted {
                message: message.id.get(),
                sender: message.sender_id.get(),
                name: message.client_id.as_ref().map(|name| name.as_str().to_owned()),
                content: message.content.to_string(),
            },
            Happened::MessageEdited(event) => Fact::Edited {
                message: event.message_id.get(),
                user: event.user_id.get(),
                content: event.content.to_string(),
            },
            Happened::MessageDeleted(event) => {
                Fact::Deleted { message: event.message_id.get(), user: event.user_id.get() }
            }
            Happened::Reaction(event) => Fact::Reacted {
                message: event.message_id.get(),
                user: event.user_id.get(),
                emoji: event.emoji.to_string(),
                removed: event.removed,
            },
            Happened::MemberJoined(event) => Fact::Joined { user: event.user_id.get() },
            Happened::MemberLeft(event) => Fact::Left { user: event.user_id.get() },
            Happened::ChatUpdated(_) => Fact::Renamed,
        };
        Self { chat: event.chat_id().get(), seq: event.seq().0, fact }
    }
}

/// A message as a history of messages shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: u64,
    /// Its number.
    pub seq: u64,
    /// Whose.
    pub sender: u64,
    /// Its `client_id`.
    pub name: Option<String>,
    /// What it says now.
    pub content: String,
    /// It is no more.
    pub deleted: bool,
}

impl From<&chappe_proto::message::Message> for Message {
    fn from(message: &chappe_proto::message::Message) -> Self {
        Self {
            id: message.id.get(),
            seq: message.seq.0,
            sender: message.sender_id.get(),
            name: message.client_id.as_ref().map(|name| name.as_str().to_owned()),
            content: message.content.to_string(),
            deleted: message.deleted,
        }
    }
}

/// What the server has in the end.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// By chat.
    pub chats: BTreeMap<u64, Chat>,
}

/// What it has of a chat.
#[derive(Debug, Clone, Default)]
pub struct Chat {
    /// The same chat, read in several ways. The first is what all else is held against.
    pub readings: Vec<Reading>,
    /// Who is in it, and how far they have read.
    pub members: BTreeMap<u64, u64>,
}

/// A chat as it was read in one way.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Which way, for people.
    pub by: &'static str,
    /// Its events.
    pub log: Vec<Event>,
    /// Its messages.
    pub messages: Vec<Message>,
}
