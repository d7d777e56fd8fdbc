//! Stub: `chappe bench` is written elsewhere.

use std::process::ExitCode;

/// Measures a running server.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let _ = args;
    crate::exit::Exit::Failed.into()
}
