//! What a log means, found out the slow and plain way: for tests to compare with.

use std::sync::Arc;

use chappe_proto::event::Event;
use chappe_proto::message::Message;
use chappe_proto::{ChatId, MessageId, Seq};

use super::record::Record;
use super::rules::{Posted, Rules};
use crate::command::Page;
use crate::retention::Limits;
use crate::state::step::Spot;

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

/// What the log says is not kept any more.
pub(crate) fn limits(records: &[Record]) -> Limits {
    let mut limits = Limits::default();
    records.iter().for_each(|record| limits.note(record));
    limits
}

/// The records without what is not kept any more.
pub(crate) fn reduced(records: &[Record]) -> Vec<Record> {
    let limits = limits(records);
    let mut records = records.to_vec();
    records.iter_mut().for_each(|record| {
        limits.reduce(record);
    });
    records
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

/// All messages of a chat, oldest first, as they have become.
pub(crate) fn messages(records: &[Record], chat: ChatId) -> Vec<Arc<Message>> {
    events(records, chat, Seq::ZERO).iter().filter_map(|event| event.message().cloned()).collect()
}

/// A page, as long as its contents are small.
pub(crate) fn page(records: &[Record], chat: ChatId, page: Page, limit: usize) -> (Vec<Arc<Message>>, bool) {
    let mut all = messages(records, chat);
    let floor = limits(records).floor(chat);
    all.retain(|message| message.seq > floor);
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

/// A message as it was posted.
pub(crate) fn original(records: &[Record], id: MessageId) -> Option<Arc<Message>> {
    let record = records.iter().find(|record| record.position.0 == id.get())?;
    record.clone().into_event()?.message().cloned()
}

/// Where a message stands now.
pub(crate) fn locate(records: &[Record], id: MessageId) -> Option<Spot> {
    let original = original(records, id)?;
    let now = messages(records, original.chat_id).into_iter().find(|message| message.id == id)?;
    Some(Spot { id, chat: now.chat_id, seq: now.seq, sender: now.sender_id, deleted: now.deleted })
}

/// How many messages of a chat have this number or a lower one.
pub(crate) fn count(records: &[Record], chat: ChatId, seq: Seq) -> u64 {
    messages(records, chat).iter().filter(|message| message.seq <= seq).count() as u64
}
