//! A small model of a server, for the core to talk to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chappe_proto::event::{Event, MemberLeft};
use chappe_proto::limits::Limits;
use chappe_proto::message::Message;
use chappe_proto::packet::{Ack, Events, Messages, Reset};
use chappe_proto::request::GetMessages;
use chappe_proto::{Millis, Reject};

use super::*;

/// So small that pages follow each other.
const PAGE: usize = 3;

pub(super) fn chat(id: u64) -> ChatId {
    ChatId::parse(id).unwrap()
}

pub(super) fn event(chat_id: u64, seq: u64) -> Event {
    let user_id = UserId::parse(1).unwrap();
    Event::MemberLeft(MemberLeft { chat_id: chat(chat_id), seq: Seq(seq), user_id, at: Millis(0) })
}

pub(super) fn message(chat_id: u64, seq: u64) -> Message {
    let text = format!(
        r#"{{"id":1,"chat_id":{chat_id},"seq":{seq},"sender_id":1,"content":"x",
        "message_type":"Text","created_at":0}}"#
    );
    serde_json::from_str(&text).unwrap()
}

#[derive(Default)]
pub(super) struct Server {
    pub(super) epoch: u64,
    /// The head of each chat, and the last number that is trimmed away.
    pub(super) heads: BTreeMap<u64, (u64, u64)>,
    pub(super) stored: Vec<(u64, String)>,
    /// What is on its way to the client.
    pub(super) wire: Option<VecDeque<(Option<u64>, Packet)>>,
    pub(super) refuses: bool,
    pub(super) has_refused: bool,
    /// Hello, GetEvents and so on, in order; for counting.
    pub(super) asked: Vec<&'static str>,
}

impl Server {
    pub(super) fn happen(&mut self, chat_id: u64) -> u64 {
        let head = &mut self.heads.entry(chat_id).or_default().0;
        *head += 1;
        let seq = *head;
        self.tell(None, Packet::Event(Arc::new(event(chat_id, seq))));
        seq
    }

    pub(super) fn tell(&mut self, request_id: Option<u64>, packet: Packet) {
        if let Some(wire) = &mut self.wire {
            wire.push_back((request_id, packet));
        }
    }

    pub(super) fn take(&mut self, frame: ClientFrame) {
        if self.wire.is_none() {
            return;
        }
        self.asked.push(frame.request.rule().name);
        let answer = match frame.request {
            Request::Hello(hello) => {
                assert!(hello.heads);
                let head = |(id, (seq, _)): (&u64, &(u64, u64))| Head { chat_id: chat(*id), seq: Seq(*seq) };
                welcome(self.epoch, self.heads.iter().map(head).collect())
            }
            Request::GetEvents(GetEvents { chat_id, after, .. }) => {
                let (head, floor) = self.heads[&chat_id.get()];
                if after.0 < floor || after.0 > head {
                    Packet::Reset(Reset { chat_id, head: Seq(head), reason: "trimmed".into() })
                } else {
                    let events = (after.0 + 1..=head).take(PAGE).map(|seq| event(chat_id.get(), seq)).collect();
                    Packet::Events(Events { chat_id, events, head: Seq(head) })
                }
            }
            Request::GetMessages(GetMessages { chat_id, after: Some(after), limit: Some(1), .. }) => {
                let (head, floor) = self.heads[&chat_id.get()];
                let oldest =
                    (floor.max(after.0) < head).then(|| Arc::new(message(chat_id.get(), floor.max(after.0) + 1)));
                Packet::Messages(Messages { chat_id, messages: oldest.into_iter().collect(), has_more: false })
            }
            Request::SendMessage(send) => {
                let message = send.message;
                let name = message.client_id.clone().unwrap();
                let is_known = self.stored.iter().any(|(_, known)| known == name.as_str());
                if std::mem::take(&mut self.refuses) && !is_known {
                    self.has_refused = true;
                    Packet::Ack(Ack::refused(Reject::plain(Code::Busy), Some(name)))
                } else {
                    if !is_known {
                        self.stored.push((message.chat_id.get(), name.as_str().to_owned()));
                        self.happen(message.chat_id.get());
                    }
                    Packet::Ack(Ack::accepted(message.chat_id, Seq(1), None, Some(name)))
                }
            }
            other => panic!("not expected: {other:?}"),
        };
        self.tell(frame.request_id, answer);
    }

    pub(super) fn last_event(&mut self) -> Option<(usize, ChatId, Seq)> {
        let wire = self.wire.as_ref()?;
        wire.iter().enumerate().rev().find_map(|(at, (_, packet))| match packet {
            Packet::Event(event) => Some((at, event.chat_id(), event.seq())),
            _ => None,
        })
    }
}

pub(super) fn welcome(epoch: u64, heads: Vec<Head>) -> Packet {
    Packet::Welcome(Box::new(Welcome {
        version: 1,
        connection_id: 1,
        user_id: UserId::parse(1).unwrap(),
        epoch,
        server_time: Millis(0),
        heartbeat_ms: 25_000,
        limits: Limits::default(),
        expires_at: None,
        heads: Some(heads),
        more_heads: false,
        udp: None,
        zstd: false,
    }))
}
