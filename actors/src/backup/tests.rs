//! A backup holds what was there when it began, and nothing comes of one that was changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::accounts::store::{Draft, Store};
use crate::folder::Folder;
use crate::log::conformance::{new_chat, post};
use crate::log::record::Record;
use crate::log::sqlite::SqliteLog;
use crate::log::{EventLog, LogError};
use crate::principal::Standing;

const FILES: &[&str] = &["token.secret"];

struct World {
    place: tempfile::TempDir,
    log: SqliteLog,
    records: Vec<Record>,
}

impl World {
    /// A data folder with some records, an account and a secret. Its log is open.
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        fs::create_dir(&data).unwrap();
        let (mut log, _) = SqliteLog::open(&data, 7, |_| {}).unwrap();
        let mut records = log.append(vec![new_chat()]).unwrap();
        for commit in 0..30_usize {
            let contents = (0..commit % 7 + 1).map(|nth| format!("{commit} {nth} {}", "x".repeat(commit * 97)));
            records.extend(log.append(contents.map(|content| post(1, &content)).collect()).unwrap());
        }
        let mut accounts = Store::open(&data).unwrap();
        let draft = Draft { user: None, nickname: "ann", password: None, standing: Standing::Admin };
        accounts.add(&draft, Millis(1)).unwrap();
        fs::write(data.join("token.secret"), [7; 32]).unwrap();
        Self { place, log, records }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn take(&self) -> Result<Contents, BackupError> {
        let (folder, to) = (self.path("data"), self.path("backup"));
        take(Order { folder: &folder, files: FILES, to: &to, now: Millis(5) }, &mut |_, _, _| {})
    }

    fn restore(&self) -> Result<Contents, BackupError> {
        restore(&self.path("backup"), &self.path("restored"), FILES, Millis(100), &mut |_, _, _| {})
    }
}

fn records(folder: &Path) -> Vec<Record> {
    let mut found = Vec::new();
    SqliteLog::open(folder, 1, |record| found.push(record)).unwrap();
    found
}

