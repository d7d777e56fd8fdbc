//! One user of `bench rooms`: sends to each of their chats in turn, and hears all of them through the same connection.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chappe_proto::packet::{Ack, Packet};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::BenchError;
use super::crew::{Pace, Span};
use super::fanout::GRACE;
use super::listener::{Account, Heard, hear, sample};
use super::rooms::{Plan, Shared, Tally};
use super::setup::{new_message, user};
use super::written::Name;
use crate::client::ClientError;
use crate::client::inbound::{Frame, Inbound};
use crate::client::tcp::{TcpClient, put_request};
use crate::client::websocket::read_frames;

/// One delivery in so many is decoded, for its latency.
const SAMPLE: u64 = 16;
/// The chats' first event, which made them: everybody knows it.
const BASE: u64 = 1;

/// A message on its way.
struct Sent {
    name: Name,
    chat: usize,
    /// From when its latency counts.
    since_ns: u64,
}

/// See the module.
pub(super) struct Member {
    index: usize,
    stream: TcpStream,
    inbound: Inbound,
    pace: Pace,
    plan: Arc<Plan>,
    /// Their places among all chats, each with what came of it.
    chats: Vec<(usize, Account)>,
    /// Their places in `chats`, by id.
    places: HashMap<u64, usize>,
    in_flight: VecDeque<Sent>,
    begun: u64,
    /// Requests that were not written yet.
    out: Vec<u8>,
    said_the_end: bool,
}

impl Member {
    /// `chats` are the places of their chats among all.
    pub(super) async fn connect(
        index: usize,
        chats: &[usize],
        pace: Pace,
        plan: Arc<Plan>,
    ) -> Result<Self, BenchError> {
        let mut client = TcpClient::connect(&plan.tcp, plan.wire.on_tcp()).await?;
        // They hear their chats from then on.
        client.hello(Some(user(index)?)).await?;
        let (stream, inbound) = client.into_parts();
        Ok(Self {
            index,
            stream,
            inbound,
            pace,
            places: chats.iter().enumerate().map(|(place, chat)| (plan.chats[*chat].get(), place)).collect(),
            chats: chats.iter().map(|chat| (*chat, Account::new(BASE))).collect(),
            plan,
            in_flight: VecDeque::new(),
            begun: 0,
            out: Vec::new(),
            said_the_end: false,
        })
    }

    pub(super) async fn run(mut self, span: Span, shared: Rc<Shared>) {
        let ended = self.drive(span, &shared).await;
        if !self.said_the_end {
            self.plan.sender_ended();
        }
        let mut tally = shared.tally.borrow_mut();
        let mut failure = ended.err().map(|error| error.to_string());
        for (chat, account) in &self.chats {
            tally.delivered += account.delivered();
            tally.left_out += account.left_out();
            let found = account.failure(self.plan.highest[*chat].load(Ordering::SeqCst));
            failure = failure.or(found.map(|found| format!("chat {}: {found}", self.plan.chats[*chat])));
        }
        tally.failures.extend(failure.map(|failure| format!("user {}: {failure}", self.index)));
    }

