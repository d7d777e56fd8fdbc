//! What one connection hears, held against the log: every event is on disk and for its user, in order, each once, and none
//! missing but where a `Gap` says so.

use std::collections::{BTreeMap, BTreeSet};

use chappe_proto::event::Event;
use chappe_proto::packet::Head;
use chappe_proto::{ChatId, Seq, UserId};

use crate::disk::with_ledger;
use crate::ledger::Ledger;
use crate::verdict::{broken, holds};

/// See the module.
#[derive(Debug)]
pub(crate) struct Ear {
    user: UserId,
    /// Where the log stood when the connection began.
    since: u64,
    /// The next event of each chat that it hears.
    next: BTreeMap<ChatId, u64>,
    /// Chats that it was told it hears no longer.
    deaf: BTreeSet<ChatId>,
    /// Chats that it asked for.
    asked: BTreeSet<ChatId>,
    /// Whether it ever asked not to hear one.
    muted: bool,
    /// The newest word about how far others have read.
    read: BTreeMap<(ChatId, UserId), Seq>,
}

impl Ear {
    pub(crate) fn new(user: UserId) -> Self {
        let (next, deaf, asked, read) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        Self { user, since: with_ledger(Ledger::head), next, deaf, asked, muted: false, read }
    }

    /// From here on all that follows these heads is heard.
    pub(crate) fn welcome(&mut self, heads: &[Head]) {
        for head in heads {
            self.next.insert(head.chat_id, head.seq.0 + 1);
        }
    }

    /// These chats are heard as well.
    pub(crate) fn subscribed(&mut self, chats: &[ChatId]) {
        for chat in chats {
            self.deaf.remove(chat);
            self.asked.insert(*chat);
        }
    }

    /// These are heard no longer.
    pub(crate) fn unsubscribed(&mut self, chats: &[ChatId]) {
        self.muted = true;
        for chat in chats {
            self.next.remove(chat);
            self.asked.remove(chat);
            self.deaf.insert(*chat);
        }
    }

    /// A live event. `is_changing` says that the client has asked to hear the chat, or not to, and knows of no answer: acks
    /// may wait for others, and events do not.
    pub(crate) fn event(&mut self, event: &Event, is_changing: bool) {
        let (chat, seq, user) = (event.chat_id(), event.seq(), self.user);
        with_ledger(|ledger| {
            let Some(record) = ledger.event(chat, seq) else {
                return broken(format!("{user} hears event {seq} of {chat}, which is not on disk"));
            };
            // What it is about may have gone just before.
            let told = ledger.keeping.left(record, record.position.0).into_event();
            let is_same = told.as_ref() == Some(event);
            holds(is_same, || format!("{user} hears {event:?}, and on disk is {record:?}"));
            let at = record.position.0;
            let may = ledger.is_open(chat) || ledger.was_in(chat, user, at, at);
            holds(may, || format!("{user} hears event {seq} of {chat} and is no member"));
            let joins = match event {
                Event::MemberJoined(joined) => joined.user_id == user,
                Event::ChatCreated(created) => created.members.contains(&user),
                _ => false,
            };
            holds(!self.deaf.contains(&chat) || joins || is_changing, || {
                format!("{user} hears event {seq} of {chat} after it was told that it hears it no longer")
            });
            if let Some(next) = self.next.get(&chat) {
                let is_far = seq.0 > *next && (is_changing || self.was_away(ledger, chat, *next, seq.0 - 1));
                let in_order = seq.0 == *next || is_far;
                holds(in_order, || format!("{user} hears event {seq} of {chat} where {next} was to come"));
            }
        });
        self.next.insert(chat, seq.0 + 1);
        self.deaf.remove(&chat);
        let leaves = match event {
            Event::MemberLeft(left) => left.user_id == user,
            Event::ChatUpdated(updated) => updated.deleted,
            _ => false,
        };
        if leaves {
            self.next.remove(&chat);
            self.deaf.insert(chat);
        }
    }

    /// Whether none of these events was for the user: they had left, and that they did stood in a gap.
    fn was_away(&self, ledger: &Ledger, chat: ChatId, from: u64, to: u64) -> bool {
        let at = |seq| ledger.event(chat, Seq(seq)).map_or(0, |record| record.position.0);
        // Whoever only listens to an open chat never leaves it.
        let left = !self.asked.contains(&chat) || ledger.was_in(chat, self.user, self.since, at(from - 1));
        left && (from..=to).all(|seq| !ledger.was_in(chat, self.user, at(seq), at(seq)))
    }

    /// Whether there are chats that it asked not to hear.
    pub(crate) fn has_muted(&self) -> bool {
        self.muted
    }

    /// Some events were not delivered.
    pub(crate) fn gap(&mut self, chat: ChatId, from: Seq, to: Seq, is_changing: bool) {
        let user = self.user;
        let head = with_ledger(|ledger| ledger.seq(chat));
        holds(from <= to && to.0 <= head, || format!("a gap of {user} in {chat} from {from} to {to}, head {head}"));
        if let Some(next) = self.next.get(&chat) {
            let is_far =
                from.0 > *next && (is_changing || with_ledger(|ledger| self.was_away(ledger, chat, *next, from.0 - 1)));
            holds(from.0 == *next || is_far, || {
                format!("{user} is told of a gap in {chat} from {from}, where {next} was to come")
            });
            self.next.insert(chat, to.0 + 1);
        }
        // Whether the user left within it, the connection cannot know.
        self.deaf.remove(&chat);
    }

    /// Somebody does something in a chat that is not kept.
    pub(crate) fn ephemeral(&self, chat: ChatId, is_changing: bool) {
        let user = self.user;
        holds(!self.deaf.contains(&chat) || is_changing, || {
            format!("{user} is told who types or reads in {chat}, and hears it not")
        });
        let may = with_ledger(|ledger| ledger.is_open(chat) || ledger.was_in(chat, user, 0, u64::MAX));
        holds(may, || format!("{user} is told who types or reads in {chat}, and was never in it"));
    }

    /// Somebody has read so far.
    pub(crate) fn read(&mut self, chat: ChatId, who: UserId, seq: Seq, is_changing: bool) {
        self.ephemeral(chat, is_changing);
        let before = self.read.insert((chat, who), seq).unwrap_or_default();
        holds(before <= seq, || format!("{who} had read up to {before} in {chat}, and now to {seq}"));
        let kept = with_ledger(|ledger| ledger.mark(chat, who));
        holds(seq <= kept, || format!("{who} has read up to {kept} in {chat} on disk, and is told to have to {seq}"));
    }
}
