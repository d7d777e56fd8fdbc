//! What the readers answer from: the log, read the slow and plain way, without what has gone.

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

use crate::ledger::{Ledger, Versions};
use crate::lie::Lie;

/// The readers: what stands in the log, and how much of that has gone.
pub(crate) struct Archive<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) lie: Lie,
}

impl Archive<'_> {
    /// A chat's events as they have become.
    fn events(&self, chat: ChatId) -> Vec<Event> {
        let Some(book) = self.ledger.chats.get(&chat) else { return Vec::new() };
        let records = book.events.iter().map(|index| &self.ledger.records[*index]);
        let until = self.until();
        let mut events: Vec<Event> =
            records.filter_map(|record| self.ledger.keeping.left(record, until).into_event()).collect();
        change(&mut events);
        events
    }

    /// Up to where in the log they have looked what has gone.
    fn until(&self) -> u64 {
        if self.lie == Lie::ShowsWhatHasGone { 0 } else { u64::MAX }
    }

    fn messages(&self, chat: ChatId) -> Vec<Arc<Message>> {
        self.events(chat).iter().filter_map(|event| event.message().cloned()).collect()
    }

    fn kept(&self, chat: ChatId) -> Vec<Arc<Message>> {
        let floor = self.ledger.keeping.floor(chat, self.until());
        let mut kept = self.messages(chat);
        kept.retain(|message| message.seq > floor);
        if self.lie == Lie::HidesWhatIsKept && floor > Seq::ZERO && kept.len() > 1 {
            kept.remove(0);
        }
        kept
    }

    fn page(&self, chat: ChatId, page: Page, limit: usize, head: Seq) -> (Vec<Arc<Message>>, bool) {
        let mut all = self.kept(chat);
        all.retain(|message| message.seq <= head);
        match page {
            Page::After(seq) => {
                all.retain(|message| message.seq > seq);
                let has_more = all.len() > limit;
                all.truncate(limit);
                return (all, has_more);
            }
            Page::Newest { skip } => {
                all.truncate(all.len().saturating_sub(usize::try_from(skip).unwrap_or(usize::MAX)));
            }
            Page::Before(seq) => all.retain(|message| message.seq < seq),
        }
        let start = all.len().saturating_sub(limit);
        (all.split_off(start), start > 0)
    }

    /// As the log has it: that may say less than when it was posted.
    fn original(&self, id: MessageId) -> Option<Arc<Message>> {
        self.ledger.log(id.get().checked_sub(1)?).next()?.into_event()?.message().cloned()
    }

    fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Locate(id) => Answer::Located(self.ledger.messages.get(&id).map(|found| {
                let Versions { chat, seq, sender, is_deleted, .. } = *found;
                let has_gone = self.ledger.keeping.is_gone(chat, seq, sender, id.get(), self.until());
                Spot { id, chat, seq, sender, deleted: is_deleted || has_gone }
            })),
            Question::Count(chat, seq) => {
                let count = self.messages(chat).iter().filter(|message| message.seq <= seq).count();
                Answer::Counted(count as u64)
            }
            Question::Original(id) => Answer::Original(self.original(id)),
        }
    }

    /// Looks something up. `warm` events come back into memory.
    pub(crate) fn look(&self, ask: &Ask, warm: usize) -> Looked {
        let as_size = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
        match *ask {
            Ask::Question { question, key } => Looked::Answered(question, key, self.answer(question)),
            Ask::Warm(chat) => {
                let mut all = self.events(chat);
                let newest = all.split_off(all.len().saturating_sub(warm));
                Looked::Warmed(chat, newest)
            }
            Ask::Messages { to, chat, page: which, limit, head } => {
                let (messages, has_more) = self.page(chat, which, as_size(limit), head);
                Looked::Reply(to, Reply::Messages(Messages { chat_id: chat, messages, has_more }.into()))
            }
            Ask::Events { to, chat, after, limit, head } => {
                let mut events = self.events(chat);
                events.retain(|event| event.seq() > after && event.seq() <= head);
                events.truncate(as_size(limit));
                Looked::Reply(to, Reply::Events(Events { chat_id: chat, events, head }.into()))
            }
            Ask::Chats { to, ref chats } => {
                let mut chats = chats.clone();
                chats.chats.iter_mut().for_each(|chat| self.tell_newest(chat));
                Looked::Reply(to, Reply::Chats(chats))
            }
            Ask::Chat { to, ref chat } => {
                let mut chat = chat.clone();
                self.tell_newest(&mut chat);
                Looked::Reply(to, Reply::Chat(chat))
            }
        }
    }

    fn tell_newest(&self, chat: &mut ChatSummary) {
        if chat.last_message.is_none() {
            chat.last_message = self.kept(chat.chat_id).into_iter().rfind(|message| message.seq <= chat.seq);
        }
    }
}

/// Does to messages what later events did to them, and empties the edits of deleted ones.
fn change(events: &mut [Event]) {
    let mut edits = BTreeMap::new();
    let mut deleted = BTreeMap::new();
    for event in &*events {
        match event {
            Event::MessageEdited(edit) => drop(edits.insert(edit.message_id, (edit.content.clone(), edit.edited_at))),
            Event::MessageDeleted(deletion) => drop(deleted.insert(deletion.message_id, ())),
            _ => {}
        }
    }
    for event in events {
        match event {
            Event::Message(message) => {
                if let Some((content, at)) = edits.remove(&message.id) {
                    let message = Arc::make_mut(message);
                    message.edited_at = Some(at);
                    // One that has gone says nothing, whatever its edits said.
                    message.content = if message.deleted { Box::default() } else { content };
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
}
