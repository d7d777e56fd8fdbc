//! Tests of the file of accounts.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::accounts::file::MARK;
use crate::folder::FolderError;
use crate::history::{tables, tests as history};
use crate::log::conformance::{new_chat, post};
use crate::log::record::{self, Fact, Place};

fn user(id: u64) -> UserId {
    UserId::parse(id).unwrap()
}

fn draft(nickname: &str) -> Draft<'_> {
    Draft { user: None, nickname, password: None, standing: Standing::User }
}

fn opened() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

#[test]
fn a_file_that_is_gone_is_not_made_anew_and_one_that_never_was_is() {
    let folder = tempfile::tempdir().unwrap();
    let (file, mark) = (folder.path().join(FILE), folder.path().join(MARK));
    // Killed before the mark: whatever is there was never used.
    std::fs::write(&file, "").unwrap();
    drop(Store::open(folder.path()).unwrap());
    assert!(mark.exists());
    let ways: [fn(&Path); 2] = [|file| std::fs::remove_file(file).unwrap(), |file| std::fs::write(file, "").unwrap()];
    for lose in ways {
        lose(&file);
        assert!(matches!(Store::open(folder.path()), Err(StoreError::Lost { .. })));
        assert_eq!(std::fs::metadata(&file).map_or(0, |file| file.len()), 0, "nothing was changed");
    }
    std::fs::remove_file(&mark).unwrap();
    Store::open(folder.path()).unwrap();
}

#[test]
fn accounts_are_found_by_id_and_by_name_whatever_the_case() {
    let (folder, mut store) = opened();
    let zoe = store.add(&Draft { standing: Standing::Admin, ..draft("Zoë") }, Millis(5)).unwrap();
    assert_eq!((zoe.user, zoe.standing, zoe.created_at, zoe.disabled), (user(1001), Standing::Admin, Millis(5), false));
    store.add(&draft("bob"), Millis(6)).unwrap();
    let again = Store::open(folder.path()).unwrap();
    assert_eq!(again.account(user(1001)).unwrap(), Some(zoe.clone()));
    assert_eq!(again.account_named("ZOË").unwrap(), Some(zoe.clone()));
    assert_eq!(again.accounts().unwrap().len(), 2);
    assert_eq!((again.account(user(9)).unwrap(), again.account_named("nobody").unwrap()), (None, None));
    let taken = store.add(&draft("zOË"), Millis(7)).unwrap_err();
    assert!(matches!(taken, StoreError::NicknameTaken(_)), "{taken}");
    let taken = store.add(&Draft { user: Some(zoe.user), ..draft("carl") }, Millis(7)).unwrap_err();
    assert!(matches!(taken, StoreError::IdTaken(_)), "{taken}");
}

fn made(ids: impl IntoIterator<Item = u64>) -> Vec<record::Draft> {
    let made = |id| Fact::UserCreated { user: user(id), nickname: "somebody".into() };
    ids.into_iter().map(|id| record::Draft { at: Millis(1), place: Place::Nowhere, fact: made(id) }).collect()
}

#[test]
fn an_id_is_one_that_nobody_in_the_log_or_with_an_account_has() {
    let last = (1u64 << 53) - 1;
    let batches = [vec![new_chat()], made([1002, last]), vec![post(1, "a")], made([1003])];
    // However far the tables are behind the log.
    for projected in 0..=5 {
        let (folder, log, _) = history::folder(&batches, projected, 1);
        drop(log);
        let mut store = Store::open(folder.path()).unwrap();
        store.add(&Draft { user: Some(user(7)), ..draft("seven") }, Millis(0)).unwrap();
        assert_eq!(store.add(&draft("ann"), Millis(0)).unwrap().user, user(1001), "below it, ids are chosen");
        assert_eq!(store.add(&draft("bob"), Millis(0)).unwrap().user, user(1004));
        store.add(&Draft { user: Some(user(last - 1)), ..draft("last") }, Millis(0)).unwrap();
        assert_eq!(store.add(&draft("cat"), Millis(0)).unwrap().user, user(1005), "a great one is in nobody's way");
    }
}

#[test]
fn tables_that_are_not_the_logs_say_nothing() {
    let batches = [made([1001, 1002])];
    let spoil: [fn(&Path); 4] = [
        |tables| std::fs::remove_file(tables).unwrap(),
        |tables| std::fs::write(tables, "no tables at all").unwrap(),
        |tables| {
            let tables = Connection::open(tables).unwrap();
            tables.execute_batch("UPDATE progress SET epoch = epoch + 1; DELETE FROM users").unwrap();
        },
        |tables| {
            Connection::open(tables).unwrap().execute_batch("DELETE FROM users").unwrap();
            tables::doubt(tables.parent().unwrap());
        },
    ];
    for (nth, spoil) in spoil.iter().enumerate() {
        let (folder, log, _) = history::folder(&batches, 2, 2);
        drop(log);
        spoil(&folder.path().join(tables::FILE));
        let mut store = Store::open(folder.path()).unwrap();
        assert_eq!(store.add(&draft("ann"), Millis(0)).unwrap().user, user(1003), "{nth}");
    }
}

#[test]
fn an_id_is_not_one_that_somebody_had() {
    let (_folder, mut store) = opened();
    let ann = store.add(&draft("ann"), Millis(0)).unwrap().user;
    store.erase(ann, Millis(1)).unwrap();
    store.deny(Denial::User(user(1002))).unwrap();
    store.deny(Denial::IssuedBefore { user: user(1003), time: Millis(9) }).unwrap();
    let bob = store.add(&draft("bob"), Millis(2)).unwrap();
    assert_eq!((bob.user, bob.disabled), (user(1004), false));
    for gone in [ann, user(1002)] {
        let refused = store.add(&Draft { user: Some(gone), ..draft("cat") }, Millis(3));
        assert!(matches!(refused, Err(StoreError::IdDenied(id)) if id == gone), "{refused:?}");
    }
    store.deny(Denial::Lifted(user(1002))).unwrap();
    assert!(store.add(&Draft { user: Some(user(1002)), ..draft("dan") }, Millis(3)).is_ok(), "who is enabled again");
}

