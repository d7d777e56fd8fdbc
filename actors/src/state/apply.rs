//! From a record of the log to the state it leads to: at the start for all of the log, then for each commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use chappe_proto::event::{ChatCreated, ChatKind, ChatUpdated, Event, Role};
use chappe_proto::message::Message;
use chappe_proto::packed::{self, Entry};
use chappe_proto::packet::{Packet, Read};
use chappe_proto::{ChatId, ClientId, Seq, UserId};

use super::chat::{Chat, Member};
use super::recent::Recent;
use super::step::{Delivery, Spot, Step};
use super::{State, User};
use crate::log::record::{Fact, Record};
use crate::origin::{Origin, SessionId};
use crate::reply::{Accepted, Reply};
use crate::retention::Limits;

/// What a record turned out to be.
pub(super) enum Applied {
    /// An event of a chat.
    Event(Arc<Event>),
    /// A user was made, or has another key.
    User(UserId),
    /// A read mark was set; where it stands.
    Read(ChatId, Seq),
    /// A chat keeps less.
    Nothing,
}

impl User {
    /// Cost: a search among their chats.
    fn leave(&mut self, chat: ChatId) {
        if let Ok(index) = self.chats.binary_search(&chat) {
            self.chats.remove(index);
        }
    }
}

impl State {
    /// Applies one record. `step` is there when it is news: then those who hear the chat are told.
    pub(super) fn apply(&mut self, mut record: Record, mut step: Option<&mut Step>) -> Applied {
        self.head = record.position;
        let at = record.entry.at;
        match &record.entry.fact {
            Fact::UserCreated { user, nickname } => {
                let user = *user;
                let made = || User { nickname: nickname.clone(), created_at: at, chats: Vec::new(), key: None };
                self.users.entry(user).or_insert_with(made);
                return Applied::User(user);
            }
            Fact::KeyRegistered { user, key } => {
                let user_id = *user;
                if let Some(user) = self.users.get_mut(user) {
                    user.key = *key;
                }
                return Applied::User(user_id);
            }
            Fact::Trimmed { chat, up_to, messages } => {
                self.trim(*chat, *up_to, *messages);
                return Applied::Nothing;
            }
            Fact::UserErased { user } => {
                self.erase(*user);
                return Applied::User(*user);
            }
            Fact::ReadMarked { chat, user, seq, count } => {
                let (chat_id, user_id, seq) = (*chat, *user, *seq);
                if !self.mark(chat_id, user_id, seq, *count) {
                    // Whoever posted meanwhile has read further, and may have been told so: a mark never moves back.
                    return Applied::Read(chat_id, self.read_by(chat_id, user_id).unwrap_or(seq));
                }
                if let Some(step) = step.as_deref_mut()
                    && self.roster.is_heard(chat_id)
                {
                    let packet = Packet::Read(Read { chat_id, user_id, seq });
                    step.deliver.push(Delivery::Ephemeral { chats: vec![chat_id], packet, except: Vec::new() });
                }
                return Applied::Read(chat_id, seq);
            }
            Fact::MessageEdited { .. } | Fact::Reacted { .. } => {
                // Its message may have gone while it was on its way.
                let chat = record.entry.numbered.and_then(|(chat, _)| self.chats.get(&chat));
                let floor = chat.map_or(Seq::ZERO, |chat| chat.floor);
                Limits::default().reduce_below(floor, &mut record);
            }
            _ => {}
        }
        let Some(event) = record.into_event() else { return Applied::Nothing };
        let event = Arc::new(event);
        self.apply_event(&event, step);
        Applied::Event(event)
    }

