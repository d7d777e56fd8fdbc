//! `chappe bench fanout`: one chat, many listeners; every listener must get every event, or be told of a gap.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use chappe_proto::ChatId;
use chappe_proto::packet::Packet;
use chappe_proto::request::{Request, Subscribe};
use futures_util::stream::{StreamExt, iter};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::BenchError;
use super::arguments::{Door, Load, WireName};
use super::content::{Content, Kind};
use super::crew::{Crew, Pace, Span, all};
use super::identity::Identities;
use super::latency::Latency;
use super::listener::{Account, Heard, hear, sample};
use super::poster::Poster;
use super::pressure::Pressure;
use super::progress::Measured;
use super::report::Report;
use super::schedule::Pacer;
use super::setup::{allow_many_files, head, make_chats, post, user};
use crate::client::inbound::{Frame, Inbound};
use crate::client::tcp::{TcpClient, TcpWire};
use crate::client::websocket::{WsClient, answer_ping, read_frames};
use crate::client::{ClientError, block_on};
use chappe_client::random;

/// How long the last deliveries may take after the end.
pub(super) const GRACE: Duration = Duration::from_secs(15);
/// One message in so many is decoded, for its latency; each listener takes others.
const SAMPLE: u64 = 64;
/// A thread's read buffer, for all its listeners.
const BUFFER_BYTES: usize = 256 * 1024;
/// Listeners a thread connects at once.
const CONNECTING: usize = 16;

/// Deliveries a second to many listeners of one chat, and how long a delivery takes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) load: Load,
    /// Connections that listen.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    listeners: u32,
    /// TCP connections that send.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    senders: u16,
    /// Messages that may be posted and not yet delivered to everyone; without --rate.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    window: u32,
    /// Bytes of content a message.
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    size: u32,
    /// What the content is made of.
    #[arg(long, value_enum, default_value_t = Kind::Words)]
    content: Kind,
    /// Users that the listeners are, in turn: each has no more connections than a server allows a user.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// Through which door they listen.
    #[arg(long, value_enum, default_value_t = Door::Ws)]
    door: Door,
    /// How the listeners' packets travel.
    #[arg(long, value_enum, default_value_t = WireName::Json)]
    wire: WireName,
}

/// What all connections need to know.
pub(super) struct Plan {
    http: String,
    pub(super) tcp: String,
    pub(super) chat: ChatId,
    /// The chat's head before the load.
    base: u64,
    door: Door,
    wire: WireName,
    pub(super) run: String,
    pub(super) size: usize,
    pub(super) content: Content,
    users: usize,
    listeners: usize,
    pub(super) pressure: Pressure,
    /// Deliveries so far.
    done: AtomicU64,
    pub(super) finish: Finish,
}

/// How the listeners learn up to where they should have heard.
pub(super) struct Finish {
    senders_left: AtomicUsize,
    highest: AtomicU64,
    goal: watch::Sender<Option<u64>>,
}

impl Finish {
    pub(super) fn sender_ended(&self, highest: u64) {
        self.highest.fetch_max(highest, Ordering::SeqCst);
        if self.senders_left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.goal.send_replace(Some(self.highest.load(Ordering::SeqCst)));
        }
    }
}

/// What some or all connections came to.
pub(super) struct Tally {
    latency: Latency,
    /// Deliveries and acks while it was measured.
    measured: u64,
    pub(super) posted: u64,
    delivered: u64,
    left_out: u64,
    pub(super) failures: Vec<String>,
}

impl Tally {
    pub(super) fn new() -> Result<Self, BenchError> {
        Ok(Self { latency: Latency::new()?, measured: 0, posted: 0, delivered: 0, left_out: 0, failures: Vec::new() })
    }

    fn merge(&mut self, other: Self) -> Result<(), BenchError> {
        self.latency.merge(&other.latency)?;
        self.measured += other.measured;
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
            ("listeners", json!(self.listeners)),
            ("senders", json!(self.senders)),
            ("window", json!(self.load.rate.is_none().then_some(self.window))),
            ("size", json!(self.size)),
            ("content", json!(self.content.name())),
            ("users", json!(self.users)),
            ("door", json!(self.door.name())),
            ("wire", json!(self.wire.name())),
        ]);
        settings
    }
}

