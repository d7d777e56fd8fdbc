//! `chappe bench`: real clients over the real doors, against a server that runs.
//!
//! Each benchmark drives its load in threads of its own, measures between two instants after a warm-up, checks what it
//! was promised, and hands in a report. What a number means stands in `docs/benchmarking.md`.

mod arguments;
mod beacon;
mod compare;
mod connect;
mod content;
mod crew;
mod fanout;
mod history;
mod identity;
mod latency;
mod listener;
mod member;
mod metrics_page;
mod poster;
mod pressure;
mod progress;
mod recover;
mod recover_client;
mod report;
mod rooms;
mod schedule;
mod send;
mod server_use;
mod setup;
mod written;

use std::process::ExitCode;

use chappe_proto::Code;
use clap::Subcommand;
use serde_json::Value;

use self::arguments::Target;
use self::compare::{Comparison, Earlier};
use self::report::Report;
use crate::client::ClientError;
use crate::exit::Exit;

/// Measures a running server.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    chappe bench send --connections 16 --window 256\n  \
    chappe bench send --connections 1 --window 1 --rate 50\n  \
    chappe bench fanout --listeners 1000 --rate 100 --server-pid $(pidof chappe) --json")]
pub struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Durable acks a second over TCP, and how long an ack takes.
    Send(send::Args),
    /// Deliveries a second to many listeners of one chat, and how long a delivery takes.
    Fanout(fanout::Args),
    /// Deliveries a second in many chats whose members all send, and how long a delivery and an ack take.
    Rooms(rooms::Args),
    /// Pages of history a second over HTTP, and how long a page takes.
    History(history::Args),
    /// Connections opened a second, and the server's memory for each idle one.
    Connect(connect::Args),
    /// Presence beacons a second over UDP, and how long a ping takes meanwhile.
    Udp(beacon::Args),
    /// Clients cut off together: how long until the last has all that it missed.
    Recover(recover::Args),
}

/// Said instead of a report.
const RATES_ARE_THE_BOUND: &str = "the server answered rate_limited: its rates are the bound, so there is nothing to report\n  \
    start the server with higher ones, and measure again:\n  \
    CHAPPE_LIMITS_CONNECTION_RATE=off CHAPPE_LIMITS_USER_RATE=off CHAPPE_LIMITS_CHAT_RATE=off \\\n  \
    CHAPPE_LIMITS_IP_REQUEST_RATE=off CHAPPE_LIMITS_IP_CONNECTION_RATE=off chappe";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    System(#[from] std::io::Error),
    #[error("{0}")]
    Worker(String),
}

impl Bench {
    fn run(&self) -> Result<Report, BenchError> {
        match self {
            Self::Send(args) => send::run(args),
            Self::Fanout(args) => fanout::run(args),
            Self::Rooms(args) => rooms::run(args),
            Self::History(args) => history::run(args),
            Self::Connect(args) => connect::run(args),
            Self::Udp(args) => beacon::run(args),
            Self::Recover(args) => recover::run(args),
        }
    }

    /// What it is called in reports, what it runs with, and what is common to all.
    fn asked(&self) -> (&'static str, Vec<(&'static str, Value)>, &Target) {
        match self {
            Self::Send(args) => ("send", args.settings(), &args.load.target),
            Self::Fanout(args) => ("fanout", args.settings(), &args.load.target),
            Self::Rooms(args) => ("rooms", args.settings(), &args.load.target),
            Self::History(args) => ("history", args.settings(), &args.load.target),
            Self::Connect(args) => ("connect", args.settings(), &args.target),
            Self::Udp(args) => ("udp", args.settings(), &args.load.target),
            Self::Recover(args) => ("recover", args.settings(), &args.target),
        }
    }
}

/// Runs one benchmark and prints its report on stdout. 1 if a check failed or a number is worse than in the run it is
/// compared with, 9 if there is no comparing, 4 if there is no server.
pub fn run(args: &Args) -> ExitCode {
    let (name, settings, target) = args.bench.asked();
    let earlier = match target.comparing.earlier(name, &settings) {
        Ok(earlier) => earlier,
        Err(error) => {
            eprintln!("chappe bench: {error}");
            return Exit::BadFile.into();
        }
    };
    match args.bench.run() {
        // It would measure the limit, and call it the server.
        Ok(report) if report.failures.iter().any(|failure| is_of_the_rates(failure)) => {
            eprintln!("chappe bench: {RATES_ARE_THE_BOUND}");
            Exit::Failed.into()
        }
        Ok(report) => show(&report, target.json, earlier.as_ref()).into(),
        Err(error) => {
            eprintln!("chappe bench: {error}");
            if matches!(error, BenchError::Client(ClientError::Refused { code: Code::RateLimited, .. })) {
                eprintln!("chappe bench: {RATES_ARE_THE_BOUND}");
            }
            let exit = if let BenchError::Client(error) = &error { error.exit() } else { Exit::Failed };
            exit.into()
        }
    }
}

/// Prints the report, beside the earlier run if there is one, and on stderr what is wrong.
fn show(report: &Report, json: bool, earlier: Option<&Earlier>) -> Exit {
    let mut value = report.as_json();
    let comparison = earlier.map(|earlier| earlier.beside(&value));
    if json {
        if let Some(comparison) = &comparison {
            value["compared"] = comparison.as_json();
        }
        println!("{value}");
    } else {
        print!("{}", report.as_text());
        print!("{}", comparison.as_ref().map(Comparison::as_text).unwrap_or_default());
    }
    for failure in &report.failures {
        eprintln!("chappe bench: FAILED: {failure}");
    }
    let worse = comparison.as_ref().map(Comparison::worse).unwrap_or_default();
    for name in &worse {
        eprintln!("chappe bench: WORSE: {name}");
    }
    if report.failures.is_empty() && worse.is_empty() { Exit::Fine } else { Exit::Failed }
}

/// Whether a benchmark failed at a limit, and not at what it measures.
fn is_of_the_rates(failure: &str) -> bool {
    failure.contains(Code::RateLimited.as_str()) || failure.contains("HTTP 429")
}
