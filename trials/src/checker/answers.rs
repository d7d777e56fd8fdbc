//! Answers: an ack names the place where what was asked stands; acks come in the order of the requests, and numbers grow with
//! time; and what has to be granted is not refused.

use std::collections::HashMap;

use chappe_proto::Code;

use super::book::Book;
use super::{Faults, Rule};
use crate::history::{Ack, Change, Fact, History, Note};

pub(super) fn check(history: &History, book: &Book<'_>, faults: &mut Faults) {
    let mut marks: HashMap<(u64, u64), u64> = HashMap::new();
    // The last change that was answered on each connection.
    let mut answered: HashMap<u64, usize> = HashMap::new();
    // The newest number of each chat that anybody knows of, and what it was when a name was first sent.
    let mut newest: HashMap<u64, u64> = HashMap::new();
    let mut at_first: HashMap<(u64, u64, &str), u64> = HashMap::new();
    let mut at_asking: HashMap<u64, HashMap<u64, u64>> = HashMap::new();
    for (at, entry) in history.entries.iter().enumerate() {
        let mut saw = |chat: u64, seq: u64| {
            let known = newest.entry(chat).or_default();
            *known = seq.max(*known);
        };
        match &entry.note {
            Note::Asked { attempt, change: Change::Post { chat, name, .. } } => {
                let known = newest.get(chat).copied().unwrap_or_default();
                let first = *at_first.entry((*chat, entry.user, name)).or_insert(known);
                at_asking.insert(*attempt, HashMap::from([(*chat, first)]));
            }
            Note::Asked { attempt, .. } => drop(at_asking.insert(*attempt, newest.clone())),
            Note::Acked { attempt, ack } => {
                let Some((asked_at, user, change)) = book.asked.get(attempt).copied() else {
                    faults.add(Rule::AckOfAnother, format!("an ack of what nobody asked: {ack:?}"));
                    continue;
                };
                in_order(entry.connection, asked_at, &mut answered, faults);
                place(user, change, ack, book, faults);
                let (Some(chat), Some(seq)) = (ack.chat, ack.seq) else { continue };
                if let Change::Mark { .. } = change {
                    let mark = marks.entry((chat, user)).or_default();
                    *mark = seq.max(*mark);
                    continue;
                }
                let known = at_asking.remove(attempt).and_then(|known| known.get(&chat).copied()).unwrap_or_default();
                let was_so = ack.duplicate && matches!(change, Change::Join { .. });
                if seq <= known && !was_so {
                    let what =
                        format!("{change:?} got {seq} of chat {chat}, where {known} was known before it was asked");
                    faults.add(Rule::Order, what);
                }
                saw(chat, seq);
            }
            Note::Refused { attempt, code } => {
                at_asking.remove(attempt);
                if let Some((asked_at, user, change)) = book.asked.get(attempt).copied() {
                    in_order(entry.connection, asked_at, &mut answered, faults);
                    refusal(at, user, change, *code, history, book, faults);
                } else if !code.retryable() && !history.wandering.contains(&entry.user) {
                    faults.add(Rule::Refusal, format!("user {} may not read: {code}", entry.user));
                }
            }
            Note::Heard(event) => saw(event.chat, event.seq),
            Note::Page { chat, head, .. } => saw(*chat, *head),
            Note::Heads { heads, .. } => heads.iter().for_each(|(chat, head)| saw(*chat, *head)),
            Note::Nonsense(what) => faults.add(Rule::Nonsense, format!("user {}: {what}", entry.user)),
            _ => {}
        }
    }
    for ((chat, user), mark) in marks {
        let kept = history.kept.chats.get(&chat).and_then(|chat| chat.members.get(&user)).copied().unwrap_or_default();
        if kept < mark && !history.wandering.contains(&user) {
            faults.add(Rule::Mark, format!("user {user} had read {mark} of chat {chat}, and now {kept}"));
        }
    }
}