pub(super) fn run(args: &Args) -> Result<Report, BenchError> {
    allow_many_files();
    let listeners = usize::try_from(args.listeners).unwrap_or(usize::MAX);
    let senders = usize::from(args.senders);
    let run = format!("{:05x}", random() >> 44);
    let (chat, base) = block_on(prepare(args, senders, &run))?;
    let finish = Finish {
        senders_left: AtomicUsize::new(senders),
        highest: AtomicU64::new(base),
        goal: watch::Sender::new(None),
    };
    let plan = Arc::new(Plan {
        http: args.load.http.clone(),
        tcp: args.load.tcp.clone(),
        chat,
        base,
        door: args.door,
        wire: args.wire,
        run,
        size: usize::try_from(args.size).unwrap_or(usize::MAX),
        content: Content::new(args.content),
        users: usize::try_from(args.users).unwrap_or(1),
        listeners,
        pressure: Pressure::new(args.window.into(), args.listeners.into()),
        done: AtomicU64::new(0),
        finish,
    });
    let pacer = args.load.rate.map(|rate| Pacer::new(rate, senders));
    let shared = (Arc::clone(&plan), Pace::of(pacer.as_ref(), senders));
    let crew = Crew::spawn(args.load.threads().min(listeners), move |mut worker| {
        let (plan, paces) = shared.clone();
        async move {
            let mine: Vec<usize> = worker.mine(plan.listeners).collect();
            let connecting = iter(mine).map(|index| Listener::connect(index, Arc::clone(&plan)));
            let mut listeners = Vec::new();
            let mut connected = connecting.buffer_unordered(CONNECTING);
            while let Some(listener) = connected.next().await {
                listeners.push(listener?);
            }
            drop(connected);
            let mut senders = Vec::new();
            for index in worker.mine(paces.len()) {
                senders.push(Poster::connect(index, paces[index].clone(), Arc::clone(&plan)).await?);
            }
            let span = worker.ready().await?;
            let shared =
                Rc::new(Shared { buffer: RefCell::new(vec![0; BUFFER_BYTES]), tally: RefCell::new(Tally::new()?) });
            let listening = listeners.into_iter().map(|listener| listener.run(span, Rc::clone(&shared)));
            let sending = senders.into_iter().map(|sender| sender.run(span));
            let (listened, sent) = tokio::join!(all(listening), all(sending));
            listened?;
            let mut total = shared.tally.replace(Tally::new()?);
            for tally in sent? {
                total.merge(tally)?;
            }
            Ok(total)
        }
    })?;
    let (tallies, measured) = crew.run(&args.load, pacer, &plan.done, "deliveries")?;
    let mut total = Tally::new()?;
    for tally in tallies {
        total.merge(tally)?;
    }
    Ok(report(args, total, &measured))
}

/// Makes the chat and lets the senders join it, so that nothing but messages happens in it later.
async fn prepare(args: &Args, senders: usize, run: &str) -> Result<(ChatId, u64), BenchError> {
    let chats = make_chats(&args.load.http, &Identities::default(), "bench fanout", 1, |_| Vec::new()).await?;
    let chat = *chats.first().ok_or_else(|| BenchError::Worker("no chat was made".to_owned()))?;
    let mut client = TcpClient::connect(&args.load.tcp, TcpWire::Binary).await?;
    for index in 0..senders {
        post(&mut client, chat, user(index)?, "joins", &format!("{run}.join.{index}")).await?;
    }
    client.hello(Some(user(0)?)).await?;
    let base = head(&mut client, chat).await?;
    Ok((chat, base.0))
}

fn report(args: &Args, total: Tally, measured: &Measured) -> Report {
    let mut report = Report::new("fanout", args.settings());
    report.result("deliveries_per_s", measured.per_second(total.measured));
    report.result("deliveries", total.delivered);
    report.result("messages", total.posted);
    report.result("left_out_with_a_gap", total.left_out);
    report.failures = total.failures;
    report.server = measured.server(total.measured, args.load.server_pid, &mut report);
    report.latencies.push(("delivery", total.latency));
    report
}

