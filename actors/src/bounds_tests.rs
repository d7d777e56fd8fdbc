//! Each bound at its edge.

use chappe_proto::event::ChatKind;
use chappe_proto::message::MessageType;
use chappe_proto::signature::{Bytes, SigningKey};
use chappe_proto::{MessageId, Millis};

use super::*;
use crate::log::record::{Entry, Position};

fn code(result: Result<(), Reject>) -> Option<Code> {
    result.err().map(|reject| reject.code)
}

#[test]
fn a_text_is_neither_empty_nor_too_long() {
    let limits = Limits { content_bytes: 5, ..Limits::default() };
    let limited = |text: &str| content(text, &limits);
    let bounded = |check: &dyn Fn(&str) -> Result<(), Reject>, max: usize| {
        assert_eq!(code(check("")), Some(Code::InvalidField));
        assert_eq!(code(check(&"x".repeat(max))), None);
        assert_eq!(code(check(&"x".repeat(max + 1))), Some(Code::TooLarge));
    };
    bounded(&limited, 5);
    bounded(&title, 256);
    bounded(&nickname, 64);
    bounded(&emoji, 64);
    assert_eq!(code(limited("äöü")), Some(Code::TooLarge), "bytes are counted, not characters");
    assert_eq!(code(status("")), Some(Code::InvalidField));
    assert_eq!(code(status(&"x".repeat(65))), Some(Code::TooLarge));
}

#[test]
fn a_list_has_at_most_a_thousand_entries() {
    assert_eq!(code(list_len("members", 1000)), None);
    assert_eq!(code(list_len("members", 1001)), Some(Code::TooLarge));
}

#[test]
fn a_page_is_of_1_to_500_and_50_if_nothing_is_said() {
    for (asked, expected) in [(None, 50), (Some(1), 1), (Some(501), 500), (Some(u32::MAX), 500)] {
        assert_eq!(page_limit(asked), Ok(expected));
    }
    assert_eq!(code(page_limit(Some(0)).map(drop)), Some(Code::InvalidField));
}

#[test]
fn a_page_is_asked_for_in_one_way() {
    let none = GetMessages {
        chat_id: ChatId::parse(1).unwrap(),
        page: None,
        per_page: None,
        before: None,
        after: None,
        limit: None,
    };
    let ask = |change: &dyn Fn(&mut GetMessages)| {
        let mut asked = none.clone();
        change(&mut asked);
        page(&asked).map_err(|reject| reject.code)
    };
    let newest = |skip, size| Ok((Page::Newest { skip }, size));
    let invalid = Err(Code::InvalidField);
    assert_eq!(ask(&|_| ()), newest(0, 50));
    assert_eq!(ask(&|m| (m.page, m.per_page) = (Some(3), Some(20))), newest(40, 20));
    assert_eq!(ask(&|m| m.limit = Some(20)), newest(0, 20));
    assert_eq!(ask(&|m| (m.before, m.limit) = (Some(Seq(9)), Some(2))), Ok((Page::Before(Seq(9)), 2)));
    assert_eq!(ask(&|m| m.after = Some(Seq(0))), Ok((Page::After(Seq(0)), 50)));
    assert_eq!(ask(&|m| m.page = Some(0)), invalid);
    assert_eq!(ask(&|m| (m.page, m.before) = (Some(1), Some(Seq(1)))), invalid);
    assert_eq!(ask(&|m| (m.per_page, m.after) = (Some(1), Some(Seq(1)))), invalid);
    assert_eq!(ask(&|m| (m.before, m.after) = (Some(Seq(1)), Some(Seq(1)))), invalid);
    assert_eq!(ask(&|m| (m.per_page, m.limit) = (Some(1), Some(1))), invalid);
    assert_eq!(ask(&|m| m.before = Some(Seq(MAX_ID + 1))), invalid);
    assert_eq!(ask(&|m| m.after = Some(Seq(MAX_ID + 1))), invalid);
    // The last page that is reached, and the first that is not.
    assert_eq!(ask(&|m| m.page = Some(2000)), newest(99_950, 50));
    assert_eq!(ask(&|m| m.page = Some(2001)), invalid);
    assert_eq!(ask(&|m| (m.page, m.per_page) = (Some(u32::MAX), Some(u32::MAX))), invalid);
}

#[test]
fn a_record_says_what_a_door_would_have_taken_or_what_is_left_of_it() {
    let (chat, user, message) = (ChatId::parse(2).unwrap(), UserId::parse(1).unwrap(), MessageId::parse(1).unwrap());
    let limits = Limits { content_bytes: 100, ..Limits::default() };
    let of = |at: u64, fact: Fact| {
        let entry = Entry { at: Millis(at), numbered: Some((chat, Seq(2))), fact };
        code(record(&Record { position: Position(3), entry }, &limits))
    };
    let check = |fact: Fact| of(1, fact);
    let text = |length: usize| Box::<str>::from("x".repeat(length));
    let named = |length| Fact::UserCreated { user, nickname: text(length) };
    let titled = |length| Fact::ChatUpdated { title: text(length), deleted: false, by: None };
    let made = |length, members: u64| {
        let members = (1..=members).map(|id| UserId::parse(id).unwrap()).collect();
        Fact::ChatCreated { title: text(length), kind: ChatKind::Group, by: Some(user), members }
    };
    let posted = |length| {
        let (content, message_type) = (text(length), MessageType::Text);
        Fact::MessagePosted { sender: user, content, message_type, client_id: None, reply_to: None }
    };
    let edited = |length| Fact::MessageEdited { message, message_seq: Seq(1), content: text(length), by: user };
    let reacted = |length, removed| Fact::Reacted { message, message_seq: Seq(1), user, emoji: text(length), removed };
    let (empty, long) = (Some(Code::InvalidField), Some(Code::TooLarge));
    for (fact, told) in [
        (named(64), None),
        (named(0), empty),
        (named(40_000), long),
        (titled(256), None),
        (titled(0), empty),
        (titled(100_000), long),
        (made(256, 1001), None),
        (made(257, 1), long),
        (made(1, 1002), long),
        (posted(100), None),
        (posted(0), empty),
        (posted(101), long),
        (edited(100), None),
        (edited(101), long),
        (edited(0), None),
        (reacted(64, false), None),
        (reacted(65, true), long),
        (reacted(0, true), None),
        (reacted(0, false), empty),
        (Fact::KeyRegistered { user, key: Some(Bytes([0; 32])) }, empty),
        (Fact::KeyRegistered { user, key: None }, None),
        (Fact::MessageErased { sender: user }, None),
    ] {
        assert_eq!(check(fact.clone()), told, "{fact:?}");
    }
    assert_eq!(of(MAX_ID, posted(1)), None);
    assert_eq!(of(MAX_ID + 1, posted(1)), empty);

    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let client_id = ClientId::parse("a").unwrap();
    let signature = key.sign(&Signed { chat, sender: user, client_id: &client_id, content: "words" });
    let signed = |client_id: Option<&ClientId>, content: &str| Fact::SignedMessagePosted {
        sender: user,
        content: content.into(),
        message_type: MessageType::Text,
        client_id: client_id.cloned(),
        reply_to: None,
        signature: Box::new(signature),
    };
    assert_eq!(check(signed(Some(&client_id), "words")), None);
    assert_eq!(check(signed(Some(&client_id), "other words")), Some(Code::BadSignature));
    assert_eq!(check(signed(None, "words")), empty);
}
