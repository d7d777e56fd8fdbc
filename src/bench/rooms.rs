//! `chappe bench rooms`: many chats of a few members each, everyone connected and everyone sending; every member must get
//! every event of their chats, or be told of a gap, and every message is acknowledged once it is on disk.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use chappe_client::random;
use chappe_proto::ChatId;
use futures_util::stream::{StreamExt, iter};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::BenchError;
use super::arguments::{Load, WireName};
use super::content::{Content, Kind};
use super::crew::{Crew, Pace, all};
use super::identity::Identities;
use super::latency::Latency;
use super::member::Member;
use super::progress::Measured;
use super::report::Report;
use super::schedule::Pacer;
use super::setup::{allow_many_files, make_chats};
use crate::client::block_on;

/// From one member of a chat to the next it is so many users: a prime, so that chats share few of their members.
const STRIDE: usize = 7919;
/// A thread's read buffer, for all its members.
const BUFFER_BYTES: usize = 256 * 1024;
/// Members that a thread connects at once.
const CONNECTING: usize = 16;

/// Deliveries a second in many chats whose members all send, and how long a delivery and an ack take.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) load: Load,
    /// Chats.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    chats: u32,
    /// Members of each chat.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    members: u32,
    /// Users, each with a TCP connection; they share the places in the chats evenly.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    users: u32,
    /// Messages a user may have unacknowledged.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// Bytes of content a message.
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    size: u32,
    /// What the content is made of.
    #[arg(long, value_enum, default_value_t = Kind::Words)]
    content: Kind,
    /// How packets travel.
    #[arg(long, value_enum, default_value_t = WireName::Binary)]
    wire: WireName,
}

/// What all members need to know.
pub(super) struct Plan {
    pub(super) tcp: String,
    pub(super) wire: WireName,
    pub(super) run: String,
    pub(super) size: usize,
    pub(super) content: Content,
    pub(super) window: u64,
    pub(super) chats: Vec<ChatId>,
    /// The newest number that an ack named, by chat.
    pub(super) highest: Vec<AtomicU64>,
    /// Deliveries so far.
    pub(super) done: AtomicU64,
    sending: AtomicUsize,
    pub(super) all_sent: watch::Sender<bool>,
}

impl Plan {
    /// A member has all its acks, and sends no more.
    pub(super) fn sender_ended(&self) {
        if self.sending.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.all_sent.send_replace(true);
        }
    }
}

/// What the members of one thread share.
pub(super) struct Shared {
    pub(super) buffer: RefCell<Vec<u8>>,
    pub(super) tally: RefCell<Tally>,
}

/// What some or all members came to.
pub(super) struct Tally {
    pub(super) deliveries: Latency,
    pub(super) acks: Latency,
    /// While it was measured.
    pub(super) delivered_measured: u64,
    pub(super) acked_measured: u64,
    pub(super) posted: u64,
    pub(super) delivered: u64,
    pub(super) left_out: u64,
    pub(super) failures: Vec<String>,
}

impl Tally {
    fn new() -> Result<Self, BenchError> {
        Ok(Self {
            deliveries: Latency::new()?,
            acks: Latency::new()?,
            delivered_measured: 0,
            acked_measured: 0,
            posted: 0,
            delivered: 0,
            left_out: 0,
            failures: Vec::new(),
        })
    }

    fn merge(&mut self, other: Self) -> Result<(), BenchError> {
        self.deliveries.merge(&other.deliveries)?;
        self.acks.merge(&other.acks)?;
        self.delivered_measured += other.delivered_measured;
        self.acked_measured += other.acked_measured;
        self.posted += other.posted;
        self.delivered += other.delivered;
        self.left_out += other.left_out;
        self.failures.extend(other.failures);
        Ok(())
    }
}

impl Args {
    /// As printed in the report.
    pub(super) fn settings(&self) -> Vec<(&'static str, Value)> {
        let mut settings = self.load.settings();
        settings.extend([
            ("chats", json!(self.chats)),
            ("members", json!(self.members)),
            ("users", json!(self.users)),
            ("window", json!(self.window)),
            ("size", json!(self.size)),
            ("content", json!(self.content.name())),
            ("wire", json!(self.wire.name())),
        ]);
        settings
    }
}

