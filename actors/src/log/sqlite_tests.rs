//! What the log in SQLite does when the disk does not.

use super::super::conformance::{new_chat, post};
use super::*;

fn limit_pages(log: &SqliteLog, more: i64) {
    let pages: i64 = log.connection.query_row("PRAGMA page_count", (), |row| row.get(0)).unwrap();
    let sql = format!("PRAGMA max_page_count = {}", pages + more);
    log.connection.query_row(&sql, (), |_| Ok(())).unwrap();
}

fn reopened(folder: &Path) -> Vec<Record> {
    let mut records = Vec::new();
    SqliteLog::open(folder, 1, |record| records.push(record)).unwrap();
    records
}

#[test]
fn a_full_disk_keeps_nothing_of_the_batch_and_skips_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
    let mut kept = log.append(vec![new_chat(), post(1, "a")]).unwrap();
    limit_pages(&log, 4);
    let mut too_much = vec![new_chat(), post(2, "in a chat that is not kept")];
    too_much.extend((0..20).map(|_| post(1, &"x".repeat(10_000))));
    let error = log.append(too_much).unwrap_err();
    assert!(error.is_passing(), "{error}");
    // Less than all of it fits: the next goes on where the last whole one ended.
    kept.extend(log.append(vec![new_chat(), post(1, "b"), post(2, "c")]).unwrap());
    limit_pages(&log, 10_000);
    kept.extend(log.append(vec![post(1, &"x".repeat(100_000)), post(2, "d")]).unwrap());
    let positions: Vec<u64> = kept.iter().map(|record| record.position.0).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5, 6, 7]);
    drop(log);
    assert_eq!(reopened(folder.path()), kept);
}

#[test]
fn the_index_of_the_write_ahead_file_has_its_room_before_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
    let mut kept = log.append(vec![new_chat(), post(1, "before")]).unwrap();
    for turn in 0..2 {
        if turn == 0 {
            log.keep_room(folder.path());
        } else {
            log.probe().unwrap();
        }
        let index = std::fs::metadata(folder.path().join("log.db-shm")).unwrap();
        assert_eq!(index.len(), checkpoint::INDEX_BYTES);
        assert!(index.blocks() * 512 >= checkpoint::INDEX_BYTES, "with blocks, and not only with a size");
        kept.extend(log.append(vec![post(1, "behind")]).unwrap());
        assert_eq!(SqliteLog::reader(folder.path()).unwrap().scan(Position(0), 9).unwrap(), kept);
    }
}

#[test]
fn a_log_that_lost_its_end_is_another_log() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), 7, |_| {}).unwrap();
    log.append(vec![new_chat()]).unwrap();
    log.append(vec![post(1, "a")]).unwrap();
    log.connection.execute("UPDATE batch SET body = zeroblob(9) WHERE first = 2", ()).unwrap();
    drop(log);
    let (log, torn) = SqliteLog::open(folder.path(), 7, |_| {}).unwrap();
    assert_eq!((log.head(), log.epoch(), torn.is_some()), (Position(1), 8, true));
    drop(log);
    let (log, torn) = SqliteLog::open(folder.path(), 7, |_| {}).unwrap();
    assert_eq!((log.epoch(), torn), (8, None), "once");
}

#[test]
fn after_a_failure_in_doubt_nothing_is_taken_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
    log.append(vec![new_chat()]).unwrap();
    log.connection.execute_batch("ALTER TABLE batch RENAME TO elsewhere").unwrap();
    assert!(!log.append(vec![post(1, "a")]).unwrap_err().is_passing());
    log.connection.execute_batch("ALTER TABLE elsewhere RENAME TO batch").unwrap();
    assert!(matches!(log.append(vec![post(1, "a")]), Err(LogError::Failed(_))));
    drop(log);
    assert_eq!(reopened(folder.path()).len(), 1);
}

#[test]
fn what_was_appended_is_read_by_a_second_view_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
    let mut view = SqliteLog::reader(folder.path()).unwrap();
    let mut kept = log.append(vec![new_chat()]).unwrap();
    kept.extend(log.append((0..50).map(|n| post(1, &"x".repeat(n * 200))).collect()).unwrap());
    assert_eq!(view.scan(Position(0), 1000).unwrap(), kept);
    log.flush().unwrap();
    assert_eq!(view.scan(Position(7), 1000).unwrap(), kept[7..]);
    assert!(view.append(vec![post(1, "no")]).is_err(), "it only reads");
}

