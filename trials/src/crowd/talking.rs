//! A connection over which events come: some requests are under way at a time, and all that is heard is written down.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chappe::client::ClientError;
use chappe_proto::packet::{Ack as AckPacket, Packet};
use chappe_proto::request::{
    DeleteMessage, EditMessage, GetChats, GetEvents, GetMessages, Hello, MarkRead, NewMessage, React, Request,
    SendMessage,
};
use chappe_proto::{ChatId, ClientId, MessageId, Seq, UserId};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::mind::Wish;
use super::person::{End, Person};
use super::{Act, Scene, WANDERERS};
use crate::history::{Ack, Change, Event, Message, Note};
use crate::server::Doors;
use crate::wire::{Door, PATIENCE, Wire};

/// Requests under way at a time.
const WINDOW: usize = 4;
/// How long a client waits for the end of a chat, once there is one.
const END_OF_CHAT: Duration = Duration::from_secs(10);
/// After a refusal that does not say how long to wait.
const LATER: Duration = Duration::from_millis(20);

/// What a connection knows.
struct Talk {
    connection: u64,
    door: Door,
    under_way: BTreeMap<u64, (Wish, Instant)>,
    /// How far it has heard each chat, or was told that it did not.
    heard: BTreeMap<u64, u64>,
    /// The earliest moment of the next request.
    next: Instant,
    closing: bool,
}

impl Person {
    /// Talks over one connection until it ends.
    pub(super) async fn talk(
        &mut self,
        doors: &Doors,
        door: Door,
        scene: &mut watch::Receiver<Scene>,
    ) -> Result<End, ClientError> {
        let mut wire =
            timeout(PATIENCE, Wire::open(doors, door)).await.map_err(|_| ClientError::Silent(PATIENCE))??;
        let connection = self.recorder.number();
        let heard = self.greet(&mut wire, connection).await?;
        let (under_way, next) = (BTreeMap::new(), Instant::now());
        let mut talk = Talk { connection, door, under_way, heard, next, closing: false };
        let ended = self.go_on(&mut wire, &mut talk, scene).await;
        for (attempt, (wish, _)) in talk.under_way {
            self.in_doubt(connection, attempt, wish, ended.is_err() || talk.closing);
        }
        ended
    }

    async fn greet(&mut self, wire: &mut Wire, connection: u64) -> Result<BTreeMap<u64, u64>, ClientError> {
        let attempt = self.recorder.number();
        self.note(connection, Note::AskedToRead { attempt });
        let hello = Hello { user_id: UserId::parse(self.mind.user).ok(), heads: true, ..Hello::default() };
        wire.send(Request::Hello(hello), attempt).await?;
        let answer = timeout(PATIENCE, wire.next()).await.map_err(|_| ClientError::Silent(PATIENCE))??;
        let Packet::Welcome(welcome) = answer.packet else { return Err(ClientError::from_answer(answer.packet)) };
        let heads: Vec<(u64, u64)> =
            welcome.heads.iter().flatten().map(|head| (head.chat_id.get(), head.seq.0)).collect();
        self.note(connection, Note::Heads { attempt, heads: heads.clone() });
        self.note(connection, Note::Opened { heads: heads.clone() });
        Ok(heads.into_iter().collect())
    }

