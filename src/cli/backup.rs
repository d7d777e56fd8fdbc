//! `chappe backup FILE`: one file of a data folder, and what is in it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use chappe_actors::backup::{self, Contents, Doing, Order};

use crate::auth::SECRET_FILE;
use crate::cli::folder::{CommandError, FolderArgs, finish, now, step_back};
use crate::cli::progress::Progress;
use crate::config::{Config, about};
use crate::tls::{OWN_CERT, OWN_KEY};

/// The files of a data folder that a backup has besides the log and the accounts.
pub(super) const FILES: &[&str] = &[SECRET_FILE, OWN_CERT, OWN_KEY];

/// What `chappe backup` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The file holds all messages, and the secret that signs tokens: whoever has it has everything.
It is made under another name, read back from the disk, and only then gets its own: an earlier
backup of that name is replaced by a whole one, or not at all.

Examples:
  chappe backup /backups/chappe-$(date +%F).backup --data /var/lib/chappe
  chappe backup --check /backups/chappe-2026-11-29.backup")]
pub(super) struct Args {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Make nothing: read through the one that is there
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    folder: FolderArgs,
}

/// Makes a backup, or reads through one.
pub(super) fn run(args: &Args) -> ExitCode {
    step_back();
    finish(make(args))
}

fn make(Args { file, check, folder }: &Args) -> Result<String, CommandError> {
    let mut progress = Progress::new();
    let mut say = |doing, done, total| tell(&mut progress, doing, done, total);
    let contents = if *check {
        backup::check(file, &mut say)?
    } else {
        let Config { data, .. } = folder.settings()?;
        backup::take(Order { folder: &data, files: FILES, to: file, now: now() }, &mut say)?
    };
    drop(progress);
    Ok(format!("{}: whole, {}\n", file.display(), in_words(&contents)))
}

/// Says how far it is.
pub(super) fn tell(progress: &mut Progress, doing: Doing, done: u64, total: u64) {
    let (what, unit) = match doing {
        Doing::Copying => ("copying", "records"),
        Doing::Checking => ("checking", "bytes"),
        Doing::Restoring => ("restoring", "records"),
        Doing::Reading => ("reading", "records"),
    };
    progress.say(what, done, total, unit);
}

/// What is in a backup.
pub(super) fn in_words(Contents { head, epoch, files, bytes, created }: &Contents) -> String {
    let created = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(created.0);
    let age = SystemTime::now().duration_since(created).unwrap_or_default().as_secs();
    let age = match age {
        0..120 => "now".to_owned(),
        120..7200 => format!("{} minutes ago", age / 60),
        7200..172_800 => format!("{} hours ago", age / 3600),
        _ => format!("{} days ago", age / 86_400),
    };
    let besides = if files.is_empty() { String::new() } else { format!(", {}", files.join(", ")) };
    format!("{} records of log {epoch}{besides}, {}, begun {age}", head.0, about(*bytes))
}

#[cfg(test)]
mod tests {
    use chappe_actors::log::record::Position;
    use chappe_proto::Millis;

    use super::*;

    #[test]
    fn what_is_in_a_backup_is_said_in_a_line() {
        let files = vec!["accounts.db".to_owned()];
        let contents =
            Contents { created: Millis(now().0 - 3 * 86_400_000), epoch: 7, head: Position(12), files, bytes: 2048 };
        assert_eq!(in_words(&contents), "12 records of log 7, accounts.db, 2.0 KiB, begun 3 days ago");
    }
}
