//! Histories that break a promise each, next to a good one: the checker has to tell them apart.

use std::collections::{BTreeMap, BTreeSet};

use chappe_proto::Code;

use super::{Rule, check};
use crate::history::{Ack, Change, Chat, Entry, Event, Fact, History, Kept, Message, Note, Reading};

const CHAT: u64 = 7;

fn event(seq: u64, fact: Fact) -> Event {
    Event { chat: CHAT, seq, fact }
}

fn posted(seq: u64, sender: u64, name: &str, content: &str) -> Event {
    let (name, content) = (Some(name.to_owned()), content.to_owned());
    event(seq, Fact::Posted { message: 100 + seq, sender, name, content })
}

fn message(seq: u64, sender: u64, name: &str, content: &str) -> Message {
    let (name, content) = (Some(name.to_owned()), content.to_owned());
    Message { id: 100 + seq, seq, sender, name, deleted: content.is_empty(), content }
}

fn post(name: &str) -> Change {
    Change::Post { chat: CHAT, name: name.to_owned(), content: format!("text of {name}") }
}

fn edit(message: u64, content: &str) -> Change {
    Change::Edit { message, content: content.to_owned() }
}

fn ack(seq: u64, message: u64, name: Option<&str>) -> Ack {
    let name = name.map(str::to_owned);
    Ack { chat: Some(CHAT), seq: Some(seq), message: Some(message), name, duplicate: false }
}

fn of(user: u64, note: Note) -> Entry {
    Entry { user, connection: user, note }
}

fn asked(user: u64, attempt: u64, change: Change) -> Entry {
    of(user, Note::Asked { attempt, change })
}

fn acked(user: u64, attempt: u64, ack: Ack) -> Entry {
    of(user, Note::Acked { attempt, ack })
}

fn page(attempt: u64, events: Vec<Event>, head: u64) -> [Entry; 2] {
    let page = Note::Page { attempt, chat: CHAT, after: 1, events, head };
    [of(2, Note::AskedToRead { attempt }), of(2, page)]
}

/// Users 1 and 2, and 3 who wanders. Everything that can be asked was, and went well.
fn good() -> History {
    let log = vec![
        event(1, Fact::Created { members: vec![1, 2] }),
        posted(2, 1, "a", "mended"),
        posted(3, 2, "b", ""),
        event(4, Fact::Edited { message: 102, user: 1, content: "mended".to_owned() }),
        event(5, Fact::Joined { user: 3 }),
        event(6, Fact::Reacted { message: 102, user: 2, emoji: "+".to_owned(), removed: false }),
        event(7, Fact::Deleted { message: 103, user: 2 }),
        event(8, Fact::Left { user: 3 }),
    ];
    let messages = vec![message(2, 1, "a", "mended"), message(3, 2, "b", "")];
    let join = Change::Join { chat: CHAT, member: 3 };
    let leave = Change::Leave { chat: CHAT, member: 3 };
    let react = Change::React { message: 102, emoji: "+".to_owned(), removed: false };
    let mut entries = vec![
        of(1, Note::Opened { heads: vec![(CHAT, 1)] }),
        of(2, Note::Opened { heads: vec![(CHAT, 1)] }),
        asked(1, 1, post("a")),
        acked(1, 1, ack(2, 102, Some("a"))),
        of(1, Note::Heard(posted(2, 1, "a", "text of a"))),
        of(2, Note::Heard(posted(2, 1, "a", "text of a"))),
        // Sent twice, for the first answer was lost; what it names stands there once.
        asked(2, 2, post("b")),
        of(2, Note::InDoubt { attempt: 2, lost: true }),
        asked(2, 3, post("b")),
        acked(2, 3, Ack { duplicate: true, ..ack(3, 103, Some("b")) }),
        asked(1, 4, edit(102, "mended")),
        acked(1, 4, ack(4, 102, None)),
        asked(1, 5, join.clone()),
        acked(1, 5, Ack { message: None, ..ack(5, 0, None) }),
        asked(1, 6, join),
        acked(1, 6, Ack { message: None, duplicate: true, ..ack(5, 0, None) }),
        asked(2, 7, react),
        acked(2, 7, ack(6, 102, None)),
        asked(2, 8, Change::Delete { message: 103 }),
        acked(2, 8, ack(7, 103, None)),
        asked(1, 9, leave),
        acked(1, 9, Ack::default()),
        asked(2, 10, Change::Mark { chat: CHAT, seq: 4 }),
        acked(2, 10, ack(4, 0, None)),
        asked(2, 11, edit(103, "too late")),
        of(2, Note::Refused { attempt: 11, code: Code::UnknownMessage }),
        of(1, Note::Heard(posted(3, 2, "b", "text of b"))),
        of(1, Note::Gap { chat: CHAT, from: 4, to: 5 }),
        of(1, Note::Heard(log[5].clone())),
    ];
    entries.extend(page(20, log[1..4].to_vec(), 8));
    entries.extend([
        of(2, Note::AskedToRead { attempt: 21 }),
        of(2, Note::Newest { attempt: 21, chat: CHAT, messages: messages.clone() }),
        of(2, Note::AskedToRead { attempt: 22 }),
        of(2, Note::Heads { attempt: 22, heads: vec![(CHAT, 8)] }),
    ]);
    let readings = ["binary", "http"].map(|by| Reading { by, log: log.clone(), messages: messages.clone() }).to_vec();
    let chat = Chat { readings, members: BTreeMap::from([(1, 0), (2, 4)]) };
    History { entries, kept: Kept { chats: BTreeMap::from([(CHAT, chat)]) }, wandering: BTreeSet::from([3]) }
}

