//! The end of the log that is not in the query tables yet: where the events of each chat stand in it. Followed from read
//! to read, so that a record is looked at once, however long the end is.

use std::collections::VecDeque;

use chappe_proto::{ChatId, Seq};

use crate::log::LogError;
use crate::log::record::{self, Kind, Position};
use crate::log::sqlite::SqliteLog;
use crate::map::Map;
use crate::retention::Limits;

/// A longer end is not followed: it takes 16 bytes an event, for each reader, and while it is read for the first time
/// others wait. The tables are so far behind only while they are built anew.
const MAX_RECORDS: u64 = 2_000_000;

/// Where events stand that are behind the tables.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// All records up to here have been looked at.
    to: Position,
    /// The chats of the events, in the log's order.
    order: VecDeque<(Position, ChatId)>,
    chats: Map<ChatId, ChatTail>,
    /// What the end says is not kept any more, and where it does so last.
    limits: Limits,
    limited: Position,
}

/// The events of one chat that are behind the tables: consecutive ones, up to the last there is.
#[derive(Debug)]
pub(super) struct ChatTail {
    /// The number of the first.
    first: Seq,
    events: VecDeque<(Position, Kind)>,
}

impl Tail {
    /// Follows the log from where the tables stand to its end.
    ///
    /// # Errors
    /// [`LogError::Behind`], or [`LogError`] if the log cannot be read.
    pub(super) fn follow(&mut self, log: &mut SqliteLog, tables: Position) -> Result<(), LogError> {
        if tables > self.to {
            *self = Self { to: tables, ..Self::default() };
        }
        while let Some(&(position, chat)) = self.order.front()
            && position <= tables
        {
            self.order.pop_front();
            if let Some(tail) = self.chats.get_mut(&chat) {
                tail.events.pop_front();
                tail.first = tail.first.next();
                if tail.events.is_empty() {
                    self.chats.remove(&chat);
                }
            }
        }
        if tables >= self.limited && !self.limits.is_empty() {
            // The tables hold nothing of it any more.
            self.limits = Limits::default();
        }
        let behind = log.last()?.0.saturating_sub(tables.0);
        if behind > MAX_RECORDS {
            return Err(LogError::Behind(behind));
        }
        let Self { to, order, chats, limits, limited } = self;
        log.visit(*to, |position, body| {
            let (head, fact) = record::open(position, body)?;
            if let Some((chat, seq)) = head.numbered {
                let tail = chats.entry(chat).or_insert_with(|| ChatTail { first: seq, events: VecDeque::new() });
                tail.events.push_back((position, Kind::of(fact)));
                order.push_back((position, chat));
            }
            if Kind::of(fact) == Kind::Limit {
                limits.note(&record::decode(position, body)?);
                *limited = position;
            }
            *to = position;
            Ok(true)
        })
    }

    /// What the end says is not kept any more.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The events of a chat that are not in the tables.
    pub(super) fn of(&self, chat: ChatId) -> Option<&ChatTail> {
        self.chats.get(&chat)
    }
}

impl ChatTail {
    /// The number of the first.
    pub(super) fn first(&self) -> Seq {
        self.first
    }

    /// The events' numbers, positions and kinds.
    pub(super) fn events(&self) -> impl DoubleEndedIterator<Item = (Seq, Position, Kind)> {
        let place = |(nth, (position, kind)): (usize, &(Position, Kind))| {
            (Seq(self.first.0.saturating_add(nth as u64)), *position, *kind)
        };
        self.events.iter().enumerate().map(place)
    }
}
