//! What a client makes of what it hears, and whether it may hear that.

use chappe_actors::log::record::{Fact, Record};
use chappe_proto::event::Event;
use chappe_proto::packet::{Ack, ErrorPacket, Packet, Welcome};
use chappe_proto::{ChatId, Code, UserId};

use crate::client::{Asked, Client, Open, Told, Wish};
use crate::disk::with_ledger;
use crate::verdict::{broken, holds, tell};
use crate::wire::Heard;

/// What has been heard, for a test to see that all of it comes about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) acks: u64,
    pub(crate) duplicates: u64,
    pub(crate) refusals: u64,
    pub(crate) unavailable: u64,
    pub(crate) busy: u64,
    pub(crate) events: u64,
    pub(crate) gaps: u64,
    pub(crate) pages: u64,
    pub(crate) resets: u64,
    pub(crate) reads: u64,
    pub(crate) typing: u64,
    pub(crate) presence: u64,
    pub(crate) closings: u64,
}

impl Client {
    /// Takes one packet. `false` if the client ends the connection.
    pub(crate) fn hear(&mut self, heard: Heard, tally: &mut Tally) -> bool {
        let (id, packet) = match heard {
            Heard::Packet(id, packet) => (id, packet),
            Heard::Ping(payload) => {
                if let Some(link) = &mut self.link {
                    link.out.extend(crate::wire::pong(&payload));
                }
                return true;
            }
            Heard::Pong => return true,
            Heard::Close => return false,
        };
        tell(|| format!("client {} ({}) hears {id:?}: {packet:?}", self.number, self.user));
        match packet {
            Packet::Welcome(welcome) => self.welcome(id, &welcome),
            Packet::Ack(ack) => self.ack(id, &ack, tally),
            Packet::Event(event) => {
                tally.events += 1;
                self.event(&event);
            }
            Packet::Gap(gap) => {
                tally.gaps += 1;
                if let Some(link) = &mut self.link {
                    let is_changing = link.is_changing(gap.chat_id);
                    link.ear.gap(gap.chat_id, gap.from, gap.to, is_changing);
                }
                self.told_of(gap.chat_id, gap.to.0);
                self.told.of_event(gap.chat_id, gap.to.0);
            }
            Packet::Events(page) => {
                tally.pages += 1;
                self.events(id, &page);
            }
            Packet::Messages(page) => self.messages(id, &page),
            Packet::Chats(page) => {
                let Some(open) = self.answered(id) else { return true };
                page.chats.iter().for_each(|chat| self.chat(&open, chat));
            }
            // The changes of a second answer nothing.
            Packet::Presence(_) if id.is_none() => tally.presence += 1,
            Packet::Presence(_) => drop(self.answered(id)),
            // The server's heartbeat answers nothing.
            Packet::Pong(_) => drop(id.map(|id| self.answered(Some(id)))),
            Packet::Error(error) => return self.error(id, &error, tally),
            Packet::Closing(_) => tally.closings += 1,
            Packet::Read(read) => {
                tally.reads += 1;
                if let Some(link) = &mut self.link {
                    let is_changing = link.is_changing(read.chat_id);
                    link.ear.read(read.chat_id, read.user_id, read.seq, is_changing);
                }
            }
            Packet::Typing(typing) => {
                tally.typing += 1;
                holds(typing.user_id != self.user, || format!("{} is told that they type", self.user));
                if let Some(link) = &self.link {
                    link.ear.ephemeral(typing.chat_id, link.is_changing(typing.chat_id));
                }
            }
            Packet::Status(_) => tally.presence += 1,
            Packet::Reset(reset) => self.reset(id, &reset, tally),
            Packet::Expiring(_) => broken("there are no tokens to run out".to_owned()),
        }
        true
    }

    pub(crate) fn answered(&mut self, id: Option<u64>) -> Option<Open> {
        let open = id.and_then(|id| self.link.as_mut()?.answers.remove(&id));
        holds(open.is_some(), || format!("an answer to {id:?} of {}, which did not ask that", self.user));
        open
    }