#[test]
fn where_it_cannot_be_known_who_has_an_id_none_is_given() {
    let (folder, log, _) = history::folder(&[made([1001])], 1, 1);
    drop(log);
    let mut store = Store::open(folder.path()).unwrap();
    let path = folder.path().join("log.db");
    std::fs::write(&path, "no log at all").unwrap();
    let refused = store.add(&draft("ann"), Millis(0)).unwrap_err();
    assert!(matches!(refused, StoreError::Unknowable(_)), "{refused}");
    std::fs::remove_file(&path).unwrap();
    let refused = store.add(&draft("ann"), Millis(0)).unwrap_err();
    assert!(matches!(refused, StoreError::Unknowable(FolderError::LostLog { .. })), "{refused}");
    assert_eq!(store.accounts().unwrap(), []);
    assert!(store.add(&Draft { user: Some(user(7)), ..draft("ann") }, Millis(0)).is_ok(), "one that is chosen");
}

#[test]
fn denials_are_kept_and_forgotten_when_they_have_run_out() {
    let (folder, mut store) = opened();
    let token = TokenId([7; 16]);
    let kept = store.deny(Denial::Token { token, until: Millis(1000) }).unwrap();
    assert_eq!(kept, Denial::Token { token, until: Millis(61_000) }, "longer than anybody is lenient");
    store.deny(Denial::User(user(3))).unwrap();
    store.deny(Denial::IssuedBefore { user: user(3), time: Millis(50) }).unwrap();
    store.deny(Denial::IssuedBefore { user: user(3), time: Millis(40) }).unwrap();
    let all = [kept, Denial::IssuedBefore { user: user(3), time: Millis(50) }, Denial::User(user(3))];
    let mut again = Store::open(folder.path()).unwrap();
    again.prune(Millis(60_999)).unwrap();
    assert_eq!(again.denials().unwrap(), all.into_iter().collect());
    again.prune(Millis(61_000)).unwrap();
    store.deny(Denial::Lifted(user(3))).unwrap();
    assert_eq!(again.denials().unwrap(), all[1..2].iter().copied().collect());
}

#[test]
fn a_new_password_ends_the_tokens_made_before() {
    let (_folder, mut store) = opened();
    let ann = store.add(&draft("ann"), Millis(0)).unwrap();
    assert!(store.set_password(ann.user, Some("a hash"), Millis(9)).unwrap().is_some());
    assert_eq!(store.find(ann.user).unwrap().unwrap().password.as_deref(), Some("a hash"));
    let ended = [Denial::IssuedBefore { user: ann.user, time: Millis(9) }];
    assert_eq!(store.denials().unwrap(), ended.into_iter().collect());
    assert!(store.set_password(user(77), Some("a hash"), Millis(9)).unwrap().is_none());
    assert_eq!(store.denials().unwrap(), ended.into_iter().collect());
}

#[test]
fn a_password_given_while_the_clock_was_far_ahead_ends_nothing_that_comes_after_the_next() {
    let (folder, mut store) = opened();
    let ann = store.add(&draft("ann"), Millis(0)).unwrap().user;
    let mut given = |time| match store.set_password(ann, None, Millis(time)).unwrap() {
        Some(Denial::IssuedBefore { time, .. }) => time.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(given(9000), 9000);
    assert_eq!(given(50), 9000, "how late it is nobody knows");
    std::fs::write(folder.path().join(passed::FILE), "45").unwrap();
    assert_eq!(given(50), 50);
    assert_eq!(given(60), 60);
    std::fs::write(folder.path().join(passed::FILE), "65").unwrap();
    assert_eq!(given(2), 60, "a clock that is behind brings nothing back");
}

#[test]
fn who_is_disabled_is_shown_so() {
    let (_folder, mut store) = opened();
    let ann = store.add(&draft("ann"), Millis(0)).unwrap();
    store.deny(Denial::User(ann.user)).unwrap();
    assert!(store.account(ann.user).unwrap().unwrap().disabled);
    store.deny(Denial::Lifted(ann.user)).unwrap();
    assert!(!store.account(ann.user).unwrap().unwrap().disabled);
}

#[test]
fn only_the_owner_can_read_the_files() {
    let (folder, mut store) = opened();
    store.add(&draft("ann"), Millis(0)).unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[test]
fn many_can_make_the_file_and_write_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let path = folder.path().to_owned();
            std::thread::spawn(move || {
                let mut store = Store::open(&path).unwrap();
                for number in 0..5 {
                    store.add(&draft(&format!("user {writer} {number}")), Millis(0)).unwrap();
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let ids: Vec<_> =
        Store::open(folder.path()).unwrap().accounts().unwrap().into_iter().map(|a| a.user.get()).collect();
    assert_eq!(ids, (1001..1041).collect::<Vec<_>>());
}

#[test]
fn a_foreign_newer_or_broken_file_is_refused_and_named() {
    let (folder, store) = opened();
    drop(store);
    let path = folder.path().join(FILE);
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    std::fs::write(&path, "not a database at all, but long enough to look at; ".repeat(20)).unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("accounts.db"), "{error}");
    let foreign = tempfile::tempdir().unwrap();
    Connection::open(foreign.path().join(FILE)).unwrap().execute_batch("CREATE TABLE accounts (x)").unwrap();
    assert!(matches!(Store::open(foreign.path()), Err(StoreError::Foreign { .. })));
}
