//! Kills a server under load at moments of chance, again and again, and holds what it promised against what it kept.

use std::fmt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::checker::{Fault, check, in_words};
use crate::dice::Dice;
use crate::history::History;
use crate::liar::Lie;
use crate::reading::{self, Way};
use crate::round::Round;
use crate::server::{Doors, Server};
use crate::tally::Tally;
use crate::trouble::Trouble;

/// How often a folder is verified between its kills: once in so many.
const VERIFY: u64 = 8;
/// How long acks are waited for that a kill is to come behind.
const ACKS: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server's program.
    pub server: PathBuf,
    /// How often it is killed, in all.
    pub kills: u32,
    /// How often in one data folder.
    pub kills_a_folder: u32,
    /// What the dice are made of.
    pub seed: u64,
    /// What stands between the clients and the server, if something does.
    pub lie: Option<Lie>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Kills under load.
    pub under_load: u32,
    /// Kills of a server that had not said yet that it is ready.
    pub starting: u32,
    /// Kills of a server that was asked to stop and had not stopped yet.
    pub stopping: u32,
    /// Stops that were faster than their kill.
    pub stopped: u32,
    /// Folders.
    pub folders: u32,
    /// Verifications by `chappe verify` that found nothing.
    pub verified: u32,
    /// How long starts took that were not killed.
    pub starts: Vec<Duration>,
    /// What happened at the clients.
    pub tally: Tally,
    /// What may not have happened.
    pub faults: Vec<Fault>,
    /// Where the data of a folder with faults lies.
    pub folder: Option<PathBuf>,
}

impl Report {
    /// All kills.
    pub fn kills(&self) -> u32 {
        self.under_load + self.starting + self.stopping
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut starts = self.starts.clone();
        starts.sort_unstable();
        let start = |nth: usize| starts.get((starts.len() * nth / 100).min(starts.len().saturating_sub(1))).copied();
        writeln!(
            f,
            "{} kills in {} folders: {} under load, {} before the server was ready, {} while it stopped; {} clean stops",
            self.kills(),
            self.folders,
            self.under_load,
            self.starting,
            self.stopping,
            self.stopped,
        )?;
        writeln!(f, "{}", self.tally)?;
        let (half, most) = (start(50).unwrap_or_default(), start(99).unwrap_or_default());
        writeln!(f, "ready again within {half:.0?} (p50), {most:.0?} (p99); verified {} times", self.verified)?;
        f.write_str(&in_words(&self.faults))?;
        match (self.faults.len(), &self.folder) {
            (0, _) => write!(f, "no promise was broken"),
            (count, Some(folder)) => write!(f, "{count} faults; the data lies in {}", folder.display()),
            (count, None) => write!(f, "{count} faults"),
        }
    }
}

/// The moment of a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// After so long under load.
    After(Duration),
    /// The moment so many more are acknowledged.
    AtAck(u64),
    /// So long after the start, ready or not; then once more it starts.
    Starting(Duration),
    /// So long after it was asked to stop, while it takes its leave and writes its snapshot.
    Stopping(Duration),
}

impl Moment {
    fn throw(dice: &mut Dice, start: Duration) -> Self {
        let within = |dice: &mut Dice, most: Duration| {
            let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
            Duration::from_micros(dice.below(micros))
        };
        match dice.below(10) {
            0..4 => Self::After(Duration::from_millis(10) + within(dice, Duration::from_millis(240))),
            4..7 => Self::AtAck(1 + dice.below(120)),
            7 => Self::Starting(within(dice, start)),
            _ => Self::Stopping(within(dice, Duration::from_millis(30))),
        }
    }
}

