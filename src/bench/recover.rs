//! `chappe bench recover`: many clients are cut off together, miss something in each of their chats, come back, and have to
//! be complete.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use chappe_proto::packet::{ChatSummary, Packet};
use chappe_proto::{ChatId, UserId};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::BenchError;
use super::arguments::{Target, parse_duration};
use super::crew::all;
use super::latency::Latency;
use super::progress::Progress;
use super::recover_client::{Found, Said, Stage, live};
use super::report::Report;
use super::server_use::{Watched, rounded};
use super::setup::{allow_many_files, new_message, user};
use crate::client::http::HttpClient;
use crate::client::tcp::{TcpClient, TcpWire};
use crate::client::{ClientError, block_on};

/// Open files beside the connections.
const OTHER_FILES: u64 = 64;
/// Messages on their way while the chats move on.
const UNDER_WAY: usize = 64;
/// How long any stage may take.
const GIVE_UP: Duration = Duration::from_secs(300);

/// Clients cut off together that come back and pull what they missed.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) target: Target,
    /// Clients, each a user of its own.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    clients: u32,
    /// Chats of each client.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    chats: u32,
    /// Members of each chat.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    members: u32,
    /// Events that each chat moves on meanwhile.
    #[arg(long, value_name = "N", default_value_t = 5)]
    behind: u32,
    /// The clients come back spread over this time; 0 is all at once.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    within: Duration,
}

impl Args {
    /// As printed in the report.
    pub(super) fn settings(&self) -> Vec<(&'static str, Value)> {
        let mut settings = self.target.settings();
        settings.extend([
            ("clients", json!(self.clients)),
            ("chats", json!(self.chats)),
            ("members", json!(self.members)),
            ("behind", json!(self.behind)),
            ("within_s", json!(self.within.as_secs_f64())),
        ]);
        settings
    }
}

pub(super) fn run(args: &Args) -> Result<Report, BenchError> {
    allow_many_files();
    check_files(u64::from(args.clients) + OTHER_FILES)?;
    let progress = Progress::new("clients");
    progress.say("making chats");
    let groups = block_on(make_groups(args))?;
    let crowd = Crowd::start(args)?;
    crowd.wait(args, &progress, "connected")?;
    crowd.stage.send_replace(Stage::Cut);
    crowd.wait(args, &progress, "cut off")?;
    progress.say("moving the chats on");
    let heads = Arc::new(block_on(move_on(args, &groups))?);
    let look = || args.target.server_pid.map(Watched).and_then(Watched::snapshot);
    let before = look();
    let start = Instant::now();
    crowd.stage.send_replace(Stage::Recover(start, heads));
    crowd.wait(args, &progress, "recovered")?;
    let (after, whole) = (look(), start.elapsed());
    crowd.stage.send_replace(Stage::Finish);
    let found = crowd.finish()?;

    let mut report = Report::new("recover", args.settings());
    summarize(&found, start, &mut report)?;
    match (before, after) {
        (Some(before), Some(after)) => {
            report.server = Some(before.until(after, whole, u64::from(args.clients)));
        }
        _ if args.target.server_pid.is_some() => {
            report.failures.push("the server's process could not be watched".to_owned());
        }
        _ => {}
    }
    Ok(report)
}

fn summarize(found: &[Found], start: Instant, report: &mut Report) -> Result<(), BenchError> {
    let mut latency = Latency::new()?;
    let mut last = Duration::ZERO;
    let (mut events, mut presence, mut attempts) = (0, 0, 0);
    for client in found {
        if let Some((began, ended)) = client.recovered {
            latency.record(u64::try_from((ended - began).as_nanos()).unwrap_or(u64::MAX));
            last = last.max(ended - start);
        }
        events += client.events;
        presence += client.presence;
        attempts += client.attempts;
        if report.failures.len() < 3 {
            report.failures.extend(client.failure.clone());
        }
    }
    let trips = found.iter().map(|client| client.round_trips).max().unwrap_or_default();
    report.result("last_complete_s", json!(rounded(last.as_secs_f64(), 1000.0)));
    report.result("recovered", latency.count());
    report.result("round_trips_max", trips);
    report.result("connection_attempts", attempts);
    report.result("events_pulled_or_heard", events);
    report.result("presence_packets", presence);
    if trips > 3 && report.failures.is_empty() {
        report.failures.push(format!("a client needed {trips} round trips, its connection's included"));
    }
    report.latencies.push(("recovery", latency));
    Ok(())
}

/// The clients' threads.
struct Crowd {
    threads: Vec<std::thread::JoinHandle<Result<Vec<Found>, BenchError>>>,
    stage: watch::Sender<Stage>,
    said: mpsc::Receiver<Said>,
}

