//! Pages that are read while the log grows and is rewritten, and the query tables take it over: each is whole.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chappe_proto::{ChatId, MessageId, Millis, Seq, UserId};

use super::History;
use super::batch::Batch;
use super::tables::{self, FILE, Tables};
use super::tests::EPOCH;
use crate::command::Page;
use crate::log::EventLog;
use crate::log::compact::{Compaction, Step};
use crate::log::conformance::{new_chat, post};
use crate::log::record::{Draft, Fact, Place};
use crate::log::sqlite::SqliteLog;

const CHATS: u64 = 3;
/// Every so manyth event edits the message before it; the first makes the chat.
const EDITS: u64 = 7;
const BATCH: u64 = 24;

/// What is known of a chat.
#[derive(Debug, Default)]
struct Bounds {
    /// It has come so far at least.
    head: AtomicU64,
    /// Up to here it is trimmed at least, and at most.
    floor: [AtomicU64; 2],
}

fn is_post(seq: u64) -> bool {
    seq > 1 && !seq.is_multiple_of(EDITS)
}

fn posts(up_to: u64) -> u64 {
    (1..=up_to).filter(|seq| is_post(*seq)).count() as u64
}

fn chat(number: u64) -> ChatId {
    ChatId::parse(number + 1).unwrap()
}

fn place(chat: ChatId) -> usize {
    usize::try_from(chat.get() - 1).unwrap()
}

fn said(number: u64, seq: u64) -> String {
    format!("{number} {seq} {}", "x".repeat(usize::try_from(seq % 13 * 150).unwrap()))
}

/// Appends, trims, rewrites and scrubs, as the writer does.
fn write(folder: &Path, log: &mut SqliteLog, bounds: &[Bounds], batches: u64) {
    log.append((0..CHATS).map(|_| new_chat()).collect()).unwrap();
    let mut heads = vec![1u64; bounds.len()];
    let mut ids = vec![MessageId::parse(1).unwrap(); bounds.len()];
    for batch in 0..batches {
        let mut drafts = Vec::new();
        for nth in 0..BATCH {
            let number = (batch + nth * nth) % CHATS;
            let head = &mut heads[number as usize];
            *head += 1;
            drafts.push(if is_post(*head) {
                post(number + 1, &said(number, *head))
            } else {
                let (message, message_seq) = (ids[number as usize], Seq(*head - 1));
                let by = UserId::parse(1).unwrap();
                let fact = Fact::MessageEdited { message, message_seq, content: "edited".into(), by };
                Draft { fact, ..post(number + 1, "") }
            });
        }
        let trimmed = (batch % CHATS) as usize;
        if batch.is_multiple_of(5) && heads[trimmed] > 60 {
            let up_to = (heads[trimmed] - 50..).find(|seq| is_post(*seq)).unwrap();
            bounds[trimmed].floor[1].store(up_to, Ordering::SeqCst);
            let fact = Fact::Trimmed { chat: chat(trimmed as u64), up_to: Seq(up_to), messages: posts(up_to) };
            drafts.push(Draft { at: Millis(1), place: Place::Nowhere, fact });
        }
        for record in log.append(drafts).unwrap() {
            match (record.entry.numbered, record.entry.fact) {
                (Some((chat, seq)), fact) => {
                    let number = place(chat);
                    if fact.is_post() {
                        ids[number] = record.position.message().unwrap();
                    }
                    bounds[number].head.store(seq.0, Ordering::SeqCst);
                }
                (None, Fact::Trimmed { chat, up_to, .. }) => {
                    bounds[place(chat)].floor[0].store(up_to.0, Ordering::SeqCst);
                }
                _ => {}
            }
        }
        log.maintain().unwrap();
        if batch % 40 == 39 {
            rewrite(folder, log);
            log.scrub().unwrap();
        }
    }
}

fn rewrite(folder: &Path, log: &mut SqliteLog) {
    let Some(said) = tables::limited(folder).unwrap() else { return };
    let mut reader = SqliteLog::reader(folder).unwrap();
    let mut compaction = Compaction::begin(&reader, said.position).unwrap();
    loop {
        match compaction.next(&mut reader).unwrap() {
            Step::Looked => {}
            Step::Rewrite(step) => assert!(log.replace(&step).unwrap()),
            Step::End => break,
        }
    }
}

fn project(folder: &Path, is_over: &AtomicBool) {
    let mut tables = Tables::open(&folder.join(FILE), EPOCH).unwrap();
    let mut log = SqliteLog::reader(folder).unwrap();
    loop {
        let is_last = is_over.load(Ordering::SeqCst);
        let last = log.last().unwrap();
        while tables.position() < last {
            tables.project(&Batch::read(&mut log, tables.position(), last).unwrap()).unwrap();
        }
        if is_last {
            break;
        }
        std::thread::yield_now();
    }
}

