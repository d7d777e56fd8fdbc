//! `verify` checks the log and compares the query tables with it, and changes neither.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so")]

use std::fs;
use std::path::{Path, PathBuf};

use chappe_actors::engine::{self, AHEAD_OF_THE_LOG, EngineError, OF_ANOTHER_LOG, UNREADABLE, Verified};
use chappe_actors::history::batch::Batch;
use chappe_actors::history::tables::{FILE, Tables};
use chappe_actors::log::EventLog;
use chappe_actors::log::record::{Draft, Fact, Place, Position};
use chappe_actors::log::sqlite::SqliteLog;
use chappe_actors::state::Settings;
use chappe_proto::event::ChatKind;
use chappe_proto::limits::Limits;
use chappe_proto::message::MessageType;
use chappe_proto::{ChatId, Millis, UserId};
use rusqlite::Connection;
use tempfile::TempDir;

const EPOCH: u64 = 42;

fn settings() -> Settings {
    Settings {
        limits: Limits::default(),
        messages_per_chat: 100,
        cache_bytes: 1 << 20,
        pending_writes: 100,
        heartbeat_ms: 30_000,
        connections_per_user: 100,
        open: true,
        epoch: EPOCH,
    }
}

fn drafts() -> Vec<Draft> {
    let ann = UserId::parse(1).unwrap();
    let draft = |place, fact| Draft { at: Millis(1), place, fact };
    let mut drafts = vec![
        draft(Place::Nowhere, Fact::UserCreated { user: ann, nickname: "ann".into() }),
        draft(
            Place::NewChat,
            Fact::ChatCreated { title: "ops".into(), kind: ChatKind::Group, by: Some(ann), members: vec![ann] },
        ),
    ];
    let post = |n: u64| Fact::MessagePosted {
        sender: ann,
        content: format!("message {n} {}", "x".repeat(300)).into(),
        message_type: MessageType::Text,
        client_id: None,
        reply_to: None,
    };
    drafts.extend((0..100).map(|n| draft(Place::Chat(ChatId::parse(1).unwrap()), post(n))));
    drafts
}

/// A folder whose tables have taken over the first `projected` of 102 records.
fn folder(projected: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), EPOCH, |_| {}).unwrap();
    let records = log.append(drafts()).unwrap();
    assert_eq!(records.len(), 102);
    project(folder.path(), &mut log, projected as u64);
    folder
}

/// Has the tables take over what they lack, up to a position.
fn project(folder: &Path, log: &mut SqliteLog, until: u64) {
    let mut tables = Tables::open(&folder.join(FILE), EPOCH).unwrap();
    let batch = Batch::read(log, tables.position(), Position(until)).unwrap();
    tables.project(&batch).unwrap();
}

fn verify(folder: &Path) -> Verified {
    engine::verify(folder, settings()).unwrap()
}

/// The names and bytes of what is in a folder, but for the lock.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap() != "lock")
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn tables_that_follow_from_the_log_agree_however_far_they_have_come() {
    for projected in [0, 1, 50, 102] {
        let folder = folder(projected);
        let before = files(folder.path());
        let found = verify(folder.path());
        assert_eq!((found.records, found.projected, found.chats), (102, projected as u64, 1));
        assert_eq!(found.differences, []);
        assert_eq!(files(folder.path()), before, "nothing was changed, nothing was left");
    }
}

