//! Histories on a real disk, compared with what the log plainly says, however far behind the tables are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use chappe_proto::message::Message;
use chappe_proto::signature::{Bytes, Signature};
use chappe_proto::{ChatId, MessageId, Millis, Seq, UserId, format};
use proptest::prelude::*;
use tempfile::TempDir;

use super::History;
use super::batch::Batch;
use super::compare::{self, Found};
use super::tables::{self, FILE, Tables};
use crate::command::Page;
use crate::log::EventLog;
use crate::log::conformance::{new_chat, post};
use crate::log::model::{self, Meaning};
use crate::log::record::{Draft, Fact, Place, Position, Record};
use crate::log::sqlite::SqliteLog;
use crate::page::PAGE_BYTES;
use crate::state::tests::properties::{Story, cases, happening};
use crate::state::tests::world::SETTINGS;

pub(super) const EPOCH: u64 = 7;

/// A folder with a log of these batches, and the tables built from the first `projected` records, `at_a_time`.
pub(crate) fn folder(batches: &[Vec<Draft>], projected: usize, at_a_time: usize) -> (TempDir, SqliteLog, Vec<Record>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), EPOCH, |_| {}).unwrap();
    for batch in batches.iter().filter(|batch| !batch.is_empty()) {
        log.append(batch.clone()).unwrap();
    }
    let records = log.scan(Position(0), usize::MAX).unwrap();
    project(&folder.path().join(FILE), &records[..projected.min(records.len())], at_a_time);
    (folder, log, records)
}

pub(super) fn project(file: &Path, records: &[Record], at_a_time: usize) {
    let mut tables = Tables::open(file, EPOCH).unwrap();
    for records in records.chunks(at_a_time) {
        tables.project(&batch(records)).unwrap();
    }
}

pub(super) fn batch(records: &[Record]) -> Batch {
    let mut batch = Batch::default();
    for record in records {
        let mut body = Vec::new();
        format::encode_compact_into(&record.entry, &mut body);
        batch.push(record.position, &body).unwrap();
    }
    batch
}

fn chats(records: &[Record]) -> Vec<(ChatId, u64)> {
    let mut chats: Vec<(ChatId, u64)> = Vec::new();
    for (chat, Seq(seq)) in records.iter().filter_map(|record| record.entry.numbered) {
        match chats.iter_mut().find(|(other, _)| *other == chat) {
            Some((_, head)) => *head = seq,
            None => chats.push((chat, seq)),
        }
    }
    chats
}

/// Whether a record is no event of a chat behind a number.
fn is_within(record: &Record, chat: ChatId, head: u64) -> bool {
    record.entry.numbered.is_none_or(|(of, seq)| of != chat || seq.0 <= head)
}

pub(super) fn every_page_is_right(history: &mut History, records: &[Record]) {
    let mut meanings = BTreeMap::new();
    for (chat, head) in chats(records) {
        let meaning = Meaning::of(records, chat);
        let known: Vec<_> = records.iter().filter(|record| is_within(record, chat, head / 2)).cloned().collect();
        let known = Meaning::of(&known, chat);
        for limit in [1, 3, 500] {
            for at in 0..=head + 1 {
                for page in [Page::Newest { skip: at }, Page::Before(Seq(at)), Page::After(Seq(at))] {
                    let found = history.messages(chat, page, limit).unwrap();
                    assert_eq!(found, meaning.page(page, limit), "{chat} {page:?} {limit}");
                    // As somebody is to see it who knows of less.
                    let (until, has_more) = history.messages_until(Seq(head / 2), chat, page, limit).unwrap();
                    let expected = known.page(page, limit);
                    let seqs =
                        |messages: &[Arc<Message>]| messages.iter().map(|message| message.seq).collect::<Vec<_>>();
                    assert_eq!((seqs(&until), has_more), (seqs(&expected.0), expected.1), "{chat} {page:?} {limit}");
                }
                let events = history.events(chat, Seq(at), limit).unwrap();
                assert_eq!(events, meaning.events(Seq(at), limit), "{chat} after {at}, {limit}");
            }
            assert_eq!(history.newest(chat, limit).unwrap(), meaning.newest(limit), "{chat}, {limit}");
        }
        for seq in (0..=head + 1).map(Seq) {
            assert_eq!(history.count(chat, seq).unwrap(), meaning.count(seq), "{chat} up to {seq}");
        }
        meanings.insert(chat, meaning);
    }
    for id in (1..=records.len() as u64 + 1).map(|id| MessageId::parse(id).unwrap()) {
        let original = model::original(records, id);
        let spot = original.as_ref().and_then(|original| meanings[&original.chat_id].locate(id));
        assert_eq!(history.locate(id).unwrap(), spot);
        assert_eq!(history.original(id).unwrap(), original);
    }
}

