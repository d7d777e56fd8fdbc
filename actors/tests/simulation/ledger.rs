//! What is on disk, read as the protocol means it: the truth that all that is sent is compared with. It checks itself what
//! must never stand in a log.

use std::cell::Cell;
use std::collections::BTreeMap;

use chappe_actors::log::record::{Fact, Record};
use chappe_actors::retention::Retention;
use chappe_proto::event::{ChatKind, Event};
use chappe_proto::{ChatId, ClientId, MessageId, Seq, UserId};

use crate::keeping::{Keeping, may_go};
use crate::verdict::{broken, holds};

/// A chat, by its events.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) kind: ChatKind,
    /// Which records are its events 1, 2, 3 …
    pub(crate) events: Vec<usize>,
    pub(crate) is_deleted: bool,
}

/// From and until which positions somebody was in a chat, both included.
type Stay = (u64, Option<u64>);

/// What a message has been.
#[derive(Debug)]
pub(crate) struct Versions {
    pub(crate) chat: ChatId,
    pub(crate) seq: Seq,
    pub(crate) sender: UserId,
    pub(crate) contents: Vec<Box<str>>,
    pub(crate) is_deleted: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) records: Vec<Record>,
    pub(crate) chats: BTreeMap<ChatId, Book>,
    pub(crate) messages: BTreeMap<MessageId, Versions>,
    pub(crate) keeping: Keeping,
    /// How much is to be kept.
    pub(crate) retention: Retention,
    /// Up to where the log was rewritten without what has gone by then.
    rewritten: u64,
    members: BTreeMap<(ChatId, UserId), Vec<Stay>>,
    names: BTreeMap<(ChatId, UserId, Box<str>), usize>,
    /// How far somebody said that they have read, and how far they have.
    said: BTreeMap<(ChatId, UserId), Seq>,
    marks: BTreeMap<(ChatId, UserId), Seq>,
    /// How far the state has been told that the log has come.
    told: Cell<u64>,
}

impl Ledger {
    pub(crate) fn new(retention: Retention) -> Self {
        Self {
            retention,
            records: Vec::new(),
            chats: BTreeMap::new(),
            messages: BTreeMap::new(),
            keeping: Keeping::default(),
            rewritten: 0,
            members: BTreeMap::new(),
            names: BTreeMap::new(),
            said: BTreeMap::new(),
            marks: BTreeMap::new(),
            told: Cell::new(0),
        }
    }

    /// How far the log has come.
    pub(crate) fn head(&self) -> u64 {
        self.records.len() as u64
    }

    /// How far the state knows of the log: a question that reaches it is answered as of then.
    pub(crate) fn applied(&self) -> u64 {
        self.told.get()
    }

    /// The state is told how far the log has come.
    pub(crate) fn tell(&self, position: u64) {
        self.told.set(position);
    }

    /// The last number in a chat; 0 if there is none.
    pub(crate) fn seq(&self, chat: ChatId) -> u64 {
        self.chats.get(&chat).map_or(0, |book| book.events.len() as u64)
    }

    /// The record of a chat's event.
    pub(crate) fn event(&self, chat: ChatId, seq: Seq) -> Option<&Record> {
        let index = usize::try_from(seq.0.checked_sub(1)?).ok()?;
        self.records.get(*self.chats.get(&chat)?.events.get(index)?)
    }

    /// Whether somebody was in the chat between two positions: at any of them.
    pub(crate) fn was_in(&self, chat: ChatId, user: UserId, from: u64, until: u64) -> bool {
        let times = self.members.get(&(chat, user)).map_or(&[][..], Vec::as_slice);
        times.iter().any(|(joined, left)| *joined <= until && left.is_none_or(|left| left >= from))
    }

    /// Whether somebody is in the chat now.
    pub(crate) fn is_in(&self, chat: ChatId, user: UserId) -> bool {
        self.members.get(&(chat, user)).and_then(|times| times.last()).is_some_and(|(_, left)| left.is_none())
    }

    /// Whether the message is there, and was so for `user` ever since it was posted.
    pub(crate) fn has_been_readable(&self, id: MessageId, user: UserId) -> bool {
        let Some(message) = self.messages.get(&id).filter(|message| !message.is_deleted) else { return false };
        let stays = self.members.get(&(message.chat, user)).map_or(&[][..], Vec::as_slice);
        let stayed = stays.iter().any(|(joined, left)| *joined <= id.get() && left.is_none());
        let is_deleted = self.chats.get(&message.chat).is_none_or(|book| book.is_deleted);
        !is_deleted && !self.has_gone(id.get()) && (stayed || self.is_open(message.chat))
    }

    pub(crate) fn is_open(&self, chat: ChatId) -> bool {
        self.chats.get(&chat).is_some_and(|book| book.kind == ChatKind::Open)
    }

