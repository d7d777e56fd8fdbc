//! Drafts on their way to the disk, and who waits for them.

use chappe_proto::event::{ChatKind, Role};
use chappe_proto::{ChatId, ClientId, UserId};

use super::chat::Chat;
use super::holds::Key;
use super::quotas::Claim;
use super::step::Step;
use super::{GENERAL, State};
use crate::clock::Now;
use crate::log::record::{Draft, Fact, Place};
use crate::origin::Origin;

/// A draft on its way to the disk.
#[derive(Debug)]
pub(super) struct Pending {
    /// Who is answered when it is there.
    pub(super) origin: Option<Origin>,
    /// Whether the writer did that, when it was kept.
    pub(super) told: bool,
    pub(super) client_id: Option<ClientId>,
    /// What is settled then.
    pub(super) release: Option<Key>,
    /// What it takes of a limit until then.
    pub(super) claim: Option<Claim>,
    /// The members of a chat that begins with it.
    pub(super) members: Vec<UserId>,
}

impl Pending {
    /// Whether a user will be in a chat by it, or in one no longer.
    pub(super) fn moves(&self, user: UserId) -> bool {
        matches!(self.release, Some(Key::Member(_, of)) if of == user) || self.members.contains(&user)
    }
}

impl State {
    /// Sends a draft on its way. `release` is unsettled until it is on disk; then `origin` is answered.
    pub(super) fn append(&mut self, draft: Draft, origin: Option<Origin>, release: Option<Key>, step: &mut Step) {
        if let Some(key) = release {
            self.holds.hold(key);
        }
        let client_id = match &draft.fact {
            Fact::MessagePosted { client_id, .. } | Fact::SignedMessagePosted { client_id, .. } if origin.is_some() => {
                client_id.clone()
            }
            _ => None,
        };
        let claim = Claim::of(&draft);
        claim.into_iter().for_each(|claim| self.quotas.claim(claim));
        // An HTTP answer shows the message; an ack only names it, and needs nothing of the state.
        let tell = origin.filter(|origin| origin.ticket.is_some() && draft.fact.is_post());
        let members = if let Fact::ChatCreated { members, .. } = &draft.fact { members.clone() } else { Vec::new() };
        self.pending.push_back(Pending { origin, told: tell.is_some(), client_id, release, claim, members });
        step.append.push(draft);
        step.tell.push(tell);
    }

    /// Makes `user`, who was not known, and lets them into the chat that is open to all.
    pub(super) fn append_user(
        &mut self,
        user: UserId,
        nickname: Box<str>,
        answer: Option<Origin>,
        now: Now,
        step: &mut Step,
    ) {
        self.append_stranger(user, nickname, answer, self.settings.limits.members, now, step);
    }

    /// The same for a user who was only named by others. Half of the places in that chat are left to those who come.
    pub(super) fn append_named(&mut self, user: UserId, now: Now, step: &mut Step) {
        let half = self.settings.limits.members / 2;
        self.append_stranger(user, Self::default_nickname(user), None, half, now, step);
    }

    fn append_stranger(
        &mut self,
        user: UserId,
        nickname: Box<str>,
        answer: Option<Origin>,
        most: u32,
        now: Now,
        step: &mut Step,
    ) {
        let fact = Fact::UserCreated { user, nickname };
        self.append(Draft { at: now.wall, place: Place::Nowhere, fact }, answer, Some(Key::User(user)), step);
        // Where it is full, they may still read it.
        let has_room = |chat: &Chat| chat.kind == ChatKind::Open && self.members_in_all(chat) < most;
        if let Some(general) = ChatId::parse(GENERAL).ok().filter(|id| self.chats.get(id).is_some_and(has_room)) {
            self.append_join(user, general, Role::Member, None, now, step);
        }
    }

    pub(super) fn append_join(
        &mut self,
        user: UserId,
        chat: ChatId,
        role: Role,
        answer: Option<Origin>,
        now: Now,
        step: &mut Step,
    ) {
        let fact = Fact::MemberJoined { user, role };
        let draft = Draft { at: now.wall, place: Place::Chat(chat), fact };
        self.append(draft, answer, Some(Key::Member(chat, user)), step);
    }
}