pub(super) fn differences(one: &Path, other: &Path) -> Vec<(&'static str, u64)> {
    let Found::Tables(live) = compare::look(one, EPOCH).unwrap() else { panic!("no tables in {}", one.display()) };
    live.differences(other).unwrap().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(24), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_projected_the_history_is_whole(
        happenings in proptest::collection::vec(happening(), 1..150),
        part in 0usize..=100,
        at_a_time in 1usize..40,
        other_batch in 1usize..40,
    ) {
        let mut story = Story::new(SETTINGS);
        for happening in happenings {
            story.happen(happening);
        }
        story.world.settle();
        let count: usize = story.world.batches.iter().map(Vec::len).sum();
        let (folder, _log, records) = folder(&story.world.batches, count * part / 100, at_a_time);
        prop_assert_eq!(records.len(), count);
        every_page_is_right(&mut History::open(folder.path()).unwrap(), &records);

        let projected = &records[..count * part / 100];
        let other = folder.path().join("other.db");
        project(&other, projected, other_batch);
        prop_assert_eq!(differences(&folder.path().join(FILE), &other), []);
    }
}

pub(super) fn edit(seq: u64, message: u64, content: &str) -> Draft {
    let fact = Fact::MessageEdited {
        message: MessageId::parse(message).unwrap(),
        message_seq: Seq(seq),
        content: content.into(),
        by: chappe_proto::UserId::parse(1).unwrap(),
    };
    Draft { fact, place: Place::Chat(ChatId::parse(1).unwrap()), ..new_chat() }
}

#[test]
fn what_the_tables_do_not_know_yet_changes_what_they_hold() {
    let delete = Fact::MessageDeleted {
        message: MessageId::parse(2).unwrap(),
        message_seq: Seq(2),
        by: chappe_proto::UserId::parse(1).unwrap(),
    };
    let delete = Draft { fact: delete, ..edit(2, 2, "") };
    let batch = vec![new_chat(), post(1, "a"), post(1, "b"), edit(2, 2, "c"), edit(3, 3, "d"), edit(2, 2, "e"), delete];
    for projected in 0..=batch.len() {
        let (folder, _log, records) = folder(std::slice::from_ref(&batch), projected, 3);
        every_page_is_right(&mut History::open(folder.path()).unwrap(), &records);
    }
}

#[test]
fn large_messages_make_short_pages_that_still_lead_to_the_end() {
    let large = "x".repeat(PAGE_BYTES / 4);
    let mut batch = vec![new_chat()];
    batch.extend((0..10).map(|_| post(1, &large)));
    let chat = ChatId::parse(1).unwrap();
    for projected in [0, 6, 11] {
        let (folder, ..) = folder(std::slice::from_ref(&batch), projected, 3);
        let mut history = History::open(folder.path()).unwrap();
        let (messages, has_more) = history.messages(chat, Page::After(Seq(1)), 50).unwrap();
        assert_eq!((messages.len(), messages[0].seq, has_more), (4, Seq(2), true));
        let (messages, has_more) = history.messages(chat, Page::Newest { skip: 0 }, 50).unwrap();
        assert_eq!((messages.len(), messages[3].seq, has_more), (4, Seq(11), true));
        assert_eq!(history.events(chat, Seq(1), 50).unwrap().len(), 4);
        let newest: Vec<u64> = history.newest(chat, 50).unwrap().iter().map(|event| event.seq().0).collect();
        assert_eq!(newest, [8, 9, 10, 11], "up to the newest, or they could not be held in memory");
    }
}

