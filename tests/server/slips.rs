//! What an operator is told when something is wrong: the code that it deserves, and advice that does not make it worse.

use std::fs;
use std::path::Path;

use crate::operations::{chappe, check, doctor, path};
use crate::support::client::{Client, Door};
use crate::support::disk::SmallDisk;
use crate::support::flood::history;
use crate::support::programs::run;
use crate::support::server::{TestServer, command};

/// A server that has said something, and was stopped.
fn stopped(messages: u64) -> TestServer {
    let mut server = TestServer::start();
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    for nth in 1..=messages {
        client.post(1, &format!("message {nth}"));
    }
    drop(client);
    assert_eq!(server.stop(), Some(0));
    server
}

#[test]
fn a_torn_end_is_left_to_the_next_start_and_no_backup_is_asked_for() {
    let mut server = stopped(5);
    let log = rusqlite::Connection::open(server.data().join("log.db")).unwrap();
    let last: i64 = log.query_row("SELECT max(first) FROM batch", (), |row| row.get(0)).unwrap();
    let cut = "UPDATE batch SET body = substr(body, 1, length(body) - 3) WHERE first = ?1";
    assert_eq!(log.execute(cut, [last]).unwrap(), 1);
    drop(log);
    let kept = server.data().join(format!("torn-at-{last}.bin"));
    // Also by one that reads everything: nothing is taken off by a look.
    for more in [&[][..], &["--deep"]] {
        let (told, report) = doctor(&[&["--data", path(server.data())][..], more].concat());
        let (result, what) = check(&report, "log");
        assert_eq!((told.code, result), (Some(1), "fail"), "{report}");
        assert!(what.contains(&format!("the record at position {last} is cut short")), "{what}");
        assert!(told.stdout.contains("the next start takes the rest of that row off"), "{told:?}");
        assert!(!told.stdout.contains("restore"), "{told:?}");
        assert!(!kept.exists());
    }
    server.restart();
    assert!(kept.exists());
    assert_eq!(history(&server, 1, 1).len(), 4);
    assert_eq!(server.stop(), Some(0));
    let (_, report) = doctor(&["--data", path(server.data())]);
    assert_eq!(check(&report, "log").0, "ok", "{report}");
}

#[test]
fn a_snapshot_that_differs_is_what_is_to_be_deleted() {
    let server = stopped(5);
    let snapshot = server.data().join("snapshot");
    let mut bytes = fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&snapshot, bytes).unwrap();
    let told = TestServer::verify(server.data());
    assert_eq!(told.code, Some(7), "{told:?}");
    assert!(told.stdout.contains("Delete snapshot and names, and"), "{told:?}");
    assert!(!told.stdout.contains("query.db"), "{told:?}");
    for file in ["snapshot", "names"] {
        fs::remove_file(server.data().join(file)).unwrap();
    }
    TestServer::verify(server.data()).fine();
}

#[test]
fn a_log_that_cannot_be_opened_is_not_called_damaged() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    fs::create_dir_all(data.join("log.db")).unwrap();
    let to = place.path().join("file");
    let (data, to) = (path(&data), path(&to));
    for command in [&["backup", to][..], &["export", to], &["verify"], &["serve", "--http", "127.0.0.1:0"]] {
        let doors = if command[0] == "serve" { &["--tcp", "off", "--udp", "off"][..] } else { &[] };
        let told = run(&mut chappe(&[command, &["--data", data], doors].concat()));
        assert_eq!(told.code, Some(1), "{told:?}");
    }
}

#[test]
fn a_server_that_logs_nothing_says_why_it_does_not_start() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "no folder").unwrap();
    for log in ["off", "chappe_actors=debug"] {
        let told = run(&mut chappe(&[
            "serve",
            "--log",
            log,
            "--data",
            path(&file),
            "--http",
            "127.0.0.1:0",
            "--tcp",
            "off",
            "--udp",
            "off",
        ]));
        assert_eq!(told.code, Some(10), "{told:?}");
        assert!(told.stderr.contains("error: ") && told.stderr.contains(path(&file)), "{log}: {told:?}");
    }
}

