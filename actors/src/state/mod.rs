//! The hot state of the server, as plain data: no actors, no sockets, no clock, no random numbers.
//!
//! A command goes in through [`State::handle`], and a [`Step`] comes out: what to write, what to send, what to look up.
//! What was written comes back through [`State::commit`], in the order it went out; only then is it applied, answered
//! and shown to anybody. [`State::replay`] applies the log in the same way at the start.

mod apply;
pub mod chat;
mod chats;
mod connections;
pub mod dedup;
mod drafts;
pub mod holds;
mod keys;
mod known;
mod messages;
pub mod names;
pub mod presence;
pub mod print;
mod quotas;
mod rates;
mod reads;
pub mod recent;
pub mod retention;
pub mod roster;
pub mod slices;
pub mod step;
#[cfg(test)]
pub(crate) mod tests;
pub mod typing;
pub(crate) mod varint;
mod waiting;
mod warming;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chappe_proto::event::ChatKind;
use chappe_proto::limits::Limits;
use chappe_proto::signature::PublicKey;
use chappe_proto::{ChatId, Code, Millis, Reject, UserId};
use hashlink::LinkedHashMap;

use self::chat::Chat;
use self::dedup::Dedup;
use self::drafts::Pending;
use self::holds::{Holds, Key};
use self::known::Known;
use self::presence::Presence;
use self::quotas::Quotas;
use self::rates::Rates;
use self::recent::Keep;
use self::roster::Roster;
use self::step::{Answer, Question, Step};
use self::typing::Typing;
use crate::clock::Now;
use crate::command::Command;
use crate::log::record::{Draft, Fact, Place, Position, Record};
use crate::map::Map;
use crate::origin::Origin;
use crate::reply::Reply;

/// The chat that is there from the beginning, open to all.
pub const GENERAL: u64 = 1;

/// What the state is told at the start.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Told to clients, and held.
    pub limits: Limits,
    /// How many messages of a chat stay in memory.
    pub messages_per_chat: usize,
    /// How much memory the recent events of all chats may take, in bytes.
    pub cache_bytes: usize,
    /// How many writes may be on their way to the disk or wait for one that is; more are refused as `busy`.
    pub pending_writes: usize,
    /// Told to clients, in milliseconds.
    pub heartbeat_ms: u32,
    /// How many connections a user may have.
    pub connections_per_user: u32,
    /// Whether everybody is whoever they say: then whoever is named as a member is made.
    pub open: bool,
    /// The log's.
    pub epoch: u64,
}

/// A user.
#[derive(Debug, PartialEq, Eq)]
pub struct User {
    /// What people call them.
    pub nickname: Box<str>,
    /// Since when.
    pub created_at: Millis,
    /// The chats they are in, ascending.
    pub chats: Vec<ChatId>,
    /// The key that their messages may be signed with.
    pub key: Option<PublicKey>,
}

/// Counts of what the state did, for the metrics.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Pages answered from memory.
    pub hits: u64,
    /// Pages that the reader had to answer.
    pub misses: u64,
    /// Chats whose recent events were dropped to stay within the budget.
    pub evictions: u64,
    /// Requests that came too fast for their user.
    pub limited_by_user: u64,
    /// Requests that came too fast for their chat.
    pub limited_by_chat: u64,
    /// Signs of life of users that nobody knows, and for which there was no place.
    pub unknown_users: u64,
}

/// See the module.
#[derive(Debug)]
pub struct State {
    settings: Settings,
    users: BTreeMap<UserId, User>,
    chats: Map<ChatId, Chat>,
    /// The chats open to all.
    open: BTreeSet<ChatId>,
    dedup: Dedup,
    known: Known,
    presence: Presence,
    typing: Typing,
    roster: Roster,
    /// Hubs whose last listener of a chat goes with the commit at hand: they still get that commit's events.
    parting: Vec<(ChatId, u16)>,
    holds: Holds,
    rates: Rates,
    quotas: Quotas,
    pending: VecDeque<Pending>,
    /// Chats with recent events in memory, the longest unused first.
    warm: LinkedHashMap<ChatId, ()>,
    warm_bytes: usize,
    /// Where an event is packed before it is known how much room it needs.
    packed: Vec<u8>,
    head: Position,
    /// The newest chat there has been.
    last_chat: u64,
    /// Chats of which events are being read that are not kept any more.
    outdated: BTreeSet<ChatId>,
    /// Chats that were in memory before the start, the most useful last.
    to_warm: Vec<ChatId>,
    tally: Tally,
    /// How often a command was looked at.
    #[cfg(test)]
    taken_up: u64,
}

