//! The reader of the small world: it looks everything up in the naive model.

use chappe_proto::Seq;
use chappe_proto::packet::{ChatSummary, Events, Messages};

use crate::command::Page;
use crate::log::model;
use crate::log::record::Record;
use crate::reader::Looked;
use crate::reply::Reply;
use crate::state::step::{Answer, Ask, Question};

pub(super) fn look(records: &[Record], ask: &Ask, warm: usize) -> Looked {
    match *ask {
        Ask::Question { question, key } => {
            let answer = match question {
                Question::Locate(id) => Answer::Located(model::locate(records, id)),
                Question::Count(chat, seq) => Answer::Counted(model::count(records, chat, seq)),
                Question::Original(id) => Answer::Original(model::original(records, id)),
            };
            Looked::Answered(question, key, answer)
        }
        Ask::Warm(chat) => {
            let mut events = model::events(records, chat, Seq::ZERO);
            let events = events.split_off(events.len().saturating_sub(warm));
            Looked::Warmed(chat, events)
        }
        Ask::Messages { to, chat, page, limit, .. } => {
            let (messages, has_more) = model::page(records, chat, page, usize::try_from(limit).unwrap());
            let page = Messages { chat_id: chat, messages, has_more };
            Looked::Reply(to, Reply::Messages(page.into()))
        }
        Ask::Events { to, chat, after, limit, head } => {
            let mut events = model::events(records, chat, after);
            events.truncate(usize::try_from(limit).unwrap());
            let head = events.last().map_or(head, |event| event.seq().max(head));
            Looked::Reply(to, Reply::Events(Events { chat_id: chat, events, head }.into()))
        }
        Ask::Chats { to, ref chats } => {
            let mut chats = chats.clone();
            chats.chats.iter_mut().for_each(|chat| tell_newest(records, chat));
            Looked::Reply(to, Reply::Chats(chats))
        }
        Ask::Chat { to, ref chat } => {
            let mut chat = chat.clone();
            tell_newest(records, &mut chat);
            Looked::Reply(to, Reply::Chat(chat))
        }
    }
}

fn tell_newest(records: &[Record], chat: &mut ChatSummary) {
    chat.last_message = model::page(records, chat.chat_id, Page::Newest { skip: 0 }, 1).0.pop();
}
