//! What each connection hears by itself: every event of a chat once and in order, or a word that some were left out; and
//! nothing that is not kept.

use std::collections::HashMap;

use super::book::Book;
use super::{Faults, Rule};
use crate::history::{Event, Fact, History, Note};

/// Where a connection is in a chat.
#[derive(Debug, Default)]
struct Place {
    /// The last event that it heard.
    heard: Option<u64>,
    /// The newest number when it began; what comes first comes behind that or before.
    head: Option<u64>,
    /// What it was told was left out.
    gaps: Vec<(u64, u64)>,
}

impl Place {
    /// The first number between where it is and `seq` that neither came nor was told of.
    fn missing(&self, seq: u64) -> Option<u64> {
        let mut next = self.heard.or(self.head)? + 1;
        while next < seq {
            let gap = self.gaps.iter().find(|(from, to)| (*from..=*to).contains(&next));
            let Some((_, to)) = gap else { return Some(next) };
            next = to + 1;
        }
        None
    }
}

pub(super) fn check(history: &History, book: &Book<'_>, faults: &mut Faults) {
    let mut places: HashMap<(u64, u64), Place> = HashMap::new();
    for entry in &history.entries {
        let (user, connection) = (entry.user, entry.connection);
        match &entry.note {
            Note::Opened { heads } => {
                for (chat, head) in heads {
                    places.entry((connection, *chat)).or_default().head = Some(*head);
                }
            }
            Note::Gap { chat, from, to } => {
                places.entry((connection, *chat)).or_default().gaps.push((*from, *to));
            }
            Note::Heard(event) => {
                same_as_kept(user, event, book, faults);
                let place = places.entry((connection, event.chat)).or_default();
                hear(user, connection, event, place, faults);
            }
            Note::Missed { chat, last, head } => {
                let what = format!("user {user} never heard what comes behind {last} of chat {chat}, up to {head}");
                faults.add(Rule::SilentGap, what);
            }
            _ => {}
        }
    }
}

fn hear(user: u64, connection: u64, event: &Event, place: &mut Place, faults: &mut Faults) {
    let (chat, seq) = (event.chat, event.seq);
    let on = format!("connection {connection} of user {user}, chat {chat}");
    if let Some(last) = place.heard
        && seq <= last
    {
        let what = format!("{on}: {seq} came behind {last}");
        // What came before may come again, or late.
        return faults.add(Rule::Repeated, what);
    }
    // Who was away from the chat hears it from where they came back.
    let comes_back = event.fact == Fact::Joined { user };
    if !comes_back && let Some(missing) = place.missing(seq) {
        faults.add(Rule::SilentGap, format!("{on}: {seq} came, and {missing} did not"));
    }
    place.heard = Some(seq);
    if event.fact == (Fact::Left { user }) {
        *place = Place::default();
    }
}

/// What anybody saw stands in the log under the same number.
pub(super) fn same_as_kept(user: u64, event: &Event, book: &Book<'_>, faults: &mut Faults) {
    let Event { chat, seq, fact } = event;
    match book.events.get(&(*chat, *seq)) {
        Some(kept) if kept.is(fact) => {}
        Some(kept) => {
            faults.add(Rule::TwoOrders, format!("user {user} saw {fact:?} at {seq} of chat {chat}; kept is {kept:?}"));
        }
        None => faults.add(Rule::Vanished, format!("user {user} saw {fact:?} at {seq} of chat {chat}, and it is gone")),
    }
}
