//! `chappe doctor`: a line for each thing that a server needs, and what to do about it.

use std::process::ExitCode;

use crate::cli::flags::SettingFlags;
use crate::cli::folder::step_back;
use crate::cli::progress::Progress;
use crate::cli::{print, serve};
use crate::config::{ConfigError, Loaded};
use crate::doctor::{Check, as_json, as_text, examine, is_well};
use crate::exit::Exit;

/// What `chappe doctor` takes: the flags of `chappe serve`, and its own.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Give it what the server is given. It works beside a running server, and ends with 1 if a check
failed; a warning is no failure. It changes none of the data: a file of 4 KiB comes and goes, and
SQLite leaves its -wal and -shm beside what is read. --deep without a server makes `lock`, and
writes the end of the log again, as a start does.

Examples:
  chappe doctor --config /etc/chappe.toml
  chappe doctor --data /var/lib/chappe --json | jq '.checks[] | select(.result != \"ok\")'")]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingFlags,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Also read every record, and where no server runs compare the query tables with them
    #[arg(long)]
    deep: bool,
}

/// Looks at everything, and tells.
pub(super) fn run(args: &Args) -> ExitCode {
    step_back();
    let mut progress = Progress::new();
    let checks = look(args, &mut |done, total| progress.say("reading", done, total, "records"));
    drop(progress);
    let printed = print(&if args.json { as_json(&checks) } else { as_text(&checks) });
    if is_well(&checks) { printed } else { Exit::Failed.into() }
}

fn look(Args { settings, deep, .. }: &Args, progress: &mut dyn FnMut(u64, u64)) -> Vec<Check> {
    const NAME: &str = "settings";
    let failed = |error: ConfigError| {
        let problems: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
        Check::fail(NAME, problems.join("; "), "chappe check-config shows the same")
    };
    // What cannot be read cannot be looked at any further; what does not fit can.
    let loaded = match settings.load() {
        Ok(loaded) => loaded,
        Err(error) => return vec![failed(error)],
    };
    let mut checks = vec![match serve::ready_to_serve(settings) {
        Ok(_) => fine(&loaded),
        Err(error) => failed(error),
    }];
    checks.extend(examine(&loaded.config, *deep, progress));
    checks
}

fn fine(loaded: &Loaded) -> Check {
    let file = loaded.file.as_ref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    if loaded.warnings.is_empty() {
        Check::ok("settings", format!("{file}: they fit together"))
    } else {
        Check::warn("settings", loaded.warnings.join("; "), "mend or remove what is not meant for chappe")
    }
}
