//! `chappe bench udp`: presence beacons as fast as they go or at a rate, with pings in between for the latency.

use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chappe_proto::limits::MAX_LIST;
use chappe_proto::request::{Request, Status};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use serde_json::json;

use super::BenchError;
use super::arguments::{Load, WireName};
use super::crew::{Crew, Pace, Span};
use super::identity::Identities;
use super::latency::Latency;
use super::metrics_page::{Series, counter, growth};
use super::progress::per_second;
use super::report::Report;
use super::schedule::{Pacer, Schedule, since};
use super::server_use::rounded;
use super::setup::{make_chats, user};
use crate::client::block_on;
use crate::client::udp::{UdpClient, encode};

/// The server's counter of datagrams it has taken.
const COUNTER: &str = "chappe_udp_packets_total";
/// Pings a second.
const PINGS_PER_SEC: f64 = 200.0;
/// How long the last answers and counts may take.
const GRACE: Duration = Duration::from_millis(500);
/// The clock is looked at, and the system is called, once in so many beacons.
const BURST: u64 = AT_ONCE as u64;
const AT_ONCE: usize = 32;

/// Presence beacons a second over UDP, and how long a ping takes meanwhile.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) load: Load,
    /// Sockets that send beacons, over all threads.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    sockets: u16,
    /// Users that the beacons are of, in turn.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    users: u32,
    /// How packets travel.
    #[arg(long, value_enum, default_value_t = WireName::Json)]
    wire: WireName,
}

/// What a thread of beacons came to.
#[derive(Debug, Default)]
struct Sent {
    beacons: u64,
    measured: u64,
    /// Answers to what has no answer.
    answers: u64,
    errors: u64,
}

/// What the pings came to.
struct Pinged {
    latency: Latency,
    sent: u64,
    answered: u64,
    larger: u64,
}

pub(super) fn run(args: &Args) -> Result<Report, BenchError> {
    // Users that nobody knows have few places: members of a chat are known.
    let users = usize::try_from(args.users).unwrap_or(1);
    let members = |nth: usize| (nth * MAX_LIST..users.min((nth + 1) * MAX_LIST)).collect();
    let (http, count) = (&args.load.http, users.div_ceil(MAX_LIST));
    block_on(make_chats(http, &Identities::default(), "bench udp", count, members))?;
    let before = block_on(counter(&args.load.http, COUNTER))?;
    let done = Arc::new(AtomicU64::new(0));
    let pacer = Pacer::new(PINGS_PER_SEC, 1);
    let paces = Pace::of(Some(&pacer), 1);
    let shared = (args.clone(), paces, Arc::clone(&done));
    let crew = Crew::spawn(1, move |mut worker| {
        let (args, paces, done) = shared.clone();
        async move {
            let mut client = UdpClient::connect(&args.load.udp).await?;
            let sockets = sockets(&args)?;
            let span = worker.ready().await?;
            let beacons = start(&args, sockets, span, &done)?;
            let pinged = ping(&mut client, &paces[0], span).await?;
            let mut total = Sent::default();
            for thread in beacons {
                let died = |_| BenchError::Worker("a thread of the benchmark died".to_owned());
                let sent = thread.join().map_err(died)?;
                total.beacons += sent.beacons;
                total.measured += sent.measured;
                total.answers += sent.answers;
                total.errors += sent.errors;
            }
            Ok((total, pinged))
        }
    })?;
    let (results, measured) = crew.run(&args.load, Some(pacer), &done, "beacons")?;
    let after = block_on(counter(&args.load.http, COUNTER))?;
    let mut report = Report::new("udp", args.settings());
    for (sent, pinged) in results {
        let taken = growth(&before, &after);
        // The page counts the whole run; what was measured is the same share of it as of the time.
        let share = args.load.duration.as_secs_f64() / (args.load.warmup + args.load.duration).as_secs_f64();
        let operations = Duration::from_micros(taken.values().sum()).mul_f64(share).as_micros();
        let operations = u64::try_from(operations).unwrap_or(u64::MAX);
        report.server = measured.server(operations, args.load.server_pid, &mut report);
        report.result("beacons_per_s_sent", measured.per_second(sent.measured));
        fill(&mut report, &sent, pinged, &taken, args);
    }
    Ok(report)
}

impl Args {
    /// As printed in the report.
    pub(super) fn settings(&self) -> Vec<(&'static str, serde_json::Value)> {
        let mut settings = self.load.settings();
        settings.extend([
            ("sockets", json!(self.sockets)),
            ("users", json!(self.users)),
            ("wire", json!(self.wire.name())),
            ("pings_per_s", json!(PINGS_PER_SEC)),
        ]);
        settings
    }
}

fn fill(report: &mut Report, sent: &Sent, pinged: Pinged, taken: &Series, args: &Args) {
    let whole_time = args.load.warmup + args.load.duration;
    let processed: u64 = taken.values().sum();
    let offered = sent.beacons + pinged.sent;
    report.result("beacons", sent.beacons);
    report.result("processed_by_server", processed);
    report.result("processed_per_s", json!(rounded(per_second(processed, whole_time), 10.0)));
    report.result("lost", offered.saturating_sub(processed));
    if taken.keys().any(|labels| !labels.is_empty()) {
        report.result("processed_by_label", json!(taken));
    }
    report.result("send_errors", sent.errors);
    report.result("pings", pinged.sent);
    report.result("pings_unanswered", pinged.sent - pinged.answered);
    report.latencies.push(("ping", pinged.latency));
    if pinged.larger > 0 {
        report.failures.push(format!("{} answers were larger than what was asked", pinged.larger));
    }
    if sent.answers > 0 {
        report.failures.push(format!("{} beacons were answered", sent.answers));
    }
    if pinged.answered == 0 || processed == 0 {
        report.failures.push("the server took no datagram".to_owned());
    }
    if processed > offered {
        report.failures.push(format!("the server counts {processed} datagrams of {offered}: others send as well"));
    }
}

