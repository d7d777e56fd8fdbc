//! `chappe config`: the settings in force and where each comes from, in the form of a configuration file.

use std::fmt::Write;
use std::process::ExitCode;

use crate::cli::flags::SettingFlags;
use crate::cli::{complain, fail, print, serve};
use crate::config::{Loaded, SETTINGS};
use crate::exit::Exit;

/// What `chappe config` takes: the same flags as `chappe serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingFlags,
}

/// Prints the settings, or what is wrong with them.
pub(super) fn run(args: &Args) -> ExitCode {
    let loaded = match serve::ready_to_serve(&args.settings) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error, Exit::Configuration),
    };
    for warning in &loaded.warnings {
        complain(&format!("warning: {warning}"));
    }
    print(&as_file(&loaded))
}

/// Writes the settings as a file that says the same, with the origin of each as a comment.
fn as_file(loaded: &Loaded) -> String {
    let file = loaded.file.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string());
    let mut text = format!("# chappe {}, configuration file: {file}\n", env!("CARGO_PKG_VERSION"));
    let mut current = "";
    for setting in SETTINGS {
        let (table, key) = setting.table_and_key();
        if table != current {
            current = table;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\n[{table}]");
        }
        let assignment = format!("{key} = {}", setting.show(&loaded.config));
        let _ = writeln!(text, "{assignment:<40} # {}", loaded.source_of(setting.name));
    }
    text
}
