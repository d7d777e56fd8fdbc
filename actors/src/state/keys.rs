//! Users, one by one, and the keys that their messages may be signed with.

use chappe_proto::signature::{PublicKey, Signature};
use chappe_proto::{Code, Reject, UserId};

use super::holds::Key;
use super::step::Step;
use super::{State, User};
use crate::clock::Now;
use crate::command::Command;
use crate::log::record::{Draft, Fact, Place};
use crate::origin::Origin;
use crate::reply::{self, Reply};

impl User {
    /// As others see them.
    pub(super) fn shown(&self, id: UserId) -> reply::User {
        let Self { nickname, created_at, key, chats: _ } = self;
        reply::User { id, nickname: nickname.clone(), created_at: *created_at, public_key: *key }
    }
}

impl State {
    pub(super) fn set_key(&mut self, origin: Origin, user: UserId, key: Option<PublicKey>, now: Now, step: &mut Step) {
        if let Err(reject) = self.admit_write() {
            return step.reply(origin, reject);
        }
        if self.wait_for(&[Key::User(user)], origin, Command::SetKey { user, key }, step).is_none() {
            return;
        }
        match self.users.get(&user) {
            Some(known) if known.key == key => return step.reply(origin, Reply::User(known.shown(user))),
            Some(_) => {}
            None => self.append_user(user, Self::default_nickname(user), None, now, step),
        }
        let draft = Draft { at: now.wall, place: Place::Nowhere, fact: Fact::KeyRegistered { user, key } };
        // What the user posts behind this waits for it.
        self.append(draft, Some(origin), Some(Key::User(user)), step);
    }

    pub(super) fn get_user(&mut self, origin: Origin, user: UserId, step: &mut Step) {
        match self.users.get(&user) {
            Some(known) => step.reply(origin, Reply::User(known.shown(user))),
            None => step.reply(origin, Reject::plain(Code::UnknownUser)),
        }
    }

    /// Whether `signature`, where there is one, was made with the key that is registered for the sender.
    pub(super) fn check_signer(&self, sender: UserId, signature: Option<&Signature>) -> Result<(), Reject> {
        let Some(signature) = signature else { return Ok(()) };
        match self.users.get(&sender).and_then(|user| user.key) {
            Some(key) if key == signature.key => Ok(()),
            Some(_) => Err(Reject::new(Code::BadSignature, "another key is registered for the sender")),
            None => Err(Reject::new(Code::BadSignature, "no key is registered for the sender")),
        }
    }
}