fn sockets(args: &Args) -> Result<Vec<UdpSocket>, BenchError> {
    let mut sockets = Vec::new();
    for _ in 0..args.sockets {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(&args.load.udp)?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Starts the threads that send beacons.
fn start(
    args: &Args,
    sockets: Vec<UdpSocket>,
    span: Span,
    done: &Arc<AtomicU64>,
) -> Result<Vec<JoinHandle<Sent>>, BenchError> {
    let threads = args.load.threads().min(sockets.len());
    let mut hands: Vec<Vec<UdpSocket>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, socket) in sockets.into_iter().enumerate() {
        hands[index % threads].push(socket);
    }
    let mut handles = Vec::new();
    for (index, sockets) in hands.into_iter().enumerate() {
        let schedule = args.load.rate.map(|rate| Schedule::new(rate, threads, index));
        let mut datagrams = Vec::new();
        for user_index in (index..usize::try_from(args.users).unwrap_or(1)).step_by(threads) {
            let status = Status { user_id: Some(user(user_index)?), status_data: "online".into() };
            datagrams.push(encode(Request::Status(status), args.wire == WireName::Json));
        }
        let done = Arc::clone(done);
        let run = move || send(&sockets, &datagrams, schedule, span, &done);
        handles.push(std::thread::Builder::new().name(format!("bench-beacon-{index}")).spawn(run)?);
    }
    Ok(handles)
}

/// Sends beacons until the end.
fn send(
    sockets: &[UdpSocket],
    datagrams: &[Vec<u8>],
    schedule: Option<Schedule>,
    span: Span,
    done: &AtomicU64,
) -> Sent {
    let mut sent = Sent::default();
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(AT_ONCE, None);
    let mut sockets_in_turn = sockets.iter().cycle();
    let mut datagrams = datagrams.iter().cycle();
    std::thread::sleep(span.start.saturating_duration_since(Instant::now()));
    loop {
        let now = since(span.start);
        if now >= span.to_ns {
            break;
        }
        let due = schedule.map_or(BURST, |schedule| schedule.due_by(now).saturating_sub(sent.beacons).min(BURST));
        if due == 0 {
            std::thread::sleep(Duration::from_micros(100));
            continue;
        }
        // Several a system call: this thread stands for many clients on machines of their own.
        let count = usize::try_from(due).unwrap_or(1);
        let slices: Vec<_> = datagrams.by_ref().take(count).map(|datagram| [IoSlice::new(datagram)]).collect();
        if let Some(socket) = sockets_in_turn.next() {
            let nowhere_else = [None; AT_ONCE];
            let taken = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, nowhere_else, [], MsgFlags::empty());
            // A full queue, or nobody there: the beacons are gone, as beacons may be.
            sent.errors += due.saturating_sub(taken.map_or(0, |taken| taken.count() as u64));
        }
        sent.beacons += due;
        if span.measures(now) {
            sent.measured += due;
        }
        done.fetch_add(due, Ordering::Relaxed);
    }
    std::thread::sleep(GRACE);
    let mut buffer = [0; 2048];
    for socket in sockets {
        while socket.set_nonblocking(true).is_ok() && socket.recv(&mut buffer).is_ok() {
            sent.answers += 1;
        }
    }
    sent
}

/// Pings at an even rate; each answer counts from when its ping was due.
async fn ping(client: &mut UdpClient, pace: &Pace, span: Span) -> Result<Pinged, BenchError> {
    let mut pinged = Pinged { latency: Latency::new()?, sent: 0, answered: 0, larger: 0 };
    let mut sizes = Vec::new();
    let end = tokio::time::sleep_until(span.give_up(GRACE));
    tokio::pin!(end);
    loop {
        let now = span.now_ns();
        if now < span.to_ns {
            for _ in 0..pace.due(now, pinged.sent, u64::MAX) {
                // The nonce is never 0 and always as long as the last, so that the answer has room for it.
                sizes.push(client.ping(FIRST_NONCE + pinged.sent).await.unwrap_or(0));
                pinged.sent += 1;
            }
        }
        tokio::select! {
            biased;
            datagram = client.receive() => {
                // Refused: an earlier ping found nobody. It counts as unanswered.
                let Ok(datagram) = datagram else { continue };
                let n = datagram.nonce().and_then(|nonce| nonce.checked_sub(FIRST_NONCE));
                let asked = n.and_then(|n| sizes.get(usize::try_from(n).ok()?));
                match (n, asked) {
                    (Some(n), Some(&asked)) => {
                        pinged.answered += 1;
                        pinged.larger += u64::from(datagram.size > asked);
                        let due = pace.counts_from(n, 0);
                        if span.measures(due) {
                            pinged.latency.record(span.now_ns().saturating_sub(due));
                        }
                    }
                    // An answer to nothing that was asked.
                    _ => pinged.larger += 1,
                }
            }
            () = pace.bell() => {}
            () = &mut end => return Ok(pinged),
        }
    }
}

/// The first ping's nonce; ten digits, as all that follow.
const FIRST_NONCE: u64 = 1_000_000_000;
