//! A start takes a snapshot where it can, reads the whole log where it cannot, and comes to the same state.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use chappe_actors::engine::{self, Engine, SNAPSHOT, SNAPSHOT_AHEAD};
use chappe_actors::health::Health;
use chappe_actors::log::EventLog;
use chappe_actors::log::record::{Draft, Fact, Place};
use chappe_actors::log::sqlite::{self, SqliteLog};
use chappe_actors::messages::GetHealth;
use chappe_actors::snapshot::{FILE, UNFINISHED, names_file};
use chappe_actors::state::Settings;
use chappe_proto::event::ChatKind;
use chappe_proto::limits::Limits;
use chappe_proto::message::MessageType;
use chappe_proto::{ChatId, ClientId, Millis, UserId};
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

fn post(number: u64) -> Draft {
    let fact = Fact::MessagePosted {
        sender: UserId::parse(1).unwrap(),
        content: format!("message {number} {}", "x".repeat(300)).into(),
        message_type: MessageType::Text,
        client_id: ClientId::parse(format!("name {number}")).ok(),
        reply_to: None,
    };
    Draft { at: Millis(1), place: Place::Chat(ChatId::parse(1 + number % 20).unwrap()), fact }
}

fn append(folder: &Path, drafts: Vec<Draft>) {
    let (mut log, _) = SqliteLog::open(folder, EPOCH, |_| {}).unwrap();
    for batch in drafts.chunks(50) {
        log.append(batch.to_vec()).unwrap();
    }
}

/// A folder with 20 chats and 500 messages, of a server that was stopped.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ann = UserId::parse(1).unwrap();
    let made = Fact::UserCreated { user: ann, nickname: "ann".into() };
    let chat = || Fact::ChatCreated { title: "ops".into(), kind: ChatKind::Group, by: Some(ann), members: vec![ann] };
    let mut drafts = vec![Draft { at: Millis(1), place: Place::Nowhere, fact: made }];
    drafts.extend((0..20).map(|_| Draft { at: Millis(1), place: Place::NewChat, fact: chat() }));
    drafts.extend((0..500).map(post));
    append(folder.path(), drafts);
    assert_eq!(start_and_stop(folder.path()), (20, 500));
    folder
}

/// Chats and messages of a server that is started, and stopped again.
fn start_and_stop(folder: &Path) -> (u64, u64) {
    actix::System::new().block_on(async {
        let engine = Engine::start(folder, settings(), EPOCH).unwrap();
        let found = (engine.chats, engine.messages);
        engine.stop();
        found
    })
}

fn differences(folder: &Path) -> Vec<(&'static str, u64)> {
    engine::verify(folder, settings()).unwrap().differences
}

fn sql(folder: &Path, statement: &str) {
    Connection::open(folder.join(sqlite::FILE)).unwrap().execute(statement, ()).unwrap();
}

#[test]
fn what_a_snapshot_tells_is_not_read_again_and_what_came_behind_it_is() {
    let folder = folder();
    append(folder.path(), (500..540).map(post).collect());
    // Whoever reads this row does not start.
    sql(folder.path(), "UPDATE batch SET body = zeroblob(length(body)) WHERE first = 1");
    assert_eq!(start_and_stop(folder.path()), (20, 540));
}

#[test]
fn damage_in_what_was_not_read_is_found_after_the_start_and_told() {
    let folder = folder();
    sql(folder.path(), "UPDATE batch SET body = zeroblob(length(body)) WHERE first = 51");
    let health: Health = actix::System::new().block_on(async {
        let engine = Engine::start(folder.path(), settings(), EPOCH).unwrap();
        let patience = Instant::now() + Duration::from_secs(30);
        let health = loop {
            let health = engine.cache.send(GetHealth).await.unwrap();
            if health.damage.is_some() || Instant::now() > patience {
                break health;
            }
            tokio::task::yield_now().await;
        };
        engine.stop();
        health
    });
    assert!(health.damage.as_ref().is_some_and(|what| what.contains("position 51")), "{health:?}");
    assert!(health.ready().is_ok(), "it goes on");
}

