//! What the readers answer from: the log, read the slow and plain way.

use std::collections::BTreeMap;
use std::sync::Arc;

use chappe_actors::command::Page;
use chappe_actors::reader::Looked;
use chappe_actors::reply::Reply;
use chappe_actors::state::step::{Answer, Ask, Question, Spot};
use chappe_proto::event::Event;
use chappe_proto::message::Message;
use chappe_proto::packet::{ChatSummary, Events, Messages};
use chappe_proto::{ChatId, MessageId, Seq};

use crate::ledger::Ledger;

/// A chat's events as they have become.
pub(crate) fn events(ledger: &Ledger, chat: ChatId) -> Vec<Event> {
    let Some(book) = ledger.chats.get(&chat) else { return Vec::new() };
    let mut events: Vec<Event> =
        book.events.iter().filter_map(|index| ledger.records[*index].clone().into_event()).collect();
    let mut edits = BTreeMap::new();
    let mut deleted = BTreeMap::new();
    for event in &events {
        match event {
            Event::MessageEdited(edit) => drop(edits.insert(edit.message_id, (edit.content.clone(), edit.edited_at))),
            Event::MessageDeleted(deletion) => drop(deleted.insert(deletion.message_id, ())),
            _ => {}
        }
    }
    for event in &mut events {
        match event {
            Event::Message(message) => {
                if let Some((content, at)) = edits.remove(&message.id) {
                    let message = Arc::make_mut(message);
                    (message.content, message.edited_at) = (content, Some(at));
                }
                if deleted.contains_key(&message.id) {
                    let message = Arc::make_mut(message);
                    (message.content, message.deleted) = (Box::default(), true);
                }
            }
            Event::MessageEdited(edit) if deleted.contains_key(&edit.message_id) => edit.content = Box::default(),
            _ => {}
        }
    }
    events
}

fn messages(ledger: &Ledger, chat: ChatId) -> Vec<Arc<Message>> {
    events(ledger, chat).iter().filter_map(|event| event.message().cloned()).collect()
}

fn page(ledger: &Ledger, chat: ChatId, page: Page, limit: usize, head: Seq) -> (Vec<Arc<Message>>, bool) {
    let mut all = messages(ledger, chat);
    all.retain(|message| message.seq <= head);
    match page {
        Page::After(seq) => {
            all.retain(|message| message.seq > seq);
            let has_more = all.len() > limit;
            all.truncate(limit);
            return (all, has_more);
        }
        Page::Newest { skip } => all.truncate(all.len().saturating_sub(usize::try_from(skip).unwrap_or(usize::MAX))),
        Page::Before(seq) => all.retain(|message| message.seq < seq),
    }
    let start = all.len().saturating_sub(limit);
    (all.split_off(start), start > 0)
}

fn original(ledger: &Ledger, id: MessageId) -> Option<Arc<Message>> {
    let index = usize::try_from(id.get().checked_sub(1)?).ok()?;
    ledger.records.get(index)?.clone().into_event()?.message().cloned()
}

fn answer(ledger: &Ledger, question: Question) -> Answer {
    match question {
        Question::Locate(id) => Answer::Located(ledger.messages.get(&id).map(|found| Spot {
            id,
            chat: found.chat,
            seq: found.seq,
            sender: found.sender,
            deleted: found.is_deleted,
        })),
        Question::Count(chat, seq) => {
            let count = messages(ledger, chat).iter().filter(|message| message.seq <= seq).count();
            Answer::Counted(count as u64)
        }
        Question::Original(id) => Answer::Original(original(ledger, id)),
    }
}

/// Looks something up. `warm` events come back into memory.
pub(crate) fn look(ledger: &Ledger, ask: &Ask, warm: usize) -> Looked {
    let as_size = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
    match *ask {
        Ask::Question { question, key } => Looked::Answered(question, key, answer(ledger, question)),
        Ask::Warm(chat) => {
            let mut all = events(ledger, chat);
            let newest = all.split_off(all.len().saturating_sub(warm));
            Looked::Warmed(chat, newest)
        }
        Ask::Messages { to, chat, page: which, limit, head } => {
            let (messages, has_more) = page(ledger, chat, which, as_size(limit), head);
            Looked::Reply(to, Reply::Messages(Messages { chat_id: chat, messages, has_more }.into()))
        }
        Ask::Events { to, chat, after, limit, head } => {
            let mut events = events(ledger, chat);
            events.retain(|event| event.seq() > after && event.seq() <= head);
            events.truncate(as_size(limit));
            Looked::Reply(to, Reply::Events(Events { chat_id: chat, events, head }.into()))
        }
        Ask::Chats { to, ref chats } => {
            let mut chats = chats.clone();
            chats.chats.iter_mut().for_each(|chat| tell_newest(ledger, chat));
            Looked::Reply(to, Reply::Chats(chats))
        }
        Ask::Chat { to, ref chat } => {
            let mut chat = chat.clone();
            tell_newest(ledger, &mut chat);
            Looked::Reply(to, Reply::Chat(chat))
        }
    }
}

fn tell_newest(ledger: &Ledger, chat: &mut ChatSummary) {
    chat.last_message = messages(ledger, chat.chat_id).into_iter().rfind(|message| message.seq <= chat.seq);
}
