//! Posting, editing, deleting, reacting, and marking as read.

use std::sync::Arc;

use chappe_proto::event::Role;
use chappe_proto::message::Message;
use chappe_proto::{ChatId, ClientId, Code, MessageId, Reject, Seq, UserId};

use super::State;
use super::holds::Key;
use super::print::Print;
use super::step::{Question, Spot, Step};
use crate::clock::Now;
use crate::command::{Command, Post};
use crate::log::record::{Draft, Fact, Place};
use crate::origin::Origin;
use crate::reply::{Accepted, Reply};

fn refuse(step: &mut Step, origin: Origin, reject: Reject, client_id: Option<ClientId>) {
    step.reply(origin, Reply::Rejected { reject, client_id });
}

/// What to do about a request that names a message.
enum Found {
    /// It stands here.
    Here(Spot),
    /// The request waits.
    Waiting,
}

impl State {
    pub(super) fn post(&mut self, origin: Origin, post: Box<Post>, now: Now, step: &mut Step) {
        let (chat, sender) = (post.chat, post.sender);
        if let Err(reject) = self.chat(chat).map(|_| ()).and_then(|()| self.admit_write()) {
            return refuse(step, origin, reject, post.client_id);
        }
        let keys = [Key::User(sender), Key::Chat(chat), Key::Member(chat, sender)];
        let Some(Command::Post(post)) = self.wait_for(&keys, origin, Command::Post(post), step) else { return };
        let Some(name) = &post.client_id else { return self.post_new(origin, post, None, now, step) };
        let print = self.dedup.print(chat, sender, name);
        let Some(Command::Post(post)) = self.wait_for(&[Key::Name(print)], origin, Command::Post(post), step) else {
            return;
        };
        self.post_named(origin, post, print, now, step);
    }

    /// A name that was used before gets the first message's ack again, if this is the same message.
    fn post_named(&mut self, origin: Origin, post: Box<Post>, print: Print, now: Now, step: &mut Step) {
        let named = |message: &Message| {
            message.chat_id == post.chat && message.sender_id == post.sender && message.client_id == post.client_id
        };
        let mut nth = 0;
        let (original, current) = loop {
            let Some(first) = self.dedup.find(print, nth) else {
                return self.post_new(origin, post, Some(print), now, step);
            };
            let held = self.chats.get(&post.chat).and_then(|chat| chat.recent.message(first)).map(Arc::new);
            let original = match &held {
                Some(message) if message.edited_at.is_none() && !message.deleted => Some(Arc::clone(message)),
                _ => match self.known.original(first) {
                    Some(original) => original,
                    None => {
                        let command = Command::Post(post);
                        return self.ask(Question::Original(first), Key::Name(print), origin, command, step);
                    }
                },
            };
            match original {
                Some(original) if named(&original) => break (original, held),
                // Another name with the same fingerprint.
                _ => nth += 1,
            }
        };
        if original.content != post.content
            || original.message_type != post.message_type
            || original.reply_to != post.reply_to
        {
            return refuse(step, origin, Reject::plain(Code::Conflict), post.client_id);
        }
        // That it was taken, its sender may know for ever; how it is by now only who still reads the chat.
        let current = current.filter(|_| self.readable(Some(post.sender), post.chat).is_ok());
        let accepted = Accepted {
            chat: original.chat_id,
            seq: original.seq,
            message_id: Some(original.id),
            client_id: post.client_id,
            duplicate: true,
            // As it is now; where memory does not know that, whoever needs it asks.
            message: current,
        };
        step.reply(origin, Reply::Accepted(Box::new(accepted)));
    }