    fn apply_event(&mut self, event: &Arc<Event>, mut step: Option<&mut Step>) {
        let id = event.chat_id();
        match &**event {
            Event::Message(message) => self.note_message(message),
            Event::MessageDeleted(deleted) => self.known.deleted(deleted.message_id),
            Event::ChatCreated(created) if !self.chats.contains_key(&id) => self.begin_chat(created),
            _ => {}
        }
        let Some(chat) = self.chats.get_mut(&id) else { return };
        if event.seq() <= chat.head {
            // A snapshot knew it already.
            return;
        }
        chat.head = event.seq();
        let keep = super::recent::Keep { messages: self.settings.messages_per_chat };
        let before = chat.recent.bytes();
        let mut joined = Vec::new();
        let mut left = None;
        match &**event {
            Event::Message(message) => {
                chat.messages += 1;
                if let Some(member) = chat.members.get_mut(&message.sender_id) {
                    (member.read, member.read_count) = (message.seq, chat.messages);
                }
            }
            Event::MessageEdited(_) | Event::MessageDeleted(_) => chat.recent.follow(event),
            Event::Reaction(_) => {}
            Event::ChatCreated(created) => {
                for user in &created.members {
                    let role = if created.created_by == Some(*user) { Role::Owner } else { Role::Member };
                    chat.members.insert(*user, Member { role, read: created.seq, read_count: 0 });
                    joined.push(*user);
                }
            }
            Event::ChatUpdated(updated) => chat.title = updated.title.clone(),
            Event::MemberJoined(join) => {
                let member = Member { role: join.role, read: join.seq, read_count: chat.messages };
                chat.members.insert(join.user_id, member);
                joined.push(join.user_id);
            }
            Event::MemberLeft(leave) => {
                chat.members.remove(&leave.user_id);
                left = Some(leave.user_id);
            }
        }
        self.packed.clear();
        packed::pack(event, &mut self.packed);
        chat.recent.push(event.seq(), Entry::new(&self.packed), keep);
        let after = chat.recent.bytes();
        self.account(id, before, after);
        for user in joined {
            self.join(user, id, step.as_deref_mut());
        }
        if let Some(step) = step.as_deref_mut()
            && self.roster.is_heard(id)
        {
            step.deliver.push(Delivery::Event(Arc::clone(event)));
        }
        if let Some(step) = step.as_deref_mut() {
            let typist = if let Event::Message(message) = &**event { Some(message.sender_id) } else { left };
            typist.into_iter().for_each(|user| self.stop_typing(user, id, step));
        }
        if let Some(user) = left {
            self.part(user, id, step.as_deref_mut());
        }
        if let Event::ChatUpdated(ChatUpdated { deleted: true, .. }) = &**event {
            self.end_chat(id, step);
        }
    }

    fn begin_chat(&mut self, created: &ChatCreated) {
        self.begin(Chat {
            id: created.chat_id,
            title: created.title.clone(),
            kind: created.kind,
            created_by: created.created_by,
            created_at: created.at,
            members: BTreeMap::new(),
            head: Seq::ZERO,
            messages: 0,
            floor: Seq::ZERO,
            trimmed: 0,
            recent: Recent::new(created.chat_id),
            cold: false,
            warming: false,
        });
    }

    pub(super) fn begin(&mut self, chat: Chat) {
        self.last_chat = self.last_chat.max(chat.id.get());
        self.quotas.chat_began(chat.created_by);
        if chat.kind == ChatKind::Open {
            self.open.insert(chat.id);
        }
        self.chats.insert(chat.id, chat);
    }

    fn end_chat(&mut self, id: ChatId, mut step: Option<&mut Step>) {
        let Some(chat) = self.chats.remove(&id) else { return };
        self.open.remove(&id);
        self.quotas.chat_ended(chat.created_by);
        if self.warm.remove(&id).is_some() {
            self.warm_bytes -= chat.recent.bytes();
        }
        for user in chat.members.keys() {
            if let Some(user) = self.users.get_mut(user) {
                user.leave(id);
            }
        }
        for session in self.roster.hearing(id) {
            self.hear_no_more(session, id, step.as_deref_mut());
        }
    }

    /// The user's connections hear the chat from its next event on; the one that made them a member is that.
    fn join(&mut self, user: UserId, chat: ChatId, step: Option<&mut Step>) {
        if let Some(user) = self.users.get_mut(&user)
            && let Err(index) = user.chats.binary_search(&chat)
        {
            user.chats.insert(index, chat);
        }
        let Some(step) = step else { return };
        for session in self.roster.sessions_of(user).to_vec() {
            if self.roster.listen(session, chat, false) {
                step.deliver.push(Delivery::Listen { session, chats: vec![chat] });
            }
        }
    }

    fn part(&mut self, user: UserId, chat: ChatId, step: Option<&mut Step>) {
        if let Some(user) = self.users.get_mut(&user) {
            user.leave(chat);
        }
        let Some(step) = step else { return };
        for session in self.roster.sessions_of(user).to_vec() {
            self.hear_no_more(session, chat, Some(step));
        }
    }