#[test]
fn a_log_that_was_deleted_or_replaced_is_not_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
    log.append(vec![new_chat()]).unwrap();
    assert!(log.is_in_place());
    std::fs::rename(folder.path().join(FILE), folder.path().join("elsewhere")).unwrap();
    assert!(!log.is_in_place());
    std::fs::write(folder.path().join(FILE), "another").unwrap();
    assert!(!log.is_in_place());
}

/// Copies a log as a crash would leave it.
fn copied(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in [FILE, "log.db-wal"] {
        std::fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

fn wal_bytes(folder: &Path) -> usize {
    usize::try_from(std::fs::metadata(folder.join("log.db-wal")).unwrap().len()).unwrap()
}

#[test]
fn the_write_ahead_file_is_used_again_and_a_crash_at_any_time_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
    assert!(wal_bytes(folder.path()) >= checkpoint::WAL_BYTES, "it has its room from the start");
    let mut kept = log.append(vec![new_chat()]).unwrap();
    let (mut appended, mut looked) = (0, 0);
    while appended < 3 * checkpoint::MAX_WAL_BYTES {
        kept.extend(log.append((0..40).map(|n| post(1, &"x".repeat(20_000 + n))).collect()).unwrap());
        appended += 40 * 20_000;
        log.maintain().unwrap();
        if appended / checkpoint::MAX_WAL_BYTES > looked {
            looked += 1;
            // SQLite's own copying may be half done: the file's own content and the write-ahead file are whole together.
            assert_eq!(reopened(copied(folder.path()).path()), kept);
        }
    }
    let most = checkpoint::MAX_WAL_BYTES * 3 / 2;
    assert!(wal_bytes(folder.path()) < most, "{} of {appended} bytes", wal_bytes(folder.path()));
    drop(log);
    assert_eq!(reopened(folder.path()), kept);
}

#[test]
fn a_disk_without_room_for_the_reserve_is_no_reason_not_to_start() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint::reserve(folder.path());
    assert!(SqliteLog::open(folder.path(), 1, |_| {}).is_ok());
}

