//! A long load with faults, at a steady pace: what the server takes of the machine, how long its answers take and what waits in
//! it has to stay as it is. Everything is checked as well, a round at a time.
//!
//! The clients lose connections and read slowly all the time. In the first third the server is killed and stopped; then it runs
//! through, so that what it does not give back is seen. Behind the last start there is a round without any pace: the caches of
//! the query tables' pages, which have bounds and nothing in them after a start, would take half an hour to fill otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chappe::client::block_on;
use chappe::client::http::HttpClient;
use chappe_plot::{Figure, Series};
use hdrhistogram::Histogram;

use crate::checker::{Fault, check};
use crate::dice::Dice;
use crate::flatness::{Track, Verdict};
use crate::reading::{self, Way};
use crate::round::Round;
use crate::server::{Doors, Server};
use crate::tally::Tally;
use crate::trouble::Trouble;

/// Samples of a run.
const SAMPLES: u32 = 240;
/// The longest round: what is written down of it is forgotten once it is checked.
const ROUND: Duration = Duration::from_secs(60);
/// Disturbances of the server in the first third.
const DISTURBANCES: u32 = 6;
const MIB: f64 = 1024.0 * 1024.0;

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server's program.
    pub server: PathBuf,
    /// How long.
    pub time: Duration,
    /// What the dice are made of.
    pub seed: u64,
    /// How long each client waits between two requests.
    pub pace: Duration,
    /// Where the figures and the values go.
    pub out: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// How flat each quantity was.
    pub verdicts: Vec<Verdict>,
    /// What happened at the clients.
    pub tally: Tally,
    /// What may not have happened.
    pub faults: Vec<Fault>,
    /// How often the server was killed, and how often it was stopped.
    pub kills: u32,
    /// See [`Report::kills`].
    pub stops: u32,
}

impl Report {
    /// Whether all stayed as it was and no promise was broken.
    pub fn is_fine(&self) -> bool {
        self.faults.is_empty() && self.verdicts.iter().all(Verdict::is_flat)
    }
}

/// The quantities, as they are sampled. The bounds: memory also holds a fingerprint of every name; the machine has other things to
/// do; what waits comes and goes.
#[derive(Debug)]
struct Tracks {
    memory: Track,
    files: Track,
    ack_p50: Track,
    ack_p99: Track,
    read_p50: Track,
    read_p99: Track,
    waiting: Vec<(&'static str, Track)>,
}

impl Tracks {
    fn new() -> Self {
        Self {
            memory: Track::new("resident memory, MiB", 1.1, 8.0),
            files: Track::new("open files", 1.0, 8.0),
            ack_p50: Track::new("ack p50, ms", 1.5, 2.0),
            ack_p99: Track::new("ack p99, ms", 1.5, 5.0),
            read_p50: Track::new("read p50, ms", 1.5, 2.0),
            read_p99: Track::new("read p99, ms", 1.5, 5.0),
            waiting: vec![
                ("chappe_pending_writes", Track::new("writes waiting for the disk", 1.5, 16.0)),
                ("chappe_reads_waiting", Track::new("reads waiting for a reader", 1.5, 8.0)),
                ("chappe_outbox_bytes", Track::new("bytes waiting for clients", 1.5, 65_536.0)),
                ("chappe_projector_lag", Track::new("records waiting for the query tables", 1.5, 1000.0)),
            ],
        }
    }

    fn all(&self) -> Vec<&Track> {
        let own = [&self.memory, &self.files, &self.ack_p50, &self.ack_p99, &self.read_p50, &self.read_p99];
        own.into_iter().chain(self.waiting.iter().map(|(_, track)| track)).collect()
    }

