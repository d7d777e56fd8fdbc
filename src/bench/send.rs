//! `chappe bench send`: messages over TCP, each acknowledged once it is on disk; afterwards all of them are read back.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chappe_proto::ChatId;
use chappe_proto::packet::{Ack, Packet};
use serde_json::{Value, json};

use super::BenchError;
use super::arguments::{Load, WireName};
use super::content::{Content, Kind};
use super::crew::{Crew, Pace, Span, all};
use super::identity::Identities;
use super::latency::Latency;
use super::progress::{Measured, Progress};
use super::report::Report;
use super::schedule::Pacer;
use super::setup::{allow_many_files, make_chats, new_message, user};
use super::written::{Acked, Name, Source, read_back};
use crate::client::block_on;
use crate::client::tcp::{TcpClient, TcpWire};
use chappe_client::random;

/// How long the last acks may take after the end.
const GRACE: Duration = Duration::from_secs(10);
/// How long a connection rests when the server asks for patience.
const REST: Duration = Duration::from_millis(50);

/// Durable acks a second over TCP, and how long an ack takes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) load: Load,
    /// Connections, each a sender of its own.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Messages a connection may have unacknowledged.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// Bytes of content a message.
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    size: u32,
    /// Chats that the messages go to, in turn.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    chats: u32,
    /// Members that each chat has besides its senders; they are not connected.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    members: u32,
    /// What the content is made of.
    #[arg(long, value_enum, default_value_t = Kind::Words)]
    content: Kind,
    /// How packets travel.
    #[arg(long, value_enum, default_value_t = WireName::Binary)]
    wire: WireName,
    /// Senders also listen to their chats: every message goes to all of them.
    #[arg(long)]
    listen: bool,
    /// The data folder of a server that asks for tokens, on this machine: the senders' tokens are signed with its secret.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Do not read back what was acknowledged.
    #[arg(long)]
    no_verify: bool,
}

/// What all connections need to know.
struct Plan {
    tcp: String,
    wire: TcpWire,
    run: String,
    window: u64,
    size: usize,
    content: Content,
    listen: bool,
    identities: Identities,
    chats: Vec<ChatId>,
}

/// What one connection, or all, came to.
struct Tally {
    latency: Latency,
    /// Acks that came while it was measured.
    measured: u64,
    /// By chat, in the order they came.
    acked: Vec<Vec<Acked>>,
    refused: BTreeMap<&'static str, u64>,
    failures: Vec<String>,
}

impl Tally {
    fn new(chats: usize) -> Result<Self, BenchError> {
        let acked = vec![Vec::new(); chats];
        let latency = Latency::new()?;
        Ok(Self { latency, measured: 0, acked, refused: BTreeMap::new(), failures: Vec::new() })
    }

    fn merge(&mut self, other: Self) -> Result<(), BenchError> {
        self.latency.merge(&other.latency)?;
        self.measured += other.measured;
        for (mine, others) in self.acked.iter_mut().zip(other.acked) {
            mine.extend(others);
        }
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
        self.failures.extend(other.failures);
        Ok(())
    }
}

impl Args {
    /// As printed in the report.
    pub(super) fn settings(&self) -> Vec<(&'static str, Value)> {
        let mut settings = self.load.settings();
        settings.extend([
            ("connections", json!(self.connections)),
            ("window", json!(self.window)),
            ("size", json!(self.size)),
            ("content", json!(self.content.name())),
            ("chats", json!(self.chats)),
            ("members", json!(self.members)),
            ("wire", json!(self.wire.name())),
            ("listen", json!(self.listen)),
            ("verify", json!(!self.no_verify)),
        ]);
        settings
    }
}

