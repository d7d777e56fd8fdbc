//! Typing, told and ended, with a stepped clock.

use super::*;

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn ann() -> UserId {
    UserId::parse(1).unwrap()
}

fn chat(id: u64) -> ChatId {
    ChatId::parse(id).unwrap()
}

#[test]
fn a_start_is_told_at_once_and_refreshed_every_three_seconds() {
    let mut typing = Typing::default();
    let told: Vec<u64> = (0..100).map(|tenth| tenth * 100).filter(|ms| typing.start(ann(), chat(1), at(*ms))).collect();
    assert_eq!(told, [0, 3000, 6000, 9000]);
    assert!(typing.start(ann(), chat(2), at(9900)), "another chat is another matter");
}

#[test]
fn a_stop_is_told_once_and_a_start_after_it_at_once() {
    let mut typing = Typing::default();
    assert!(!typing.stop(ann(), chat(1)), "who does not type does not stop");
    typing.start(ann(), chat(1), at(0));
    assert!(typing.stop(ann(), chat(1)));
    assert!(!typing.stop(ann(), chat(1)));
    assert!(typing.start(ann(), chat(1), at(100)));
}

#[test]
fn a_start_lapses_six_seconds_after_it_was_said_last() {
    let mut typing = Typing::default();
    typing.start(ann(), chat(1), at(0));
    typing.start(ann(), chat(1), at(2000));
    assert!(typing.lapsed(at(7900)).is_empty());
    assert_eq!(typing.lapsed(at(8000)), [(ann(), chat(1))]);
    assert!(typing.lapsed(at(60_000)).is_empty() && typing.is_empty());
}

#[test]
fn who_stopped_does_not_lapse_and_is_forgotten() {
    let mut typing = Typing::default();
    for round in 0..50 {
        typing.start(ann(), chat(1), at(round * 10));
        typing.stop(ann(), chat(1));
    }
    assert_eq!((typing.len(), typing.endings.len()), (1, 1), "however often somebody changes their mind");
    assert!(typing.lapsed(at(6000)).is_empty());
    assert!(typing.is_empty() && typing.endings.is_empty());
}

#[test]
fn who_is_gone_types_nowhere() {
    let mut typing = Typing::default();
    for id in 1..=3 {
        typing.start(ann(), chat(id), at(0));
    }
    typing.start(UserId::parse(2).unwrap(), chat(1), at(0));
    typing.stop(ann(), chat(2));
    assert_eq!(typing.gone(ann()), [chat(1), chat(3)]);
    assert!(typing.gone(ann()).is_empty());
    assert_eq!(typing.lapsed(at(9000)).len(), 1, "the others type on");
}

#[test]
fn there_is_room_for_so_many_and_no_more() {
    let mut typing = Typing::default();
    for id in 1..=100_000 {
        assert!(typing.start(ann(), chat(id), at(0)));
    }
    assert!(!typing.start(ann(), chat(100_001), at(0)));
    assert!(typing.start(ann(), chat(1), at(5000)), "those who are in are heard");
    assert_eq!(typing.lapsed(at(6000)).len(), 99_999);
    assert!(typing.start(ann(), chat(100_001), at(6000)));
}
