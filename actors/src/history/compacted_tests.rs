//! Whatever a log says is not kept, and wherever its rewriting is broken off: nothing else of it changes, and what it means
//! stays the same.

use chappe_proto::{ChatId, MessageId, Millis, Seq, UserId};
use proptest::prelude::*;

use super::History;
use super::tables::{self, FILE};
use super::tests::{EPOCH, differences, edit, every_page_is_right, folder, project};
use crate::log::compact::{Compaction, Step};
use crate::log::conformance::{new_chat, post};
use crate::log::record::{Draft, Fact, Place, Position, Record};
use crate::log::sqlite::SqliteLog;
use crate::log::{EventLog, LogError, model};
use crate::state::State;
use crate::state::tests::properties::{Story, cases, happening};
use crate::state::tests::world::SETTINGS;

fn state(records: &[Record]) -> State {
    let mut state = State::new(SETTINGS);
    records.iter().cloned().for_each(|record| state.replay(record));
    state
}

/// Takes up to so many steps, and is killed then.
fn compact(folder: &std::path::Path, steps: usize) -> usize {
    let (mut log, _) = SqliteLog::open(folder, EPOCH, |_| {}).unwrap();
    let mut reader = SqliteLog::reader(folder).unwrap();
    let mut compaction = Compaction::begin(&reader, Position(u64::MAX)).unwrap();
    let mut done = 0;
    while done < steps {
        match compaction.next(&mut reader).unwrap() {
            Step::Looked => {}
            Step::Rewrite(rewrite) => {
                assert!(log.replace(&rewrite).unwrap());
                assert!(!log.replace(&rewrite).unwrap(), "the rows are others now");
                done += 1;
            }
            Step::End => break,
        }
    }
    done
}