    /// Takes one sample of everything.
    fn sample(&mut self, at: f64, server: &Server, doors: &Doors, round: &Round) -> Result<(), Trouble> {
        let number = |count: u64| u32::try_from(count).map(f64::from).unwrap_or(f64::MAX);
        if let Some(bytes) = server.resident_bytes() {
            self.memory.points.push((at, number(bytes / 1024) * 1024.0 / MIB));
        }
        if let Some(count) = server.open_files() {
            self.files.points.push((at, number(u64::try_from(count).unwrap_or(u64::MAX))));
        }
        let (mut acks, mut reads) = (latencies()?, latencies()?);
        for timing in round.timings() {
            let micros = u64::try_from(timing.took.as_micros()).unwrap_or(u64::MAX);
            (if timing.is_change { &mut acks } else { &mut reads }).saturating_record(micros);
        }
        for (values, percentile, track) in [
            (&acks, 50.0, &mut self.ack_p50),
            (&acks, 99.0, &mut self.ack_p99),
            (&reads, 50.0, &mut self.read_p50),
            (&reads, 99.0, &mut self.read_p99),
        ] {
            if !values.is_empty() {
                track.points.push((at, number(values.value_at_percentile(percentile)) / 1000.0));
            }
        }
        let metrics = metrics(doors)?;
        for (name, track) in &mut self.waiting {
            track.points.extend(metrics.get(*name).map(|value| (at, *value)));
        }
        Ok(())
    }
}

fn latencies() -> Result<Histogram<u64>, Trouble> {
    Histogram::new_with_bounds(1, 60_000_000, 3)
        .map_err(|error| Trouble::Clients(format!("cannot keep their times: {error}")))
}

/// The server's own numbers, by name.
fn metrics(doors: &Doors) -> Result<BTreeMap<String, f64>, Trouble> {
    block_on(async {
        let answer = HttpClient::connect(&doors.http).await?.get("/metrics").await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        Ok(lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    })
}

/// Carries a plan out.
///
/// # Errors
/// [`Trouble`] if the server does not start, stay, stop or answer; or if the machine gives up.
pub fn run(plan: &Plan, mut tell: impl FnMut(&str)) -> Result<Report, Trouble> {
    fs::create_dir_all(&plan.out).map_err(Trouble::machine("make a folder for the figures"))?;
    let folder = tempfile::Builder::new().prefix("chappe-soak-").tempdir();
    let folder = folder.map_err(Trouble::machine("make a folder"))?;
    let mut server = Server::new(&plan.server, folder.path())?;
    let mut doors = server.start()?;
    let mut dice = Dice::new(plan.seed);
    let mut tracks = Tracks::new();
    let mut report = Report { verdicts: Vec::new(), tally: Tally::default(), faults: Vec::new(), kills: 0, stops: 0 };
    let begun = Instant::now();
    let (step, end) = (plan.time / SAMPLES, begun + plan.time);
    let a_round = ROUND.min(plan.time / 6);
    let mut disturbances: Vec<Instant> =
        (1..=DISTURBANCES).rev().map(|nth| begun + plan.time / 3 * nth / (DISTURBANCES + 1)).collect();
    let mut is_filled = false;
    // Too short a rest for a sample is none.
    while Instant::now() + step < end && report.faults.is_empty() {
        let fills = disturbances.is_empty() && !is_filled;
        is_filled |= fills;
        let round = Round::begin(&doors, dice.throw(), (!fills).then_some(plan.pace), None)?;
        let until = end.min(Instant::now() + a_round);
        let mut next = Instant::now() + step;
        while next < until {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            next += step;
            server.must_run()?;
            tracks.sample(begun.elapsed().as_secs_f64(), &server, &doors, &round)?;
            if disturbances.last().is_some_and(|due| Instant::now() >= *due) {
                disturbances.pop();
                doors = disturb(&mut server, &round, &mut report)?;
            }
        }
        round.rest()?;
        let chats = round.chats.clone();
        let mut history = round.finish(&doors)?;
        reading::read(&mut history.kept, &doors, &chats, Way::Binary, "TCP")?;
        reading::read(&mut history.kept, &doors, &chats, Way::Http, "HTTP")?;
        report.tally.add(&Tally::of(&history));
        report.faults.extend(check(&history));
        reading::delete_chats(&doors, &chats)?;
        let seconds = begun.elapsed().as_secs();
        tell(&format!("{seconds} s, {} messages, {} faults", report.tally.posts, report.faults.len()));
    }
    let seconds = begun.elapsed().as_secs_f64();
    server.stop()?;
    let (is_whole, said) = server.verify()?;
    if !is_whole {
        return Err(server.trouble(&format!("left a folder of which `chappe verify` says: {said}")));
    }
    tell(&said);
    report.verdicts = tracks.all().into_iter().map(|track| track.verdict(seconds)).collect();
    draw(&tracks, &plan.out)?;
    Ok(report)
}

/// Kills the server, or stops it, and starts it again.
fn disturb(server: &mut Server, round: &Round, report: &mut Report) -> Result<Doors, Trouble> {
    round.down();
    if report.kills <= report.stops {
        server.kill()?;
        report.kills += 1;
    } else {
        server.stop()?;
        report.stops += 1;
    }
    let doors = server.start()?;
    round.up(&doors);
    Ok(doors)
}

/// Writes the figures, and the values that are in them.
fn draw(tracks: &Tracks, out: &Path) -> Result<(), Trouble> {
    let waiting: Vec<&Track> = tracks.waiting.iter().map(|(_, track)| track).collect();
    let latency = vec![&tracks.ack_p50, &tracks.ack_p99, &tracks.read_p50, &tracks.read_p99];
    for (name, title, y, log_y, shown) in [
        ("memory.svg", "Resident memory", "MiB", false, vec![&tracks.memory]),
        ("files.svg", "Open files and sockets", "files", false, vec![&tracks.files]),
        ("latency.svg", "Latency of acks and reads", "milliseconds", true, latency),
        ("waiting.svg", "What waits in the server", "waiting", true, waiting),
    ] {
        let series = shown.iter().enumerate().map(|(colour, track)| Series {
            name: track.name.to_owned(),
            colour,
            // On a logarithmic axis nothing has no place: one stands for it.
            points: track
                .points
                .iter()
                .map(|(at, value)| (format!("{:.2}", at / 60.0), shown_as(*value, log_y)))
                .collect(),
        });
        let figure = Figure {
            title: title.to_owned(),
            x: "minutes".to_owned(),
            y: y.to_owned(),
            log_y,
            series: series.collect(),
            ..Figure::default()
        };
        fs::write(out.join(name), figure.svg()).map_err(Trouble::machine("write a figure"))?;
    }
    let rows = tracks
        .all()
        .into_iter()
        .flat_map(|track| track.points.iter().map(|(at, value)| format!("\"{}\",{at:.1},{value:.3}\n", track.name)));
    let rows: String = ["series,seconds,value\n".to_owned()].into_iter().chain(rows).collect();
    fs::write(out.join("soak.csv"), rows).map_err(Trouble::machine("write the values"))
}

fn shown_as(value: f64, log: bool) -> f64 {
    if log { value.max(0.01) } else { value }
}