pub(super) fn run(args: &Args) -> Result<Report, BenchError> {
    allow_many_files();
    let count = usize::from(args.connections);
    let identities = Identities::of(args.data.as_deref())?;
    let number = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    // The senders are members then as well: nobody joins while it is measured.
    let members = |_| if args.members == 0 { Vec::new() } else { (0..count + number(args.members)).collect() };
    let chats = block_on(make_chats(&args.load.http, &identities, "bench send", number(args.chats), members))?;
    let plan = Arc::new(Plan {
        tcp: args.load.tcp.clone(),
        wire: args.wire.on_tcp(),
        run: format!("{:05x}", random() >> 44),
        window: args.window.into(),
        size: number(args.size),
        content: Content::new(args.content),
        listen: args.listen,
        identities,
        chats,
    });
    let pacer = args.load.rate.map(|rate| Pacer::new(rate, count));
    let paces = Pace::of(pacer.as_ref(), count);
    let done = Arc::new(AtomicU64::new(0));
    let shared = (Arc::clone(&plan), paces, Arc::clone(&done));
    let crew = Crew::spawn(args.load.threads().min(count), move |mut worker| {
        let (plan, paces, done) = shared.clone();
        async move {
            let mut connections = Vec::new();
            for (index, pace) in worker.mine(count).map(|index| (index, paces[index].clone())) {
                let mut client = TcpClient::connect(&plan.tcp, plan.wire).await?;
                if plan.listen || plan.identities.are_shown() {
                    client.greet(plan.identities.hello(user(index)?)?).await?;
                }
                connections.push(Connection::new(index, client, pace, Arc::clone(&plan), Arc::clone(&done))?);
            }
            let span = worker.ready().await?;
            let mut total = Tally::new(plan.chats.len())?;
            for tally in all(connections.into_iter().map(|connection| connection.run(span))).await? {
                total.merge(tally)?;
            }
            Ok(total)
        }
    })?;
    let (tallies, measured) = crew.run(&args.load, pacer, &done, "acks")?;
    let mut total = Tally::new(plan.chats.len())?;
    for tally in tallies {
        total.merge(tally)?;
    }
    report(args, &plan, total, &measured)
}

fn report(args: &Args, plan: &Plan, total: Tally, measured: &Measured) -> Result<Report, BenchError> {
    let mut report = Report::new("send", args.settings());
    report.result("acks_per_s", measured.per_second(total.measured));
    report.result("acks", total.acked.iter().map(Vec::len).sum::<usize>());
    report.failures = total.failures;
    let refused: u64 = total.refused.values().sum();
    report.result("refused", refused);
    for (code, count) in &total.refused {
        report.failures.push(format!("{count} messages were refused: {code}"));
    }
    report.server = measured.server(total.measured, args.load.server_pid, &mut report);
    report.latencies.push(("ack", total.latency));
    if !args.no_verify {
        let chats: Vec<(ChatId, Vec<Acked>)> = plan.chats.iter().copied().zip(total.acked).collect();
        verify(args, plan, chats, &mut report);
    }
    Ok(report)
}

/// Reads back every acknowledged message, in both ways there are. What cannot be read back is a failure, not the end.
fn verify(args: &Args, plan: &Plan, mut chats: Vec<(ChatId, Vec<Acked>)>, report: &mut Report) {
    let progress = Progress::new("messages");
    for (_, acked) in &mut chats {
        acked.sort_unstable_by_key(|acked| acked.seq);
    }
    for (source, name, result) in [
        (Source::Events, "GetEvents", "read_back_by_events"),
        (Source::Messages, "GetMessages", "read_back_by_messages"),
    ] {
        progress.say(&format!("reading back by {name}"));
        match block_on(read_back(&args.load.tcp, &plan.identities, &plan.run, &plan.content, plan.size, &chats, source))
        {
            Ok(found) => {
                report.result(result, found.whole);
                report.failures.extend(found.failure(name));
                if source == Source::Events {
                    report.result("stored_without_ack", found.unacked);
                }
            }
            Err(error) => report.failures.push(format!("read back by {name}: {error}")),
        }
    }
}

/// A message on its way.
struct Sent {
    name: Name,
    chat: usize,
    /// From when its latency counts.
    since_ns: u64,
}

/// One sender.
struct Connection {
    index: usize,
    client: TcpClient,
    pace: Pace,
    plan: Arc<Plan>,
    done: Arc<AtomicU64>,
    begun: u64,
    in_flight: VecDeque<Sent>,
    rest: bool,
    tally: Tally,
    text: String,
}

impl Connection {
    fn new(
        index: usize,
        client: TcpClient,
        pace: Pace,
        plan: Arc<Plan>,
        done: Arc<AtomicU64>,
    ) -> Result<Self, BenchError> {
        let tally = Tally::new(plan.chats.len())?;
        let in_flight = VecDeque::new();
        Ok(Self { index, client, pace, plan, done, begun: 0, in_flight, rest: false, tally, text: String::new() })
    }

