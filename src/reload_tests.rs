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
