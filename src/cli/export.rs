//! `chappe export [FILE]`: the log as lines of JSON.

use std::io::{BufWriter, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;

use chappe_actors::log::record::Position;
use chappe_proto::ChatId;

use crate::cli::complain;
use crate::cli::folder::{CommandError, FolderArgs, finish, step_back};
use crate::cli::progress::Progress;
use crate::config::Config;
use crate::transfer::TransferError;
use crate::transfer::export::{Exported, Wanted, to_file, to_stream};

/// What `chappe export` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A line an event, in the order they happened, as the protocol writes them (docs/export.md).
A file that is there is continued behind its last whole line.

Examples:
  chappe export all.jsonl --data /var/lib/chappe
  chappe export --chat 1 | jq -r 'select(.packet_type == \"Message\").message.content'")]
pub(super) struct Args {
    /// The file; stdout without it
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only what belongs to one chat
    #[arg(long, value_name = "ID")]
    chat: Option<ChatId>,
    /// Only what came behind this position
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: u64,
    #[command(flatten)]
    folder: FolderArgs,
}

/// Exports.
pub(super) fn run(args: &Args) -> ExitCode {
    step_back();
    finish(export(args))
}

fn export(Args { file, chat, after, folder }: &Args) -> Result<String, CommandError> {
    let Config { data, .. } = folder.settings()?;
    let wanted = Wanted { after: Position(*after), chat: *chat };
    let mut progress = Progress::new();
    let mut say = |done, total| progress.say("exporting", done, total, "records");
    let done = match file {
        Some(file) => to_file(&data, wanted, file, &mut say),
        None => match to_stream(&data, wanted, &mut BufWriter::new(std::io::stdout().lock()), &mut say) {
            // A reader that has had enough.
            Err(TransferError::Io { source, .. }) if source.kind() == ErrorKind::BrokenPipe => return Ok(String::new()),
            done => done,
        },
    };
    drop(progress);
    let Exported { records, after: went_on, head } = done?;
    let behind =
        if went_on > wanted.after { format!(" behind the {} that were there", went_on.0) } else { String::new() };
    complain(&format!("{records} records{behind}, up to position {}", head.0));
    Ok(String::new())
}