#[test]
fn signatures_are_kept_until_an_edit_or_a_deletion_wherever_those_stand() {
    let (by, signature) =
        (chappe_proto::UserId::parse(1).unwrap(), Box::new(Signature { key: Bytes([1; 32]), value: Bytes([2; 64]) }));
    let signed = |content: &str| {
        let Fact::MessagePosted { sender, content, message_type, client_id, reply_to } = post(1, content).fact else {
            panic!("post posts")
        };
        let signature = signature.clone();
        Draft {
            fact: Fact::SignedMessagePosted { sender, content, message_type, client_id, reply_to, signature },
            ..post(1, "")
        }
    };
    let delete = Fact::MessageDeleted { message: MessageId::parse(3).unwrap(), message_seq: Seq(3), by };
    let delete = Draft { fact: delete, ..edit(3, 3, "") };
    let batch = vec![new_chat(), signed("a"), signed("b"), post(1, "c"), signed("d"), edit(2, 2, "e"), delete];
    for projected in 0..=batch.len() {
        let (folder, _log, records) = folder(std::slice::from_ref(&batch), projected, 3);
        every_page_is_right(&mut History::open(folder.path()).unwrap(), &records);
        let signatures = model::messages(&records, ChatId::parse(1).unwrap())
            .iter()
            .map(|m| m.signature.clone())
            .collect::<Vec<_>>();
        assert_eq!(signatures, [None, None, None, Some(signature.clone())]);
    }
}

#[test]
fn a_page_stays_below_its_bytes_though_messages_have_grown_by_edits() {
    let large = "x".repeat(PAGE_BYTES / 4);
    let mut batch = vec![new_chat()];
    batch.extend((0..10).map(|_| post(1, "small")));
    batch.extend((2..12).map(|seq| edit(seq, seq, &large)));
    let chat = ChatId::parse(1).unwrap();
    for projected in [0, 11, 15, 21] {
        let (folder, ..) = folder(std::slice::from_ref(&batch), projected, 4);
        let (messages, has_more) =
            History::open(folder.path()).unwrap().messages(chat, Page::After(Seq(0)), 50).unwrap();
        assert_eq!((messages.len(), has_more), (4, true), "{projected} projected");
    }
}

#[test]
fn tables_of_another_log_or_broken_ones_are_built_again() {
    let (folder, ..) = folder(&[vec![new_chat(), post(1, "a")]], 2, 5);
    let file = folder.path().join(FILE);
    assert_eq!(Tables::open(&file, EPOCH).unwrap().position(), Position(2));
    assert_eq!(Tables::open(&file, EPOCH + 1).unwrap().position(), Position(0));
    std::fs::write(&file, "not a database, but long enough to be looked at as one, twice over").unwrap();
    assert_eq!(Tables::open(&file, EPOCH).unwrap().position(), Position(0));
}

#[test]
fn tables_whose_making_a_power_cut_ended_are_made_again() {
    let (folder, ..) = folder(&[vec![new_chat(), post(1, "a")]], 2, 5);
    let making = rusqlite::Connection::open(folder.path().join("making")).unwrap();
    making
        .execute_batch(
            "CREATE TABLE made (part BLOB); INSERT INTO made VALUES (randomblob(9000)); PRAGMA cache_size = 1; BEGIN;
             UPDATE made SET part = randomblob(90000); INSERT INTO made VALUES (randomblob(90000));",
        )
        .unwrap();
    for (made, left) in [("making", FILE.to_owned()), ("making-journal", format!("{FILE}-journal"))] {
        std::fs::copy(folder.path().join(made), folder.path().join(left)).unwrap();
    }
    let file = folder.path().join(FILE);
    assert!(matches!(compare::look(&file, EPOCH), Ok(Found::Unreadable(_))));
    assert_eq!(Tables::open(&file, EPOCH).unwrap().position(), Position(0));
}