fn read(folder: &Path, bounds: &[Bounds], is_over: &AtomicBool, mut dice: u64) {
    let mut history = History::open(folder).unwrap();
    let mut pages = 0;
    while !is_over.load(Ordering::SeqCst) || pages < 50 {
        pages += 1;
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = (dice >> 33) % CHATS;
        let (of, chat) = (&bounds[number as usize], chat(number));
        let [head, floor] = [&of.head, &of.floor[0]].map(|least| least.load(Ordering::SeqCst));
        if head == 0 {
            continue;
        }
        let at =
            if dice.is_multiple_of(3) { head.saturating_sub((dice >> 40) % 40) } else { (dice >> 20) % (head + 1) };
        let limit = 1 + (dice >> 50) as usize % 40;
        match (dice >> 45) % 5 {
            0 => {
                let events = history.events(chat, Seq(at), limit).unwrap();
                let seqs: Vec<u64> = events.iter().map(|event| event.seq().0).collect();
                assert!(seqs.iter().copied().eq(at + 1..at + 1 + seqs.len() as u64), "{chat} after {at}: {seqs:?}");
                assert!(!seqs.is_empty() || at >= head, "{chat} after {at}, head {head}");
                let floor = of.floor[1].load(Ordering::SeqCst);
                for message in events.iter().filter_map(|event| event.message()) {
                    let seq = message.seq.0;
                    let is_edit = *message.content == *"edited" && is_post(seq) && !is_post(seq + 1);
                    let is_whole = *message.content == *said(number, seq) || is_edit;
                    assert!(is_whole || (seq <= floor && message.content.is_empty()), "{message:?}, floor {floor}");
                }
            }
            1 | 2 => {
                let is_after = (dice >> 47).is_multiple_of(2);
                let page = if is_after { Page::After(Seq(at)) } else { Page::Before(Seq(at)) };
                let (messages, has_more) = history.messages(chat, page, limit).unwrap();
                let floors = [floor, of.floor[1].load(Ordering::SeqCst)];
                let seqs: Vec<u64> = messages.iter().map(|message| message.seq.0).collect();
                let (first, last) = match (seqs.first(), seqs.last()) {
                    (Some(first), Some(last)) => (*first, *last),
                    _ => {
                        let least = if is_after { at.max(floors[1]) } else { floors[1] };
                        let most = if is_after { head } else { at.saturating_sub(1) };
                        assert!(
                            (least + 1..=most).all(|seq| !is_post(seq)),
                            "{chat} {page:?} is empty: {floors:?} {head}"
                        );
                        continue;
                    }
                };
                let whole: Vec<u64> = (first..=last).filter(|seq| is_post(*seq)).collect();
                assert_eq!(seqs, whole, "{chat} {page:?} {limit}");
                if is_after {
                    let due = |floor: u64| (at.max(floor) + 1..).find(|seq| is_post(*seq)).unwrap();
                    assert!((due(floors[0])..=due(floors[1])).contains(&first), "{chat} {page:?} begins with {first}");
                    let is_end = !(last + 1..=head).any(is_post);
                    assert!(has_more || is_end, "{chat} {page:?} {limit} ends at {last} of {head}");
                } else {
                    assert!(!(last + 1..at).any(is_post), "{chat} {page:?} ends with {last}");
                    let is_begin = !(floors[1] + 1..first).any(is_post);
                    assert!(has_more || is_begin, "{chat} {page:?} {limit} begins at {first}, {floors:?}");
                }
            }
            3 => {
                let (messages, _) = history.messages(chat, Page::Newest { skip: 0 }, limit).unwrap();
                let last = messages.last().map_or(0, |message| message.seq.0);
                assert!(!(last + 1..=head).any(is_post), "{chat}: the newest is {last} of {head}");
            }
            _ => assert_eq!(history.count(chat, Seq(at)).unwrap(), posts(at), "{chat} up to {at}"),
        }
    }
}

/// Says that it is over, also where the writer fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn pages_are_whole_while_the_log_grows_and_is_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = SqliteLog::open(folder.path(), EPOCH, |_| {}).unwrap();
    drop(Tables::open(&folder.path().join(FILE), EPOCH).unwrap());
    let bounds: Vec<Bounds> = (0..CHATS).map(|_| Bounds::default()).collect();
    let is_over = AtomicBool::new(false);
    let batches = std::env::var("CHAPPE_BATCHES").map_or(120, |batches| batches.parse().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| project(folder.path(), &is_over));
        for dice in 1..=2 {
            let (folder, bounds, is_over) = (folder.path(), &bounds, &is_over);
            scope.spawn(move || read(folder, bounds, is_over, dice));
        }
        let _over = Over(&is_over);
        write(folder.path(), &mut log, &bounds, batches);
    });
}