impl Crowd {
    fn start(args: &Args) -> Result<Self, BenchError> {
        let (stage, stages) = watch::channel(Stage::Connect);
        let (say, said) = mpsc::channel();
        let (threads, began) = (args.target.threads(), Instant::now());
        let spawn = |thread: usize| {
            let (args, stages, say) = (args.clone(), stages.clone(), say.clone());
            std::thread::Builder::new().name(format!("bench-{thread}")).spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let count = usize::try_from(args.clients).unwrap_or(usize::MAX);
                let mine = (thread..count).step_by(threads).map(|index| {
                    let within = args.within.mul_f64(share(index));
                    live(args.target.tcp.clone(), index, began, within, stages.clone(), say.clone())
                });
                LocalSet::new().block_on(&runtime, all(mine))
            })
        };
        let threads = (0..threads).map(spawn).collect::<std::io::Result<_>>()?;
        Ok(Self { threads, stage, said })
    }

    /// Waits until all clients have said that they are so far.
    fn wait(&self, args: &Args, progress: &Progress, what: &str) -> Result<(), BenchError> {
        let deadline = Instant::now() + GIVE_UP;
        for done in 0..args.clients {
            if done.is_multiple_of(100) {
                progress.say(&format!("{done} of {} {what}", args.clients));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left) {
                Ok(Said::Done) => {}
                Ok(Said::Failed(why)) => return Err(BenchError::Worker(why)),
                Err(_) => return Err(BenchError::Worker(format!("only {done} of {} are {what}", args.clients))),
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<Found>, BenchError> {
        let mut found = Vec::new();
        for thread in self.threads {
            let died = |_| BenchError::Worker("a thread of the benchmark died".to_owned());
            found.extend(thread.join().map_err(died)??);
        }
        Ok(found)
    }
}

/// When a client comes back, as a share of the whole time: spread evenly, and not in the order of the chats.
fn share(index: usize) -> f64 {
    // Multiples of the golden ratio, without what stands before the point.
    let steps = f64::from(u32::try_from(index % 1_000_000).unwrap_or_default());
    (steps * 0.618_033_988_749_895).fract()
}

/// Each client is a connection, which is a file.
fn check_files(needed: u64) -> Result<(), BenchError> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    if limit >= needed {
        return Ok(());
    }
    Err(BenchError::Worker(format!(
        "{needed} open files are needed, and {limit} are allowed: `ulimit -n {needed}` in this shell and in the server's, or fewer --clients"
    )))
}

/// A group of users who share their chats.
struct Group {
    owner: UserId,
    chats: Vec<ChatId>,
}

async fn make_groups(args: &Args) -> Result<Vec<Group>, BenchError> {
    let mut client = HttpClient::connect(&args.target.http).await?;
    let (clients, size) = (usize::try_from(args.clients).unwrap_or(1), usize::try_from(args.members).unwrap_or(1));
    let mut groups = Vec::new();
    for first in (0..clients).step_by(size) {
        let members = (first..clients.min(first + size)).map(user).collect::<Result<Vec<_>, _>>()?;
        let mut group = Group { owner: user(first)?, chats: Vec::new() };
        while group.chats.len() < usize::try_from(args.chats).unwrap_or(1) {
            let body = json!({"title": "bench recover", "kind": "group", "members": members, "user_id": group.owner});
            let response = client.post("/api/chats", &body).await?;
            if response.status == 429 || response.status == 503 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            group.chats.push(response.json::<ChatSummary>()?.chat_id);
        }
        groups.push(group);
    }
    Ok(groups)
}

/// Posts in every chat; the heads afterwards.
async fn move_on(args: &Args, groups: &[Group]) -> Result<HashMap<ChatId, u64>, BenchError> {
    let run = chappe_client::random();
    let mut client = TcpClient::connect(&args.target.tcp, TcpWire::Binary).await?;
    let mut left: Vec<_> = groups
        .iter()
        .flat_map(|group| group.chats.iter().map(|chat| (*chat, group.owner)))
        .flat_map(|(chat, owner)| (0..args.behind).map(move |nth| (chat, owner, nth)))
        .collect();
    let mut under_way: HashMap<u64, (ChatId, UserId, u32)> = HashMap::new();
    let mut heads = HashMap::new();
    let mut id = 0;
    loop {
        while under_way.len() < UNDER_WAY
            && let Some((chat, owner, nth)) = left.pop()
        {
            id += 1;
            let message = new_message(chat, owner, "missed".into(), &format!("{run:x}.{chat}.{nth}"))?;
            client.queue(message, Some(id));
            under_way.insert(id, (chat, owner, nth));
        }
        if under_way.is_empty() {
            return Ok(heads);
        }
        client.flush().await?;
        let answer = client.next().await?;
        let Some(post) = answer.request_id.and_then(|id| under_way.remove(&id)) else { continue };
        match answer.packet {
            Packet::Ack(ack) if ack.success => {
                let head = heads.entry(post.0).or_default();
                *head = ack.seq.unwrap_or_default().0.max(*head);
            }
            Packet::Ack(ack) if ack.code.is_some_and(chappe_proto::Code::retryable) => {
                left.push(post);
                tokio::time::sleep(Duration::from_millis(ack.retry_after_ms.unwrap_or(100).into())).await;
            }
            other => return Err(ClientError::from_answer(other).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_come_back_evenly_spread() {
        for tenth in 0..10 {
            let bounds = f64::from(tenth) / 10.0..f64::from(tenth + 1) / 10.0;
            let count = (0..1000).filter(|index| bounds.contains(&share(*index))).count();
            assert!((90..=110).contains(&count), "{count} in tenth {tenth}");
        }
    }

    #[test]
    fn too_few_files_are_told_with_the_way_out() {
        assert!(check_files(1).is_ok());
        // Where there is no limit, nothing is too much.
        if let Err(error) = check_files(u64::MAX - 1) {
            assert!(error.to_string().contains("ulimit -n"), "{error}");
        }
    }
}
