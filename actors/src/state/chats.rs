//! Chats, their members, and users: made, changed, deleted.

use std::collections::BTreeSet;

use chappe_proto::event::{ChatKind, Role};
use chappe_proto::{ChatId, Code, Reject, UserId};

use super::chat::Member;
use super::holds::Key;
use super::step::Step;
use super::{GENERAL, State};
use crate::clock::Now;
use crate::command::Command;
use crate::free::first_free_of;
use crate::log::record::{Draft, Fact, Place};
use crate::origin::Origin;
use crate::reply::{Accepted, Reply};

/// The first id that is given to who does not choose one.
const FIRST_GIVEN: u64 = 1001;
/// A user who is made, and who is let into the chat that is open to all.
const RECORDS_OF_A_USER: usize = 2;

impl State {
    #[expect(clippy::too_many_arguments, reason = "one field each of the command")]
    pub(super) fn create_chat(
        &mut self,
        origin: Origin,
        by: Option<UserId>,
        title: Box<str>,
        kind: ChatKind,
        members: Vec<UserId>,
        now: Now,
        step: &mut Step,
    ) {
        let all: BTreeSet<UserId> = members.iter().copied().chain(by).collect();
        if kind == ChatKind::Direct && all.len() != 2 {
            return step.reply(origin, Reject::new(Code::InvalidField, "a direct chat has two different members"));
        }
        let members_in_all = u32::try_from(all.len()).unwrap_or(u32::MAX);
        if let Err(reject) = self.admit_write().and_then(|()| self.holds_members(members_in_all)) {
            return step.reply(origin, reject);
        }
        let keys: Vec<Key> = all.iter().map(|user| Key::User(*user)).collect();
        let command = Command::CreateChat { user: by, title, kind, members };
        let Some(Command::CreateChat { title, .. }) = self.wait_for(&keys, origin, command, step) else { return };
        let new: Vec<UserId> = all.iter().copied().filter(|user| !self.users.contains_key(user)).collect();
        let checked = self.may_make_chat(by).and_then(|()| {
            new.iter().filter(|user| Some(**user) != by).try_for_each(|user| self.may_name(*user))?;
            if new.is_empty() { Ok(()) } else { self.admit_writes(1 + RECORDS_OF_A_USER * new.len()) }
        });
        if let Err(reject) = checked {
            return step.reply(origin, reject);
        }
        for user in new {
            if Some(user) == by {
                self.append_user(user, Self::default_nickname(user), None, now, step);
            } else {
                self.append_named(user, now, step);
            }
        }
        let fact = Fact::ChatCreated { title, kind, by, members: all.into_iter().collect() };
        self.append(Draft { at: now.wall, place: Place::NewChat, fact }, Some(origin), None, step);
    }

    /// Renames the chat, or deletes it where there is no `title`.
    pub(super) fn update_chat(
        &mut self,
        origin: Origin,
        user: Option<UserId>,
        chat: ChatId,
        title: Option<Box<str>>,
        now: Now,
        step: &mut Step,
    ) {
        let command = match title {
            Some(title) => Command::RenameChat { user, chat, title },
            None => Command::DeleteChat { user, chat },
        };
        let Some(command) = self.wait_for(&[Key::Chat(chat)], origin, command, step) else { return };
        let checked = self.admit_write().and_then(|()| self.chat(chat)).and_then(|found| {
            found.managed_by(user)?;
            Ok(found.title.clone())
        });
        let (title, deleted) = match (checked, command) {
            (Err(reject), _) => return step.reply(origin, reject),
            (Ok(_), Command::RenameChat { title, .. }) => (title, false),
            (Ok(_), _) if chat.get() == GENERAL => {
                return step.reply(origin, Reject::new(Code::Forbidden, "chat 1 is open to all and stays"));
            }
            (Ok(title), _) => (title, true),
        };
        if let Err(reject) = self.charge_change(chat) {
            return step.reply(origin, reject);
        }
        let fact = Fact::ChatUpdated { title, deleted, by: user };
        let draft = Draft { at: now.wall, place: Place::Chat(chat), fact };
        self.append(draft, Some(origin), Some(Key::Chat(chat)), step);
    }