/// Carries a plan out; stops at the first folder that has faults.
///
/// # Errors
/// [`Trouble`] if the server does not start, stop or answer, which is a fault as well; or if the machine gives up.
pub fn run(plan: &Plan, mut tell: impl FnMut(&Report)) -> Result<Report, Trouble> {
    let mut dice = Dice::new(plan.seed);
    let mut report = Report::default();
    while report.kills() < plan.kills && report.faults.is_empty() {
        let folder = tempfile::Builder::new().prefix("chappe-trial-").tempdir();
        let folder = folder.map_err(Trouble::machine("make a folder"))?;
        let mut server = Server::new(&plan.server, folder.path())?;
        let kills = plan.kills_a_folder.min(plan.kills - report.kills());
        let done = one_folder(plan, kills, &mut server, &mut dice, &mut report);
        report.folders += 1;
        if done.is_err() || !report.faults.is_empty() {
            report.folder = Some(folder.keep());
        }
        done?;
        tell(&report);
    }
    Ok(report)
}

fn one_folder(
    plan: &Plan,
    kills: u32,
    server: &mut Server,
    dice: &mut Dice,
    report: &mut Report,
) -> Result<(), Trouble> {
    let begun = Instant::now();
    let mut doors = server.start()?;
    let mut start = begun.elapsed();
    let round = Round::begin(&doors, dice.throw(), None, plan.lie)?;
    let due = report.kills() + kills;
    while report.kills() < due {
        let moment = Moment::throw(dice, start);
        disturb(server, &round, moment, report)?;
        if dice.once_in(VERIFY) {
            verify(server, report)?;
        }
        let begun = Instant::now();
        doors = server.start()?;
        start = begun.elapsed();
        report.starts.push(start);
        round.up(&doors);
    }
    round.rest()?;
    let chats = round.chats.clone();
    let mut history = round.finish(&doors)?;
    judge(server, &mut history, &doors, &chats, report)
}

/// Lets the server run into one kill. It does not run any more then.
fn disturb(server: &mut Server, round: &Round, moment: Moment, report: &mut Report) -> Result<(), Trouble> {
    match moment {
        Moment::After(time) => {
            thread::sleep(time);
            server.must_run()?;
            round.down();
            server.kill()?;
            report.under_load += 1;
        }
        Moment::AtAck(more) => {
            server.must_run()?;
            if let Some(process) = server.process() {
                round.strike_after(more, process);
            }
            server.killed_within(ACKS)?;
            round.down();
            server.kill()?;
            report.under_load += 1;
        }
        Moment::Starting(time) => {
            round.down();
            server.kill()?;
            report.under_load += 1;
            server.spawn()?;
            let ready = server.ready_within(time)?;
            server.kill()?;
            match ready {
                None => report.starting += 1,
                Some(_) => report.under_load += 1,
            }
        }
        Moment::Stopping(time) => {
            thread::sleep(Duration::from_millis(30));
            round.down();
            server.terminate()?;
            match server.ended_within(time)? {
                true => report.stopped += 1,
                false => {
                    server.kill()?;
                    report.stopping += 1;
                }
            }
        }
    }
    Ok(())
}

fn verify(server: &Server, report: &mut Report) -> Result<(), Trouble> {
    match server.verify()? {
        (true, _) => {
            report.verified += 1;
            Ok(())
        }
        (false, said) => Err(server.trouble(&format!("left a folder of which `chappe verify` says: {said}"))),
    }
}

/// Reads all in several ways, before and after a stop, and checks it.
fn judge(
    server: &mut Server,
    history: &mut History,
    doors: &Doors,
    chats: &[u64],
    report: &mut Report,
) -> Result<(), Trouble> {
    reading::read(&mut history.kept, doors, chats, Way::Binary, "TCP")?;
    server.stop()?;
    verify(server, report)?;
    let doors = server.start()?;
    reading::read(&mut history.kept, &doors, chats, Way::WebSocket, "WebSocket after a stop")?;
    server.kill()?;
    let doors = server.start()?;
    reading::read(&mut history.kept, &doors, chats, Way::Http, "HTTP after a kill")?;
    server.stop()?;
    report.tally.add(&Tally::of(history));
    report.faults.extend(check(history));
    Ok(())
}
