//! One sender of a fan-out: posts to the chat at its pace, or as fast as the listeners keep up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chappe_proto::packet::Packet;

use super::BenchError;
use super::crew::{Pace, Span};
use super::fanout::{GRACE, Plan, Tally};
use super::setup::{new_message, user};
use super::written::Name;
use crate::client::ClientError;
use crate::client::tcp::{TcpClient, TcpWire};

/// Messages a sender may have unacknowledged, beside what the listeners allow.
const WINDOW: u64 = 256;

/// One TCP connection that posts.
pub(super) struct Poster {
    index: usize,
    client: TcpClient,
    pace: Pace,
    plan: Arc<Plan>,
    /// When the messages under way were due.
    in_flight: VecDeque<u64>,
    highest: u64,
    tally: Tally,
}

impl Poster {
    pub(super) async fn connect(index: usize, pace: Pace, plan: Arc<Plan>) -> Result<Self, BenchError> {
        let client = TcpClient::connect(&plan.tcp, TcpWire::Binary).await?;
        Ok(Self { index, client, pace, plan, in_flight: VecDeque::new(), highest: 0, tally: Tally::new()? })
    }

    pub(super) async fn run(mut self, span: Span) -> Tally {
        if let Err(error) = self.drive(span).await {
            self.tally.failures.push(format!("sender {}: {error}", self.index));
        }
        self.plan.finish.sender_ended(self.highest);
        self.tally
    }

    async fn drive(&mut self, span: Span) -> Result<(), BenchError> {
        let give_up = tokio::time::sleep_until(span.give_up(GRACE / 2));
        tokio::pin!(give_up);
        let end = tokio::time::sleep_until(span.give_up(Duration::ZERO));
        tokio::pin!(end);
        let plan = Arc::clone(&self.plan);
        let closed = matches!(self.pace, Pace::Closed);
        let (mut begun, mut text) = (0, String::new());
        loop {
            let now = span.now_ns();
            let over = now >= span.to_ns;
            if over && self.in_flight.is_empty() {
                return Ok(());
            }
            let waiting = u64::try_from(self.in_flight.len()).unwrap_or(u64::MAX);
            let room = WINDOW.saturating_sub(waiting);
            let allowed = if closed { room.min(plan.pressure.room()) } else { room };
            if !over {
                let count = self.pace.due(now, begun, allowed);
                for _ in 0..count {
                    let since = self.pace.counts_from(begun, now);
                    let name = Name { connection: self.index, n: begun };
                    name.write(&plan.run, &mut text);
                    let content = plan.content.text(&format!("{since:016x} "), name.number(), plan.size);
                    self.client.queue(new_message(plan.chat, user(self.index)?, content, &text)?, None);
                    self.in_flight.push_back(since);
                    begun += 1;
                }
                plan.pressure.post(count);
                self.client.flush().await?;
            }
            let full = self.in_flight.len() as u64 >= WINDOW;
            tokio::select! {
                biased;
                filled = self.client.fill() => filled?,
                () = self.pace.bell(), if !full => {}
                () = plan.pressure.relief(), if closed && !over && !full => {}
                () = &mut end, if !over => {}
                () = &mut give_up => return Err(BenchError::Worker("acks are outstanding".to_owned())),
            }
            self.answers()?;
        }
    }

    fn answers(&mut self) -> Result<(), BenchError> {
        while let Some(answer) = self.client.take()? {
            match answer.packet {
                Packet::Ack(ack) if ack.success => {
                    self.in_flight.pop_front();
                    self.highest = self.highest.max(ack.seq.unwrap_or_default().0);
                    self.tally.posted += 1;
                }
                other => return Err(ClientError::from_answer(other).into()),
            }
        }
        Ok(())
    }
}
