//! `chappe bench connect`: idle connections, how fast they come about and what each costs the server in memory.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use chappe_proto::packet::Packet;
use chappe_proto::request::{Ping, Request};
use futures_util::stream::{StreamExt, iter};
use serde_json::{Value, json};

use super::BenchError;
use super::arguments::{Door, Target, WireName, parse_duration};
use super::latency::Latency;
use super::progress::{Progress, per_second};
use super::report::Report;
use super::schedule::since;
use super::server_use::{Snapshot, Watched, rounded};
use super::setup::{allow_many_files, user};
use crate::client::tcp::TcpClient;
use crate::client::websocket::WsClient;
use crate::client::{ClientError, block_on};

/// Connections opened, per second, and the server's memory for each idle one.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) target: Target,
    /// Connections to open and keep.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Which door.
    #[arg(long, value_enum, default_value_t = Door::Ws)]
    door: Door,
    /// Connections under way at a time.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
    /// How long they idle before the server's memory is read.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    hold: Duration,
    /// Users that the connections are, in turn.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// Say no Hello: the server does not know who it is, and sends nothing.
    #[arg(long)]
    no_hello: bool,
    /// How packets travel.
    #[arg(long, value_enum, default_value_t = WireName::Json)]
    wire: WireName,
}

/// A connection through either door.
enum Connection {
    Ws(Box<WsClient>),
    Tcp(Box<TcpClient>),
}

impl Connection {
    async fn open(args: &Args, index: usize) -> Result<Self, BenchError> {
        let users = usize::try_from(args.users).unwrap_or(1);
        let who = (!args.no_hello).then(|| user(index % users)).transpose()?;
        Ok(match args.door {
            Door::Ws => {
                let mut client = WsClient::connect(&args.target.http, args.wire.on_web_socket()).await?;
                if who.is_some() {
                    client.hello(who).await?;
                }
                Self::Ws(Box::new(client))
            }
            Door::Tcp => {
                let mut client = TcpClient::connect(&args.target.tcp, args.wire.on_tcp()).await?;
                if who.is_some() {
                    client.hello(who).await?;
                }
                Self::Tcp(Box::new(client))
            }
        })
    }

    /// Whether it still answers.
    async fn check(&mut self) -> Result<(), ClientError> {
        let ping = Request::Ping(Ping { nonce: Some(1) });
        let answer = match self {
            Self::Ws(client) => client.call(ping).await?,
            Self::Tcp(client) => client.call(ping).await?,
        };
        if matches!(answer, Packet::Pong(_)) { Ok(()) } else { Err(ClientError::from_answer(answer)) }
    }
}

/// What opening came to.
struct Opened {
    time: Duration,
    latency: Latency,
    alive: usize,
    idle: Option<Snapshot>,
    failures: Vec<String>,
}

impl Args {
    /// As printed in the report.
    pub(super) fn settings(&self) -> Vec<(&'static str, Value)> {
        let mut settings = self.target.settings();
        settings.extend([
            ("connections", json!(self.connections)),
            ("door", json!(self.door.name())),
            ("parallel", json!(self.parallel)),
            ("hold_s", json!(self.hold.as_secs_f64())),
            ("users", json!(self.users)),
            ("hello", json!(!self.no_hello)),
            ("wire", json!(self.wire.name())),
        ]);
        settings
    }
}

pub(super) fn run(args: &Args) -> Result<Report, BenchError> {
    allow_many_files();
    let look = || args.target.server_pid.map(Watched).and_then(Watched::snapshot);
    let before = look();
    let began = Instant::now();
    let opened = block_on(open(args, look))?;
    let whole = began.elapsed();
    let mut report = Report::new("connect", args.settings());
    let connected = opened.latency.count();
    report.result("connects_per_s", json!(rounded(per_second(connected, opened.time), 10.0)));
    report.result("connected", connected);
    report.result("alive_at_the_end", opened.alive);
    report.failures = opened.failures;
    if u64::try_from(opened.alive).ok() != Some(args.connections.into()) {
        report.failures.push(format!("{} of {} connections were alive at the end", opened.alive, args.connections));
    }
    match (before, opened.idle) {
        (Some(before), Some(idle)) => {
            let grown = idle.rss_bytes().saturating_sub(before.rss_bytes());
            report.result("server_bytes_per_connection", grown / connected.max(1));
            report.server = Some(before.until(idle, whole, connected));
        }
        _ if args.target.server_pid.is_some() => {
            report.failures.push("the server's process could not be watched".to_owned());
        }
        _ => {}
    }
    report.latencies.push(("connect", opened.latency));
    Ok(report)
}

async fn open(args: &Args, look: impl Fn() -> Option<Snapshot>) -> Result<Opened, BenchError> {
    let progress = Progress::new("connections");
    let count = usize::try_from(args.connections).unwrap_or(usize::MAX);
    let mut opened =
        Opened { time: Duration::ZERO, latency: Latency::new()?, alive: 0, idle: None, failures: Vec::new() };
    let mut connections = VecDeque::with_capacity(count);
    let start = Instant::now();
    // The first shows whether there is a server at all.
    connections.push_back(Connection::open(args, 0).await?);
    opened.latency.record(since(start));
    let opening = iter(1..count).map(|index| async move {
        let began = Instant::now();
        (Connection::open(args, index).await, since(began))
    });
    let mut opening = opening.buffer_unordered(args.parallel.into());
    while let Some((connection, took_ns)) = opening.next().await {
        match connection {
            Ok(connection) => {
                opened.latency.record(took_ns);
                connections.push_back(connection);
            }
            Err(error) if opened.failures.len() < 3 => opened.failures.push(error.to_string()),
            Err(_) => {}
        }
        if connections.len().is_multiple_of(256) {
            progress.say(&format!("{} of {count} connections", connections.len()));
        }
    }
    opened.time = start.elapsed();
    progress.say("idling");
    tokio::time::sleep(args.hold).await;
    opened.idle = look();
    progress.say("asking each whether it lives");
    for connection in &mut connections {
        match connection.check().await {
            Ok(()) => opened.alive += 1,
            Err(error) if opened.failures.len() < 3 => opened.failures.push(error.to_string()),
            Err(_) => {}
        }
    }
    Ok(opened)
}
