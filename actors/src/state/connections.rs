//! Connections come and go, say what they hear, and how their users are.

use std::collections::BTreeSet;

use chappe_proto::limits::MAX_HEADS;
use chappe_proto::packet::{Head, Packet, Presence, StatusNow, TypingNow, Welcome};
use chappe_proto::request::VERSION;
use chappe_proto::{ChatId, Code, Reject, UserId};

use super::State;
use super::chat::Chat;
use super::holds::Key;
use super::step::{Changed, Delivery, Step};
use crate::clock::Now;
use crate::command::{Command, PresenceOf};
use crate::origin::Origin;
use crate::reply::Reply;

/// Presence is not told around in chats with more members than this: it would cost the square of them. It can be
/// asked for.
const PRESENCE_MEMBERS: usize = 1000;
/// The most chats a connection hears beyond those its user is a member of.
const MAX_HEARD: usize = 10_000;

impl State {
    pub(super) fn hello(
        &mut self,
        origin: Origin,
        user: UserId,
        nickname: Option<Box<str>>,
        heads: bool,
        now: Now,
        step: &mut Step,
    ) {
        let general = ChatId::parse(super::GENERAL).ok();
        let keys = [Some(Key::User(user)), general.map(|chat| Key::Member(chat, user))];
        let keys: Vec<Key> = keys.into_iter().flatten().collect();
        let hello = Command::Hello { user, nickname, heads };
        let Some(Command::Hello { nickname, .. }) = self.wait_for(&keys, origin, hello, step) else { return };
        if !self.users.contains_key(&user) {
            if let Err(reject) = self.admit_write() {
                return step.reply(origin, reject);
            }
            let nickname = nickname.unwrap_or_else(|| Self::default_nickname(user));
            self.append_user(user, nickname, None, now, step);
            return self.holds.park(Key::User(user), origin, Command::Hello { user, nickname: None, heads });
        }
        let session = origin.session;
        let most = self.settings.connections_per_user;
        if self.roster.sessions_of(user).len() >= usize::try_from(most).unwrap_or(usize::MAX)
            && !self.roster.sessions_of(user).contains(&session)
        {
            let message = format!("user {user} has as many connections as one may have: {most}");
            return step.reply(origin, Reply::TurnedAway(Reject::new(Code::RateLimited, message)));
        }
        if self.roster.enter(session, user) {
            self.presence.connected(user, now);
        }
        let all = self.users.get(&user).map(|user| user.chats.clone()).unwrap_or_default();
        let more_heads = heads && all.len() > MAX_HEADS;
        let heads = heads.then(|| self.heads(&all));
        let chats: Vec<ChatId> = all.into_iter().filter(|chat| self.roster.listen(session, *chat, false)).collect();
        step.deliver.push(Delivery::Listen { session, chats });
        let welcome = Welcome {
            version: VERSION,
            connection_id: session.number(),
            user_id: user,
            epoch: self.settings.epoch,
            server_time: now.wall,
            heartbeat_ms: self.settings.heartbeat_ms,
            limits: self.settings.limits,
            expires_at: None,
            heads,
            more_heads,
            udp: None,
            zstd: false,
        };
        step.reply(origin, Reply::Welcome(Box::new(welcome)));
    }

    pub(super) fn bye(&mut self, origin: Origin, now: Now, step: &mut Step) {
        // A Hello that still waits would let somebody in who never leaves.
        self.holds.forget(origin.session);
        if let Some(user) = self.roster.leave(origin.session) {
            self.presence.disconnected(user, now);
            if self.roster.sessions_of(user).is_empty() {
                self.typing.gone(user).into_iter().for_each(|chat| self.tell_typing(user, chat, "stop", step));
            }
        }
    }

    pub(super) fn subscribe(&mut self, origin: Origin, user: Option<UserId>, chats: Vec<ChatId>, step: &mut Step) {
        // All of them, or none: half a subscription is a surprise.
        let allowed = chats.iter().try_for_each(|id| {
            let named = |reject: Reject| Reject::new(reject.code, format!("chat {id}: {}", reject.message));
            self.chat(*id).and_then(|chat| chat.readable_by(user)).map_err(named)
        });
        if let Err(reject) = allowed {
            return step.reply(origin, reject);
        }
        if self.roster.heard_by(origin.session) + chats.len() > MAX_HEARD + chappe_proto::limits::MAX_LIST {
            let reject =
                Reject::new(Code::TooLarge, format!("a connection hears at most {MAX_HEARD} chats by Subscribe"));
            return step.reply(origin, reject);
        }
        let session = origin.session;
        let chats: Vec<ChatId> = chats.into_iter().filter(|chat| self.roster.listen(session, *chat, true)).collect();
        step.deliver.push(Delivery::Listen { session, chats });
        step.reply(origin, Reply::Done);
    }

    pub(super) fn unsubscribe(&mut self, origin: Origin, chats: Vec<ChatId>, step: &mut Step) {
        let session = origin.session;
        let chats: Vec<ChatId> = chats.into_iter().filter(|chat| self.roster.unlisten(session, *chat, true)).collect();
        // Taken up again by a commit: what that brings comes before.
        if step.deliver.iter().any(|delivery| matches!(delivery, Delivery::Event(_))) {
            chats.iter().for_each(|chat| self.note_parting(session, *chat));
        }
        step.deliver.push(Delivery::Unlisten { session, chats });
        step.reply(origin, Reply::Done);
    }

    pub(super) fn status(&mut self, origin: Origin, user: UserId, text: &str, now: Now, step: &mut Step) {
        if self.users.contains_key(&user) {
            self.presence.renew(user, text, now);
        } else if !self.presence.renew_stranger(user, text, now) {
            self.tally.unknown_users += 1;
        }
        step.reply(origin, Reply::Quiet);
    }