    fn post_new(&mut self, origin: Origin, post: Box<Post>, print: Option<Print>, now: Now, step: &mut Step) {
        let (chat, sender) = (post.chat, post.sender);
        let is_member = match self.chat(chat).and_then(|chat| {
            chat.writable_by(sender)?;
            Ok(chat.members.contains_key(&sender))
        }) {
            Ok(is_member) => is_member,
            Err(reject) => return refuse(step, origin, reject, post.client_id),
        };
        if let Err(reject) = self.check_signer(sender, post.signature.as_deref()) {
            return refuse(step, origin, reject, post.client_id);
        }
        if let Some(answered) = post.reply_to {
            match self.known.spot(answered, self.head.0) {
                // Later messages of the same sender wait as well, so that they stay in order.
                None => {
                    let key = Key::Member(chat, sender);
                    return self.ask(Question::Locate(answered), key, origin, Command::Post(post), step);
                }
                Some(Some(spot)) if spot.chat == chat => {}
                Some(_) => {
                    let reject = Reject::new(Code::UnknownMessage, "reply_to names no message of this chat");
                    return refuse(step, origin, reject, post.client_id);
                }
            }
        }
        let joins = !is_member && self.holds.any(&[Key::Member(chat, sender)]).is_none();
        let has_room = if joins { self.chat(chat).and_then(|chat| self.has_room(chat)) } else { Ok(()) };
        if let Err(reject) = has_room.and_then(|()| self.charge_change(chat)) {
            return refuse(step, origin, reject, post.client_id);
        }
        if !self.users.contains_key(&sender) {
            self.append_user(sender, Self::default_nickname(sender), None, now, step);
        }
        if joins && self.holds.any(&[Key::Member(chat, sender)]).is_none() {
            self.append_join(sender, chat, Role::Member, None, now, step);
        }
        let Post { content, message_type, client_id, reply_to, signature, .. } = *post;
        let fact = match signature {
            None => Fact::MessagePosted { sender, content, message_type, client_id, reply_to },
            Some(signature) => {
                Fact::SignedMessagePosted { sender, content, message_type, client_id, reply_to, signature }
            }
        };
        let draft = Draft { at: now.wall, place: Place::Chat(chat), fact };
        self.append(draft, Some(origin), print.map(Key::Name), step);
    }

    /// Finds the message that `command` names, if `user` may write where it stands.
    fn find(&mut self, origin: Origin, user: UserId, message: MessageId, command: Command, step: &mut Step) -> Found {
        if let Err(reject) = self.admit_write() {
            refuse(step, origin, reject, None);
            return Found::Waiting;
        }
        let Some(command) = self.wait_for(&[Key::Message(message), Key::User(user)], origin, command, step) else {
            return Found::Waiting;
        };
        let spot = match self.known.spot(message, self.head.0) {
            None => {
                self.ask(Question::Locate(message), Key::Message(message), origin, command, step);
                return Found::Waiting;
            }
            Some(spot) => spot,
        };
        let unknown = Reject::plain(Code::UnknownMessage);
        let visible = spot.filter(|spot| !spot.deleted).ok_or(unknown.clone()).and_then(|spot| {
            let chat = self.chat(spot.chat).map_err(|_| unknown.clone())?;
            // Who may not read a chat is not told what stands in it.
            chat.readable_by(Some(user)).map_err(|_| unknown.clone())?;
            if spot.seq > chat.floor { Ok(spot) } else { Err(unknown) }
        });
        match visible {
            Ok(spot) => {
                match self.wait_for(&[Key::Chat(spot.chat), Key::Member(spot.chat, user)], origin, command, step) {
                    Some(_) => Found::Here(spot),
                    None => Found::Waiting,
                }
            }
            Err(reject) => {
                refuse(step, origin, reject, None);
                Found::Waiting
            }
        }
    }

    pub(super) fn edit(
        &mut self,
        origin: Origin,
        user: UserId,
        message: MessageId,
        content: Box<str>,
        now: Now,
        step: &mut Step,
    ) {
        let command = Command::Edit { user, message, content: content.clone() };
        let Found::Here(spot) = self.find(origin, user, message, command, step) else { return };
        if spot.sender != user {
            return step.reply(origin, Reject::new(Code::Forbidden, "only its sender edits a message"));
        }
        if let Err(reject) = self.charge_change(spot.chat) {
            return step.reply(origin, reject);
        }
        let fact = Fact::MessageEdited { message, message_seq: spot.seq, content, by: user };
        let draft = Draft { at: now.wall, place: Place::Chat(spot.chat), fact };
        self.append(draft, Some(origin), Some(Key::Message(message)), step);
    }