/// The rules that a history breaks which was good before `change`.
fn broken(change: impl FnOnce(&mut History)) -> BTreeSet<Rule> {
    let mut history = good();
    change(&mut history);
    check(&history).into_iter().map(|fault| fault.rule).collect()
}

fn kept(history: &mut History) -> &mut Chat {
    history.kept.chats.get_mut(&CHAT).unwrap()
}

/// Changes all readings the same way, as a server would that never knew better.
fn everywhere(history: &mut History, change: impl Fn(&mut Reading)) {
    kept(history).readings.iter_mut().for_each(change);
}

fn only(rule: Rule) -> BTreeSet<Rule> {
    BTreeSet::from([rule])
}

#[test]
fn nothing_is_wrong_with_a_good_history() {
    assert_eq!(check(&good()), []);
}

#[test]
fn an_acknowledged_message_that_is_not_there_is_lost() {
    let newest = |history: &mut History| {
        history.entries.extend([asked(1, 30, post("c")), acked(1, 30, ack(9, 109, Some("c")))]);
    };
    assert_eq!(broken(newest), only(Rule::Lost));
    // Its number went to somebody else.
    let replaced = |history: &mut History| {
        newest(history);
        history.entries.extend([asked(2, 31, post("d"))]);
        everywhere(history, |reading| {
            reading.log.push(posted(9, 2, "d", "text of d"));
            reading.messages.push(message(9, 2, "d", "text of d"));
        });
    };
    assert_eq!(broken(replaced), only(Rule::Lost));
}

#[test]
fn an_ack_tells_of_what_was_asked() {
    let wrong = |acked: Ack| {
        let found = broken(move |history| {
            if let Note::Acked { ack, .. } = &mut history.entries[3].note {
                *ack = acked;
            }
        });
        assert!(found.contains(&Rule::AckOfAnother), "{found:?}");
    };
    wrong(ack(3, 103, Some("a")));
    wrong(ack(2, 103, Some("a")));
    wrong(ack(2, 102, Some("b")));
    wrong(Ack { chat: Some(8), ..ack(2, 102, Some("a")) });
    let nobodys = broken(|history| history.entries.push(acked(1, 99, ack(2, 102, Some("a")))));
    assert_eq!(nobodys, only(Rule::AckOfAnother));
}