    async fn go_on(
        &mut self,
        wire: &mut Wire,
        talk: &mut Talk,
        scene: &mut watch::Receiver<Scene>,
    ) -> Result<End, ClientError> {
        let mut deadline = None;
        loop {
            let act = scene.borrow_and_update().act.clone();
            self.send(wire, talk, &act).await?;
            if act != Act::Talk && talk.under_way.is_empty() && self.mind.is_settled() {
                self.rest();
            }
            let mut wait = if talk.under_way.is_empty() { Duration::from_secs(1) } else { PATIENCE };
            if let Act::Finish(heads) = &act {
                let end = *deadline.get_or_insert_with(|| Instant::now() + END_OF_CHAT);
                if self.has_heard(talk, heads, end) {
                    return Ok(End::Home);
                }
                wait = Duration::from_millis(100);
            }
            let until_next = talk.next.saturating_duration_since(Instant::now());
            if talk.under_way.len() < WINDOW && !until_next.is_zero() {
                wait = wait.min(until_next);
            }
            let answer = tokio::select! {
                answer = timeout(wait, wire.next()) => answer,
                changed = scene.changed() => match changed {
                    Ok(()) => continue,
                    // Whoever set the scene has given up.
                    Err(_) => return Ok(End::Home),
                },
            };
            match answer {
                Ok(answer) => {
                    let answer = answer?;
                    self.take(talk, answer.request_id, answer.packet);
                }
                Err(_) => {
                    let oldest = talk.under_way.values().map(|(_, asked)| asked.elapsed()).max().unwrap_or_default();
                    if oldest >= PATIENCE {
                        let what = format!("no answer within {PATIENCE:?} to {:?}", talk.under_way.values().next());
                        return Err(ClientError::Unexpected(what));
                    }
                }
            }
            if talk.closing {
                return Ok(End::GoOn);
            }
            if act == Act::Talk && self.mind.dice.once_in(800) {
                // Lost on the way; and a reader that is slow for a while, which is what this is about.
                if self.mind.dice.once_in(2) {
                    return Ok(End::GoOn);
                }
                sleep(Duration::from_millis(self.mind.dice.below(200))).await;
            }
        }
    }

    /// Sends what the window and the pace allow.
    async fn send(&mut self, wire: &mut Wire, talk: &mut Talk, act: &Act) -> Result<(), ClientError> {
        while talk.under_way.len() < WINDOW && Instant::now() >= talk.next {
            let wish = match act {
                Act::Talk => self.mind.next(talk.door),
                _ => match self.mind.old(talk.door) {
                    Some(change) => Wish::Change(change),
                    None => return Ok(()),
                },
            };
            let Some(request) = request(&wish) else { continue };
            let attempt = self.recorder.number();
            self.asks(talk.connection, attempt, &wish);
            talk.under_way.insert(attempt, (wish, Instant::now()));
            if let Some(pace) = self.pace {
                talk.next = Instant::now() + pace;
            }
            wire.send(request, attempt).await?;
        }
        Ok(())
    }

    /// Whether all has come that is to come; who waits in vain says so, and waits no longer.
    fn has_heard(&self, talk: &Talk, heads: &BTreeMap<u64, u64>, deadline: Instant) -> bool {
        if WANDERERS.contains(&self.mind.user) {
            return true;
        }
        let last = |chat: &u64| talk.heard.get(chat).copied().unwrap_or_default();
        let late: Vec<(u64, u64)> =
            heads.iter().map(|(chat, head)| (*chat, *head)).filter(|(chat, head)| last(chat) < *head).collect();
        if Instant::now() < deadline {
            return late.is_empty();
        }
        for (chat, head) in late {
            self.note(talk.connection, Note::Missed { chat, last: last(&chat), head });
        }
        true
    }

    fn take(&mut self, talk: &mut Talk, request_id: Option<u64>, packet: Packet) {
        let connection = talk.connection;
        let answered = request_id.and_then(|id| Some((id, talk.under_way.remove(&id)?)));
        match (packet, answered) {
            (Packet::Event(event), _) => {
                let event = Event::from(&*event);
                talk.heard.insert(event.chat, event.seq);
                self.mind.saw(&event);
                self.note(connection, Note::Heard(event));
            }
            (Packet::Gap(gap), _) => {
                let (chat, from, to) = (gap.chat_id.get(), gap.from.0, gap.to.0);
                talk.heard.insert(chat, to);
                self.note(connection, Note::Gap { chat, from, to });
            }
            (Packet::Closing(_), _) => talk.closing = true,
            (Packet::Ack(ack), Some((attempt, (Wish::Change(change), asked)))) => {
                self.take_ack(talk, attempt, ack, change, asked);
            }
            (Packet::Error(error), Some((attempt, (wish, _)))) => {
                if self.refused(connection, attempt, error.code, wish) {
                    talk.next = Instant::now() + later(error.retry_after_ms);
                }
            }
            (Packet::Events(page), Some((attempt, (Wish::Events { chat, after }, asked)))) => {
                self.recorder.took(false, asked.elapsed());
                let events: Vec<Event> = page.events.iter().map(Event::from).collect();
                events.iter().for_each(|event| self.mind.saw(event));
                self.note(connection, Note::Page { attempt, chat, after, events, head: page.head.0 });
            }
            (Packet::Messages(page), Some((attempt, (Wish::Newest { chat }, asked)))) => {
                self.recorder.took(false, asked.elapsed());
                let messages = page.messages.iter().map(|message| Message::from(&**message)).collect();
                self.note(connection, Note::Newest { attempt, chat, messages });
            }
            (Packet::Chats(chats), Some((attempt, (Wish::Heads, asked)))) => {
                self.recorder.took(false, asked.elapsed());
                let heads = chats.chats.iter().map(|chat| (chat.chat_id.get(), chat.seq.0)).collect();
                self.note(connection, Note::Heads { attempt, heads });
            }
            (Packet::Read(_) | Packet::Typing(_) | Packet::Status(_) | Packet::Presence(_) | Packet::Pong(_), None) => {
            }
            (packet, answered) => {
                let what: String = format!("{packet:?} as the answer to {answered:?}").chars().take(300).collect();
                self.note(connection, Note::Nonsense(what));
            }
        }
    }

