//! What every log promises, as one suite.

use chappe_proto::event::ChatKind;
use chappe_proto::message::MessageType;
use chappe_proto::{Millis, Seq, UserId};

use super::EventLog;
use super::compact::{Rewrite, Seen};
use super::record::{self, Draft, Entry, Fact, Place, Position, Record};

fn user() -> UserId {
    UserId::parse(1).unwrap()
}

pub(crate) fn new_chat() -> Draft {
    let fact = Fact::ChatCreated { title: "t".into(), kind: ChatKind::Group, by: None, members: vec![user()] };
    Draft { at: Millis(1), place: Place::NewChat, fact }
}

pub(crate) fn post(chat: u64, content: &str) -> Draft {
    let fact = Fact::MessagePosted {
        sender: user(),
        content: content.into(),
        message_type: MessageType::Text,
        client_id: None,
        reply_to: None,
    };
    Draft { at: Millis(2), place: Place::Chat(chappe_proto::ChatId::parse(chat).unwrap()), fact }
}

fn account() -> Draft {
    let fact = Fact::UserCreated { user: user(), nickname: "ann".into() };
    Draft { at: Millis(1), place: Place::Nowhere, fact }
}

/// Runs the suite over fresh logs.
pub(crate) fn run<L: EventLog>(mut fresh: impl FnMut() -> L) {
    positions_and_chat_numbers_have_no_gaps(fresh());
    scanning_gives_back_what_was_appended(fresh());
    a_record_is_found_by_its_position(fresh());
    replacing_changes_what_records_say_and_nothing_else(fresh());
    what_is_not_as_it_was_read_is_not_replaced(fresh());
    scrubbing_takes_nothing_away(fresh());
}

fn positions_and_chat_numbers_have_no_gaps(mut log: impl EventLog) {
    let first = log.append(vec![account(), new_chat(), post(1, "a"), new_chat(), post(1, "b")]).unwrap();
    let second = log.append(vec![post(2, "c"), post(1, "d")]).unwrap();
    let all: Vec<Record> = first.into_iter().chain(second).collect();
    let positions: Vec<u64> = all.iter().map(|record| record.position.0).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5, 6, 7]);
    let numbers: Vec<_> = all.iter().map(|r| r.entry.numbered.map(|(chat, Seq(seq))| (chat.get(), seq))).collect();
    let expected = [None, Some((1, 1)), Some((1, 2)), Some((2, 1)), Some((1, 3)), Some((2, 2)), Some((1, 4))];
    assert_eq!(numbers, expected);
}

fn scanning_gives_back_what_was_appended(mut log: impl EventLog) {
    assert!(log.scan(Position(0), 10).unwrap().is_empty());
    let mut all = log.append(vec![new_chat()]).unwrap();
    for batch in 0..5 {
        let drafts = (0..40).map(|n| post(1, &format!("{batch} {n} {}", "x".repeat(n * 100)))).collect();
        all.extend(log.append(drafts).unwrap());
    }
    for limit in [1, 7, 1000] {
        let mut seen = Vec::new();
        while let page = log.scan(Position(seen.len() as u64), limit).unwrap()
            && !page.is_empty()
        {
            seen.extend(page);
        }
        assert_eq!(seen, all, "pages of {limit}");
    }
}

fn a_record_is_found_by_its_position(mut log: impl EventLog) {
    let mut all = log.append(vec![new_chat(), post(1, "a"), post(1, "b")]).unwrap();
    all.extend(log.append(vec![post(1, "c")]).unwrap());
    for record in &all {
        assert_eq!(log.record(record.position).unwrap().as_ref(), Some(record));
    }
    assert_eq!(log.record(Position(0)).unwrap(), None);
    assert_eq!(log.record(Position(5)).unwrap(), None);
}

fn bytes(records: &[Record]) -> Vec<u8> {
    let (mut room, mut bytes) = (Vec::new(), Vec::new());
    for record in records {
        record::encode_into(record.position, &record.entry, &mut room, &mut bytes).unwrap();
    }
    bytes
}

/// A step that makes one row of some, each of which a commit brought, with other records.
fn step(rows: &[Vec<Record>], records: &[Record]) -> Rewrite {
    let seen = rows.iter().map(|row| Seen::new(row.len() as u64, &bytes(row))).collect();
    Rewrite { rows: seen, first: records[0].position, body: bytes(records), reduced: 1 }
}

