//! `chappe restore FILE`: a data folder of a backup.

use std::path::PathBuf;
use std::process::ExitCode;

use chappe_actors::backup;

use crate::cli::backup::{FILES, in_words, tell};
use crate::cli::complain;
use crate::cli::folder::{CommandError, NewFolderArgs, finish, now};
use crate::cli::progress::Progress;

/// What `chappe restore` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The backup is read through before anything is made, and no server starts in the folder before
all of it is on disk: a restore that was cut off is run again. Clients start afresh, for they
may have seen what came behind the backup's end.

Example:
  chappe restore /backups/chappe-2026-11-29.backup --data /var/lib/chappe-new")]
pub(super) struct Args {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    folder: NewFolderArgs,
}

/// Restores a backup.
pub(super) fn run(args: &Args) -> ExitCode {
    finish(restore(args))
}

fn restore(Args { file, folder }: &Args) -> Result<String, CommandError> {
    let data = folder.path()?;
    let mut progress = Progress::new();
    let mut say = |doing, done, total| tell(&mut progress, doing, done, total);
    let contents = backup::restore(file, &data, FILES, now(), &mut say)?;
    drop(progress);
    if contents.files.iter().any(|name| FILES.contains(&name.as_str()) || name.ends_with(".db")) {
        complain(
            "accounts, secrets and revoked tokens are those of the backup: what was revoked since is believed again",
        );
    }
    Ok(format!("{}: {}\n", data.display(), in_words(&contents)))
}