    fn take_ack(&mut self, talk: &mut Talk, attempt: u64, packet: AckPacket, change: Change, asked: Instant) {
        match packet.code {
            None if packet.success => self.acked(talk.connection, attempt, ack(&packet), change, asked),
            Some(code) => {
                if self.refused(talk.connection, attempt, code, Wish::Change(change)) {
                    talk.next = Instant::now() + later(packet.retry_after_ms);
                }
            }
            None => self.note(talk.connection, Note::Nonsense(format!("{packet:?}"))),
        }
    }
}

fn later(retry_after_ms: Option<u32>) -> Duration {
    retry_after_ms.map_or(LATER, |ms| Duration::from_millis(ms.into()))
}

/// What an ack says.
pub(super) fn ack(packet: &AckPacket) -> Ack {
    Ack {
        chat: packet.chat_id.map(ChatId::get),
        seq: packet.seq.map(|seq| seq.0),
        message: Some(packet.message_id).filter(|message| *message > 0),
        name: packet.client_id.as_ref().map(|name| name.as_str().to_owned()),
        duplicate: packet.duplicate,
    }
}

/// A wish as it is asked over a connection. What has no packet is not asked here.
pub(super) fn request(wish: &Wish) -> Option<Request> {
    let chat_id = |chat: u64| ChatId::parse(chat).ok();
    let message_id = |message: u64| MessageId::parse(message).ok();
    Some(match wish {
        Wish::Change(Change::Post { chat, name, content }) => Request::SendMessage(SendMessage {
            message: NewMessage {
                chat_id: chat_id(*chat)?,
                sender_id: None,
                content: content.as_str().into(),
                message_type: Default::default(),
                client_id: ClientId::parse(name.as_str()).ok(),
                reply_to: None,
                signature: None,
            },
        }),
        Wish::Change(Change::Edit { message, content }) => {
            Request::EditMessage(EditMessage { message_id: message_id(*message)?, content: content.as_str().into() })
        }
        Wish::Change(Change::Delete { message }) => {
            Request::DeleteMessage(DeleteMessage { message_id: message_id(*message)? })
        }
        Wish::Change(Change::React { message, emoji, removed }) => {
            let (message_id, emoji) = (message_id(*message)?, emoji.as_str().into());
            Request::React(React { message_id, emoji, remove: *removed })
        }
        Wish::Change(Change::Mark { chat, seq }) => {
            Request::MarkRead(MarkRead { chat_id: chat_id(*chat)?, seq: Seq(*seq) })
        }
        Wish::Change(Change::Join { .. } | Change::Leave { .. }) => return None,
        Wish::Events { chat, after } => {
            Request::GetEvents(GetEvents { chat_id: chat_id(*chat)?, after: Seq(*after), limit: None })
        }
        Wish::Newest { chat } => Request::GetMessages(GetMessages {
            chat_id: chat_id(*chat)?,
            page: None,
            per_page: None,
            before: None,
            after: None,
            limit: Some(20),
        }),
        Wish::Heads => Request::GetChats(GetChats::default()),
    })
}
