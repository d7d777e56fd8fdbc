//! `chappe bench history`: pages of a chat's newest messages over keep-alive HTTP connections.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chappe_proto::packet::{Messages, Packet};
use chappe_proto::{ChatId, Code, Seq};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::BenchError;
use super::arguments::Load;
use super::content::{Content, Kind};
use super::crew::{Crew, Pace, Span, all};
use super::identity::Identities;
use super::latency::Latency;
use super::progress::{Measured, Progress};
use super::report::Report;
use super::schedule::Pacer;
use super::setup::{allow_many_files, head, make_chats, new_message, user};
use super::written::Name;
use crate::client::http::HttpClient;
use crate::client::tcp::{TcpClient, TcpWire};
use crate::client::{ClientError, block_on};
use chappe_client::random;

/// One page in so many is read in full and compared.
const SAMPLE: u64 = 64;
/// Messages that a connection has under way while the chats are filled.
const FILL_WINDOW: usize = 256;
/// Connections that fill them.
const FILLERS: usize = 8;
/// How long filling rests when the server asks for patience.
const REST: Duration = Duration::from_millis(100);

/// Pages of history a second over HTTP, and how long a page takes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) load: Load,
    /// Keep-alive connections, each with one request at a time.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Messages a page.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    per_page: u16,
    /// Which page is asked for; 1 is the newest.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    page: u32,
    /// Messages that each chat is filled with.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// Chats to fill and ask for, in turn.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    chats: u32,
    /// Bytes of content a message.
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    size: u32,
    /// What the content is made of.
    #[arg(long, value_enum, default_value_t = Kind::Words)]
    content: Kind,
}

/// A chat's page as it should be.
struct Target {
    path: String,
    chat: ChatId,
    /// The numbers of the first and last message.
    first: u64,
    last: u64,
    has_more: bool,
}

/// What one connection, or all, came to.
struct Tally {
    latency: Latency,
    measured: u64,
    bytes: u64,
    failed: u64,
    /// The first few, in words.
    failures: Vec<String>,
}

impl Tally {
    fn new() -> Result<Self, BenchError> {
        Ok(Self { latency: Latency::new()?, measured: 0, bytes: 0, failed: 0, failures: Vec::new() })
    }

    fn merge(&mut self, other: Self) -> Result<(), BenchError> {
        self.latency.merge(&other.latency)?;
        self.measured += other.measured;
        self.bytes += other.bytes;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        Ok(())
    }

    fn fail(&mut self, failure: String) {
        self.failed += 1;
        if self.failures.len() < 3 {
            self.failures.push(failure);
        }
    }
}

impl Args {
    /// As printed in the report.
    pub(super) fn settings(&self) -> Vec<(&'static str, Value)> {
        let mut settings = self.load.settings();
        settings.extend([
            ("connections", json!(self.connections)),
            ("per_page", json!(self.per_page)),
            ("page", json!(self.page)),
            ("messages", json!(self.messages)),
            ("chats", json!(self.chats)),
            ("size", json!(self.size)),
            ("content", json!(self.content.name())),
        ]);
        settings
    }
}

pub(super) fn run(args: &Args) -> Result<Report, BenchError> {
    allow_many_files();
    let count = usize::from(args.connections);
    let targets: Arc<[Target]> = block_on(fill(args))?.into();
    let pacer = args.load.rate.map(|rate| Pacer::new(rate, count));
    let paces = Pace::of(pacer.as_ref(), count);
    let done = Arc::new(AtomicU64::new(0));
    let shared = (targets, paces, Arc::clone(&done), args.load.http.clone());
    let crew = Crew::spawn(args.load.threads().min(count), move |mut worker| {
        let (targets, paces, done, http) = shared.clone();
        async move {
            let mut connections = Vec::new();
            for index in worker.mine(count) {
                connections.push((index, HttpClient::connect(&http).await?));
            }
            let span = worker.ready().await?;
            let tasks = connections.into_iter().map(|(index, client)| {
                let (targets, done, pace) = (Arc::clone(&targets), Arc::clone(&done), paces[index].clone());
                ask(index, client, http.clone(), targets, pace, span, done)
            });
            let mut total = Tally::new()?;
            for tally in all(tasks).await? {
                total.merge(tally?)?;
            }
            Ok(total)
        }
    })?;
    let (tallies, measured) = crew.run(&args.load, pacer, &done, "pages")?;
    let mut total = Tally::new()?;
    for tally in tallies {
        total.merge(tally)?;
    }
    Ok(report(args, total, &measured))
}

