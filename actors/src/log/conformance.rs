//! What every log promises, as one suite.

use chappe_proto::event::ChatKind;
use chappe_proto::message::MessageType;
use chappe_proto::{Millis, Seq, UserId};

use super::EventLog;
use super::record::{Draft, Fact, Place, Position, Record};

fn user() -> UserId {
    UserId::parse(1).unwrap()
}

pub(crate) fn new_chat() -> Draft {
    let fact = Fact::ChatCreated { title: "t".into(), kind: ChatKind::Group, by: None, members: vec![user()] };
    Draft { at: Millis(1), place: Place::NewChat, fact }
}

pub(crate) fn post(chat: u64, content: &str) -> Draft {
    let fact = Fact::MessagePosted {
        sender: user(),
        content: content.into(),
        message_type: MessageType::Text,
        client_id: None,
        reply_to: None,
    };
    Draft { at: Millis(2), place: Place::Chat(chappe_proto::ChatId::parse(chat).unwrap()), fact }
}

fn account() -> Draft {
    let fact = Fact::UserCreated { user: user(), nickname: "ann".into() };
    Draft { at: Millis(1), place: Place::Nowhere, fact }
}

/// Runs the suite over fresh logs.
pub(crate) fn run<L: EventLog>(mut fresh: impl FnMut() -> L) {
    positions_and_chat_numbers_have_no_gaps(fresh());
    scanning_gives_back_what_was_appended(fresh());
    a_record_is_found_by_its_position(fresh());
}

fn positions_and_chat_numbers_have_no_gaps(mut log: impl EventLog) {
    let first = log.append(vec![account(), new_chat(), post(1, "a"), new_chat(), post(1, "b")]).unwrap();
    let second = log.append(vec![post(2, "c"), post(1, "d")]).unwrap();
    let all: Vec<Record> = first.into_iter().chain(second).collect();
    let positions: Vec<u64> = all.iter().map(|record| record.position.0).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5, 6, 7]);
    let numbers: Vec<_> = all.iter().map(|r| r.entry.numbered.map(|(chat, Seq(seq))| (chat.get(), seq))).collect();
    let expected = [None, Some((1, 1)), Some((1, 2)), Some((2, 1)), Some((1, 3)), Some((2, 2)), Some((1, 4))];
    assert_eq!(numbers, expected);
}

fn scanning_gives_back_what_was_appended(mut log: impl EventLog) {
    assert!(log.scan(Position(0), 10).unwrap().is_empty());
    let mut all = log.append(vec![new_chat()]).unwrap();
    for batch in 0..5 {
        let drafts = (0..40).map(|n| post(1, &format!("{batch} {n} {}", "x".repeat(n * 100)))).collect();
        all.extend(log.append(drafts).unwrap());
    }
    for limit in [1, 7, 1000] {
        let mut seen = Vec::new();
        while let page = log.scan(Position(seen.len() as u64), limit).unwrap()
            && !page.is_empty()
        {
            seen.extend(page);
        }
        assert_eq!(seen, all, "pages of {limit}");
    }
}

fn a_record_is_found_by_its_position(mut log: impl EventLog) {
    let mut all = log.append(vec![new_chat(), post(1, "a"), post(1, "b")]).unwrap();
    all.extend(log.append(vec![post(1, "c")]).unwrap());
    for record in &all {
        assert_eq!(log.record(record.position).unwrap().as_ref(), Some(record));
    }
    assert_eq!(log.record(Position(0)).unwrap(), None);
    assert_eq!(log.record(Position(5)).unwrap(), None);
}

mod implementations {
    use super::super::memory::MemoryLog;
    use super::super::sqlite::SqliteLog;

    #[test]
    fn the_log_in_memory_conforms() {
        super::run(MemoryLog::default);
    }

    #[test]
    fn the_sqlite_log_conforms() {
        let mut folders = Vec::new();
        super::run(|| {
            folders.push(tempfile::tempdir().unwrap());
            SqliteLog::open(folders.last().unwrap().path(), 7, |_| {}).unwrap().0
        });
    }
}