/// The members of chat `chat`.
fn members(chat: usize, members: usize, users: usize) -> Vec<usize> {
    (0..members).map(|nth| (chat + nth * STRIDE) % users).collect()
}

pub(super) fn run(args: &Args) -> Result<Report, BenchError> {
    allow_many_files();
    let number = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let (count, size, users) = (number(args.chats), number(args.members), number(args.users));
    // With a number of users that is a multiple of the stride they would all be one.
    if size > users || users.is_multiple_of(STRIDE) {
        return Err(BenchError::Worker(format!("{users} users cannot fill chats of {size} members")));
    }
    let identities = Identities::default();
    let of = |chat| members(chat, size, users);
    let chats = block_on(make_chats(&args.load.http, &identities, "bench rooms", count, of))?;
    let mut rooms = vec![Vec::new(); users];
    for chat in 0..count {
        members(chat, size, users).into_iter().for_each(|user| rooms[user].push(chat));
    }
    let plan = Arc::new(Plan {
        tcp: args.load.tcp.clone(),
        wire: args.wire,
        run: format!("{:05x}", random() >> 44),
        size: number(args.size),
        content: Content::new(args.content),
        window: args.window.into(),
        // A chat begins with event 1, which made its members.
        highest: chats.iter().map(|_| AtomicU64::new(1)).collect(),
        chats,
        done: AtomicU64::new(0),
        sending: AtomicUsize::new(users),
        all_sent: watch::Sender::new(false),
    });
    let pacer = args.load.rate.map(|rate| Pacer::new(rate, users));
    let shared = (Arc::clone(&plan), Pace::of(pacer.as_ref(), users), Arc::<[Vec<usize>]>::from(rooms));
    let crew = Crew::spawn(args.load.threads().min(users), move |mut worker| {
        let (plan, paces, rooms) = shared.clone();
        async move {
            let mine: Vec<usize> = worker.mine(users).collect();
            let connecting =
                iter(mine).map(|user| Member::connect(user, &rooms[user], paces[user].clone(), Arc::clone(&plan)));
            let connected: Vec<Result<Member, BenchError>> = connecting.buffer_unordered(CONNECTING).collect().await;
            let members = connected.into_iter().collect::<Result<Vec<_>, _>>()?;
            let span = worker.ready().await?;
            let shared =
                Rc::new(Shared { buffer: RefCell::new(vec![0; BUFFER_BYTES]), tally: RefCell::new(Tally::new()?) });
            all(members.into_iter().map(|member| member.run(span, Rc::clone(&shared)))).await?;
            Ok(shared.tally.replace(Tally::new()?))
        }
    })?;
    let (tallies, measured) = crew.run(&args.load, pacer, &plan.done, "deliveries")?;
    let mut total = Tally::new()?;
    for tally in tallies {
        total.merge(tally)?;
    }
    Ok(report(args, total, &measured))
}

fn report(args: &Args, total: Tally, measured: &Measured) -> Report {
    let mut report = Report::new("rooms", args.settings());
    report.result("deliveries_per_s", measured.per_second(total.delivered_measured));
    report.result("acks_per_s", measured.per_second(total.acked_measured));
    report.result("deliveries", total.delivered);
    report.result("messages", total.posted);
    report.result("left_out_with_a_gap", total.left_out);
    report.failures = total.failures;
    report.server = measured.server(total.delivered_measured, args.load.server_pid, &mut report);
    report.latencies.push(("delivery", total.deliveries));
    report.latencies.push(("ack", total.acks));
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_chat_are_distinct_and_users_share_the_places_evenly() {
        let mut places = vec![0; 1000];
        for chat in 0..1000 {
            let mut members = members(chat, 10, 1000);
            members.iter().for_each(|user| places[*user] += 1);
            members.sort_unstable();
            members.dedup();
            assert_eq!(members.len(), 10, "chat {chat}");
        }
        assert!(places.iter().all(|count| *count == 10));
    }
}
