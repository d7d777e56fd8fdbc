//! Each rule, broken once. That servers break none is shown where random stories are told (`state/tests/properties.rs`).

use chappe_proto::Millis;
use chappe_proto::event::Role;
use chappe_proto::message::MessageType;
use chappe_proto::signature::{Bytes, Signature};

use super::*;
use crate::log::Numbering;
use crate::log::record::{Draft, Place};

fn user(id: u64) -> UserId {
    UserId::parse(id).unwrap()
}

fn chat(id: u64) -> ChatId {
    ChatId::parse(id).unwrap()
}

fn message(id: u64) -> MessageId {
    MessageId::parse(id).unwrap()
}

fn made(id: u64) -> Fact {
    Fact::UserCreated { user: user(id), nickname: "ann".into() }
}

fn chat_of(kind: ChatKind, members: &[u64]) -> Fact {
    let members: Vec<UserId> = members.iter().map(|id| user(*id)).collect();
    Fact::ChatCreated { title: "ops".into(), kind, by: members.first().copied(), members }
}

fn post(sender: u64, reply_to: Option<u64>) -> Fact {
    let (content, message_type, client_id) = ("words".into(), MessageType::Text, None);
    Fact::MessagePosted { sender: user(sender), content, message_type, client_id, reply_to: reply_to.map(message) }
}

fn signed(sender: u64, key: u8) -> Fact {
    let signature = Box::new(Signature { key: Bytes([key; 32]), value: Bytes([1; 64]) });
    let (content, message_type, client_id) = ("words".into(), MessageType::Text, None);
    Fact::SignedMessagePosted { sender: user(sender), content, message_type, client_id, reply_to: None, signature }
}

fn key(of: u64, key: Option<u8>) -> Fact {
    Fact::KeyRegistered { user: user(of), key: key.map(|key| Bytes([key; 32])) }
}

fn edit(of: u64, seq: u64, by: u64) -> Fact {
    Fact::MessageEdited { message: message(of), message_seq: Seq(seq), content: "better".into(), by: user(by) }
}

fn delete(of: u64, seq: u64, by: u64) -> Fact {
    Fact::MessageDeleted { message: message(of), message_seq: Seq(seq), by: user(by) }
}

fn react(of: u64, seq: u64, by: u64) -> Fact {
    Fact::Reacted { message: message(of), message_seq: Seq(seq), user: user(by), emoji: "+1".into(), removed: false }
}

fn read(by: u64, seq: u64, count: u64) -> Fact {
    Fact::ReadMarked { chat: chat(2), user: user(by), seq: Seq(seq), count }
}

fn trimmed(of: u64, up_to: u64, messages: u64) -> Fact {
    Fact::Trimmed { chat: chat(of), up_to: Seq(up_to), messages }
}

fn joined(id: u64) -> Fact {
    Fact::MemberJoined { user: user(id), role: Role::Member }
}

fn left(id: u64) -> Fact {
    Fact::MemberLeft { user: user(id) }
}

fn updated(deleted: bool) -> Fact {
    Fact::ChatUpdated { title: "ops".into(), deleted, by: Some(user(1)) }
}

/// A log, and the rules that were told of it.
#[derive(Default)]
struct Log {
    numbering: Numbering,
    records: Vec<Record>,
    rules: Rules,
}

impl Log {
    fn take(&mut self, place: Place, fact: Fact) -> Result<(), Broken> {
        let about = Rules::refers_to(&fact).and_then(|id| self.records.get(usize::try_from(id.get()).unwrap() - 1));
        let about = about.and_then(Posted::of);
        let record = self.numbering.number(Draft { at: Millis(1), place, fact });
        self.records.push(record.clone());
        self.rules.take(&record, about)
    }

    /// Users 1, 2 and 3; chat 1 of all and chat 2 of 1 and 2, where 1 wrote message 6 as event 2, and 2 reacted.
    fn begun() -> Self {
        let mut log = Self::default();
        let two = Place::Chat(chat(2));
        for (place, fact) in [
            (Place::Nowhere, made(1)),
            (Place::Nowhere, made(2)),
            (Place::Nowhere, made(3)),
            (Place::NewChat, chat_of(ChatKind::Open, &[])),
            (Place::NewChat, chat_of(ChatKind::Group, &[1, 2])),
            (two, post(1, None)),
            (two, react(6, 2, 2)),
        ] {
            assert_eq!(log.take(place, fact), Ok(()));
        }
        log
    }
}