fn is_one_of_two(now: &[Record], before: &[Record], reduced: &[Record]) {
    assert_eq!(now.len(), before.len());
    for ((now, before), reduced) in now.iter().zip(before).zip(reduced) {
        assert!(now == before || now == reduced, "{now:?} is neither {before:?} nor {reduced:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(32), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_that_is_rewritten_in_part_or_whole_means_what_it_meant(
        happenings in proptest::collection::vec(happening(), 1..150),
        steps in 0usize..6,
        at_a_time in 1usize..40,
    ) {
        let mut story = Story::new(SETTINGS);
        happenings.into_iter().for_each(|happening| story.happen(happening));
        story.world.settle();
        let (folder, log, before) = folder(&story.world.batches, usize::MAX, at_a_time);
        drop(log);
        let reduced = model::reduced(&before);
        let chats: Vec<ChatId> = (1..20).map(|chat| ChatId::parse(chat).unwrap()).collect();
        let meant: Vec<_> = chats.iter().map(|chat| model::events(&before, *chat, Seq(0))).collect();
        let erased = |records: &[Record]| -> Vec<_> {
            let erased = records.iter().filter(|record| matches!(record.entry.fact, Fact::MessageErased { .. }));
            erased.filter_map(|record| record.position.message()).collect()
        };
        // Broken off, done again, and once more for nothing.
        for steps in [steps, usize::MAX, usize::MAX] {
            compact(folder.path(), steps);
            let mut now = Vec::new();
            SqliteLog::open(folder.path(), EPOCH, |record| now.push(record)).unwrap();
            is_one_of_two(&now, &before, &reduced);
            let means: Vec<_> = chats.iter().map(|chat| model::events(&now, *chat, Seq(0))).collect();
            prop_assert_eq!(&means, &meant);
            prop_assert_eq!(state(&now).differences(&state(&before), &erased(&now)), 0);
            every_page_is_right(&mut History::open(folder.path()).unwrap(), &now);
            let anew = folder.path().join("anew.db");
            project(&anew, &now, at_a_time);
            prop_assert_eq!(differences(&folder.path().join(FILE), &anew), []);
            std::fs::remove_file(&anew).unwrap();
        }
        let mut after = Vec::new();
        SqliteLog::open(folder.path(), EPOCH, |record| after.push(record)).unwrap();
        prop_assert_eq!(after, reduced);
        prop_assert_eq!(compact(folder.path(), usize::MAX), 0);
    }
}

/// Whether words stand in the tables' file as they are.
fn says(folder: &std::path::Path, words: &str) -> bool {
    let bytes = std::fs::read(folder.join(FILE)).unwrap();
    bytes.windows(words.len()).any(|window| window == words.as_bytes())
}

#[test]
fn edits_and_reactions_go_from_the_tables_with_their_user_and_with_their_message() {
    let (user, chat, message) = (UserId::parse(1).unwrap(), ChatId::parse(1).unwrap(), MessageId::parse(2).unwrap());
    let reaction = Fact::Reacted { message, message_seq: Seq(2), user, emoji: "a face".into(), removed: false };
    let limit = |fact| Draft { at: Millis(9), place: Place::Nowhere, fact };
    let made = limit(Fact::UserCreated { user, nickname: "a name".into() });
    let said = Draft { fact: reaction, ..post(1, "") };
    let told = vec![new_chat(), post(1, "a word"), edit(2, 2, "a later word"), said, post(1, ""), made];
    let trimmed = Fact::Trimmed { chat, up_to: Seq(2), messages: 1 };
    // A limit is said at the end, or while what it is about is still on its way.
    for (fact, at, keeps_name) in [
        (Fact::UserErased { user }, 6, false),
        (trimmed.clone(), 6, true),
        (trimmed.clone(), 3, true),
        (trimmed, 2, true),
    ] {
        let mut batch = told.clone();
        batch.insert(at, limit(fact));
        for at_a_time in [1, 2, 9] {
            let (folder, log, before) = folder(std::slice::from_ref(&batch), usize::MAX, at_a_time);
            drop(log);
            for words in ["a word", "a later word", "a face"] {
                assert!(!says(folder.path(), words), "{words:?} taken over {at_a_time} at a time, limit at {at}");
            }
            assert_eq!(says(folder.path(), "a name"), keeps_name);
            every_page_is_right(&mut History::open(folder.path()).unwrap(), &before);
            let anew = folder.path().join("anew.db");
            project(&anew, &model::reduced(&before), at_a_time);
            assert_eq!(differences(&folder.path().join(FILE), &anew), []);
        }
    }
}

#[test]
fn an_edit_goes_with_its_message_from_another_chunk_and_from_behind_the_tables() {
    let chat = ChatId::parse(1).unwrap();
    let trimmed = Fact::Trimmed { chat, up_to: Seq(2), messages: 1 };
    let trimmed = Draft { at: Millis(9), place: Place::Nowhere, fact: trimmed };
    let large = "x".repeat(60_000);
    let mut batch = vec![new_chat(), post(1, "a word"), post(1, &large), post(1, &large), edit(2, 2, "a later word")];
    batch.extend([post(1, &large), trimmed, edit(2, 2, "the last word")]);
    for projected in 0..=batch.len() {
        let (folder, log, before) = folder(std::slice::from_ref(&batch), projected, 3);
        drop(log);
        every_page_is_right(&mut History::open(folder.path()).unwrap(), &before);
        let anew = folder.path().join("anew.db");
        if projected == batch.len() {
            project(&anew, &model::reduced(&before), 3);
            assert_eq!(differences(&folder.path().join(FILE), &anew), []);
        }
    }
}

#[test]
fn what_is_said_of_a_message_that_has_gone_is_to_be_compacted_again() {
    let chat = ChatId::parse(1).unwrap();
    let limit =
        Draft { at: Millis(9), place: Place::Nowhere, fact: Fact::Trimmed { chat, up_to: Seq(2), messages: 1 } };
    let batch = vec![new_chat(), post(1, "a word"), limit, edit(2, 2, "a later word")];
    let (folder, ..) = folder(std::slice::from_ref(&batch), usize::MAX, 1);
    assert_eq!(tables::limited(folder.path()).unwrap().unwrap().trimmed, Position(4));
}

#[test]
fn where_somebody_read_who_is_erased_is_told_by_no_table() {
    let (user, chat) = (UserId::parse(1).unwrap(), ChatId::parse(1).unwrap());
    let drafted = |fact| Draft { at: Millis(9), place: Place::Nowhere, fact };
    let deleted = Fact::ChatUpdated { title: "t".into(), deleted: true, by: None };
    let batch = vec![
        new_chat(),
        post(1, "a word"),
        drafted(Fact::ReadMarked { chat, user, seq: Seq(2), count: 1 }),
        Draft { fact: deleted, ..post(1, "") },
        drafted(Fact::UserErased { user }),
    ];
    for at_a_time in [1, 9] {
        let (folder, log, before) = folder(std::slice::from_ref(&batch), usize::MAX, at_a_time);
        drop(log);
        let tables = rusqlite::Connection::open(folder.path().join(FILE)).unwrap();
        let marks: i64 = tables.query_row("SELECT count(*) FROM members", (), |row| row.get(0)).unwrap();
        assert_eq!(marks, 0);
        let anew = folder.path().join("anew.db");
        project(&anew, &model::reduced(&before), at_a_time);
        assert_eq!(differences(&folder.path().join(FILE), &anew), []);
    }
}

#[test]
fn a_record_that_says_less_may_be_as_long_as_before() {
    let (user, chat) = (UserId::parse(1).unwrap(), ChatId::parse(1).unwrap());
    let drafted = |fact| Draft { at: Millis(9), place: Place::Nowhere, fact };
    let read = drafted(Fact::ReadMarked { chat, user, seq: Seq(2), count: 1 });
    let batches = vec![vec![new_chat(), read], vec![drafted(Fact::UserErased { user })]];
    let (folder, log, before) = folder(&batches, usize::MAX, 1);
    drop(log);
    // A row a step: the last one stays by itself.
    compact(folder.path(), usize::MAX);
    let mut after = Vec::new();
    SqliteLog::open(folder.path(), EPOCH, |record| after.push(record)).unwrap();
    assert_eq!(after, model::reduced(&before));
    assert_ne!(after, before);
}

#[test]
fn rows_that_are_damaged_are_not_rewritten() {
    let batches: Vec<_> = std::iter::once(vec![new_chat()]).chain((0..5).map(|_| vec![post(1, "words")])).collect();
    // Damaged before what is not kept was looked for, and behind that.
    for looks in [0, 1] {
        let (folder, log, _) = folder(&batches, 0, 1);
        drop(log);
        let mut reader = SqliteLog::reader(folder.path()).unwrap();
        let mut compaction = Compaction::begin(&reader, Position(u64::MAX)).unwrap();
        for _ in 0..looks {
            assert!(matches!(compaction.next(&mut reader).unwrap(), Step::Looked));
        }
        let connection = rusqlite::Connection::open(folder.path().join(crate::log::sqlite::FILE)).unwrap();
        connection.execute("UPDATE batch SET body = substr(body, 1, 9) WHERE first = 4", ()).unwrap();
        let error = compaction.next(&mut reader).unwrap_err();
        assert!(matches!(error, LogError::Damaged(_)), "{error}");
    }
}

#[test]
fn what_is_past_its_time_ends_with_the_first_message_that_is_not() {
    // The clock went back once.
    let posts = [10, 20, 5, 30, 40].map(|at| Draft { at: Millis(at), ..post(1, "words") });
    let batches = vec![std::iter::once(new_chat()).chain(posts).collect()];
    for projected in [0, 3, 6] {
        let (folder, ..) = folder(&batches, projected, 2);
        let mut history = History::open(folder.path()).unwrap();
        let chat = ChatId::parse(1).unwrap();
        for (after, time, limit, expected) in [
            (0, 25, 100, (3, Some(Millis(30)))),
            (0, 15, 100, (1, Some(Millis(20)))),
            (0, 5, 100, (0, Some(Millis(10)))),
            (0, 99, 100, (5, None)),
            (0, 99, 2, (2, None)),
            (3, 25, 100, (1, Some(Millis(30)))),
        ] {
            let found = history.older(chat, Seq(after), (Millis(time), Millis(u64::MAX)), limit, 1).unwrap();
            assert_eq!(found, expected, "after {after}, before {time}, at most {limit}");
        }
        assert_eq!(history.nth_message(chat, 3).unwrap(), Seq(4));
    }
}