    /// The message that somebody gave this name.
    pub(crate) fn named(&self, chat: ChatId, sender: UserId, name: &ClientId) -> Option<&Record> {
        self.names.get(&(chat, sender, name.as_str().into())).and_then(|index| self.records.get(*index))
    }

    /// How far somebody has read.
    pub(crate) fn mark(&self, chat: ChatId, user: UserId) -> Seq {
        self.marks.get(&(chat, user)).copied().unwrap_or_default()
    }

    /// The chats that somebody is in.
    pub(crate) fn chats_of(&self, user: UserId) -> Vec<ChatId> {
        self.chats.iter().filter(|(id, book)| !book.is_deleted && self.is_in(**id, user)).map(|(id, _)| *id).collect()
    }

    /// Another record is on disk.
    pub(crate) fn add(&mut self, record: Record) {
        let (index, position) = (self.records.len(), record.position.0);
        holds(position == index as u64 + 1, || format!("position {position} follows {index}"));
        if let Some((chat, seq)) = record.entry.numbered {
            let head = self.seq(chat);
            holds(seq.0 == head + 1, || format!("in chat {chat} event {seq} follows {head}"));
            let book = self.chats.entry(chat).or_default();
            holds(!book.is_deleted, || format!("event {seq} of {chat}, which was deleted, at {position}"));
            book.events.push(index);
            self.note(chat, seq, index, &record);
        } else if let Fact::ReadMarked { chat, user, seq, .. } = &record.entry.fact {
            let (before, head) = (self.said.insert((*chat, *user), *seq).unwrap_or_default(), self.seq(*chat));
            holds(*seq > before, || format!("the read mark of {user} in {chat} goes from {before} to {seq}"));
            holds(seq.0 <= head, || format!("{user} has read up to {seq} in {chat}, which ends at {head}"));
            // Whoever posts has read, too: a mark that was on its way meanwhile changes nothing.
            let mark = self.mark(*chat, *user).max(*seq);
            self.marks.insert((*chat, *user), mark);
        }
        self.keep_less(&record);
        self.keeping.note(&record);
        self.records.push(record);
    }

    /// Nothing goes that is to be kept, and who is erased is nowhere any more.
    fn keep_less(&self, record: &Record) {
        let (position, now) = (record.position.0, record.entry.at.0);
        match record.entry.fact {
            Fact::Trimmed { chat, up_to, messages } => {
                let head = self.seq(chat);
                let count = self.posts(chat, 1, up_to.0).count() as u64;
                holds(up_to.0 <= head && messages == count, || {
                    format!("{messages} messages of {chat} go up to {up_to} at {position}: {count}, of {head} events")
                });
                let behind = self.posts(chat, up_to.0 + 1, head).count() as u64;
                let posted = self.event(chat, up_to).map_or(u64::MAX, |record| record.entry.at.0);
                let is_deleted = self.chats.get(&chat).is_some_and(|book| book.is_deleted);
                let may = is_deleted || may_go(self.retention, posted, now, behind);
                holds(may, || format!("of {chat} goes at {position} what was to be kept: {up_to} and what is before"));
            }
            Fact::UserErased { user } => {
                let stays: Vec<_> = self.chats.keys().filter(|chat| self.is_in(**chat, user)).collect();
                holds(stays.is_empty(), || format!("{user} is erased at {position} and is in {stays:?}"));
            }
            _ => {}
        }
    }

    /// The numbers of a chat's messages, from one on and up to another.
    pub(crate) fn posts(&self, chat: ChatId, from: u64, to: u64) -> impl Iterator<Item = u64> {
        let is_post = move |seq: &u64| self.event(chat, Seq(*seq)).is_some_and(|record| record.entry.fact.is_post());
        (from..=to.min(self.seq(chat))).filter(is_post)
    }

    /// Whether a message has gone by now.
    pub(crate) fn has_gone(&self, id: u64) -> bool {
        let message = MessageId::parse(id).ok().and_then(|id| self.messages.get(&id));
        message.is_some_and(|it| self.keeping.is_gone(it.chat, it.seq, it.sender, id, u64::MAX))
    }

    /// The log is rewritten without what has gone.
    pub(crate) fn rewrite(&mut self) {
        self.rewritten = self.head();
    }

    /// The log as it stands there, behind a position.
    pub(crate) fn log(&self, after: u64) -> impl Iterator<Item = Record> {
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        self.records.iter().skip(after).map(|record| {
            if record.position.0 <= self.rewritten { self.keeping.left(record, self.rewritten) } else { record.clone() }
        })
    }

    /// Messages of which the log says nothing any more.
    pub(crate) fn rewritten(&self) -> Vec<MessageId> {
        let erased = self.log(0).filter(|record| matches!(record.entry.fact, Fact::MessageErased { .. }));
        erased.filter_map(|record| record.position.message()).collect()
    }