fn report(args: &Args, total: Tally, measured: &Measured) -> Report {
    let mut report = Report::new("history", args.settings());
    report.result("pages_per_s", measured.per_second(total.measured));
    report.result("pages", total.measured);
    report.result("bytes_per_s", measured.per_second(total.bytes));
    report.result("failed", total.failed);
    report.failures = total.failures;
    if total.measured == 0 {
        report.failures.push("not one page came while it was measured".to_owned());
    }
    report.server = measured.server(total.measured, args.load.server_pid, &mut report);
    report.latencies.push(("page", total.latency));
    report
}

/// Makes the chats and fills them.
async fn fill(args: &Args) -> Result<Vec<Target>, BenchError> {
    let progress = Progress::new("messages");
    progress.say("filling the chats");
    let identities = Identities::default();
    let chats =
        make_chats(&args.load.http, &identities, "bench history", usize::try_from(args.chats).unwrap_or(1), |_| {
            Vec::new()
        })
        .await?;
    let (run, content) = (format!("{:05x}", random() >> 44), Content::new(args.content));
    let mine = |filler| chats.iter().copied().skip(filler).step_by(FILLERS);
    let filling = (0..FILLERS).map(|filler| fill_some(args, &run, &content, filler, mine(filler)));
    let targets: Vec<Target> = try_join_all(filling).await?.into_iter().flatten().collect();
    // Asked for, so that a server which knows the chats only by their log has looked at them once.
    if let Some(target) = targets.last() {
        let mut client = TcpClient::connect(&args.load.tcp, TcpWire::Binary).await?;
        client.hello(Some(user(0)?)).await?;
        head(&mut client, target.chat).await?;
    }
    Ok(targets)
}

/// Fills these chats through one connection.
async fn fill_some(
    args: &Args,
    run: &str,
    content: &Content,
    filler: usize,
    chats: impl Iterator<Item = ChatId>,
) -> Result<Vec<Target>, BenchError> {
    let size = usize::try_from(args.size).unwrap_or(usize::MAX);
    let mut client = TcpClient::connect(&args.load.tcp, TcpWire::Binary).await?;
    let (mut targets, mut first, mut text) = (Vec::new(), 0, String::new());
    for chat in chats {
        let mut seqs: Vec<u64> = Vec::new();
        let mut left: VecDeque<u64> = (first..first + u64::from(args.messages)).collect();
        first += u64::from(args.messages);
        while !left.is_empty() {
            let batch: Vec<u64> = left.drain(..FILL_WINDOW.min(left.len())).collect();
            for &n in &batch {
                let name = Name { connection: filler, n };
                name.write(run, &mut text);
                client.queue(new_message(chat, user(filler)?, content.text("", name.number(), size), &text)?, None);
            }
            client.flush().await?;
            left.extend(gather(&mut client, batch, &mut seqs).await?);
        }
        seqs.sort_unstable();
        targets.push(target(args, chat, &seqs)?);
    }
    Ok(targets)
}

/// Takes the acks of a batch; returns those that the server asks to send again.
async fn gather(client: &mut TcpClient, batch: Vec<u64>, seqs: &mut Vec<u64>) -> Result<Vec<u64>, BenchError> {
    let mut again = Vec::new();
    for n in batch {
        match client.next().await?.packet {
            Packet::Ack(ack) if ack.success => seqs.push(ack.seq.unwrap_or_default().0),
            Packet::Ack(ack) if ack.code.is_some_and(Code::retryable) => again.push(n),
            other => return Err(ClientError::from_answer(other).into()),
        }
    }
    if !again.is_empty() {
        tokio::time::sleep(REST).await;
    }
    Ok(again)
}