    fn welcome(&mut self, id: Option<u64>, welcome: &Welcome) {
        let hello = self.answered(id).is_some_and(|open| matches!(open.asked, Asked::Hello));
        holds(hello && welcome.user_id == self.user, || format!("{} is welcomed as {}", self.user, welcome.user_id));
        let heads = welcome.heads.as_deref().unwrap_or_default();
        with_ledger(|ledger| {
            for head in heads {
                let on_disk = ledger.seq(head.chat_id);
                holds(head.seq.0 <= on_disk, || format!("a head beyond the disk's {on_disk}: {head:?}"));
            }
        });
        if let Some(link) = &mut self.link {
            link.ear.welcome(heads);
            link.is_welcome = true;
        }
        self.behind.clear();
        self.chats = heads.iter().map(|head| head.chat_id).collect();
        for head in heads {
            self.told_of(head.chat_id, head.seq.0);
            self.told.of_event(head.chat_id, head.seq.0);
        }
    }

    fn event(&mut self, event: &Event) {
        if let Some(link) = &mut self.link {
            let is_changing = link.is_changing(event.chat_id());
            link.ear.event(event, is_changing);
        }
        let (chat, seq) = (event.chat_id(), event.seq().0);
        self.chats.insert(chat);
        self.got(chat, seq.saturating_sub(1), seq);
        self.told.of_event(chat, seq);
        match event {
            Event::Message(message) => {
                self.heard_of(message.id);
                self.told.of_message(chat, seq);
            }
            Event::MemberLeft(left) if left.user_id == self.user => self.gives_up(chat),
            Event::ChatUpdated(updated) if updated.deleted => self.gives_up(chat),
            _ => {}
        }
    }

    fn ack(&mut self, id: Option<u64>, ack: &Ack, tally: &mut Tally) {
        tally.acks += 1;
        let user = self.user;
        let Some(open) = self.link.as_mut().and_then(|link| link.acks.pop_front()) else {
            return broken(format!("{user} gets an ack and waits for none: {ack:?}"));
        };
        if id != Some(open.id) {
            return broken(format!("{user} gets the ack of request {id:?} where that of {} was due", open.id));
        }
        if ack.success {
            tally.duplicates += u64::from(ack.duplicate);
            self.accepted(open.asked, &open.told, ack);
        } else {
            tally.refusals += 1;
            self.refused(open.asked, ack, tally);
        }
    }

    fn accepted(&mut self, asked: Asked, told: &Told, ack: &Ack) {
        let user = self.user;
        let record = ack.chat_id.zip(ack.seq).and_then(|(chat, seq)| with_ledger(|l| l.event(chat, seq).cloned()));
        let fact = record.as_ref().map(|record| &record.entry.fact);
        if let Some(record) = record.as_ref().filter(|_| !ack.duplicate && asked.is_change()) {
            self.in_order(record);
        }
        match asked {
            Asked::Post(wish) => {
                let is_kept = record.as_ref().is_some_and(|record| {
                    record.position.0 == ack.message_id && is_wish(&record.entry.fact, &wish, user)
                });
                holds(is_kept, || format!("{user} is told that {wish:?} is on disk, and there is {record:?}: {ack:?}"));
                let seq = ack.seq.unwrap_or_default();
                self.told.of_event(wish.chat, seq.0);
                self.told.of_message(wish.chat, seq.0);
                self.has_read(wish.chat, seq.0);
                if let Some(record) = &record {
                    record.position.message().into_iter().for_each(|id| self.heard_of(id));
                }
                if let Some((_, was, id)) = self.granted.iter().find(|(known, ..)| known.name == wish.name) {
                    // The name of one that has gone may be given again.
                    let has_gone = with_ledger(|ledger| ledger.has_gone(*id));
                    let is_same = has_gone || (*was, *id) == (seq, ack.message_id);
                    holds(is_same, || format!("{wish:?} was event {was}, and is acknowledged as {seq}"));
                } else {
                    self.granted.push((wish.clone(), seq, ack.message_id));
                }
                self.wishes.retain(|other| *other != wish);
            }
            Asked::Edit(id) => {
                let is_kept =
                    matches!(fact, Some(Fact::MessageEdited { message, by, .. }) if (*message, *by) == (id, user));
                holds(is_kept, || format!("{user} is told that {id} is edited, and on disk is {record:?}"));
            }
            Asked::Delete(id) => {
                let is_kept = matches!(fact, Some(Fact::MessageDeleted { message, .. }) if *message == id);
                holds(is_kept, || format!("{user} is told that {id} is deleted, and on disk is {record:?}"));
            }
            Asked::React(id) => {
                let is_kept =
                    matches!(fact, Some(Fact::Reacted { message, user: by, .. }) if (*message, *by) == (id, user));
                holds(is_kept, || format!("{user} is told that it reacted to {id}, and on disk is {record:?}"));
            }
            Asked::MarkRead(chat, up_to) => {
                let (seq, kept) = (ack.seq.unwrap_or_default(), with_ledger(|ledger| ledger.mark(chat, user)));
                holds(seq <= kept, || format!("{user} is told to have read {seq} of {chat}, and on disk is {kept}"));
                let least = told.event(chat).min(up_to.0).max(told.read(chat));
                holds(seq.0 >= least, || format!("{user} has read {least} of {chat}, as it knows, and is told {seq}"));
                self.has_read(chat, seq.0);
            }
            Asked::Subscribe(chats) => {
                if let Some(link) = &mut self.link {
                    link.ear.subscribed(&chats);
                }
            }
            Asked::Unsubscribe(chats) => {
                if let Some(link) = &mut self.link {
                    link.ear.unsubscribed(&chats);
                }
                // It will hear of them no more: it is content with what it has.
                self.behind.retain(|chat, _| !chats.contains(chat));
            }
            Asked::Hello | Asked::Events(..) | Asked::Messages(..) | Asked::Other => {
                broken(format!("an ack for something that has none: {ack:?}"));
            }
        }
    }

