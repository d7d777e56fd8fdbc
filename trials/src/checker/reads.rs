//! Reads: a read knows all that anybody knew before it was asked, across connections, doors and starts; its pages are without
//! holes, and show what is kept.

use std::collections::HashMap;

use super::book::Book;
use super::hearing::same_as_kept;
use super::{Faults, Rule};
use crate::history::{Change, Fact, History, Note};

/// The newest numbers that anybody knows: of a chat, and of its messages.
#[derive(Debug, Clone, Default)]
struct Known {
    heads: HashMap<u64, u64>,
    messages: HashMap<u64, u64>,
}

impl Known {
    fn saw(&mut self, chat: u64, seq: u64, is_message: bool) {
        let head = self.heads.entry(chat).or_default();
        *head = seq.max(*head);
        if is_message {
            let message = self.messages.entry(chat).or_default();
            *message = seq.max(*message);
        }
    }
}

pub(super) fn check(history: &History, book: &Book<'_>, faults: &mut Faults) {
    let mut known = Known::default();
    let mut at_asking: HashMap<u64, Known> = HashMap::new();
    for entry in &history.entries {
        let user = entry.user;
        match &entry.note {
            Note::AskedToRead { attempt } => drop(at_asking.insert(*attempt, known.clone())),
            Note::Acked { attempt, ack } => {
                let (Some(chat), Some(seq)) = (ack.chat, ack.seq) else { continue };
                match book.asked.get(attempt) {
                    Some((_, _, Change::Post { .. })) => known.saw(chat, seq, true),
                    Some((_, _, Change::Mark { .. })) | None => {}
                    Some(_) => known.saw(chat, seq, false),
                }
            }
            Note::Heard(event) => known.saw(event.chat, event.seq, matches!(event.fact, Fact::Posted { .. })),
            Note::Page { attempt, chat, after, events, head } => {
                let knew = at_asking.remove(attempt).unwrap_or_default();
                at_least(user, *chat, *head, &knew.heads, faults);
                for (event, due) in events.iter().zip(after + 1..) {
                    if event.seq != due {
                        let what = format!("user {user} asked behind {after} of chat {chat}: {due} is not in the page");
                        faults.add(Rule::Hole, what);
                        break;
                    }
                    same_as_kept(user, event, book, faults);
                }
                if events.is_empty() && head > after {
                    let what =
                        format!("user {user} asked behind {after} of chat {chat}, which has {head}: nothing came");
                    faults.add(Rule::Hole, what);
                }
                known.saw(*chat, *head, false);
            }
            Note::Newest { attempt, chat, messages } => {
                let knew = at_asking.remove(attempt).unwrap_or_default();
                let newest = messages.iter().map(|message| message.seq).max().unwrap_or_default();
                at_least(user, *chat, newest, &knew.messages, faults);
                if !messages.is_sorted_by(|one, two| one.seq < two.seq) {
                    faults
                        .add(Rule::TwoOrders, format!("user {user} got messages of chat {chat} that are not in order"));
                }
                for message in messages {
                    let kept = book.events.get(&(*chat, message.seq)).copied();
                    let shown = Fact::Posted {
                        message: message.id,
                        sender: message.sender,
                        name: message.name.clone(),
                        content: String::new(),
                    };
                    if !kept.is_some_and(|kept| kept.is(&shown)) {
                        let what = format!("user {user} saw {message:?} in chat {chat}; kept is {kept:?}");
                        faults.add(if kept.is_some() { Rule::TwoOrders } else { Rule::Vanished }, what);
                    }
                }
                known.saw(*chat, newest, true);
            }
            Note::Heads { attempt, heads } => {
                let knew = at_asking.remove(attempt).unwrap_or_default();
                for (chat, head) in heads {
                    at_least(user, *chat, *head, &knew.heads, faults);
                    known.saw(*chat, *head, false);
                }
            }
            _ => {}
        }
    }
}

fn at_least(user: u64, chat: u64, read: u64, knew: &HashMap<u64, u64>, faults: &mut Faults) {
    let knew = knew.get(&chat).copied().unwrap_or_default();
    if read < knew {
        faults.add(
            Rule::Backwards,
            format!("user {user} read up to {read} of chat {chat}, where {knew} was known before"),
        );
    }
}
