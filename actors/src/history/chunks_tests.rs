//! Histories of many chunks, whatever comes into them at a time; and what is found when a byte of them is turned over.

use chappe_proto::event::Event;
use chappe_proto::message::Message;
use chappe_proto::{MessageId, UserId};
use proptest::prelude::*;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;

use super::super::History;
use super::super::tables::{FILE, Tables};
use super::super::tests::{EPOCH, batch, differences, folder, project};
use super::*;
use crate::command::Page;
use crate::log::conformance::{new_chat, post};
use crate::log::model;
use crate::log::record::{Draft, Fact, Place, Record};
use crate::state::tests::properties::cases;

/// What happens in a chat: the numbers choose among what there is.
type Happening = (u64, u8, usize, u64);

fn happening() -> impl Strategy<Value = Happening> {
    let size = prop_oneof![Just(1usize), Just(40), Just(120), Just(400), Just(3000)];
    (1u64..=3, 0u8..12, size, any::<u64>())
}

fn drafts(happenings: &[Happening]) -> Vec<Draft> {
    let mut drafts = vec![new_chat(), new_chat(), new_chat()];
    let mut posts: [Vec<(u64, u64)>; 3] = Default::default();
    let mut heads = [1u64; 3];
    for (chat, what, size, number) in happenings {
        let nth = usize::try_from(chat - 1).unwrap();
        heads[nth] += 1;
        let by = UserId::parse(1).unwrap();
        let text: String = format!("{number:x} ").repeat(size / 8 + 1);
        let target = posts[nth].get(usize::try_from(*number).unwrap_or_default() % posts[nth].len().max(1)).copied();
        let target = target.map(|(id, seq)| (MessageId::parse(id).unwrap(), Seq(seq)));
        let place = Place::Chat(ChatId::parse(*chat).unwrap());
        let fact = match (what, target) {
            (9, Some((message, message_seq))) => Fact::MessageEdited { message, message_seq, content: text.into(), by },
            (10, Some((message, message_seq))) => Fact::MessageDeleted { message, message_seq, by },
            (11, _) => Fact::MemberLeft { user: by },
            _ => {
                posts[nth].push((drafts.len() as u64 + 1, heads[nth]));
                post(*chat, &text).fact
            }
        };
        drafts.push(Draft { place, fact, ..new_chat() });
    }
    drafts
}

fn is_right(history: &mut History, records: &[Record]) {
    for chat in (1..=3).map(|chat| ChatId::parse(chat).unwrap()) {
        let events = model::events(records, chat, Seq::ZERO);
        let messages: Vec<Arc<Message>> = events.iter().filter_map(Event::message).cloned().collect();
        let head = events.len() as u64;
        for at in (0..=head + 1).step_by(7).chain([head]) {
            let before: Vec<_> = messages.iter().filter(|message| message.seq < Seq(at)).cloned().collect();
            let after: Vec<_> = messages.iter().filter(|message| message.seq > Seq(at)).cloned().collect();
            let older = messages.len().saturating_sub(usize::try_from(at).unwrap());
            for limit in [1, 20] {
                let last = |all: &[Arc<Message>]| (all[all.len().saturating_sub(limit)..].to_vec(), all.len() > limit);
                assert_eq!(history.messages(chat, Page::Before(Seq(at)), limit).unwrap(), last(&before));
                assert_eq!(history.messages(chat, Page::Newest { skip: at }, limit).unwrap(), last(&messages[..older]));
                let page = (after[..limit.min(after.len())].to_vec(), after.len() > limit);
                assert_eq!(history.messages(chat, Page::After(Seq(at)), limit).unwrap(), page);
                let following: Vec<_> = events.iter().filter(|event| event.seq() > Seq(at)).take(limit).collect();
                assert_eq!(history.events(chat, Seq(at), limit).unwrap().iter().collect::<Vec<_>>(), following);
            }
            let count = messages.iter().filter(|message| message.seq <= Seq(at)).count() as u64;
            assert_eq!(history.count(chat, Seq(at)).unwrap(), count);
        }
    }
}

/// The chunks of a chat: each with its first number and its size.
fn chunks(file: &Path, chat: u64) -> Vec<(i64, usize)> {
    let tables = Connection::open(file).unwrap();
    let mut rows = tables.prepare("SELECT first, body FROM chunks WHERE chat = ?1 ORDER BY first").unwrap();
    let rows = rows.query_map([to_sql(chat)], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?))).unwrap();
    rows.map(Result::unwrap).map(|(first, body)| (first, Run::packed_size(&body))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(16), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_at_a_time_a_long_history_is_whole(
        happenings in proptest::collection::vec(happening(), 1..400),
        part in 0usize..=100,
        at_a_time in prop_oneof![1usize..8, 1usize..400],
        other_batch in 1usize..400,
    ) {
        let drafts = drafts(&happenings);
        let projected = drafts.len() * part / 100;
        let (folder, _log, records) = folder(&[drafts], projected, at_a_time);
        let file = folder.path().join(FILE);
        let mut history = History::open(folder.path()).unwrap();
        is_right(&mut history, &records);
        let other = folder.path().join("other.db");
        project(&other, &records[..projected], other_batch);
        prop_assert_eq!(differences(&file, &other), []);
        // The same reader goes on while the tables do.
        for records in records[projected..].chunks(50) {
            Tables::open(&file, EPOCH).unwrap().project(&batch(records)).unwrap();
            history.newest(ChatId::parse(1).unwrap(), 3).unwrap();
        }
        is_right(&mut history, &records);
    }
}

#[test]
fn one_message_at_a_time_makes_whole_chunks_in_the_end() {
    let mut drafts = vec![new_chat()];
    drafts.extend((0..3000).map(|nth| post(1, &format!("message {nth} {}", "x".repeat(100)))));
    let (folder, ..) = folder(&[drafts], 3001, 1);
    let chunks = chunks(&folder.path().join(FILE), 1);
    let whole = chunks.iter().filter(|(_, size)| *size >= CHUNK_BYTES / 2).count();
    assert!(chunks.len() - whole <= 4, "those that are to be joined double in size: {chunks:?}");
    assert!(chunks.len() >= 8 && chunks.iter().all(|(_, size)| *size < CHUNK_BYTES * 2), "{chunks:?}");
}

#[test]
fn a_byte_turned_over_is_never_served() {
    let texts = |nth: usize| format!("message {nth} {}", "so it goes ".repeat(nth % 20));
    let mut drafts = vec![new_chat()];
    drafts.extend((0..1500).map(|nth| post(1, &texts(nth))));
    let (folder, _log, records) = folder(&[drafts], 1501, 400);
    let chat = ChatId::parse(1).unwrap();
    let file = folder.path().join(FILE);
    Connection::open(&file).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let expected = model::events(&records, chat, Seq::ZERO);
    let mut refused = 0;
    // Every so many bytes, each page of the file several times.
    for at in (100..whole.len()).step_by(97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&file, &bytes).unwrap();
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(folder.path().join(format!("{FILE}{suffix}")));
        }
        let Ok(mut history) = History::open(folder.path()) else { continue };
        for after in (0..1501).step_by(500) {
            match history.events(chat, Seq(after), 500) {
                Ok(found) => {
                    let start = usize::try_from(after).unwrap();
                    assert_eq!(found, expected[start..start + found.len()], "byte {at}");
                    assert_eq!(found.len(), 500.min(expected.len() - start), "byte {at}");
                }
                Err(error) => refused += usize::from(error.is_corrupt()),
            }
        }
    }
    assert!(refused > 50, "{refused} were found to be damaged, so that the tables are built again");
}
