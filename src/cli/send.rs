//! Stub: `chappe send` is written elsewhere.

use std::process::ExitCode;

/// The command's arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The chat's id.
    chat: String,
}

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let _ = &args.chat;
    crate::exit::Exit::Failed.into()
}