#[test]
fn what_was_there_when_it_began_comes_back_as_another_log() {
    let mut world = World::new();
    let contents = world.take().unwrap();
    let kept = world.records.clone();
    world.log.append(vec![post(1, "later")]).unwrap();
    let head = Position(kept.len() as u64);
    assert_eq!((contents.epoch, contents.head, contents.created), (7, head, Millis(5)));
    assert_eq!(contents.files, ["accounts.db", "token.secret"]);
    assert_eq!(fs::metadata(world.path("backup")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(world.restore().unwrap().epoch, 100);
    let restored = world.path("restored");
    assert_eq!(records(&restored), kept);
    assert_eq!(SqliteLog::reader(&restored).unwrap().epoch(), 100);
    assert_eq!(Store::open(&restored).unwrap().accounts().unwrap()[0].nickname, "ann");
    assert_eq!(fs::read(restored.join("token.secret")).unwrap(), [7; 32]);
    assert_eq!(fs::metadata(restored.join("token.secret")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(world.restore(), Err(BackupError::Folder(FolderError::NotEmpty { .. }))));
}

#[test]
fn an_empty_log_has_a_backup_as_well() {
    let place = tempfile::tempdir().unwrap();
    drop(SqliteLog::open(place.path(), 7, |_| {}).unwrap());
    let to = place.path().join("backup");
    let order = Order { folder: place.path(), files: FILES, to: &to, now: Millis(5) };
    let contents = take(order, &mut |_, _, _| {}).unwrap();
    assert_eq!((contents.head, contents.files), (Position(0), vec![]));
    restore(&to, &place.path().join("restored"), FILES, Millis(1), &mut |_, _, _| {}).unwrap();
    assert_eq!(records(&place.path().join("restored")), []);
}

#[test]
fn every_cut_is_found_and_nothing_is_made() {
    let world = World::new();
    world.take().unwrap();
    let whole = fs::read(world.path("backup")).unwrap();
    for length in (0..whole.len()).step_by(37).chain(whole.len() - 50..whole.len()) {
        fs::write(world.path("backup"), &whole[..length]).unwrap();
        assert!(world.restore().is_err(), "cut at {length}");
    }
    fs::write(world.path("backup"), [&whole[..], b"x"].concat()).unwrap();
    assert!(world.restore().is_err());
    assert!(!world.path("restored").exists());
    fs::write(world.path("backup"), &whole).unwrap();
    world.restore().unwrap();
}

#[test]
fn every_flipped_byte_is_found() {
    let world = World::new();
    world.take().unwrap();
    let whole = fs::read(world.path("backup")).unwrap();
    let flipped = |at: usize, bits: u8| {
        let mut damaged = whole.clone();
        damaged[at] ^= bits;
        fs::write(world.path("backup"), &damaged).unwrap();
        check(&world.path("backup"), &mut |_, _, _| {})
    };
    // Where the file and its blocks begin and end, one by one; the rest by chance.
    for at in (0..100).chain(whole.len() - 100..whole.len()) {
        assert!(flipped(at, 1).is_err(), "byte {at}");
    }
    proptest!(|(at in 0..whole.len(), bits in 1..=u8::MAX)| {
        prop_assert!(flipped(at, bits).is_err());
    });
}

#[test]
fn a_backup_of_another_layout_is_refused_with_advice() {
    let world = World::new();
    world.take().unwrap();
    let mut bytes = fs::read(world.path("backup")).unwrap();
    for layout in [0, format::LAYOUT + 1] {
        bytes[format::BEGINNING.len()..][..2].copy_from_slice(&layout.to_le_bytes());
        fs::write(world.path("backup"), &bytes).unwrap();
        let error = world.restore().unwrap_err();
        assert!(matches!(error, BackupError::Version { found, .. } if found == layout), "{error}");
        assert!(error.to_string().contains("restore it with the version that made it"), "{error}");
    }
}

#[test]
fn a_file_that_is_no_backup_is_neither_written_over_nor_restored() {
    let world = World::new();
    fs::write(world.path("backup"), "my diary").unwrap();
    assert!(matches!(world.take(), Err(BackupError::InTheWay(_))));
    assert!(matches!(world.restore(), Err(BackupError::Foreign(_))));
    assert_eq!(fs::read(world.path("backup")).unwrap(), b"my diary");
    // The slip that would cost most.
    let (data, log) = (world.path("data"), world.path("data/log.db"));
    let order = Order { folder: &data, files: FILES, to: &log, now: Millis(5) };
    assert!(matches!(take(order, &mut |_, _, _| {}), Err(BackupError::InTheWay(_))));
}

#[test]
fn only_a_plain_file_is_written_over() {
    let world = World::new();
    let place = |name: &str| world.path(name);
    let pipe = place("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    // Open at both ends, and what it says looks like one of ours.
    let mut both = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    std::io::Write::write_all(&mut both, format::BEGINNING).unwrap();
    fs::create_dir(place("folder")).unwrap();
    world.take().unwrap();
    let whole = fs::read(place("backup")).unwrap();
    std::os::unix::fs::symlink(place("backup"), place("link")).unwrap();
    std::os::unix::fs::symlink(place("nowhere"), place("dangling")).unwrap();
    for name in ["pipe", "link", "dangling", "folder"] {
        let (to, before) = (place(name), fs::symlink_metadata(place(name)).unwrap().file_type());
        let order = Order { folder: &place("data"), files: FILES, to: &to, now: Millis(5) };
        assert!(matches!(take(order, &mut |_, _, _| {}), Err(BackupError::InTheWay(_))), "{name}");
        assert_eq!(fs::symlink_metadata(&to).unwrap().file_type(), before, "{name}");
    }
    assert!(fs::read(place("backup")).unwrap() == whole && !place("nowhere").exists());
}

#[test]
fn a_damaged_log_gives_no_backup_and_the_earlier_one_stays() {
    let world = World::new();
    world.take().unwrap();
    let earlier = fs::read(world.path("backup")).unwrap();
    let connection = rusqlite::Connection::open(world.path("data/log.db")).unwrap();
    connection.execute("UPDATE batch SET body = zeroblob(9) WHERE first = 2", ()).unwrap();
    assert!(matches!(world.take(), Err(BackupError::Log { source: LogError::Damaged(_), .. })));
    connection.execute("DELETE FROM batch WHERE first = 2", ()).unwrap();
    assert!(matches!(world.take(), Err(BackupError::Log { source: LogError::Missing { .. }, .. })));
    assert_eq!(fs::read(world.path("backup")).unwrap(), earlier);
    assert_eq!(fs::read_dir(world.place.path()).unwrap().count(), 2, "the data folder and the backup");
}

#[test]
fn leftovers_of_those_that_were_cut_off_are_removed_and_of_those_that_live_are_not() {
    let world = World::new();
    for name in ["backup.1.unfinished", "backup.1.unfinished.part", "backup.2.unfinished", "backup.x.unfinished"] {
        fs::write(world.path(name), "half").unwrap();
    }
    let alive = fs::File::open(world.path("backup.2.unfinished")).unwrap();
    alive.try_lock().unwrap();
    // Yesterday's has another name; what only looks like one is somebody else's.
    for (name, text) in [("1.backup.3.unfinished", "chappe backup\n..."), ("work.3.unfinished", "not a backup of ours")]
    {
        fs::write(world.path(name), text).unwrap();
    }
    fs::write(world.path("1.backup.3.unfinished.part"), "accounts").unwrap();
    world.take().unwrap();
    let there = |name: &str| world.path(name).exists();
    assert!(!there("backup.1.unfinished") && !there("backup.1.unfinished.part"));
    assert!(!there("1.backup.3.unfinished") && !there("1.backup.3.unfinished.part"));
    assert!(there("backup.2.unfinished") && there("backup.x.unfinished") && there("work.3.unfinished"));
}

#[test]
fn a_restore_that_was_cut_off_is_no_server_s_and_begins_anew() {
    let world = World::new();
    world.take().unwrap();
    let restored = world.path("restored");
    // As one is left that was killed after its first rows.
    drop(Folder::fill(&restored, "restore").unwrap());
    crate::log::sqlite::refill::Refill::begin(&restored, 9).unwrap().finish().unwrap();
    fs::write(restored.join("token.secret"), "half").unwrap();
    let refused = Folder::lock(&restored).unwrap().open_log(1);
    assert!(matches!(refused, Err(FolderError::Unfinished { .. })));
    world.restore().unwrap();
    assert_eq!(records(&restored), world.records);
    assert_eq!(fs::read(restored.join("token.secret")).unwrap(), [7; 32]);
}

/// What names the generation of a write-ahead file.
fn salts(wal: &Path) -> Vec<u8> {
    let mut header = [0; 24];
    std::io::Read::read_exact(&mut fs::File::open(wal).unwrap(), &mut header).unwrap();
    header[16..].to_vec()
}

#[test]
fn the_write_ahead_file_begins_anew_while_a_backup_is_under_way() {
    let mut world = World::new();
    let wal = world.path("data/log.db-wal");
    let (folder, to) = (world.path("data"), world.path("backup"));
    let log = &mut world.log;
    log.append((0..200).map(|_| post(1, &"x".repeat(20_000))).collect()).unwrap();
    let (before, mut renewed, mut written) = (salts(&wal), false, 0);
    let order = Order { folder: &folder, files: FILES, to: &to, now: Millis(5) };
    take(order, &mut |_, done, total| {
        // Four times as much as makes the writer wait for the disk itself.
        while done < total && !renewed && written < 512 << 20 {
            log.append((0..40).map(|_| post(1, &"x".repeat(20_000))).collect()).unwrap();
            log.maintain().unwrap();
            written += 40 * 20_000;
            renewed = salts(&wal) != before;
        }
    })
    .unwrap();
    assert!(renewed, "{written} bytes came, and the write-ahead file only grew");
}

/// Makes one row of each two that stand beside each other, as a compaction may.
fn join_rows(file: &Path) {
    let mut connection = rusqlite::Connection::open(file).unwrap();
    let change = connection.transaction().unwrap();
    let rows: Vec<(i64, i64, Vec<u8>)> = {
        let mut all = change.prepare("SELECT first, count, body FROM batch ORDER BY first").unwrap();
        let rows = all.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    for pair in rows.chunks_exact(2) {
        let body = [pair[0].2.as_slice(), &pair[1].2].concat();
        change.execute("DELETE FROM batch WHERE first = ?1", [pair[1].0]).unwrap();
        let joined = rusqlite::params![pair[0].0, pair[0].1 + pair[1].1, body];
        change.execute("UPDATE batch SET count = ?2, body = ?3 WHERE first = ?1", joined).unwrap();
    }
    change.commit().unwrap();
}

#[test]
fn rows_may_become_others_while_a_backup_is_under_way() {
    let mut world = World::new();
    let more = |nth: usize| (0..3).map(|_| post(1, &"x".repeat(20_000 + nth))).collect();
    let kept: Vec<Record> = (0..51).flat_map(|nth| world.log.append(more(nth)).unwrap()).collect();
    let (folder, to) = (world.path("data"), world.path("backup"));
    let mut calls = 0;
    let contents = take(Order { folder: &folder, files: FILES, to: &to, now: Millis(5) }, &mut |doing, done, total| {
        if doing == Doing::Copying && done < total {
            calls += 1;
            join_rows(&folder.join("log.db"));
        }
    })
    .unwrap();
    assert!(calls > 1, "it is copied in slices");
    assert_eq!(contents.head, kept.last().unwrap().position);
    world.restore().unwrap();
    assert_eq!(records(&world.path("restored")), [&world.records[..], &kept].concat());
}

#[test]
fn what_was_erased_from_the_log_is_not_in_the_next_backup() {
    let world = World::new();
    world.take().unwrap();
    let mut erased = world.records[1].clone();
    if let crate::log::record::Fact::MessagePosted { content, .. } = &mut erased.entry.fact {
        *content = "".into();
    }
    assert_ne!(erased, world.records[1]);
    let mut row = Vec::new();
    crate::log::record::encode_into(erased.position, &erased.entry, &mut Vec::new(), &mut row).unwrap();
    let connection = rusqlite::Connection::open(world.path("data/log.db")).unwrap();
    connection.execute("UPDATE batch SET body = ?1 WHERE first = 2", [row]).unwrap();
    world.take().unwrap();
    world.restore().unwrap();
    assert_eq!(records(&world.path("restored"))[1], erased);
}

#[test]
fn what_somebody_else_makes_in_a_folder_that_is_restored_is_refused_or_stops_it() {
    let mut world = World::new();
    world.log.append((0..4096).map(|_| post(1, "x")).collect()).unwrap();
    world.take().unwrap();
    let restored = world.path("restored");
    let restore = |also: &mut dyn FnMut(Doing)| {
        restore(&world.path("backup"), &restored, FILES, Millis(100), &mut |doing, _, _| also(doing))
    };
    let accounts = restored.join(crate::accounts::store::FILE);
    let mut refused = 0;
    restore(&mut |doing| {
        if doing == Doing::Restoring {
            assert!(matches!(Store::open(&restored), Err(StoreError::Unfinished(_))));
            assert!(!accounts.exists());
            refused += 1;
        }
    })
    .unwrap();
    assert!(refused > 0);
    // Before it is there, and behind that: whoever had the file open already.
    for when in [Doing::Restoring, Doing::Reading] {
        fs::remove_dir_all(&restored).unwrap();
        let stopped = restore(&mut |doing| {
            if doing == when {
                fs::write(&accounts, "another").unwrap();
            }
        });
        let Err(BackupError::Io { source, .. }) = stopped else { panic!("{when:?}: {stopped:?}") };
        assert_eq!(source.kind() == std::io::ErrorKind::AlreadyExists, when == Doing::Restoring, "{source}");
        assert!(matches!(Folder::lock(&restored).unwrap().open_log(1), Err(FolderError::Unfinished { .. })));
    }
    restore(&mut |_| {}).unwrap();
}