    async fn run(mut self, span: Span) -> Tally {
        if let Err(error) = self.drive(span).await {
            let waiting = self.in_flight.len();
            self.tally.failures.push(format!("connection {}: {error}; {waiting} acks outstanding", self.index));
        }
        self.tally
    }

    async fn drive(&mut self, span: Span) -> Result<(), BenchError> {
        let give_up = tokio::time::sleep_until(span.give_up(GRACE));
        tokio::pin!(give_up);
        loop {
            if std::mem::take(&mut self.rest) {
                tokio::time::sleep(REST).await;
            }
            let now = span.now_ns();
            let waiting = u64::try_from(self.in_flight.len()).unwrap_or(u64::MAX);
            if now >= span.to_ns && waiting == 0 {
                return Ok(());
            }
            let room = self.plan.window.saturating_sub(waiting);
            if now < span.to_ns {
                for _ in 0..self.pace.due(now, self.begun, room) {
                    self.queue(now)?;
                }
                self.client.flush().await?;
            }
            tokio::select! {
                biased;
                filled = self.client.fill() => filled?,
                () = self.pace.bell(), if room > 0 => {}
                () = &mut give_up => {
                    let text = format!("no ack within {} s", GRACE.as_secs());
                    return Err(BenchError::Worker(text));
                }
            }
            self.answers(&span)?;
        }
    }

    fn queue(&mut self, now: u64) -> Result<(), BenchError> {
        let name = Name { connection: self.index, n: self.begun };
        let turn = self.index + usize::try_from(self.begun).unwrap_or(0);
        let chat = turn % self.plan.chats.len();
        name.write(&self.plan.run, &mut self.text);
        let content = self.plan.content.text("", name.number(), self.plan.size);
        let request = new_message(self.plan.chats[chat], user(self.index)?, content, &self.text)?;
        self.client.queue(request, None);
        self.in_flight.push_back(Sent { name, chat, since_ns: self.pace.counts_from(self.begun, now) });
        self.begun += 1;
        Ok(())
    }

    /// Takes the answers that have come.
    fn answers(&mut self, span: &Span) -> Result<(), BenchError> {
        let now = span.now_ns();
        let mut acks = 0;
        while let Some(answer) = self.client.take()? {
            match answer.packet {
                Packet::Ack(ack) => acks += self.ack(&ack, span, now)?,
                // What `--listen` hears.
                Packet::Event(_) | Packet::Gap(_) | Packet::Typing(_) | Packet::Read(_) => {}
                Packet::Status(_) | Packet::Presence(_) => {}
                other => return Err(crate::client::ClientError::from_answer(other).into()),
            }
        }
        if acks > 0 {
            self.done.fetch_add(acks, Ordering::Relaxed);
        }
        if span.measures(now) {
            self.tally.measured += acks;
        }
        Ok(())
    }

    /// 1 if the message is on disk.
    fn ack(&mut self, ack: &Ack, span: &Span, now: u64) -> Result<u64, BenchError> {
        let Some(sent) = self.in_flight.pop_front() else {
            return Err(BenchError::Worker("an ack came for nothing".to_owned()));
        };
        if !ack.success {
            let code = ack.code.map_or("no code", chappe_proto::Code::as_str);
            *self.tally.refused.entry(code).or_default() += 1;
            self.rest |= ack.code.is_some_and(chappe_proto::Code::retryable);
            return Ok(0);
        }
        sent.name.write(&self.plan.run, &mut self.text);
        let of_this = ack.client_id.as_ref().is_some_and(|id| id.as_str() == self.text);
        if !of_this || ack.duplicate || ack.chat_id != Some(self.plan.chats[sent.chat]) {
            let text = format!("the ack of {} is of something else, or out of order: {ack:?}", self.text);
            return Err(BenchError::Worker(text));
        }
        if span.measures(sent.since_ns) {
            self.tally.latency.record(now.saturating_sub(sent.since_ns));
        }
        let seq = ack.seq.unwrap_or_default().0;
        self.tally.acked[sent.chat].push(Acked { seq, message_id: ack.message_id, name: sent.name });
        Ok(1)
    }
}