fn in_order(connection: u64, asked_at: usize, answered: &mut HashMap<u64, usize>, faults: &mut Faults) {
    let last = answered.entry(connection).or_default();
    if asked_at < *last {
        faults.add(Rule::AckOrder, format!("entry {asked_at} was answered behind entry {last} of the same connection"));
    }
    *last = asked_at.max(*last);
}

/// An ack names the place where the change stands.
fn place(user: u64, change: &Change, ack: &Ack, book: &Book<'_>, faults: &mut Faults) {
    let (Some(chat), Some(seq)) = (ack.chat, ack.seq) else { return };
    let stands = book.events.get(&(chat, seq)).copied();
    let named = |message: u64| ack.message.is_none_or(|acked| acked == message);
    let is_it = match (change, stands) {
        (Change::Mark { chat: asked, .. }, _) => return check_chat(*asked, chat, change, faults),
        (Change::Join { chat: asked, .. }, _) if ack.duplicate => return check_chat(*asked, chat, change, faults),
        (Change::Post { chat: asked, name, .. }, Some(Fact::Posted { message, sender, name: Some(kept), .. })) => {
            *asked == chat && kept == name && *sender == user && ack.message == Some(*message)
        }
        (Change::Edit { message, content }, Some(Fact::Edited { message: kept, user: by, content: to })) => {
            let is_same = content == to || to.is_empty() && book.deleted.contains(message);
            message == kept && named(*message) && *by == user && is_same
        }
        (Change::Delete { message }, Some(Fact::Deleted { message: kept, user: by })) => {
            message == kept && named(*message) && *by == user
        }
        (
            Change::React { message, emoji, removed },
            Some(Fact::Reacted { message: kept, user: by, emoji: with, removed: back }),
        ) => message == kept && *by == user && emoji == with && removed == back,
        (Change::Join { chat: asked, member }, Some(Fact::Joined { user })) => *asked == chat && member == user,
        (Change::Leave { chat: asked, member }, Some(Fact::Left { user })) => *asked == chat && member == user,
        _ => false,
    };
    let own_name = match change {
        Change::Post { name, .. } => ack.name.as_ref().is_none_or(|acked| acked == name),
        _ => true,
    };
    if !own_name {
        faults.add(Rule::AckOfAnother, format!("{change:?} of user {user} was acknowledged as {ack:?}"));
    }
    if is_it {
        return;
    }
    let elsewhere = match change {
        Change::Post { chat, name, .. } => book.names.contains_key(&(*chat, user, name.as_str())),
        // How often the others are there is counted; here is only looked where.
        _ => stands.is_some(),
    };
    let rule = if elsewhere { Rule::AckOfAnother } else { Rule::Lost };
    faults.add(rule, format!("{change:?} of user {user} was acknowledged as {ack:?}; there stands {stands:?}"));
}

fn check_chat(asked: u64, acked: u64, change: &Change, faults: &mut Faults) {
    if asked != acked {
        faults.add(Rule::AckOfAnother, format!("{change:?} was acknowledged in chat {acked}"));
    }
}

/// A refusal that asks for patience may always be; one for good has to have a reason.
fn refusal(at: usize, user: u64, change: &Change, code: Code, history: &History, book: &Book<'_>, faults: &mut Faults) {
    let wanders = history.wandering.contains(&user);
    let is_fine = code.retryable()
        || match change {
            Change::Post { .. } | Change::Mark { .. } => wanders && code == Code::NotAMember,
            Change::Edit { message, .. } | Change::Delete { message } | Change::React { message, .. } => {
                let may_be_gone = book.deletion_asked.get(message).is_some_and(|asked| *asked < at);
                code == Code::UnknownMessage && (wanders || may_be_gone)
            }
            Change::Join { .. } => false,
            // Shown out by an attempt of which no answer came.
            Change::Leave { .. } => code == Code::UnknownUser,
        };
    if !is_fine {
        faults.add(Rule::Refusal, format!("{change:?} of user {user} was refused: {code}"));
    }
}