/// Four commits, each of which fits into one row.
fn rows(log: &mut impl EventLog) -> [Vec<Record>; 4] {
    [
        vec![account(), new_chat(), post(1, "a")],
        vec![post(1, "b")],
        vec![post(1, "c"), post(1, "d")],
        vec![post(1, "e")],
    ]
    .map(|drafts| log.append(drafts).unwrap())
}

/// The same records without the words of the second to the fourth message.
fn reduced(all: &[Record]) -> Vec<Record> {
    let mut reduced = all.to_vec();
    reduced[3..6].iter_mut().for_each(|record| record.entry.fact = Fact::MessageErased { sender: user() });
    reduced
}

/// The log holds these records, however it is asked.
fn holds(log: &mut impl EventLog, records: &[Record]) {
    for after in 0..=records.len() {
        assert_eq!(log.scan(Position(after as u64), 100).unwrap(), records[after..], "behind {after}");
    }
    for record in records {
        assert_eq!(log.record(record.position).unwrap().as_ref(), Some(record));
    }
    assert_eq!(log.record(Position(records.len() as u64 + 1)).unwrap(), None);
}

fn replacing_changes_what_records_say_and_nothing_else(mut log: impl EventLog) {
    let rows = rows(&mut log);
    let all = rows.concat();
    let mut expected = reduced(&all);
    // Two rows amid others become one.
    let one = step(&rows[1..3], &expected[3..6]);
    assert!(log.replace(&one).unwrap());
    holds(&mut log, &expected);
    // And that with those beside it.
    let joined = [rows[0].clone(), expected[3..6].to_vec(), rows[3].clone()];
    assert!(log.replace(&step(&joined, &expected)).unwrap());
    holds(&mut log, &expected);
    let next = log.append(vec![post(1, "f"), new_chat()]).unwrap();
    assert_eq!(next.iter().map(|record| record.position.0).collect::<Vec<_>>(), [8, 9]);
    assert_eq!(next[0].entry.numbered.unwrap().1, all[6].entry.numbered.unwrap().1.next());
    expected.extend(next);
    holds(&mut log, &expected);
}

fn what_is_not_as_it_was_read_is_not_replaced(mut log: impl EventLog) {
    let rows = rows(&mut log);
    let all = rows.concat();
    let left = reduced(&all);
    // The last of the third row says something else, by as many bytes and by fewer.
    let says = |fact: &Fact| {
        vec![
            all[4].clone(),
            Record { entry: Entry { fact: fact.clone(), ..all[5].entry.clone() }, position: all[5].position },
        ]
    };
    for wrong in [
        step(&[rows[1].clone(), says(&post(1, "x").fact)], &left[3..6]),
        step(&[rows[1].clone(), says(&left[5].entry.fact)], &left[3..6]),
        // Others stand where it is to begin, and where it is to end.
        step(&[rows[0].clone()], &left[3..6]),
        step(
            &[rows[3].clone(), rows[3].clone()],
            &[all[6].clone(), Record { position: Position(8), entry: all[6].entry.clone() }],
        ),
    ] {
        assert!(!log.replace(&wrong).unwrap(), "{wrong:?}");
        holds(&mut log, &all);
    }
    let right = step(&rows[1..3], &left[3..6]);
    assert!(log.replace(&right).unwrap());
    assert!(!log.replace(&right).unwrap(), "they are others now");
    holds(&mut log, &left);
}

fn scrubbing_takes_nothing_away(mut log: impl EventLog) {
    assert!(log.scrub().unwrap(), "of an empty log");
    let rows = rows(&mut log);
    let mut expected = reduced(&rows.concat());
    assert!(log.replace(&step(&rows[1..3], &expected[3..6])).unwrap());
    for more in ["f", "g"] {
        assert!(log.scrub().unwrap(), "nobody reads there");
        holds(&mut log, &expected);
        expected.extend(log.append(vec![post(1, more)]).unwrap());
        holds(&mut log, &expected);
    }
}

mod implementations {
    use super::super::memory::MemoryLog;
    use super::super::sqlite::SqliteLog;

    #[test]
    fn the_log_in_memory_conforms() {
        super::run(MemoryLog::default);
    }

    #[test]
    fn the_sqlite_log_conforms() {
        let mut folders = Vec::new();
        super::run(|| {
            folders.push(tempfile::tempdir().unwrap());
            SqliteLog::open(folders.last().unwrap().path(), 7, |_| {}).unwrap().0
        });
    }
}
