//! What the facts leave of each kind of record.

use chappe_proto::event::Role;
use chappe_proto::message::MessageType;
use chappe_proto::signature::Bytes;
use chappe_proto::{ClientId, MessageId, Millis};

use super::*;
use crate::log::record::Entry;

fn user(id: u64) -> UserId {
    UserId::parse(id).unwrap()
}

fn chat() -> ChatId {
    ChatId::parse(1).unwrap()
}

/// A record at a position, which is event `seq` of the chat if it is one.
fn record(position: u64, seq: u64, fact: Fact) -> Record {
    let numbered = (seq > 0).then(|| (chat(), Seq(seq)));
    Record { position: Position(position), entry: Entry { at: Millis(1), numbered, fact } }
}

fn post(sender: u64) -> Fact {
    let client_id = ClientId::parse("name").ok();
    let reply_to = MessageId::parse(1).ok();
    let message_type = MessageType::Data;
    Fact::MessagePosted { sender: user(sender), content: "words".into(), message_type, client_id, reply_to }
}

fn edit(of: u64, by: u64, content: &str) -> Fact {
    let message = MessageId::parse(of).unwrap();
    Fact::MessageEdited { message, message_seq: Seq(of), content: content.into(), by: user(by) }
}

fn react(to: u64, by: u64, emoji: &str, removed: bool) -> Fact {
    let message = MessageId::parse(to).unwrap();
    Fact::Reacted { message, message_seq: Seq(to), user: user(by), emoji: emoji.into(), removed }
}

fn mark(by: u64, seq: u64) -> Fact {
    Fact::ReadMarked { chat: chat(), user: user(by), seq: Seq(seq), count: seq }
}

/// User 7 was erased at position 100, and of chat 1 nothing is kept up to number 10.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.note(&record(100, 0, Fact::UserErased { user: user(7) }));
    limits.note(&record(101, 0, Fact::Trimmed { chat: chat(), up_to: Seq(10), messages: 4 }));
    // What came before does not take it back.
    limits.note(&record(50, 0, Fact::UserErased { user: user(7) }));
    limits.note(&record(51, 0, Fact::Trimmed { chat: chat(), up_to: Seq(3), messages: 2 }));
    limits
}

#[test]
fn words_go_and_all_that_counts_stays() {
    let (old, named) = ([7; 32], |nickname: &str| Fact::UserCreated { user: user(7), nickname: nickname.into() });
    let key = |key: Option<[u8; 32]>| Fact::KeyRegistered { user: user(7), key: key.map(Bytes) };
    for (before, after) in [
        // Whose words they are does not matter below the floor, and where they stand not if their user is erased.
        (record(20, 10, post(8)), Some(Fact::MessageErased { sender: user(8) })),
        (record(20, 11, post(8)), None),
        (record(99, 11, post(7)), Some(Fact::MessageErased { sender: user(7) })),
        // Who comes back is somebody new.
        (record(102, 12, post(7)), None),
        // What is about a message goes with it, wherever it stands, and whenever it came.
        (record(20, 12, edit(10, 8, "words")), Some(edit(10, 8, ""))),
        (record(102, 12, edit(10, 8, "words")), Some(edit(10, 8, ""))),
        (record(20, 12, edit(11, 8, "words")), None),
        (record(20, 12, edit(11, 7, "words")), Some(edit(11, 7, ""))),
        (record(20, 12, react(10, 8, "x", true)), Some(react(10, 8, "", true))),
        (record(20, 12, react(11, 7, "x", false)), Some(react(11, 7, "", true))),
        (record(20, 12, react(11, 8, "x", false)), None),
        (record(20, 0, named("ann")), Some(named("user 7"))),
        (record(102, 0, named("ann")), None),
        (record(20, 0, key(Some(old))), Some(key(None))),
        (record(20, 0, mark(7, 5)), Some(mark(7, 0))),
        (record(20, 0, mark(8, 5)), None),
        // Who was where, what happened to chats and which messages were deleted is what the rest follows from.
        (record(20, 9, Fact::MemberJoined { user: user(7), role: Role::Member }), None),
        (record(20, 9, Fact::ChatUpdated { title: "t".into(), deleted: false, by: Some(user(7)) }), None),
    ] {
        let mut left = before.clone();
        assert_eq!(limits().reduce(&mut left), after.is_some(), "{before:?}");
        let expected = after.unwrap_or_else(|| before.entry.fact.clone());
        assert_eq!(left, Record { entry: Entry { fact: expected, ..before.entry }, ..before });
        assert!(!limits().reduce(&mut left), "once is enough: {left:?}");
    }
}