    pub(super) fn add_member(
        &mut self,
        origin: Origin,
        user: Option<UserId>,
        chat: ChatId,
        member: UserId,
        now: Now,
        step: &mut Step,
    ) {
        let keys = [Key::User(member), Key::Chat(chat), Key::Member(chat, member)];
        let command = Command::AddMember { user, chat, member };
        if self.wait_for(&keys, origin, command, step).is_none() {
            return;
        }
        let checked = self.admit_write().and_then(|()| self.chat(chat)).and_then(|found| {
            // Into an open chat everybody may let themselves.
            if found.kind != ChatKind::Open || user != Some(member) {
                found.managed_by(user)?;
            }
            if found.kind == ChatKind::Direct {
                return Err(Reject::new(Code::Forbidden, "a direct chat has two members"));
            }
            if found.members.contains_key(&member) {
                return Ok(Some(found.head));
            }
            if user != Some(member) {
                self.may_name(member)?;
            }
            self.has_room(found).map(|()| None)
        });
        match checked {
            Err(reject) => step.reply(origin, reject),
            Ok(Some(seq)) => {
                let accepted =
                    Accepted { chat, seq, message_id: None, client_id: None, duplicate: true, message: None };
                step.reply(origin, Reply::Accepted(Box::new(accepted)));
            }
            Ok(None) => {
                if let Err(reject) = self.charge_change(chat) {
                    return step.reply(origin, reject);
                }
                match self.users.contains_key(&member) {
                    true => {}
                    false if user == Some(member) => {
                        self.append_user(member, Self::default_nickname(member), None, now, step);
                    }
                    false => self.append_named(member, now, step),
                }
                if self.holds.any(&[Key::Member(chat, member)]).is_some() {
                    // Being made, the user has just been let into this very chat.
                    let command = Command::AddMember { user, chat, member };
                    return self.park(Key::Member(chat, member), origin, command, step);
                }
                self.append_join(member, chat, Role::Member, Some(origin), now, step);
            }
        }
    }

    pub(super) fn remove_member(
        &mut self,
        origin: Origin,
        user: Option<UserId>,
        chat: ChatId,
        member: UserId,
        now: Now,
        step: &mut Step,
    ) {
        let keys = [Key::Chat(chat), Key::Member(chat, member)];
        if self.wait_for(&keys, origin, Command::RemoveMember { user, chat, member }, step).is_none() {
            return;
        }
        let checked = self.admit_write().and_then(|()| self.chat(chat)).and_then(|found| {
            if user != Some(member) {
                found.managed_by(user)?;
            }
            match found.members.get(&member) {
                None => Err(Reject::new(Code::UnknownUser, "this user is not a member of the chat")),
                Some(Member { role: Role::Owner, .. }) if user != Some(member) => {
                    Err(Reject::new(Code::Forbidden, "an owner leaves by themselves"))
                }
                Some(_) => Ok(()),
            }
        });
        if let Err(reject) = checked.and_then(|()| self.charge_change(chat)) {
            return step.reply(origin, reject);
        }
        let draft = Draft { at: now.wall, place: Place::Chat(chat), fact: Fact::MemberLeft { user: member } };
        self.append(draft, Some(origin), Some(Key::Member(chat, member)), step);
    }

    pub(super) fn create_user(
        &mut self,
        origin: Origin,
        user: Option<UserId>,
        nickname: Box<str>,
        now: Now,
        step: &mut Step,
    ) {
        if let Err(reject) = self.admit_write() {
            return step.reply(origin, reject);
        }
        // The small ones are left to who chooses.
        let free = || UserId::parse(FIRST_GIVEN).ok().and_then(|from| self.free_user(from));
        let Some(user) = user.or_else(free) else {
            return step.reply(origin, Reject::plain(Code::Internal));
        };
        let command = Command::CreateUser { user: Some(user), nickname };
        let Some(Command::CreateUser { nickname, .. }) = self.wait_for(&[Key::User(user)], origin, command, step)
        else {
            return;
        };
        match self.users.get(&user) {
            None => self.append_user(user, nickname, Some(origin), now, step),
            Some(found) => step.reply(origin, Reply::User(found.shown(user))),
        }
    }

    /// Whether somebody else may name this user as a member. Where everybody shows who they are nobody is made by a word of
    /// others: it would be for good, and have the name that those give it.
    fn may_name(&self, member: UserId) -> Result<(), Reject> {
        if self.settings.open || self.users.contains_key(&member) {
            return Ok(());
        }
        let who = format!("nobody knows user {member}: a member has an account, or has been here");
        Err(Reject::new(Code::UnknownUser, who))
    }

    /// How many records a command leads to by the users whom it names and nobody knows.
    pub(super) fn records_beside(&self, command: &Command) -> u32 {
        let named = match command {
            Command::CreateChat { members, .. } => members.as_slice(),
            Command::AddMember { member, .. } => std::slice::from_ref(member),
            _ => return 0,
        };
        if !self.settings.open {
            return 0;
        }
        let new: BTreeSet<_> = named.iter().filter(|user| !self.users.contains_key(user)).collect();
        u32::try_from(RECORDS_OF_A_USER * new.len()).unwrap_or(u32::MAX)
    }

    /// An id from `from` on that no user has, and none is about to get.
    pub fn free_user(&self, from: UserId) -> Option<UserId> {
        first_free_of(from.get(), |id| {
            UserId::parse(id)
                .is_ok_and(|user| self.users.contains_key(&user) || self.holds.any(&[Key::User(user)]).is_some())
        })
    }
}