#[test]
fn a_changed_row_is_found_in_its_table() {
    let folder = folder(102);
    let change = |sql: &str| Connection::open(folder.path().join(FILE)).unwrap().execute(sql, ()).unwrap();
    change("DELETE FROM members");
    // One byte of each chunk: none of its events can be read.
    change("UPDATE chunks SET body = substr(body, 1, length(body) - 1) || x'00'");
    let tables = Connection::open(folder.path().join(FILE)).unwrap();
    let number = |sql: &str| u64::try_from(tables.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap()).unwrap();
    let (behind, chunks) = (number("SELECT first FROM ends"), number("SELECT count(*) FROM chunks"));
    drop(tables);
    let before = files(folder.path());
    assert_eq!(
        verify(folder.path()).differences,
        [("members", 1), ("messages", behind - 2), ("events", 1), ("unreadable chunks", chunks)]
    );
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_row_changed_and_not_yet_moved_out_of_the_write_ahead_file_is_found() {
    let folder = folder(102);
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute("UPDATE users SET nickname = 'forged'", ()).unwrap();
    // As a killed server leaves it.
    let wal = folder.path().join(format!("{FILE}-wal"));
    let (kept, main) = (fs::read(&wal).unwrap(), fs::read(folder.path().join(FILE)).unwrap());
    drop(connection);
    fs::write(&wal, &kept).unwrap();
    fs::write(folder.path().join(FILE), &main).unwrap();
    assert_eq!(verify(folder.path()).differences, [("users", 2)]);
    assert_eq!(fs::read(&wal).unwrap(), kept);
    assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), main);
}

#[test]
fn tables_that_cannot_be_read_are_reported_and_left_as_they_are() {
    let garbage = b"this is not a database, but it is long enough to be looked at as if it were one".to_vec();
    let whole = fs::read(folder(102).path().join(FILE)).unwrap();
    let mut holed = whole.clone();
    // Every page but the first: the layout is there, and the rows are not.
    holed[4096..].fill(0xAA);
    let cut = whole[..whole.len() / 2].to_vec();
    for broken in [garbage, holed, cut, Vec::new()] {
        let folder = folder(102);
        fs::write(folder.path().join(FILE), &broken).unwrap();
        assert_eq!(verify(folder.path()).differences, [(UNREADABLE, 1)]);
        assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), broken);
    }
}

#[test]
fn a_missing_table_is_reported() {
    let folder = folder(102);
    Connection::open(folder.path().join(FILE)).unwrap().execute("DROP TABLE reactions", ()).unwrap();
    assert_eq!(verify(folder.path()).differences, [(UNREADABLE, 1)]);
}

#[test]
fn tables_of_another_log_are_reported_and_left_as_they_are() {
    let folder = folder(102);
    Connection::open(folder.path().join(FILE)).unwrap().execute("UPDATE progress SET epoch = 1", ()).unwrap();
    let before = files(folder.path());
    assert_eq!(verify(folder.path()).differences, [(OF_ANOTHER_LOG, 1)]);
    assert_eq!(files(folder.path()), before);
}

#[test]
fn tables_that_hold_more_than_the_log_are_reported() {
    let folder = folder(102);
    let place = tempfile::tempdir().unwrap();
    let (mut longer, _) = SqliteLog::open(place.path(), EPOCH, |_| {}).unwrap();
    longer.append(drafts()).unwrap();
    longer.append(drafts().split_off(2)).unwrap();
    project(folder.path(), &mut longer, 202);
    assert_eq!(verify(folder.path()).differences, [(AHEAD_OF_THE_LOG, 100)]);
}

#[test]
fn missing_tables_are_no_difference_and_are_not_made() {
    let folder = folder(102);
    fs::remove_file(folder.path().join(FILE)).unwrap();
    let found = verify(folder.path());
    assert_eq!((found.records, found.projected, found.differences), (102, 0, Vec::new()));
    assert!(!folder.path().join(FILE).exists());
}

#[test]
fn what_an_interrupted_verify_left_is_not_mistaken_for_the_truth() {
    let folder = folder(102);
    let left = Connection::open(folder.path().join("verify.db")).unwrap();
    left.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE users (x); CREATE TABLE progress (y);").unwrap();
    let wal = fs::read(folder.path().join("verify.db-wal")).unwrap();
    drop(left);
    fs::write(folder.path().join("verify.db-wal"), wal).unwrap();
    assert_eq!(verify(folder.path()).differences, []);
    assert!(!folder.path().join("verify.db-wal").exists());
}

#[test]
fn a_folder_without_a_log_is_said_to_have_none_and_stays_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let nowhere = place.path().join("not-there");
    for folder in [&nowhere, &place.path().to_owned()] {
        let error = engine::verify(folder, settings()).unwrap_err();
        assert!(matches!(error, EngineError::NoLog(_)), "{error}");
        assert!(error.to_string().contains(&folder.display().to_string()), "{error}");
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}
