//! What a log means, found out the slow and plain way: for tests to compare with.

use std::collections::BTreeMap;
use std::sync::Arc;

use chappe_proto::event::Event;
use chappe_proto::message::Message;
use chappe_proto::{ChatId, MessageId, Seq, UserId};

use super::record::{Entry, Fact, Record};
use super::rules::{Posted, Rules};
use crate::command::Page;
use crate::state::step::Spot;

/// Up to which number a chat's events are not kept.
pub(crate) fn floor(records: &[Record], chat: ChatId) -> Seq {
    let floors = records.iter().filter_map(|record| match record.entry.fact {
        Fact::Trimmed { chat: of, up_to, .. } if of == chat => Some(up_to),
        _ => None,
    });
    floors.max().unwrap_or_default()
}

/// The rules hold in all of it, as far as it was reduced.
pub(crate) fn rules_hold(records: &[Record]) {
    let mut rules = Rules::default();
    for record in records {
        let about = Rules::refers_to(&record.entry.fact).and_then(|message| usize::try_from(message.get() - 1).ok());
        let about = about.and_then(|index| records.get(index)).and_then(Posted::of);
        let taken = rules.take(record, about);
        assert_eq!(taken, Ok(()), "{record:?}");
    }
}

/// The records without what is not kept any more.
pub(crate) fn reduced(records: &[Record]) -> Vec<Record> {
    let (mut floors, mut erased) = (BTreeMap::new(), BTreeMap::new());
    for record in records {
        match record.entry.fact {
            Fact::Trimmed { chat, .. } => {
                floors.insert(chat, floor(records, chat));
            }
            Fact::UserErased { user } => {
                erased.insert(user, record.position);
            }
            _ => {}
        }
    }
    let left = |record: &Record| {
        let Record { position, entry } = record.clone();
        let is_erased = |user: UserId| erased.get(&user).is_some_and(|when| position < *when);
        // An edit and a reaction stand and fall with their message.
        let goes = |user: UserId, message: Option<Seq>| {
            let place = entry.numbered.map(|(chat, seq)| (chat, message.unwrap_or(seq)));
            is_erased(user) || place.is_some_and(|(chat, seq)| floors.get(&chat).is_some_and(|floor| seq <= *floor))
        };
        let fact = match entry.fact {
            Fact::MessagePosted { sender, .. } | Fact::SignedMessagePosted { sender, .. } if goes(sender, None) => {
                Fact::MessageErased { sender }
            }
            Fact::MessageEdited { message, message_seq, by, .. } if goes(by, Some(message_seq)) => {
                Fact::MessageEdited { message, message_seq, by, content: Box::default() }
            }
            Fact::Reacted { message, message_seq, user, .. } if goes(user, Some(message_seq)) => {
                Fact::Reacted { message, message_seq, user, emoji: Box::default(), removed: true }
            }
            Fact::UserCreated { user, .. } if is_erased(user) => {
                Fact::UserCreated { user, nickname: format!("user {user}").into() }
            }
            Fact::KeyRegistered { user, .. } if is_erased(user) => Fact::KeyRegistered { user, key: None },
            Fact::ReadMarked { chat, user, .. } if is_erased(user) => {
                Fact::ReadMarked { chat, user, seq: Seq::ZERO, count: 0 }
            }
            other => other,
        };
        Record { position, entry: Entry { fact, ..entry } }
    };
    records.iter().map(left).collect()
}