/// What the connections of one thread share.
struct Shared {
    buffer: RefCell<Vec<u8>>,
    tally: RefCell<Tally>,
}

/// One connection that listens.
struct Listener {
    index: usize,
    stream: TcpStream,
    inbound: Inbound,
    account: Account,
    plan: Arc<Plan>,
}

impl Listener {
    async fn connect(index: usize, plan: Arc<Plan>) -> Result<Self, BenchError> {
        let who = Some(user(index % plan.users)?);
        let subscribe = Request::Subscribe(Subscribe { chat_ids: vec![plan.chat] });
        let (answer, (stream, inbound)) = match plan.door {
            Door::Ws => {
                let mut client = WsClient::connect(&plan.http, plan.wire.on_web_socket()).await?;
                client.hello(who).await?;
                (client.call(subscribe).await?, client.into_parts())
            }
            Door::Tcp => {
                let mut client = TcpClient::connect(&plan.tcp, plan.wire.on_tcp()).await?;
                client.hello(who).await?;
                (client.call(subscribe).await?, client.into_parts())
            }
        };
        if !matches!(&answer, Packet::Ack(ack) if ack.success) {
            return Err(ClientError::from_answer(answer).into());
        }
        Ok(Self { index, stream, inbound, account: Account::new(plan.base), plan })
    }

    async fn run(mut self, span: Span, shared: Rc<Shared>) {
        let ended = self.listen(span, &shared).await;
        let goal = self.plan.finish.highest.load(Ordering::SeqCst);
        let mut tally = shared.tally.borrow_mut();
        tally.delivered += self.account.delivered();
        tally.left_out += self.account.left_out();
        let failure = ended.err().map(|error| error.to_string()).or_else(|| self.account.failure(goal));
        tally.failures.extend(failure.map(|failure| format!("listener {}: {failure}", self.index)));
    }

    async fn listen(&mut self, span: Span, shared: &Shared) -> Result<(), ClientError> {
        let mut goal = self.plan.finish.goal.subscribe();
        let give_up = tokio::time::sleep_until(span.give_up(GRACE));
        tokio::pin!(give_up);
        loop {
            if goal.borrow().is_some_and(|goal| self.account.reached() >= goal) {
                return Ok(());
            }
            let Self { stream, inbound, account, plan, index } = self;
            let mut events = 0;
            let mut pings: Vec<Vec<u8>> = Vec::new();
            let now = RefCell::new(None);
            let mut on_frame = |frame: Frame<'_>| {
                match frame {
                    Frame::Data(body) => {
                        let heard = hear(plan.wire.on_web_socket(), body)?;
                        if matches!(heard, Heard::Event(chat, _) | Heard::Gap(chat, ..) if chat == plan.chat.get()) {
                            events += account.take(&heard);
                        }
                        if let Heard::Event(_, seq) = heard
                            && (seq + *index as u64).is_multiple_of(SAMPLE)
                        {
                            let now = *now.borrow_mut().get_or_insert_with(|| span.now_ns());
                            sample(
                                plan.wire.on_web_socket(),
                                body,
                                now,
                                &span,
                                &mut shared.tally.borrow_mut().latency,
                            )?;
                        }
                    }
                    Frame::Ping(payload) => pings.push(payload.to_vec()),
                    Frame::Close => return Err(ClientError::Ended),
                }
                Ok(())
            };
            tokio::select! {
                biased;
                read = read_frames(stream, inbound, &shared.buffer, &mut on_frame) => read?,
                _ = goal.changed() => continue,
                () = &mut give_up => return Ok(()),
            }
            for payload in pings {
                answer_ping(stream, &payload);
            }
            if events > 0 {
                plan.done.fetch_add(events, Ordering::Relaxed);
                plan.pressure.deliver(events);
                let now = now.into_inner().unwrap_or_else(|| span.now_ns());
                if span.measures(now) {
                    shared.tally.borrow_mut().measured += events;
                }
            }
        }
    }
}
