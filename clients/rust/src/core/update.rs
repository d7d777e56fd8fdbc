//! What a program hears, and what it has to remember to go on in another life.

use std::collections::BTreeMap;
use std::sync::Arc;

use chappe_proto::event::Event;
use chappe_proto::packet::{Read, StatusNow, TypingNow, Welcome};
use chappe_proto::{ChatId, Code, Seq};

use crate::disconnect::Disconnect;

/// Where a chat begins that the client has no position in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    #[default]
    Newest,
    /// With its first event.
    Beginning,
    /// Behind this number.
    After(Seq),
}

impl Start {
    /// The last event that is not of interest; `None` is the newest, whichever that is.
    pub(super) fn place(self) -> Option<Seq> {
        match self {
            Self::Newest => None,
            Self::Beginning => Some(Seq::ZERO),
            Self::After(seq) => Some(seq),
        }
    }
}

/// What a program hears.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update {
    /// A connection stands, and the server knows who we are.
    Connected(Box<Welcome>),
    /// After [`Update::Connected`]: all that was missed has come.
    CaughtUp,
    /// There is no connection. The client goes on by itself, unless there is no next attempt.
    Disconnected {
        /// Why.
        reason: Disconnect,
        /// When the next attempt comes.
        retry_in: Option<std::time::Duration>,
    },
    /// The token was renewed on the connection that stands. What the server gives out for a token is new: `expires_at`, and the
    /// session and key of datagrams.
    Renewed(Box<Welcome>),
    /// The token runs out, and no fresh one could be had or was taken. The connection goes on with the one that it has, until
    /// that has run out; the client tries again before.
    NotRenewed {
        /// Why.
        reason: Disconnect,
    },
    /// The server's log is another one: forget what was read and begin anew. Its chats follow from their beginning. What was not
    /// answered yet is given back, and not sent there.
    Afresh {
        /// The log's name.
        epoch: u64,
    },
    /// Chats that the client had no position in, and behind which number each of them is read. Chats that are read from their
    /// first event are not told.
    Begun {
        /// The chats.
        chats: Vec<(ChatId, Seq)>,
    },
    /// The next event of a chat: each once, in the order of its numbers.
    Event(Arc<Event>),
    /// These events are not kept any more; the chat goes on behind them, with the oldest message that is.
    Skipped {
        /// The chat.
        chat_id: ChatId,
        /// The last event that came.
        after: Seq,
        /// The last event that is passed over; less than `after` where the chat has not come so far.
        to: Seq,
    },
    /// A chat can no longer be read: left, removed, or deleted.
    Gone {
        /// The chat.
        chat_id: ChatId,
        /// Why.
        code: Code,
        /// A sentence for people.
        reason: Box<str>,
    },
    /// The server asked for patience; what it refused is sent again.
    Delayed {
        /// Why.
        code: Code,
        /// A sentence for people.
        reason: Box<str>,
        /// In milliseconds.
        retry_after_ms: u32,
    },
    /// A member read up to a number. Not repeated after a reconnect, as everything below.
    Read(Read),
    /// Somebody types.
    Typing(TypingNow),
    /// Somebody's presence.
    Status(StatusNow),
}

/// How far a program has read: what it keeps to go on later, as a file or a row beside what it made of the events.
///
/// ```
/// use chappe_client::Positions;
///
/// let mut positions = Positions::default();
/// # let updates: Vec<chappe_client::Update> = Vec::new();
/// for update in updates {
///     // … do with the update what is to be done, then:
///     positions.take(&update);
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions {
    /// The log that the numbers are of.
    pub epoch: Option<u64>,
    /// The last event of each chat that was dealt with, or the one that it is read behind. A chat that is not here is read from
    /// its beginning.
    pub chats: BTreeMap<ChatId, Seq>,
}

impl Positions {
    /// Takes note of an update that was dealt with.
    pub fn take(&mut self, update: &Update) {
        match update {
            Update::Connected(welcome) => {
                self.epoch = Some(welcome.epoch);
            }
            Update::Afresh { epoch } => {
                self.epoch = Some(*epoch);
                self.chats.clear();
            }
            Update::Begun { chats } => {
                for (chat_id, seq) in chats {
                    self.chats.entry(*chat_id).or_insert(*seq);
                }
            }
            Update::Event(event) => {
                self.chats.insert(event.chat_id(), event.seq());
            }
            Update::Skipped { chat_id, to, .. } => {
                self.chats.insert(*chat_id, *to);
            }
            _ => {}
        }
    }
}