/// A chat's events after a number, as a client sees them now: messages as they have become, edits of deleted ones empty.
pub(crate) fn events(records: &[Record], chat: ChatId, after: Seq) -> Vec<Event> {
    let of_chat = |event: &Event| event.chat_id() == chat;
    let mut events: Vec<Event> = reduced(records).into_iter().filter_map(Record::into_event).filter(of_chat).collect();
    for change in events.clone() {
        for event in &mut events {
            match (&change, event) {
                (Event::MessageEdited(edit), Event::Message(message)) if message.id == edit.message_id => {
                    let message = Arc::make_mut(message);
                    if !message.deleted {
                        message.content = edit.content.clone();
                    }
                    (message.edited_at, message.signature) = (Some(edit.edited_at), None);
                }
                (Event::MessageDeleted(deletion), Event::Message(message)) if message.id == deletion.message_id => {
                    let message = Arc::make_mut(message);
                    (message.content, message.deleted) = (Box::default(), true);
                    message.signature = None;
                }
                (Event::MessageDeleted(deletion), Event::MessageEdited(edit))
                    if edit.message_id == deletion.message_id =>
                {
                    edit.content = Box::default();
                }
                _ => {}
            }
        }
    }
    events.retain(|event| event.seq() > after);
    events
}

/// A chat as the whole log means it, for whoever asks much of it.
#[derive(Debug)]
pub(crate) struct Meaning {
    floor: Seq,
    events: Vec<Event>,
    /// All messages, oldest first, as they have become.
    messages: Vec<Arc<Message>>,
}

impl Meaning {
    pub(crate) fn of(records: &[Record], chat: ChatId) -> Self {
        let events = events(records, chat, Seq::ZERO);
        let messages = events.iter().filter_map(|event| event.message().cloned()).collect();
        Self { floor: floor(records, chat), events, messages }
    }

    /// The events after a number, at most so many.
    pub(crate) fn events(&self, after: Seq, limit: usize) -> Vec<Event> {
        self.events.iter().filter(|event| event.seq() > after).take(limit).cloned().collect()
    }

    /// The newest events, at most so many.
    pub(crate) fn newest(&self, limit: usize) -> &[Event] {
        &self.events[self.events.len().saturating_sub(limit)..]
    }

    /// A page, as long as its contents are small.
    pub(crate) fn page(&self, page: Page, limit: usize) -> (Vec<Arc<Message>>, bool) {
        let mut all: Vec<_> = self.messages.iter().filter(|message| message.seq > self.floor).cloned().collect();
        if let Page::After(seq) = page {
            all.retain(|message| message.seq > seq);
            let has_more = all.len() > limit;
            all.truncate(limit);
            return (all, has_more);
        }
        match page {
            Page::Newest { skip } => all.truncate(all.len().saturating_sub(usize::try_from(skip).unwrap())),
            Page::Before(seq) => all.retain(|message| message.seq < seq),
            Page::After(_) => {}
        }
        let start = all.len().saturating_sub(limit);
        (all.split_off(start), start > 0)
    }

    /// How many messages have this number or a lower one.
    pub(crate) fn count(&self, seq: Seq) -> u64 {
        self.messages.iter().filter(|message| message.seq <= seq).count() as u64
    }

    /// Where a message stands now.
    pub(crate) fn locate(&self, id: MessageId) -> Option<Spot> {
        let now = self.messages.iter().find(|message| message.id == id)?;
        Some(Spot { id, chat: now.chat_id, seq: now.seq, sender: now.sender_id, deleted: now.deleted })
    }
}

/// All messages of a chat, oldest first, as they have become.
pub(crate) fn messages(records: &[Record], chat: ChatId) -> Vec<Arc<Message>> {
    Meaning::of(records, chat).messages
}

/// A page, as long as its contents are small.
pub(crate) fn page(records: &[Record], chat: ChatId, page: Page, limit: usize) -> (Vec<Arc<Message>>, bool) {
    Meaning::of(records, chat).page(page, limit)
}

/// A message as it was posted.
pub(crate) fn original(records: &[Record], id: MessageId) -> Option<Arc<Message>> {
    let record = records.iter().find(|record| record.position.0 == id.get())?;
    record.clone().into_event()?.message().cloned()
}

/// Where a message stands now.
pub(crate) fn locate(records: &[Record], id: MessageId) -> Option<Spot> {
    Meaning::of(records, original(records, id)?.chat_id).locate(id)
}

/// How many messages of a chat have this number or a lower one.
pub(crate) fn count(records: &[Record], chat: ChatId, seq: Seq) -> u64 {
    Meaning::of(records, chat).count(seq)
}
