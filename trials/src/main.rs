//! The command line of the trials.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chappe_client::random;
use chappe_trials::checker::in_words;
use chappe_trials::crash;
use chappe_trials::server::Server;
use chappe_trials::soak;
use chappe_trials::trouble::Trouble;
use clap::Parser;

/// Trials of a running chappe: of the program that lies beside this one, in folders of their own, on loopback
#[derive(Debug, Parser)]
enum Command {
    /// Kills a server under load again and again, and holds what it promised against what it kept
    Crash {
        /// How often it is killed
        #[arg(long, default_value_t = 200)]
        kills: u32,
        /// How often in one data folder
        #[arg(long, default_value_t = 20)]
        kills_a_folder: u32,
        /// Repeats the throws of another run, not its timing
        #[arg(long)]
        seed: Option<u64>,
        /// The server's program
        #[arg(long)]
        server: Option<PathBuf>,
    },
    /// Loads a server for long, with faults; what it takes of the machine has to stay as it is
    Soak {
        /// How long
        #[arg(long, default_value_t = 60.0)]
        minutes: f64,
        /// Milliseconds that each client waits between two requests
        #[arg(long, default_value_t = 40)]
        pace_ms: u64,
        /// Repeats the throws of another run, not its timing
        #[arg(long)]
        seed: Option<u64>,
        /// The server's program
        #[arg(long)]
        server: Option<PathBuf>,
        /// Where the figures go
        #[arg(long, default_value = "target/soak")]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            eprintln!("error: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<bool, Trouble> {
    let or_beside = |server: Option<PathBuf>| server.map_or_else(Server::beside, Ok);
    match command {
        Command::Crash { kills, kills_a_folder, seed, server } => {
            let seed = seed.unwrap_or_else(random);
            println!("--seed {seed}");
            let server = or_beside(server)?;
            let plan = crash::Plan { server, kills, kills_a_folder: kills_a_folder.max(1), seed, lie: None };
            let report =
                crash::run(&plan, |so_far| println!("{} kills, {} faults", so_far.kills(), so_far.faults.len()))?;
            println!("{report}");
            Ok(report.faults.is_empty())
        }
        Command::Soak { minutes, pace_ms, seed, server, out } => {
            let seed = seed.unwrap_or_else(random);
            println!("--seed {seed}");
            let (server, pace) = (or_beside(server)?, Duration::from_millis(pace_ms));
            let time = Duration::try_from_secs_f64(minutes * 60.0).unwrap_or(Duration::from_secs(3600));
            let report =
                soak::run(&soak::Plan { server, time, seed, pace, out: out.clone() }, |line| println!("{line}"))?;
            println!("{} kills, {} stops; {}", report.kills, report.stops, report.tally);
            print!("{}", in_words(&report.faults));
            report.verdicts.iter().for_each(|verdict| println!("{verdict}"));
            println!("figures in {}", out.display());
            Ok(report.is_fine())
        }
    }
}
