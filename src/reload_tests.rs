//! Tests of what a reload takes over, and what needs a start.

use std::time::Duration;

use super::*;

#[test]
fn what_needs_a_start_is_named_until_there_is_one() {
    let started = Config::default();
    let mut first = started.clone();
    first.log = "debug".into();
    first.connection_limits.all = 5;
    assert_eq!(
        changes(&started, &started, &first),
        Changes { now: vec!["log"], at_a_start: vec!["limits.connections"] }
    );
    let mut second = first.clone();
    second.shutdown.delay = Duration::from_secs(3);
    assert_eq!(
        changes(&started, &first, &second),
        Changes { now: vec!["shutdown.delay"], at_a_start: vec!["limits.connections"] },
        "taken over is over; a start is still needed"
    );
    assert_eq!(changes(&started, &second, &second).now, Vec::<&str>::new());
}

#[test]
fn the_certificate_stays_in_the_folder_of_the_start() {
    let [old, new] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut started = Config { data: old.path().to_owned(), ..Config::default() };
    started.tls.self_signed = true;
    let moved = Config { data: new.path().to_owned(), ..started.clone() };
    let files = tls_files(&started, &moved).unwrap().unwrap();
    assert!(files.cert.starts_with(old.path()), "{files:?}");
    assert_eq!(std::fs::read_dir(new.path()).unwrap().count(), 0, "nothing is made in another");
    let mut bought = started.clone();
    bought.tls.self_signed = false;
    (bought.tls.cert_file, bought.tls.key_file) = (Some("cert.pem".into()), Some("key.pem".into()));
    for (started, new) in [(&started, &bought), (&bought, &started)] {
        assert_eq!(tls_files(started, new).unwrap(), None, "that takes a start");
    }
}
