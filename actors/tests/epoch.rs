//! A log that has lost its end gives out numbers anew that others have seen: it is another log then, and says so.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so")]

use std::path::Path;

use chappe_actors::engine::{self, Engine};
use chappe_actors::history::batch::Batch;
use chappe_actors::history::tables::{FILE, Tables};
use chappe_actors::log::EventLog;
use chappe_actors::log::record::{Draft, Fact, Place, Position};
use chappe_actors::log::sqlite::{self, SqliteLog};
use chappe_actors::state::Settings;
use chappe_proto::limits::Limits;
use chappe_proto::{Millis, UserId};
use rusqlite::Connection;

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

fn account(id: u64, nickname: &str) -> Draft {
    let user = UserId::parse(id).unwrap();
    Draft { at: Millis(1), place: Place::Nowhere, fact: Fact::UserCreated { user, nickname: nickname.into() } }
}

fn start_and_stop(folder: &Path) {
    actix::System::new().block_on(async { Engine::start(folder, settings(), EPOCH).unwrap().stop() });
}

fn epoch(folder: &Path) -> u64 {
    SqliteLog::reader(folder).unwrap().epoch()
}

#[test]
fn tables_that_know_more_than_the_log_are_built_again_in_a_new_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), EPOCH, |_| {}).unwrap();
    log.append(vec![account(1, "ann")]).unwrap();
    log.append(vec![account(2, "bob"), account(3, "cat")]).unwrap();
    let mut tables = Tables::open(&folder.path().join(FILE), EPOCH).unwrap();
    tables.project(&Batch::read(&mut log, Position(0), Position(3)).unwrap()).unwrap();
    drop((log, tables));
    start_and_stop(folder.path());
    assert_eq!(epoch(folder.path()), EPOCH, "nothing is missing");

    // As if its write-ahead file had been moved away; and then something else takes the same numbers.
    let connection = Connection::open(folder.path().join(sqlite::FILE)).unwrap();
    connection.execute("DELETE FROM batch WHERE first > 1", ()).unwrap();
    drop(connection);
    start_and_stop(folder.path());
    assert_eq!(epoch(folder.path()), EPOCH + 1);
    let (mut log, _) = SqliteLog::open(folder.path(), EPOCH, |_| {}).unwrap();
    log.append(vec![account(4, "dan"), account(5, "eve"), account(6, "fox")]).unwrap();
    drop(log);
    start_and_stop(folder.path());
    assert_eq!(epoch(folder.path()), EPOCH + 1, "once");
    let found = engine::verify(folder.path(), settings()).unwrap();
    assert_eq!((found.records, found.projected, found.differences), (4, 4, Vec::new()));
}