#[test]
fn what_no_server_would_have_written_is_refused() {
    let (no, new, one, two) = (Place::Nowhere, Place::NewChat, Place::Chat(chat(1)), Place::Chat(chat(2)));
    let direct = |members: &[u64]| chat_of(ChatKind::Direct, members);
    let by_another = Fact::ChatCreated { title: "a".into(), kind: ChatKind::Group, by: Some(user(1)), members: vec![] };
    let erased = |sender| Fact::MessageErased { sender: user(sender) };
    let gone = |id| Fact::UserErased { user: user(id) };
    // Each: what is fine in this order, what is not behind it, and how it is told.
    for (fine, (place, bad), told) in [
        (vec![], (no, made(1)), "user 1 was made before"),
        (vec![], (no, key(4, None)), "user 4 is not known at this place"),
        (vec![], (no, gone(4)), "user 4 is not known at this place"),
        (vec![(new, direct(&[1, 2]))], (new, direct(&[1])), "a direct chat has two members"),
        (vec![], (new, chat_of(ChatKind::Group, &[1, 4])), "user 4 is not known at this place"),
        (vec![], (new, chat_of(ChatKind::Group, &[2, 1])), "its members do not ascend"),
        (vec![], (new, chat_of(ChatKind::Group, &[1, 1])), "its members do not ascend"),
        (vec![], (new, by_another), "user 1 made it, and is none of its members"),
        (vec![(two, joined(3))], (two, joined(2)), "user 2 is in chat 2 already"),
        (vec![(new, direct(&[1, 2]))], (Place::Chat(chat(3)), joined(3)), "chat 3 is between two"),
        (vec![], (two, joined(4)), "user 4 is not known at this place"),
        (vec![(two, left(2))], (two, left(2)), "user 2 is no member of chat 2"),
        (vec![(one, updated(false))], (one, updated(true)), "chat 1 cannot be deleted"),
        (vec![(two, updated(true))], (two, post(1, None)), "chat 2 was deleted"),
        (vec![(two, updated(true))], (two, updated(false)), "chat 2 was deleted"),
        (vec![], (two, post(3, None)), "user 3 is no member of chat 2"),
        (vec![], (two, erased(3)), "user 3 is no member of chat 2"),
        (vec![(two, post(2, Some(6)))], (two, post(2, Some(7))), "message 7 is not known at this place"),
        (vec![(one, joined(1))], (one, post(1, Some(6))), "message 6 is not in chat 1"),
        (vec![(no, key(1, Some(7))), (two, signed(1, 7))], (two, signed(2, 7)), "a key of user 2 is not known"),
        (vec![(no, key(1, Some(7))), (no, key(1, Some(8)))], (two, signed(1, 7)), "the key of user 1 is "),
        (vec![(no, key(1, Some(7))), (no, gone(1))], (two, signed(1, 7)), "a key of user 1 is not known"),
        (vec![(two, edit(6, 2, 1))], (two, edit(6, 3, 1)), "message 6 is event 2 of chat 2"),
        (vec![], (two, edit(5, 1, 1)), "message 5 is not known at this place"),
        (vec![], (one, react(6, 2, 1)), "message 6 is event 2 of chat 2"),
        (vec![], (two, edit(6, 2, 2)), "message 6 is user 1's, who alone edits it"),
        (vec![], (two, react(6, 2, 3)), "user 3 is no member of chat 2"),
        (vec![(two, delete(6, 2, 1))], (two, delete(6, 2, 1)), "message 6 was deleted"),
        (vec![(two, delete(6, 2, 1))], (two, edit(6, 2, 1)), "message 6 was deleted"),
        (
            vec![(no, read(2, 3, 1)), (no, read(2, 0, 0))],
            (no, read(2, 3, 2)),
            "up to its event 3, chat 2 has 1 messages",
        ),
        (vec![(no, read(2, 1, 0))], (no, read(2, 2, 999_999_999)), "and not 999999999"),
        (vec![], (no, read(2, 4, 1)), "event 4 of chat 2 is not known at this place"),
        (vec![], (no, read(3, 2, 1)), "user 3 is no member of chat 2"),
        (vec![(two, updated(true)), (no, trimmed(2, 2, 1))], (no, read(1, 2, 1)), "chat 2 was deleted"),
        (vec![(no, trimmed(2, 2, 1))], (no, trimmed(2, 3, u64::MAX)), "chat 2 has 1 messages, and not 184467"),
        (vec![], (no, trimmed(2, 4, 1)), "event 4 of chat 2 is not known at this place"),
        (vec![], (no, trimmed(3, 1, 0)), "chat 3 is not known at this place"),
        (vec![], (no, post(1, None)), "it is an event of no chat"),
    ] {
        let mut log = Log::begun();
        for (place, fact) in fine {
            assert_eq!(log.take(place, fact.clone()), Ok(()), "{fact:?}");
        }
        let refused = log.take(place, bad.clone()).unwrap_err().to_string();
        assert!(refused.contains(told), "{bad:?}: {refused}");
    }
}

#[test]
fn messages_are_counted_over_many_events() {
    let mut messages = Messages::default();
    let is_post = |seq: u64| seq.is_multiple_of(3) || seq.is_multiple_of(64);
    (1..=400).for_each(|seq| messages.push(Seq(seq), is_post(seq)));
    for up_to in 0..=400 {
        assert_eq!(messages.up_to(Seq(up_to)), (1..=up_to).filter(|seq| is_post(*seq)).count() as u64, "{up_to}");
    }
    for seq in [1, 64, 65, 128] {
        messages.delete(Seq(seq));
    }
    let deleted: Vec<u64> = (1..=400).filter(|seq| messages.is_deleted(Seq(*seq))).collect();
    assert_eq!(deleted, [1, 64, 65, 128]);
}