    pub(super) fn delete(&mut self, origin: Origin, user: UserId, message: MessageId, now: Now, step: &mut Step) {
        let command = Command::Delete { user, message };
        let Found::Here(spot) = self.find(origin, user, message, command, step) else { return };
        let is_owner = || {
            let member = self.chats.get(&spot.chat).and_then(|chat| chat.members.get(&user));
            member.is_some_and(|member| member.role == Role::Owner)
        };
        if spot.sender != user && !is_owner() {
            return step.reply(origin, Reject::new(Code::Forbidden, "its sender or an owner deletes a message"));
        }
        if let Err(reject) = self.charge_change(spot.chat) {
            return step.reply(origin, reject);
        }
        let fact = Fact::MessageDeleted { message, message_seq: spot.seq, by: user };
        let draft = Draft { at: now.wall, place: Place::Chat(spot.chat), fact };
        self.append(draft, Some(origin), Some(Key::Message(message)), step);
    }

    #[expect(clippy::too_many_arguments, reason = "one field each of the command")]
    pub(super) fn react(
        &mut self,
        origin: Origin,
        user: UserId,
        message: MessageId,
        emoji: Box<str>,
        remove: bool,
        now: Now,
        step: &mut Step,
    ) {
        let command = Command::React { user, message, emoji: emoji.clone(), remove };
        let Found::Here(spot) = self.find(origin, user, message, command, step) else { return };
        if let Err(reject) = self.charge_change(spot.chat) {
            return step.reply(origin, reject);
        }
        if !self.users.contains_key(&user) {
            self.append_user(user, Self::default_nickname(user), None, now, step);
        }
        let fact = Fact::Reacted { message, message_seq: spot.seq, user, emoji, removed: remove };
        let draft = Draft { at: now.wall, place: Place::Chat(spot.chat), fact };
        self.append(draft, Some(origin), None, step);
    }

    pub(super) fn mark_read(
        &mut self,
        origin: Origin,
        user: UserId,
        chat: ChatId,
        seq: Seq,
        now: Now,
        step: &mut Step,
    ) {
        if let Err(reject) = self.admit_write() {
            return step.reply(origin, reject);
        }
        let keys = [Key::User(user), Key::Chat(chat), Key::Member(chat, user), Key::ReadMark(chat, user)];
        let command = Command::MarkRead { user, chat, seq };
        let Some(command) = self.wait_for(&keys, origin, command, step) else { return };
        let (seq, count) = match self.chat(chat) {
            Err(reject) => return step.reply(origin, reject),
            Ok(found) => {
                let Some(member) = found.members.get(&user) else {
                    return step.reply(origin, Reject::plain(Code::NotAMember));
                };
                // Nothing beyond the newest can have been read.
                let seq = seq.min(found.head);
                if seq <= member.read {
                    let seq = member.read;
                    let accepted =
                        Accepted { chat, seq, message_id: None, client_id: None, duplicate: false, message: None };
                    return step.reply(origin, Reply::Accepted(Box::new(accepted)));
                }
                (seq, found.messages_up_to(seq))
            }
        };
        let Some(count) = count.or_else(|| self.known.count(chat, seq)) else {
            return self.ask(Question::Count(chat, seq), Key::ReadMark(chat, user), origin, command, step);
        };
        if let Err(reject) = self.charge_signal(chat) {
            return step.reply(origin, reject);
        }
        let fact = Fact::ReadMarked { chat, user, seq, count };
        let draft = Draft { at: now.wall, place: Place::Nowhere, fact };
        self.append(draft, Some(origin), Some(Key::ReadMark(chat, user)), step);
    }
}
