//! The course of a comparison: scenario by scenario, run by run, chappe and a peer in turn, a fresh server each time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::crew::Shape;
use crate::pace::Pace;
use crate::peers::{self, Peer};
use crate::results::Results;
use crate::scenario::{self, Kind, Scenario};
use crate::server::Scripts;
use crate::tally::Outcome;
use crate::trouble::Trouble;
use crate::{bare, crew, idle, report};

/// What is compared, how often, and where the results go.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One run of one second each: to see that it works.
    #[arg(long)]
    quick: bool,
    /// How long each run is measured.
    #[arg(long, value_name = "N", default_value_t = 4.0, value_parser = seconds)]
    seconds: f64,
    /// Runs of each peer in each scenario; medians are of these.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only these scenarios; a name takes all that begin with it.
    #[arg(long, value_name = "SCENARIO", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these peers.
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    peers: Vec<String>,
    /// Bytes of a message, at least 40.
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = clap::value_parser!(u32).range(40..=30_000))]
    size: u32,
    /// Messages under way in fan-outs instead of what the scenario says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    window: Option<u32>,
    /// Where results.json, report.md and the plots go.
    #[arg(long, value_name = "DIR", default_value = "target/compare")]
    out: PathBuf,
    /// Where servers keep their data for the time of a run: the disk that is measured.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    data: PathBuf,
    /// The scripts that start the peers.
    #[arg(long, value_name = "DIR", default_value = "benches/compare/peers")]
    scripts: PathBuf,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("from 0.1 to 3600".to_owned()) }
}

/// Runs it; whether all runs count.
pub(crate) fn run(args: &Args) -> Result<bool, Trouble> {
    let mut course = Course::new(args)?;
    let begun = Instant::now();
    for scenario in scenario::ALL {
        if args.only.is_empty() || args.only.iter().any(|name| scenario.name.starts_with(name.as_str())) {
            course.scenario(&scenario)?;
            // What was found so far is kept, whatever comes next.
            course.results.settings.insert("took".to_owned(), format!("{} s", begun.elapsed().as_secs()));
            course.results.write(&args.out)?;
        }
    }
    report::write(&args.out, &course.results)?;
    println!("{} s; see {}", begun.elapsed().as_secs(), args.out.join("report.md").display());
    Ok(course.results.all_well())
}

struct Course {
    results: Results,
    scripts: Scripts,
    peers: Vec<Peer>,
    seconds: f64,
    runs: u32,
    size: usize,
    window: Option<u32>,
    /// Counts the runs.
    seed: u32,
}

impl Course {
    fn new(args: &Args) -> Result<Self, Trouble> {
        let mut peers = peers::ALL.to_vec();
        if !args.peers.is_empty() {
            peers.retain(|peer| args.peers.iter().any(|name| name == peer.name()));
        }
        if peers.is_empty() {
            let names = peers::ALL.map(Peer::name).join(", ");
            return Err(Trouble::Input(format!("no such peers; there are {names}")));
        }
        fs::create_dir_all(&args.out).map_err(Trouble::machine("make the folder of the results"))?;
        allow_many_files();
        let scripts = Scripts { folder: args.scripts.clone(), data: args.data.clone() };
        let (seconds, runs) = if args.quick { (1.0, 1) } else { (args.seconds, args.runs) };
        let mut results = Results::default();
        let settings = &mut results.settings;
        for peer in &peers {
            if !settings.contains_key(peer.script()) {
                scripts.install(peer.script())?;
                settings.insert(peer.script().to_owned(), scripts.version(peer.script())?);
            }
        }
        for (name, text) in machine(&args.data) {
            settings.insert(name.to_owned(), text);
        }
        settings.insert("each run".to_owned(), format!("{seconds} s after a warm-up of at most 1 s"));
        settings
            .insert("runs".to_owned(), format!("{runs} of each peer, medians; chappe oftener, in turn with each peer"));
        if let Some(window) = args.window {
            settings.insert("window".to_owned(), format!("fan-outs with {window} messages, not what their titles say"));
        }
        settings.insert("payload".to_owned(), format!("{} bytes", args.size));
        settings.insert("generator".to_owned(), "one thread, beside the server on the same cores".to_owned());
        let size = usize::try_from(args.size).unwrap_or_default();
        Ok(Self { results, scripts, peers, seconds, runs, size, window: args.window, seed: 0 })
    }

    fn scenario(&mut self, scenario: &Scenario) -> Result<(), Trouble> {
        println!("\n{}: {}", scenario.name, scenario.what);
        for _ in 0..self.runs {
            if let Kind::Bare = scenario.kind {
                self.bare(scenario)?;
            }
            for peer in scenario.order(&self.peers) {
                self.seed += 1;
                // A peer that does not hold out is told of, and the comparison goes on.
                let outcome = self
                    .one(scenario, peer)
                    .unwrap_or_else(|trouble| Outcome { failures: vec![trouble.to_string()], ..Outcome::default() });
                self.keep(scenario, peer.name(), outcome);
            }
        }
        Ok(())
    }

    fn one(&self, scenario: &Scenario, peer: Peer) -> Result<Outcome, Trouble> {
        let server = self.scripts.start(peer.script())?;
        let outcome = match scenario.kind {
            Kind::Load(shape, pace) => {
                let pace = match (shape, pace, self.window) {
                    (Shape::Fanout(_), Pace::Window(_), Some(window)) => Pace::Window(window),
                    _ => pace,
                };
                let run = scenario::load(shape, pace, self.seconds, self.size, self.seed);
                crew::run(peer, server.port(), server.process(), &run)
            }
            Kind::Idle => idle::run(peer, server.port(), server.process()),
            Kind::Bare => Ok(Outcome::default()),
        };
        outcome.map_err(|trouble| Trouble::Peer(format!("{trouble}; its last words: {}", server.last_words())))
    }

    fn bare(&mut self, scenario: &Scenario) -> Result<(), Trouble> {
        let measure = Duration::from_secs_f64(self.seconds);
        let folder = tempfile::tempdir_in(&self.scripts.data).map_err(Trouble::machine("make a folder"))?;
        let outcome = bare::sqlite(folder.path(), measure, self.size)?;
        self.keep(scenario, "sqlite", outcome);
        let outcome = bare::append(folder.path(), measure, self.size)?;
        self.keep(scenario, "append", outcome);
        Ok(())
    }

    fn keep(&mut self, scenario: &Scenario, peer: &str, outcome: Outcome) {
        println!("  {peer:<17} {}", report::in_a_line(scenario, &outcome));
        self.results.add(scenario.name, peer, outcome);
    }
}

/// What the numbers depend on.
fn machine(data: &Path) -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1)).unwrap_or("unknown");
    let system = rustix::system::uname();
    // By its number, as statfs tells it: the usual ones by name.
    let disk = match rustix::fs::statfs(data).map(|found| found.f_type) {
        Ok(0x0102_1994) => "tmpfs: IN MEMORY, so nothing here says what a disk costs".to_owned(),
        Ok(0xEF53) => "ext4".to_owned(),
        Ok(0x5846_5342) => "xfs".to_owned(),
        Ok(0x794C_7630) => "overlayfs".to_owned(),
        Ok(other) => format!("{other:#x}"),
        Err(error) => error.to_string(),
    };
    vec![
        ("machine", format!("{cores} cores, {cpu}")),
        ("system", format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy())),
        ("disk", disk),
        ("load before", read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()),
    ]
}

/// Lets this process hold as many connections open as the system allows it.
fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, connecting will say so with a number.
    let _ = setrlimit(Resource::Nofile, limit);
}
