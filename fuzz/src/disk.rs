//! What the server reads from its own disk: records of the log, and slices of a snapshot. They carry checksums; here it is
//! seen what becomes of bytes behind a checksum that fits.

use std::time::Duration;

use chappe_actors::clock::Now;
use chappe_actors::log::EventLog;
use chappe_actors::log::memory::MemoryLog;
use chappe_actors::log::record::{self, Draft, Entry, Fact, Kind, Place, Position};
use chappe_actors::snapshot::blocks;
use chappe_actors::state::slices::{Cursor, Restoring};
use chappe_actors::state::{Settings, State};
use chappe_proto::event::{ChatKind, Role};
use chappe_proto::format;
use chappe_proto::limits::Limits;
use chappe_proto::message::MessageType;
use chappe_proto::{ChatId, ClientId, MessageId, Millis, Seq, UserId};

use crate::throws::Throws;

const HERE: Position = Position(7);
const NOW: Now = Now { wall: Millis(1_790_000_000_000), mono: Duration::from_secs(1000) };

/// The body of a record.
pub(crate) fn record(bytes: &[u8]) {
    // As it lies on the disk: the checksum stops nearly all of it.
    let mut rest = bytes;
    while let Ok(found) = record::decode_from(HERE, &mut rest) {
        assert!(rest.len() < bytes.len());
        drop(found.into_event());
    }
    let opened = record::open(HERE, bytes).map(|(head, fact)| (head, Kind::of(fact), fact.to_vec()));
    let Ok(read) = record::decode(HERE, bytes) else { return };
    let is_open = opened.map(|(head, kind, fact)| (head.at, head.numbered, kind, format::decode_compact(&fact).ok()));
    let kind = match &read.entry.fact {
        Fact::MessagePosted { .. } | Fact::SignedMessagePosted { .. } => Kind::Post,
        Fact::MessageEdited { .. } | Fact::MessageDeleted { .. } => Kind::Change,
        _ => Kind::Other,
    };
    // How an entry begins can be read without the rest; but of the tags that say what it is, one has longer forms that
    // nobody writes.
    if is_open.as_ref().is_ok_and(|(_, _, told, _)| *told == kind) {
        assert_eq!(is_open, Ok((read.entry.at, read.entry.numbered, kind, Some(read.entry.fact.clone()))));
    }
    let mut stored = Vec::new();
    let written = record::encode_into(HERE, &read.entry, &mut Vec::new(), &mut stored);
    assert_eq!(written, Ok(()), "what was read can be written");
    assert_eq!(record::decode_from(HERE, &mut stored.as_slice()).as_ref(), Ok(&read), "written and read again");
    let mut throws = Throws::of(bytes);
    let bit = throws.below(8 * stored.len());
    stored[bit / 8] ^= 1 << (bit % 8);
    assert!(record::decode_from(HERE, &mut stored.as_slice()).is_err(), "bit {bit} was flipped");
    drop(read.into_event());
}

fn entries() -> Vec<Entry> {
    let (Ok(chat), Ok(user), Ok(message)) = (ChatId::parse(2), UserId::parse(7), MessageId::parse(300)) else {
        return Vec::new();
    };
    let content: Box<str> = "Grüße".into();
    let facts = vec![
        Fact::UserCreated { user, nickname: "Ann".into() },
        Fact::ChatCreated { title: "ops".into(), kind: ChatKind::Group, by: Some(user), members: vec![user] },
        Fact::ChatUpdated { title: "all".into(), deleted: false, by: Some(user) },
        Fact::MemberJoined { user, role: Role::Owner },
        Fact::MemberLeft { user },
        Fact::MessagePosted {
            sender: user,
            content: content.clone(),
            message_type: MessageType::Text,
            client_id: ClientId::parse("c-1").ok(),
            reply_to: Some(message),
        },
        Fact::MessageEdited { message, message_seq: Seq(5), content, by: user },
        Fact::MessageDeleted { message, message_seq: Seq(5), by: user },
        Fact::Reacted { message, message_seq: Seq(5), user, emoji: "👍".into(), removed: false },
        Fact::ReadMarked { chat, user, seq: Seq(5), count: 3 },
        Fact::KeyRegistered { user, key: None },
    ];
    facts.into_iter().map(|fact| Entry { at: NOW.wall, numbered: Some((chat, Seq(260))), fact }).collect()
}

pub(crate) fn records() -> Vec<Vec<u8>> {
    let body = |entry: &Entry| {
        let mut body = Vec::new();
        format::encode_compact_into(entry, &mut body);
        body
    };
    let whole = |entry: &Entry| {
        let mut out = Vec::new();
        record::encode_into(HERE, entry, &mut Vec::new(), &mut out).map(|()| out).unwrap_or_default()
    };
    let entries = entries();
    entries.iter().map(body).chain(entries.iter().map(whole)).collect()
}

fn settings() -> Settings {
    Settings {
        limits: Limits::default(),
        messages_per_chat: 10,
        cache_bytes: 1 << 20,
        pending_writes: 10,
        heartbeat_ms: 25_000,
        connections_per_user: 10,
        open: true,
        epoch: 1,
    }
}

/// The slices of a state, one behind the other.
fn all(state: &State) -> Vec<Vec<u8>> {
    let (mut slices, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(cursor) = next {
        let (slice, following) = state.slice(cursor);
        slices.push(slice);
        next = following;
        assert!(slices.len() < 10_000, "the slices of a state come to an end");
    }
    slices
}

/// A slice of a snapshot: what is made of it can be written again, and is the same then.
pub(crate) fn slice(bytes: &[u8]) {
    for block in blocks::read(bytes) {
        if block.is_err() {
            break;
        }
    }
    let mut restoring = Restoring::new(settings());
    if restoring.take(bytes).is_none() {
        return;
    }
    let state = restoring.finish(HERE, 0);
    // Ids far apart would take as many slices as there are between them.
    if state.last_chat() > 1_000_000 {
        return;
    }
    let mut again = Restoring::new(settings());
    for slice in all(&state) {
        assert!(again.take(&slice).is_some(), "what was written can be read");
    }
    assert_eq!(state.differences(&again.finish(HERE, state.last_chat()), &[]), 0);
}

pub(crate) fn slices() -> Vec<Vec<u8>> {
    let (mut log, mut state) = (MemoryLog::default(), State::new(settings()));
    let mut drafts = State::beginning(NOW);
    let places = [Place::Nowhere, Place::NewChat];
    drafts.extend(entries().into_iter().take(2).zip(places).map(|(entry, place)| Draft {
        at: entry.at,
        place,
        fact: entry.fact,
    }));
    if let Ok(chat) = ChatId::parse(2) {
        let joined = entries().into_iter().skip(3).take(3);
        drafts.extend(joined.map(|entry| Draft { at: entry.at, place: Place::Chat(chat), fact: entry.fact }));
    }
    if let Ok(records) = log.append(drafts) {
        for record in records {
            state.replay(record);
        }
    }
    all(&state)
}