#[test]
fn a_refused_write_may_be_tried_again_and_a_failed_flush_is_in_doubt() {
    let error = |code| LogError::from(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
    for code in [rusqlite::ffi::SQLITE_FULL, rusqlite::ffi::SQLITE_READONLY, rusqlite::ffi::SQLITE_IOERR_WRITE] {
        assert!(error(code).is_passing(), "{code}");
    }
    for code in [rusqlite::ffi::SQLITE_IOERR_FSYNC, rusqlite::ffi::SQLITE_IOERR_READ, rusqlite::ffi::SQLITE_IOERR] {
        assert!(matches!(error(code), LogError::Failed(_)), "{code}");
    }
}

#[test]
fn a_file_that_another_program_has_locked_takes_writes_once_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
    let mut kept = log.append(vec![new_chat()]).unwrap();
    log.connection.busy_timeout(Duration::ZERO).unwrap();
    let other = Connection::open(folder.path().join(FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for batch in [vec![post(1, "a")], vec![post(1, &"a".repeat(ROW_BYTES)), post(1, "in a row of its own")]] {
        let error = log.append(batch).unwrap_err();
        assert!(matches!(error, LogError::Busy(_)) && error.is_passing(), "{error}");
    }
    other.execute_batch("ROLLBACK").unwrap();
    kept.extend(log.append(vec![post(1, "a")]).unwrap());
    drop(log);
    assert_eq!(reopened(folder.path()), kept);
}

#[test]
fn what_a_row_does_not_count_is_never_passed_over_by_a_start() {
    let recount = |log: &SqliteLog, first: u64, by: i64| {
        let sql = format!("UPDATE batch SET count = count + {by} WHERE first = {first}");
        log.connection.execute(&sql, ()).unwrap();
    };
    for by in [-1, 1] {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
        let mut kept = log.append(vec![new_chat(), post(1, "a")]).unwrap();
        kept.extend(log.append(vec![post(1, "b"), post(1, "c")]).unwrap());
        recount(&log, 3, by);
        drop(log);
        let (log, torn) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
        assert_eq!(torn.map(|torn| (torn.position, torn.bytes)), Some((Position(5), Vec::new())));
        assert_eq!(reopened(folder.path()), kept, "records are known by their checksums");
        recount(&log, 1, by);
        drop(log);
        let Err(error) = SqliteLog::open(folder.path(), 1, |_| {}) else { panic!("{by}") };
        assert!(matches!(error, LogError::Damaged(_)), "{error}");
    }
}

#[test]
fn what_a_row_does_not_count_is_damage_to_whoever_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
    log.append(vec![new_chat(), post(1, "a"), post(1, "b")]).unwrap();
    let damaged = |error: LogError| matches!(error, LogError::Damaged(record::Damage::Uncounted(3)));
    log.connection.execute("UPDATE batch SET count = 2", ()).unwrap();
    assert!(log.scan(Position(0), 9).is_err_and(damaged));
    assert!(log.record(Position(3)).is_err_and(damaged));
    assert!(log.visit_rows(Position(0), Position(2), |_, _, _| Ok(true)).is_err_and(damaged));
    let mut compaction = crate::log::compact::Compaction::begin(&log, Position(0)).unwrap();
    assert!(compaction.next(&mut log).is_err_and(damaged));
}

#[test]
fn a_write_ahead_file_is_emptied_once_nobody_reads_there_and_waits_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
    let mut kept = log.append(vec![new_chat(), post(1, "a telling word")]).unwrap();
    let wal = || std::fs::read(folder.path().join("log.db-wal")).unwrap();
    let says = |bytes: &[u8]| bytes.windows(14).any(|bytes| bytes == b"a telling word");
    let reader = Connection::open(folder.path().join(FILE)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM batch;").unwrap();
    kept.extend(log.append(vec![post(1, "b")]).unwrap());
    let begun = std::time::Instant::now();
    assert!(!log.scrub().unwrap());
    assert!(begun.elapsed() < BUSY / 2, "commits waited for a reader");
    assert!(says(&wal()));
    kept.extend(log.append(vec![post(1, "c")]).unwrap());
    reader.execute_batch("COMMIT").unwrap();
    assert!(log.scrub().unwrap());
    // It has its room again.
    assert_eq!(wal().len(), checkpoint::WAL_BYTES);
    assert!(!says(&wal()));
    kept.extend(log.append(vec![post(1, "d")]).unwrap());
    assert_eq!(SqliteLog::reader(folder.path()).unwrap().scan(Position(0), 10).unwrap(), kept);
    let copied = tempfile::tempdir().unwrap();
    for file in ["log.db", "log.db-wal"] {
        std::fs::copy(folder.path().join(file), copied.path().join(file)).unwrap();
    }
    assert_eq!(reopened(copied.path()), kept, "as a kill leaves it");
}

#[test]
fn a_record_that_could_not_be_read_again_is_refused_and_the_log_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
    let mut kept = log.append(vec![new_chat()]).unwrap();
    let error = log.append(vec![post(1, "with it"), post(1, &"x".repeat(20_000_000))]).unwrap_err();
    assert!(matches!(error, LogError::TooLarge(TooLarge { position: 3, .. })), "{error}");
    kept.extend(log.append(vec![post(1, "behind it")]).unwrap());
    drop(log);
    assert_eq!(reopened(folder.path()), kept);
}

#[test]
fn an_older_log_is_read_as_it_is_and_says_which_version_it_needs_once_it_is_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let layout =
        |log: &SqliteLog| -> i64 { log.connection.query_row("PRAGMA user_version", (), |row| row.get(0)).unwrap() };
    let (mut log, _) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
    assert_eq!(layout(&log), SCHEMA);
    let mut kept = log.append(vec![new_chat()]).unwrap();
    log.connection.execute_batch("PRAGMA user_version=2").unwrap();
    drop(log);
    assert_eq!(SqliteLog::reader(folder.path()).unwrap().record(Position(1)).unwrap().as_ref(), Some(&kept[0]));
    let (mut log, _) = SqliteLog::open(folder.path(), 1, |_| {}).unwrap();
    assert_eq!(layout(&log), 2, "whoever only looks changes nothing");
    kept.extend(log.append(vec![post(1, "a")]).unwrap());
    assert_eq!(layout(&log), SCHEMA);
    drop(log);
    assert_eq!(reopened(folder.path()), kept);
}