    pub(super) fn typing(&mut self, origin: Origin, user: UserId, chat: ChatId, stop: bool, now: Now, step: &mut Step) {
        if let Err(reject) = self.chat(chat).and_then(|chat| chat.writable_by(user)) {
            return step.reply(origin, reject);
        }
        if self.charge_signal(chat).is_err() {
            return step.reply(origin, Reply::Quiet);
        }
        if stop {
            self.stop_typing(user, chat, step);
        } else if self.presence.is_hidden(user) {
            // It would tell that they are there.
        } else if self.typing.start(user, chat, now.mono) {
            self.tell_typing(user, chat, "start", step);
        }
        step.reply(origin, Reply::Quiet);
    }

    /// The user types there no longer: others are told, if they were told that they do.
    pub(super) fn stop_typing(&mut self, user: UserId, chat: ChatId, step: &mut Step) {
        if self.typing.stop(user, chat) {
            self.tell_typing(user, chat, "stop", step);
        }
    }

    /// Tells of those who have not said for a while that they type.
    pub(super) fn end_typing(&mut self, now: Now, step: &mut Step) {
        for (user, chat) in self.typing.lapsed(now.mono) {
            self.tell_typing(user, chat, "stop", step);
        }
    }

    fn tell_typing(&self, user: UserId, chat: ChatId, text: &str, step: &mut Step) {
        if self.roster.is_heard(chat) {
            let packet = Packet::Typing(TypingNow { chat_id: chat, user_id: user, status_data: text.into() });
            let except = self.roster.sessions_of(user).to_vec();
            step.deliver.push(Delivery::Ephemeral { chats: vec![chat], packet, except });
        }
    }

    pub(super) fn get_presence(
        &mut self,
        origin: Origin,
        user: Option<UserId>,
        of: PresenceOf,
        now: Now,
        step: &mut Step,
    ) {
        let users = match of {
            PresenceOf::Users(mut asked) => {
                asked.sort_unstable();
                asked.dedup();
                let visible = |other: UserId| user.is_none_or(|user| user == other || self.share_a_chat(user, other));
                let offline = |user_id| StatusNow { user_id, status_data: "offline".into(), last_seen: None };
                let of = |id| if visible(id) { self.presence.of(id, now) } else { offline(id) };
                asked.into_iter().map(of).collect()
            }
            PresenceOf::Chat(chat) => match self.chat(chat).and_then(|chat| {
                chat.readable_by(user)?;
                Ok(chat)
            }) {
                Err(reject) => return step.reply(origin, reject),
                Ok(chat) => {
                    // Asked for one by one without an allocation: of a large chat few members are there.
                    let there = chat.members.keys().filter(|member| self.presence.is_there(**member, now));
                    there.take(chappe_proto::limits::MAX_LIST).map(|member| self.presence.of(*member, now)).collect()
                }
            },
        };
        step.reply(origin, Reply::Presence(Presence { users }));
    }

    pub(super) fn get_online(&mut self, origin: Origin, user: Option<UserId>, limit: u32, now: Now, step: &mut Step) {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let users = match user {
            None => self.presence.online(limit, now),
            Some(user) => self.known_to(user, limit, now),
        };
        step.reply(origin, Reply::Presence(Presence { users }));
    }

    /// Tells those who share a chat whose presence changed.
    pub(super) fn tell_presence(&mut self, now: Now, step: &mut Step) {
        let mut changed = Vec::new();
        for status in self.presence.flush(now) {
            let Some(user) = self.users.get(&status.user_id) else { continue };
            let small = |chat: &Chat| chat.members.len() <= PRESENCE_MEMBERS;
            let heard = user.chats.iter().filter(|chat| self.roster.is_heard(**chat));
            let chats: Vec<ChatId> = heard.filter(|chat| self.chats.get(chat).is_some_and(small)).copied().collect();
            if !chats.is_empty() {
                changed.push(Changed { status, chats });
            }
        }
        if !changed.is_empty() {
            step.deliver.push(Delivery::Presence(changed));
        }
    }

    fn heads(&self, chats: &[ChatId]) -> Vec<Head> {
        let head = |id: &ChatId| self.chats.get(id).map(|chat| Head { chat_id: *id, seq: chat.head });
        chats.iter().take(MAX_HEADS).filter_map(head).collect()
    }

    /// Up to `limit` users who are there and share a chat with `user`, who is one of them; by id.
    fn known_to(&self, user: UserId, limit: usize, now: Now) -> Vec<StatusNow> {
        let chats = self.users.get(&user).map_or(&[][..], |user| user.chats.as_slice());
        let mut there = BTreeSet::from_iter(self.presence.is_there(user, now).then_some(user));
        for chat in chats.iter().filter_map(|chat| self.chats.get(chat)) {
            let members = chat.members.keys().filter(|member| self.presence.is_there(**member, now));
            // Of each chat no more than are asked for: most chats are small, and of a large one few are looked at.
            there.extend(members.take(limit));
        }
        there.into_iter().take(limit).map(|id| self.presence.of(id, now)).collect()
    }

    fn share_a_chat(&self, one: UserId, other: UserId) -> bool {
        let chats = |user| self.users.get(&user).map_or(&[][..], |user: &super::User| user.chats.as_slice());
        let (mut one, mut other) = (chats(one).iter().peekable(), chats(other).iter().peekable());
        while let (Some(a), Some(b)) = (one.peek(), other.peek()) {
            match a.cmp(b) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => one.next(),
                std::cmp::Ordering::Greater => other.next(),
            };
        }
        false
    }
}