#[test]
fn a_snapshot_that_is_damaged_anywhere_is_left_aside() {
    let folder = folder();
    for file in [FILE, names_file::FILE] {
        let path = folder.path().join(file);
        let whole = fs::read(&path).unwrap();
        let flips = (0..whole.len()).step_by(whole.len() / 20).map(|at| {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            bad
        });
        let cuts = [0, 1, 7, whole.len() / 2, whole.len() - 1].map(|length| whole[..length].to_vec());
        for bad in flips.chain(cuts) {
            fs::write(&path, &bad).unwrap();
            assert_eq!(differences(folder.path()), [(SNAPSHOT, 1)], "{file}");
            assert_eq!(start_and_stop(folder.path()), (20, 500), "{file}");
            // It has written another.
            assert_eq!(differences(folder.path()), [], "{file}");
            assert_ne!(fs::read(&path).unwrap(), bad);
            fs::write(&path, &whole).unwrap();
            let other = if file == FILE { names_file::FILE } else { FILE };
            fs::remove_file(folder.path().join(other)).unwrap();
            assert_eq!(start_and_stop(folder.path()), (20, 500), "{file} without {other}");
            fs::remove_file(&path).unwrap();
            assert_eq!(start_and_stop(folder.path()), (20, 500), "without either");
        }
    }
}

#[test]
fn what_a_killed_server_left_of_its_next_snapshot_does_no_harm() {
    let folder = folder();
    // It had appended names and written half of the chats.
    let names = folder.path().join(names_file::FILE);
    let mut longer = fs::read(&names).unwrap();
    longer.extend(vec![0xAA; 5000]);
    fs::write(&names, longer).unwrap();
    fs::write(folder.path().join(UNFINISHED), vec![0x55; 3000]).unwrap();
    append(folder.path(), (500..540).map(post).collect());
    assert_eq!(differences(folder.path()), []);
    assert_eq!(start_and_stop(folder.path()), (20, 540));
    assert_eq!(differences(folder.path()), []);
    assert_eq!(start_and_stop(folder.path()), (20, 540));
    assert!(!folder.path().join(UNFINISHED).exists());
}

#[test]
fn a_log_that_ends_before_its_snapshot_is_another_log() {
    let folder = folder();
    fs::remove_file(folder.path().join("query.db")).unwrap();
    sql(folder.path(), "DELETE FROM batch WHERE first > 400");
    assert_eq!(differences(folder.path()), [(SNAPSHOT_AHEAD, 121)]);
    assert_eq!(start_and_stop(folder.path()), (20, 379));
    let epoch = || SqliteLog::reader(folder.path()).unwrap().epoch();
    assert_eq!(epoch(), EPOCH + 1, "numbers are given out anew");
    assert_eq!(start_and_stop(folder.path()), (20, 379));
    assert_eq!((epoch(), differences(folder.path())), (EPOCH + 1, Vec::new()));
}

#[test]
fn a_snapshot_of_another_log_is_left_aside() {
    let folder = folder();
    sql(folder.path(), "UPDATE origin SET epoch = 77");
    assert_eq!(start_and_stop(folder.path()), (20, 500));
    assert_eq!(differences(folder.path()), []);
}

#[test]
fn the_newest_chat_keeps_its_number_when_it_is_gone() {
    let folder = folder();
    let fact = Fact::ChatUpdated { title: "ops".into(), deleted: true, by: None };
    append(folder.path(), vec![Draft { at: Millis(1), place: Place::Chat(ChatId::parse(20).unwrap()), fact }]);
    assert_eq!(start_and_stop(folder.path()).0, 19);
    let log = || SqliteLog::open_unread(folder.path(), EPOCH).unwrap();
    let loaded = chappe_actors::snapshot::load::load(folder.path(), EPOCH, settings()).unwrap().unwrap();
    let mut log = log();
    log.read(loaded.state.numbering(), |_| {}).unwrap();
    let fact = Fact::ChatCreated { title: "new".into(), kind: ChatKind::Open, by: None, members: Vec::new() };
    let made = log.append(vec![Draft { at: Millis(1), place: Place::NewChat, fact }]).unwrap();
    assert_eq!(made[0].entry.numbered.map(|(chat, _)| chat.get()), Some(21));
}
