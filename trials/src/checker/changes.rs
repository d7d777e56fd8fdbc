//! Changes as often as they were asked for: none by nobody, none twice for one asking, none acknowledged and not made.

use std::collections::HashMap;

use super::book::Book;
use super::{Faults, Rule};
use crate::history::{Change, Fact, History, Note};

/// A change, apart from who acknowledged it where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind<'a> {
    Posted(u64, u64, Option<&'a str>),
    Edited(u64, u64),
    EditedTo(u64, u64, &'a str),
    Deleted(u64, u64),
    Reacted(u64, u64, &'a str, bool),
    Joined(u64, u64),
    Left(u64, u64),
}

/// How often.
#[derive(Debug, Default)]
struct Count {
    asked: u64,
    acked: u64,
    kept: u64,
}

pub(super) fn check(history: &History, book: &Book<'_>, faults: &mut Faults) {
    let mut counts: HashMap<Kind<'_>, Count> = HashMap::new();
    for entry in &history.entries {
        match &entry.note {
            Note::Asked { change, .. } => {
                for kind in asked(entry.user, change) {
                    counts.entry(kind).or_default().asked += 1;
                }
            }
            Note::Acked { attempt, ack } if !ack.duplicate => {
                let Some((_, user, change)) = book.asked.get(attempt) else { continue };
                // An edit of a message that was deleted since does not say to what.
                let counted = asked(*user, change).into_iter().filter(|kind| !matches!(kind, Kind::EditedTo(..)));
                for kind in counted {
                    counts.entry(kind).or_default().acked += 1;
                }
            }
            _ => {}
        }
    }
    for (chat, kept) in &history.kept.chats {
        for event in kept.readings.first().into_iter().flat_map(|reading| &reading.log) {
            for kind in kept_as(*chat, &event.fact) {
                counts.entry(kind).or_default().kept += 1;
            }
            if matches!(event.fact, Fact::Created { .. }) && event.seq != 1 {
                faults.add(Rule::Unasked, format!("chat {chat} begins again at {}", event.seq));
            }
        }
    }
    for (kind, Count { asked, acked, kept }) in counts {
        if kept > asked {
            faults.add(Rule::Unasked, format!("{kind:?} was asked {asked} times, and is there {kept} times"));
        }
        // Names are once; how often they were acknowledged is looked at one by one.
        if acked > kept && !matches!(kind, Kind::Posted(..)) {
            faults.add(Rule::Lost, format!("{kind:?} was acknowledged {acked} times, and is there {kept} times"));
        }
    }
}

fn asked(user: u64, change: &Change) -> Vec<Kind<'_>> {
    match change {
        Change::Post { chat, name, .. } => vec![Kind::Posted(*chat, user, Some(name))],
        Change::Edit { message, content } => {
            vec![Kind::Edited(*message, user), Kind::EditedTo(*message, user, content)]
        }
        Change::Delete { message } => vec![Kind::Deleted(*message, user)],
        Change::React { message, emoji, removed } => vec![Kind::Reacted(*message, user, emoji, *removed)],
        Change::Join { chat, member } => vec![Kind::Joined(*chat, *member)],
        Change::Leave { chat, member } => vec![Kind::Left(*chat, *member)],
        Change::Mark { .. } => Vec::new(),
    }
}

fn kept_as(chat: u64, fact: &Fact) -> Vec<Kind<'_>> {
    match fact {
        Fact::Posted { sender, name, .. } => vec![Kind::Posted(chat, *sender, name.as_deref())],
        Fact::Edited { message, user, content } if content.is_empty() => vec![Kind::Edited(*message, *user)],
        Fact::Edited { message, user, content } => {
            vec![Kind::Edited(*message, *user), Kind::EditedTo(*message, *user, content)]
        }
        Fact::Deleted { message, user } => vec![Kind::Deleted(*message, *user)],
        Fact::Reacted { message, user, emoji, removed } => vec![Kind::Reacted(*message, *user, emoji, *removed)],
        Fact::Joined { user } => vec![Kind::Joined(chat, *user)],
        Fact::Left { user } => vec![Kind::Left(chat, *user)],
        Fact::Created { .. } | Fact::Renamed => Vec::new(),
    }
}