#[test]
fn tables_of_an_older_version_are_built_again_and_are_no_difference() {
    let (folder, mut log, _) = folder(&[vec![new_chat(), post(1, "a")]], 2, 5);
    let file = folder.path().join(FILE);
    let older = rusqlite::Connection::open(&file).unwrap();
    older.execute_batch("DROP TABLE chunks; PRAGMA user_version = 2;").unwrap();
    drop(older);
    assert!(matches!(compare::look(&file, EPOCH), Ok(Found::Nothing)));
    let mut tables = Tables::open(&file, EPOCH).unwrap();
    assert_eq!(tables.position(), Position(0));
    tables.project(&batch(&log.scan(Position(0), 10).unwrap())).unwrap();
    assert_eq!(Tables::open(&file, EPOCH).unwrap().position(), Position(2));
}

#[test]
fn tables_in_which_damage_was_found_are_built_again_once() {
    let (folder, mut log, _) = folder(&[vec![new_chat(), post(1, "a")]], 2, 5);
    let file = folder.path().join(FILE);
    tables::doubt(folder.path());
    Tables::open(&folder.path().join("verify.db"), EPOCH).unwrap();
    assert_eq!(tables::limited(folder.path()).unwrap().unwrap().position, Position(2), "those beside them are others");
    let mut tables = Tables::open(&file, EPOCH).unwrap();
    assert_eq!(tables.position(), Position(0));
    tables.project(&batch(&log.scan(Position(0), 10).unwrap())).unwrap();
    assert_eq!(Tables::open(&file, EPOCH).unwrap().position(), Position(2));
}

#[test]
fn what_no_tables_can_show_is_a_difference_though_all_tables_have_it() {
    let (folder, log, records) = folder(&[vec![new_chat(), post(1, &"a".repeat(40_000)), post(1, "b")]], 3, 5);
    drop(log);
    let beside = folder.path().join("beside.db");
    project(&beside, &records, 5);
    let file = folder.path().join(FILE);
    assert_eq!(differences(&file, &beside), []);
    for tables in [&file, &beside] {
        let tables = rusqlite::Connection::open(tables).unwrap();
        tables.execute("UPDATE chunks SET body = substr(body, 2)", ()).unwrap();
    }
    assert!(matches!(differences(&file, &beside)[..], [("unreadable chunks", 1..)]));
}

#[test]
fn where_the_log_said_what_is_not_kept_is_compared_too() {
    let (folder, log, records) = folder(&[vec![new_chat(), post(1, "b")]], 2, 5);
    drop(log);
    let beside = folder.path().join("beside.db");
    project(&beside, &records, 5);
    let (file, tables) = (folder.path().join(FILE), |file: &Path| rusqlite::Connection::open(file).unwrap());
    tables(&file).execute("UPDATE limited SET erased = 1", ()).unwrap();
    assert_eq!(differences(&file, &beside), [("limited", 1)]);
    tables(&beside).execute("UPDATE limited SET erased = 1, trimmed = 2", ()).unwrap();
    assert_eq!(differences(&file, &beside), [("limited", 1)]);
    tables(&file).execute("UPDATE limited SET trimmed = 3", ()).unwrap();
    assert_eq!(differences(&file, &beside), [], "what was noted of late is in the log no more");
}

#[test]
fn users_are_known_whether_the_tables_have_heard_of_them_or_not() {
    let user = |id| UserId::parse(id).unwrap();
    let made = |id| Draft {
        at: Millis(1),
        place: Place::Nowhere,
        fact: Fact::UserCreated { user: user(id), nickname: "ann".into() },
    };
    let (folder, ..) = folder(&[vec![made(7)], vec![new_chat(), made(8)]], 1, 1);
    let mut history = History::open(folder.path()).unwrap();
    assert_eq!([7, 8, 9].map(|id| history.knows(user(id)).unwrap()), [true, true, false]);
}