#[test]
fn a_name_stands_once() {
    let found = broken(|history| {
        history.entries.extend([asked(1, 30, post("a")), of(1, Note::InDoubt { attempt: 30, lost: true })]);
        everywhere(history, |reading| {
            reading.log.push(posted(9, 1, "a", "text of a"));
            reading.messages.push(message(9, 1, "a", "text of a"));
        });
    });
    assert_eq!(found, only(Rule::DoubledName));
    // Of two senders it is two names.
    let found = broken(|history| {
        history.entries.push(asked(2, 30, post("a")));
        everywhere(history, |reading| {
            reading.log.push(posted(9, 2, "a", "text of a"));
            reading.messages.push(message(9, 2, "a", "text of a"));
        });
    });
    assert_eq!(found, BTreeSet::new());
}

#[test]
fn nothing_is_done_that_nobody_asked_for_nor_twice() {
    let unasked = [
        event(9, Fact::Posted { message: 109, sender: 1, name: None, content: "from nowhere".to_owned() }),
        event(9, Fact::Edited { message: 102, user: 1, content: "mended".to_owned() }),
        event(9, Fact::Reacted { message: 102, user: 2, emoji: "+".to_owned(), removed: false }),
        event(9, Fact::Deleted { message: 103, user: 2 }),
        event(9, Fact::Left { user: 3 }),
        event(9, Fact::Created { members: vec![1, 2] }),
    ];
    for extra in unasked {
        let found = broken(|history| everywhere(history, |reading| reading.log.push(extra.clone())));
        assert!(found.contains(&Rule::Unasked), "{extra:?}: {found:?}");
    }
}

#[test]
fn numbers_have_no_hole() {
    let found = broken(|history| {
        history.entries.clear();
        everywhere(history, |reading| drop(reading.log.remove(4)));
    });
    assert!(found.contains(&Rule::Hole), "{found:?}");
    let in_a_page = broken(|history| {
        let Note::Page { events, .. } = &mut history.entries[30].note else { panic!("no page") };
        events.remove(1);
    });
    assert_eq!(in_a_page, only(Rule::Hole));
    let an_empty_page = broken(|history| {
        let Note::Page { events, .. } = &mut history.entries[30].note else { panic!("no page") };
        events.clear();
    });
    assert_eq!(an_empty_page, only(Rule::Hole));
}

#[test]
fn all_see_one_order() {
    let swapped = broken(|history| {
        history.entries[4].note = Note::Heard(posted(2, 2, "b", "text of b"));
    });
    assert_eq!(swapped, only(Rule::TwoOrders));
    let late = broken(|history| {
        let two = [posted(3, 2, "b", "text of b"), good().kept.chats[&CHAT].readings[0].log[3].clone()];
        history.entries.truncate(26);
        history.entries.extend(two.into_iter().rev().map(|event| of(2, Note::Heard(event))));
    });
    assert_eq!(late, BTreeSet::from([Rule::Repeated, Rule::SilentGap]));
    let of_messages = broken(|history| {
        let Note::Newest { messages, .. } = &mut history.entries[32].note else { panic!("no messages") };
        messages.swap(0, 1);
    });
    assert_eq!(of_messages, only(Rule::TwoOrders));
}

#[test]
fn what_was_seen_stays() {
    let found = broken(|history| history.entries.push(of(2, Note::Heard(event(9, Fact::Renamed)))));
    assert!(found.contains(&Rule::Vanished), "{found:?}");
}

#[test]
fn what_comes_later_has_a_greater_number() {
    let found = broken(|history| {
        // Both are there; but the first was acknowledged before the second was sent.
        let (first, second) = (history.entries[3].clone(), history.entries[9].clone());
        let heard = history.entries[4].clone();
        let start = [asked(2, 3, post("b")), second, asked(1, 1, post("a")), first, heard];
        history.entries.splice(2..10, start);
    });
    assert_eq!(found, only(Rule::Order));
}