    async fn drive(&mut self, span: Span, shared: &Shared) -> Result<(), BenchError> {
        let mut all_sent = self.plan.all_sent.subscribe();
        let end = tokio::time::sleep_until(span.give_up(Duration::ZERO));
        let give_up = tokio::time::sleep_until(span.give_up(GRACE));
        tokio::pin!(end, give_up);
        loop {
            let now = span.now_ns();
            let over = now >= span.to_ns;
            if over && self.in_flight.is_empty() && !self.said_the_end {
                self.said_the_end = true;
                self.plan.sender_ended();
            }
            if *all_sent.borrow() && self.is_complete() {
                return Ok(());
            }
            let room = self.plan.window.saturating_sub(self.in_flight.len() as u64);
            if !over && !self.chats.is_empty() {
                for _ in 0..self.pace.due(now, self.begun, room) {
                    self.post(now)?;
                }
                self.stream.write_all(&self.out).await.map_err(ClientError::from)?;
                self.out.clear();
            }
            let Self { stream, inbound, chats, places, plan, index, .. } = self;
            let (mut deliveries, mut acks) = (0, Vec::new());
            let now = RefCell::new(None);
            let mut on_frame = |frame: Frame<'_>| {
                let Frame::Data(body) = frame else { return Ok(()) };
                let wire = plan.wire.on_web_socket();
                let heard = hear(wire, body)?;
                if let Heard::Event(chat, _) | Heard::Gap(chat, ..) = heard
                    && let Some(place) = places.get(&chat)
                {
                    deliveries += chats[*place].1.take(&heard);
                }
                match heard {
                    Heard::Event(_, seq) if (seq + *index as u64).is_multiple_of(SAMPLE) => {
                        let now = *now.borrow_mut().get_or_insert_with(|| span.now_ns());
                        sample(wire, body, now, &span, &mut shared.tally.borrow_mut().deliveries)
                    }
                    Heard::Other(packet) => {
                        if let Packet::Ack(ack) = *packet {
                            acks.push(ack);
                        }
                        Ok(())
                    }
                    _ => Ok(()),
                }
            };
            tokio::select! {
                biased;
                read = read_frames(stream, inbound, &shared.buffer, &mut on_frame) => read?,
                () = self.pace.bell(), if room > 0 && !over => continue,
                _ = all_sent.changed() => continue,
                () = &mut end, if !over => continue,
                // What is missing by now is told.
                () = &mut give_up => return Ok(()),
            }
            let now = now.into_inner().unwrap_or_else(|| span.now_ns());
            let mut tally = shared.tally.borrow_mut();
            if span.measures(now) {
                tally.delivered_measured += deliveries;
                tally.acked_measured += acks.len() as u64;
            }
            self.plan.done.fetch_add(deliveries, Ordering::Relaxed);
            for ack in acks {
                self.ack(&ack, &span, now, &mut tally)?;
            }
        }
    }

    /// Whether all that was acknowledged to anybody has come.
    fn is_complete(&self) -> bool {
        let highest = |chat: usize| self.plan.highest[chat].load(Ordering::SeqCst);
        self.chats.iter().all(|(chat, account)| account.reached() >= highest(*chat))
    }

    /// Puts the next message behind those that are to be written.
    fn post(&mut self, now: u64) -> Result<(), BenchError> {
        let (name, mut client_id) = (Name { connection: self.index, n: self.begun }, String::new());
        name.write(&self.plan.run, &mut client_id);
        let turn = usize::try_from(self.begun).unwrap_or(0) % self.chats.len();
        let (chat, since_ns) = (self.chats[turn].0, self.pace.counts_from(self.begun, now));
        let content = self.plan.content.text(&format!("{since_ns:016x} "), name.number(), self.plan.size);
        let request = new_message(self.plan.chats[chat], user(self.index)?, content, &client_id)?;
        put_request(self.plan.wire.on_tcp(), request, None, &mut Vec::new(), &mut self.out);
        self.in_flight.push_back(Sent { name, chat, since_ns });
        self.begun += 1;
        Ok(())
    }

    fn ack(&mut self, ack: &Ack, span: &Span, now: u64, tally: &mut Tally) -> Result<(), BenchError> {
        let sent =
            self.in_flight.pop_front().ok_or_else(|| BenchError::Worker("an ack came for nothing".to_owned()))?;
        if !ack.success {
            return Err(ClientError::from_answer(Packet::Ack(ack.clone())).into());
        }
        let mut client_id = String::new();
        sent.name.write(&self.plan.run, &mut client_id);
        let of_this = ack.client_id.as_ref().is_some_and(|id| id.as_str() == client_id);
        if !of_this || ack.duplicate || ack.chat_id != Some(self.plan.chats[sent.chat]) {
            let text = format!("the ack of {client_id} is of something else, or out of order: {ack:?}");
            return Err(BenchError::Worker(text));
        }
        tally.posted += 1;
        if span.measures(sent.since_ns) {
            tally.acks.record(now.saturating_sub(sent.since_ns));
        }
        self.plan.highest[sent.chat].fetch_max(ack.seq.unwrap_or_default().0, Ordering::SeqCst);
        Ok(())
    }
}
