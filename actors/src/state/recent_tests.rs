//! Recent events against a plain list of them, which does the same the simple way.

use std::ops::RangeInclusive;
use std::sync::Arc;

use chappe_proto::event::{MemberLeft, MessageDeleted, MessageEdited};
use chappe_proto::{ClientId, Millis, UserId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const KEEP: Keep = Keep { messages: 4 };

fn chat() -> ChatId {
    ChatId::parse(7).unwrap()
}

fn user() -> UserId {
    UserId::parse(1).unwrap()
}

fn id(seq: u64) -> MessageId {
    MessageId::parse(seq * 10).unwrap()
}

fn message(seq: u64, content: &str) -> Event {
    Event::Message(Arc::new(Message {
        id: id(seq),
        chat_id: chat(),
        seq: Seq(seq),
        sender_id: user(),
        content: content.into(),
        message_type: Default::default(),
        client_id: ClientId::parse(format!("n{seq}")).ok().filter(|_| seq.is_multiple_of(2)),
        reply_to: None,
        created_at: Millis(0),
        edited_at: None,
        deleted: false,
        signature: None,
    }))
}

fn left(seq: u64) -> Event {
    Event::MemberLeft(MemberLeft { chat_id: chat(), seq: Seq(seq), user_id: user(), at: Millis(0) })
}

fn edited(seq: u64, message_seq: u64, content: &str) -> Event {
    let (message_id, message_seq) = (id(message_seq), Seq(message_seq));
    let (content, edited_at) = (content.into(), Millis(seq));
    Event::MessageEdited(MessageEdited {
        chat_id: chat(),
        seq: Seq(seq),
        message_id,
        message_seq,
        user_id: user(),
        content,
        edited_at,
    })
}

fn deleted(seq: u64, message_seq: u64) -> Event {
    let (message_id, message_seq) = (id(message_seq), Seq(message_seq));
    let (user_id, at) = (user(), Millis(0));
    Event::MessageDeleted(MessageDeleted { chat_id: chat(), seq: Seq(seq), message_id, message_seq, user_id, at })
}

fn push(recent: &mut Recent, event: &Event, keep: Keep) {
    let mut body = Vec::new();
    packed::pack(event, &mut body);
    recent.push(event.seq(), Entry::new(&body), keep);
}

fn all(recent: &Recent) -> Vec<Event> {
    recent.leaves.iter().flat_map(Leaf::entries).filter_map(|entry| entry.event(chat())).collect()
}

fn seqs(recent: &Recent) -> Vec<u64> {
    all(recent).iter().map(|event| event.seq().0).collect()
}

#[test]
fn a_message_is_found_by_number_and_by_id() {
    let mut recent = Recent::new(chat());
    for event in [message(5, "x"), left(6), message(7, "y")] {
        push(&mut recent, &event, KEEP);
    }
    assert_eq!(recent.message(id(7)).map(|message| message.seq), Some(Seq(7)));
    assert_eq!(recent.message(id(6)), None);
    assert_eq!(recent.messages_after(Seq(5)), Some(1));
    assert_eq!(recent.messages_after(Seq(4)), Some(2));
    assert_eq!(recent.messages_after(Seq(3)), None, "what came before 5 is not known here");
    assert_eq!(recent.messages_after(Seq(7)), Some(0));
}

#[test]
fn older_events_are_taken_only_where_they_lead_up_to_what_is_held() {
    let mut recent = Recent::new(chat());
    let older: Vec<Event> = (5..=8).map(|seq| message(seq, "x")).collect();
    push(&mut recent, &older[3], KEEP);
    recent.warm(&older[..2], Seq(8), KEEP);
    assert_eq!(seqs(&recent), [8]);
    recent.warm(&older, Seq(8), KEEP);
    assert_eq!(seqs(&recent), [5, 6, 7, 8]);
}

#[test]
fn a_page_stays_below_its_bytes_at_the_end_that_was_asked_for() {
    let mut recent = Recent::new(chat());
    let large = "x".repeat(PAGE_BYTES / 3);
    for seq in 1..=9 {
        push(&mut recent, &message(seq, &large), Keep { messages: 100 });
    }
    let page =
        |end| -> Vec<u64> { recent.page(What::Messages, 2..8, end).messages().map(|message| message.seq.0).collect() };
    assert_eq!(page(End::Oldest), [3, 4, 5]);
    assert_eq!(page(End::Newest), [6, 7, 8]);
}

#[test]
fn what_is_told_of_memory_is_close_to_what_the_events_need() {
    // Chats of three messages, of a hundred, and of a hundred that are the newest of many.
    for (sent, most) in [(3, 1.6), (100, 1.25), (1000, 1.4)] {
        let mut recent = Recent::new(chat());
        for seq in 1..=sent {
            push(&mut recent, &message(seq, &"x".repeat(100)), Keep { messages: 100 });
        }
        let needed: usize = recent.leaves.iter().map(|leaf| leaf.live().len()).sum();
        let taken = recent.bytes() as f64 / needed as f64;
        assert!(taken < most, "{sent} messages take {taken} times their bytes");
    }
}

/// Something that happens to a chat; the numbers choose among what there is.
#[derive(Debug, Clone)]
enum Happening {
    Posted {
        length: usize,
    },
    Left,
    Edited {
        which: usize,
        length: usize,
    },
    Deleted {
        which: usize,
    },
    Evicted,
    /// From the disk, to be brought back later.
    Read,
    Warmed {
        missing: usize,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    let length = || prop_oneof![4 => 0usize..40, 4 => 0usize..900, 1 => 0usize..9000];
    prop_oneof![
        12 => length().prop_map(|length| Happening::Posted { length }),
        2 => Just(Happening::Left),
        4 => (0usize..1000, length()).prop_map(|(which, length)| Happening::Edited { which, length }),
        3 => (0usize..1000).prop_map(|which| Happening::Deleted { which }),
        1 => Just(Happening::Evicted),
        2 => Just(Happening::Read),
        2 => (0usize..30).prop_map(|missing| Happening::Warmed { missing }),
    ]
}

/// The events of a chat in their current state, from its first.
#[derive(Default)]
struct Model(Vec<Event>);

impl Model {
    fn happened(&mut self, event: Event) {
        for earlier in &mut self.0 {
            match (earlier, &event) {
                (Event::Message(message), Event::MessageEdited(edited)) if message.seq == edited.message_seq => {
                    let message = Arc::make_mut(message);
                    (message.content, message.edited_at) = (edited.content.clone(), Some(edited.edited_at));
                }
                (Event::Message(message), Event::MessageDeleted(deleted)) if message.seq == deleted.message_seq => {
                    let message = Arc::make_mut(message);
                    (message.content, message.deleted) = (Box::default(), true);
                }
                (Event::MessageEdited(edited), Event::MessageDeleted(deleted))
                    if edited.message_seq == deleted.message_seq =>
                {
                    edited.content = Box::default();
                }
                _ => {}
            }
        }
        self.0.push(event);
    }

    /// The first of these from which on all is kept.
    fn fitting(&self, mut starts: RangeInclusive<usize>, keep: Keep) -> usize {
        let last = *starts.end();
        let fits = |start: &usize| {
            let held = &self.0[*start..];
            let messages = held.iter().filter(|event| event.message().is_some()).count();
            messages <= keep.messages && held.len() <= 2 * keep.messages
        };
        starts.find(fits).unwrap_or(last)
    }

    /// A message that is not deleted.
    fn message(&self, which: usize) -> Option<u64> {
        let there: Vec<_> = self.0.iter().filter_map(Event::message).filter(|message| !message.deleted).collect();
        Some(there.get(which.checked_rem(there.len())?)?.seq.0)
    }
}

/// Everything that can be asked of it, in every range.
fn is_like(recent: &Recent, held: &[Event]) {
    assert_eq!(all(recent), held);
    assert_eq!(recent.first(), held.first().map(Event::seq));
    let messages: Vec<&Message> = held.iter().filter_map(|event| Some(&**event.message()?)).collect();
    assert_eq!(recent.last_message().as_ref(), messages.last().copied());
    assert_eq!((recent.count(What::Events), recent.count(What::Messages)), (held.len(), messages.len()));
    let leaves: usize = recent.leaves.iter().map(Leaf::bytes).sum();
    assert_eq!(recent.bytes, leaves, "what is taken is counted");
    for (from, event) in held.iter().enumerate() {
        let up_to = held[..=from].iter().filter(|event| event.message().is_some()).count();
        assert_eq!(recent.count_up_to(What::Messages, event.seq()), Some(up_to));
        assert_eq!(recent.count_up_to(What::Events, event.seq()), Some(from + 1));
        let to = held.len().min(from + 9);
        let page = recent.page(What::Events, from..to, End::Oldest);
        assert_eq!(page, Packed::of(chat(), &held[from..to]));
    }
    for from in 0..messages.len() {
        let to = messages.len().min(from + 9);
        let page = recent.page(What::Messages, from..to, End::Newest);
        assert_eq!(page, Packed::of_messages(chat(), messages[from..to].iter().copied()));
        assert_eq!(recent.message(messages[from].id).as_ref(), Some(messages[from]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packed_events_are_what_a_plain_list_of_them_would_be(
        keep in (1usize..40).prop_map(|messages| Keep { messages }),
        happenings in vec(happening(), 1..120),
    ) {
        let mut model = Model::default();
        let mut recent = Recent::new(chat());
        // The first event that is held, and what the disk knew when it was read last.
        let (mut from, mut read) = (0, Vec::new());
        for happening in happenings {
            let seq = model.0.len() as u64 + 1;
            let text = |length| "x".repeat(length);
            let event = match happening {
                Happening::Posted { length } => Some(message(seq, &text(length))),
                Happening::Left => Some(left(seq)),
                Happening::Edited { which, length } => {
                    model.message(which).map(|message| edited(seq, message, &text(length)))
                }
                Happening::Deleted { which } => model.message(which).map(|message| deleted(seq, message)),
                Happening::Evicted => {
                    recent.clear();
                    from = model.0.len();
                    None
                }
                Happening::Read => {
                    read = model.0.clone();
                    None
                }
                Happening::Warmed { missing } => {
                    let begin = from.saturating_sub(missing).min(read.len());
                    recent.warm(&read[begin..], Seq(seq - 1), keep);
                    if read.len() >= from {
                        from = model.fitting(begin..=from, keep);
                    }
                    None
                }
            };
            if let Some(event) = event {
                recent.follow(&event);
                push(&mut recent, &event, keep);
                model.happened(event);
                from = model.fitting(from..=model.0.len(), keep);
            }
            is_like(&recent, &model.0[from..]);
        }
    }
}
