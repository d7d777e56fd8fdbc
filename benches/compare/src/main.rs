//! Compares chappe with other servers: the same load for each, every delivery and every ack checked.
//!
//! `peers` knows who is compared, `scenario` with which loads, `crew` who sits where, `load` posts and listens;
//! `account` and `board` decide what went wrong and who may post, plain. `compare` is the whole course.

mod account;
mod bare;
mod board;
mod broken;
mod compare;
mod connection;
mod crew;
mod door;
mod idle;
mod load;
mod pace;
mod payload;
mod peers;
mod pictures;
mod plot;
mod protocol;
mod report;
mod results;
mod scenario;
mod server;
mod tally;
mod trouble;
mod usage;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::trouble::Trouble;

/// Compares chappe with other servers.
#[derive(Debug, Parser)]
#[command(name = "chappe-compare")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the comparison: a fresh server for each run, chappe and a peer in turn.
    Run(compare::Args),
    /// Writes the report and the plots of a results.json again.
    Report {
        /// The folder with results.json.
        folder: PathBuf,
    },
    /// Draws lines (or bars, where x is no number) from rows `series,x,y`.
    Plot(plot::Args),
    /// Serves as a NATS server that makes mistakes, for the load to catch.
    Broken {
        /// The kind of mistake.
        fault: broken::Fault,
        /// Where to listen.
        #[arg(long, default_value_t = 4222)]
        port: u16,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            eprintln!("chappe-compare: {trouble}");
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked; whether everything was in order.
fn run(command: Command) -> Result<bool, Trouble> {
    match command {
        Command::Run(args) => compare::run(&args),
        Command::Report { folder } => report::write(&folder, &results::Results::read(&folder)?).map(|()| true),
        Command::Plot(args) => plot::run(&args).map(|()| true),
        Command::Broken { fault, port } => {
            let listener = TcpListener::bind(("127.0.0.1", port)).map_err(Trouble::machine("listen"))?;
            broken::serve(&listener, fault);
            Ok(true)
        }
    }
}