#[test]
fn a_backup_to_what_is_no_file_is_refused() {
    let server = stopped(1);
    let link = server.data().join("link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let told = run(&mut chappe(&["backup", path(&link), "--data", path(server.data())]));
    assert_eq!(told.code, Some(10), "{told:?}");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_log_that_is_gone_is_not_begun_anew_and_what_follows_from_it_stays() {
    let server = stopped(5);
    let log = server.data().join("log.db");
    let kept = fs::read(&log).unwrap();
    let ways: [fn(&Path); 2] = [|log| fs::remove_file(log).unwrap(), |log| fs::write(log, "").unwrap()];
    for leave in ways {
        let tables = fs::read(server.data().join("query.db")).unwrap();
        leave(&log);
        let told = run(&mut chappe(&[
            "serve",
            "--http",
            "127.0.0.1:0",
            "--tcp",
            "off",
            "--udp",
            "off",
            "--data",
            path(server.data()),
        ]));
        assert_eq!(told.code, Some(6), "{told:?}");
        assert!(told.stderr.contains("restore the folder from a backup"), "{told:?}");
        let (told, report) = doctor(&["--data", path(server.data())]);
        assert_eq!((told.code, check(&report, "log").0), (Some(1), "fail"), "{report}");
        assert_eq!(fs::read(server.data().join("query.db")).unwrap(), tables);
    }
    fs::write(&log, kept).unwrap();
    TestServer::verify(server.data()).fine();
}

#[test]
fn on_a_disk_that_takes_no_writes_the_doctor_sees_to_that_first() {
    let disk = SmallDisk::of_mib(64);
    let mut server = TestServer::launched(disk.launch(), &disk.inside("data"), None, &[("CHAPPE_AUTH_MODE", "token")]);
    assert_eq!(server.stop(), Some(0));
    let looks = || {
        let mut look = command(&disk.launch(), &[]);
        let told = run(look.args(["doctor", "--json", "--auth", "token", "--data"]).arg(disk.inside("data")));
        assert_eq!(told.code, Some(1), "{told:?}");
        for harm in ["restore", "delete", "chown", "run as that user", "user that the server runs as"] {
            assert!(!told.stdout.contains(harm), "{harm}: {}", told.stdout);
        }
        told.stdout
    };
    disk.remount(true);
    assert!(looks().contains("mount it for writing"));
    disk.remount(false);
    let ballast = disk.fill();
    assert!(looks().contains("make room, or move the folder"));
    fs::remove_file(ballast).unwrap();
}

#[test]
fn paths_that_are_slips_have_the_codes_of_what_they_are() {
    let place = tempfile::tempdir().unwrap();
    let (nowhere, file) = (place.path().join("nowhere"), place.path().join("file"));
    fs::write(&file, "no folder").unwrap();
    let (nowhere, file) = (path(&nowhere), path(&file));
    let below = format!("{file}/data");
    for (arguments, code) in [
        (&["verify", "--data", nowhere][..], 3),
        (&["export", file, "--data", nowhere], 3),
        (&["compact", "--data", nowhere], 3),
        (&["user", "list", "--data", nowhere], 3),
        (&["send", "1", "x", "--token-file", nowhere], 3),
        (&["tail", "1", "--tls-ca", nowhere], 3),
        (&["send", "1", "x", "--tcp", "no address"], 3),
        (&["serve", "--data", &below], 10),
    ] {
        let told = run(&mut chappe(arguments));
        assert_eq!(told.code, Some(code), "{told:?}");
    }
}

#[test]
fn a_doctor_looks_at_the_accounts_and_at_the_secret() {
    let mut server = TestServer::with_tokens(&[]);
    let data = server.data().to_owned();
    let looks = |name| {
        let (told, report) = doctor(&["--data", path(&data), "--auth", "token"]);
        (told.code, check(&report, name).0.to_owned())
    };
    assert_eq!((looks("accounts").1, looks("keys").1), ("ok".to_owned(), "ok".to_owned()));
    assert_eq!(server.stop(), Some(0));
    fs::write(data.join("accounts.db"), "no accounts any more, only words").unwrap();
    assert_eq!(looks("accounts"), (Some(1), "fail".to_owned()));
    fs::remove_file(data.join("accounts.db")).unwrap();
    assert_eq!(looks("accounts"), (Some(1), "fail".to_owned()));
    let refused = TestServer::fails_with(&data, &[("CHAPPE_AUTH_MODE", "token")]);
    assert_eq!(refused.code, Some(6), "revoked tokens would be believed again: {refused:?}");
    assert!(refused.stderr.contains("accounts.db is gone or empty"), "{refused:?}");
    assert!(!data.join("accounts.db").exists());
    // A folder of before that was marked.
    fs::remove_file(data.join("accounts.made")).unwrap();
    assert_eq!(looks("accounts").1, "warn");
    fs::write(data.join("token.secret"), "").unwrap();
    assert_eq!(looks("keys"), (Some(1), "fail".to_owned()));
}