    /// What one connection asks takes effect in the order in which it asked, in whatever chat.
    fn in_order(&mut self, record: &Record) {
        if let Some(link) = &mut self.link {
            let before = std::mem::replace(&mut link.changed, record.position.0);
            holds(before < record.position.0, || {
                format!("{} asked for this after what stands at {before}, and it stands before: {record:?}", self.user)
            });
        }
    }

    fn refused(&mut self, asked: Asked, ack: &Ack, tally: &mut Tally) {
        let code = ack.code.unwrap_or(Code::Internal);
        self.may_be_refused(code, tally);
        if let Asked::Edit(id) | Asked::Delete(id) | Asked::React(id) = asked
            && code == Code::UnknownMessage
        {
            let is_there = with_ledger(|ledger| ledger.has_been_readable(id, self.user));
            holds(!is_there, || format!("{} was told of message {id}, and now that it is unknown", self.user));
        }
        if let Asked::Post(wish) = asked
            && !code.retryable()
        {
            self.wishes.retain(|other| *other != wish);
        }
    }

    fn may_be_refused(&self, code: Code, tally: &mut Tally) {
        tally.unavailable += u64::from(code == Code::StorageUnavailable);
        tally.busy += u64::from(code == Code::Busy);
        let may = matches!(
            code,
            Code::NotAMember
                | Code::UnknownChat
                | Code::UnknownMessage
                | Code::Forbidden
                | Code::TooLarge
                | Code::Busy
                | Code::StorageUnavailable
                | Code::RateLimited
        );
        holds(may, || format!("{} is refused as {code:?}", self.user));
    }

    fn error(&mut self, id: Option<u64>, error: &ErrorPacket, tally: &mut Tally) -> bool {
        self.may_be_refused(error.code, tally);
        let open = id.and_then(|id| self.link.as_mut()?.answers.remove(&id));
        match open.map(|open| open.asked) {
            Some(Asked::Hello) => return false,
            Some(Asked::Events(chat, _)) if !error.code.retryable() => self.gives_up(chat),
            _ => {}
        }
        true
    }

    /// It was acknowledged that its user has read so far.
    fn has_read(&mut self, chat: ChatId, seq: u64) {
        self.told.of_read(chat, seq);
        if let Some(link) = &mut self.link {
            let before = link.read.entry(chat).or_default();
            *before = seq.max(*before);
        }
    }
}

fn is_wish(fact: &Fact, wish: &Wish, user: UserId) -> bool {
    matches!(fact, Fact::MessagePosted { sender, content, client_id, reply_to, .. }
        if *sender == user && *content == wish.content && client_id.as_ref() == Some(&wish.name)
            && *reply_to == wish.reply_to)
}
