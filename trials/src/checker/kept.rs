//! What is kept, by itself: numbers without holes, names once, all ways to read it the same, and the messages and members that
//! follow from the events.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use super::{Faults, Rule};
use crate::history::{Chat, Event, Fact, History, Message};

pub(super) fn check(history: &History, book: &Book<'_>, faults: &mut Faults) {
    for ((chat, sender, name), places) in &book.names {
        if places.len() > 1 {
            faults.add(Rule::DoubledName, format!("{name:?} of user {sender} stands at {places:?} of chat {chat}"));
        }
    }
    for (chat, kept) in &history.kept.chats {
        let Some(reading) = kept.readings.first() else { continue };
        for (event, seq) in reading.log.iter().zip(1..) {
            if event.seq != seq {
                faults.add(Rule::Hole, format!("chat {chat} has {} where {seq} is due", event.seq));
                break;
            }
        }
        agree(*chat, kept, faults);
        follow(*chat, &reading.log, &reading.messages, book, faults);
        members(*chat, kept, &reading.log, faults);
    }
}

/// All ways to read a chat show the same.
fn agree(chat: u64, kept: &Chat, faults: &mut Faults) {
    let Some((first, others)) = kept.readings.split_first() else { return };
    for other in others {
        if let Some(at) = difference(&first.log, &other.log) {
            let (one, two) = (first.log.get(at), other.log.get(at));
            let what = format!("events of chat {chat}: {one:?} by {}, {two:?} by {}", first.by, other.by);
            faults.add(Rule::Disagreement, what);
        }
        if let Some(at) = difference(&first.messages, &other.messages) {
            let (one, two) = (first.messages.get(at), other.messages.get(at));
            let what = format!("messages of chat {chat}: {one:?} by {}, {two:?} by {}", first.by, other.by);
            faults.add(Rule::Disagreement, what);
        }
    }
}

fn difference<T: PartialEq>(one: &[T], two: &[T]) -> Option<usize> {
    (0..one.len().max(two.len())).find(|at| one.get(*at) != two.get(*at))
}

/// The messages are what the events make of them, and say what their senders made them say.
fn follow(chat: u64, log: &[Event], messages: &[Message], book: &Book<'_>, faults: &mut Faults) {
    let mut model: BTreeMap<u64, Message> = BTreeMap::new();
    for event in log {
        match &event.fact {
            Fact::Posted { message, sender, name, content } => {
                let first = name.as_ref().and_then(|name| book.contents.get(&(chat, *sender, name.as_str())));
                let content = first.map_or_else(|| content.clone(), |first| (*first).to_owned());
                let (id, seq, sender, name) = (*message, event.seq, *sender, name.clone());
                model.insert(id, Message { id, seq, sender, name, content, deleted: false });
            }
            Fact::Edited { message, content, .. } => {
                if let Some(message) = model.get_mut(message) {
                    message.content.clone_from(content);
                }
            }
            Fact::Deleted { message, .. } => {
                if let Some(message) = model.get_mut(message) {
                    (message.content, message.deleted) = (String::new(), true);
                }
            }
            _ => {}
        }
    }
    for event in log {
        if let Fact::Posted { message, content, .. } = &event.fact
            && let Some(due) = model.get(message)
            && due.content != *content
        {
            let what = format!("event {} of chat {chat} shows {content:?}, not {:?}", event.seq, due.content);
            faults.add(Rule::Content, what);
        }
    }
    let mut due: Vec<Message> = model.into_values().collect();
    due.sort_by_key(|message| message.seq);
    if let Some(at) = difference(&due, messages) {
        let (due, shown) = (due.get(at), messages.get(at));
        faults.add(Rule::Content, format!("the messages of chat {chat} show {shown:?}, not {due:?}"));
    }
}

fn members(chat: u64, kept: &Chat, log: &[Event], faults: &mut Faults) {
    let mut due = BTreeSet::new();
    for event in log {
        match &event.fact {
            Fact::Created { members } => due.extend(members.iter().copied()),
            Fact::Joined { user } => drop(due.insert(*user)),
            Fact::Left { user } => drop(due.remove(user)),
            _ => {}
        }
    }
    let shown: BTreeSet<u64> = kept.members.keys().copied().collect();
    if due != shown {
        faults.add(Rule::Members, format!("chat {chat} has {shown:?}, not {due:?}"));
    }
}