/// The page of a chat whose messages have these numbers.
fn target(args: &Args, chat: ChatId, seqs: &[u64]) -> Result<Target, BenchError> {
    let per_page = usize::from(args.per_page);
    let behind = per_page * (usize::try_from(args.page).unwrap_or(usize::MAX) - 1);
    let end = seqs.len().checked_sub(behind).filter(|&end| end > 0);
    let end = end.ok_or_else(|| BenchError::Worker("the chats have no such page: raise --messages".to_owned()))?;
    let start = end.saturating_sub(per_page);
    let path = format!("/api/chats/{chat}/messages?page={}&per_page={per_page}", args.page);
    Ok(Target { path, chat, first: seqs[start], last: seqs[end - 1], has_more: start > 0 })
}

/// One connection: asks, waits, and asks again.
async fn ask(
    index: usize,
    mut client: HttpClient,
    http: String,
    targets: Arc<[Target]>,
    pace: Pace,
    span: Span,
    done: Arc<AtomicU64>,
) -> Result<Tally, BenchError> {
    let mut tally = Tally::new()?;
    let mut begun = 0;
    while let Some(since) = pace.turn(&span, begun).await {
        let target = &targets[(index + usize::try_from(begun).unwrap_or(0)) % targets.len()];
        let answer = client.get(&target.path).await;
        let now = span.now_ns();
        match answer {
            Ok(response) if response.status == 200 => {
                done.fetch_add(1, Ordering::Relaxed);
                if span.measures(now) {
                    tally.measured += 1;
                    tally.bytes += response.body.len() as u64;
                }
                if span.measures(since) {
                    tally.latency.record(now.saturating_sub(since));
                }
                if begun % SAMPLE == 0
                    && let Err(failure) = compare(target, &response.body)
                {
                    tally.fail(format!("{}: {failure}", target.path));
                }
            }
            Ok(response) => tally.fail(format!("{}: HTTP {}", target.path, response.status)),
            Err(error) => {
                tally.fail(format!("connection {index}: {error}"));
                match HttpClient::connect(&http).await {
                    Ok(again) => client = again,
                    Err(_) => return Ok(tally),
                }
            }
        }
        begun += 1;
    }
    Ok(tally)
}

/// Whether the page is the one it should be, oldest first.
fn compare(target: &Target, body: &Bytes) -> Result<(), String> {
    let page: Messages = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let seqs: Vec<Seq> = page.messages.iter().map(|message| message.seq).collect();
    let ends = (seqs.first().copied(), seqs.last().copied());
    if ends != (Some(Seq(target.first)), Some(Seq(target.last))) || !seqs.is_sorted() {
        return Err(format!("the page goes from {ends:?}, not from {} to {}", target.first, target.last));
    }
    if page.has_more != target.has_more || page.chat_id != target.chat {
        return Err(format!("has_more is {}, chat_id {}", page.has_more, page.chat_id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn target_of(line: &str, count: u64) -> Result<Target, BenchError> {
        let args = Line::parse_from(std::iter::once("bench").chain(line.split_whitespace())).args;
        target(&args, ChatId::parse(1).unwrap(), &(3..3 + count).collect::<Vec<u64>>())
    }

    #[test]
    fn a_page_ends_where_the_newer_one_begins() {
        for (line, first, last, has_more) in [
            ("", 53, 102, true),
            ("--page 2", 3, 52, false),
            ("--page 2 --per-page 60", 3, 42, false),
            ("--per-page 500", 3, 102, false),
        ] {
            let target = target_of(line, 100).unwrap();
            assert_eq!((target.first, target.last, target.has_more), (first, last, has_more), "{line}");
        }
        assert!(target_of("--page 3", 100).is_err());
    }
}