    /// A connection that has just ceased to hear a chat is to get the events of the commit at hand: which hubs get them
    /// is asked only once all of it is applied.
    pub(super) fn note_parting(&mut self, session: SessionId, chat: ChatId) {
        if !self.hubs_hearing(chat).any(|hub| hub == session.hub) {
            self.parting.push((chat, session.hub));
        }
    }

    fn hear_no_more(&mut self, session: SessionId, chat: ChatId, step: Option<&mut Step>) {
        if !self.roster.unlisten(session, chat, false) {
            return;
        }
        if let Some(step) = step {
            self.note_parting(session, chat);
            step.deliver.push(Delivery::Unlisten { session, chats: vec![chat] });
        }
    }

    /// Moves a member's mark forward. Whether it was not there already.
    fn mark(&mut self, chat: ChatId, user: UserId, seq: Seq, count: u64) -> bool {
        let member = self.chats.get_mut(&chat).and_then(|chat| chat.members.get_mut(&user));
        let Some(member) = member.filter(|member| member.read < seq) else { return false };
        (member.read, member.read_count) = (seq, count);
        true
    }

    fn read_by(&self, chat: ChatId, user: UserId) -> Option<Seq> {
        Some(self.chats.get(&chat)?.members.get(&user)?.read)
    }

    fn note_message(&mut self, message: &Message) {
        let &Message { id, chat_id: chat, seq, sender_id: sender, deleted, .. } = message;
        self.known.posted(Spot { id, chat, seq, sender, deleted });
        if let Some(name) = &message.client_id {
            self.dedup.note(chat, sender, name, id);
        }
    }

    /// Keeps the sum of what the chats hold, and the longest unused out of memory once it is too much.
    pub(super) fn account(&mut self, chat: ChatId, before: usize, after: usize) {
        self.warm_bytes = self.warm_bytes.saturating_sub(before) + after;
        if after > 0 {
            self.touch(chat);
        }
        while self.warm_bytes > self.settings.cache_bytes && self.warm.len() > 1 {
            let Some((coldest, ())) = self.warm.pop_front() else { break };
            if let Some(chat) = self.chats.get_mut(&coldest) {
                self.warm_bytes = self.warm_bytes.saturating_sub(chat.recent.bytes());
                chat.recent.clear();
                chat.cold = true;
                self.tally.evictions += 1;
            }
        }
    }

    /// The chat was used.
    pub(super) fn touch(&mut self, chat: ChatId) {
        if self.warm.to_back(&chat).is_none() {
            self.warm.insert(chat, ());
        }
    }

    /// The answer to the request that led to a record.
    pub(super) fn answer(&self, applied: Applied, origin: Origin, client_id: Option<ClientId>) -> Reply {
        let accepted = |chat, seq, message_id, message| {
            Reply::Accepted(Box::new(Accepted { chat, seq, message_id, client_id, duplicate: false, message }))
        };
        match applied {
            Applied::Nothing => Reply::Done,
            Applied::Read(chat, seq) => accepted(chat, seq, None, None),
            Applied::User(id) => match self.users.get(&id) {
                Some(user) => Reply::User(user.shown(id)),
                None => Reply::Done,
            },
            Applied::Event(event) => {
                let (chat, seq) = (event.chat_id(), event.seq());
                match &*event {
                    // Connections know acks; only HTTP makes chats, and gets them back.
                    Event::ChatCreated(ChatCreated { created_by: user, .. })
                    | Event::ChatUpdated(ChatUpdated { user_id: user, deleted: false, .. })
                        if origin.ticket.is_none() =>
                    {
                        match self.chats.get(&chat) {
                            Some(chat) => Reply::Chat(Box::new(chat.summary(*user))),
                            None => Reply::Done,
                        }
                    }
                    Event::Message(message) => {
                        // An HTTP answer shows the message; an ack only names it.
                        let shown = origin.ticket.is_none().then(|| Arc::clone(message));
                        accepted(chat, seq, Some(message.id), shown)
                    }
                    Event::MessageEdited(event) => accepted(chat, seq, Some(event.message_id), None),
                    Event::MessageDeleted(event) => accepted(chat, seq, Some(event.message_id), None),
                    Event::Reaction(event) => accepted(chat, seq, Some(event.message_id), None),
                    _ => accepted(chat, seq, None, None),
                }
            }
        }
    }

    /// Applies a record of the log at the start.
    pub fn replay(&mut self, record: Record) {
        self.apply(record, None);
    }
}
