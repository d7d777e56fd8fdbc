//! `chappe import FILE`: a data folder of an export.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::folder::{CommandError, NewFolderArgs, finish, now};
use crate::cli::progress::Progress;
use crate::config::Config;
use crate::transfer::import::{Imported, Target, import};

/// What `chappe import` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ids, numbers and times stay as they are: what was imported is exported again byte for byte. A
bad line is named and stops it; all before that line is kept. Mended, or cut off, it is run
again and goes on; until it is through, no server starts in the folder.

Example:
  chappe import all.jsonl --data /var/lib/chappe-new")]
pub(super) struct Args {
    /// The export; - reads stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    folder: NewFolderArgs,
}

/// Imports.
pub(super) fn run(args: &Args) -> ExitCode {
    finish(run_import(args))
}

fn run_import(Args { file, folder }: &Args) -> Result<String, CommandError> {
    let Config { data, limits, .. } = folder.settings()?;
    let target = Target { folder: &data, epoch: now().0, limits: &limits };
    let mut progress = Progress::new();
    let done = if file.as_os_str() == "-" {
        let mut say = |done| progress.say("importing", done, 0, "bytes");
        import(std::io::stdin().lock(), Path::new("stdin"), target, &mut say)
    } else {
        let failed = |source| CommandError::Input { what: file.display().to_string(), source };
        let opened = File::open(file).map_err(failed)?;
        let total = opened.metadata().map_err(failed)?.len();
        let mut say = |done| progress.say("importing", done, total, "bytes");
        import(opened, file, target, &mut say)
    };
    drop(progress);
    let Imported { records, before } = done?;
    let behind = if before > 0 { format!(", {before} of them by an import that was cut off") } else { String::new() };
    Ok(format!("{}: {records} records{behind}\n", data.display()))
}