    fn note(&mut self, chat: ChatId, seq: Seq, index: usize, record: &Record) {
        let position = record.position.0;
        match &record.entry.fact {
            Fact::ChatCreated { kind, members, .. } => {
                self.chats.entry(chat).or_default().kind = *kind;
                members.iter().for_each(|user| self.join(chat, *user, seq, position));
            }
            Fact::MemberJoined { user, .. } => self.join(chat, *user, seq, position),
            Fact::MemberLeft { user } => self.leave(chat, *user, position),
            Fact::ChatUpdated { deleted: true, .. } => {
                self.chats.entry(chat).or_default().is_deleted = true;
                let members: Vec<UserId> = self.members.keys().filter(|(of, _)| *of == chat).map(|(_, u)| *u).collect();
                members
                    .into_iter()
                    .filter(|user| self.is_in(chat, *user))
                    .collect::<Vec<_>>()
                    .into_iter()
                    .for_each(|user| self.leave(chat, user, position));
            }
            Fact::MessagePosted { sender, client_id, content, .. } => {
                let is_member = self.is_in(chat, *sender);
                holds(is_member, || format!("{sender} posts in {chat} and is no member, at {position}"));
                if let Some(name) = client_id
                    && let Some(first) = self.names.insert((chat, *sender, name.as_str().into()), index)
                    // The name of one that has gone may be given again.
                    && !self.has_gone(first as u64 + 1)
                {
                    broken(format!("{name:?} of {sender} stands twice in {chat}: at {} and {position}", first + 1));
                }
                self.marks.insert((chat, *sender), seq);
                let contents = vec![content.clone()];
                let versions = Versions { chat, seq, sender: *sender, contents, is_deleted: false };
                if let Some(id) = record.position.message() {
                    self.messages.insert(id, versions);
                }
            }
            Fact::MessageEdited { message, content, message_seq, .. } => {
                if let Some(versions) = self.changed(*message, chat, *message_seq, position) {
                    versions.contents.push(content.clone());
                }
            }
            Fact::MessageDeleted { message, message_seq, .. } => {
                if let Some(versions) = self.changed(*message, chat, *message_seq, position) {
                    versions.is_deleted = true;
                }
            }
            Fact::Reacted { message, message_seq, .. } => {
                self.changed(*message, chat, *message_seq, position);
            }
            _ => {}
        }
    }

    fn changed(&mut self, id: MessageId, chat: ChatId, seq: Seq, position: u64) -> Option<&mut Versions> {
        let found = self.messages.get_mut(&id).filter(|one| (one.chat, one.seq, one.is_deleted) == (chat, seq, false));
        if found.is_none() {
            broken(format!("message {id} is changed in {chat} at {position}, and is not there"));
        }
        found
    }

    fn join(&mut self, chat: ChatId, user: UserId, seq: Seq, position: u64) {
        let is_new = !self.is_in(chat, user);
        holds(is_new, || format!("{user} joins {chat} at {position} and is in it"));
        self.members.entry((chat, user)).or_default().push((position, None));
        self.marks.insert((chat, user), seq);
    }

    fn leave(&mut self, chat: ChatId, user: UserId, position: u64) {
        let is_in = self.is_in(chat, user);
        holds(is_in, || format!("{user} leaves {chat} at {position} and is not in it"));
        if let Some((_, left)) = self.members.get_mut(&(chat, user)).and_then(|times| times.last_mut()) {
            *left = Some(position);
        }
    }

    /// Whether `event`, as part of a page, is the one on disk, as it was at any time since it came; and as much as was left of
    /// it at some time since the log stood there.
    pub(crate) fn knows(&self, event: &Event, since: u64) -> bool {
        let Some(record) = self.event(event.chat_id(), event.seq()) else { return false };
        let left = [since, u64::MAX].map(|at| self.keeping.left(record, at).into_event());
        left.iter().flatten().any(|left| self.is_as(left, event))
    }

    fn is_as(&self, original: &Event, event: &Event) -> bool {
        let content_of = |id: MessageId, content: &str| {
            self.messages.get(&id).is_some_and(|versions| {
                versions.contents.iter().any(|known| &**known == content) || (versions.is_deleted && content.is_empty())
            })
        };
        match (original, event) {
            (Event::Message(was), Event::Message(is)) if was.deleted => {
                let is_empty = is.deleted && is.content.is_empty() && is.client_id.is_none() && is.reply_to.is_none();
                is_empty && (was.id, was.sender_id, was.created_at) == (is.id, is.sender_id, is.created_at)
            }
            (Event::Message(was), Event::Message(is)) => {
                (was.id, was.sender_id, &was.client_id, was.created_at, was.reply_to)
                    == (is.id, is.sender_id, &is.client_id, is.created_at, is.reply_to)
                    && content_of(is.id, &is.content)
            }
            (Event::MessageEdited(was), Event::MessageEdited(is)) => {
                (was.message_id, was.user_id, was.edited_at) == (is.message_id, is.user_id, is.edited_at)
                    && (was.content == is.content || is.content.is_empty())
            }
            (was, is) => was == is,
        }
    }
}