#[test]
fn acks_of_a_connection_come_in_the_order_of_its_requests() {
    let found = broken(|history| {
        let answer = history.entries.remove(17);
        history.entries.insert(18, answer);
        history.entries.swap(17, 18);
        history.entries.swap(17, 19);
    });
    assert!(found.contains(&Rule::AckOrder), "{found:?}");
}

#[test]
fn a_read_knows_what_was_known() {
    for short in [
        Note::Heads { attempt: 40, heads: vec![(CHAT, 7)] },
        Note::Page { attempt: 40, chat: CHAT, after: 7, events: Vec::new(), head: 7 },
        Note::Newest { attempt: 40, chat: CHAT, messages: vec![message(2, 1, "a", "mended")] },
    ] {
        let found = broken(|history| {
            history.entries.extend([of(1, Note::AskedToRead { attempt: 40 }), of(1, short.clone())]);
        });
        assert_eq!(found, only(Rule::Backwards), "{short:?}");
    }
}

#[test]
fn no_connection_hears_an_event_twice_or_misses_one_in_silence() {
    let again = broken(|history| history.entries.insert(5, history.entries[4].clone()));
    assert_eq!(again, only(Rule::Repeated));
    let missed = broken(|history| drop(history.entries.remove(27)));
    assert_eq!(missed, only(Rule::SilentGap));
    let the_first = broken(|history| drop(history.entries.remove(4)));
    assert_eq!(the_first, only(Rule::SilentGap));
    let the_last = broken(|history| history.entries.push(of(1, Note::Missed { chat: CHAT, last: 6, head: 8 })));
    assert_eq!(the_last, only(Rule::SilentGap));
}

#[test]
fn an_acknowledged_change_is_there() {
    let lost = |name: &str, change: Change| {
        let found = broken(|history| {
            history.entries.extend([asked(1, 50, change), acked(1, 50, Ack { chat: None, ..ack(9, 102, None) })]);
        });
        assert_eq!(found, only(Rule::Lost), "{name}");
    };
    lost("edit", edit(102, "mended again"));
    lost("deletion", Change::Delete { message: 102 });
    lost("reaction", Change::React { message: 102, emoji: "-".to_owned(), removed: false });
    lost("join", Change::Join { chat: CHAT, member: 4 });
    lost("removal", Change::Leave { chat: CHAT, member: 4 });
    // The event is there, and what it did is not.
    let undone = broken(|history| {
        everywhere(history, |reading| {
            reading.messages[0].content = "text of a".to_owned();
        });
    });
    assert_eq!(undone, only(Rule::Content));
    let undeleted =
        broken(|history| everywhere(history, |reading| reading.messages[1] = message(3, 2, "b", "text of b")));
    assert_eq!(undeleted, only(Rule::Content));
    let unread = broken(|history| kept(history).members.extend([(2, 3)]));
    assert_eq!(unread, only(Rule::Mark));
    let still_there = broken(|history| kept(history).members.extend([(3, 0)]));
    assert_eq!(still_there, only(Rule::Members));
}

#[test]
fn all_ways_to_read_a_chat_show_the_same() {
    let events = broken(|history| drop(kept(history).readings[1].log.pop()));
    let messages = broken(|history| drop(kept(history).readings[1].messages.pop()));
    assert_eq!((events, messages), (only(Rule::Disagreement), only(Rule::Disagreement)));
}

#[test]
fn what_has_to_be_granted_is_not_refused() {
    let refused = |change: Change, code: Code| {
        broken(|history| {
            history.entries.extend([asked(1, 60, change), of(1, Note::Refused { attempt: 60, code })]);
        })
    };
    assert_eq!(refused(edit(102, "mended again"), Code::UnknownMessage), only(Rule::Refusal));
    assert_eq!(refused(post("a"), Code::Conflict), only(Rule::Refusal));
    assert_eq!(refused(post("e"), Code::NotAMember), only(Rule::Refusal));
    assert_eq!(refused(post("e"), Code::Busy), BTreeSet::new());
    let nonsense = broken(|history| history.entries.push(of(1, Note::Nonsense("garbage".to_owned()))));
    assert_eq!(nonsense, only(Rule::Nonsense));
}
