//! `chappe compact`: has the engine rewrite the log of a stopped server without what is not kept any more.

use std::process::ExitCode;

use chappe_actors::engine::compact::Compacted;

use crate::app;
use crate::cli::folder::IdleFolderArgs;
use crate::cli::{fail, print};

/// Rewrites the log.
pub(super) fn run(folder: &IdleFolderArgs) -> ExitCode {
    let config = match folder.begin() {
        Ok(config) => config,
        Err(end) => return end,
    };
    match app::compact(&config) {
        Ok(done) => print(&in_words(&done)),
        Err(error) => fail(&error, error.exit_code()),
    }
}

/// What came of it.
pub(super) fn in_words(done: &Compacted) -> String {
    let Compacted { records, reduced, bytes: [before, after], torn_ends } = done;
    let torn = if *torn_ends > 0 { format!("; {torn_ends} torn ends of the log were removed") } else { String::new() };
    format!(
        "{reduced} of {records} records say less now; the log went from {before} to {after} bytes{torn}\n\
         The next start reads the whole log once.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_went_and_what_it_brought() {
        let mut done = Compacted { records: 12, reduced: 4, bytes: [8192, 4096], torn_ends: 0 };
        assert!(in_words(&done).starts_with("4 of 12 records say less now; the log went from 8192 to 4096 bytes\n"));
        done.torn_ends = 1;
        assert!(in_words(&done).contains("bytes; 1 torn ends of the log were removed\n"));
    }
}