impl State {
    /// An empty state.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            users: BTreeMap::new(),
            chats: Map::default(),
            open: BTreeSet::new(),
            dedup: Dedup::default(),
            known: Known::default(),
            presence: Presence::default(),
            typing: Typing::default(),
            roster: Roster::default(),
            parting: Vec::new(),
            holds: Holds::default(),
            rates: Rates::new(&settings.limits),
            quotas: Quotas::default(),
            pending: VecDeque::new(),
            warm: LinkedHashMap::new(),
            warm_bytes: 0,
            packed: Vec::new(),
            head: Position::default(),
            last_chat: 0,
            outdated: BTreeSet::new(),
            to_warm: Vec::new(),
            tally: Tally::default(),
            #[cfg(test)]
            taken_up: 0,
        }
    }

    /// What an empty log begins with: the chat `general`.
    pub fn beginning(now: Now) -> Vec<Draft> {
        let fact = Fact::ChatCreated { title: "general".into(), kind: ChatKind::Open, by: None, members: Vec::new() };
        vec![Draft { at: now.wall, place: Place::NewChat, fact }]
    }

    /// Tells the log's epoch, which is known only once the log was read.
    pub fn set_epoch(&mut self, epoch: u64) {
        self.settings.epoch = epoch;
    }

    /// Other limits from now on. What is there already stays, also beyond them.
    pub fn set_limits(&mut self, limits: Limits, connections_per_user: u32) {
        self.rates.change(&limits);
        (self.settings.limits, self.settings.connections_per_user) = (limits, connections_per_user);
    }

    /// Decides what `command` leads to.
    pub fn handle(&mut self, origin: Origin, command: Command, now: Now, step: &mut Step) {
        self.rates.step(now);
        // Whoever may say Hello once may not do so over and over.
        let again = matches!(command, Command::Hello { .. }) && self.roster.knows(origin.session);
        match self.charge_user(&command, again) {
            Ok(()) => self.take_up(origin, command, now, step),
            Err(_) if command.is_signal() => step.reply(origin, Reply::Quiet),
            Err(reject) => step.reply(origin, Reply::Rejected { reject, client_id: command.client_id().cloned() }),
        }
    }

    /// Goes on with a command that was charged for, perhaps after it had to wait.
    fn take_up(&mut self, origin: Origin, command: Command, now: Now, step: &mut Step) {
        #[cfg(test)]
        {
            self.taken_up += 1;
        }
        if let Some(key) = self.holds.ahead(origin.session, &command) {
            return self.park(key, origin, command, step);
        }
        match command {
            Command::Post(post) => self.post(origin, post, now, step),
            Command::Edit { user, message, content } => self.edit(origin, user, message, content, now, step),
            Command::Delete { user, message } => self.delete(origin, user, message, now, step),
            Command::React { user, message, emoji, remove } => {
                self.react(origin, user, message, emoji, remove, now, step);
            }
            Command::MarkRead { user, chat, seq } => self.mark_read(origin, user, chat, seq, now, step),
            Command::Hello { user, nickname, heads } => self.hello(origin, user, nickname, heads, now, step),
            Command::Bye => self.bye(origin, now, step),
            Command::Subscribe { user, chats } => self.subscribe(origin, user, chats, step),
            Command::Unsubscribe { user: _, chats } => self.unsubscribe(origin, chats, step),
            Command::Typing { user, chat, stop } => self.typing(origin, user, chat, stop, now, step),
            Command::Status { user, text } => self.status(origin, user, &text, now, step),
            Command::GetPresence { user, of } => self.get_presence(origin, user, of, now, step),
            Command::GetOnline { user, limit } => self.get_online(origin, user, limit, now, step),
            Command::GetChats { user, after, limit } => self.get_chats(origin, user, after, limit, step),
            Command::GetMessages { user, chat, page, limit } => {
                self.get_messages(origin, user, chat, page, limit, step);
            }
            Command::GetEvents { user, chat, after, limit } => self.get_events(origin, user, chat, after, limit, step),
            Command::GetChat { user, chat } => self.get_chat(origin, user, chat, step),
            Command::GetMembers { user, chat, after, limit } => {
                self.get_members(origin, user, chat, after, limit, step);
            }
            Command::SetKey { user, key } => self.set_key(origin, user, key, now, step),
            Command::GetUser { user } => self.get_user(origin, user, step),
            Command::GetUsers { after, limit } => self.get_users(origin, after, limit, step),
            Command::CreateChat { user, title, kind, members } => {
                self.create_chat(origin, user, title, kind, members, now, step);
            }
            Command::RenameChat { user, chat, title } => {
                self.update_chat(origin, user, chat, Some(title), now, step);
            }
            Command::DeleteChat { user, chat } => self.update_chat(origin, user, chat, None, now, step),
            Command::AddMember { user, chat, member } => self.add_member(origin, user, chat, member, now, step),
            Command::RemoveMember { user, chat, member } => self.remove_member(origin, user, chat, member, now, step),
            Command::CreateUser { user, nickname } => self.create_user(origin, user, nickname, now, step),
        }
    }

    /// Makes a user who was settled outside, unless they are there.
    pub fn make_user(&mut self, user: UserId, nickname: Box<str>, now: Now, step: &mut Step) {
        if !self.users.contains_key(&user) && self.holds.any(&[Key::User(user)]).is_none() {
            self.append_user(user, nickname, None, now, step);
        }
    }

    /// Takes what is on disk now: applies it, answers for it and shows it. `records` are the oldest drafts that went
    /// out, in order.
    pub fn commit(&mut self, records: Vec<Record>, now: Now, step: &mut Step) {
        let mut settled = Vec::new();
        self.parting.clear();
        for record in records {
            let pending = self.pending.pop_front();
            let applied = self.apply(record, Some(step));
            if let Some(Pending { origin, told, client_id, release, claim, members: _ }) = pending {
                claim.into_iter().for_each(|claim| self.quotas.settle(claim));
                if let Some(origin) = origin.filter(|_| !told) {
                    let reply = self.answer(applied, origin, client_id);
                    step.reply(origin, reply);
                }
                settled.extend(release);
            }
        }
        for key in settled {
            self.resume(key, now, step);
        }
    }

    /// The oldest `count` drafts that went out were not kept.
    pub fn fail(&mut self, count: usize, reject: &Reject, step: &mut Step) {
        for pending in self.pending.drain(..count.min(self.pending.len())).collect::<Vec<_>>() {
            let refuse = |client_id| Reply::Rejected { reject: reject.clone(), client_id };
            pending.claim.into_iter().for_each(|claim| self.quotas.settle(claim));
            if let Some(origin) = pending.origin {
                step.reply(origin, refuse(pending.client_id));
            }
            // Whoever waited for it would only try the same.
            for (origin, command) in pending.release.map(|key| self.holds.release(key)).unwrap_or_default() {
                step.reply(origin, refuse(command.client_id().cloned()));
            }
        }
    }

    /// Takes the answer to a question, and goes on with whoever waited for it.
    pub fn answered(&mut self, question: Question, key: Key, answer: Answer, now: Now, step: &mut Step) {
        if matches!(answer, Answer::Failed) {
            let reject = Reject::plain(Code::StorageUnavailable);
            for (origin, command) in self.holds.release(key) {
                let client_id = command.client_id().cloned();
                step.reply(origin, Reply::Rejected { reject: reject.clone(), client_id });
            }
            return;
        }
        self.known.learn(question, answer);
        self.resume(key, now, step);
    }

    /// What others have to be told of users' presence, and of those who type no longer; to be called about once a second.
    pub fn tick(&mut self, now: Now, step: &mut Step) {
        self.rates.step(now);
        self.rates.tidy();
        self.end_typing(now, step);
        self.tell_presence(now, step);
    }

    /// How many writes are on their way, or wait for one that is.
    pub fn pending_writes(&self) -> usize {
        self.pending.len() + self.holds.parked()
    }

    /// The last position applied.
    pub fn head(&self) -> Position {
        self.head
    }

    /// How many messages all chats have had.
    pub fn messages(&self) -> u64 {
        self.chats.values().map(|chat| chat.messages).sum()
    }

    /// Counts since the last call, for the metrics.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// How many chats, users, connections there are, and how many bytes of recent events.
    pub fn sizes(&self) -> [usize; 4] {
        [self.chats.len(), self.users.len(), self.roster.len(), self.warm_bytes]
    }

    /// Which hubs have connections that hear `chat`, or had some when the commit at hand began; each once.
    pub fn hubs_hearing(&self, chat: ChatId) -> impl Iterator<Item = u16> + '_ {
        // One whose last listener has gone may have got another since.
        let parted = move |(of, hub): &&(ChatId, u16)| *of == chat && !self.roster.is_heard_at(chat, *hub);
        self.roster.hubs_hearing(chat).chain(self.parting.iter().filter(parted).map(|(_, hub)| *hub))
    }

    fn keep(&self) -> Keep {
        Keep { messages: self.settings.messages_per_chat }
    }

    fn chat(&self, chat: ChatId) -> Result<&Chat, Reject> {
        self.chats.get(&chat).ok_or_else(|| Reject::plain(Code::UnknownChat))
    }

    /// The nickname of a user who chose only a number.
    pub(crate) fn default_nickname(user: UserId) -> Box<str> {
        format!("user {user}").into()
    }
}
