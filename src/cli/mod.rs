//! The command line: which commands there are, and what they have in common. What a command does stands in its file.

mod backup;
mod client;
mod compact;
mod doctor;
mod erase;
mod explain;
mod export;
mod flags;
mod folder;
mod import;
mod progress;
mod restore;
pub mod send;
mod serve;
mod show_config;
pub mod tail;
mod token;
mod user;
mod verify;

use std::error::Error;
use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use rustix::fs::Mode;

use crate::exit::Exit;

/// A real-time messaging server in one binary: chats, messages, presence and typing over WebSocket, TCP, UDP and HTTP.
///
/// Without a command it serves, on this machine only, and keeps its data in ./chappe-data.
#[derive(Debug, Parser)]
#[command(name = "chappe", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
}

const EXAMPLES: &str = "\
Examples:
  chappe                                           serve, then open http://127.0.0.1:8080/
  chappe --data /var/lib/chappe --udp off          serve from another folder, without UDP
  chappe send 1 \"hello\"                            post to chat 1
  chappe tail 1                                    follow chat 1
  chappe --auth token                              serve those who show a token
  chappe token create --user 1001                  make one
  chappe check-config --config chappe.toml         see the settings without starting
  chappe doctor --config chappe.toml               see what would go wrong
  chappe backup chappe.backup                      keep what is in ./chappe-data";

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server (also without a command).
    Serve(serve::Args),
    /// Posts a message to a chat.
    Send(send::Args),
    /// Follows a chat.
    Tail(tail::Args),
    /// Makes, lists and disables accounts of the server's own.
    User(user::Args),
    /// Makes, shows and revokes tokens.
    Token(token::Args),
    /// Measures a running server.
    Bench(crate::bench::Args),
    /// Rebuilds the query tables from the log beside the live ones, and compares.
    Verify(folder::IdleFolderArgs),
    /// Makes one file of a data folder, also while a server uses it, and reads it back.
    Backup(backup::Args),
    /// Makes a data folder of a backup.
    Restore(restore::Args),
    /// Writes the log as lines of JSON, also while a server uses it.
    Export(export::Args),
    /// Makes a data folder of an export.
    Import(import::Args),
    /// Looks at the settings, the machine and the data folder, and says what to do.
    Doctor(doctor::Args),
    /// Rewrites the log of a stopped server without what is not kept any more, and gives the room back.
    Compact(folder::IdleFolderArgs),
    /// Prints the settings in force and where each comes from; fails if a server would not start with them.
    #[command(visible_alias = "check-config")]
    Config(show_config::Args),
    /// Explains an error code, a close code or an exit code; without one, lists them all.
    Explain(explain::Args),
}

/// Runs the program: reads the command line, does what it says, and tells how it went.
pub fn main() -> ExitCode {
    // What is kept is everybody's messages: no other user of the machine reads it.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too. If they cannot be printed, nobody reads them.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Fine.into() };
        }
    };
    match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Send(args)) => send::run(&args),
        Some(Command::Tail(args)) => tail::run(&args),
        Some(Command::User(args)) => user::run(&args),
        Some(Command::Token(args)) => token::run(&args),
        Some(Command::Bench(args)) => crate::bench::run(&args),
        Some(Command::Verify(args)) => verify::run(&args),
        Some(Command::Backup(args)) => backup::run(&args),
        Some(Command::Restore(args)) => restore::run(&args),
        Some(Command::Export(args)) => export::run(&args),
        Some(Command::Import(args)) => import::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Compact(args)) => compact::run(&args),
        Some(Command::Config(args)) => show_config::run(&args),
        Some(Command::Explain(args)) => explain::run(&args),
    }
}

/// Every variable that a flag of some command reads.
fn variables_of_flags() -> Vec<String> {
    fn collect(command: &clap::Command, names: &mut Vec<String>) {
        names.extend(command.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned)));
        command.get_subcommands().for_each(|command| collect(command, names));
    }
    // A secret has no flag.
    let mut names = vec![client::TOKEN_VARIABLE.to_owned()];
    collect(&Cli::command(), &mut names);
    names
}

/// Writes a command's result to stdout. A reader that has had enough, as `head` has, is no failure.
fn print(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Exit::Fine.into(),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Fine.into(),
        Err(error) => fail(&error, Exit::Failed),
    }
}

/// Says on stderr what went wrong, with its causes.
fn fail(error: &dyn Error, exit: impl Into<ExitCode>) -> ExitCode {
    complain(&format!("error: {}", with_causes(error)));
    exit.into()
}

/// The same once the log is set up: as a line of the log where programs read it, if errors are logged.
fn fail_in_log(error: &dyn Error, exit: impl Into<ExitCode>) -> ExitCode {
    if std::io::stderr().is_terminal() || !tracing::enabled!(tracing::Level::ERROR) {
        return fail(error, exit);
    }
    tracing::error!(error = with_causes(error), "stop server");
    exit.into()
}

/// Writes a line to stderr; where that is closed, nobody wants to know.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    // Some errors say their cause themselves.
    causes
        .map(ToString::to_string)
        .fold(error.to_string(), |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
