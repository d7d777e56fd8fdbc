//! What the rules look up: the kept log by number, and what was asked for.

use std::collections::{HashMap, HashSet};

use crate::history::{Change, Fact, History, Note};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Book<'a> {
    /// The kept events, by chat and number.
    pub(super) events: HashMap<(u64, u64), &'a Fact>,
    /// The places where a sender's name stands, by chat.
    pub(super) names: HashMap<(u64, u64, &'a str), Vec<u64>>,
    /// What was asked, by attempt: when, by whom, what.
    pub(super) asked: HashMap<u64, (usize, u64, &'a Change)>,
    /// What a message said first, by chat, sender and name.
    pub(super) contents: HashMap<(u64, u64, &'a str), &'a str>,
    /// Messages that the log says are deleted.
    pub(super) deleted: HashSet<u64>,
    /// When the deletion of a message was first asked for.
    pub(super) deletion_asked: HashMap<u64, usize>,
}

impl<'a> Book<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut book = Self::default();
        for (chat, kept) in &history.kept.chats {
            for event in kept.readings.first().into_iter().flat_map(|reading| &reading.log) {
                book.events.insert((*chat, event.seq), &event.fact);
                match &event.fact {
                    Fact::Posted { sender, name: Some(name), .. } => {
                        book.names.entry((*chat, *sender, name)).or_default().push(event.seq);
                    }
                    Fact::Deleted { message, .. } => drop(book.deleted.insert(*message)),
                    _ => {}
                }
            }
        }
        for (at, entry) in history.entries.iter().enumerate() {
            let Note::Asked { attempt, change } = &entry.note else { continue };
            book.asked.insert(*attempt, (at, entry.user, change));
            match change {
                Change::Post { chat, name, content } => {
                    book.contents.entry((*chat, entry.user, name)).or_insert(content);
                }
                Change::Delete { message } => drop(book.deletion_asked.entry(*message).or_insert(at)),
                _ => {}
            }
        }
        book
    }
}
